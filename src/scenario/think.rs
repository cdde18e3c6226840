//! Think times: how they are written, drawn, and what they are on average.

use super::builder::Builder;
use super::document::Node;
use super::keys::Section;
use super::plan::Think;
use super::reader::{self, Fields};
use crate::seed::Stream;
use crate::units;
use rand::RngExt as _;
use rand_distr::{Distribution as _, StandardNormal};
use std::time::Duration;

const FORMS: &str = "write 2s, 1s..4s, {lognormal: {median: 2s, p95: 8s}} or {exponential: 2s}";

/// The 95 % quantile of the standard normal distribution.
const Z_95: f64 = 1.644_853_626_951_472_7;

static THINK_KINDS: Section = Section {
    what: "a think time",
    keys: &["lognormal", "exponential"],
    later: &[],
    foreign: &[("uniform", "write 1s..4s"), ("constant", "write 2s")],
};
static LOGNORMAL: Section =
    Section { what: "`lognormal`", keys: &["median", "p95"], later: &[], foreign: &[] };

impl Think {
    /// One pause. The draw is by inverse or by the crate's own method, from the user's stream alone.
    pub fn sample(&self, stream: &mut Stream) -> Duration {
        match self {
            Self::Constant(time) => *time,
            Self::Uniform { low, high } => {
                let nanos = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                Duration::from_nanos(stream.random_range(nanos(low)..=nanos(high)))
            }
            Self::Lognormal { mu_ln_s, sigma } => {
                let normal: f64 = StandardNormal.sample(stream);
                seconds((mu_ln_s + sigma * normal).exp())
            }
            // 1 − u lies in (0, 1], so the logarithm is finite.
            Self::Exponential { mean } => seconds(-mean.as_secs_f64() * (1.0 - stream.random::<f64>()).ln()),
        }
    }

    /// The expectation. Lognormal: exp(mu + sigma²/2).
    pub fn mean(&self) -> Duration {
        match self {
            Self::Constant(time) => *time,
            Self::Uniform { low, high } => (*low + *high) / 2,
            Self::Lognormal { mu_ln_s, sigma } => seconds((mu_ln_s + sigma * sigma / 2.0).exp()),
            Self::Exponential { mean } => *mean,
        }
    }

    /// The expectation of its square, s².
    pub fn mean_square_s2(&self) -> f64 {
        let mean_s = self.mean().as_secs_f64();
        let variation = match self {
            Self::Constant(_) => 0.0,
            Self::Uniform { low, high } if mean_s > 0.0 => {
                ((high.as_secs_f64() - low.as_secs_f64()) / mean_s).powi(2) / 12.0
            }
            Self::Uniform { .. } => 0.0,
            Self::Lognormal { sigma, .. } => (sigma * sigma).exp() - 1.0,
            Self::Exponential { .. } => 1.0,
        };
        mean_s * mean_s * (1.0 + variation)
    }
}

/// A draw from a long tail may be larger than a duration can be; a day is longer than any run.
fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value.clamp(0.0, 86_400.0))
}

impl Builder<'_> {
    pub(super) fn think(&mut self, node: &Node, what: &str) -> Option<Think> {
        if node.entries().is_some() {
            return self.distribution(node);
        }
        let text = reader::text(node, what, &mut self.sink)?;
        let Some((low_text, high_text)) = text.split_once("..") else {
            return match units::duration(text) {
                Ok(time) => Some(Think::Constant(time)),
                Err(error) => {
                    self.sink.error(node.span, error.message, FORMS);
                    None
                }
            };
        };
        match (units::duration(low_text.trim()), units::duration(high_text.trim())) {
            (Ok(low), Ok(high)) if low <= high => Some(Think::Uniform { low, high }),
            (Ok(_), Ok(_)) => {
                self.sink.error(
                    node.span,
                    format!("`{text}` ends before it begins"),
                    "write the shorter time first: 1s..4s",
                );
                None
            }
            (Err(error), _) | (_, Err(error)) => {
                self.sink.error(node.span, error.message, FORMS);
                None
            }
        }
    }

    fn distribution(&mut self, node: &Node) -> Option<Think> {
        let fields = Fields::open(node, &THINK_KINDS, &mut self.sink)?;
        if let Some(mean) = fields.get("exponential") {
            return Some(Think::Exponential { mean: reader::lasting(mean, "the mean", &mut self.sink)? });
        }
        let Some(lognormal) = fields.get("lognormal") else {
            self.sink.error(node.span, "this is not a think time", FORMS);
            return None;
        };
        let fields = Fields::open(lognormal, &LOGNORMAL, &mut self.sink)?;
        let mut time = |key: &str| {
            let node = fields.need(key, FORMS, &mut self.sink)?;
            reader::lasting(node, key, &mut self.sink)
        };
        let (median, p95) = (time("median"), time("p95"));
        let (median, p95) = (median?.as_secs_f64(), p95?.as_secs_f64());
        if p95 < median {
            self.sink.error(lognormal.span, "`p95` lies below `median`", FORMS);
            return None;
        }
        Some(Think::Lognormal { mu_ln_s: median.ln(), sigma: (p95 / median).ln() / Z_95 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, stream};

    #[test]
    fn draws_have_the_mean_and_the_quantiles_they_claim() {
        let mut stream = stream(1, Purpose::User, 0, 0);
        let s = Duration::from_secs;
        let sigma = 4f64.ln() / Z_95;
        for think in [
            Think::Constant(s(2)),
            Think::Uniform { low: s(1), high: s(4) },
            Think::Lognormal { mu_ln_s: 2f64.ln(), sigma },
            Think::Exponential { mean: s(2) },
        ] {
            let mut draws: Vec<f64> = (0..40_000).map(|_| think.sample(&mut stream).as_secs_f64()).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            assert!((mean / think.mean().as_secs_f64() - 1.0).abs() < 0.03, "{think:?}: {mean}");
            let square = draws.iter().map(|draw| draw * draw).sum::<f64>() / draws.len() as f64;
            // Of a lognormal tail the largest draws decide.
            let tolerance = if matches!(think, Think::Lognormal { .. }) { 0.15 } else { 0.04 };
            assert!((square / think.mean_square_s2() - 1.0).abs() < tolerance, "{think:?}: {square}");
            draws.sort_by(f64::total_cmp);
            if matches!(think, Think::Lognormal { .. }) {
                assert!((draws[20_000] / 2.0 - 1.0).abs() < 0.03 && (draws[38_000] / 8.0 - 1.0).abs() < 0.05);
            }
        }
    }
}
