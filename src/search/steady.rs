//! Whether what was measured was in a steady state: how much of its beginning to leave out, and whether it still has a trend.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// Seconds of one batch of MSER-5.
const BATCH: usize = 5;
/// Batches below which the rule finds patterns in noise: of a few, the last happen to lie near each other.
const BATCHES_MIN: usize = 10;
/// A shift or a trend that is less than this share of the mean is of no account.
pub const MATERIAL: f64 = 0.1;
/// Probability of taking chance for a trend.
pub const TREND_P_MAX: f64 = 0.01;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truncation {
    /// Seconds at the beginning that the rest is better without.
    pub seconds: u32,
    /// How far their mean lies from that of the rest, as a share of the latter.
    pub shift_ratio: f64,
    /// Half of the span is no better than all of it: it has not come to rest.
    pub is_unsettled: bool,
}

/// MSER-5 over means of one second: of d* batches of five, left out at the beginning, those that leave the mean of the rest with the least
/// standard error, d* = argmin Σ_{j>d} (z_j − z̄_d)² / (k − d)² over d ≤ k/2 (White, Cobb, Spratt, "A comparison of five steady-state truncation
/// heuristics for simulation", Winter Simulation Conference 2000). At d* = k/2 the span had not settled, if the shift is more than [`MATERIAL`]:
/// by chance the rule ends there now and then. `None` below ten batches.
pub fn truncate(means: &[f64]) -> Option<Truncation> {
    let batches: Vec<f64> =
        means.chunks_exact(BATCH).map(|batch| batch.iter().sum::<f64>() / BATCH as f64).collect();
    let k = batches.len();
    if k < BATCHES_MIN {
        return None;
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let error = |d: usize| {
        let rest = &batches[d..];
        let center = mean(rest);
        rest.iter().map(|z| (z - center).powi(2)).sum::<f64>() / (rest.len() as f64).powi(2)
    };
    let best = (0..=k / 2).min_by(|a, b| error(*a).total_cmp(&error(*b)))?;
    let shift_ratio = if best == 0 { 0.0 } else { mean(&batches[..best]) / mean(&batches[best..]) - 1.0 };
    let shift_ratio = if shift_ratio.is_finite() { shift_ratio } else { 0.0 };
    Some(Truncation {
        seconds: (best * BATCH) as u32,
        shift_ratio,
        is_unsettled: best == k / 2 && shift_ratio.abs() > MATERIAL,
    })
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Change over the whole span as a share of the mean.
    pub change_ratio: f64,
    /// That chance alone yields a slope of this size; two-sided.
    pub p_value: f64,
}

impl Trend {
    /// Neither small nor chance.
    pub fn is_material(&self) -> bool {
        self.change_ratio.abs() > MATERIAL && self.p_value < TREND_P_MAX
    }
}

/// The trend of values a second apart: least squares, with the standard error of the slope taken for as many independent values as there are,
/// n·(1 − r)/(1 + r) by the first autocorrelation r of the residuals (Santer et al., J. Geophys. Res. 105, 2000): queues remember, and a test that
/// takes seconds for independent finds trends everywhere. `None` below four values, or where their mean is not above zero.
pub fn trend(values: &[f64]) -> Option<Trend> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 4 || mean.is_nan() || mean <= 0.0 {
        return None;
    }
    let middle = (n - 1.0) / 2.0;
    let spread: f64 = (0..values.len()).map(|i| (i as f64 - middle).powi(2)).sum();
    let slope =
        values.iter().enumerate().map(|(i, y)| (i as f64 - middle) * (y - mean)).sum::<f64>() / spread;
    let residuals: Vec<f64> =
        values.iter().enumerate().map(|(i, y)| y - mean - slope * (i as f64 - middle)).collect();
    let squares: f64 = residuals.iter().map(|e| e * e).sum();
    let change_ratio = slope * n / mean;
    if squares <= 1e-18 * mean * mean {
        return Some(Trend { change_ratio, p_value: if slope == 0.0 { 1.0 } else { 0.0 } });
    }
    let lagged: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let r = (lagged / squares).clamp(0.0, 0.99);
    let free = n * (1.0 - r) / (1.0 + r) - 2.0;
    if free <= 0.0 {
        return Some(Trend { change_ratio, p_value: 1.0 });
    }
    let t = slope / (squares / free / spread).sqrt();
    let p_value = StudentsT::new(0.0, 1.0, free).map_or(1.0, |student| 2.0 * student.sf(t.abs()));
    Some(Trend { change_ratio, p_value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, Stream, stream};
    use rand::RngExt;

    fn noise(random: &mut Stream) -> f64 {
        (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
    }

    #[test]
    fn the_beginning_is_left_out() {
        let mut random = stream(1, Purpose::User, 0, 0);
        // Ten seconds of warming up, then rest.
        let warming: Vec<f64> =
            (0..60).map(|i| 20.0 + 80.0 * f64::from(u8::from(i < 10)) + noise(&mut random)).collect();
        let found = truncate(&warming).unwrap();
        assert!(
            (10..30).contains(&found.seconds) && !found.is_unsettled && found.shift_ratio > 1.0,
            "{found:?}"
        );
        let growing: Vec<f64> = (0..60).map(|i| 20.0 + f64::from(i) + noise(&mut random)).collect();
        assert!(truncate(&growing).unwrap().is_unsettled);
        assert_eq!(truncate(&warming[..49]), None, "nine batches are too few");
        assert_eq!(truncate(&[5.0; 60]).unwrap().seconds, 0);
    }

    /// By hand: z = 9, 5, 1 × 8 has Σ(z − z̄)²/k² = 60.4/100, 14.2/81, 0/64 without none, one and two.
    #[test]
    fn mser_is_the_published_formula() {
        let batches = [9.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        let means: Vec<f64> = batches.iter().flat_map(|z| [*z; 5]).collect();
        let found = truncate(&means).unwrap();
        assert_eq!((found.seconds, found.shift_ratio), (10, 6.0));
    }

    #[test]
    fn noise_alone_is_seldom_unsettled() {
        let unsettled = (0..200).filter(|seed| {
            let mut random = stream(*seed, Purpose::User, 1, 0);
            let means: Vec<f64> = (0..60).map(|_| 20.0 + noise(&mut random)).collect();
            truncate(&means).unwrap().is_unsettled
        });
        assert_eq!(unsettled.count(), 0);
    }

    /// Longley-like by hand: y = 1, 3, 2, 4 has slope 0.8, residuals −0.3, 0.9, −0.9, 0.3 (r < 0, so all four count), s² = 0.9, t = 0.8/√(0.9/5).
    #[test]
    fn a_trend_is_least_squares() {
        let found = trend(&[1.0, 3.0, 2.0, 4.0]).unwrap();
        assert!((found.change_ratio - 0.8 * 4.0 / 2.5).abs() < 1e-12);
        // t = 1.8856 with 2 degrees of freedom: p = 1 − t/√(2 + t²) = 0.2.
        assert!((found.p_value - 0.2).abs() < 1e-3, "{found:?}");
        assert_eq!(trend(&[5.0; 8]).unwrap().p_value, 1.0);
        assert!(trend(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap().is_material());
        assert_eq!((trend(&[1.0, 2.0]), trend(&[0.0; 9])), (None, None));
    }

    #[test]
    fn a_queue_that_wanders_has_no_trend_and_one_that_grows_has() {
        let wanders = |seed: u64, growth: f64| {
            let mut random = stream(seed, Purpose::User, 2, 0);
            let mut queue = 0.0;
            let values: Vec<f64> = (0..60)
                .map(|i| {
                    queue = 0.8 * queue + 3.0 * noise(&mut random);
                    40.0 + queue + growth * f64::from(i)
                })
                .collect();
            trend(&values).unwrap().is_material()
        };
        let false_alarms = (0..500).filter(|seed| wanders(*seed, 0.0)).count();
        assert!(false_alarms <= 20, "{false_alarms} of 500");
        assert_eq!((0..100).filter(|seed| wanders(*seed, 2.0)).count(), 100);
    }
}
