//! What the fitted law may be taken to say: whether there is a peak, and whether it is this law at all that the points follow.

use super::{Fitted, Point};
use crate::fit::evidence::INTERPOLATED_MAX;
use crate::fit::line::hinge;
use crate::fit::student::t_quantile;
use schemars::JsonSchema;
use serde::Serialize;

/// Different loads on the flat part without which it is no part.
const FLAT_LOADS_MIN: usize = 2;
/// Residuals below this share of the throughput are rounding, not misfit.
const ROUNDING: f64 = 1e-9;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Throughput tops out at a load within 1.25 × the largest that was measured.
    Peak,
    /// β is at 0: throughput never falls.
    NoPeak,
    /// The law would have a peak, but so far beyond the loads that they do not tell where.
    Unidentified,
    /// The points rise along a straight line and then stay level: a limit, not contention.
    HardLimit,
}

/// Where the criteria of two models differ by no more than this, both have substantial support (Burnham and Anderson, Model Selection and Multimodel
/// Inference, 2002, section 2.6): then the law, which is what was asked for, is not given up.
const AICC_TIE: f64 = 2.0;

/// Throughput that rises along a straight line and then stays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct HardLimit {
    /// The throughput that is not exceeded.
    pub x: f64,
    /// The load from which on it is reached.
    pub from_n: f64,
    /// Throughput that each further unit of load adds below it.
    pub per_n: f64,
}

impl HardLimit {
    /// The load that yields throughput `x`; `None` beyond the limit, and where the line comes to it below a load of nothing.
    pub fn load_for(&self, x: f64) -> Option<f64> {
        let n = self.from_n - (self.x - x) / self.per_n;
        (x <= self.x && n > 0.0).then_some(n)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub verdict: Verdict,
    /// Set where the verdict is [`Verdict::HardLimit`].
    pub hard_limit: Option<HardLimit>,
    /// Akaike's criterion, corrected for few points (Hurvich and Tsai 1989), of the law and of two segments; `None` where there are too few points for
    /// it, or no two segments.
    pub aicc_usl: Option<f64>,
    pub aicc_segments: Option<f64>,
}

/// Holds the law against two segments, and its peak against the loads.
pub fn shape(points: &[Point], fitted: &Fitted) -> Shape {
    let most = points.iter().map(|point| point.x).fold(0.0, f64::max);
    let aicc = |squares: f64, coefficients: usize| {
        let (n, k) = (points.len() as f64, coefficients as f64 + 1.0);
        // In units of the most throughput: the criterion differs by a constant in others.
        let squares = (squares / most / most).max(n * ROUNDING * ROUNDING);
        (n - k > 1.0).then(|| n * (squares / n).ln() + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0))
    };
    let segments = segments(points, most);
    let aicc_usl = aicc(fitted.squares, 3 - fitted.at_bound);
    // Slope, place of the bend, and limit.
    let aicc_segments = segments.and_then(|(_, squares)| aicc(squares, 3));
    let preferred = match (aicc_usl, aicc_segments) {
        (Some(usl), Some(segments)) => segments + AICC_TIE < usl,
        _ => false,
    };
    let hard_limit = segments.map(|(limit, _)| limit).filter(|limit| preferred && stays(points, limit, most));
    let verdict = match fitted.law().peak_n() {
        _ if hard_limit.is_some() => Verdict::HardLimit,
        None => Verdict::NoPeak,
        Some(n) if n > INTERPOLATED_MAX * fitted.n_max => Verdict::Unidentified,
        Some(_) => Verdict::Peak,
    };
    Shape { verdict, hard_limit, aicc_usl, aicc_segments }
}

/// Linear, then flat, with the squares it leaves: a hinge seen in a mirror. `None` where too few loads lie on the flat part.
fn segments(points: &[Point], most: f64) -> Option<(HardLimit, f64)> {
    let (limit, squares) = bend(points, most)?;
    let mut flat: Vec<f64> = points.iter().map(|point| point.n).filter(|n| *n >= limit.from_n).collect();
    flat.sort_by(f64::total_cmp);
    flat.dedup();
    (flat.len() >= FLAT_LOADS_MIN).then_some((limit, squares))
}

/// The same with any number of loads on the flat part.
fn bend(points: &[Point], most: f64) -> Option<(HardLimit, f64)> {
    // Twice the most keeps the mirrored limit positive, as the hinge wants its base.
    let mut mirrored: Vec<(f64, f64)> = points.iter().map(|point| (-point.n, 2.0 * most - point.x)).collect();
    mirrored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let found = hinge(&mirrored)?;
    let limit = HardLimit { x: 2.0 * most - found.base, from_n: -found.onset, per_n: found.slope };
    let squares = mirrored
        .iter()
        .map(|(x, y)| (y - found.base - found.slope * (x - found.onset).max(0.0)).powi(2))
        .sum();
    Some((limit, squares))
}

/// Whether the throughput from the limit on stays: the line through it does not fall, and the last load does not lie below what the others say; t-tests at
/// 1 % each, as what falls has a peak. The level part has few points of its own, so the error is that of all points but the last load's around
/// their own two segments, which a fall at the last load cannot widen.
fn stays(points: &[Point], limit: &HardLimit, most: f64) -> bool {
    let last_n = points.iter().map(|point| point.n).fold(0.0, f64::max);
    let before: Vec<Point> = points.iter().copied().filter(|point| point.n < last_n).collect();
    let free = before.len() as f64 - 3.0;
    // With too few points for an error nothing is told of a level.
    let Some((earlier, squares)) = bend(&before, most).filter(|_| free >= 1.0) else { return false };
    // Residuals of rounding alone are no error of measurement.
    let variance = (squares / free).max((ROUNDING * most).powi(2));
    let t = t_quantile(0.99, free);
    let mean = |points: &[Point]| points.iter().map(|point| point.x).sum::<f64>() / points.len() as f64;
    let last: Vec<Point> = points.iter().copied().filter(|point| point.n >= last_n).collect();
    let level: Vec<Point> = before.iter().copied().filter(|point| point.n >= earlier.from_n).collect();
    let expected = if level.is_empty() { earlier.x } else { mean(&level) };
    let error = (variance * (1.0 / last.len() as f64 + 1.0 / level.len().max(1) as f64)).sqrt();
    let flat: Vec<Point> = points.iter().copied().filter(|point| point.n >= limit.from_n).collect();
    let mean_n = flat.iter().map(|point| point.n).sum::<f64>() / flat.len() as f64;
    let spread: f64 = flat.iter().map(|point| (point.n - mean_n).powi(2)).sum();
    let slope = flat.iter().map(|point| (point.n - mean_n) * point.x).sum::<f64>() / spread;
    let falls = spread > 0.0 && slope + t * (variance / spread).sqrt() < 0.0;
    mean(&last) - expected + t * error >= 0.0 && !falls
}

#[cfg(test)]
mod tests;
