//! What was asked for and what failed in the last while, in ten buckets, of which the oldest goes as a new one begins (opossum's `rollingCountTimeout` and
//! `rollingCountBuckets`).

use std::time::{Duration, Instant};

const BUCKETS: usize = 10;

/// Counts of the last ten buckets.
#[derive(Debug)]
pub(super) struct Window {
    began: Instant,
    bucket: Duration,
    /// The number of the newest bucket, counted from the beginning.
    newest: u128,
    buckets: [Bucket; BUCKETS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    asked: u64,
    failed: u64,
}

impl Window {
    pub(super) fn starting(now: Instant, length: Duration) -> Self {
        let bucket = (length / BUCKETS as u32).max(Duration::from_nanos(1));
        Self { began: now, bucket, newest: 0, buckets: [Bucket::default(); BUCKETS] }
    }

    pub(super) fn asked(&mut self, now: Instant) {
        self.current(now).asked += 1;
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.current(now).failed += 1;
    }

    /// How many were asked for, and how many failed.
    pub(super) fn totals(&mut self, now: Instant) -> (u64, u64) {
        self.current(now);
        self.buckets.iter().fold((0, 0), |(asked, failed), b| (asked + b.asked, failed + b.failed))
    }

    /// The bucket of this instant; those whose time is over are emptied on the way.
    fn current(&mut self, now: Instant) -> &mut Bucket {
        // An instant that was read before another's lock counts as the last one.
        let elapsed = now.saturating_duration_since(self.began);
        let number = (elapsed.as_nanos() / self.bucket.as_nanos()).max(self.newest);
        let over = usize::try_from(number - self.newest).unwrap_or(BUCKETS).min(BUCKETS);
        for step in 0..over as u128 {
            self.buckets[place(number - step)] = Bucket::default();
        }
        self.newest = number;
        &mut self.buckets[place(number)]
    }
}

fn place(number: u128) -> usize {
    (number % BUCKETS as u128) as usize
}
