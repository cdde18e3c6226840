//! A search for the load line of a pool of 10 that is held 20 ms, under users who think for a second: N* = 510.

use super::closed_system::{Steady, System};
use super::{Record, endpoint, event, manifest, summary};
use plimsoll::record::rows::{LevelMark, PhaseMark, SaturationRow, SearchSettings, TimelineRow};
use plimsoll::record::summary::{
    Bottleneck, BottleneckStatus, Candidate, Check, Counts, EndpointResult, GoalLine, Latency, Level,
    LevelResource, LoadLine, NextWall, RequestCounts, Rung, ThresholdResult, Verdict,
};
use std::collections::BTreeMap;
use std::sync::LazyLock;

const SYSTEM: System = System { pool: 10, hold_s: 0.02, think_s: 1.0 };
const LEVELS: [usize; 8] = [100, 200, 400, 800, 566, 476, 519, 544];
pub(super) const GOAL: &str = "p99(http) > 100ms";
const ERRORS: &str = "error_rate > 1%";
const GOAL_MS: f64 = 100.0;
/// Settle, hold and cool-down of one level, seconds.
pub(super) const SETTLE_S: f64 = 4.0;
const HOLD_S: f64 = 12.0;
const COOLDOWN_S: f64 = 2.75;
const LEVEL_S: f64 = SETTLE_S + HOLD_S + COOLDOWN_S;
/// Cores the handler burns for one request, and cores there are.
const CPU_S_PER_REQUEST: f64 = 0.000_5;
const CORES: f64 = 2.0;
const HEAP_LIMIT_BYTES: f64 = 256.0 * 1024.0 * 1024.0;
const QUANTILES: [f64; 15] =
    [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9975, 0.999, 0.9995, 0.9999, 0.99999, 1.0];

pub(crate) fn found() -> Record {
    static FOUND: LazyLock<Record> = LazyLock::new(|| search(&LEVELS));
    FOUND.clone()
}

pub(super) fn search(levels: &[usize]) -> Record {
    let duration_s = levels.len() as f64 * LEVEL_S;
    let mut manifest = manifest("mongo-ceiling", "find", duration_s);
    manifest.scenario_text = SCENARIO.into();
    manifest.endpoints = vec![endpoint("product", "http", "GET /api/products/{id}")];
    manifest.phases = vec![PhaseMark { name: "search".into(), from_s: 0.0, to_s: duration_s }];
    manifest.level_unit = Some("users".into());
    manifest.goals = vec![GOAL.into(), ERRORS.into()];
    manifest.search = Some(SearchSettings {
        effort: None,
        window_s: 4.0,
        windows: 3,
        exceed: 0.5,
        precision: 0.05,
        soak_s: None,
    });
    manifest.thresholds = vec!["error_rate < 1%".into()];
    let mut record = Record {
        summary: summary("mongo-ceiling", Verdict::Pass, 0, "load line found at 531 users"),
        manifest,
        timeline: vec![],
        saturation: vec![],
        events: vec![event(0.0, "run", "the search begins at 100 users and grows 2x")],
    };
    for (i, &users) in levels.iter().enumerate() {
        add_level(&mut record, i as f64 * LEVEL_S, users);
    }
    record.events.push(event(duration_s, "search", "bracket within 5 %: 519 users good, 544 bad"));
    conclude(&mut record, levels);
    record
}

