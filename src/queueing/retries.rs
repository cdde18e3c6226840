//! Retries after a timeout at a pool: more arrivals make more timeouts make more arrivals. Where there are two loads that sustain
//! themselves, a burst can push the system from the good one to the bad one, in which it stays: it is metastable.
//!
//! Symbols: λ requests per second; r requests sent again for each whose first attempt is not served; P(Λ) share that is not (M/M/c+D, M/M/c/K) of Λ
//! arrivals per second. Λ is a fixed point if Λ = λ(1 + r·P(Λ)).
//!
//! With r ≤ 1 there is one fixed point for each λ: what times out has used no slot, so nothing is wasted but the wait. With several layers
//! that each retry, r is more than 1, and the load can fold over, but only while P is small: more arrivals do not make fewer be served, so ΛP' ≤ 1 − P, and
//! λ grows with Λ where 1 + rP − rΛP' ≥ 1 − r + 2rP is above 0.
//!
//! Source: Bronson et al., "Metastable failures in distributed systems", HotOS 2021 (the notion).

use schemars::JsonSchema;
use serde::Serialize;

/// Arrivals at which the load is looked at, in steps of this ratio, up to where it can no longer fold.
const STEP: f64 = 1.002;
const OVERLOAD_MAX: f64 = 100.0;

/// A pool that loses requests, and what is done then.
#[derive(Clone, Copy)]
pub struct Retrying<'p> {
    /// The most it can do.
    pub full_per_s: f64,
    /// r ≥ 0.
    pub retries: f64,
    /// P: the share of so many arrivals per second that are not served.
    pub lost: &'p dyn Fn(f64) -> f64,
}

/// The loads, in requests per second without retries, between which the system has a good and a bad state.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Serialize)]
pub struct Metastable {
    /// From here on a burst can push it over, and it stays there.
    pub above_per_s: f64,
    /// From here on there is no good state.
    pub lost_per_s: f64,
}

