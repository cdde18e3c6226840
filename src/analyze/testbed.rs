//! Systems whose truth is known, for tests only: hand-made levels, and levels with readings from the simulated closed system.

use super::findings::result;
use super::wall::Unit;
use super::{Input, LevelInput};
use crate::record::rows::{LevelMark, SaturationRow};
use crate::record::summary::{Latency, Level, LevelResource};
use crate::scenario::plan::{LoadUnit, SearchRules};
use crate::search::classify::Bound;
use crate::search::closed_system::{Observed, Pool, Second};
use crate::search::controller::Search;
use crate::search::goal::TRIAL_REQUESTS_MIN;
use crate::search::level::GoalResult;
use crate::search::{Levels, Step};
use std::collections::BTreeMap;

pub(super) fn unit_users() -> Unit {
    Unit { of: LoadUnit::Users, think_s: Some(1.0), requests_per_iteration: 1.0 }
}

/// A level at which as many requests complete a second as its number says.
pub(super) fn level<const N: usize>(at: f64, mean_ms: f64, resources: [(&str, LevelResource); N]) -> Level {
    let response_ms = Latency { mean: mean_ms, ..Latency::default() };
    Level {
        level: at,
        users: at,
        offered_per_s: at,
        throughput_per_s: at,
        good: true,
        failed_by: None,
        error_ratio: 0.0,
        span_s: [0.0, 10.0],
        truncated_s: None,
        think_s: 1.0,
        residual_ratio: None,
        response_ms,
        service_ms: response_ms,
        resources: resources.into_iter().map(|(name, resource)| (name.to_owned(), resource)).collect(),
    }
}

/// A pool as a level sees it: one visit a request, wait by Little's law at 500 visits a second.
pub(super) fn pool(limit: f64, used: f64, waiting: f64, hold_s: f64) -> LevelResource {
    LevelResource {
        kind: "pool".to_owned(),
        used,
        limit: Some(limit),
        waiting: Some(waiting),
        utilization: Some(used / limit),
        full_ratio: if used / limit >= 0.98 { 1.0 } else { 0.0 },
        wait_ms: Some(waiting / 500.0 * 1e3),
        hold_ms: Some(hold_s * 1e3),
        visits: Some(1.0),
        errors_per_s: None,
    }
}

/// What tells how much of it is used and nothing of who waits.
pub(super) fn silent(kind: &str, used: f64, limit: f64) -> LevelResource {
    LevelResource {
        kind: kind.to_owned(),
        waiting: None,
        wait_ms: None,
        hold_ms: None,
        visits: None,
        ..pool(limit, used, 0.0, 0.0)
    }
}

/// A run over several levels of the simulated system: `app.cpu` before the pool (no waits told, as of a real processor), `mongodb.pool`,
/// and `db.cpu` behind it.
pub(super) struct Simulated {
    pub(super) levels: Vec<LevelInput>,
    pub(super) readings: Vec<SaturationRow>,
}

const HOLD_S: f64 = 20.0;

impl Simulated {
    /// Levels in the given order, 20 s each, bad when their p99 is above `p99_ms_max`.
    pub(super) fn run(system: &Pool, loads: &[u64], p99_ms_max: f64) -> Self {
        let mut simulated = Self { levels: Vec::new(), readings: Vec::new() };
        for &users in loads {
            simulated.judge(system, users, p99_ms_max);
        }
        simulated
    }

    /// The levels that a search for the load line visits.
    pub(super) fn search(system: &Pool, from: f64, p99_ms_max: f64) -> Self {
        let rules = SearchRules {
            from,
            to: 1e5,
            grow: 2.0,
            precision: 0.05,
            exceed: 0.5,
            fail_when: Vec::new(),
            effort: None,
            guarantee: false,
            soak: std::time::Duration::ZERO,
        };
        let mut simulated = Self { levels: Vec::new(), readings: Vec::new() };
        let mut search = Search::new(rules, 3, LoadUnit::Users);
        while let Step::Probe { level, .. } = search.next() {
            simulated.judge(system, level as u64, p99_ms_max);
            search.record(result(&simulated.levels[simulated.levels.len() - 1].mark));
        }
        simulated
    }

    fn judge(&mut self, system: &Pool, users: u64, p99_ms_max: f64) {
        let index = self.levels.len();
        let from_s = 30.0 * index as f64;
        let observed = system.run(users, 5.0, HOLD_S, 40 + index as u64);
        self.levels.push(level_input(&observed, users as f64, from_s, p99_ms_max));
        let limits = [system.front_servers, system.size, system.inner_servers];
        let used = [system.front_s > 0.0, true, system.inner_s > 0.0];
        for second in 0..observed.stations[1].len() {
            for station in (0..3).filter(|&station| used[station]) {
                let seen = observed.stations[station][second];
                let t_s = from_s + second as f64 + 1.0;
                self.readings.push(reading(station, t_s, seen, limits[station] as f64));
            }
        }
    }

