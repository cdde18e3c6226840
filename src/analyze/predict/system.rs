//! A queueing model of what a search measured: what each resource takes of a request, how much there is of it, and how long a request takes when
//! nobody waits.

use super::demands::{used, visits};
use super::{Before, Refusal};
use crate::analyze::saturate::names;
use crate::analyze::suspects::VICTIM_HOLD;
use crate::analyze::wall::{Demand, Unit, refuses};
use crate::fit::curve::Curve;
use crate::queueing::tail::Alone;
use crate::record::summary::{Latency, Level};
use crate::scenario::plan::LoadUnit;
use crate::search::{Goal, GoalKind};
use crate::threshold;

/// Share of the levels' number below which a model is a guess.
const LEVELS_MIN: usize = 3;
/// Levels below the knee from which a demand is taken.
const BELOW_MIN: usize = 2;
/// Mean difference of a normal distribution over its standard deviation, 2/√π; 1.155 for a uniform, 1 for an exponential one.
const MEAN_DIFFERENCE: f64 = std::f64::consts::FRAC_2_SQRT_PI;
/// Variation of service that a few slow requests among many fast ones may make.
const VARIATION_MAX: f64 = 2.0;

#[derive(Clone, Debug)]
pub(super) struct System {
    pub(super) unit: Unit,
    /// Think time of a request, s; 0 in open loads.
    pub(super) think_s: f64,
    /// Mean difference of two think times over their mean, see `queueing::tail`.
    pub(super) spread: f64,
    pub(super) alone: Alone,
    /// What requests wait for.
    pub(super) stations: Vec<Resource>,
    /// What fills without a queue: memory, connections that sockets hold, workers of jobs nobody waits for.
    pub(super) ceilings: Vec<Resource>,
    /// (limit in s, share of bad requests); empty where the goals are not of latency, and the line lies where something is full.
    pub(super) goals: Vec<(f64, f64)>,
    /// Resources that cannot be changed, and why.
    pub(super) beyond: Vec<(String, Why)>,
}

/// Why nothing can be said of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    NoLimit,
    NoDemand,
    Implausible,
    /// Its slots are held longer under load, and nothing says by what.
    Victim,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resource {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) demand: Demand,
    /// Visits a request, at most 1, which are read as the share of the requests that visit it: each once.
    pub(super) visits: f64,
    /// Standard error of the demand where it was measured, as a share.
    pub(super) error_measured: f64,
    /// The most that was in use at a level, and at the lowest one.
    pub(super) used_max: f64,
    pub(super) used_base: f64,
    /// What changes with the number of replicas.
    pub(super) replicated: bool,
    /// Replicas over those that were measured.
    pub(super) replicas: f64,
    /// The pool around it.
    pub(super) guarded_by: Option<String>,
}

impl Resource {
    /// What requests can have of it, in servers.
    pub(super) fn room(&self) -> f64 {
        self.demand.room() * capacity(self.replicas, REPLICAS_KEEP)
    }

    /// Seconds that a request which takes so much of it spends there if nobody waits: under a quota below one core it takes longer than its demand.
    pub(super) fn passage_s(&self, demand_s: f64) -> f64 {
        let slower = if self.kind == "cpu" { self.demand.limit.min(1.0) } else { 1.0 };
        demand_s / slower
    }

    /// Standard error of the demand under the load that fills it, as a share: one that moves is the less known the further that is.
    pub(super) fn error(&self) -> f64 {
        let further = self.demand.curve.as_ref().map_or(0.0, |curve| curve.error_at(self.demand.limit));
        self.error_measured + further
    }

    /// Whether what fills it was never measured and its demand moves with the load, so that it may go on otherwise.
    pub(super) fn moves_on(&self) -> bool {
        let past = |curve: &Curve| curve.is_past(self.demand.limit);
        self.demand.curve.as_ref().is_some_and(past)
    }
}

impl System {
    pub(super) fn of(before: &Before<'_>) -> Result<Self, Refusal> {
        let levels = before.levels;
        let knee = levels.iter().find(|level| !level.good);
        let below = levels.iter().filter(|level| knee.is_none_or(|knee| level.level < knee.level)).count();
        if levels.len() < LEVELS_MIN || below < BELOW_MIN {
            return Err(Refusal::new(
                "what_if_levels",
                format!(
                    "the record has {} levels, {below} of them good ones below the first bad one; a model takes {LEVELS_MIN} and {BELOW_MIN}",
                    levels.len()
                ),
                "search again from a lower `from`, or with a smaller `grow`",
            ));
        }
        let base = &levels[0];
        let alone = alone(&undisturbed(levels, knee));
        let mut system = Self {
            unit: before.unit,
            think_s: match before.unit.of {
                LoadUnit::Users => before.unit.think_s.unwrap_or(base.think_s),
                LoadUnit::RatePerS => 0.0,
            },
            spread: before
                .think_variation
                .map_or(1.0, |variation| (MEAN_DIFFERENCE * variation.sqrt()).min(1.0)),
            alone,
            stations: Vec::new(),
            ceilings: Vec::new(),
            goals: goals(before)?,
            beyond: Vec::new(),
        };
        for name in names(levels) {
            if before.left_out.iter().any(|other| other == name) {
                system.beyond.push((name.to_owned(), Why::Implausible));
            } else {
                system.add(before, name, knee);
            }
        }
        system.guard(levels, knee);
        Ok(system)
    }

