//! What the pool counts: two histograms of times, and a tally of who is where with its integrals over time.

use std::time::Instant;

use prometheus::Histogram;

use super::Snapshot;

/// The pool's histograms, made by whoever owns the registry.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// From asking to getting a connection, in seconds; zero when one was free.
    pub wait_time: Histogram,
    /// From getting a connection to giving it back, in seconds.
    pub use_time: Histogram,
}

/// Counts, and what they add up to over time, of our own pool or of a driver that tells what its does. Sampled gauges miss what happens between scrapes; the integrals do not.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) used: usize,
    pub(crate) pending: usize,
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    pub(crate) timeouts: u64,
    used_s: f64,
    pending_s: f64,
    until: Instant,
}

impl Tally {
    pub(crate) fn starting(now: Instant) -> Self {
        Self {
            used: 0,
            pending: 0,
            opened: 0,
            closed: 0,
            timeouts: 0,
            used_s: 0.0,
            pending_s: 0.0,
            until: now,
        }
    }

    /// Brings the integrals up to `now`; to be called before every change of `used` or `pending`.
    pub(crate) fn advance(&mut self, now: Instant) {
        // Two threads may arrive with instants taken before the lock, in the wrong order: time never runs backwards.
        let elapsed_s = now.saturating_duration_since(self.until).as_secs_f64();
        self.used_s += self.used as f64 * elapsed_s;
        self.pending_s += self.pending as f64 * elapsed_s;
        self.until = self.until.max(now);
    }

    pub(crate) fn snapshot(&self, max: usize, idle: usize) -> Snapshot {
        Snapshot {
            max,
            used: self.used,
            idle,
            pending: self.pending,
            opened: self.opened,
            closed: self.closed,
            timeouts: self.timeouts,
            used_s: self.used_s,
            pending_s: self.pending_s,
        }
    }
}