    /// The same run as seen without some of its resources.
    pub(super) fn without(mut self, resource: &str) -> Self {
        self.readings.retain(|row| row.resource != resource);
        self
    }

    /// The same run as read once in so many seconds, but for the first reading of each level, which is mostly of what was before.
    pub(super) fn read_every(mut self, seconds: f64) -> Self {
        let mut parts: BTreeMap<(u64, String), Vec<SaturationRow>> = BTreeMap::new();
        for row in self.readings.drain(..) {
            let second = row.t_s % 30.0;
            let part = if second < 2.0 { 0.0 } else { 1.0 + ((second - 2.0) / seconds).floor() };
            let level = ((row.t_s - second) / 30.0) as u64;
            parts.entry((100 * level + part as u64, row.resource.clone())).or_default().push(row);
        }
        self.readings = parts.into_values().map(|rows| together(&rows)).collect();
        self
    }

    pub(super) fn input(&self) -> Input<'_> {
        Input {
            unit: LoadUnit::Users,
            think_s: Some(1.0),
            requests_per_iteration: 1.0,
            judged: true,
            levels: &self.levels,
            soaks: &[],
            search: None,
            readings: &self.readings,
        }
    }
}

/// One reading over the time of several.
fn together(rows: &[SaturationRow]) -> SaturationRow {
    let n = rows.len() as f64;
    let mean =
        |of: fn(&SaturationRow) -> Option<f64>| rows.iter().map(of).sum::<Option<f64>>().map(|sum| sum / n);
    let sum = |of: fn(&SaturationRow) -> Option<f64>| rows.iter().map(of).sum::<Option<f64>>();
    SaturationRow {
        used: mean(|row| Some(row.used)).unwrap_or(0.0),
        waiting: mean(|row| row.waiting),
        utilization: mean(|row| row.utilization),
        visits: sum(|row| row.visits),
        wait_s: sum(|row| row.wait_s),
        hold_s: sum(|row| row.hold_s),
        ..rows[rows.len() - 1].clone()
    }
}

fn level_input(observed: &Observed, users: f64, from_s: f64, p99_ms_max: f64) -> LevelInput {
    let mut ms: Vec<f64> = observed.responses.iter().map(|response| response.1 * 1e3).collect();
    ms.sort_by(f64::total_cmp);
    let at = |quantile: f64| ms[((ms.len() as f64 * quantile) as usize).min(ms.len() - 1)];
    let mean = ms.iter().sum::<f64>() / ms.len() as f64;
    let response_ms = Latency {
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        p99_9: at(0.999),
        max: at(1.0),
        mean,
    };
    let bad_ratio = ms.iter().filter(|&&ms| ms > p99_ms_max).count() as f64 / ms.len() as f64;
    let good = bad_ratio <= 0.01;
    let mark = LevelMark {
        level: users,
        from_s,
        to_s: from_s + HOLD_S,
        good,
        failed_by: (!good).then(|| format!("p99(http) > {p99_ms_max}ms")),
        bad_ratio,
        bad_ratio_max: 0.01,
        windows_bad: u32::from(!good) * 3,
        windows: 3,
        asked: 3,
        enough: ms.len() as u64 >= TRIAL_REQUESTS_MIN,
        goals: vec![GoalResult {
            text: format!("p99(http) > {p99_ms_max}ms"),
            bound: if good { Bound::Lower } else { Bound::Upper },
            bad_ratio,
            bad_ratio_max: 0.01,
            window_bad_ratio: bad_ratio,
            requests: ms.len() as u64,
            windows: 3,
            windows_bad: u32::from(!good) * 3,
        }],
        ..LevelMark::default()
    };
    let requests = ms.len() as u64;
    LevelInput {
        mark,
        users,
        offered_per_s: requests as f64 / HOLD_S,
        requests,
        failed: 0,
        response_ms,
        service_ms: response_ms,
    }
}

fn reading(station: usize, t_s: f64, seen: Second, limit: f64) -> SaturationRow {
    let (resource, kind) = [("app.cpu", "cpu"), ("mongodb.pool", "pool"), ("db.cpu", "cpu")][station];
    let told = |value: f64| (kind == "pool").then_some(value);
    SaturationRow {
        t_s,
        resource: resource.to_owned(),
        kind: kind.to_owned(),
        used: seen.busy_s,
        limit: Some(limit),
        waiting: told(seen.waiting_s),
        utilization: Some(seen.busy_s / limit),
        errors: None,
        visits: told(seen.visits),
        wait_s: told(seen.wait_s),
        hold_s: told(seen.hold_s),
    }
}
