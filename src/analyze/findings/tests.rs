//! The findings of whole simulated runs.

use super::*;
use crate::analyze::testbed::Simulated;
use crate::record::summary::BottleneckStatus;
use crate::search::classify::Bound;
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

/// Searches on systems whose first limit is known: a pool of c connections held H, and a processor in front of it or behind it (then part
/// of H) that carries `ratio` times as much. A wrong resource may never be named. Small systems fail their p99 while the processor, whose
/// queue nobody counts, still has room: there it is right to abstain, or to name both.
#[test]
fn the_first_limit_is_named_over_a_grid_of_systems() {
    let (mut right, mut sets, mut abstained) = (0, 0, 0);
    for (size, hold_s) in [(10, 0.02), (4, 0.03)] {
        for (cores, ratio) in [(1, 0.5), (2, 0.8), (4, 0.9), (2, 1.0), (2, 1.25), (4, 3.0)] {
            for behind in [false, true] {
                let work_s = f64::from(cores) * hold_s / (size as f64 * ratio);
                let servers = cores as usize;
                let system = if behind {
                    let own_s = (hold_s - work_s).max(0.001);
                    Pool { size, hold_s: own_s, inner_servers: servers, inner_s: work_s, ..Pool::default() }
                } else {
                    Pool { size, hold_s, front_servers: servers, front_s: work_s, ..Pool::default() }
                };
                let found = findings(&Simulated::search(&system, 50.0, 100.0).input()).bottleneck.unwrap();
                let processor = if behind { "db.cpu" } else { "app.cpu" };
                let truth = if ratio < 1.0 { processor } else { "mongodb.pool" };
                let case = format!(
                    "c={size} H={hold_s} {processor} {ratio}: {} {:?}",
                    found.explanation, found.candidates
                );
                match found.status {
                    BottleneckStatus::Named => {
                        assert!(found.resource.as_deref() == Some(truth) || ratio == 1.0, "{case}");
                        right += 1;
                    }
                    BottleneckStatus::Set => {
                        assert!(ratio <= 1.1, "{case}");
                        assert!(
                            found.candidates.iter().any(|candidate| candidate.resource == truth),
                            "{case}"
                        );
                        sets += 1;
                    }
                    BottleneckStatus::Uninstrumented => {
                        assert!(ratio <= 1.1, "{case}");
                        abstained += 1;
                    }
                    BottleneckStatus::None => panic!("{case}"),
                }
            }
        }
    }
    assert!(right > 12 && right > 2 * abstained, "{right} named, {sets} sets, {abstained} abstentions");
}

/// The processor before the pool carries `ratio` times as much as that: the load that fills it lies ahead, at (Z + R0)·m/D users.
#[test]
fn rungs_and_their_intervals_hold_the_loads_that_theory_gives() {
    let (mut rungs, mut off, mut outside) = (0_usize, 0_usize, 0_usize);
    for (size, hold_s) in [(10, 0.02), (20, 0.01), (4, 0.03)] {
        for (cores, ratio) in [(1, 1.25), (2, 1.5), (2, 2.0), (4, 3.0)] {
            let front_s = cores as f64 * hold_s / (size as f64 * ratio);
            let system = Pool { size, hold_s, front_servers: cores, front_s, ..Pool::default() };
            let found = findings(&Simulated::search(&system, 50.0, 100.0).input());
            let wall = cores as f64 / front_s * (1.0 + hold_s + front_s);
            let rung = found.ladder.iter().find(|rung| rung.resource == "app.cpu").expect("a rung");
            let (Some(at), Some([low, high])) = (rung.at, rung.interval) else { continue };
            rungs += 1;
            off += usize::from((at / wall - 1.0).abs() > 0.1);
            outside += usize::from(!(low..=high).contains(&wall));
        }
    }
    assert!(rungs >= 6 && off <= 1, "{off} of {rungs} are off by more than 10 %");
    assert!(outside <= 2, "{outside} of {rungs} walls lie outside their intervals of 95 %");
}

#[test]
fn noise_far_below_the_line_asks_for_windows() {
    use crate::record::rows::SearchSettings;
    let mut simulated = Simulated::run(&Pool::default(), &LOADS, 100.0);
    let warned = |simulated: &Simulated, windows: u32| {
        let settings = SearchSettings { window_s: 10.0, windows, exceed: 0.5, ..SearchSettings::default() };
        let found = findings(&Input { search: Some(&settings), ..simulated.input() });
        found.warnings.into_iter().find(|warning| warning.code == "windows_too_few")
    };
    assert_eq!(warned(&simulated, 3), None, "not one window was bad");
    simulated.levels[0].mark.goals[0].windows_bad = 1;
    assert_eq!(warned(&simulated, 3), None, "one of six says too little");
    simulated.levels[1].mark.goals[0].windows_bad = 1;
    let warning = warned(&simulated, 3).expect("two of six");
    insta::assert_snapshot!([warning.text, warning.remedy].join("\n"), @r"
    2 of 6 windows far below the load line were bad: noise of that size turns one of 8 levels with 19 % probability where 3 windows decide
    write windows: 9, or find with --effort full
    ");
    assert_eq!(warned(&simulated, 11), None, "eleven are enough for that");
    // Near the line a bad window is what the search is after.
    (0..2).for_each(|level| simulated.levels[level].mark.goals[0].windows_bad = 0);
    (5..8).for_each(|level| simulated.levels[level].mark.goals[0].windows_bad = 2);
    assert_eq!(warned(&simulated, 3), None);
}

/// The deciding goal looks at one endpoint of many: its ratio is over its own requests.
#[test]
fn the_line_is_that_of_the_goal_that_decides() {
    let simulated = Simulated::run(&Pool::default(), &LOADS, 100.0);
    let alone = findings(&simulated.input()).load_line.unwrap();
    let mut crowded = Simulated::run(&Pool::default(), &LOADS, 100.0);
    for level in &mut crowded.levels {
        level.requests *= 100;
        let errors = GoalResult {
            text: "error_rate > 1%".into(),
            bound: Bound::Lower,
            bad_ratio_max: 0.01,
            requests: level.requests,
            windows: 3,
            ..GoalResult::default()
        };
        level.mark.goals.push(errors);
    }
    let line = findings(&crowded.input()).load_line.unwrap();
    assert_eq!((line.typical, line.interval), (alone.typical, alone.interval));
    assert_eq!((line.goals[0].typical, line.goals[0].interval), (line.typical, line.interval));
    assert_eq!(
        (line.goals[1].text.as_str(), line.goals[1].interval),
        ("error_rate > 1%", [Some(800.0), None])
    );
}
