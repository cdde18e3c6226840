//! Whether what was measured was in a steady state: how much of its beginning to leave out, and whether it still has a trend.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// Seconds of one batch of MSER-5.
const BATCH: usize = 5;
/// Batches below which nothing is left out: of a few, the last happen to lie near each other.
const BATCHES_MIN: usize = 4;
/// A shift or a trend that is less than this share of the mean is of no account.
const MATERIAL: f64 = 0.1;
/// Probability of taking chance for a shift or a trend.
const CHANCE_MAX: f64 = 0.01;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truncation {
    /// Seconds at the beginning to leave out; 0 where they are not plainly apart from the rest.
    pub seconds: u32,
    /// How far the median of these seconds lies from that of the rest, as a share of the latter.
    pub shift_ratio: f64,
    /// Half of the span is no better than all of it: it has not come to rest.
    pub is_unsettled: bool,
}

impl Truncation {
    const NONE: Self = Self { seconds: 0, shift_ratio: 0.0, is_unsettled: false };
}

/// MSER-5 over means of one second: of d* batches of five, left out at the beginning, those that leave the mean of the rest with the least
/// standard error, d* = argmin Σ_{j>d} (z_j − z̄_d)² / (k − d)² over d ≤ k/2 (White, Cobb, Spratt, "A comparison of five steady-state truncation
/// heuristics for simulation", Winter Simulation Conference 2000). At d* = k/2 the span had not settled.
///
/// The rule finds some d* in noise too, often one too large, and to it a stall at the beginning is what a warm-up is. So the batches before d* that are like
/// the rest stay, back to one of which most seconds are apart from it: by more than [`MATERIAL`] at the median, where a stall is one or two of them. And nothing
/// is left out unless chance seldom sets the means so far apart (Student's t, p < [`CHANCE_MAX`] of the batches and of the seconds, as many as are [`independent`]) or
/// all of it has a [`trend`]. `None` below four batches, and where one has no answer: who stands still is not warming up.
pub fn truncate(means: &[Option<f64>]) -> Option<Truncation> {
    let batches: Option<Vec<f64>> = means.chunks_exact(BATCH).map(mean_of_present).collect();
    let batches = batches.filter(|batches| batches.len() >= BATCHES_MIN)?;
    let k = batches.len();
    let best = (0..=k / 2).min_by(|a, b| error(&batches[*a..]).total_cmp(&error(&batches[*b..])))?;
    let means = &means[..k * BATCH];
    let at_rest = median(&means[best * BATCH..])?;
    let apart = |means: &[Option<f64>]| {
        median(means).map(|median| median / at_rest - 1.0).filter(|shift| shift.abs() > MATERIAL)
    };
    let cut = (1..=best).rev().find(|d| apart(&means[(d - 1) * BATCH..d * BATCH]).is_some()).unwrap_or(0);
    let Some(shift_ratio) = apart(&means[..cut * BATCH]) else { return Some(Truncation::NONE) };
    let is_unsettled = cut == k / 2;
    let moves = || is_unsettled && trend(&present(means)).is_some_and(|trend| trend.is_material());
    let (first, rest) = (present(&means[..cut * BATCH]), present(&means[best * BATCH..]));
    let center = mean(&rest);
    let residuals: Vec<f64> = rest.iter().map(|y| y - center).collect();
    // Batches of a queue remember each other too, and of a few batches nobody can tell how much; seconds are more, and tell it.
    let by_chance =
        chance(&batches[..cut], &batches[best..], 1.0).max(chance(&first, &rest, independent(&residuals)));
    if by_chance >= CHANCE_MAX && !moves() {
        return Some(Truncation::NONE);
    }
    Some(Truncation { seconds: (cut * BATCH) as u32, shift_ratio, is_unsettled })
}

fn mean_of_present(values: &[Option<f64>]) -> Option<f64> {
    let present = present(values);
    (!present.is_empty()).then(|| mean(&present))
}

fn present(values: &[Option<f64>]) -> Vec<f64> {
    values.iter().flatten().copied().collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Σ (z − z̄)².
fn squares(values: &[f64]) -> f64 {
    let center = mean(values);
    values.iter().map(|z| (z - center).powi(2)).sum()
}

/// The square of the standard error of the mean, but for a constant.
fn error(rest: &[f64]) -> f64 {
    squares(rest) / (rest.len() as f64).powi(2)
}

fn median(values: &[Option<f64>]) -> Option<f64> {
    let mut present = present(values);
    present.sort_by(f64::total_cmp);
    present.get(present.len() / 2).copied()
}

/// That means of so many values lie so far apart by chance, two-sided: t = (z̄_cut − z̄_rest) / (s·√(1/d + 1/n)) with the deviation s of the rest, where of
/// all values this share is `independent`.
fn chance(cut: &[f64], rest: &[f64], independent: f64) -> f64 {
    let (d, n) = (cut.len() as f64 * independent, rest.len() as f64 * independent);
    let free = n - 1.0;
    if free <= 0.0 {
        return 1.0;
    }
    let variance = squares(rest) / rest.len() as f64 * n / free;
    let scale = (variance * (1.0 / d + 1.0 / n)).sqrt();
    let apart = (mean(cut) - mean(rest)).abs();
    if scale <= 1e-9 * apart {
        return if apart > 0.0 { 0.0 } else { 1.0 };
    }
    StudentsT::new(0.0, 1.0, free).map_or(1.0, |student| 2.0 * student.sf(apart / scale))
}

/// As how large a share of them values a second apart count that remember each other: (1 − r)/(1 + r) by the first autocorrelation r of the residuals
/// (Santer et al., J. Geophys. Res. 105, 2000).
fn independent(residuals: &[f64]) -> f64 {
    let squares: f64 = residuals.iter().map(|e| e * e).sum();
    if squares <= 0.0 {
        return 1.0;
    }
    let lagged: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let r = (lagged / squares).clamp(0.0, 0.99);
    (1.0 - r) / (1.0 + r)
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
        self.change_ratio.abs() > MATERIAL && self.p_value < CHANCE_MAX
    }
}

