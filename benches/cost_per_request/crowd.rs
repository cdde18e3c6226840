//! The floor of a crowd: as many connections opened at once, and users who mostly think, on bare epoll. What is left of its cost is the
//! kernel's: connecting, and waking up twice for every request.

use plimsoll::clock::{Clock, Nanos, thread_cpu_ns};
use rustix::event::{Timespec, epoll};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const MS: Nanos = 1_000_000;
/// Each user's pause between two requests.
const THINK: std::ops::Range<Nanos> = 4_000 * MS..12_000 * MS;

struct Crowd {
    poll: std::os::fd::OwnedFd,
    sockets: Vec<TcpStream>,
    request: Vec<u8>,
    buffer: Vec<u8>,
    events: Vec<epoll::Event>,
}

impl Crowd {
    /// Every user connects and sends.
    fn begin(addr: SocketAddr, users: usize) -> Outcome<Self> {
        let mut crowd = Self {
            poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            sockets: Vec::with_capacity(users),
            request: format!("GET / HTTP/1.1\r\nhost: {addr}\r\n\r\n").into_bytes(),
            buffer: vec![0; 64 * 1024],
            events: Vec::with_capacity(1024),
        };
        for number in 0..users {
            let mut socket = TcpStream::connect(addr)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&crowd.poll, &socket, data, epoll::EventFlags::IN)?;
            socket.write_all(&crowd.request)?;
            crowd.sockets.push(socket);
        }
        Ok(crowd)
    }

    /// Reads what has come, waiting for it until `timeout`; tells `answered` whose it was.
    fn read(&mut self, timeout: Option<Nanos>, mut answered: impl FnMut(usize)) -> Outcome<()> {
        // Whole milliseconds, rounded up, as the timers of runtimes are.
        let timeout = timeout.map(|ns| Duration::from_millis(ns.div_ceil(MS)));
        let timeout = timeout.map(Timespec::try_from).transpose()?;
        self.events.clear();
        epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref())?;
        for event in &self.events {
            let user = usize::try_from(event.data.u64())?;
            if self.sockets[user].read(&mut self.buffer)? == 0 {
                return Err("the server closed a connection".into());
            }
            answered(user);
        }
        Ok(())
    }
}

/// Prints the milliseconds from the first connect to the last answer, and the microseconds of CPU they took a user.
pub(crate) fn connect(addr: SocketAddr, users: usize) -> Outcome<()> {
    let (clock, cpu_ns) = (Clock::start(), thread_cpu_ns());
    let mut crowd = Crowd::begin(addr, users)?;
    let mut answers = 0;
    while answers < users {
        crowd.read(None, |_| answers += 1)?;
    }
    let cpu_ns = thread_cpu_ns() - cpu_ns;
    println!("{} {:.1}", clock.now() / MS, cpu_ns as f64 / 1e3 / users as f64);
    Ok(())
}

/// Users who think between requests; prints how many requests they made in `span` and the microseconds of CPU each took.
pub(crate) fn think(addr: SocketAddr, users: usize, span: Duration) -> Outcome<()> {
    let mut crowd = Crowd::begin(addr, users)?;
    let clock = Clock::start();
    // The fractions of multiples of the golden ratio are spread evenly, whatever their number.
    let mut drawn = 0.0_f64;
    let mut think = move || {
        drawn = (drawn + 0.618_033_988_749_895).fract();
        THINK.start + ((THINK.end - THINK.start) as f64 * drawn) as Nanos
    };
    let mut due: BinaryHeap<Reverse<(Nanos, usize)>> = BinaryHeap::with_capacity(users);
    let (mut requests, mut counted_from) = (0_u64, None);
    let begin_ns = THINK.end;
    loop {
        let now = clock.now();
        if now >= begin_ns && counted_from.is_none() {
            counted_from = Some((requests, thread_cpu_ns()));
        }
        if now >= begin_ns + u64::try_from(span.as_nanos())? {
            break;
        }
        while due.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((_, user))) = due.pop() else { break };
            crowd.sockets[user].write_all(&crowd.request)?;
        }
        let wait = due.peek().map(|Reverse((at, _))| at.saturating_sub(now));
        crowd.read(wait, |user| {
            requests += 1;
            due.push(Reverse((clock.now() + think(), user)));
        })?;
    }
    let (before, cpu_ns) = counted_from.ok_or("the span never began")?;
    let (counted, cpu_ns) = (requests - before, thread_cpu_ns() - cpu_ns);
    println!("{counted} {:.2}", cpu_ns as f64 / 1e3 / counted as f64);
    Ok(())
}