impl Retrying<'_> {
    /// λ for which Λ is a fixed point where a share of `lost` is lost.
    fn requests_per_s(&self, arrivals_per_s: f64, lost: f64) -> f64 {
        arrivals_per_s / (1.0 + self.retries * lost)
    }

    /// P from which on λ only grows with Λ.
    fn folds_below(&self) -> f64 {
        (self.retries - 1.0) / (2.0 * self.retries)
    }

    /// All Λ that sustain themselves with λ requests per second, from the good one on: one, or three of which the middle one is unstable
    /// and marks how large a burst has to be.
    pub fn arrivals_per_s(&self, requests_per_s: f64) -> Vec<f64> {
        let look = |arrivals: f64| {
            let lost = (self.lost)(arrivals);
            (self.requests_per_s(arrivals, lost) >= requests_per_s, lost)
        };
        let over = |arrivals: f64| look(arrivals).0;
        let mut found = Vec::new();
        let most = requests_per_s * (1.0 + self.retries) * STEP;
        let mut low = requests_per_s / STEP;
        let (mut low_over, mut lost) = look(low);
        while low < most {
            let high = if lost >= self.folds_below() { most } else { low * STEP };
            let (high_over, high_lost) = look(high);
            if low_over != high_over {
                found.push(self.crossing((low, high), high_over, &over));
            }
            (low, low_over, lost) = (high, high_over, high_lost);
        }
        found
    }

    /// The most λ of which no more than Λ arrivals come in the good state: past a fold the bad one has more.
    pub fn requests_within_per_s(&self, arrivals_per_s: f64) -> f64 {
        let mut most = self.requests_per_s(arrivals_per_s, (self.lost)(arrivals_per_s));
        let mut arrivals = self.full_per_s / OVERLOAD_MAX;
        while arrivals < arrivals_per_s {
            let lost = (self.lost)(arrivals);
            if lost >= self.folds_below() {
                break;
            }
            most = most.max(self.requests_per_s(arrivals, lost));
            arrivals *= STEP;
        }
        most
    }

    fn crossing(&self, (mut low, mut high): (f64, f64), rises: bool, over: &impl Fn(f64) -> bool) -> f64 {
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
        let full_per_s = self.full_per_s;
        let (mut before, mut arrivals) = (0.0, full_per_s / OVERLOAD_MAX);
        let mut lost_per_s = None;
        while arrivals < full_per_s * OVERLOAD_MAX {
            let lost = (self.lost)(arrivals);
            if lost_per_s.is_none() && lost >= self.folds_below() {
                return None;
            }
            let requests = self.requests_per_s(arrivals, lost);
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

    use super::super::patience::timed_pool;

    /// Does something with a pool of 20 ms and a timeout of 100 ms.
    fn pool<T>(slots: usize, retries: f64, look: impl Fn(Retrying<'_>) -> T) -> T {
        let lost = |arrivals_per_s: f64| timed_pool(slots, arrivals_per_s, 0.02, 0.1).p_timeout;
        look(Retrying { full_per_s: slots as f64 / 0.02, retries, lost: &lost })
    }

    #[test]
    fn one_retry_never_folds() {
        for slots in [1, 10, 100, 1000] {
            for retries in [0.0, 0.5, 1.0] {
                assert_eq!(pool(slots, retries, |pool| pool.metastable()), None, "{slots} {retries}");
            }
            assert_eq!(pool(slots, 1.0, |pool| pool.arrivals_per_s(slots as f64 * 45.0)).len(), 1);
        }
    }

    /// A hundred retries: looked at no further than where the load can fold, and at each place once.
    #[test]
    fn many_retries_cost_no_more_than_the_range_in_which_they_fold() {
        let looks = std::cell::Cell::new(0);
        let lost = |arrivals_per_s: f64| {
            looks.set(looks.get() + 1);
            timed_pool(10, arrivals_per_s, 0.02, 0.1).p_timeout
        };
        let pool = Retrying { full_per_s: 500.0, retries: 100.0, lost: &lost };
        assert_eq!(pool.arrivals_per_s(300.0).len(), 3);
        assert!(looks.replace(0) < 1000);
        assert!(pool.metastable().is_some() && looks.replace(0) < 3000);
        assert_eq!(Retrying { retries: 1.0, ..pool }.metastable(), None);
        assert_eq!(looks.get(), 1);
    }

    /// Up to the fold those that are served are the requests; past it no more are asked for in the good state than at the fold.
    #[test]
    fn what_comes_in_the_good_state_ends_at_the_fold() {
        pool(100, 3.0, |pool| {
            let fold = pool.metastable().unwrap().lost_per_s;
            assert!((pool.requests_within_per_s(2000.0) / 2000.0 - 1.0).abs() < 1e-6);
            assert!((pool.requests_within_per_s(7000.0) / fold - 1.0).abs() < 1e-4);
            // Served are 5,000 of them.
            let bad = 40_000.0 / (1.0 + 3.0 * (1.0 - 5000.0 / 40_000.0));
            assert!((pool.requests_within_per_s(40_000.0) / bad - 1.0).abs() < 1e-3);
        });
    }

    /// In a large pool P(Λ) is nearly 1 − ν/Λ past its ceiling ν and 0 before, so λ = Λ²/(Λ(1 + r) − rν) there, least at
    /// Λ = 2rν/(1 + r), where it is 4rν/(1 + r)².
    #[test]
    fn three_retries_fold_where_the_fluid_limit_does() {
        let ceiling = 500_000.0;
        let states = |requests_per_s: f64| pool(10_000, 3.0, |pool| pool.arrivals_per_s(requests_per_s));
        let found = pool(10_000, 3.0, |pool| pool.metastable()).expect("a fold");
        assert!((found.above_per_s / (0.75 * ceiling) - 1.0).abs() < 1e-3, "{found:?}");
        assert!((0.97..1.0).contains(&(found.lost_per_s / ceiling)), "{found:?}");
        let between = states(0.9 * ceiling);
        assert_eq!(between.len(), 3, "{between:?}");
        for arrivals in between {
            let p_timeout = timed_pool(10_000, arrivals, 0.02, 0.1).p_timeout;
            assert!((0.9 * ceiling * (1.0 + 3.0 * p_timeout) / arrivals - 1.0).abs() < 1e-9);
        }
        assert_eq!(states(0.7 * ceiling).len(), 1);
        let lost = states(1.1 * ceiling);
        assert!(lost.len() == 1 && lost[0] > 2.0 * ceiling, "{lost:?}");
    }
}
