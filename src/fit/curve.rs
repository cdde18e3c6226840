//! A demand that moves with the load: what is used of a resource as a curve over the load, in place of one demand for all loads. A cache that is warm under
//! load makes requests cheaper, collections that have more to look through make them dearer.
//!
//! Symbols: x load, requests per second; u(x) servers busy; b use without any request; D(x) = (u(x) − b)/x seconds of service a request.
//!
//! Between two loads that were measured use is a straight line, so that D goes monotonically from the one demand to the other. Past the highest use goes on
//! along the line through the upper half of the loads: what was measured last is what is known best of what comes next. How much it may bend there is not
//! known but from how much it bent before.
//!
//! What is used without any request cannot be told from a demand that is higher under little load, where no reading is of none: so a change of the demand is that
//! of a request more, du/dx.
//!
//! Source: Kattepur and Nambiar, "Performance modeling of multi-tiered web applications with varying service demands", IPDPS workshops 2015 (MVASD: demands
//! interpolated over the load in place of constants). Means of neighbors that make uses rise: Barlow, Bartholomew, Bremner and Brunk, "Statistical Inference
//! under Order Restrictions", 1972.

use super::demand::MOVED_MIN;
use super::line::{Line, any_line, line};
use super::parabola::Parabola;

/// Loads without which one curve is as good as another.
const LOADS_MIN: usize = 4;
/// Loads that a curve is kept of.
const KNOTS_MAX: usize = 8;
/// Standard error of the load at which so much is used, for each e-fold of load past the highest, as a part of the bend between the halves: theirs are about
/// an e-fold apart, so a bend that goes on brings the load off by about this part of it.
const BENDS_ON: f64 = 0.5;

/// Use over the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// b: use without any request, by the lower half of the loads.
    pub background: f64,
    /// (x, u), loads and uses both rising.
    knots: Vec<(f64, f64)>,
    /// Through the upper half of the loads.
    beyond: Line,
    /// What a request more takes over the upper half of the loads, over what it takes over the lower: the ratio of the slopes.
    pub moved: f64,
}

impl Curve {
    /// The curve through (x, u) at some loads, where a demand fitted to the lower half of them differs from that of the upper half by more than 15 %, and the
    /// bend of a parabola through them from none by more than its interval of 95 %. `None` where one demand does for all of them.
    pub fn where_it_moves(points: &[(f64, f64)]) -> Option<Self> {
        let mut points = points.to_vec();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        // By load and not by number: a search has most of its levels near the knee.
        let half = points.last()?.0 / 2.0;
        let (lower, upper) = points.split_at(points.partition_point(|(load, _)| *load <= half));
        let below = line(lower)?;
        let far = (demand_s(upper, below.intercept) / below.slope).ln().abs();
        Self::through(lower, upper, (below.intercept, below.slope))
            .filter(|_| far >= (1.0 + MOVED_MIN).ln())
            .filter(|_| Parabola::through(&points).is_some_and(|parabola| parabola.bends()))
    }

    /// The curve through (x, u) at the loads of the lower and the upper half, given background and demand of the lower. `None` for fewer than four loads, where
    /// use does not rise over both halves of them, and where it rises nowhere from load to load.
    pub fn through(
        lower: &[(f64, f64)],
        upper: &[(f64, f64)],
        (background, slope): (f64, f64),
    ) -> Option<Self> {
        let mut points = [lower, upper].concat();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let beyond = any_line(upper).filter(|beyond| beyond.slope > 0.0)?;
        let idle = std::iter::once((0.0, background.min(points[0].1)));
        let knots = rising(&idle.chain(together(&points)).collect::<Vec<_>>());
        (slope > 0.0 && points.len() >= LOADS_MIN && knots.len() > 1).then(|| Self {
            background,
            knots,
            beyond,
            moved: beyond.slope / slope,
        })
    }

