//! What each request, or each user, takes of a resource, and the load at which that fills it.

use super::saturate::saturated;
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
    /// The load under which `throughput_per_s` requests a second pass a system that answers as fast as it did at `base`: X·(R + Z) users,
    /// or X over the requests of an iteration.
    pub fn load_at(&self, throughput_per_s: f64, base: &Level) -> f64 {
        match self.of {
            LoadUnit::Users => {
                let think_s = self.think_s.unwrap_or(base.think_s);
                throughput_per_s * (base.response_ms.mean / 1e3 + think_s)
            }
            LoadUnit::RatePerS => throughput_per_s / self.requests_per_iteration.max(f64::MIN_POSITIVE),
        }
    }
}

/// used = background + per_unit·(requests per second; for memory users, or in an open load what is in flight).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    pub background: f64,
    pub per_unit: f64,
    /// Use at which the resource gives way.
    pub limit: f64,
    /// The use is one of users (bytes each), not of requests.
    pub by_users: bool,
    /// Load for each user: one in a load of users, in an open one what the levels had in flight.
    load_per_user: f64,
}

/// A slope must be this many of its standard errors away from none; fewer is a resource that does not depend on the load.
const SLOPE_ERRORS_MIN: f64 = 3.0;
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
        (fitted.slope > 0.0 && depends).then_some(Self {
            background: fitted.intercept,
            per_unit: fitted.slope,
            limit: last.limit?,
            by_users,
            load_per_user: match unit.of {
                LoadUnit::Users => 1.0,
                LoadUnit::RatePerS => highest.level / highest.users,
            },
        })
    }

    /// Requests per second, or users, at which the limit is reached: (m − b)/D.
    pub fn filled_at(&self) -> f64 {
        (self.limit - self.background) / self.per_unit
    }

    /// The load at which it is, in the unit of the levels.
    pub fn wall(&self, base: &Level, unit: &Unit) -> Option<f64> {
        let at = self.filled_at();
        let load = if self.by_users { at * self.load_per_user } else { unit.load_at(at, base) };
        (load.is_finite() && load > 0.0).then_some(load)
    }

    /// What it takes by this law at a level.
    pub fn used_at(&self, level: &Level) -> f64 {
        self.background + self.per_unit * if self.by_users { level.users } else { level.throughput_per_s }
    }
}

/// Levels below the first bad one from which on those above are not asked: what failed there was given up, and bends what is used.
const GOOD_MIN: usize = 3;

/// The levels at which `name` was read and not saturated: queues have not bent its use there, and nothing queues for memory.
pub fn unsaturated<'a>(levels: &'a [Level], name: &str) -> Vec<&'a Level> {
    let base = levels.first();
    let is_free = |resource: &LevelResource, level: &Level| {
        resource.kind == "memory" && level.good || !saturated(resource, level, base)
    };
    let free: Vec<&Level> = levels
        .iter()
        .filter(|level| level.resources.get(name).is_some_and(|resource| is_free(resource, level)))
        .collect();
    let good = free.iter().take_while(|level| level.good).count();
    if good >= GOOD_MIN { free[..good].to_vec() } else { free }
}
