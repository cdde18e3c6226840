//! The load line from the levels that were judged: the bracket, and the most likely place inside it.

use super::level::{LevelResult, excess};
use crate::scenario::plan::LoadUnit;

/// Where the levels judged so far put the load line.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Highest good level below every bad one; `None` when no level was good.
    pub last_good: Option<f64>,
    /// Lowest bad level; `None` when none was bad.
    pub first_bad: Option<f64>,
    /// The load line, between the two; see [`outcome`].
    pub typical: Option<f64>,
    /// The condition that failed at `first_bad`.
    pub limited_by: Option<String>,
    pub probes: u32,
}

/// The load line from judged levels in any order.
///
/// The bracket is [highest good level below the lowest bad one, lowest bad level]; a good level above a bad one is luck and does not
/// count (the relevant lower bound of MLRsearch). `typical` is where ln(bad ratio / bound), taken as linear in ln(level) between the
/// two ends of the bracket, crosses zero: the share of bad requests grows by orders of magnitude across the knee, so the crossing
/// repeats better than the ends, which only say on which side of it the levels happened to lie. No bad request at the good end counts as
/// half of one. Where the windows outvoted the pooled ratio at an end, that end is the answer.
pub fn outcome<'a>(results: impl IntoIterator<Item = &'a LevelResult> + Clone, unit: LoadUnit) -> Outcome {
    let probes = results.clone().into_iter().count() as u32;
    let by_level = |a: &&LevelResult, b: &&LevelResult| a.level.total_cmp(&b.level);
    let bad = results.clone().into_iter().filter(|result| !result.good).min_by(by_level);
    let good = results
        .into_iter()
        .filter(|result| result.good && bad.is_none_or(|bad| result.level < bad.level))
        .max_by(by_level);
    Outcome {
        last_good: good.map(|result| result.level),
        first_bad: bad.map(|result| result.level),
        typical: good.map(|good| bad.map_or(good.level, |bad| crossing(good, bad, unit))),
        limited_by: bad.and_then(|result| result.failed_by.clone()),
        probes,
    }
}

fn crossing(good: &LevelResult, bad: &LevelResult, unit: LoadUnit) -> f64 {
    let height = |result: &LevelResult| excess(result.bad_ratio, result.bad_ratio_max, result.requests).ln();
    let (below, above) = (height(good), height(bad));
    let share = if below >= 0.0 {
        0.0
    } else if above <= 0.0 {
        1.0
    } else {
        -below / (above - below)
    };
    let level = (good.level.ln() + share * (bad.level / good.level).ln()).exp();
    round(level, unit).clamp(good.level, bad.level)
}

/// Whole users; a rate to four figures.
fn round(level: f64, unit: LoadUnit) -> f64 {
    match unit {
        // The tolerance undoes what the way through the logarithm took from a whole number.
        LoadUnit::Users => (level * (1.0 + 1e-12)).floor(),
        LoadUnit::RatePerS => significant(level, 4),
    }
}

/// `value` > 0 rounded to this many figures.
pub(super) fn significant(value: f64, figures: i32) -> f64 {
    let scale = figures - 1 - value.log10().floor() as i32;
    // Dividing by a whole power of ten keeps 0.1 the nearest double to 0.1.
    if scale >= 0 {
        let power = 10_f64.powi(scale);
        (value * power).round() / power
    } else {
        let power = 10_f64.powi(-scale);
        (value / power).round() * power
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::search) fn result(level: f64, good: bool, bad_ratio: f64) -> LevelResult {
        LevelResult {
            level,
            good,
            failed_by: (!good).then(|| "p99(http) > 100ms".to_owned()),
            bad_ratio,
            bad_ratio_max: 0.01,
            requests: 5000,
            windows: 3,
            windows_bad: if good { 0 } else { 3 },
            enough: true,
        }
    }

    #[test]
    fn a_good_level_above_a_bad_one_does_not_count() {
        let staircase = [result(300.0, true, 0.0), result(100.0, true, 0.0), result(200.0, false, 0.1)];
        let found = outcome(&staircase, LoadUnit::Users);
        assert_eq!((found.last_good, found.first_bad, found.probes), (Some(100.0), Some(200.0), 3));
        assert_eq!(found.limited_by.as_deref(), Some("p99(http) > 100ms"));
    }

    #[test]
    fn the_line_lies_where_the_ratio_crosses_its_bound() {
        let line = |good, bad| {
            outcome(&[result(500.0, true, good), result(550.0, false, bad)], LoadUnit::Users).typical.unwrap()
        };
        // A tenth of the bound below, ten times above: half way on the logarithmic scale.
        assert_eq!(line(0.001, 0.1), (500.0_f64 * 550.0).sqrt().floor());
        assert!(line(0.0001, 0.1) > line(0.005, 0.1) && line(0.005, 0.02) > line(0.005, 0.2));
        assert_eq!(line(0.0, 0.1), line(0.0001, 0.1), "none of 5,000 counts as half a request");
        assert_eq!((line(0.02, 0.1), line(0.001, 0.005)), (500.0, 550.0), "windows outvote the pooled ratio");
    }

    #[test]
    fn an_end_that_was_never_met_is_open() {
        let only_good = outcome(&[result(10.0, true, 0.0)], LoadUnit::Users);
        assert_eq!((only_good.typical, only_good.first_bad, only_good.limited_by), (Some(10.0), None, None));
        let only_bad = outcome(&[result(10.0, false, 1.0)], LoadUnit::Users);
        assert_eq!((only_bad.typical, only_bad.last_good, only_bad.first_bad), (None, None, Some(10.0)));
    }

    #[test]
    fn figures() {
        for (value, rounded) in [(123.456, 123.5), (0.012_345_6, 0.012_35), (98_765.0, 98_770.0), (0.1, 0.1)]
        {
            assert_eq!(significant(value, 4), rounded);
        }
    }
}
