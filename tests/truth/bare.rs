//! The control: a bare timer and nothing else, beside the engine and in the same run. What the machine does to it, it does to anybody.

use plimsoll::clock::{Clock, unix_ns};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::os::fd::OwnedFd;
use std::time::Duration;

const NANOS_PER_S: i64 = 1_000_000_000;

/// Wakes at instants of a clock, judged by the clock each time, so that errors do not add up.
pub(crate) struct Timer {
    pub(crate) descriptor: OwnedFd,
    pub(crate) clock: Clock,
    zero_ns: i64,
}

impl Timer {
    pub(crate) fn new() -> std::io::Result<Self> {
        let descriptor = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        let clock = Clock::start();
        Ok(Self { descriptor, clock, zero_ns: clock.zero_of_monotonic_ns() })
    }

    /// Has the descriptor become readable at this instant; at once where it is past.
    pub(crate) fn arm(&self, at_ns: u64) -> std::io::Result<()> {
        let due_ns = self.zero_ns + at_ns as i64;
        let due = Timespec { tv_sec: due_ns / NANOS_PER_S, tv_nsec: due_ns % NANOS_PER_S };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: due };
        rustix::time::timerfd_settime(&self.descriptor, TimerfdTimerFlags::ABSTIME, &spec)?;
        Ok(())
    }

    pub(crate) fn until(&self, at_ns: u64) -> std::io::Result<()> {
        if self.clock.now() < at_ns {
            self.arm(at_ns)?;
            rustix::io::read(&self.descriptor, &mut [0; 8])?;
        }
        Ok(())
    }
}

/// Ticks each millisecond for `lasting` on every core; yields the spans, in Unix time, over which one did not get to tick for `stall` or longer.
pub(crate) fn stalls(lasting: Duration, stall: Duration) -> std::io::Result<Vec<[u64; 2]>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let loops: Vec<_> =
        (0..cores).map(|core| std::thread::spawn(move || stalls_of(core, lasting, stall))).collect();
    let found = loops.into_iter().map(|one| one.join().expect("no panic"));
    Ok(found.collect::<Result<Vec<_>, _>>()?.concat())
}

fn stalls_of(core: usize, lasting: Duration, stall: Duration) -> std::io::Result<Vec<[u64; 2]>> {
    let mut own = CpuSet::new();
    own.set(core);
    // Where cores are numbered otherwise, the loop runs where it may.
    let _ = sched_setaffinity(None, &own);
    let timer = Timer::new()?;
    let (end_ns, stall_ns) = (lasting.as_nanos() as u64, stall.as_nanos() as u64);
    let mut found = Vec::new();
    let mut at_ns = 0;
    while at_ns < end_ns {
        at_ns += 1_000_000;
        timer.until(at_ns)?;
        let late_ns = timer.clock.now().saturating_sub(at_ns);
        if late_ns >= stall_ns {
            let now_ns = unix_ns();
            found.push([now_ns - late_ns, now_ns]);
            at_ns = timer.clock.now();
        }
    }
    Ok(found)
}
