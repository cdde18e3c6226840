//! What makes a generator unfit, with the time at which it did: lateness over its limit at p99, and a share of time that stays over its
//! limit for seconds on end.

use crate::measure::histogram::Histogram;

/// Seconds in a row above a limit that make a run invalid.
const HELD_S_MIN: u64 = 5;

/// Delays of a run, and the second in which they were worst.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    all: Histogram,
    /// (end of the span, its p99 in nanoseconds)
    worst: Option<(u64, u64)>,
}

impl Lateness {
    pub(super) fn add(&mut self, delays: &Histogram, end_s: u64) {
        if delays.is_empty() {
            return;
        }
        self.all.add(delays);
        let p99_ns = delays.quantile_ns(0.99);
        if self.worst.is_none_or(|(_, worst_ns)| p99_ns > worst_ns) {
            self.worst = Some((end_s, p99_ns));
        }
    }

    pub(super) fn all(&self) -> &Histogram {
        &self.all
    }

    /// Whether the p99 is above the limit beyond what chance does to a few: of `n` delays whose p99 is just at the limit, `n / 100` are
    /// above it, give or take √(0.01 × 0.99 × n), and three of those are exceeded once in several hundred runs. Less than five never count:
    /// they may all have met with one hiccup of the machine.
    pub(super) fn exceeds(&self, limit_ms: f64) -> bool {
        let all = self.all.count() as f64;
        let late = self.all.count_above((limit_ms * 1e6) as u64) as f64;
        late > (0.01 * all + 3.0 * (0.0099 * all).sqrt()).max(4.0)
    }

    pub(super) fn worst_in_words(&self) -> String {
        self.worst.map_or_else(String::new, |(at_s, p99_ns)| {
            format!(", worst at {at_s} s ({:.1} ms)", p99_ns as f64 / 1e6)
        })
    }
}

/// A share of time that must not stay above a limit.
#[derive(Debug)]
pub(super) struct Strain {
    limit_ratio: f64,
    now: Option<Held>,
    longest: Option<Held>,
}

/// A stretch of the run that was above the limit whenever it was looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) from_s: u64,
    pub(super) to_s: u64,
    /// Of these, how many were looked at: between the levels of a search nobody does.
    seconds: u64,
    spent_ns: u64,
}

impl Held {
    /// Mean share of the stretch. A thread without a core also ends its seconds late, so they hold more than a second.
    pub(super) fn ratio(self) -> f64 {
        (self.spent_ns as f64 / 1e9 / self.seconds.max(1) as f64).min(1.0)
    }
}

impl Strain {
    pub(super) fn above(limit_ratio: f64) -> Self {
        Self { limit_ratio, now: None, longest: None }
    }

    /// Takes in `spent_ns` of a span that ends at `end_s` and lasted `span_s`.
    pub(super) fn add(&mut self, spent_ns: u64, (end_s, span_s): (u64, u64)) {
        if spent_ns as f64 <= self.limit_ratio * 1e9 * span_s as f64 {
            self.now = None;
            return;
        }
        let begin_s = end_s.saturating_sub(span_s);
        let before = self.now.unwrap_or(Held { from_s: begin_s, to_s: begin_s, seconds: 0, spent_ns: 0 });
        let held = Held {
            to_s: end_s,
            seconds: before.seconds + span_s,
            spent_ns: before.spent_ns + spent_ns,
            ..before
        };
        self.now = Some(held);
        if self.longest.is_none_or(|longest| held.seconds > longest.seconds) {
            self.longest = Some(held);
        }
    }

    /// The longest stretch above the limit, if one lasted.
    pub(super) fn held(&self) -> Option<Held> {
        self.longest.filter(|held| held.seconds >= HELD_S_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(late: u64, of: u64) -> bool {
        let mut delays = Histogram::new();
        (0..of).for_each(|n| delays.record(if n < late { 8_000_000 } else { 1_000_000 }));
        let mut lateness = Lateness::default();
        lateness.add(&delays, 1);
        lateness.exceeds(5.0)
    }

    #[test]
    fn a_few_delays_need_more_than_one_in_a_hundred_late_to_tell() {
        assert!(!late(0, 0));
        assert!(!late(4, 4), "one hiccup");
        assert!(late(5, 5));
        assert!(!late(4, 100) && late(5, 100));
        assert!(!late(7, 273) && late(8, 273));
        assert!(!late(1_090, 100_000) && late(1_100, 100_000), "with many it is the p99 itself");
    }

    #[test]
    fn the_longest_stretch_is_told_with_its_own_mean() {
        let mut strain = Strain::above(0.5);
        let second = 1_000_000_000;
        for (end_s, tenths) in [(1, 9), (2, 1), (3, 6), (4, 8), (5, 6), (6, 8), (7, 7), (8, 5), (9, 9)] {
            strain.add(tenths * second / 10, (end_s, 1));
        }
        let held = strain.held().expect("five seconds in a row");
        assert_eq!((held.from_s, held.to_s), (2, 7), "exactly at the limit is not above it");
        assert!((held.ratio() - 0.7).abs() < 1e-9);
    }

    #[test]
    fn levels_of_a_search_are_one_stretch_unless_one_was_at_ease() {
        let mut strain = Strain::above(0.5);
        for end_s in [1, 2, 3, 10, 11, 12] {
            strain.add(900_000_000, (end_s, 1));
        }
        let held = strain.held().expect("six seconds");
        assert_eq!((held.from_s, held.to_s, held.ratio()), (0, 12, 0.9));
        let mut strain = Strain::above(0.5);
        for (end_s, tenths) in [(1, 9), (2, 9), (3, 9), (10, 1), (20, 9), (21, 9), (22, 9)] {
            strain.add(tenths * 100_000_000, (end_s, 1));
        }
        assert_eq!(strain.held(), None);
    }
}
