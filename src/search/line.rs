//! The load line from the levels that were judged: the bracket, and the most likely place inside it.

use super::classify::Bound;
use super::level::{GoalResult, LevelResult, excess};
use crate::scenario::plan::LoadUnit;

/// Where the levels judged so far put the load line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Highest good level below every bad one; `None` when no level was good.
    pub last_good: Option<f64>,
    /// Lowest bad level; `None` when none was bad.
    pub first_bad: Option<f64>,
    /// The load line, between the two; see [`outcome`].
    pub typical: Option<f64>,
    /// The condition that failed at `first_bad`.
    pub limited_by: Option<String>,
    /// The line of each goal alone, in the order of the goals.
    pub goals: Vec<GoalLine>,
    pub levels: u32,
}

/// Where one goal's line lies.
#[derive(Clone, Debug, PartialEq)]
pub struct GoalLine {
    pub text: String,
    /// As of the [`Outcome`], for this goal alone. A level that another goal ended before this one was decided is no bound of it.
    pub last_good: Option<f64>,
    pub first_bad: Option<f64>,
    pub typical: Option<f64>,
}

/// The load line from judged levels in any order; where a level was judged more than once, the last judgment holds all that was seen of it.
///
/// The bracket is [highest good level below the lowest bad one, lowest bad level]; a good level above a bad one is luck and does not
/// count (the relevant lower bound of MLRsearch). Each goal has a bracket of its own, and the load line is that of the goal that fails at the
/// lowest level, the lower one where several do.
///
/// `typical` is where ln(bad ratio / bound), taken as linear in ln(level) between the two ends of the bracket, crosses zero: the share of bad
/// requests grows by orders of magnitude across the knee, so the crossing repeats better than the ends, which only say on which side of it
/// the levels happened to lie. The ratio is the one that the windows vote on ([`GoalResult::window_bad_ratio`]), so that a stall they forgive
/// does not move the line. No bad request at the good end counts as half of one.
pub fn outcome<'a>(results: impl IntoIterator<Item = &'a LevelResult>, unit: LoadUnit) -> Outcome {
    let mut latest: Vec<&LevelResult> = Vec::new();
    for result in results {
        match latest.iter_mut().find(|known| known.level == result.level) {
            Some(known) => *known = result,
            None => latest.push(result),
        }
    }
    latest.sort_by(|a, b| a.level.total_cmp(&b.level));
    let bad = latest.iter().find(|result| !result.good);
    let below = |level: f64| bad.is_none_or(|bad| level < bad.level);
    let good = latest.iter().rfind(|result| result.good && below(result.level));
    let longest = latest.iter().max_by_key(|result| result.goals.len());
    let goals: Vec<GoalLine> = (0..longest.map_or(0, |result| result.goals.len()))
        .filter_map(|index| goal_line(&latest, index, unit))
        .collect();
    let limiting = goals
        .iter()
        .filter(|goal| bad.is_some_and(|bad| goal.first_bad == Some(bad.level)))
        .filter_map(|goal| goal.typical)
        .min_by(f64::total_cmp);
    Outcome {
        last_good: good.map(|result| result.level),
        first_bad: bad.map(|result| result.level),
        typical: good.map(|good| limiting.unwrap_or(good.level)),
        limited_by: bad.and_then(|result| result.failed_by()).map(str::to_owned),
        goals,
        levels: latest.len() as u32,
    }
}

/// The line of one goal; `levels` in order of load.
fn goal_line(levels: &[&LevelResult], index: usize, unit: LoadUnit) -> Option<GoalLine> {
    let judged: Vec<(f64, &GoalResult)> =
        levels.iter().filter_map(|result| Some((result.level, result.goals.get(index)?))).collect();
    let bad = judged.iter().find(|(_, goal)| goal.bound == Bound::Upper);
    let below = |level: f64| bad.is_none_or(|(bad, _)| level < *bad);
    let good = judged.iter().rfind(|(level, goal)| goal.bound == Bound::Lower && below(*level));
    Some(GoalLine {
        text: judged.first()?.1.text.clone(),
        last_good: good.map(|(level, _)| *level),
        first_bad: bad.map(|(level, _)| *level),
        typical: good.map(|good| bad.map_or(good.0, |bad| crossing(*good, *bad, unit))),
    })
}

