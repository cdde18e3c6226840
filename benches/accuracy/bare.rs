//! The control: a bare timer with absolute instants and nothing else, doing what the engine does at the same rate in the same run. What
//! the machine does to it, it does to anybody.

use plimsoll::clock::unix_ns;
use rustix::time::{ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CONNECTIONS: usize = 10;
const NANOS_PER_S: u64 = 1_000_000_000;

/// Wakes at absolute instants of the monotonic clock.
struct Timer(std::os::fd::OwnedFd);

impl Timer {
    fn new() -> std::io::Result<Self> {
        Ok(Self(rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?))
    }

    fn until(&self, at_ns: u64) -> std::io::Result<()> {
        let at = Timespec { tv_sec: (at_ns / NANOS_PER_S) as i64, tv_nsec: (at_ns % NANOS_PER_S) as i64 };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        rustix::time::timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &spec)?;
        rustix::io::read(&self.0, &mut [0; 8])?;
        Ok(())
    }
}

fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * NANOS_PER_S + now.tv_nsec as u64
}

/// Sends request n to `/n/0` at its instant; yields the instants in Unix time.
pub(crate) fn send(addr: SocketAddr, per_s: u64, lasting: Duration) -> std::io::Result<Vec<u64>> {
    let timer = Timer::new()?;
    let mut connections =
        (0..CONNECTIONS).map(|_| TcpStream::connect(addr)).collect::<Result<Vec<_>, _>>()?;
    for connection in &connections {
        connection.set_nodelay(true)?;
    }
    let (start_ns, unix_offset_ns) = (monotonic_ns() + 20_000_000, unix_ns() - monotonic_ns());
    let count = per_s * lasting.as_secs();
    let mut due = Vec::new();
    for n in 0..count {
        let at_ns = start_ns + n * NANOS_PER_S / per_s;
        timer.until(at_ns)?;
        // Answers are not read: a few seconds of them fit the socket.
        connections[n as usize % CONNECTIONS].write_all(format!("GET /{n}/0 HTTP/1.1\r\n\r\n").as_bytes())?;
        due.push(at_ns + unix_offset_ns);
    }
    std::thread::sleep(Duration::from_millis(100));
    Ok(due)
}

/// Ticks each millisecond for `lasting`; yields the spans, in Unix time, over which it did not get to tick for `stall` or longer.
pub(crate) fn stalls(lasting: Duration, stall: Duration) -> std::io::Result<Vec<[u64; 2]>> {
    let timer = Timer::new()?;
    let (end_ns, stall_ns) = (monotonic_ns() + lasting.as_nanos() as u64, stall.as_nanos() as u64);
    let mut found = Vec::new();
    let mut at_ns = monotonic_ns();
    while at_ns < end_ns {
        at_ns += 1_000_000;
        timer.until(at_ns)?;
        let late_ns = monotonic_ns().saturating_sub(at_ns);
        if late_ns >= stall_ns {
            let now_ns = unix_ns();
            found.push([now_ns - late_ns, now_ns]);
            at_ns = monotonic_ns();
        }
    }
    Ok(found)
}
