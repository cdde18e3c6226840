//! A demand that moves with the load: what is used of a resource as a curve over the load, in place of one demand for all loads. A cache that is warm under
//! load makes requests cheaper, collections that have more to look through make them dearer.
//!
//! Symbols: x load, requests per second; u(x) servers busy; b use without any request; D(x) = (u(x) − b)/x seconds of service a request.
//!
//! Between two loads that were measured use is a straight line, so that D goes monotonically from the one demand to the other. Past the highest use goes on
//! along the line through the upper half of the loads: what was measured last is what is known best of what comes next.
//!
//! Source: Kattepur and Nambiar, "Performance modeling of multi-tiered web applications with varying service demands", IPDPS workshops 2015 (MVASD: demands
//! interpolated over the load in place of constants). Means of neighbors that make uses rise: Barlow, Bartholomew, Bremner and Brunk, "Statistical Inference
//! under Order Restrictions", 1972.

use super::demand::MOVED_MIN;
use super::line::{Line, any_line, line};
use super::matrix::inverse;
use super::student::t_quantile;

/// Loads without which one curve is as good as another.
const LOADS_MIN: usize = 4;
/// Loads that a curve is kept of.
const KNOTS_MAX: usize = 8;
/// By how much the trend of the upper half may change past it.
const TREND_ERROR: f64 = 0.1;
/// Where a request more took next to nothing of it, the demand is said to have moved by this factor.
const MOVED_MAX: f64 = 1e3;

/// Use over the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// b: use without any request, by the lower half of the loads.
    pub background: f64,
    /// (x, u), loads and uses both rising.
    knots: Vec<(f64, f64)>,
    /// Through the upper half of the loads.
    beyond: Line,
    /// Demand of the upper half over that of the lower, up to a thousand.
    pub moved: f64,
}

impl Curve {
    /// The curve through (x, u) at some loads, where a demand fitted to the lower half of them differs from that of the upper half by more than 15 %, and the
    /// bend of a parabola through them from none by more than its interval of 95 %. `None` where one demand does for all of them.
    pub fn where_it_moves(points: &[(f64, f64)]) -> Option<Self> {
        Self::through(points)
            .filter(|curve| curve.moved.ln().abs() >= (1.0 + MOVED_MIN).ln() && bends(points))
    }

    /// The curve through (x, u); `None` for fewer than four loads, or two in one half, and where use does not rise over the upper half of them.
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let mut points = points.to_vec();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if points.len() < LOADS_MIN {
            return None;
        }
        // By load and not by number: a search has most of its levels near the knee.
        let half = points.last()?.0 / 2.0;
        let (lower, upper) = points.split_at(points.partition_point(|(load, _)| *load <= half));
        let below = line(lower)?;
        let beyond = any_line(upper).filter(|beyond| beyond.slope > 0.0)?;
        let upper_s = beyond_background(upper, below.intercept);
        let moved = upper_s / below.slope.max(upper_s / MOVED_MAX);
        let idle = std::iter::once((0.0, below.intercept.min(lower[0].1)));
        let knots = rising(&idle.chain(together(&points)).collect::<Vec<_>>());
        Some(Self { background: below.intercept, knots, beyond, moved })
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

    /// By how much, as a share, the load may be off at which so much is used: nothing within the loads that were measured; past them as far as the upper
    /// half scatters, and as the demand may go on moving.
    pub fn error_at(&self, used: f64) -> f64 {
        let load = self.load_at(used);
        let past = ((load - self.last().0) / load).max(0.0);
        past * (self.beyond.slope_error / self.beyond.slope + TREND_ERROR)
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
fn beyond_background(points: &[(f64, f64)], background: f64) -> f64 {
    let with: f64 = points.iter().map(|(x, u)| x * (u - background)).sum();
    with / points.iter().map(|(x, _)| x * x).sum::<f64>()
}

/// At most as many points as a curve is kept of: means of as many neighbors each.
fn together(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(KNOTS_MAX);
    let mean = |some: &[(f64, f64)]| {
        let n = some.len() as f64;
        (some.iter().map(|point| point.0).sum::<f64>() / n, some.iter().map(|point| point.1).sum::<f64>() / n)
    };
    points.chunks(each).map(mean).collect()
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

/// Whether the parabola u = b + Dx + cx² through the points has a c that chance does not make: Student's t on n − 3 degrees of freedom.
fn bends(points: &[(f64, f64)]) -> bool {
    let most = points.iter().map(|point| point.0).fold(f64::MIN_POSITIVE, f64::max);
    let rows: Vec<[f64; 3]> = points.iter().map(|(x, _)| [1.0, x / most, (x / most).powi(2)]).collect();
    let sum = |of: &dyn Fn(usize) -> f64| (0..points.len()).map(of).sum::<f64>();
    let gram: Vec<Vec<f64>> =
        (0..3).map(|a| (0..3).map(|b| sum(&|row| rows[row][a] * rows[row][b])).collect()).collect();
    let Some(inverse) = inverse(&gram) else { return false };
    let right: Vec<f64> = (0..3).map(|a| sum(&|row| rows[row][a] * points[row].1)).collect();
    let found: Vec<f64> =
        inverse.iter().map(|row| row.iter().zip(&right).map(|(a, b)| a * b).sum()).collect();
    let free = points.len() as f64 - 3.0;
    let at = |row: usize| rows[row].iter().zip(&found).map(|(a, b)| a * b).sum::<f64>();
    let squares = sum(&|row| (points[row].1 - at(row)).powi(2));
    let error = (squares / free * inverse[2][2]).sqrt();
    free > 0.0 && found[2].abs() > t_quantile(0.975, free) * error
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
        assert_eq!(Curve::through(&points(|x| 0.05 + 1e-3 * x)[..3]), None);
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
        let curve = Curve::through(&points(|x| if x < 300.0 { 0.3 } else { x * 1e-3 })).unwrap();
        assert!((curve.load_at(0.9) - 900.0).abs() < 1.0);
        assert!((0..100).all(|k| curve.used_at(f64::from(k) * 6.0) <= curve.used_at(f64::from(k + 1) * 6.0)));
    }
}
