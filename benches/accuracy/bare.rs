//! The control at its plainest: requests written at their instants by a bare timer, their answers read when they come, nothing parsed.

use crate::truth::bare::Timer;
use crate::truth::server::read_stamped;
use nix::sys::socket::{setsockopt, sockopt};
use plimsoll::clock::unix_ns;
use rustix::event::epoll;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CONNECTIONS: usize = 10;
const NANOS_PER_S: u64 = 1_000_000_000;
const TIMER: u64 = u64::MAX;

/// What the control did.
#[derive(Default)]
pub(crate) struct Sent {
    /// The instants of the requests in Unix time.
    pub(crate) due_ns: Vec<u64>,
    /// How long after its instant each answer was read.
    pub(crate) response_ns: Vec<u64>,
    /// How long after it was written.
    pub(crate) service_ns: Vec<u64>,
    /// How long after the kernel had it.
    pub(crate) read_error_ns: Vec<u64>,
}

/// Sends request n to `/n/0` at its instant, each connection's in turn; an answer that is not there when the next is due is read with that.
pub(crate) fn send(addr: SocketAddr, per_s: u64, lasting: Duration) -> std::io::Result<Sent> {
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
    let mut next = 0;
    let mut sent = Sent::default();
    // When the request under way was due and was written.
    let mut asked_ns = [[0; 2]; CONNECTIONS];
    let mut events = Vec::with_capacity(CONNECTIONS + 1);
    timer.arm(at_ns(0))?;
    // The last answers are not waited for.
    while next < count {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            if event.data.u64() != TIMER {
                let number = event.data.u64() as usize;
                let (_, stamp_ns) = read_stamped(&connections[number], &mut [0; 4096])?;
                sent.read_error_ns.push(unix_ns().saturating_sub(stamp_ns));
                let [due_ns, written_ns] = asked_ns[number];
                sent.response_ns.push(timer.clock.now().saturating_sub(due_ns));
                sent.service_ns.push(timer.clock.now().saturating_sub(written_ns));
                continue;
            }
            while next < count && at_ns(next) <= timer.clock.now() {
                let number = next as usize % CONNECTIONS;
                asked_ns[number] = [at_ns(next), timer.clock.now()];
                connections[number].write_all(format!("GET /{next}/0 HTTP/1.1\r\n\r\n").as_bytes())?;
                sent.due_ns.push(at_ns(next) + unix_offset_ns);
                next += 1;
            }
            timer.arm(at_ns(next))?;
        }
    }
    std::thread::sleep(Duration::from_millis(100));
    Ok(sent)
}
