//! What breaks a law is named, with its residual, and left out; whatever is wrong with the readings, nobody else is blamed for it.

use super::*;
use crate::analyze::Input;
use crate::analyze::findings::{Findings, findings};
use crate::analyze::testbed::{Simulated, level, pool, unit_users};
use crate::record::rows::SaturationRow;
use crate::record::summary::{Bottleneck, BottleneckStatus, LevelResource};
use crate::search::closed_system::Pool;

const LOADS: [u64; 8] = [100, 200, 400, 800, 566, 476, 519, 544];
const POOL: &str = "mongodb.pool";

/// The pool binds at 511 users; the processor before it carries four times as much.
fn simulated() -> Simulated {
    Simulated::run(&Pool { front_servers: 4, front_s: 0.002, ..Pool::default() }, &LOADS, 100.0)
}

/// What is found when every reading went through `change` first.
fn changed(change: impl FnMut(&mut SaturationRow)) -> Findings {
    let mut simulated = simulated();
    simulated.readings.iter_mut().for_each(change);
    findings(&simulated.input())
}

fn bottleneck(found: &Findings) -> &Bottleneck {
    found.bottleneck.as_ref().expect("there are levels")
}

/// Nobody but the pool is named.
fn blames_no_other(found: &Findings) {
    let named = bottleneck(found).resource.as_deref();
    assert!(named.is_none() || named == Some(POOL), "{}", bottleneck(found).explanation);
}

fn failing<'a>(found: &'a Findings, law: &str) -> Vec<&'a Check> {
    found.checks.iter().filter(|check| check.law == law && !check.holds).collect()
}

fn reason<'a>(found: &'a Findings, name: &str) -> &'a str {
    let rung = found.ladder.iter().find(|rung| rung.resource == name).expect("every resource has a rung");
    assert_eq!(rung.at, None, "{rung:?}");
    rung.reason.as_deref().expect("why not")
}

/// A processor of which a request takes three times as much under the highest load, and at one level a third more than that makes: the curve goes through it
/// as through all others.
#[test]
fn what_lies_off_a_curve_is_said() {
    let found = |off: f64| {
        let mut believed = Believed::default();
        for x in (1..=8).map(|k| 60.0 * f64::from(k)) {
            let used = x * (1e-3 + 4e-6 * x) * if x == 120.0 { off } else { 1.0 };
            let cpu = LevelResource {
                kind: "cpu".to_owned(),
                waiting: None,
                wait_ms: None,
                ..pool(4.0, used, 0.0, 0.0)
            };
            believed.levels.push(level(x, 0.0, [("app.cpu", cpu)]));
            let series = Series { name: "app.cpu".to_owned(), kind: "cpu".to_owned(), samples: Vec::new() };
            believed.series.push(vec![series]);
        }
        let free = unsaturated(&believed.levels, "app.cpu");
        assert!(Demand::of(&free, "app.cpu", &unit_users()).unwrap().curve.is_some());
        let mut checks = Vec::new();
        line(&mut believed, "app.cpu", &unit_users(), &mut checks);
        assert!(believed.unpredicted.is_empty());
        checks
    };
    assert!(found(1.0).iter().all(|check| check.holds));
    let off = found(1.35);
    let off = off.iter().find(|check| check.level == Some(120.0) && !check.holds).expect("it does not hold");
    assert_eq!(off.consequence, "said only: it lies off the curve of its demand");
}

