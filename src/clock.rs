//! The one place that reads time. Everything else takes a [`Nanos`] as an argument, so a ten-minute ramp is a test of milliseconds.

use crate::units::NANOS_PER_S;
use rustix::time::ClockId;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// Nanoseconds since the start of the run's clock. Integers, so that adding and merging lose nothing.
pub type Nanos = u64;

const READINGS_OF_TWO_CLOCKS: u32 = 8;

/// A monotonic clock with a fixed origin; copies of one clock agree on what second it is.
///
/// It reads through tokio's clock so that a test with paused time moves all of the tool at once; without a paused runtime that
/// is the operating system's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: tokio::time::Instant,
    /// Time is the test's: what would wait by the kernel's timers waits by tokio's.
    #[cfg(test)]
    virtual_time: bool,
}

impl Clock {
    /// A clock that reads zero now.
    pub fn start() -> Self {
        Self::starting_in(Duration::ZERO)
    }

    /// A clock whose zero lies ahead, and that reads zero until then: every shard can be ready before the first second begins.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn starting_in(delay: Duration) -> Self {
        Self::at(tokio::time::Instant::now() + delay)
    }

    /// A clock whose zero is at this Unix time: how processes that share no memory agree on the second.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn with_zero_at(zero_unix_ns: u64) -> Self {
        // The two clocks are read one after the other, and a process that is just starting may lose its core in between: of a few attempts
        // the one that took the least time is the least wrong.
        let readings = (0..READINGS_OF_TWO_CLOCKS).map(|_| {
            let (before, unix_ns, after) =
                (tokio::time::Instant::now(), unix_ns(), tokio::time::Instant::now());
            (after - before, before + (after - before) / 2, unix_ns)
        });
        let narrowest = readings.min_by_key(|(took, ..)| *took);
        let (now, now_unix_ns) = narrowest
            .map_or_else(|| (tokio::time::Instant::now(), unix_ns()), |(_, now, unix_ns)| (now, unix_ns));
        let ahead = Duration::from_nanos(zero_unix_ns.saturating_sub(now_unix_ns));
        let behind = Duration::from_nanos(now_unix_ns.saturating_sub(zero_unix_ns));
        Self::at((now + ahead).checked_sub(behind).unwrap_or(now))
    }

    fn at(origin: tokio::time::Instant) -> Self {
        Self {
            origin,
            #[cfg(test)]
            virtual_time: false,
        }
    }

    /// A clock on the paused time of a test's runtime.
    #[cfg(test)]
    pub(crate) fn start_virtual() -> Self {
        Self { virtual_time: true, ..Self::start() }
    }

    #[cfg(test)]
    pub(crate) fn is_virtual(&self) -> bool {
        self.virtual_time
    }

    /// Nanoseconds since this clock started.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn now(&self) -> Nanos {
        let elapsed = tokio::time::Instant::now().saturating_duration_since(self.origin);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// What the kernel's monotonic clock reads when this one reads zero, for handing to the kernel's own timers. Not of a paused time.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn zero_of_monotonic_ns(&self) -> i64 {
        let signed = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        let since_zero = |now: tokio::time::Instant| match now.checked_duration_since(self.origin) {
            Some(past) => signed(past),
            None => -signed(self.origin - now),
        };
        // As in `with_zero_at`.
        let readings = (0..READINGS_OF_TWO_CLOCKS).map(|_| {
            let before = since_zero(tokio::time::Instant::now());
            let monotonic = signed(Duration::from_nanos(read(ClockId::Monotonic)));
            let took = since_zero(tokio::time::Instant::now()) - before;
            (took, monotonic.saturating_sub(before).saturating_sub(took / 2))
        });
        readings.min_by_key(|(took, _)| *took).map_or(0, |(_, zero)| zero)
    }

    /// The instant at which this clock will read `at`, for handing to a timer.
    pub fn instant(&self, at: Nanos) -> tokio::time::Instant {
        self.origin + Duration::from_nanos(at)
    }
}

/// CPU time this thread has used.
pub fn thread_cpu_ns() -> Nanos {
    read(ClockId::ThreadCPUTime)
}

/// CPU time all threads of this process have used.
pub fn process_cpu_ns() -> Nanos {
    read(ClockId::ProcessCPUTime)
}

/// How long this thread has been ready to run and had no core, as the kernel counts it. Opened by the thread that is to be watched; it
/// may be read from anywhere.
#[derive(Debug)]
pub struct RunQueue(Option<File>);

impl RunQueue {
    pub fn of_this_thread() -> Self {
        Self(File::open("/proc/thread-self/schedstat").ok())
    }

    /// Nanoseconds since the thread began; `None` where the kernel does not tell.
    pub fn waited_ns(&self) -> Option<Nanos> {
        let mut text = [0; 96];
        let length = self.0.as_ref()?.read_at(&mut text, 0).ok()?;
        // Time on a core, time waiting for one, turns.
        std::str::from_utf8(&text[..length]).ok()?.split_whitespace().nth(1)?.parse().ok()
    }
}

/// Unix time in nanoseconds, to hold against the kernel's stamps of what it received, and to agree with another process on an instant.
pub fn unix_ns() -> Nanos {
    read(ClockId::Realtime)
}

fn read(clock: ClockId) -> Nanos {
    let at = rustix::time::clock_gettime(clock);
    u64::try_from(at.tv_sec).unwrap_or(0) * NANOS_PER_S + u64::try_from(at.tv_nsec).unwrap_or(0)
}

/// Unix time in milliseconds, for templates and for the lag of messages that carry the time they were sent.
pub fn unix_ms() -> u64 {
    u64::try_from(utc_now().as_millisecond()).unwrap_or(0)
}

/// Unix time in milliseconds with its fraction, to hold against the sending time in a message.
pub fn unix_ms_fine() -> f64 {
    utc_now().as_nanosecond() as f64 / 1e6
}

/// Wall-clock time, for naming run folders and stamping records; never for measuring.
#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
pub fn utc_now() -> jiff::Timestamp {
    jiff::Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}
