//! The law fitted to points: coefficients, their errors and intervals.

use super::descent::{HIGHEST, best};
use super::interval::{covariance, profile};
use super::{Law, Point};
use crate::fit::student::t_quantile;
use schemars::JsonSchema;
use serde::Serialize;

/// Three coefficients, and one degree of freedom to tell how well they fit.
const POINTS_MIN: usize = 4;
const LOADS_MIN: usize = 3;
/// With fewer different loads than this the coefficients hang on single points.
pub const LOADS_FEW: usize = 6;

/// A coefficient as far as the points tell it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Estimate {
    pub value: f64,
    /// Standard error; `null` at a bound, where there is none.
    pub se: Option<f64>,
    /// Confidence interval of 95 %. One of Wald may reach below 0, which the coefficient cannot.
    pub ci95: [f64; 2],
}

/// Where the intervals come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntervalKind {
    /// value ± t(0.975, n − 3)·se.
    Wald,
    /// Profile likelihood, for all three coefficients, because one of them is at a bound.
    Profile,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    pub alpha: Estimate,
    pub beta: Estimate,
    pub gamma: Estimate,
    pub interval_kind: IntervalKind,
    /// Intervals of 95 % of the load of most throughput and of that throughput; `None` where a coefficient is at a bound.
    pub peak_n_ci95: Option<[f64; 2]>,
    pub peak_x_ci95: Option<[f64; 2]>,
    /// Residual standard error √(SSE/(n − 3)), in the unit of throughput.
    pub rse: f64,
    /// SSE: Σ(x − X(n))².
    pub squares: f64,
    /// Coefficients at a bound, which take no part in the fit.
    pub at_bound: usize,
    /// Different loads, and the smallest and the largest of them.
    pub loads: usize,
    pub n_min: f64,
    pub n_max: f64,
}

impl Fitted {
    pub fn law(&self) -> Law {
        Law { alpha: self.alpha.value, beta: self.beta.value, gamma: self.gamma.value }
    }
}

/// Why points cannot be fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error(
        "{points} points at {loads} different loads are too few: three coefficients need {POINTS_MIN} points at {LOADS_MIN} loads at least, and {LOADS_FEW} loads to be worth much"
    )]
    TooFew { points: usize, loads: usize },
    #[error("throughput is 0 at every load: there is nothing to fit")]
    NoThroughput,
}

/// Unweighted least squares on X, within α, β in 0..1 and γ ≥ 0.
///
/// # Errors
/// [`Unfit`].
pub fn fit(points: &[Point]) -> Result<Fitted, Unfit> {
    let mut loads: Vec<f64> = points.iter().map(|point| point.n).collect();
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    if points.len() < POINTS_MIN || loads.len() < LOADS_MIN {
        return Err(Unfit::TooFew { points: points.len(), loads: loads.len() });
    }
    let scale = points.iter().map(|point| point.x).fold(0.0, f64::max);
    if scale <= 0.0 {
        return Err(Unfit::NoThroughput);
    }
    // In units of the most throughput, so that nothing depends on the unit it was measured in.
    let scaled: Vec<Point> = points.iter().map(|point| Point { n: point.n, x: point.x / scale }).collect();
    let found = best(&scaled);
    let at_bound = [0, 1, 2].map(|i| found.at[i] <= 0.0 || found.at[i] >= HIGHEST[i]);
    let free = points.len() as f64 - 3.0;
    let variance = found.squares / free;
    let covariance = covariance(&scaled, found.at, at_bound, variance);
    let errors = [0, 1, 2].map(|i| {
        let covariance = covariance.as_ref().filter(|_| !at_bound[i])?;
        Some(covariance[i][i].sqrt())
    });
    let t = t_quantile(0.975, free);
    let wald = !at_bound.contains(&true) && errors.iter().all(Option::is_some);
    let interval = |which: usize| match errors[which] {
        Some(error) if wald => [found.at[which] - t * error, found.at[which] + t * error],
        _ => profile(&scaled, found, which, found.squares + t * t * variance),
    };
    let law = Law { alpha: found.at[0], beta: found.at[1], gamma: found.at[2] };
    let peak = covariance.filter(|_| wald).and_then(|covariance| peak_intervals(law, &covariance, t));
    let estimate = |which: usize| {
        let unit: f64 = if which == 2 { scale } else { 1.0 };
        Estimate {
            value: found.at[which] * unit,
            se: errors[which].map(|error| error * unit),
            ci95: interval(which).map(|end| end * unit),
        }
    };
    Ok(Fitted {
        alpha: estimate(0),
        beta: estimate(1),
        gamma: estimate(2),
        interval_kind: if wald { IntervalKind::Wald } else { IntervalKind::Profile },
        peak_n_ci95: peak.map(|[n, _]| n).filter(ends_somewhere),
        peak_x_ci95: peak.map(|[_, x]| x.map(|end| end * scale)).filter(ends_somewhere),
        rse: variance.sqrt() * scale,
        squares: found.squares * scale * scale,
        at_bound: at_bound.iter().filter(|&&at| at).count(),
        loads: loads.len(),
        n_min: loads[0],
        n_max: loads[loads.len() - 1],
    })
}

/// Four points may say so little of where the peak is that its interval is all there is.
fn ends_somewhere(interval: &[f64; 2]) -> bool {
    interval[0] > 0.0 && interval[1].is_finite()
}

/// Intervals of the place and of the height of the peak by the delta method on their logarithms, which keeps them above 0:
/// ∂ln N*/∂α = −1/(2(1 − α)), ∂ln N*/∂β = −1/(2β); and since X does not change with N at the peak, ∂X*/∂θ is the gradient of the law there.
fn peak_intervals(law: Law, covariance: &[[f64; 3]; 3], t: f64) -> Option<[[f64; 2]; 2]> {
    let n = law.peak_n().filter(|n| *n > 1.0)?;
    let x = law.throughput(n);
    let interval = |value: f64, slope: [f64; 3]| {
        let sum = |i: usize| (0..3).map(|j| slope[i] * covariance[i][j] * slope[j]).sum::<f64>();
        let factor = (t * (0..3).map(sum).sum::<f64>().max(0.0).sqrt()).exp();
        [value / factor, value * factor]
    };
    let of_n = [-0.5 / (1.0 - law.alpha), -0.5 / law.beta, 0.0];
    Some([interval(n, of_n), interval(x, law.gradient(n).map(|slope| slope / x))])
}

#[cfg(test)]
mod tests;
