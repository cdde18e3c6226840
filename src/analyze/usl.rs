//! What the Universal Scalability Law says of measured points, and how far that is to be believed: the document of `plimsoll fit usl`.

use crate::fit::evidence::{INTERPOLATED_MAX, evidence};
use crate::fit::usl::{self, Estimate, HardLimit, IntervalKind, LOADS_FEW, Misfit, Point, Unfit, Verdict};
use crate::record::summary::Warning;
use schemars::JsonSchema;
use serde::Serialize;

/// `plimsoll fit usl --json`. Throughput is in the unit of the data; n is whatever the data count as load.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Scaling {
    /// Contention, 0..1.
    pub alpha: Estimate,
    /// Coherency, 0..1.
    pub beta: Estimate,
    /// Throughput of a load of one.
    pub gamma: Estimate,
    /// √((1 − α)/β), the load of most throughput by the law; `null` where β is 0. To be believed only where the verdict is `peak`.
    pub peak_n: Option<f64>,
    /// Its interval of 95 %, by the delta method on its logarithm; `null` without a peak, and where a coefficient is at a bound.
    pub peak_n_ci95: Option<[f64; 2]>,
    /// Throughput there, with its interval.
    pub peak_x: Option<f64>,
    pub peak_x_ci95: Option<[f64; 2]>,
    pub verdict: Verdict,
    /// Residual standard error, √(SSE/(points − 3)).
    pub rse: f64,
    /// Share of the variance of throughput that the law explains; `null` where throughput is everywhere the same.
    pub r_squared: Option<f64>,
    /// `measured` where the peak lies within the loads, `interpolated` up to 1.25 × the largest, else `extrapolated`; likewise below the least.
    pub evidence: Option<String>,
    pub interval_kind: IntervalKind,
    pub points: usize,
    /// Different loads among them, the least and the largest.
    pub loads: usize,
    pub n_min: f64,
    pub n_max: f64,
    /// 1/α; `null` where α is 0.
    pub optimal_n: Option<f64>,
    /// γ/α, Amdahl's asymptote; `null` where α is 0.
    pub limit_x: Option<f64>,
    /// Set where the verdict is `hard_limit`.
    pub hard_limit: Option<HardLimit>,
    /// Akaike's criterion, corrected for few points, of the law and of two segments, linear then flat: the lower one is preferred. `null` where
    /// the points are too few for it.
    pub aicc_usl: Option<f64>,
    pub aicc_segments: Option<f64>,
    /// The answer to `--throughput`.
    pub load_for: Option<LoadFor>,
    pub warnings: Vec<Warning>,
}

/// The least load that yields a throughput.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LoadFor {
    pub throughput: f64,
    /// `null` where no load does.
    pub n: Option<f64>,
    pub evidence: Option<String>,
}

/// Fits the points; `throughput` asks for the load that yields it.
///
/// # Errors
/// [`Unfit`].
pub fn scaling(points: &[Point], throughput: Option<f64>) -> Result<Scaling, Unfit> {
    let fitted = usl::fit(points)?;
    let shape = usl::shape(points, &fitted);
    let law = fitted.law();
    // Below the least load nothing was measured either.
    let class = |n: f64| evidence((n / fitted.n_max).max(fitted.n_min / n)).to_owned();
    let peak_n = law.peak_n();
    let load_for = throughput.map(|throughput| {
        let n = match shape.hard_limit {
            Some(limit) => limit.load_for(throughput),
            None => law.load_for(throughput),
        };
        LoadFor { throughput, n, evidence: n.map(class) }
    });
    let mut scaling = Scaling {
        alpha: fitted.alpha,
        beta: fitted.beta,
        gamma: fitted.gamma,
        peak_n,
        peak_n_ci95: fitted.peak_n_ci95,
        peak_x: law.peak_x(),
        peak_x_ci95: fitted.peak_x_ci95,
        verdict: shape.verdict,
        rse: fitted.rse,
        r_squared: usl::r_squared(points, &fitted),
        evidence: peak_n.map(class),
        interval_kind: fitted.interval_kind,
        points: points.len(),
        loads: fitted.loads,
        n_min: fitted.n_min,
        n_max: fitted.n_max,
        optimal_n: law.optimal_n(),
        limit_x: law.limit_x(),
        hard_limit: shape.hard_limit,
        aicc_usl: shape.aicc_usl,
        aicc_segments: shape.aicc_segments,
        load_for,
        warnings: Vec::new(),
    };
    scaling.warnings = warnings(&scaling, usl::misfit(points, &fitted));
    Ok(scaling)
}

fn warnings(scaling: &Scaling, misfit: Option<Misfit>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code: &str, text: String, remedy: String| {
        warnings.push(Warning { code: code.to_owned(), text, remedy });
    };
    let farthest = INTERPOLATED_MAX * scaling.n_max;
    if scaling.loads < LOADS_FEW {
        warn(
            "few_loads",
            format!("{} different loads are few for three coefficients", scaling.loads),
            format!("measure {LOADS_FEW} or more, some of them past the point where throughput bends"),
        );
    }
    match scaling.verdict {
        Verdict::Unidentified => warn(
            "peak_unidentified",
            format!("the fit has a peak beyond a load of {farthest}, 1.25 × the largest measured: these points do not tell where"),
            "measure larger loads before saying where throughput tops out".to_owned(),
        ),
        Verdict::HardLimit => warn(
            "hard_limit",
            "throughput rises along a line and then stays: something is full, and α and β describe the bend, not a cause".to_owned(),
            "find what is full (`plimsoll find` names it); the law says nothing about a larger one".to_owned(),
        ),
        Verdict::Peak | Verdict::NoPeak => {}
    }
    if let (Verdict::Peak, Some(n)) = (scaling.verdict, scaling.peak_n.filter(|n| *n > scaling.n_max)) {
        warn(
            "peak_beyond_loads",
            format!(
                "the law has its peak at a load of {n:.1}, beyond the largest measured, {}: nothing was measured on its far side",
                scaling.n_max
            ),
            format!("measure a load of {:.1} or more", n * INTERPOLATED_MAX),
        );
    }
    if let (Some(misfit), false) = (misfit, scaling.verdict == Verdict::HardLimit) {
        let (what, remedy) = match misfit {
            Misfit::Superlinear => (
                "throughput for each unit of load grows with the load, which the law does not know",
                "look for what makes a small system slow (a cache that does not fit), or measure from there on",
            ),
            Misfit::Scattered => (
                "the law explains less than 90 % of the variance of throughput",
                "measure each load longer and several times",
            ),
            Misfit::Bent => (
                "residuals lie above and below the law in stretches: the curve has a shape that the law lacks",
                "take the coefficients for a summary; for pools and CPUs use `plimsoll fit demand`",
            ),
        };
        warn("law_does_not_fit", what.to_owned(), remedy.to_owned());
    }
    if let Some(LoadFor { n: Some(n), throughput, .. }) = &scaling.load_for
        && *n > farthest
    {
        warn(
            "extrapolated",
            format!(
                "a throughput of {throughput} needs a load beyond {farthest}, 1.25 × the largest measured, where the law has not been seen to hold"
            ),
            "measure larger loads".to_owned(),
        );
    }
    warnings
}