    fn add(&mut self, before: &Before<'_>, name: &str, knee: Option<&Level>) {
        let seen = || before.levels.iter().filter_map(|level| level.resources.get(name));
        let Some(last) = seen().next_back() else { return };
        if last.limit.is_none() {
            self.beyond.push((name.to_owned(), Why::NoLimit));
            return;
        }
        let Some((demand, error)) = used(before.levels, name, knee, &self.unit) else {
            self.beyond.push((name.to_owned(), Why::NoDemand));
            return;
        };
        let queues = seen().any(|resource| !refuses(resource));
        let resource = Resource {
            name: name.to_owned(),
            kind: last.kind.clone(),
            visits: visits(before.levels, name, knee),
            error_measured: error,
            used_max: seen().map(|resource| resource.used).fold(0.0, f64::max),
            used_base: seen().next().map_or(0.0, |resource| resource.used),
            replicated: name.starts_with("app.") || last.kind == "pool" && !name.starts_with("gateway."),
            replicas: 1.0,
            guarded_by: None,
            demand,
        };
        if queues {
            self.stations.push(resource);
        } else {
            self.ceilings.push(resource);
        }
    }

    /// A pool guards what is of the same system (`mongodb.pool`, `mongodb.cpu`) and a database that is called `db`, where their time fits into
    /// its hold. A pool whose slots are held longer under load, with nothing known that it guards, is somebody's victim.
    fn guard(&mut self, levels: &[Level], knee: Option<&Level>) {
        let pools: Vec<Resource> =
            self.stations.iter().filter(|resource| resource.kind == "pool").cloned().collect();
        for station in self.stations.iter_mut().filter(|station| station.kind != "pool") {
            let fits = |pool: &&Resource| station.demand.per_unit < pool.demand.per_unit;
            let inside = |near: Near| {
                let is_near = |pool: &&Resource| nearness(&station.name, &pool.name) == Some(near);
                pools.iter().filter(fits).find(is_near)
            };
            let pool = inside(Near::Same).or_else(|| inside(Near::Kind));
            station.guarded_by = pool.map(|pool| pool.name.clone());
        }
        for pool in &pools {
            let guards = self.stations.iter().any(|other| other.guarded_by.as_ref() == Some(&pool.name));
            let held = |level: &Level| level.resources.get(&pool.name)?.hold_ms;
            let growth = knee.and_then(held).zip(levels.first().and_then(held)).map(|(at, base)| at / base);
            if !guards && growth.is_some_and(|growth| growth >= VICTIM_HOLD) {
                self.beyond.push((pool.name.clone(), Why::Victim));
            }
        }
    }

    /// Squared coefficient of variation of a request's time without waiting; that of its parts is taken to be the same.
    pub(super) fn variation(&self) -> f64 {
        self.alone.variation().min(VARIATION_MAX)
    }

    /// The load under which `throughput_per_s` requests a second pass a system in which nobody waits.
    pub(super) fn load_at(&self, throughput_per_s: f64) -> f64 {
        self.unit.load_at(throughput_per_s, self.cycle_s())
    }

    /// The load that fills a resource if nobody ever waited.
    pub(super) fn wall(&self, resource: &Resource) -> f64 {
        let at = resource.demand.filled_at() * capacity(resource.replicas, REPLICAS_KEEP);
        resource.demand.load_at(at, &self.unit, self.cycle_s())
    }

    fn cycle_s(&self) -> f64 {
        self.think_s + self.alone.mean_s()
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.stations.iter().chain(&self.ceilings)
    }
}

/// How near a station is to a pool by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Near {
    /// Both are of one system: `mongodb.cpu` and `mongodb.pool`.
    Same,
    /// One of them is of all that the other is one of (`mongodb.cpu` and `mongodb-1.pool`), or the station is a database by its name.
    Kind,
}

