//! The walls behind the first one: what each request takes of every resource, and the load at which that fills it.

use super::saturate::{names, saturated};
use crate::fit::evidence::evidence;
use crate::fit::line::line;
use crate::record::summary::{Level, NextWall};
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

/// used = background + per_unit·(requests per second, or users for memory).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    pub background: f64,
    pub per_unit: f64,
    pub limit: f64,
    /// The use is one of users (bytes each), not of requests.
    pub by_users: bool,
}

/// A slope must be this many of its standard errors away from none; fewer is a resource that does not depend on the load.
const SLOPE_ERRORS_MIN: f64 = 3.0;
/// With too few levels for an error of the slope, use must have grown by this factor of itself between them.
const GROWTH_MIN: f64 = 0.1;

impl Demand {
    /// Least squares of use against throughput (for memory in a load of users: against users) over `levels`, which lie below saturation.
    /// `None` without a limit, or where use does not grow with load.
    pub fn of(levels: &[&Level], name: &str, unit: &Unit) -> Option<Self> {
        let seen = || levels.iter().filter_map(|level| Some((*level, level.resources.get(name)?)));
        let (_, last) = seen().next_back()?;
        let by_users = last.kind == "memory" && unit.of == LoadUnit::Users;
        let points: Vec<(f64, f64)> = seen()
            .map(|(level, resource)| {
                (if by_users { level.users } else { level.throughput_per_s }, resource.used)
            })
            .collect();
        let fitted = line(&points)?;
        let by_use = |a: &f64, b: &f64| a.total_cmp(b);
        let least = points.iter().map(|point| point.1).min_by(by_use)?;
        let most = points.iter().map(|point| point.1).max_by(by_use)?;
        let depends = if points.len() > 2 {
            fitted.slope > SLOPE_ERRORS_MIN * fitted.slope_error
        } else {
            most - least > GROWTH_MIN * most
        };
        let limit = last.limit?;
        (fitted.slope > 0.0 && depends).then_some(Self {
            background: fitted.intercept,
            per_unit: fitted.slope,
            limit,
            by_users,
        })
    }

    /// The load at which the limit is reached: (m − b)/D, in the unit of the levels.
    pub fn wall(&self, base: &Level, unit: &Unit) -> Option<f64> {
        let at = (self.limit - self.background) / self.per_unit;
        let load = if self.by_users { at } else { unit.load_at(at, base) };
        (load.is_finite() && load > 0.0).then_some(load)
    }
}

/// Walls of all resources but `except`, soonest first. Demands are taken from levels strictly below the first bad one (`knee`), where
/// queues have not yet bent them; a wall that the run itself went past unharmed is left out.
pub fn walls(levels: &[Level], knee: Option<&Level>, except: &[&str], unit: &Unit) -> Vec<NextWall> {
    let Some(base) = levels.first() else { return Vec::new() };
    let mut walls: Vec<NextWall> = names(levels)
        .filter(|name| !except.contains(name))
        .filter_map(|name| {
            let below: Vec<&Level> = levels
                .iter()
                .filter(|level| knee.is_none_or(|knee| level.level < knee.level))
                .filter(|level| {
                    level.resources.get(name).is_some_and(|resource| !saturated(resource, level, Some(base)))
                })
                .collect();
            let demand = Demand::of(&below, name, unit)?;
            let at = demand.wall(base, unit)?;
            let used_max = levels
                .iter()
                .filter_map(|level| level.resources.get(name))
                .map(|r| r.used)
                .fold(0.0, f64::max);
            let passed = below.last().is_some_and(|level| at < level.level);
            let extrapolated = demand.limit / used_max;
            (!passed).then(|| NextWall {
                resource: name.to_owned(),
                at,
                extrapolated,
                evidence: evidence(extrapolated).to_owned(),
            })
        })
        .collect();
    walls.sort_by(|a, b| a.at.total_cmp(&b.at));
    walls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::testbed::{level, pool, unit_users};
    use crate::record::summary::LevelResource;

    fn cpu(cores: f64, used: f64) -> LevelResource {
        LevelResource {
            kind: "cpu".to_owned(),
            waiting: None,
            wait_ms: None,
            hold_ms: None,
            visits: None,
            ..pool(cores, used, 0.0, 0.0)
        }
    }

    fn heap(used: f64) -> LevelResource {
        LevelResource { kind: "memory".to_owned(), ..cpu(2e9, used) }
    }

    #[test]
    fn a_wall_is_the_limit_over_the_demand() {
        // 0.1 cores at rest and 0.5 ms a request of 2 cores: 3,800 requests a second; with R + Z = 1.02 s that is 3,876 users.
        // 100 MB and 50 kB a user of 2 GB: 38,000 users.
        let levels: Vec<Level> = [100.0, 200.0, 400.0, 480.0]
            .map(|users| {
                let mut level = level(
                    users,
                    20.0,
                    [("app.cpu", cpu(2.0, 0.1 + users * 5e-4)), ("app.heap", heap(1e8 + users * 5e4))],
                );
                level.resources.insert("mongodb.pool".to_owned(), pool(10.0, users * 0.02, 0.0, 0.02));
                level.resources.insert("idle.cpu".to_owned(), cpu(4.0, 0.5));
                level
            })
            .into();
        let found = walls(&levels, levels.last(), &["mongodb.pool"], &unit_users());
        let names: Vec<&str> = found.iter().map(|wall| wall.resource.as_str()).collect();
        assert_eq!(names, ["app.cpu", "app.heap"], "what does not depend on the load is no wall");
        assert!((found[0].at - 3876.0).abs() < 0.1, "{}", found[0].at);
        assert!((found[1].at - 38_000.0).abs() < 1.0);
        assert!((found[0].extrapolated - 2.0 / 0.34).abs() < 1e-9);
        assert_eq!(found[0].evidence, "extrapolated");
        let rate = Unit { of: LoadUnit::RatePerS, think_s: None, requests_per_iteration: 4.0 };
        let iterations: Vec<Level> =
            levels.iter().map(|level| Level { level: level.level / 4.0, ..level.clone() }).collect();
        let pool = &walls(&iterations, None, &[], &rate)[0];
        assert!((pool.at - 500.0 / 4.0).abs() < 0.1, "the pool, in iterations of four requests");
    }

    #[test]
    fn noise_is_no_demand() {
        let levels: Vec<Level> = [(100.0, 0.52), (200.0, 0.47), (400.0, 0.55), (500.0, 0.5)]
            .map(|(users, used)| level(users, 20.0, [("app.cpu", cpu(2.0, used))]))
            .into();
        assert!(walls(&levels, None, &[], &unit_users()).is_empty());
    }
}
