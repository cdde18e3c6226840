//! All that a record says, together: the table of levels, the load line, what gives way, and what should make a reader doubt it.

use super::checks::believed;
use super::explain::load;
use super::levels::Measured;
use super::steady;
use super::suspects::untold;
use super::verdict::{Believed, verdict};
use super::wall::Unit;
use super::{Input, LevelInput};
use crate::record::rows::LevelMark;
use crate::record::summary::{Bottleneck, Check, GoalLine, Level, LoadLine, Rung, Warning};
use crate::scenario::effort::Effort;
use crate::scenario::plan::LoadUnit;
use crate::search::goal::TRIAL_REQUESTS_MIN;
use crate::search::level::{GROWS, GoalResult, LevelResult};
use crate::search::line::outcome;
use crate::search::sizing::{noise_ratio_low, windows_needed, wrong};

#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// In order of load.
    pub levels: Vec<Level>,
    pub load_line: Option<LoadLine>,
    pub bottleneck: Option<Bottleneck>,
    /// Soonest first.
    pub ladder: Vec<Rung>,
    pub checks: Vec<Check>,
    /// Resources whose numbers are not believed.
    pub left_out: Vec<String>,
    pub warnings: Vec<Warning>,
}

pub fn findings(input: &Input<'_>) -> Findings {
    let unit =
        Unit { of: input.unit, think_s: input.think_s, requests_per_iteration: input.requests_per_iteration };
    let measured = Measured::of(input);
    let levels = measured.levels.clone();
    let impossible = measured.impossible.clone();
    let (believed, checks) = believed(measured, &unit);
    let (bottleneck, ladder) = verdict(&believed, &unit);
    let bottleneck = bottleneck.filter(|_| !levels.is_empty());
    let mut warnings = excluded_warnings(&believed);
    warnings.extend(impossible.iter().map(|(name, count)| impossible_warning(name, *count)));
    warnings.extend(untold_warnings(&levels, &unit));
    warnings.extend(law_warning(&checks, &unit));
    warnings.extend(flow_warnings(&checks, &unit));
    warnings.extend(thin_warning(input.levels, &unit));
    warnings.extend(inversion_warning(&levels, &unit));
    warnings.extend(steady::unsettled_warning(input.levels, &unit));
    let load_line = (input.judged && !levels.is_empty()).then(|| load_line(input));
    warnings.extend(windows_warning(input, load_line.as_ref().and_then(|line| line.typical)));
    let left_out = believed.left_out.into_keys().collect();
    Findings { levels, load_line, bottleneck, ladder, checks, left_out, warnings }
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
        noise_gap: guaranteed.and_then(|guaranteed| Some(found.last_good? / guaranteed)),
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
    let failed_by = |goal: &GoalResult| mark.failed_by.as_ref() == Some(&goal.text);
    LevelResult {
        level: mark.level,
        good: mark.good,
        decided: true,
        enough: mark.enough,
        asked: mark.asked,
        goals: mark.goals.clone(),
        deciding: mark.goals.iter().position(failed_by).unwrap_or(0),
        grows: mark.failed_by.as_deref() == Some(GROWS),
    }
}

fn warning(code: &str, text: String, remedy: &str) -> Warning {
    Warning { code: code.to_owned(), text, remedy: remedy.to_owned() }
}

fn excluded_warnings(believed: &Believed) -> Vec<Warning> {
    let each = believed.left_out.iter().map(|(name, (_, reason))| {
        warning(
            "resource_excluded",
            format!("{name} is left out of the attribution: {reason}"),
            "check that its metrics come from the instances that took the load, and from all of them",
        )
    });
    each.collect()
}

fn impossible_warning(name: &str, count: u32) -> Warning {
    warning(
        "impossible_readings",
        format!(
            "{count} readings of {name} had figures that cannot be (below zero, or no number): those were passed over"
        ),
        "look what the exporter does when it is restarted or its counters wrap",
    )
}

