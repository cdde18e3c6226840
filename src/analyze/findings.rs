//! All that a record says, together: the table of levels, the load line, what gives way, and what should make a reader doubt it.

use super::attribute::attribute;
use super::explain::load;
use super::levels::levels;
use super::next::Unit;
use super::saturate::implausible;
use super::{Input, LevelInput};
use crate::record::summary::{Bottleneck, Level, LoadLine, Warning};
use crate::scenario::plan::LoadUnit;
use crate::search::goal::TRIAL_REQUESTS_MIN;
use crate::search::level::LevelResult;
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
    let results: Vec<LevelResult> = input.levels.iter().map(result).collect();
    let found = outcome(&results, input.unit);
    LoadLine {
        of: match input.unit {
            LoadUnit::Users => "users".to_owned(),
            LoadUnit::RatePerS => "rate".to_owned(),
        },
        typical: found.typical,
        guaranteed: None,
        interval: [found.last_good, found.first_bad],
        interval_kind: "bracket".to_owned(),
        confidence: None,
        limited_by: found.limited_by,
    }
}

/// A level as the search recorded it.
pub(super) fn result(measured: &LevelInput) -> LevelResult {
    let mark = &measured.mark;
    LevelResult {
        level: mark.level,
        good: mark.good,
        failed_by: mark.failed_by.clone(),
        bad_ratio: mark.bad_ratio,
        bad_ratio_max: mark.bad_ratio_max,
        requests: measured.requests,
        windows: mark.windows,
        windows_bad: mark.windows_bad,
        enough: measured.requests >= TRIAL_REQUESTS_MIN,
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
    let thin = levels
        .iter()
        .filter(|level| level.requests < TRIAL_REQUESTS_MIN)
        .max_by(|a, b| a.mark.level.total_cmp(&b.mark.level))?;
    Some(Warning {
        code: "too_few_requests".to_owned(),
        text: format!(
            "{} was judged by {} requests; a p99 needs {TRIAL_REQUESTS_MIN}",
            load(thin.mark.level, unit),
            thin.requests
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
