//! All that a record says, together: the table of levels, the load line, what gives way, and what should make a reader doubt it.

use super::attribute::attribute;
use super::explain::load;
use super::levels::levels;
use super::next::Unit;
use super::saturate::implausible;
use super::{Input, LevelInput};
use crate::record::rows::{GoalMark, LevelMark};
use crate::record::summary::{Bottleneck, GoalLine, Level, LoadLine, Warning};
use crate::scenario::plan::LoadUnit;
use crate::search::classify::Bound;
use crate::search::goal::TRIAL_REQUESTS_MIN;
use crate::search::level::{GoalResult, LevelResult};
use crate::search::line::outcome;

/// |N/(X(R+Z)) − 1| above which a level contradicts the interactive law.
const LAW_RESIDUAL_MAX: f64 = 0.05;

#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// In order of load.
    pub levels: Vec<Level>,
    pub load_line: Option<LoadLine>,
    pub bottleneck: Option<Bottleneck>,
    pub warnings: Vec<Warning>,
}

pub fn findings(input: &Input<'_>) -> Findings {
    let unit =
        Unit { of: input.unit, think_s: input.think_s, requests_per_iteration: input.requests_per_iteration };
    let levels = levels(input);
    let excluded = implausible(&levels);
    let mut warnings: Vec<Warning> =
        excluded.iter().map(|(name, residual)| excluded_warning(name, *residual)).collect();
    warnings.extend(law_warning(&levels, &unit));
    warnings.extend(thin_warning(input.levels, &unit));
    warnings.extend(inversion_warning(&levels, &unit));
    let names: Vec<String> = excluded.into_iter().map(|(name, _)| name).collect();
    let bottleneck = attribute(&levels, &names, &unit);
    let load_line = (input.judged && !levels.is_empty()).then(|| load_line(input));
    Findings { levels, load_line, bottleneck, warnings }
}

/// The load line by the same rule as the search that ran, from what the record kept of its levels.
fn load_line(input: &Input<'_>) -> LoadLine {
    let results: Vec<LevelResult> = input.levels.iter().map(|level| result(&level.mark)).collect();
    let found = outcome(&results, input.unit);
    let guaranteed = input.soaks.iter().find(|soak| soak.good).map(|soak| soak.level);
    let goals = found.goals.into_iter().map(|goal| GoalLine {
        text: goal.text,
        typical: goal.typical,
        interval: [goal.last_good, goal.first_bad],
    });
    LoadLine {
        of: match input.unit {
            LoadUnit::Users => "users".to_owned(),
            LoadUnit::RatePerS => "rate".to_owned(),
        },
        typical: found.typical,
        guaranteed,
        noise_gap: guaranteed.and_then(|guaranteed| Some(found.typical? / guaranteed)),
        interval: [found.last_good, found.first_bad],
        interval_kind: "bracket".to_owned(),
        confidence: None,
        limited_by: found.limited_by,
        goals: goals.collect(),
        soaks: input.soaks.to_vec(),
    }
}

/// A level as the search recorded it.
pub(super) fn result(mark: &LevelMark) -> LevelResult {
    let failed_by = |goal: &GoalMark| mark.failed_by.as_ref() == Some(&goal.text);
    LevelResult {
        level: mark.level,
        good: mark.good,
        decided: true,
        enough: mark.enough,
        asked: mark.asked,
        goals: mark.goals.iter().map(goal_result).collect(),
        deciding: mark.goals.iter().position(failed_by).unwrap_or(0),
    }
}

fn goal_result(goal: &GoalMark) -> GoalResult {
    GoalResult {
        text: goal.text.clone(),
        bound: match goal.bound.as_str() {
            "lower" => Bound::Lower,
            "upper" => Bound::Upper,
            _ => Bound::Undecided,
        },
        bad_ratio: goal.bad_ratio,
        bad_ratio_max: goal.bad_ratio_max,
        window_bad_ratio: goal.window_bad_ratio,
        requests: goal.requests,
        windows: goal.windows,
        windows_bad: goal.windows_bad,
    }
}

fn excluded_warning(name: &str, residual: f64) -> Warning {
    Warning {
        code: "resource_excluded".to_owned(),
        text: format!(
            "{name} is left out of the attribution: what it says is in use differs by {:+.0} % from its visits times their hold time (Little's law)",
            residual * 100.0
        ),
        remedy: "check that its metrics come from the instances that took the load, and from all of them"
            .to_owned(),
    }
}

fn law_warning(levels: &[Level], unit: &Unit) -> Option<Warning> {
    let worst = levels
        .iter()
        .filter_map(|level| Some((level, level.residual_ratio?)))
        .filter(|(_, residual)| residual.abs() > LAW_RESIDUAL_MAX)
        .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
    Some(Warning {
        code: "interactive_law".to_owned(),
        text: format!(
            "at {} users, throughput, response time and think time disagree by {:+.0} % (N = X(R + Z))",
            load(worst.0.level, unit).trim_end_matches(" users"),
            worst.1 * 100.0
        ),
        remedy: "hold the levels longer: users were still arriving, a queue was still growing, or think times differ from the plan".to_owned(),
    })
}

fn thin_warning(levels: &[LevelInput], unit: &Unit) -> Option<Warning> {
    let least = |level: &LevelInput| level.mark.goals.iter().map(|goal| goal.requests).min();
    let (level, requests) = levels
        .iter()
        .filter(|level| !level.mark.enough)
        .filter_map(|level| Some((level.mark.level, least(level)?)))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Warning {
        code: "too_few_requests".to_owned(),
        text: format!(
            "{} was judged by {requests} requests; a p99 needs {TRIAL_REQUESTS_MIN}",
            load(level, unit)
        ),
        remedy: "lengthen `window`, or start at a higher level".to_owned(),
    })
}

fn inversion_warning(levels: &[Level], unit: &Unit) -> Option<Warning> {
    let bad = levels.iter().find(|level| !level.good)?;
    let good = levels.iter().rfind(|level| level.good && level.level > bad.level)?;
    Some(Warning {
        code: "inversion".to_owned(),
        text: format!(
            "{} was good although {} was not: the system or the machine is noisy",
            load(good.level, unit),
            load(bad.level, unit)
        ),
        remedy: "use more and longer windows".to_owned(),
    })
}

#[cfg(test)]
mod tests;
