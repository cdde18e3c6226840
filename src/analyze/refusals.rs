//! What refuses requests instead of making them wait: connections that are all taken, memory that is used up. Nobody is slower for it, so no share of
//! any added latency accuses it; what it counts of its own refusals does.

use super::saturate::{LATENCY_GROWTH, saturated};
use super::suspects::{CAUSE_SHARE_MIN, EXHAUSTED_MIN, Step, Suspect, is_busy_anyhow};
use crate::record::summary::{Level, LevelResource};

/// Failures, as a share of the requests, above which it is worth telling who refused.
pub const FAILING_MIN: f64 = 0.001;

/// Resources that are full and refused at least half of what failed more than at the lowest level, each with its part of the blame; where there
/// is none, memory that is used up. Empty where requests failed no more often, or took longer as well: then a queue says who is to blame.
pub fn refusals<'a>(levels: &[Level], step: &Step<'a>) -> Vec<(Suspect<'a>, f64)> {
    let Some(base) = step.base else { return Vec::new() };
    if is_slower(step) || added_error_ratio(step) <= FAILING_MIN {
        return Vec::new();
    }
    let failures = |level: &Level| level.error_ratio * level.throughput_per_s;
    let added_per_s = failures(step.knee) - failures(base);
    let seen = || step.knee.resources.iter().map(|(name, resource)| (name.as_str(), resource));
    let suspect = |name: &'a str, resource: &'a LevelResource, refused: Option<f64>| Suspect {
        full: true,
        refused,
        ..Suspect::at(levels, step, name, resource, None)
    };
    let refused = |name: &str, resource: &LevelResource| {
        let before = base.resources.get(name).and_then(|before| before.errors_per_s);
        let share = (resource.errors_per_s? - before.unwrap_or(0.0)) / added_per_s;
        let full = resource.utilization.is_some_and(|ratio| ratio >= EXHAUSTED_MIN);
        (full && share >= CAUSE_SHARE_MIN).then_some(share.min(1.0))
    };
    let mut found: Vec<(Suspect<'a>, f64)> = seen()
        .filter_map(|(name, resource)| {
            let share = refused(name, resource)?;
            Some((suspect(name, resource, Some(share)), share))
        })
        .collect();
    if found.is_empty() {
        let used_up = seen().filter(|(name, resource)| {
            resource.kind == "memory"
                && saturated(resource, step.knee, step.base)
                && !is_busy_anyhow(step, name, resource)
        });
        found = used_up.map(|(name, resource)| (suspect(name, resource, None), 1.0)).collect();
    }
    let all: f64 = found.iter().map(|(_, weight)| weight).sum();
    found.iter_mut().for_each(|(_, weight)| *weight /= all);
    found
}

/// Share of the requests that fail at the knee but did not at the lowest level.
pub fn added_error_ratio(step: &Step<'_>) -> f64 {
    step.knee.error_ratio - step.base.map_or(0.0, |base| base.error_ratio)
}

/// Requests take so much longer at the knee that something queues; of the lowest level nobody knows.
pub fn is_slower(step: &Step<'_>) -> bool {
    step.base.is_none_or(|base| step.knee.response_ms.mean >= LATENCY_GROWTH * base.response_ms.mean)
}