/// The trend of values a second apart: least squares, with the standard error of the slope taken for as many values as are [`independent`]: queues remember,
/// and a test that takes seconds for independent finds trends everywhere. `None` below four values, or where their mean is not above zero.
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
    let free = n * independent(&residuals) - 2.0;
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

    fn of(means: impl IntoIterator<Item = f64>) -> Vec<Option<f64>> {
        means.into_iter().map(Some).collect()
    }

    /// A minute of rest after ten seconds that are `more` above it.
    fn warming(more: f64) -> Vec<Option<f64>> {
        let mut random = stream(1, Purpose::User, 0, 0);
        of((0..60).map(|i| 20.0 + more * f64::from(u8::from(i < 10)) + noise(&mut random)))
    }

    #[test]
    fn the_beginning_is_left_out() {
        let found = truncate(&warming(80.0)).unwrap();
        assert_eq!((found.seconds, found.is_unsettled), (10, false));
        assert!(found.shift_ratio > 3.0, "{found:?}");
        assert_eq!(truncate(&warming(1.0)), Some(Truncation::NONE), "a twentieth is of no account");
        let mut random = stream(1, Purpose::User, 0, 0);
        let growing = of((0..60).map(|i| 20.0 + f64::from(i) + noise(&mut random)));
        let found = truncate(&growing).unwrap();
        assert!(found.is_unsettled && found.seconds == 30 && found.shift_ratio < 0.0, "{found:?}");
        assert_eq!(truncate(&warming(80.0)[..19]), None, "three batches are too few");
        assert_eq!(truncate(&of([5.0; 60])), Some(Truncation::NONE));
    }

    /// Of a stall of four seconds two have answers, late ones. The rule as published leaves out what it makes of the first batches.
    #[test]
    fn a_stall_at_the_beginning_is_no_warm_up() {
        let mut stalled = warming(0.0);
        (stalled[1], stalled[2]) = (Some(800.0), Some(300.0));
        assert_eq!(truncate(&stalled), Some(Truncation::NONE));
        (stalled[1], stalled[2], stalled[3]) = (None, None, Some(900.0));
        assert_eq!(truncate(&stalled), Some(Truncation::NONE));
        stalled[..5].fill(None);
        assert_eq!(truncate(&stalled), None, "it stood still");
    }

    /// By hand: z = 9, 5, 1 × 8 has Σ(z − z̄)²/k² = 65.6/100, 14.2/81, 0/64 without none, one and two.
    #[test]
    fn mser_is_the_published_formula() {
        let batches = [9.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        let found = truncate(&of(batches.iter().flat_map(|z| [*z; 5]))).unwrap();
        // The median of five nines and five fives is the upper of the middle two.
        assert_eq!((found.seconds, found.shift_ratio), (10, 8.0));
        assert!((error(&batches) - 65.6 / 100.0).abs() < 1e-12);
        assert!((error(&batches[1..]) - 128.0 / 9.0 / 81.0).abs() < 1e-12);
    }

    /// By hand: cut 4, 6 and rest 1, 2, 3: s² = 1, t = 3/√(1/2 + 1/3) = 3.2863 with two degrees of freedom, p = 1 − t/√(2 + t²) = 0.0815.
    #[test]
    fn chance_is_student_s_t() {
        assert!((chance(&[4.0, 6.0], &[1.0, 2.0, 3.0], 1.0) - 0.0815).abs() < 1e-4);
        assert_eq!(chance(&[4.0], &[1.0, 1.0], 1.0), 0.0);
        // Half of six seconds: n = 3, s² = 1, d = 2.
        let halved = chance(&[4.0, 4.0, 6.0, 6.0], &[1.0, 1.0, 2.0, 2.0, 3.0, 3.0], 0.5);
        assert!((halved - 0.0815).abs() < 1e-4, "{halved}");
        assert_eq!(chance(&[9.0], &[1.0, 2.0], 0.5), 1.0, "one value has no deviation");
    }

    /// Seconds that remember each other, as those of a queue do: the more, the nearer it is to its limit.
    #[test]
    fn noise_alone_is_seldom_left_out() {
        for (memory, batches) in
            [0.5, 0.8].into_iter().flat_map(|memory: f64| [4, 6, 11, 22].map(|k| (memory, k)))
        {
            let found = (0..500).map(|seed| {
                let mut random = stream(seed, Purpose::User, 1, 0);
                let mut queue = 0.0;
                truncate(&of((0..5 * batches).map(|_| {
                    queue = memory * queue + (1.0 - memory.powi(2)).sqrt() * noise(&mut random);
                    20.0 + 6.0 * queue
                })))
                .unwrap()
            });
            let found: Vec<Truncation> = found.collect();
            let cut = found.iter().filter(|found| found.seconds > 0).count();
            let unsettled = found.iter().filter(|found| found.is_unsettled).count();
            assert!(
                cut <= 50 && unsettled <= 40,
                "{cut} and {unsettled} of 500 with {batches} batches and a memory of {memory}"
            );
        }
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