fn add_level(record: &mut Record, begin_s: f64, users: usize) {
    let steady = SYSTEM.steady(users);
    let (from_s, to_s) = (begin_s + SETTLE_S, begin_s + SETTLE_S + HOLD_S);
    let good = steady.response_ms(0.99) <= GOAL_MS;
    let bad_ratio =
        (1..1000).filter(|i| steady.response_ms(*i as f64 / 1000.0) > GOAL_MS).count() as f64 / 1000.0;
    let bracket = bracket(record, users, good);
    // The first level finds the caches cold.
    let truncated_s = if record.manifest.levels.is_empty() { 5.0 } else { 0.0 };
    record.manifest.levels.push(LevelMark {
        level: users as f64,
        from_s,
        to_s,
        good,
        failed_by: (!good).then(|| GOAL.into()),
        bad_ratio,
        bad_ratio_max: 0.01,
        windows_bad: if good { 0 } else { 3 },
        windows: 3,
        asked: 3,
        enough: true,
        goals: vec![],
        bracket,
        counts_from_s: Some(from_s + truncated_s),
        ..LevelMark::default()
    });
    let said = if good { "good, so more" } else { "bad, so less" };
    record.events.push(event(to_s, "level", &format!("{users} users {said}")));
    let x = steady.throughput_per_s;
    let mean_ms = (1..1000).map(|i| steady.response_ms(f64::from(i) / 1000.0)).sum::<f64>() / 999.0;
    record.summary.levels.push(Level {
        level: users as f64,
        users: users as f64,
        offered_per_s: x,
        throughput_per_s: x,
        good,
        failed_by: (!good).then(|| GOAL.into()),
        error_ratio: 0.0,
        span_s: [from_s + truncated_s, to_s],
        truncated_s: Some(truncated_s),
        think_s: users as f64 / x - mean_ms / 1000.0,
        residual_ratio: Some(users as f64 / (x * (SYSTEM.think_s + mean_ms / 1000.0)) - 1.0),
        response_ms: latency(&steady, 0.0),
        service_ms: latency(&steady, 0.05),
        resources: resources(&steady),
    });
    let mut second = begin_s.ceil() as u32;
    while f64::from(second) < begin_s + LEVEL_S {
        let t_s = f64::from(second) + 1.0;
        let cooling = f64::from(second) >= to_s;
        let state = if cooling { SYSTEM.steady(users / 5) } else { SYSTEM.steady(users) };
        add_second(record, t_s, if cooling { users / 5 } else { users }, &state);
        second += 1;
    }
}

/// The bracket once `level` is judged, too.
fn bracket(record: &Record, level: usize, good: bool) -> [Option<f64>; 2] {
    let level = level as f64;
    let [below, above] = record.manifest.levels.last().map_or([None, None], |mark| mark.bracket);
    if good {
        [Some(below.map_or(level, |l: f64| l.max(level))), above]
    } else {
        [below, Some(above.map_or(level, |l: f64| l.min(level)))]
    }
}

fn add_second(record: &mut Record, t_s: f64, users: usize, state: &Steady) {
    // A wobble of 3 % that repeats, so that the lines look measured and stay the same.
    let wobble = 1.0 + 0.03 * (t_s * 1.7).sin();
    let sent = (state.throughput_per_s * wobble).round() as u64;
    let at = |q: f64| state.response_ms(q) * (1.0 + 0.06 * (t_s * 2.3).sin() * q);
    record.timeline.push(TimelineRow {
        t_s,
        endpoint: "product".into(),
        users: users as u64,
        offered: sent,
        sent,
        completed: sent,
        failed: 0,
        dropped: 0,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p99_9: at(0.999),
        max: at(0.9999),
        service_p50: at(0.5) - 0.05,
        service_p99: at(0.99) - 0.1,
        service_max: at(0.9999) - 0.2,
        bytes_received: sent * 612,
        bytes_sent: sent * 118,
    });
    let x = state.throughput_per_s * wobble;
    let used = (state.in_use * wobble).min(10.0);
    for (name, r) in resources(state) {
        let used = if name == "mongodb.pool" { used } else { r.used * wobble };
        record.saturation.push(SaturationRow {
            t_s,
            resource: name,
            kind: r.kind,
            used,
            limit: r.limit,
            waiting: r.waiting.map(|waiting| (waiting * wobble).round()),
            utilization: r.limit.map(|limit| used / limit),
            errors: Some(0.0),
            visits: r.visits.map(|visits| visits * x),
            wait_s: r.wait_ms.map(|wait| wait * x / 1000.0),
            hold_s: r.hold_ms.map(|hold| hold * x / 1000.0),
        });
    }
}

