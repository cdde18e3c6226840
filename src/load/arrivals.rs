//! Arrival instants of the open model: the k-th arrival's offset is the inverse of the area under the rate curve.

use super::curve::{AREA_TOLERANCE, Curve};
use super::share::Share;
use crate::seed::{Purpose, Stream, stream};
use rand::RngExt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Arrival k, from 0, at the instant at which the area under the curve passes k: exactly k/r under a constant rate r.
    Uniform,
    /// Unit-rate exponential gaps, seeded, mapped through the same inverse.
    Poisson,
}

/// One arrival: its number among all arrivals of the part, whoever sends it, and its intended start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub index: u64,
    /// From the start of the part.
    pub at_ns: u64,
}

/// A share's arrivals in order, one at a time, without allocating. An arrival is there once the curve reaches past it: after `None`,
/// append to the curve and ask again.
///
/// Every share of a Poisson schedule walks the gaps of all of them, so that each arrival has the same instant whatever the number of
/// shares. A gap costs about 10 ns: at 100,000 arrivals a second, a thousandth of a core per share.
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    share: Share,
    gaps: Stream,
    /// The next arrival of this share, and the area under the curve at which it happens.
    index: u64,
    area: f64,
    /// Segment of the curve in which the search for it starts.
    segment: usize,
}

impl Schedule {
    /// `part` is the index of the load part in the plan.
    pub fn new(arrivals: Arrivals, seed: u64, part: u64, share: Share) -> Self {
        let gaps = stream(seed, Purpose::Arrivals, part, 0);
        let mut schedule = Self { arrivals, share, gaps, index: 0, area: 0.0, segment: 0 };
        if arrivals == Arrivals::Poisson {
            schedule.area = schedule.gap();
        }
        schedule.advance(share.index());
        schedule
    }

    /// The next arrival of this share; `None` while the curve ends before it.
    pub fn next(&mut self, curve: &Curve) -> Option<Arrival> {
        let arrival = self.peek(curve)?;
        self.advance(self.share.count());
        Some(arrival)
    }

    /// What [`Schedule::next`] would return.
    pub fn peek(&mut self, curve: &Curve) -> Option<Arrival> {
        let at_ns = curve.time_past_area(self.area, &mut self.segment)?;
        Some(Arrival { index: self.index, at_ns })
    }

    /// How many arrivals of this share, from here on, are due before `until_ns` under the curve as it is: the number of times
    /// [`Schedule::next`] returns one. Uniform arrivals are counted by area, Poisson arrivals by walking them.
    pub fn planned(&self, curve: &Curve, until_ns: u64) -> u64 {
        let mut cursor = self.clone();
        let mut count = 0;
        if self.arrivals == Arrivals::Uniform {
            // Counting whole numbers below the area is right up to the rounding of instants to nanoseconds: the steps below settle that.
            let below = (curve.area_to(until_ns) - AREA_TOLERANCE).ceil().max(0.0) as u64;
            let sure = self.share.users_of(below).saturating_sub(self.share.users_of(self.index));
            count = sure.saturating_sub(2);
            cursor.index += count * u64::from(self.share.count());
            cursor.area = cursor.index as f64;
        }
        while cursor.next(curve).is_some_and(|arrival| arrival.at_ns < until_ns) {
            count += 1;
        }
        count
    }

    fn advance(&mut self, by: u32) {
        self.index += u64::from(by);
        match self.arrivals {
            Arrivals::Uniform => self.area = self.index as f64,
            Arrivals::Poisson => {
                for _ in 0..by {
                    self.area += self.gap();
                }
            }
        }
    }

