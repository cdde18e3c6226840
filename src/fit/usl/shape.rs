//! What the fitted law may be taken to say: whether there is a peak, and whether it is this law at all that the points follow.

use super::{Fitted, Point};
use crate::fit::evidence::INTERPOLATED_MAX;
use crate::fit::line::{hinge, line};
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
    let hard_limit =
        segments.map(|(limit, _)| limit).filter(|limit| preferred && stays(points, limit.from_n));
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
    // Twice the most keeps the mirrored limit positive, as the hinge wants its base.
    let mut mirrored: Vec<(f64, f64)> = points.iter().map(|point| (-point.n, 2.0 * most - point.x)).collect();
    mirrored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let found = hinge(&mirrored)?;
    let limit = HardLimit { x: 2.0 * most - found.base, from_n: -found.onset, per_n: found.slope };
    let squares = mirrored
        .iter()
        .map(|(x, y)| (y - found.base - found.slope * (x - found.onset).max(0.0)).powi(2))
        .sum();
    let mut flat: Vec<f64> = points.iter().map(|point| point.n).filter(|n| *n >= limit.from_n).collect();
    flat.sort_by(f64::total_cmp);
    flat.dedup();
    (flat.len() >= FLAT_LOADS_MIN).then_some((limit, squares))
}

/// Whether the throughput from `from_n` on stays: a line through it does not fall, by a t-test at 2.5 %. What falls has a peak.
fn stays(points: &[Point], from_n: f64) -> bool {
    let flat: Vec<(f64, f64)> =
        points.iter().filter(|point| point.n >= from_n).map(|point| (point.n, point.x)).collect();
    let free = flat.len() as f64 - 2.0;
    match line(&flat) {
        Some(fitted) if free >= 1.0 => fitted.slope + t_quantile(0.975, free) * fitted.slope_error >= 0.0,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
