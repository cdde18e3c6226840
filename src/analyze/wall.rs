//! What each request, or each user, takes of a resource, and the load at which that fills it.

use super::saturate::saturated;
use crate::fit::curve::Curve;
use crate::fit::evidence::{EXTRAPOLATED, evidence};
use crate::fit::line::line;
use crate::record::summary::{Level, LevelResource};
use crate::scenario::plan::LoadUnit;

/// What a level is counted in, and what ties it to requests per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    pub of: LoadUnit,
    /// Mean think time per request, seconds.
    pub think_s: Option<f64>,
    pub requests_per_iteration: f64,
}

impl Unit {
    /// R + Z, s, of a system that answers as fast as it did at `base`.
    pub fn cycle_s(&self, base: &Level) -> f64 {
        base.response_ms.mean / 1e3 + self.think_s.unwrap_or(base.think_s)
    }

    /// The load under which `throughput_per_s` requests a second pass a system whose users ask again after `cycle_s`: X·(R + Z) users, or X over the
    /// requests of an iteration.
    pub fn load_at(&self, throughput_per_s: f64, cycle_s: f64) -> f64 {
        match self.of {
            LoadUnit::Users => throughput_per_s * cycle_s,
            LoadUnit::RatePerS => throughput_per_s / self.requests_per_iteration.max(f64::MIN_POSITIVE),
        }
    }
}

/// used = background + per_unit·(requests per second; for memory users, or in an open load what is in flight); where what a request takes moves with the
/// load, a curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    pub background: f64,
    /// Where it moves, that of the load which fills the resource.
    pub per_unit: f64,
    pub curve: Option<Curve>,
    /// Use at which the resource gives way.
    pub limit: f64,
    /// The use is one of users (bytes each), not of requests.
    pub by_users: bool,
    /// Load for each user: one in a load of users, in an open one what the levels had in flight.
    pub load_per_user: f64,
}

/// A slope must be this many of its standard errors away from none; fewer is a resource that does not depend on the load.
const SLOPE_ERRORS_MIN: f64 = 3.0;
/// Part of the limit that is left to requests at least, whatever is in use without any.
const ROOM_MIN: f64 = 1e-3;
/// With too few levels for an error of the slope, use must have grown by this factor of itself between them.
const GROWTH_MIN: f64 = 0.1;

impl Demand {
    /// Least squares of use against throughput (of memory: against users) over `levels`, which lie below saturation. `None` without a limit, or
    /// where use does not grow with load.
    pub fn of(levels: &[&Level], name: &str, unit: &Unit) -> Option<Self> {
        let seen = || levels.iter().filter_map(|level| Some((*level, level.resources.get(name)?)));
        let (highest, last) = seen().next_back()?;
        let by_users = last.kind == "memory" && seen().all(|(level, _)| level.users > 0.0);
        let points: Vec<(f64, f64)> = seen()
            .map(|(level, resource)| {
                (if by_users { level.users } else { level.throughput_per_s }, resource.used)
            })
            .collect();
        let fitted = line(&points)?;
        let uses = || points.iter().map(|point| point.1);
        let (least, most) = (uses().fold(f64::INFINITY, f64::min), uses().fold(0.0, f64::max));
        let depends = if points.len() > 2 {
            fitted.slope > SLOPE_ERRORS_MIN * fitted.slope_error
        } else {
            most - least > GROWTH_MIN * most
        };
        let limit = last.limit?;
        // What a slot is held longer for is a queue behind it, and memory is held by data as well.
        let moves = !matches!(last.kind.as_str(), "pool" | "memory");
        let curve = if moves { Curve::where_it_moves(&points) } else { None };
        let found = Self {
            background: curve.as_ref().map_or(fitted.intercept, |curve| curve.background),
            per_unit: fitted.slope,
            curve,
            limit,
            by_users,
            load_per_user: match unit.of {
                LoadUnit::Users => 1.0,
                LoadUnit::RatePerS => highest.level / highest.users,
            },
        };
        (fitted.slope > 0.0 && (depends || found.curve.is_some())).then(|| found.changed(limit, 1.0))
    }

    /// What requests can have of it: m − b.
    pub fn room(&self) -> f64 {
        (self.limit - self.background).max(self.limit * ROOM_MIN)
    }

    /// Requests per second, or users, at which the limit is reached: (m − b)/D.
    pub fn filled_at(&self) -> f64 {
        self.room() / self.per_unit
    }

    /// So many requests per second, or users, as a load in the unit of the levels.
    pub fn load_at(&self, at: f64, unit: &Unit, cycle_s: f64) -> f64 {
        if self.by_users { at * self.load_per_user } else { unit.load_at(at, cycle_s) }
    }

    /// The load at which the limit is reached, in the unit of the levels.
    pub fn wall(&self, base: &Level, unit: &Unit) -> Option<f64> {
        let load = self.load_at(self.filled_at(), unit, unit.cycle_s(base));
        (self.limit > self.background && load.is_finite() && load > 0.0).then_some(load)
    }

    /// What it takes by this law at a level.
    pub fn used_at(&self, level: &Level) -> f64 {
        let unit = if self.by_users { level.users } else { level.throughput_per_s };
        self.curve.as_ref().map_or(self.background + self.per_unit * unit, |curve| curve.used_at(unit))
    }

    /// The same with another limit, and so many times the demand.
    pub fn changed(&self, limit: f64, factor: f64) -> Self {
        let mut changed = Self { limit, per_unit: self.per_unit * factor, ..self.clone() };
        changed.curve = self.curve.as_ref().map(|curve| curve.times(factor));
        if let Some(curve) = &changed.curve {
            changed.per_unit = changed.room() / curve.load_at(limit);
        }
        changed
    }
}

/// Evidence class of a wall at `factor` times the most that was measured: past that, one of a demand that moves is an extrapolation at once.
pub fn evidence_of(moves: bool, factor: f64) -> &'static str {
    if moves && factor > 1.0 { EXTRAPOLATED } else { evidence(factor) }
}

/// Levels below the first bad one from which on those above are not asked: what failed there was given up, and bends what is used.
const GOOD_MIN: usize = 3;
/// Part of the limit from which what nobody waits for is full.
const FULL: f64 = 0.98;

/// Whether nobody waits for it, as for memory or for connections that sockets hold: what comes when it is full is refused. A processor has a queue, though
/// few tell of it.
pub fn refuses(resource: &LevelResource) -> bool {
    let waits = resource.waiting.is_some() || resource.wait_ms.is_some();
    resource.kind == "memory" || resource.kind != "cpu" && !waits
}

/// The levels at which `name` was read and its use was what the load asked of it: where it was not saturated, so that no queue has bent it. For what
/// fills without a queue a good level tells, however full it was, and one that failed does not once it is full: how many were refused nobody knows.
pub fn unsaturated<'a>(levels: &'a [Level], name: &str) -> Vec<&'a Level> {
    let base = levels.first();
    let is_free = |resource: &LevelResource, level: &Level| {
        let is_full = || resource.utilization.is_some_and(|ratio| ratio >= FULL);
        match refuses(resource) {
            true if level.good => true,
            true if is_full() => false,
            _ => !saturated(resource, level, base),
        }
    };
    let free: Vec<&Level> = levels
        .iter()
        .filter(|level| level.resources.get(name).is_some_and(|resource| is_free(resource, level)))
        .collect();
    let good = free.iter().take_while(|level| level.good).count();
    if good >= GOOD_MIN { free[..good].to_vec() } else { free }
}