/// Resources that told nothing at the level at which something gave way.
fn untold_warnings(levels: &[Level], unit: &Unit) -> Vec<Warning> {
    let Some(knee) = levels.iter().find(|level| !level.good) else { return Vec::new() };
    let each = untold(levels, knee).into_iter().map(|name| {
        warning(
            "readings_missing",
            format!("{name} told nothing at {}, the lowest level that failed", load(knee.level, unit)),
            "look whether the scrapes failed there, or took longer than the level",
        )
    });
    each.collect()
}

fn law_warning(checks: &[Check], unit: &Unit) -> Option<Warning> {
    let worst = checks
        .iter()
        .filter(|check| check.law == "interactive" && !check.holds)
        .max_by(|a, b| a.residual.abs().total_cmp(&b.residual.abs()))?;
    Some(warning(
        "interactive_law",
        format!(
            "at {}, throughput, response time and think time disagree by {:+.0} % (N = X(R + Z)): {}",
            load(worst.level?, unit),
            worst.residual * 100.0,
            worst.consequence
        ),
        "hold the levels longer: users were still arriving, a queue was still growing, or think times differ from the plan",
    ))
}

/// The worst drift of visits of each resource.
fn flow_warnings(checks: &[Check], unit: &Unit) -> Vec<Warning> {
    let mut worst: std::collections::BTreeMap<&str, &Check> = std::collections::BTreeMap::new();
    for check in checks.iter().filter(|check| check.law == "forced_flow" && !check.holds) {
        let Some(name) = &check.resource else { continue };
        let kept = worst.entry(name).or_insert(check);
        if check.residual.abs() > kept.residual.abs() {
            *kept = check;
        }
    }
    let each = worst.into_iter().filter_map(|(name, check)| {
        Some(warning(
            "visits_drift",
            format!(
                "a request visits {name} {:+.0} % as often at {} as on the mean",
                check.residual * 100.0,
                load(check.level?, unit)
            ),
            "look for retries, caches that overflow, or readings of another moment; what is extrapolated holds for the mean request",
        ))
    });
    each.collect()
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

/// A level below this share of the load line is not bad by its load.
const FAR_BELOW: f64 = 0.75;

/// Noise that was seen far below the line, where load has no part in it, and that could turn a level with the windows there were.
fn windows_warning(input: &Input<'_>, line: Option<f64>) -> Option<Warning> {
    let (line, settings) = (line?, input.search?);
    let marks = input.levels.iter().map(|level| &level.mark);
    let far: Vec<&LevelMark> = marks.filter(|mark| mark.level < FAR_BELOW * line).collect();
    let votes = |goal: usize| {
        let marks = far.iter().filter_map(|mark| mark.goals.get(goal));
        marks.fold((0, 0), |(bad, all), goal| (bad + goal.windows_bad, all + goal.windows))
    };
    let goals = far.first().map_or(0, |mark| mark.goals.len());
    let (bad, windows) = (0..goals).map(votes).max_by_key(|(bad, _)| *bad)?;
    let noise_ratio = noise_ratio_low(bad, windows);
    let levels = input.levels.len() as u32;
    let wrong = wrong(noise_ratio, levels, settings.windows, settings.exceed);
    let needed = windows_needed(noise_ratio, levels, settings.exceed);
    if needed.is_some_and(|needed| needed <= settings.windows) {
        return None;
    }
    // Stalls that come at some rate are in more of the windows the longer these are.
    let full = Effort::Full;
    let longer = 1.0 - (1.0 - noise_ratio).powf(full.window().as_secs_f64() / settings.window_s);
    let full_does = windows_needed(longer, levels, full.exceed()).is_some_and(|n| n <= full.windows());
    let remedy = match needed {
        Some(needed) if full_does => format!("write windows: {needed}, or find with --effort full"),
        Some(needed) => format!("write windows: {needed}, and find without --effort"),
        None => "no number of windows does: look for what makes the target stand still, or give `exceed` more room".to_owned(),
    };
    Some(Warning {
        code: "windows_too_few".to_owned(),
        text: format!(
            "{bad} of {windows} windows far below the load line were bad: noise of that size turns one of {levels} levels with {} % probability where {} windows decide",
            (wrong * 100.0).min(100.0).round(),
            settings.windows
        ),
        remedy,
    })
}

#[cfg(test)]
mod tests;
