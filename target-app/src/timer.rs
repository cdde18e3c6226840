//! A timer that is right to some ten microseconds. The runtime's own wheel turns once a millisecond, which would add up to
//! 5 % to a hold of 20 ms; a timerfd in the same reactor does not.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock;

/// One timer, used by one task at a time.
#[derive(Debug)]
pub(crate) struct Timer {
    fd: AsyncFd<OwnedFd>,
}

impl Timer {
    /// Needs a runtime with its reactor on. Fails when the process is out of descriptors.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for descriptors that may change; an owned one does not"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { fd: AsyncFd::with_interest(fd, Interest::READABLE)? })
    }

    /// Waits until that instant; returns at once when it has passed.
    pub(crate) async fn until(&mut self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(clock::now());
        if left.is_zero() {
            return Ok(());
        }
        let once = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(left) };
        timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        self.fd
            .async_io(Interest::READABLE, |fd| {
                // Reading the count of expiries is what makes the descriptor unready again.
                let mut expiries = [0; 8];
                rustix::io::read(fd, &mut expiries).map_err(io::Error::from)
            })
            .await?;
        Ok(())
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
