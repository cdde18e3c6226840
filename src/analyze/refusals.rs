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
pub fn refusals<'a>(levels: &[Level], step: &Step<'a>, unit: &Unit) -> Vec<(Suspect<'a>, f64)> {
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
        let before = |name: &str| last_good(levels, step)?.resources.get(name);
        let is_new = |name: &str, resource: &LevelResource| {
            before(name).is_none_or(|before| !is_as_full(before, resource))
                || is_at_limit(resource) && fills_before(levels, step, unit, name, resource)
        };
        let used_up = seen().filter(|(name, resource)| {
            resource.kind == "memory"
                && saturated(resource, step.knee, step.base)
                && !is_busy_anyhow(step, name, resource)
                && is_new(name, resource)
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

/// Part of what memory held at one level that it holds at another where nothing became of it.
const KEPT: f64 = 0.98;
/// Utilization from which memory has nothing to give.
const AT_LIMIT: f64 = 0.98;

fn last_good<'a>(levels: &'a [Level], step: &Step<'_>) -> Option<&'a Level> {
    levels.iter().rfind(|level| level.good && level.level < step.knee.level)
}

/// Whether what it took below fills it between the last good level and the knee. Of memory that is no longer so where a good level lies past that load:
/// it was full there too, and nothing came of it.
fn fills_before(
    levels: &[Level],
    step: &Step<'_>,
    unit: &Unit,
    name: &str,
    resource: &LevelResource,
) -> bool {
    let near = if resource.kind == "memory" { 1.0 } else { BETWEEN };
    let between = last_good(levels, step).map(|good| good.level / near..=step.knee.level * BETWEEN);
    wall(levels, unit, name).zip(between).is_some_and(|(at, between)| between.contains(&at))
}

fn is_as_full(before: &LevelResource, after: &LevelResource) -> bool {
    after.used.min(before.used) >= KEPT * after.used.max(before.used)
}

fn is_at_limit(resource: &LevelResource) -> bool {
    resource.utilization.is_some_and(|ratio| ratio >= AT_LIMIT)
}

/// What fills between the last level without failures and the knee by what it took below, has no queue to tell of, and was nearly full at the former: a
/// process that dies of its memory and begins again is half full at the knee, and a gateway that takes no more connections counts none that it refused.
/// Its demand says so and not its fullest reading: a heap that is collected fills at any load. Each with its part of the blame; empty where hardly more
/// requests fail.
pub fn exhausted<'a>(levels: &'a [Level], step: &Step<'a>, unit: &Unit) -> Vec<(Suspect<'a>, f64)> {
    let below = last_good(levels, step);
    let Some(good) = below.filter(|_| added_error_ratio(step) > FAILING_MIN) else { return Vec::new() };
    // Memory that stays as full as it was, short of its limit, does no harm, as a cache does none.
    let stays = |name: &str, resource: &LevelResource| {
        let as_full = |after: &LevelResource| is_as_full(resource, after) && !is_at_limit(after);
        resource.kind == "memory" && step.knee.resources.get(name).is_some_and(as_full)
    };
    let fills_between = |name: &str, resource: &LevelResource| {
        resource.waiting.is_none()
            && resource.wait_ms.is_none()
            && resource.utilization.is_some_and(|ratio| ratio >= NEARLY_FULL)
            && !stays(name, resource)
            && fills_before(levels, step, unit, name, resource)
    };
    let found: Vec<Suspect<'a>> = good
        .resources
        .iter()
        .filter(|(name, resource)| fills_between(name, resource))
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
