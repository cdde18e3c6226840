//! How late the event loop is: what a Node service finds out by a timer of its own, and what everybody who waits for the loop feels. Looks that
//! could not be made while it stood still count too, each as late as it would have been; or a second of standing still were one look of many.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock;
use crate::lock::lock;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(20);
/// The looks of ten seconds.
const LOOKS_MAX: usize = 500;

/// How late the last looks were.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    looks_s: Mutex<VecDeque<f64>>,
}

impl Lag {
    /// Looks for ever.
    pub(crate) async fn watch(&self) {
        loop {
            let due = clock::now() + EVERY;
            tokio::time::sleep_until(due.into()).await;
            self.add(clock::now().saturating_duration_since(due).as_secs_f64());
        }
    }

    /// One look, and those that it was too late for.
    fn add(&self, late_s: f64) {
        let mut looks_s = lock(&self.looks_s);
        let mut rest_s = late_s;
        for _ in 0..LOOKS_MAX {
            if looks_s.len() == LOOKS_MAX {
                looks_s.pop_front();
            }
            looks_s.push_back(rest_s);
            rest_s -= EVERY.as_secs_f64();
            if rest_s <= 0.0 {
                break;
            }
        }
    }

    /// What one look of a hundred was later than, of the last ten seconds; zero before the first.
    pub(crate) fn p99_s(&self) -> f64 {
        let looks_s = lock(&self.looks_s);
        let mut sorted: Vec<f64> = looks_s.iter().copied().collect();
        drop(looks_s);
        sorted.sort_unstable_by(f64::total_cmp);
        let rank = (sorted.len() as f64 * 0.99).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{LOOKS_MAX, Lag};

    #[test]
    fn one_look_of_a_hundred_is_later_and_what_is_long_ago_is_forgotten() {
        let lag = Lag::default();
        assert_eq!(lag.p99_s(), 0.0);
        (1..=100).for_each(|late| lag.add(f64::from(late) / 1e4));
        assert_eq!(lag.p99_s(), 99.0 / 1e4);
        (0..LOOKS_MAX).for_each(|_| lag.add(0.001));
        assert_eq!(lag.p99_s(), 0.001);
    }

    #[test]
    fn a_loop_that_stands_still_now_and_then_is_as_late_as_who_waits_for_it() {
        let lag = Lag::default();
        // A second of every three.
        for _ in 0..10 {
            (0..100).for_each(|_| lag.add(0.0));
            lag.add(1.0);
        }
        assert!(lag.p99_s() > 0.9, "{}", lag.p99_s());
        lag.add(60.0);
        assert!(lag.p99_s() > 50.0, "it knows of ten seconds only: {}", lag.p99_s());
    }

    #[tokio::test]
    async fn a_loop_that_is_blocked_is_late() {
        let lag = Lag::default();
        tokio::select! {
            () = lag.watch() => {}
            () = async {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                std::thread::sleep(std::time::Duration::from_millis(300));
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            } => {}
        }
        // Of a handful of looks the latest is the one in a hundred.
        assert!(lag.p99_s() > 0.25, "{}", lag.p99_s());
    }
}