fn nearness(station: &str, pool: &str) -> Option<Near> {
    let system = |name: &'_ str| name.split('.').next().unwrap_or_default().to_owned();
    let (station, pool) = (system(station), system(pool));
    let kind =
        |system: &str| system.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-').to_owned();
    if station == pool {
        return Some(Near::Same);
    }
    let of_kind = kind(&station) == pool || station == kind(&pool);
    (of_kind || matches!(kind(&station).as_str(), "db" | "database")).then_some(Near::Kind)
}

/// Share of each further replica's capacity that is kept, where nothing was measured: the middle of what is usual, which reaches from 0.7 to 1.
pub(super) const REPLICAS_KEEP: f64 = 0.85;
pub(super) const REPLICAS_KEEP_WITHIN: (f64, f64) = (0.7, 1.0);

/// What `factor` times as many replicas can do over what those that were measured can: of each that is added `keep`; those that are taken away take all of
/// theirs.
pub(super) fn capacity(factor: f64, keep: f64) -> f64 {
    if factor > 1.0 { 1.0 + (factor - 1.0) * keep } else { factor }
}

/// Levels up to this part of the first bad one have hardly a queue.
const QUIET: f64 = 0.7;

/// Response times of the quiet levels, each percentile the least of any of them: waiting and what else disturbs a machine only add to them.
fn undisturbed(levels: &[Level], knee: Option<&Level>) -> Latency {
    let quiet = |level: &&Level| knee.is_none_or(|knee| level.level <= QUIET * knee.level);
    let least = |a: Latency, b: &Level| {
        let b = &b.response_ms;
        Latency {
            p50: a.p50.min(b.p50),
            p90: a.p90.min(b.p90),
            p95: a.p95.min(b.p95),
            p99: a.p99.min(b.p99),
            p99_9: a.p99_9.min(b.p99_9),
            max: a.max.min(b.max),
            mean: a.mean.min(b.mean),
        }
    };
    levels.iter().filter(quiet).fold(levels[0].response_ms, least)
}

/// Times without waiting, from the percentiles of the lowest level; the first half is a straight piece that makes the mean what it is.
fn alone(latency: &Latency) -> Alone {
    let rest = [
        (0.5, latency.p50),
        (0.9, latency.p90),
        (0.95, latency.p95),
        (0.99, latency.p99),
        (0.999, latency.p99_9),
        (1.0, latency.max),
    ];
    let upper: f64 =
        rest.windows(2).map(|ends| (ends[1].0 - ends[0].0) * (ends[0].1 + ends[1].1) / 2.0).sum();
    let least = (4.0 * (latency.mean - upper) - latency.p50).clamp(0.0, latency.p50);
    let points: Vec<(f64, f64)> = std::iter::once((0.0, least)).chain(rest).collect();
    Alone::new(&points.iter().map(|(share, ms)| (*share, ms / 1e3)).collect::<Vec<_>>())
}

/// The goals of latency that concern all requests, and the one that the load line is limited by. Errors and dropped arrivals have no model:
/// where they limited the line, it lies where something is full.
fn goals(before: &Before<'_>) -> Result<Vec<(f64, f64)>, Refusal> {
    let limiting = before.load_line.and_then(|line| line.limited_by.as_deref());
    let mut goals = Vec::new();
    for text in before.goals {
        let goal = threshold::parse(text).ok().and_then(|parsed| Goal::from_threshold(parsed).ok());
        let limits = limiting == Some(text.as_str());
        match goal.map(|goal| goal.kind) {
            Some(GoalKind::Latency { name, limit_ns, bad_ratio_max, .. }) if limits || name.is_none() => {
                goals.push((limit_ns as f64 / 1e9, bad_ratio_max));
            }
            Some(_) if limits => return Ok(Vec::new()),
            Some(_) => {}
            None => {
                return Err(Refusal::new(
                    "what_if_goal",
                    format!("the goal `{text}` of the record cannot be read"),
                    "search again with this version",
                ));
            }
        }
    }
    Ok(goals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_pool_guards() {
        for (station, pool, near) in [
            ("mongodb.cpu", "mongodb.pool", Some(Near::Same)),
            ("mongodb-2.cpu", "mongodb-2.pool", Some(Near::Same)),
            ("mongodb-2.cpu", "mongodb-1.pool", None),
            ("mongodb.cpu", "mongodb-1.pool", Some(Near::Kind)),
            ("mongodb-1.cpu", "mongodb.pool", Some(Near::Kind)),
            ("db.cpu", "app.pool", Some(Near::Kind)),
            ("redis.cpu", "app.pool", None),
        ] {
            assert_eq!(nearness(station, pool), near, "{station} {pool}");
        }
    }
}
