//! What refuses requests instead of making them wait: connections that are all taken, memory that is used up. Nobody is slower for it, so no share of
//! any added latency accuses it; what it counts of its own refusals does.

use super::saturate::{EXHAUSTED_MIN, LATENCY_GROWTH, saturated};
use super::suspects::{CAUSE_SHARE_MIN, Step, Suspect, is_busy_anyhow, wall};
use super::wall::Unit;
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

/// How far outside of the last good and the first bad level a wall may be computed that lies between them.
const BETWEEN: f64 = 1.05;
/// Utilization at the last good level without which nothing was about to be full.
const NEARLY_FULL: f64 = 0.8;

/// Part of what it held of which memory keeps less if its owner died of it.
const GIVEN_BACK: f64 = 0.98;

/// What fills between the last level without failures and the knee by what it took below, has no queue to tell of, and was nearly full at the former: a
/// process that dies of its memory and begins again is half full at the knee, and a gateway that takes no more connections counts none that it refused.
/// Its demand says so and not its fullest reading: a heap that is collected fills at any load. Each with its part of the blame; empty where hardly more
/// requests fail.
pub fn exhausted<'a>(levels: &'a [Level], step: &Step<'a>, unit: &Unit) -> Vec<(Suspect<'a>, f64)> {
    let below = levels.iter().rfind(|level| level.good && level.level < step.knee.level);
    let Some(good) = below.filter(|_| added_error_ratio(step) > FAILING_MIN) else { return Vec::new() };
    let between = good.level / BETWEEN..=step.knee.level * BETWEEN;
    // Memory that stays as full as it was does no harm, as a cache does none.
    let stays = |name: &str, resource: &LevelResource| {
        let after = step.knee.resources.get(name);
        resource.kind == "memory" && after.is_some_and(|after| after.used > GIVEN_BACK * resource.used)
    };
    let fills = |name: &str, resource: &LevelResource| {
        resource.waiting.is_none()
            && resource.wait_ms.is_none()
            && resource.utilization.is_some_and(|ratio| ratio >= NEARLY_FULL)
            && !stays(name, resource)
            && wall(levels, unit, name).is_some_and(|at| between.contains(&at))
    };
    let found: Vec<Suspect<'a>> = good
        .resources
        .iter()
        .filter(|(name, resource)| fills(name, resource))
        .map(|(name, resource)| Suspect { full: true, ..Suspect::at(levels, step, name, resource, None) })
        .collect();
    let part = 1.0 / found.len().max(1) as f64;
    found.into_iter().map(|suspect| (suspect, part)).collect()
}

/// Share of the requests that fail at the knee but did not at the lowest level.
pub fn added_error_ratio(step: &Step<'_>) -> f64 {
    step.knee.error_ratio - step.base.map_or(0.0, |base| base.error_ratio)
}

/// Requests take so much longer at the knee that something queues; of the lowest level nobody knows.
pub fn is_slower(step: &Step<'_>) -> bool {
    step.base.is_none_or(|base| step.knee.response_ms.mean >= LATENCY_GROWTH * base.response_ms.mean)
}