fn resources(steady: &Steady) -> BTreeMap<String, LevelResource> {
    let plain = |kind: &str, used: f64, limit: f64| LevelResource {
        kind: kind.into(),
        used,
        limit: Some(limit),
        waiting: None,
        utilization: Some(used / limit),
        full_ratio: 0.0,
        wait_ms: None,
        hold_ms: None,
        visits: None,
        errors_per_s: None,
    };
    let pool = LevelResource {
        waiting: Some(steady.waiting),
        full_ratio: steady.full_ratio,
        wait_ms: Some(steady.wait_ms()),
        hold_ms: Some(1000.0 * SYSTEM.hold_s),
        visits: Some(1.0),
        errors_per_s: None,
        ..plain("pool", steady.in_use, SYSTEM.pool as f64)
    };
    let cpu = plain("cpu", 0.05 + steady.throughput_per_s * CPU_S_PER_REQUEST, CORES);
    let heap = plain("memory", 24e6 + 9000.0 * (steady.in_use + steady.waiting), HEAP_LIMIT_BYTES);
    [("mongodb.pool", pool), ("app.cpu", cpu), ("app.heap", heap)]
        .map(|(name, r)| (name.to_owned(), r))
        .into()
}

fn latency(steady: &Steady, less_ms: f64) -> Latency {
    let at = |q| steady.response_ms(q) - less_ms;
    Latency {
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        p99_9: at(0.999),
        max: at(0.99999),
        mean: (1..1000).map(|i| at(f64::from(i) / 1000.0)).sum::<f64>() / 999.0,
    }
}

fn conclude(record: &mut Record, levels: &[usize]) {
    let summary = &mut record.summary;
    let sent: u64 = record.timeline.iter().map(|row| row.sent).sum();
    summary.counts = Counts { planned: sent + 41, completed: sent, interrupted: 41, ..Counts::default() };
    summary.requests = RequestCounts {
        sent: sent + 41,
        ok: sent,
        failed: 0,
        interrupted: 41,
        bytes_sent: 118 * sent,
        bytes_received: 612 * sent,
        connections_opened: 804,
        ..RequestCounts::default()
    };
    let last_good = summary.levels.iter().filter(|l| l.good).map(|l| l.level).reduce(f64::max);
    let first_bad = summary.levels.iter().filter(|l| !l.good).map(|l| l.level).reduce(f64::min);
    summary.load_line = Some(LoadLine {
        of: "users".into(),
        typical: last_good.map(|good| first_bad.map_or(good, |bad| (good * bad).sqrt().floor())),
        guaranteed: None,
        noise_gap: None,
        interval: [last_good, first_bad],
        interval_kind: "bracket".into(),
        confidence: None,
        limited_by: first_bad.map(|_| GOAL.into()),
        goals: vec![],
        soaks: vec![],
    });
    if let Some(line) = &mut summary.load_line {
        let alone = |text: &str, typical, interval| GoalLine { text: text.into(), typical, interval };
        // Nothing failed, so errors have no upper bound.
        let highest = summary.levels.iter().filter(|l| l.good).map(|l| l.level).reduce(f64::max);
        line.goals = vec![alone(GOAL, line.typical, line.interval), alone(ERRORS, highest, [highest, None])];
    }
    let all = together(levels);
    let at = |q: f64| all[((all.len() - 1) as f64 * q).round() as usize];
    let latency = |less_ms: f64| Latency {
        p50: at(0.5) - less_ms,
        p90: at(0.9) - less_ms,
        p95: at(0.95) - less_ms,
        p99: at(0.99) - less_ms,
        p99_9: at(0.999) - less_ms,
        max: at(1.0) - less_ms,
        mean: all.iter().sum::<f64>() / all.len() as f64 - less_ms,
    };
    summary.endpoints = vec![EndpointResult {
        name: "product".into(),
        protocol: "http".into(),
        count: sent,
        failed: 0,
        response_ms: latency(0.0),
        service_ms: latency(0.05),
        curve: QUANTILES.iter().map(|&q| [q, at(q), at(q) - 0.05]).collect(),
    }];
    summary.thresholds = vec![ThresholdResult {
        text: "error_rate < 1%".into(),
        value: Some(0.0),
        samples: sent,
        result: "pass".into(),
        note: None,
    }];
    summary.bottleneck = Some(pool_gives_way());
    summary.ladder = ladder();
    summary.checks = checks();
}

