//! The garbage collector of a Node process, as far as its users notice it.
//!
//! Requests and messages leave garbage in the heap. When what is live and the garbage together reach the limit, a collection marks what is
//! live and the garbage is gone. V8 marks beside the running program as long as there is room; here up to [`CONCURRENT`] of the limit is
//! marked that way, and the world stands still for the rest. So a pause lasts (live - 0.7 limit) / speed, and collections come the more often
//! the less room there is: with garbage g a second they take g (live - 0.7 limit) / (speed (limit - live)) of the time.
//!
//! V8 gives up when collecting is all that is left to do: after four collections in a row that left more than 80 % live and between which the
//! program ran for less than 40 % of the time ("Ineffective mark-compacts near heap limit": `Heap::CheckIneffectiveMarkCompact`). So does this.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use prometheus::Histogram;

use crate::lock::lock;

/// The share of the limit whose marking nobody notices.
const CONCURRENT: f64 = 0.7;

/// A collection that leaves more than this share of the limit live is no help,
const HIGH_RATIO: f64 = 0.8;
/// if the program ran for less than this share of the time since the one before,
const LOW_UTILIZATION: f64 = 0.4;
/// and of those one after the other this many are enough.
const INEFFECTIVE_MAX: u32 = 4;

/// What becomes of the thread that left garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoesOn,
    StandsStill(Duration),
    /// There is no room any more, only collecting.
    GivesUp,
}

pub(super) struct Collector {
    limit_bytes: u64,
    mark_bytes_per_s: f64,
    pauses: Histogram,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    garbage_bytes: u64,
    /// The end of the last pause.
    resumed: Option<Instant>,
    ineffective_in_a_row: u32,
}

impl Collector {
    pub(super) fn new(limit_bytes: u64, mark_bytes_per_s: f64, pauses: Histogram) -> Self {
        Self { limit_bytes, mark_bytes_per_s, pauses, state: Mutex::default() }
    }

    /// Takes garbage. The thread has to stand still for a collection that this brings about, and for one that another thread has begun.
    pub(super) fn litter(&self, garbage_bytes: u64, live_bytes: u64, now: Instant) -> Verdict {
        let mut state = lock(&self.state);
        state.garbage_bytes += garbage_bytes;
        if let Some(rest) = state.resumed.and_then(|resumes| resumes.checked_duration_since(now))
            && !rest.is_zero()
        {
            return Verdict::StandsStill(rest);
        }
        if live_bytes + state.garbage_bytes < self.limit_bytes {
            return Verdict::GoesOn;
        }
        state.garbage_bytes = 0;
        let pause = self.pause(live_bytes);
        self.pauses.observe(pause.as_secs_f64());
        let ran = state.resumed.map(|resumed| now.saturating_duration_since(resumed));
        state.resumed = Some(now + pause);
        let ineffective = ran.is_some_and(|ran| self.is_ineffective(live_bytes, ran, pause));
        state.ineffective_in_a_row = if ineffective { state.ineffective_in_a_row + 1 } else { 0 };
        if state.ineffective_in_a_row >= INEFFECTIVE_MAX {
            Verdict::GivesUp
        } else if pause.is_zero() {
            Verdict::GoesOn
        } else {
            Verdict::StandsStill(pause)
        }
    }

    fn is_ineffective(&self, live_bytes: u64, ran: Duration, pause: Duration) -> bool {
        let utilization = ran.as_secs_f64() / (ran + pause).as_secs_f64();
        live_bytes as f64 > HIGH_RATIO * self.limit_bytes as f64 && utilization < LOW_UTILIZATION
    }

    fn pause(&self, live_bytes: u64) -> Duration {
        let stopped_bytes = live_bytes as f64 - CONCURRENT * self.limit_bytes as f64;
        Duration::from_secs_f64((stopped_bytes / self.mark_bytes_per_s).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use prometheus::{Histogram, HistogramOpts};

    use super::{Collector, Verdict};
    use crate::clock;

    const LIMIT: u64 = 1_000_000;

    /// Marks a megabyte a second.
    fn collector() -> Collector {
        let pauses = Histogram::with_opts(HistogramOpts::new("pauses", "x")).unwrap();
        Collector::new(LIMIT, 1e6, pauses)
    }

    /// How long each of these stands still; of a collector that does not give up.
    fn pause(verdict: Verdict) -> Duration {
        match verdict {
            Verdict::GoesOn => Duration::ZERO,
            Verdict::StandsStill(pause) => pause,
            Verdict::GivesUp => panic!("it gave up"),
        }
    }

    #[test]
    fn collections_come_when_the_room_is_full_and_pause_for_what_is_above_seven_tenths() {
        for (live, each_ms) in [(100_000, 0), (700_000, 0), (800_000, 100), (950_000, 250)] {
            let (collector, mut now) = (collector(), clock::now());
            let mut paused = Duration::ZERO;
            // Ten fillings of the room there is, in steps of a tenth of it.
            for _ in 0..100 {
                let pause = pause(collector.litter((LIMIT - live) / 10, live, now));
                now += pause + Duration::from_millis(100);
                paused += pause;
            }
            assert_eq!(collector.pauses.get_sample_count(), 10, "{live}");
            assert_eq!(paused.as_millis(), 10 * each_ms, "{live}");
        }
    }

    #[test]
    fn every_thread_stands_still_until_the_same_moment() {
        let (collector, now) = (collector(), clock::now());
        let still = |ms| Verdict::StandsStill(Duration::from_millis(ms));
        let after = |ms| now + Duration::from_millis(ms);
        assert_eq!(collector.litter(100_000, 900_000, now), still(200));
        assert_eq!(collector.litter(1, 900_000, after(150)), still(50));
        assert_eq!(collector.litter(1, 900_000, after(200)), Verdict::GoesOn);
        assert_eq!(collector.pauses.get_sample_count(), 1);
    }

    #[test]
    fn where_there_is_nothing_left_but_collecting_it_gives_up() {
        let step = |collector: &Collector, live, ran_ms: u64, now: &mut Instant| {
            *now += Duration::from_millis(ran_ms);
            let verdict = collector.litter(LIMIT, live, *now);
            if let Verdict::StandsStill(pause) = verdict {
                *now += pause;
            }
            verdict
        };
        // At 950,000 a pause takes 250 ms, so 160 ms between two of them are 39 % of the time.
        for (live, ran_ms, gives_up_after) in
            [(950_000, 160, Some(5)), (950_000, 170, None), (799_000, 1, None)]
        {
            let (collector, mut now) = (collector(), clock::now());
            let steps = (1..=50).find(|_| step(&collector, live, ran_ms, &mut now) == Verdict::GivesUp);
            assert_eq!(steps, gives_up_after, "{live} {ran_ms}");
        }
        // One that helps begins the count anew.
        let (collector, mut now) = (collector(), clock::now());
        let ran = [1, 1, 1, 1_000].into_iter().cycle().take(50);
        assert!(ran.map(|ran_ms| step(&collector, 950_000, ran_ms, &mut now)).all(|v| v != Verdict::GivesUp));
    }

    #[test]
    fn without_a_counting_allocator_there_is_nothing_to_mark() {
        let collector = collector();
        for _ in 0..100 {
            assert_eq!(collector.litter(LIMIT, 0, clock::now()), Verdict::GoesOn);
        }
    }
}