#[test]
fn a_sound_run_breaks_no_law() {
    let found = changed(|_| {});
    assert!(
        found.checks.iter().all(|check| check.holds && check.consequence == "none"),
        "{:?}",
        found.checks
    );
    let laws: std::collections::BTreeSet<&str> =
        found.checks.iter().map(|check| check.law.as_str()).collect();
    let all = ["bound", "forced_flow", "interactive", "little_in_use", "little_waiting", "utilization"];
    assert_eq!(laws.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn a_counter_that_was_set_back_costs_its_reading_only() {
    let mut count = 0;
    let found = changed(|row| {
        count += 1;
        if count % 4 == 0 {
            (row.visits, row.wait_s, row.hold_s) = (None, None, None);
        }
    });
    assert_eq!(bottleneck(&found).resource.as_deref(), Some(POOL));
    assert!(failing(&found, "little_in_use").is_empty());
}

#[test]
fn a_counter_that_wrapped_costs_its_level() {
    // The second reading of the pool at 544 users, which is the lowest level that failed.
    let found = changed(|row| {
        if row.resource == POOL && (row.t_s - 212.0).abs() < 0.5 {
            row.hold_s = Some(4_294_967_296.0);
        }
    });
    let [check] = failing(&found, "little_in_use")[..] else { panic!("{:?}", found.checks) };
    assert_eq!(
        (check.level, check.consequence.as_str()),
        (Some(544.0), "its readings at this level are left out")
    );
    assert!(check.residual < -0.9, "{}", check.residual);
    blames_no_other(&found);
}

#[test]
fn figures_that_cannot_be_are_passed_over_and_counted() {
    let mut count = 0;
    let found = changed(|row| {
        count += 1;
        match count % 7 {
            0 => row.visits = Some(-3.0),
            1 => row.used = f64::NAN,
            2 => row.limit = Some(-1.0),
            _ => {}
        }
    });
    blames_no_other(&found);
    assert!(
        found.warnings.iter().any(|warning| warning.code == "impossible_readings"),
        "{:?}",
        found.warnings
    );
}

#[test]
fn a_gauge_that_lags_a_scrape_changes_nothing() {
    let mut simulated = simulated();
    let mut before = None;
    for row in simulated.readings.iter_mut().filter(|row| row.resource == POOL) {
        let now = (row.used, row.waiting, row.utilization);
        if let Some((used, waiting, utilization)) = before.replace(now) {
            (row.used, row.waiting, row.utilization) = (used, waiting, utilization);
        }
    }
    let found = findings(&simulated.input());
    assert_eq!(bottleneck(&found).resource.as_deref(), Some(POOL), "{}", bottleneck(&found).explanation);
}

#[test]
fn a_clock_that_is_a_level_off_predicts_nothing() {
    let found = changed(|row| row.t_s += 30.0);
    blames_no_other(&found);
    assert!(!failing(&found, "forced_flow").is_empty(), "{:?}", found.checks);
    let cpu = found.ladder.iter().find(|rung| rung.resource == "app.cpu").expect("a rung");
    let off = cpu.at.is_none_or(|at| (at / 2044.0 - 1.0).abs() < 0.1);
    assert!(off || cpu.interval.is_some_and(|[low, high]| low <= 2044.0 && 2044.0 <= high), "{cpu:?}");
    let elsewhere = changed(|row| row.t_s += 1e6);
    assert_eq!(bottleneck(&elsewhere).status, BottleneckStatus::Uninstrumented);
    assert!(bottleneck(&elsewhere).explanation.contains("clock and ours disagree"));
}

#[test]
fn what_tells_no_limit_has_no_wall_and_is_no_full_processor() {
    let processor = Pool { size: 100, front_servers: 4, front_s: 0.008, ..Pool::default() };
    let mut simulated = Simulated::run(&processor, &LOADS, 100.0);
    simulated.readings.iter_mut().for_each(|row| (row.limit, row.utilization) = (None, None));
    let found = findings(&simulated.input());
    assert_eq!(bottleneck(&found).status, BottleneckStatus::Uninstrumented);
    assert_eq!(reason(&found, "app.cpu"), "no limit is told");
}

#[test]
fn a_resource_that_falls_silent_at_the_knee_leaves_nobody_else_to_blame() {
    let cpu = |used: f64| LevelResource {
        kind: "cpu".to_owned(),
        waiting: None,
        wait_ms: None,
        hold_ms: None,
        visits: None,
        ..pool(2.0, used, 0.0, 0.0)
    };
    let base = level(100.0, 20.0, [("app.cpu", cpu(0.4)), ("a.pool", pool(10.0, 2.0, 0.0, 0.02))]);
    let half = level(400.0, 22.0, [("app.cpu", cpu(1.6)), ("a.pool", pool(10.0, 8.0, 0.0, 0.02))]);
    let mut knee = level(500.0, 90.0, [("app.cpu", cpu(1.99))]);
    knee.good = false;
    let judged = |levels: Vec<Level>| {
        let series = vec![Vec::new(); levels.len()];
        let believed = Believed { levels, series, ..Believed::default() };
        crate::analyze::verdict::verdict(&believed, &unit_users()).0.expect("levels")
    };
    let silent = judged(vec![base.clone(), half.clone(), knee.clone()]);
    assert_eq!(silent.resource, None, "{}", silent.explanation);
    assert!(silent.explanation.contains("a.pool told nothing at 500 users"), "{}", silent.explanation);
    knee.resources.insert("a.pool".to_owned(), pool(10.0, 9.0, 0.0, 0.02));
    assert_eq!(judged(vec![base, half, knee]).resource.as_deref(), Some("app.cpu"));
}

#[test]
fn a_level_without_a_reading_is_bridged_or_cannot_be_told() {
    // Nothing was read at 544 users, the lowest level that failed: 566 is near enough to stand in for it.
    let mut simulated = simulated();
    simulated.readings.retain(|row| !(210.0..230.5).contains(&row.t_s));
    let found = findings(&simulated.input());
    blames_no_other(&found);
    assert!(found.warnings.iter().any(|warning| warning.code == "readings_missing"));
    // And where it is the only one that failed, nobody knows.
    let mut simulated = Simulated::run(&Pool::default(), &[100, 400, 600], 100.0);
    simulated.readings.retain(|row| row.t_s < 60.0);
    let found = findings(&simulated.input());
    assert_eq!(bottleneck(&found).status, BottleneckStatus::Uninstrumented);
    assert!(bottleneck(&found).explanation.starts_with("cannot tell"), "{}", bottleneck(&found).explanation);
}

#[test]
fn a_level_that_contradicts_itself_is_left_out_by_name() {
    let mut simulated = simulated();
    simulated.levels[7].users *= 1.3;
    let found = findings(&simulated.input());
    let [check] = failing(&found, "interactive")[..] else { panic!("{:?}", found.checks) };
    assert_eq!(check.level, Some(544.0));
    assert!((check.residual - 0.3).abs() < 0.05 && check.consequence.contains("left out"), "{check:?}");
    assert_eq!(bottleneck(&found).resource.as_deref(), Some(POOL), "566 users tell the same");
    let mut only = Simulated::run(&Pool::default(), &[100, 400, 600], 100.0);
    only.levels[2].users *= 1.3;
    let found = findings(&only.input());
    assert!(bottleneck(&found).explanation.starts_with("cannot tell"), "{}", bottleneck(&found).explanation);
}

#[test]
fn a_think_time_that_is_wrong_everywhere_is_the_plan_s() {
    let simulated = simulated();
    let found = findings(&Input { think_s: Some(0.85), ..simulated.input() });
    let failing = failing(&found, "interactive");
    assert!(
        failing.len() >= 7 && failing.iter().all(|check| check.consequence.starts_with("kept")),
        "{failing:?}"
    );
    assert_eq!(bottleneck(&found).resource.as_deref(), Some(POOL));
}

#[test]
fn a_limit_that_is_not_that_of_what_is_used_is_found_out() {
    let found = changed(|row| {
        if row.resource == POOL {
            row.limit = Some(5.0);
            row.utilization = Some(row.used / 5.0);
        }
    });
    assert!(!failing(&found, "bound").is_empty());
    assert_eq!(bottleneck(&found).status, BottleneckStatus::Uninstrumented);
    assert!(reason(&found, POOL).contains("more than its limit"));
}

#[test]
fn a_probe_of_another_instance_is_found_out() {
    let found = changed(|row| {
        if row.resource == POOL {
            row.used *= 0.2;
        }
    });
    assert!(reason(&found, POOL).contains("-80 %"), "{}", reason(&found, POOL));
    assert_eq!(bottleneck(&found).status, BottleneckStatus::Uninstrumented);
}

#[test]
fn ten_gauges_of_about_one_are_no_proof() {
    let mut simulated = Simulated::run(&Pool::default(), &[50], 100.0);
    // Read as a gauge once a second: whole numbers around the mean of one.
    for (count, row) in simulated.readings.iter_mut().enumerate() {
        row.used = [0.0, 1.0, 3.0, 1.0, 0.0, 2.0, 1.0][count % 7];
    }
    let found = findings(&simulated.input());
    assert!(failing(&found, "little_in_use").is_empty(), "{:?}", found.checks);
}

#[test]
fn visits_that_grow_with_the_load_are_warned_of() {
    let found = changed(|row| {
        let retried = if row.used > 9.0 { 1.4 } else { 1.0 };
        row.visits = row.visits.map(|visits| visits * retried);
    });
    let warned = found.warnings.iter().find(|warning| warning.code == "visits_drift").expect("a warning");
    assert!(warned.text.starts_with("a request visits mongodb.pool"), "{}", warned.text);
}