    /// An exponential of mean 1 by inversion; 1 − u lies in (0, 1], so the logarithm is finite.
    fn gap(&mut self) -> f64 {
        -(1.0 - self.gaps.random::<f64>()).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::NANOS_PER_S as S;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    fn all(arrivals: Arrivals, share: Share, curve: &Curve) -> Vec<Arrival> {
        let mut schedule = Schedule::new(arrivals, 7, 2, share);
        std::iter::from_fn(|| schedule.next(curve)).collect()
    }

    #[test]
    fn a_constant_rate_is_exact() {
        for rate in [1.0, 3.0, 7.0, 1000.0, 48_000.0] {
            let curve = Curve::new(rate).hold(10 * S);
            let instants = all(Arrivals::Uniform, Share::WHOLE, &curve);
            assert_eq!(
                instants.len(),
                10 * rate as usize,
                "none at the very end, which is the start of what follows"
            );
            for arrival in instants {
                let exact_ns = arrival.index as f64 * 1e9 / rate;
                assert_eq!(arrival.at_ns, (exact_ns - 1e-3).ceil() as u64);
            }
        }
    }

    #[test]
    fn nothing_arrives_at_rate_zero() {
        let curve = Curve::new(0.0)
            .hold(5 * S)
            .ramp_to(2.0, 0)
            .hold(S)
            .ramp_to(0.0, 0)
            .hold(5 * S)
            .ramp_to(1.0, 0)
            .hold(2 * S);
        let instants: Vec<_> = all(Arrivals::Uniform, Share::WHOLE, &curve).iter().map(|a| a.at_ns).collect();
        assert_eq!(instants, [5 * S, 5 * S + S / 2, 11 * S, 12 * S]);
    }

    #[test]
    fn a_ramp_crowds_arrivals_towards_its_high_end() {
        let curve = Curve::new(0.0).ramp_to(200.0, 2 * S);
        let instants = all(Arrivals::Uniform, Share::WHOLE, &curve);
        assert_eq!(instants.len(), 200);
        // Area 50·t² reaches 50 after one second.
        assert_eq!((instants[50].at_ns, instants[0].at_ns), (S, 0));
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        let curve = Curve::new(1000.0).hold(200 * S);
        let instants = all(Arrivals::Poisson, Share::WHOLE, &curve);
        let n = instants.len() as f64;
        assert!((n - 200_000.0).abs() < 4.0 * 200_000_f64.sqrt());
        let gaps: Vec<f64> = instants.windows(2).map(|w| (w[1].at_ns - w[0].at_ns) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let long = gaps.iter().filter(|&&g| g > 3.0).count() as f64 / gaps.len() as f64;
        assert!(
            (mean - 1.0).abs() < 0.01 && (variance - 1.0).abs() < 0.03,
            "mean {mean}, variance {variance}"
        );
        assert!((long - (-3.0_f64).exp()).abs() < 0.003);
    }

    #[test]
    fn a_schedule_goes_on_where_the_curve_is_appended() {
        let whole = Curve::new(50.0).hold(3 * S).ramp_to(80.0, S).hold(2 * S);
        for arrivals in [Arrivals::Uniform, Arrivals::Poisson] {
            let mut curve = Curve::new(50.0);
            let mut schedule = Schedule::new(arrivals, 7, 2, Share::WHOLE);
            let mut seen = Vec::new();
            assert_eq!(schedule.next(&curve), None);
            for step in 0..6 {
                if step == 3 {
                    curve.append_ramp(80.0, S)
                } else {
                    curve.append_hold(S)
                }
                seen.extend(std::iter::from_fn(|| schedule.next(&curve)));
            }
            let planned = all(arrivals, Share::WHOLE, &whole);
            assert_eq!(seen.len(), planned.len());
            assert!(
                seen.iter().zip(&planned).all(|(a, b)| a.index == b.index && a.at_ns.abs_diff(b.at_ns) <= 1)
            );
        }
    }

    proptest! {
        #[test]
        fn shares_together_are_the_whole(
            stages in prop::collection::vec((0_u32..400, 0_u64..4 * S), 1..6), count in 1_u32..10, poisson in any::<bool>(), cut in 0.0..1.2_f64,
        ) {
            let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Uniform };
            let curve = stages.iter().fold(Curve::new(0.0), |c, &(value, ns)| c.ramp_to(f64::from(value), ns));
            let until_ns = (curve.end_ns() as f64 * cut) as u64;
            let whole = all(arrivals, Share::WHOLE, &curve);
            prop_assert!(whole.windows(2).all(|w| w[0].at_ns <= w[1].at_ns && w[0].index + 1 == w[1].index));
            prop_assert!(whole.last().is_none_or(|last| last.at_ns <= curve.end_ns()));
            let mut merged = Vec::new();
            for index in 0..count {
                let share = Share::new(index, count).unwrap();
                let own = all(arrivals, share, &curve);
                let due = own.iter().filter(|arrival| arrival.at_ns < until_ns).count() as u64;
                prop_assert_eq!(Schedule::new(arrivals, 7, 2, share).planned(&curve, until_ns), due);
                prop_assert!(own.iter().all(|arrival| share.owns(arrival.index)));
                merged.extend(own);
            }
            merged.sort_by_key(|arrival| arrival.index);
            prop_assert_eq!(merged, whole);
        }
    }
}
