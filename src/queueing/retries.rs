//! Retries after a timeout at a pool: more arrivals make more timeouts make more arrivals. Where there are two loads that sustain
//! themselves, a burst can push the system from the good one to the bad one, in which it stays: it is metastable.
//!
//! Symbols: λ requests per second; r requests sent again for each that times out; P(Λ) share of timeouts (M/M/c+D) at Λ arrivals per
//! second. Λ is a fixed point if Λ = λ(1 + r·P(Λ)).
//!
//! With r ≤ 1 there is one fixed point for each λ: what times out has used no slot, so nothing is wasted but the wait. With several layers
//! that each retry, r is more than 1, and the load can fold over.
//!
//! Source: Bronson et al., "Metastable failures in distributed systems", HotOS 2021 (the notion).

use super::patience::timed_pool;

/// Arrivals at which the load is looked at, in steps of this ratio, up to where nearly all time out.
const STEP: f64 = 1.0005;
const OVERLOAD_MAX: f64 = 100.0;

/// A pool with a timeout, and what is done after one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retrying {
    pub slots: usize,
    pub hold_s: f64,
    pub timeout_s: f64,
    /// r ≥ 0.
    pub retries: f64,
}

/// The loads, in requests per second without retries, between which the system has a good and a bad state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metastable {
    /// From here on a burst can push it over, and it stays there.
    pub above_per_s: f64,
    /// From here on there is no good state.
    pub lost_per_s: f64,
}

impl Retrying {
    /// λ for which Λ is a fixed point.
    fn requests_per_s(&self, arrivals_per_s: f64) -> f64 {
        let waits = timed_pool(self.slots, arrivals_per_s, self.hold_s, self.timeout_s);
        arrivals_per_s / (1.0 + self.retries * waits.p_timeout)
    }

    /// All Λ that sustain themselves with λ requests per second, from the good one on: one, or three of which the middle one is unstable
    /// and marks how large a burst has to be.
    pub fn arrivals_per_s(&self, requests_per_s: f64) -> Vec<f64> {
        let over = |arrivals: f64| self.requests_per_s(arrivals) >= requests_per_s;
        let mut found = Vec::new();
        let most = requests_per_s * (1.0 + self.retries) * STEP;
        let mut low = requests_per_s / STEP;
        while low < most {
            let high = low * STEP;
            if over(low) != over(high) {
                found.push(self.crossing(low, high, &over));
            }
            low = high;
        }
        found
    }

    fn crossing(&self, mut low: f64, mut high: f64, over: &impl Fn(f64) -> bool) -> f64 {
        let rises = over(high);
        loop {
            let middle = low.midpoint(high);
            if middle <= low || middle >= high {
                return middle;
            }
            if over(middle) == rises { high = middle } else { low = middle }
        }
    }

    /// Where the load folds over; `None` if it does not, and every load has one state.
    pub fn metastable(&self) -> Option<Metastable> {
        let full_per_s = self.slots as f64 / self.hold_s;
        let (mut before, mut arrivals) = (0.0, full_per_s / OVERLOAD_MAX);
        let mut lost_per_s = None;
        while arrivals < full_per_s * OVERLOAD_MAX {
            let requests = self.requests_per_s(arrivals);
            match lost_per_s {
                None if requests < before => lost_per_s = Some(before),
                Some(lost_per_s) if requests > before => {
                    return Some(Metastable { above_per_s: before, lost_per_s });
                }
                _ => {}
            }
            before = requests;
            arrivals *= STEP;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(slots: usize, retries: f64) -> Retrying {
        Retrying { slots, hold_s: 0.02, timeout_s: 0.1, retries }
    }

    #[test]
    fn one_retry_never_folds() {
        for slots in [1, 10, 100, 1000] {
            for retries in [0.0, 0.5, 1.0] {
                assert_eq!(pool(slots, retries).metastable(), None, "{slots} {retries}");
            }
            assert_eq!(pool(slots, 1.0).arrivals_per_s(slots as f64 * 45.0).len(), 1);
        }
    }

    /// In a large pool P(Λ) is nearly 1 − ν/Λ past its ceiling ν and 0 before, so λ = Λ²/(Λ(1 + r) − rν) there, least at
    /// Λ = 2rν/(1 + r), where it is 4rν/(1 + r)².
    #[test]
    fn three_retries_fold_where_the_fluid_limit_does() {
        let large = pool(10_000, 3.0);
        let ceiling = 500_000.0;
        let found = large.metastable().expect("a fold");
        assert!((found.above_per_s / (0.75 * ceiling) - 1.0).abs() < 1e-3, "{found:?}");
        assert!((0.97..1.0).contains(&(found.lost_per_s / ceiling)), "{found:?}");
        let between = large.arrivals_per_s(0.9 * ceiling);
        assert_eq!(between.len(), 3, "{between:?}");
        for arrivals in between {
            let p_timeout = timed_pool(10_000, arrivals, 0.02, 0.1).p_timeout;
            assert!((0.9 * ceiling * (1.0 + 3.0 * p_timeout) / arrivals - 1.0).abs() < 1e-9);
        }
        assert_eq!(large.arrivals_per_s(0.7 * ceiling).len(), 1);
        let lost = large.arrivals_per_s(1.1 * ceiling);
        assert!(lost.len() == 1 && lost[0] > 2.0 * ceiling, "{lost:?}");
    }
}
