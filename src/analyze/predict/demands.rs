//! What a request takes of each resource, as the walls of the analysis have it, with its uncertainty.

use crate::analyze::saturate::saturated;
use crate::analyze::wall::{Demand, Unit};
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

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Used {
    /// In use without any request.
    pub(super) background: f64,
    /// In use for a request per second (seconds of it), or for a user where `by_users`.
    pub(super) per_unit: f64,
    /// Standard error of `per_unit`, as a share.
    pub(super) error: f64,
    pub(super) by_users: bool,
    /// Share of the requests that use it, at most 1; 1 where nothing tells.
    pub(super) visits: f64,
    /// Load for each user, where `by_users`: 1 in a load of users; in an open one, what the levels offered for each request in flight.
    pub(super) load_per_user: f64,
}

/// What of `name` is used below the knee: by its own clock where it tells holds and visits, otherwise by regression over the levels.
pub(super) fn used(levels: &[Level], name: &str, knee: Option<&Level>, unit: &Unit) -> Option<Used> {
    let base = levels.first();
    let below: Vec<&Level> = levels
        .iter()
        .filter(|level| knee.is_none_or(|knee| level.level < knee.level))
        .filter(|level| level.resources.get(name).is_some_and(|resource| !saturated(resource, level, base)))
        .collect();
    if let Some(used) = clocked(&below, name) {
        return Some(used);
    }
    let fitted = Demand::of(&below, name, unit)?;
    let wall = if fitted.by_users { base.and_then(|base| fitted.wall(base, unit)) } else { None };
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
    Some(Used {
        background: fitted.background,
        per_unit: fitted.per_unit,
        error: error.max(ERROR_MIN),
        by_users: fitted.by_users,
        visits: 1.0,
        load_per_user: wall.map_or(1.0, |wall| wall / fitted.filled_at()),
    })
}

/// H·V over levels, weighted by their requests. Where holds grow below the knee already, what it guards has a queue of its own: those of the
/// lowest level then.
fn clocked(below: &[&Level], name: &str) -> Option<Used> {
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
    let visits = seen.iter().filter_map(|(_, resource)| resource.visits).sum::<f64>() / n;
    let spread = per_request_s.iter().map(|(held, _)| (held / mean - 1.0).powi(2)).sum::<f64>() / n;
    let limit = seen.last()?.1.limit?;
    let others = seen.iter().map(|(level, resource)| resource.used - level.throughput_per_s * per_unit);
    let background = others.sum::<f64>() / n;
    Some(Used {
        background: if flat && background > BACKGROUND_MIN * limit { background } else { 0.0 },
        per_unit,
        error: if flat { (spread / n).sqrt().max(ERROR_MIN) } else { ERROR_OF_TWO },
        by_users: false,
        visits: visits.clamp(VISITS_MIN, 1.0),
        load_per_user: 1.0,
    })
}
