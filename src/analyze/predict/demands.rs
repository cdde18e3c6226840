//! What a request takes of each resource, as the walls of the analysis have it, with its uncertainty.

use crate::analyze::wall::{Demand, Unit, unsaturated};
use crate::record::summary::{Level, LevelResource};

/// Growth of a hold up to which it is the same under all loads.
const FLAT_HOLD: f64 = crate::analyze::suspects::FLAT_HOLD;
/// Nothing is known better than this share: clocks, ramps, levels of some seconds.
const ERROR_MIN: f64 = 0.005;
/// Error of a slope through two levels, which tell nothing of it.
const ERROR_OF_TWO: f64 = 0.05;
/// Use without requests below this share of the limit is noise of the readings.
const BACKGROUND_MIN: f64 = 0.05;
/// A resource that fewer requests than this use says nothing of their percentiles.
const VISITS_MIN: f64 = 1e-3;

/// What of `name` is used below the knee, with its standard error as a share: by its own clock where it tells holds and visits, otherwise by regression over
/// the levels.
pub(super) fn used(levels: &[Level], name: &str, knee: Option<&Level>, unit: &Unit) -> Option<(Demand, f64)> {
    let knee = levels.iter().position(|level| knee.is_some_and(|knee| level.level >= knee.level));
    let below = unsaturated(&levels[..knee.unwrap_or(levels.len())], name);
    if let Some(used) = clocked(&below, name) {
        return Some(used);
    }
    let fitted = Demand::of(&below, name, unit)?;
    // The jackknife: slopes without one level each.
    let n = below.len() as f64;
    let slopes: Vec<f64> = (0..below.len())
        .filter_map(|left| {
            let others: Vec<&Level> =
                below.iter().enumerate().filter(|(at, _)| *at != left).map(|(_, level)| *level).collect();
            Some(Demand::of(&others, name, unit)?.per_unit)
        })
        .collect();
    let error = if slopes.len() < 3 {
        ERROR_OF_TWO
    } else {
        let mean = slopes.iter().sum::<f64>() / slopes.len() as f64;
        let squares: f64 = slopes.iter().map(|slope| (slope - mean).powi(2)).sum();
        (squares * (n - 1.0) / n).sqrt() / fitted.per_unit
    };
    Some((fitted, error.max(ERROR_MIN)))
}

/// H·V over levels, weighted by their requests. Where holds grow below the knee already, what it guards has a queue of its own: those of the
/// lowest level then.
fn clocked(below: &[&Level], name: &str) -> Option<(Demand, f64)> {
    let seen: Vec<(&Level, &LevelResource)> =
        below.iter().filter_map(|level| Some((*level, level.resources.get(name)?))).collect();
    let mut per_request_s = Vec::new();
    for (level, resource) in &seen {
        let requests = level.throughput_per_s * (level.span_s[1] - level.span_s[0]);
        per_request_s.push((resource.hold_ms? / 1e3 * resource.visits?, requests));
    }
    let (first, last) = (per_request_s.first()?.0, per_request_s.last()?.0);
    let flat = last <= first * FLAT_HOLD;
    let requests: f64 = per_request_s.iter().map(|(_, requests)| requests).sum();
    let mean = per_request_s.iter().map(|(held, requests)| held * requests).sum::<f64>() / requests;
    let per_unit = if flat { mean } else { first };
    if !(per_unit.is_finite() && per_unit > 0.0) {
        return None;
    }
    let n = per_request_s.len() as f64;
    let spread = per_request_s.iter().map(|(held, _)| (held / mean - 1.0).powi(2)).sum::<f64>() / n;
    let limit = seen.last()?.1.limit?;
    let others = seen.iter().map(|(level, resource)| resource.used - level.throughput_per_s * per_unit);
    let background = others.sum::<f64>() / n;
    let demand = Demand {
        background: if flat && background > BACKGROUND_MIN * limit { background } else { 0.0 },
        per_unit,
        curve: None,
        limit,
        by_users: false,
        load_per_user: 1.0,
    };
    Some((demand, if flat { (spread / n).sqrt().max(ERROR_MIN) } else { ERROR_OF_TWO }))
}

/// Visits of `name` a request, at most 1, on the mean of the levels below the knee; 1 where nothing tells. They are acquisitions: one request that makes three
/// counts as three that make one.
pub(super) fn visits(levels: &[Level], name: &str, knee: Option<&Level>) -> f64 {
    let below = levels.iter().filter(|level| knee.is_none_or(|knee| level.level < knee.level));
    let told: Vec<f64> =
        below.filter_map(|level| level.resources.get(name)?.visits).filter(|visits| *visits > 0.0).collect();
    if told.is_empty() { 1.0 } else { (told.iter().sum::<f64>() / told.len() as f64).clamp(VISITS_MIN, 1.0) }
}
