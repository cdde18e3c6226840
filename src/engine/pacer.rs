//! Releases arrivals at absolute instants. tokio's own timer rounds to milliseconds, which at 1,000 arrivals a second would bunch
//! them; a timer descriptor wakes the shard within tens of microseconds, and what is due is judged by the clock, so errors do not add up.

use crate::clock::{Clock, Nanos};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

pub(super) struct Pacer {
    clock: Clock,
    /// What the timer's clock reads when `clock` reads zero.
    zero_ns: i64,
    timer: AsyncFd<OwnedFd>,
}

impl Pacer {
    /// # Errors
    /// When the process has no descriptor left for the timer.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for descriptors that may change; an owned one does not"
    )]
    pub(super) fn new(clock: Clock) -> std::io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { clock, zero_ns: clock.zero_of_monotonic_ns(), timer: AsyncFd::new(timer)? })
    }

    /// Waits until the clock reads `at`; returns at once when it already has.
    ///
    /// # Errors
    /// Only what the kernel says of the timer descriptor.
    pub(super) async fn until(&self, at: Nanos) -> std::io::Result<()> {
        #[cfg(test)]
        if self.clock.is_virtual() {
            tokio::time::sleep_until(self.clock.instant(at)).await;
            return Ok(());
        }
        loop {
            if self.clock.now() >= at {
                return Ok(());
            }
            // Absolute: a thread that loses its core between looking at the clock and arming the timer is woken no later for that.
            let due = self.zero_ns.saturating_add_unsigned(at);
            let first = Timespec { tv_sec: due / 1_000_000_000, tv_nsec: due % 1_000_000_000 };
            let once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let spec = Itimerspec { it_interval: once, it_value: first };
            rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec)?;
            // Arming the timer anew clears its expirations, so they need not be read.
            self.timer.readable().await?.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// tokio's own timer fires at the end of a millisecond, so that half of such waits would be late by half of one. One good round will do: the
    /// machine may be busy with other tests.
    #[tokio::test]
    async fn instants_between_milliseconds_are_met() {
        let clock = Clock::start();
        let pacer = Pacer::new(clock).expect("a timer");
        let mut late_ns = Vec::new();
        for _ in 0..100 {
            late_ns.clear();
            for _ in 0..100 {
                let at = clock.now() + 2_100_000;
                pacer.until(at).await.expect("waited");
                late_ns.push(clock.now().checked_sub(at).expect("never early"));
            }
            late_ns.sort_unstable();
            if late_ns[50] < 300_000 {
                return;
            }
        }
        panic!("late by {} ns", late_ns[50]);
    }
}
