//! The findings of whole simulated runs.

use super::*;
use crate::analyze::testbed::Simulated;
use crate::record::summary::BottleneckStatus;
use crate::search::closed_system::Pool;

const LOADS: [u64; 8] = [100, 200, 400, 800, 566, 476, 519, 544];

#[test]
fn the_shipped_scenario_s_run() {
    let system = Pool { front_servers: 2, front_s: 0.000_5, ..Pool::default() };
    let simulated = Simulated::run(&system, &LOADS, 100.0);
    let found = findings(&simulated.input());
    let line = found.load_line.unwrap();
    assert_eq!((line.of.as_str(), line.limited_by.as_deref()), ("users", Some("p99(http) > 100ms")));
    assert!((line.typical.unwrap() / 522.0 - 1.0).abs() < 0.05, "{line:?}");
    let bottleneck = found.bottleneck.unwrap();
    assert_eq!(bottleneck.resource.as_deref(), Some("mongodb.pool"));
    assert!((bottleneck.next[0].at / 4082.0 - 1.0).abs() < 0.05, "{:?}", bottleneck.next);
    assert_eq!(found.warnings, []);
    let order: Vec<f64> = found.levels.iter().map(|level| level.level).collect();
    assert_eq!(order, [100.0, 200.0, 400.0, 476.0, 519.0, 544.0, 566.0, 800.0]);
    for level in &found.levels {
        assert!(
            level.residual_ratio.unwrap().abs() < 0.05 && (level.think_s - 1.0).abs() < 0.05,
            "{level:?}"
        );
    }
}

#[test]
fn a_probe_of_something_else_is_named_and_left_out() {
    let mut simulated = Simulated::run(&Pool::default(), &LOADS, 100.0);
    simulated.readings.iter_mut().for_each(|row| row.used *= 0.5);
    let found = findings(&simulated.input());
    assert_eq!(found.bottleneck.unwrap().status, BottleneckStatus::Uninstrumented);
    insta::assert_snapshot!(found.warnings[0].code, @"resource_excluded");
    assert!(
        found.warnings[0].text.contains("mongodb.pool") && found.warnings[0].text.contains("-50 %"),
        "{}",
        found.warnings[0].text
    );
}

#[test]
fn doubts_are_said() {
    let mut simulated = Simulated::run(&Pool::default(), &[10, 200, 400, 800], 100.0);
    simulated.levels[1].mark.good = false;
    simulated.levels[2].users = 500.0;
    let found = findings(&simulated.input());
    let codes: Vec<&str> = found.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["interactive_law", "too_few_requests", "inversion"]);
    assert_eq!(found.load_line.unwrap().interval, [Some(10.0), Some(200.0)]);
}

#[test]
fn a_run_without_levels_or_conditions_has_no_line() {
    let simulated = Simulated::run(&Pool::default(), &[100], 100.0);
    let unjudged = findings(&Input { judged: false, ..simulated.input() });
    assert!(unjudged.load_line.is_none() && unjudged.levels.len() == 1);
    let empty = findings(&Input { levels: &[], ..simulated.input() });
    assert!(empty.load_line.is_none() && empty.bottleneck.is_none() && empty.levels.is_empty());
}