    /// u(x).
    pub fn used_at(&self, load: f64) -> f64 {
        let (last_load, last_used) = self.last();
        if load > last_load {
            return (self.beyond.intercept + self.beyond.slope * load).max(last_used);
        }
        let place = self.knots.partition_point(|knot| knot.0 < load).clamp(1, self.knots.len() - 1);
        let [(x0, u0), (x1, u1)] = [self.knots[place - 1], self.knots[place]];
        u0 + (u1 - u0) * (load - x0) / (x1 - x0)
    }

    /// The least load under which so much is used.
    pub fn load_at(&self, used: f64) -> f64 {
        let (last_load, last_used) = self.last();
        if used > last_used {
            return ((used - self.beyond.intercept) / self.beyond.slope).max(last_load);
        }
        let place = self.knots.partition_point(|knot| knot.1 < used).clamp(1, self.knots.len() - 1);
        let [(x0, u0), (x1, u1)] = [self.knots[place - 1], self.knots[place]];
        if u1 > u0 { (x0 + (x1 - x0) * (used - u0) / (u1 - u0)).max(x0) } else { x0 }
    }

    /// The curve of so many times the demand.
    pub fn times(&self, factor: f64) -> Self {
        let used = |used: f64| self.background + factor * (used - self.background);
        let Line { intercept, slope, slope_error } = self.beyond;
        Self {
            knots: self.knots.iter().map(|knot| (knot.0, used(knot.1))).collect(),
            beyond: Line {
                intercept: used(intercept),
                slope: slope * factor,
                slope_error: slope_error * factor,
            },
            ..self.clone()
        }
    }

    /// The loads of the curve with the demand of a request under each: (x, D(x)).
    pub fn demands(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.knots.iter().skip(1).map(|(load, used)| (*load, ((used - self.background) / load).max(0.0)))
    }

    /// Standard error, as a share, of the load at which so much is used: none within the loads that were measured; past them as far as the upper half
    /// scatters, and as use may go on bending.
    pub fn error_at(&self, used: f64) -> f64 {
        let past = (self.load_at(used) / self.last().0).max(1.0);
        let scatters = (1.0 - 1.0 / past) * self.beyond.slope_error / self.beyond.slope;
        scatters + BENDS_ON * self.moved.ln().abs() * past.ln()
    }

    /// Whether so much is used only past the highest load that was measured.
    pub fn is_past(&self, used: f64) -> bool {
        used > self.last().1
    }

    fn last(&self) -> (f64, f64) {
        self.knots[self.knots.len() - 1]
    }
}

/// Σx(u − b)/Σx²: the demand of some points, given the background.
fn demand_s(points: &[(f64, f64)], background: f64) -> f64 {
    let with: f64 = points.iter().map(|(x, u)| x * (u - background)).sum();
    with / points.iter().map(|(x, _)| x * x).sum::<f64>()
}

/// At most as many points as a curve is kept of: where there are more, the means of those in equal parts of the loads.
fn together(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= KNOTS_MAX {
        return points.to_vec();
    }
    let most = points[points.len() - 1].0;
    let part = |load: f64| (load / most * KNOTS_MAX as f64).ceil();
    let mean = |some: &[(f64, f64)]| {
        let n = some.len() as f64;
        (some.iter().map(|point| point.0).sum::<f64>() / n, some.iter().map(|point| point.1).sum::<f64>() / n)
    };
    points.chunk_by(|a, b| part(a.0) == part(b.0)).map(mean).collect()
}

