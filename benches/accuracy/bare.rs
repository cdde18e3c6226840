//! The control at its plainest: requests written at their instants by a bare timer, their answers read when they come, nothing parsed.

use crate::truth::bare::Timer;
use crate::truth::server::read_stamped;
use nix::sys::socket::{setsockopt, sockopt};
use plimsoll::clock::unix_ns;
use plimsoll::measure::histogram::Histogram;
use rustix::event::epoll;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Far more than are ever waited on at the rates of this bench, unless something stands still for a tenth of a second.
const CONNECTIONS: usize = 100;
const NANOS_PER_S: u64 = 1_000_000_000;
const TIMER: u64 = u64::MAX;

/// What the control did.
#[derive(Default)]
pub(crate) struct Sent {
    /// The instants of the requests in Unix time.
    pub(crate) due_ns: Vec<u64>,
    /// How long after its instant each answer was read.
    pub(crate) response: Histogram,
    /// How long after it was written.
    pub(crate) service: Histogram,
    /// How long after the kernel had it, where the kernel says when that was.
    pub(crate) read_error: Histogram,
}

/// Sends request n to `/n/0` at its instant, on a connection that waits for nothing.
pub(crate) fn send(addr: SocketAddr, per_s: u64, lasting: Duration) -> io::Result<Sent> {
    let timer = Timer::new()?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &timer.descriptor, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN)?;
    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        let socket = TcpStream::connect(addr)?;
        socket.set_nodelay(true)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        epoll::add(&poll, &socket, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
        connections.push(socket);
    }
    let start_ns = timer.clock.now() + 20_000_000;
    let unix_offset_ns = unix_ns() - timer.clock.now();
    let at_ns = |n: u64| start_ns + n * NANOS_PER_S / per_s;
    let count = per_s * lasting.as_secs();
    let (mut next, mut answered) = (0, 0);
    let mut sent = Sent::default();
    let mut idle: Vec<usize> = (0..CONNECTIONS).collect();
    // When the request under way was due and was written.
    let mut asked_ns = [[0; 2]; CONNECTIONS];
    let mut events = Vec::with_capacity(CONNECTIONS + 1);
    timer.arm(at_ns(0))?;
    while answered < count {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            if event.data.u64() != TIMER {
                let number = event.data.u64() as usize;
                let (bytes, stamp_ns) = read_stamped(&connections[number], &mut [0; 4096])?;
                let (now, now_unix_ns) = (timer.clock.now(), unix_ns());
                if bytes == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let [due_ns, written_ns] = asked_ns[number];
                sent.response.record(now.saturating_sub(due_ns));
                sent.service.record(now.saturating_sub(written_ns));
                if let Some(late_ns) = stamp_ns.and_then(|at| now_unix_ns.checked_sub(at)) {
                    sent.read_error.record(late_ns);
                }
                idle.push(number);
                answered += 1;
                continue;
            }
            while next < count && at_ns(next) <= timer.clock.now() {
                // All wait: the loop was held up, and there are answers to be read first.
                let Some(number) = idle.pop() else { break };
                let request = format!("GET /{next}/0 HTTP/1.1\r\n\r\n");
                asked_ns[number] = [at_ns(next), timer.clock.now()];
                connections[number].write_all(request.as_bytes())?;
                sent.due_ns.push(at_ns(next) + unix_offset_ns);
                next += 1;
            }
            // Of the last request there is no next; were the timer left readable, it would be asked for ever.
            timer.arm(if next < count { at_ns(next) } else { u64::MAX >> 2 })?;
        }
    }
    Ok(sent)
}