/// The response times of all levels, in order: each level gives as many as its throughput.
fn together(levels: &[usize]) -> Vec<f64> {
    let mut all = Vec::new();
    for &users in levels {
        let steady = SYSTEM.steady(users);
        let samples = (steady.throughput_per_s * 4.0) as u32;
        all.extend((0..samples).map(|i| steady.response_ms((f64::from(i) + 0.5) / f64::from(samples))));
    }
    all.sort_by(f64::total_cmp);
    all
}

/// At 544 users, with the onset where the pool's wait leaves zero and `next` = m/D of each other resource times (Z + R).
fn pool_gives_way() -> Bottleneck {
    let knee = SYSTEM.steady(544);
    let wall = |resource: &str, x_max: f64| NextWall {
        resource: resource.into(),
        at: x_max * (SYSTEM.think_s + SYSTEM.hold_s),
        extrapolated: x_max / 500.0,
        evidence: "extrapolated".into(),
    };
    Bottleneck {
        status: BottleneckStatus::Named,
        resource: Some("mongodb.pool".into()),
        candidates: vec![candidate("mongodb.pool", Some(0.97), Some(0.93))],
        kind: Some("pool".into()),
        used: Some(knee.in_use),
        limit: Some(10.0),
        waiting: Some(knee.waiting),
        onset: Some(505.0),
        onset_interval: Some([481.0, 515.0]),
        latency_knee: Some(507.0),
        latency_knee_interval: Some([484.0, 519.0]),
        share_of_added_latency: Some(0.93),
        share_of_failures: None,
        evidence: "measured".into(),
        probability: Some(0.97),
        next: vec![wall("app.cpu", (CORES - 0.05) / CPU_S_PER_REQUEST), wall("app.heap", 25_000.0)],
        explanation: "All 10 connections are held while requests wait for one; the hold time did not change with load, so the \
                      size of the pool binds and not what it guards."
            .into(),
    }
}

/// The pool as it was seen, what follows, and one that does not tell its limit.
fn ladder() -> Vec<Rung> {
    let rung = |resource: &str, kind: &str, at: Option<f64>| Rung {
        resource: resource.into(),
        kind: kind.into(),
        of: "users".into(),
        at,
        interval: at.map(|at| [at * 0.95, at * 1.04]),
        confidence: at.map(|_| 0.95),
        evidence: at.map(|_| "extrapolated".into()),
        factor: at.map(|at| at / 510.0),
        demand_moved: None,
        reason: None,
    };
    let pool = rung("mongodb.pool", "pool", Some(505.0));
    vec![
        Rung { interval: Some([481.0, 515.0]), evidence: Some("measured".into()), factor: None, ..pool },
        rung("app.cpu", "cpu", Some((CORES - 0.05) / CPU_S_PER_REQUEST * (SYSTEM.think_s + SYSTEM.hold_s))),
        rung("app.heap", "memory", Some(25_500.0)),
        Rung { reason: Some("no limit is told".into()), ..rung("gateway.connections", "pool", None) },
    ]
}

fn checks() -> Vec<Check> {
    let check = |law: &str, resource: Option<&str>, level: f64, residual: f64, bound: f64| Check {
        law: law.into(),
        resource: resource.map(Into::into),
        level: Some(level),
        residual,
        bound,
        holds: residual <= bound,
        consequence: "none".into(),
    };
    vec![
        check("interactive", None, 544.0, 0.012, 0.05),
        check("little_in_use", Some("mongodb.pool"), 100.0, 0.031, 0.1),
        Check {
            consequence:
                "said only: visits a request change with the load (retries, cache misses), or readings lag"
                    .into(),
            ..check("forced_flow", Some("app.cpu"), 800.0, 0.21, 0.15)
        },
    ]
}

pub(super) fn candidate(
    resource: &str,
    probability: Option<f64>,
    share_of_added_latency: Option<f64>,
) -> Candidate {
    Candidate { resource: resource.into(), probability, share_of_added_latency }
}

const SCENARIO: &str = "\
name: mongo-ceiling
target: {bundled: baseline}
scenarios:
  browse:
    - get: /api/products/${int(1, 1000)}
      name: product
    - think: 0.5s..1.5s
load:
  - name: limit
    run: browse
    executor: breakpoint
    of: users
    from: 100
    to: 20k
    grow: 2x
    fail_when: [p99(http) > 100ms, error_rate > 1%]
";