/// Points in order of load with uses that never fall: neighbors that do are put together (the pool-adjacent-violators algorithm).
fn rising(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    // (loads, uses, how many).
    let mut blocks: Vec<(f64, f64, f64)> = Vec::new();
    for &(x, u) in points {
        let mut block = (x, u, 1.0);
        while let Some(&(xs, us, n)) = blocks.last() {
            let mean = |sum: f64, n: f64| sum / n;
            if mean(us, n) <= mean(block.1, block.2) && mean(xs, n) < mean(block.0, block.2) {
                break;
            }
            blocks.pop();
            block = (block.0 + xs, block.1 + us, block.2 + n);
        }
        blocks.push(block);
    }
    blocks.into_iter().map(|(xs, us, n)| (xs / n, us / n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, stream};
    use rand_distr::{Distribution as _, StandardNormal};

    const LOADS: [f64; 6] = [80.0, 160.0, 240.0, 320.0, 400.0, 480.0];

    fn points(used: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        LOADS.map(|x| (x, used(x))).into()
    }

    /// D = 1 ms + 1.5 µs for each request a second: dearer by half at 333.
    #[test]
    fn a_demand_that_rises_is_followed_past_the_loads() {
        let truth = |x: f64| x * (1e-3 + 1.5e-6 * x);
        let curve = Curve::where_it_moves(&points(truth)).unwrap();
        for load in [80.0, 200.0, 333.0, 480.0] {
            assert!((curve.used_at(load) / truth(load) - 1.0).abs() < 0.02, "{load}");
            assert!((curve.load_at(curve.used_at(load)) / load - 1.0).abs() < 1e-9, "{load}");
        }
        let further = curve.load_at(truth(576.0));
        assert!((further / 576.0 - 1.0).abs() < 0.04 && curve.is_past(truth(576.0)), "{further}");
        let constant = line(&points(truth)).unwrap();
        let off = (truth(576.0) - constant.intercept) / constant.slope / 576.0;
        assert!(off > 1.06, "{off}");
        let demands: Vec<(f64, f64)> = curve.demands().collect();
        assert!(demands.windows(2).all(|two| two[0].1 <= two[1].1) && demands.len() == 6, "{demands:?}");
    }

    #[test]
    fn one_demand_stays_one() {
        assert_eq!(Curve::where_it_moves(&points(|x| 0.05 + 1e-3 * x)), None);
        // 2 % of noise.
        let noise = [1.02, 0.98, 1.02, 0.98, 1.02, 0.98];
        let noisy: Vec<(f64, f64)> = LOADS.iter().zip(noise).map(|(x, off)| (*x, 1e-3 * x * off)).collect();
        assert_eq!(Curve::where_it_moves(&noisy), None);
        // Dearer by a tenth: no more than may be.
        assert_eq!(Curve::where_it_moves(&points(|x| x * (1e-3 + 2e-7 * x))), None);
        assert_eq!(Curve::where_it_moves(&points(|x| x * (1e-3 + 1e-5 * x))[..3]), None);
    }

    /// What bends may as well be one reading that is off.
    #[test]
    fn scatter_is_no_bend() {
        let mut scattered = points(|x| 1e-3 * x);
        scattered[4].1 *= 1.4;
        scattered[5].1 *= 0.9;
        assert_eq!(Curve::where_it_moves(&scattered), None);
    }

    /// Readings that scatter by 3 %: of one demand a curve is made in hardly any of a thousand searches, and where it doubles over the loads in most.
    #[test]
    fn chance_makes_hardly_a_curve() {
        let moves = |id: u64, used: &dyn Fn(f64) -> f64| {
            let mut random = stream(47, Purpose::Bootstrap, 0, id);
            let scatter = points(used).into_iter().map(|(x, u)| {
                let off: f64 = StandardNormal.sample(&mut random);
                (x, u * (1.0 + 0.03 * off))
            });
            Curve::where_it_moves(&scatter.collect::<Vec<_>>()).is_some()
        };
        let of_thousand = |used: &dyn Fn(f64) -> f64| (0..1000).filter(|id| moves(*id, used)).count();
        let (one, doubled) = (of_thousand(&|x| 1e-3 * x), of_thousand(&|x| x * (1e-3 + 2e-6 * x)));
        assert!(one <= 5 && doubled >= 850, "{one} and {doubled} of 1,000");
    }

    #[test]
    fn uses_never_fall_over_the_load() {
        assert_eq!(
            rising(&[(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 4.0)]),
            [(1.0, 1.0), (2.5, 2.5), (4.0, 4.0)]
        );
        let curve =
            Curve::where_it_moves(&points(|x| if x < 300.0 { 0.27 + x * 1e-4 } else { x * 1e-3 })).unwrap();
        assert!((curve.load_at(0.9) - 900.0).abs() < 1.0);
        assert!((0..100).all(|k| curve.used_at(f64::from(k) * 6.0) <= curve.used_at(f64::from(k + 1) * 6.0)));
        // Nothing is made of a lower half in which use falls, nor of readings that are all put together.
        assert_eq!(
            Curve::where_it_moves(&points(|x| if x < 300.0 { 0.4 - x * 1e-4 } else { x * 1e-3 })),
            None
        );
        let falling = [(79.0, 2.956), (101.0, 1.639), (111.0, 1.393), (431.0, 2.012), (437.0, 2.144)];
        assert_eq!(Curve::through(&falling[..3], &falling[3..], (3.0, 1e-9)), None);
    }

    /// Six times as dear under little load as under much: where no reading is of none, what a request more takes is what can be told. That rises, after the cache
    /// is warm, to all of a request; use at rest is not known, and the wall does not need it.
    #[test]
    fn a_demand_that_falls_moves_by_what_a_request_more_takes() {
        let truth = |x: f64| x * 1e-3 * (1.0 + 5.0 * (-x / 48.0).exp());
        let slope = |from: f64, to: f64| (truth(to) - truth(from)) / (to - from);
        let curve = Curve::where_it_moves(&points(truth)).unwrap();
        let told = slope(320.0, 480.0) / slope(80.0, 240.0);
        assert!((curve.moved / told - 1.0).abs() < 0.05, "{} for {told}", curve.moved);
        assert!((curve.load_at(0.96) / 960.0 - 1.0).abs() < 0.02, "{curve:?}");
    }

    /// Many near the knee are one, however many: equal parts of the loads have a point each.
    #[test]
    fn what_is_put_together_lies_in_equal_parts_of_the_loads() {
        let mut loads = LOADS.to_vec();
        loads.extend((0..20).map(|k| 470.0 + f64::from(k)));
        loads.sort_by(f64::total_cmp);
        let all: Vec<(f64, f64)> = loads.into_iter().map(|x| (x, x * 1e-3)).collect();
        let kept = together(&all);
        assert_eq!(kept.iter().filter(|(load, _)| *load < 450.0).count(), 5, "{kept:?}");
        assert!(kept.len() <= KNOTS_MAX);
    }

    /// Readings that scatter by half a percent, of a demand that rises by 0.6 of itself over them or falls to a third, filling so many times what was used: 95 %
    /// of the normal distribution around the load holds the true one in nearly all.
    #[test]
    fn the_error_past_the_loads_holds_what_bends_on() {
        let rises = |x: f64| x * 1e-3 * (1.0 + 0.6 * x / 480.0);
        let falls = |x: f64| x * 1e-3 * (1.0 + 5.0 * (-x / 48.0).exp());
        let steeply = |x: f64| x * 1e-3 * (1.0 + 1.5 * (x / 480.0).powi(2));
        let truths: [&dyn Fn(f64) -> f64; 3] = [&rises, &falls, &steeply];
        for (truth, factor) in truths.iter().flat_map(|truth| [1.3, 2.0, 4.0].map(|factor| (truth, factor))) {
            let limit = factor * truth(480.0);
            let full = (480..8000).map(f64::from).find(|x| truth(*x) >= limit).unwrap();
            let holds = |id: u64| {
                let mut random = stream(53, Purpose::Bootstrap, 0, id);
                let scatter = (1..=8).map(|k| f64::from(k) * 60.0).map(|x| {
                    let off: f64 = StandardNormal.sample(&mut random);
                    (x, truth(x) * (1.0 + 0.005 * off))
                });
                let curve = Curve::where_it_moves(&scatter.collect::<Vec<_>>()).unwrap();
                (curve.load_at(limit) / full).ln().abs() <= 1.96 * curve.error_at(limit)
            };
            let held = (0..60).filter(|id| holds(*id)).count();
            assert!(held >= 54, "{factor}: {held} of 60");
        }
    }
}