fn crossing(good: (f64, &GoalResult), bad: (f64, &GoalResult), unit: LoadUnit) -> f64 {
    let height = |goal: &GoalResult| {
        let requests = goal.requests as f64 / f64::from(goal.windows.max(1));
        excess(goal.window_bad_ratio, goal.bad_ratio_max, requests).ln()
    };
    let (below, above) = (height(good.1), height(bad.1));
    // Where the bad end is bad by something that the ratio does not show, the good end is what is known.
    let share = if below >= 0.0 || above <= 0.0 { 0.0 } else { -below / (above - below) };
    let level = (good.0.ln() + share * (bad.0 / good.0).ln()).exp();
    round(level, unit).clamp(good.0, bad.0)
}

/// Whole users; a rate to four figures.
pub(crate) fn round(level: f64, unit: LoadUnit) -> f64 {
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
            decided: true,
            enough: true,
            asked: 3,
            goals: vec![goal("p99(http) > 100ms", good, bad_ratio)],
            deciding: 0,
            grows: false,
        }
    }

    fn goal(text: &str, good: bool, bad_ratio: f64) -> GoalResult {
        GoalResult {
            text: text.to_owned(),
            bound: if good { Bound::Lower } else { Bound::Upper },
            bad_ratio,
            bad_ratio_max: 0.01,
            window_bad_ratio: bad_ratio,
            requests: 15_000,
            windows: 3,
            windows_bad: if good { 0 } else { 3 },
        }
    }

    #[test]
    fn a_good_level_above_a_bad_one_does_not_count() {
        let staircase = [result(300.0, true, 0.0), result(100.0, true, 0.0), result(200.0, false, 0.1)];
        let found = outcome(&staircase, LoadUnit::Users);
        assert_eq!((found.last_good, found.first_bad, found.levels), (Some(100.0), Some(200.0), 3));
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
        assert_eq!(
            line(0.0, 0.1),
            line(0.0001, 0.1),
            "none of the 5,000 of a window counts as half a request"
        );
        assert_eq!(line(0.001, 0.005), 500.0, "bad by something else than its ratio");
    }

    #[test]
    fn an_end_that_was_never_met_is_open() {
        let only_good = outcome(&[result(10.0, true, 0.0)], LoadUnit::Users);
        assert_eq!((only_good.typical, only_good.first_bad, only_good.limited_by), (Some(10.0), None, None));
        let only_bad = outcome(&[result(10.0, false, 1.0)], LoadUnit::Users);
        assert_eq!((only_bad.typical, only_bad.last_good, only_bad.first_bad), (None, None, Some(10.0)));
    }

    #[test]
    fn a_level_that_was_judged_again_is_what_it_was_the_last_time() {
        let levels = [result(400.0, true, 0.001), result(500.0, false, 0.02), result(500.0, true, 0.005)];
        let found = outcome(&levels, LoadUnit::Users);
        assert_eq!((found.typical, found.first_bad, found.levels), (Some(500.0), None, 2));
    }

    /// Errors begin at 600 and slowness at 500; at 550 slowness ended the level before errors were decided.
    #[test]
    fn the_load_line_is_the_least_of_the_goals() {
        let level = |at: f64, slow: f64, errors: Option<f64>| {
            let mut result = result(at, slow <= 0.01, slow);
            let mut failing =
                goal("error_rate > 1%", errors.is_some_and(|ratio| ratio <= 0.01), errors.unwrap_or(0.0));
            if errors.is_none() {
                failing.bound = Bound::Undecided;
            }
            result.goals.push(failing);
            result
        };
        let levels =
            [level(400.0, 0.001, Some(0.0001)), level(800.0, 0.9, Some(0.2)), level(550.0, 0.1, None)];
        let found = outcome(&levels, LoadUnit::Users);
        assert_eq!((found.last_good, found.first_bad), (Some(400.0), Some(550.0)));
        assert_eq!((found.goals[1].last_good, found.goals[1].first_bad), (Some(400.0), Some(800.0)));
        assert_eq!(
            (found.typical, found.limited_by.as_deref()),
            (found.goals[0].typical, Some("p99(http) > 100ms"))
        );
        assert!(found.goals[1].typical.unwrap() > found.typical.unwrap());
    }

    #[test]
    fn figures() {
        for (value, rounded) in [(123.456, 123.5), (0.012_345_6, 0.012_35), (98_765.0, 98_770.0), (0.1, 0.1)]
        {
            assert_eq!(significant(value, 4), rounded);
        }
    }
}
