//! Predictions from made-up levels whose truth is arithmetic, and what is refused.

mod moving;
mod pages;

use super::*;
use crate::analyze::testbed::{level, pool, unit_users};
use crate::record::summary::{Latency, LevelResource};

const GOAL: &str = "p99(http) > 100ms";

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

fn heap(limit: f64, used: f64) -> LevelResource {
    LevelResource { kind: "memory".to_owned(), ..cpu(limit, used) }
}

/// A pool of 10 held 20 ms, a processor of one core at 0.25 ms a request, a heap of 50 kB a user, users who think for a second: full at 510, bad
/// from 533 on.
fn levels() -> Vec<Level> {
    [100.0, 200.0, 400.0, 519.0, 544.0, 800.0]
        .into_iter()
        .map(|users: f64| {
            let rate = users.min(510.0) / 1.02;
            let waiting = (users - 510.0).max(0.0);
            let wait_ms = waiting / rate * 1e3;
            let mut level = level(
                users,
                20.0 + wait_ms,
                [
                    ("app.cpu", cpu(1.0, 0.01 + rate * 2.5e-4)),
                    ("app.heap", heap(2e9, 1e8 + users * 5e4)),
                    (
                        "mongodb.pool",
                        LevelResource { wait_ms: Some(wait_ms), ..pool(10.0, rate * 0.02, waiting, 0.02) },
                    ),
                    ("app.lag", LevelResource { limit: None, ..pool(1.0, 0.1, 0.0, 0.0) }),
                ],
            );
            level.throughput_per_s = rate;
            level.good = users < 530.0;
            let mean = 20.0 + wait_ms;
            level.response_ms = Latency {
                p50: mean,
                p90: mean,
                p95: mean,
                p99: mean + 1.0,
                p99_9: mean + 2.0,
                max: mean + 3.0,
                mean,
            };
            level
        })
        .collect()
}

fn line(typical: f64, good: f64, bad: f64) -> LoadLine {
    LoadLine {
        of: "users".to_owned(),
        typical: Some(typical),
        guaranteed: None,
        interval: [Some(good), Some(bad)],
        interval_kind: "bracket".to_owned(),
        confidence: None,
        noise_gap: None,
        goals: Vec::new(),
        soaks: Vec::new(),
        limited_by: Some(GOAL.to_owned()),
    }
}

fn asked(levels: &[Level], line: Option<&LoadLine>, texts: &[&str]) -> Result<WhatIf, Refusal> {
    let goals = [GOAL.to_owned()];
    let changes: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    predict(&before(levels, line, &goals), &Change::read_all(&changes)?)
}

fn before<'a>(levels: &'a [Level], load_line: Option<&'a LoadLine>, goals: &'a [String]) -> Before<'a> {
    Before {
        levels,
        left_out: &[],
        load_line,
        bottleneck: None,
        goals,
        unit: unit_users(),
        think_variation: None,
        seed: 1,
    }
}

fn ask(texts: &[&str]) -> Result<WhatIf, Refusal> {
    asked(&levels(), Some(&line(530.0, 519.0, 544.0)), texts)
}

#[test]
fn twice_the_slots_carry_twice_the_users() {
    let found = ask(&["mongodb.pool=20"]).unwrap();
    // The goal allows twice the queue as well, and chance is less among twice as many.
    assert!(found.gain > 2.0 && found.gain < 2.08, "{found:?}");
    assert_eq!(found.limited_by.as_deref(), Some("mongodb.pool"));
    assert_eq!(
        (found.evidence.as_str(), found.changes[0].from, found.changes[0].to),
        ("extrapolated", 10.0, 20.0)
    );
    assert!((found.factor - 2.0).abs() < 0.01 && (found.calibration - 1.0).abs() < 0.05);
    let [low, high] = found.load_line.interval;
    assert!(
        low < found.load_line.typical && found.load_line.typical < high && high / low < 1.25,
        "{found:?}"
    );
    assert_eq!(found, ask(&["mongodb.pool=2x"]).unwrap(), "the same in other words, and the same draws");
}

/// 1 core less 0.01 over 0.25 ms is 3,960 requests a second, of 1.02 s each: 4,039 users, and of the 317 that may wait within the goal those that
/// chance leaves.
#[test]
fn the_gain_is_capped_by_the_next_resource() {
    let found = ask(&["mongodb.pool=100"]).unwrap();
    assert_eq!(found.limited_by.as_deref(), Some("app.cpu"), "{found:?}");
    assert!((found.load_line.typical / 4300.0 - 1.0).abs() < 0.05, "{found:?}");
    assert_eq!(found.next[0].resource, "mongodb.pool");
    insta::assert_snapshot!(found.explanation, @"The load line would be at 4,330 users, between 3,930 users and 4,780 users with 90 % confidence, 8.17x the 530 users that were measured; app.cpu limits it there, and mongodb.pool would at 5,590 users. That is an extrapolation: 7.41x the most that was measured.");
    let both = ask(&["mongodb.pool=100", "app.cpu=4"]).unwrap();
    assert_eq!(both.limited_by.as_deref(), Some("mongodb.pool"));
    assert!((both.load_line.typical / 5500.0 - 1.0).abs() < 0.05, "{both:?}");
    let memory = ask(&["mongodb.pool=1000", "app.cpu=40", "app.heap=1GB"]).unwrap();
    assert_eq!(memory.limited_by.as_deref(), Some("app.heap"), "{memory:?}");
    assert!((memory.load_line.typical / 18_000.0 - 1.0).abs() < 0.05, "{memory:?}");
}

#[test]
fn a_change_of_what_does_not_limit_gains_nothing() {
    let found = ask(&["app.cpu=4"]).unwrap();
    assert!((found.gain - 1.0).abs() < 0.03, "{found:?}");
    assert!(found.explanation.contains("no gain"), "{}", found.explanation);
    assert_eq!(
        (found.limited_by.as_deref(), found.evidence.as_str()),
        (Some("mongodb.pool"), "interpolated")
    );
}

#[test]
fn half_the_hold_is_twice_the_users() {
    let found = ask(&["mongodb.pool.demand=0.5x"]).unwrap();
    assert!((found.gain - 2.0).abs() < 0.08, "{found:?}");
    assert_eq!(found.changes[0].resource, "mongodb.pool.demand");
    let quarter = ask(&["mongodb.pool.demand=0.25x"]).unwrap();
    assert_eq!(quarter.evidence, "extrapolated", "the pool is as full as ever, but under a load nobody sent");
    assert!((quarter.factor - quarter.load_line.typical / 800.0).abs() < 0.01, "{quarter:?}");
}

#[test]
fn replicas_multiply_what_is_theirs() {
    let same = ask(&["replicas=1x"]).unwrap();
    assert!((same.gain - 1.0).abs() < 0.03 && same.explanation.contains("no gain"), "{same:?}");
    let half = ask(&["replicas=0.5x"]).unwrap();
    assert!((half.gain - 0.5).abs() < 0.03, "{half:?}");
    let triple = ask(&["replicas=3x"]).unwrap();
    assert!((triple.gain - 2.7).abs() < 0.1, "one, and 0.85 of each of two: {triple:?}");
    assert!(triple.load_line.interval[1] / triple.load_line.interval[0] > 1.15, "{triple:?}");
    let (first, last) =
        (ask(&["replicas=2x", "mongodb.pool=100"]), ask(&["mongodb.pool=100", "replicas=2x"]));
    let (first, last) = (first.unwrap(), last.unwrap());
    assert_eq!(first.load_line, last.load_line, "in any order");
    assert_eq!((first.changes[1].from, first.changes[1].to), (10.0, 100.0));
}

/// 2 of 400 connections a user: full at the second of two good levels, which answered more slowly by chance, and refused above it.
#[test]
fn what_refuses_is_predicted_from_two_good_levels() {
    let all: Vec<Level> = [(100.0, 0.19), (200.0, 0.33), (209.0, 0.13), (238.0, 0.14), (400.0, 0.27)]
        .map(|(users, mean_ms): (f64, f64)| {
            let connections = LevelResource {
                kind: "pool".to_owned(),
                errors_per_s: Some(0.0),
                ..cpu(400.0, f64::min(users * 2.0, 400.0))
            };
            let ours = [("gateway.connections", connections), ("app.cpu", cpu(1.0, 1e-3 + users * 2e-5))];
            Level { good: users <= 200.0, ..level(users, mean_ms, ours) }
        })
        .into();
    let line = LoadLine { limited_by: Some("error_rate > 1%".to_owned()), ..line(205.0, 200.0, 209.0) };
    let ask = |text: &str| {
        let goals = ["error_rate > 1%".to_owned()];
        let changes = Change::read_all(&[text.to_owned()]).unwrap();
        predict(&before(&all, Some(&line), &goals), &changes).unwrap()
    };
    let (near, far) = (ask("gateway.connections=480"), ask("gateway.connections=700"));
    assert!((far.load_line.typical / 354.0 - 1.0).abs() < 0.05, "{far:?}");
    assert_eq!((near.evidence.as_str(), far.evidence.as_str()), ("interpolated", "extrapolated"));
    let [low, high] = far.load_line.interval;
    assert!(low < 350.0 && high > 362.0, "{far:?}");
}

/// Before what is measured of it, a heap has 60 % in use: each replica has a heap of its own with as much.
#[test]
fn replicas_have_a_background_each() {
    let mut all = levels();
    for level in &mut all {
        level.resources.insert("app.heap".to_owned(), heap(6.5e7, 3.9e7 + level.level * 5e4));
    }
    let after = changed(&all, &["replicas=2x"]).unwrap();
    let (heap, after) = (find(&system(&all), "app.heap"), find(&after, "app.heap"));
    assert!((after.room() / heap.room() - 1.85).abs() < 1e-9, "{after:?}");
}

#[test]
fn replicas_take_what_their_pools_guard_with_them() {
    let mut all = levels();
    for level in &mut all {
        let held = level.throughput_per_s * 0.02;
        level.resources.insert("app.pool".to_owned(), pool(10.0, held, 0.0, 0.02));
    }
    let before = system(&all);
    assert_eq!(find(&before, "app.cpu").guarded_by.as_deref(), Some("app.pool"));
    let after = changed(&all, &["replicas=3x"]).unwrap();
    for name in ["app.cpu", "app.pool", "mongodb.pool", "app.heap"] {
        assert!((find(&after, name).room() / find(&before, name).room() - 2.7).abs() < 1e-9, "{name}");
    }
}

#[test]
fn replicas_of_nothing_and_of_a_victim_are_refused() {
    let mut victim = levels();
    for level in &mut victim[4..] {
        level.resources.get_mut("mongodb.pool").unwrap().hold_ms = Some(40.0);
    }
    assert_eq!(changed(&victim, &["replicas=2x"]).unwrap_err().code, "what_if_victim");
    let mut others = levels();
    for level in &mut others {
        level.resources.clear();
        level.resources.insert("redis.cpu".to_owned(), cpu(1.0, level.throughput_per_s * 1e-3));
    }
    assert_eq!(changed(&others, &["replicas=2x"]).unwrap_err().code, "what_if_replicas");
}

/// Of a hold of 20 ms the database computes for 10: half of that leaves 15 ms, and 10 slots carry a third more.
#[test]
fn what_a_pool_guards_is_part_of_its_hold() {
    let mut all = levels();
    for level in &mut all {
        level.resources.insert("mongodb.cpu".to_owned(), cpu(16.0, level.throughput_per_s * 0.01));
    }
    let found = asked(&all, Some(&line(530.0, 519.0, 544.0)), &["mongodb.cpu.demand=0.5x"]).unwrap();
    assert!((found.gain - 20.0 / 15.0).abs() < 0.05, "{found:?}");
    let pool_s = |texts: &[&str]| find(&changed(&all, texts).unwrap(), "mongodb.pool").demand.per_unit;
    assert!((pool_s(&["mongodb.cpu.demand=0.5x"]) - 0.015).abs() < 1e-4);
    let both = ["mongodb.pool.demand=0.5x", "mongodb.cpu.demand=0.5x"];
    assert!(
        (pool_s(&both) - 0.010).abs() < 1e-4,
        "what is said of the pool is all that is done with its slots"
    );
}

/// A millisecond of half a core takes two.
#[test]
fn a_quota_below_a_core_takes_longer_than_the_demand() {
    let mut all = levels();
    for level in &mut all {
        for name in ["mongodb.cpu", "app.cpu"] {
            level.resources.insert(name.to_owned(), cpu(0.5, level.throughput_per_s * 1e-4));
        }
    }
    let before = system(&all);
    let of = |text: &str| {
        let after = changed(&all, &[text]).unwrap();
        let pool = |system: &System| find(system, "mongodb.pool").demand.per_unit;
        (after.alone.mean_s() - before.alone.mean_s(), pool(&after) - pool(&before))
    };
    for (text, alone_s, pool_s) in [
        ("mongodb.cpu=1", -1e-4, -1e-4),
        ("app.cpu=1", -1e-4, 0.0),
        ("app.cpu.demand=0.5x", -1e-4, 0.0),
        ("app.cpu=4", -1e-4, 0.0),
    ] {
        let (alone, pool) = of(text);
        assert!((alone - alone_s).abs() < 1e-6 && (pool - pool_s).abs() < 1e-6, "{text}: {alone} {pool}");
    }
}

/// More slots than keep what they guard busy change nothing.
#[test]
fn slots_in_vain_change_no_line() {
    let mut levels = levels();
    for level in &mut levels {
        level.resources.insert("mongodb.cpu".to_owned(), cpu(4.0, level.throughput_per_s * 4e-3));
    }
    let at =
        |text: &str| asked(&levels, Some(&line(530.0, 519.0, 544.0)), &[text]).unwrap().load_line.typical;
    assert!((at("mongodb.pool=1000") / at("mongodb.pool=60") - 1.0).abs() < 0.005);
}

fn system(levels: &[Level]) -> System {
    let (line, goals) = (line(530.0, 519.0, 544.0), [GOAL.to_owned()]);
    System::of(&before(levels, Some(&line), &goals)).unwrap()
}

fn changed(levels: &[Level], texts: &[&str]) -> Result<System, Refusal> {
    let changes: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    system(levels).changed(&Change::read_all(&changes)?).map(|(after, _)| after)
}

fn find(system: &System, name: &str) -> Resource {
    system.resources().find(|resource| resource.name == name).unwrap().clone()
}

/// 50 slots held 20 ms before 4 cores of 8 ms: 10 slots keep them busy, more are for nothing.
#[test]
fn too_many_slots_are_said_to_be_for_nothing() {
    let mut levels = levels();
    for level in &mut levels {
        level.resources.insert("mongodb.cpu".to_owned(), cpu(4.0, level.throughput_per_s * 4e-3));
    }
    let found = asked(&levels, Some(&line(530.0, 519.0, 544.0)), &["mongodb.pool=100"]).unwrap();
    assert_eq!(found.limited_by.as_deref(), Some("mongodb.cpu"), "{found:?}");
    assert!((found.gain - 2.0).abs() < 0.15, "1,000 requests a second: {found:?}");
    assert!(
        found.explanation.contains("Past 20 slots of mongodb.pool there is no gain"),
        "{}",
        found.explanation
    );
}

#[test]
fn what_cannot_be_told_is_refused_with_what_to_do() {
    let line = line(530.0, 519.0, 544.0);
    let code = |refused: Result<WhatIf, Refusal>| {
        let refused = refused.unwrap_err();
        assert!(!refused.remedy.is_empty());
        refused.code
    };
    let all = levels();
    assert_eq!(code(ask(&["redis.main_thread=2"])), "what_if_resource");
    assert!(ask(&["x=2"]).unwrap_err().remedy.contains("mongodb.pool, app.heap"));
    assert_eq!(code(ask(&["app.lag=2"])), "what_if_limit");
    assert_eq!(code(ask(&["mongodb.pool=1"])), "what_if_value");
    assert_eq!(code(asked(&all[3..], Some(&line), &["mongodb.pool=20"])), "what_if_levels");
    assert_eq!(code(asked(&all, None, &["mongodb.pool=20"])), "what_if_no_line");
    let open = LoadLine { interval: [Some(800.0), None], ..line.clone() };
    assert_eq!(code(asked(&all, Some(&open), &["mongodb.pool=20"])), "what_if_no_line");
    let far = LoadLine { typical: Some(200.0), interval: [Some(190.0), Some(210.0)], ..line.clone() };
    assert_eq!(code(asked(&all, Some(&far), &["mongodb.pool=20"])), "what_if_calibration");
    let mut victim = all.clone();
    for level in &mut victim[4..] {
        level.resources.get_mut("mongodb.pool").unwrap().hold_ms = Some(40.0);
        level.resources.get_mut("mongodb.pool").unwrap().used = 20.0;
    }
    assert_eq!(code(asked(&victim, Some(&line), &["mongodb.pool=20"])), "what_if_victim");
    let mut idle = all.clone();
    for level in &mut idle {
        level.resources.insert("disk.cpu".to_owned(), cpu(4.0, 0.5));
    }
    assert_eq!(code(asked(&idle, Some(&line), &["disk.cpu=8"])), "what_if_demand");
}

#[test]
fn a_model_that_is_limited_by_another_resource_is_doubted() {
    let (levels, line, goals) = (levels(), line(530.0, 519.0, 544.0), [GOAL.to_owned()]);
    let named = |resource: &str| Bottleneck {
        status: BottleneckStatus::Named,
        resource: Some(resource.to_owned()),
        ..Bottleneck::none(String::new())
    };
    let ask = |bottleneck: &Bottleneck| {
        let before = Before { bottleneck: Some(bottleneck), ..before(&levels, Some(&line), &goals) };
        predict(&before, &Change::read_all(&["mongodb.pool=20".to_owned()]).unwrap())
    };
    let (same, other) = (ask(&named("mongodb.pool")).unwrap(), ask(&named("app.cpu")).unwrap());
    assert!(other.explanation.contains("What gave way first was app.cpu"), "{}", other.explanation);
    let width = |found: &WhatIf| (found.load_line.interval[1] / found.load_line.interval[0]).ln();
    assert!((width(&other) / width(&same) - 2.0).abs() < 0.05, "{same:?} {other:?}");
    let unknown = Bottleneck { status: BottleneckStatus::Uninstrumented, ..named("mongodb.pool") };
    assert_eq!(ask(&unknown).unwrap_err().code, "what_if_uninstrumented");
}

/// 10 slots of 20 ms are full at 500 requests a second, which iterations of four requests make at 125 a second.
#[test]
fn an_open_load_is_predicted_in_iterations() {
    let rates: Vec<Level> = levels()
        .into_iter()
        .enumerate()
        .map(|(at, mut level)| {
            let rate = [20.0, 40.0, 80.0, 110.0, 119.0, 140.0][at];
            let requests = f64::min(rate * 4.0, 500.0);
            (level.level, level.offered_per_s, level.throughput_per_s) = (rate, rate, requests);
            level.good = rate < 118.0;
            level.resources.remove("app.heap");
            level.resources.insert("app.cpu".to_owned(), cpu(1.0, 0.01 + requests * 2.5e-4));
            let waiting = if rate > 125.0 { 100.0 } else { 0.0 };
            level.resources.insert("mongodb.pool".to_owned(), pool(10.0, requests * 0.02, waiting, 0.02));
            level
        })
        .collect();
    let unit = Unit { of: LoadUnit::RatePerS, think_s: None, requests_per_iteration: 4.0 };
    let line = LoadLine { of: "rate".to_owned(), ..line(117.0, 110.0, 119.0) };
    let goals = [GOAL.to_owned()];
    let of = |levels: &[Level], text: &str| {
        let before = Before { unit, ..before(levels, Some(&line), &goals) };
        predict(&before, &Change::read_all(&[text.to_owned()]).unwrap()).unwrap()
    };
    let ask = |text: &str| of(&rates, text);
    let twice = ask("mongodb.pool=20");
    assert!(twice.gain > 1.98 && twice.gain < 2.1, "{twice:?}");
    assert_eq!(twice.load_line.of, "rate");
    let wide = ask("mongodb.pool=200");
    assert_eq!(wide.limited_by.as_deref(), Some("app.cpu"));
    assert!(wide.load_line.typical < 3960.0 / 4.0, "less than fills the processor: {wide:?}");
    // 30 in flight fill the heap, and there are 0.1 of them for an iteration per second.
    let mut with_heap = rates.clone();
    for level in &mut with_heap {
        level.users = level.level * 0.1;
        level.resources.insert("app.heap".to_owned(), heap(1e6 + 30.0 * 5e4, 1e6 + level.users * 5e4));
    }
    let full = of(&with_heap, "mongodb.pool=200");
    assert_eq!(full.limited_by.as_deref(), Some("app.heap"), "{full:?}");
    assert!((full.load_line.typical / 300.0 - 1.0).abs() < 0.05, "{full:?}");
}

/// A heap that fills: no goal of latency says when, and no queue comes before it.
#[test]
fn a_goal_of_errors_is_predicted_where_something_is_full() {
    let mut all = levels();
    for level in &mut all {
        level.resources.insert("app.heap".to_owned(), heap(2.7e7, 1e6 + level.level * 5e4));
    }
    let goals = ["error_rate > 1%".to_owned()];
    let line = LoadLine { limited_by: Some(goals[0].clone()), ..line(523.0, 519.0, 544.0) };
    let ask = |text: &str| {
        let before = before(&all, Some(&line), &goals);
        predict(&before, &Change::read_all(&[text.to_owned()]).unwrap()).unwrap()
    };
    let more = ask("app.heap=2x");
    assert_eq!(more.limited_by.as_deref(), Some("mongodb.pool"), "510 users fill it: {more:?}");
    let leaner = ask("mongodb.pool=100");
    assert_eq!(leaner.limited_by.as_deref(), Some("app.heap"), "520 users fill it: {leaner:?}");
    assert_eq!(leaner.evidence, "interpolated");
}

fn observed(typical: f64, bottleneck: &str) -> Observed {
    Observed {
        typical,
        interval: [Some(typical - 5.0), Some(typical + 5.0)],
        run: "reports/after".to_owned(),
        bottleneck: Some(bottleneck.to_owned()),
    }
}

#[test]
fn a_second_search_confirms_or_does_not() {
    let after = |typical: f64, bottleneck: &str| {
        let mut found = ask(&["mongodb.pool=20"]).unwrap();
        let observed = observed(found.load_line.typical * typical, bottleneck);
        confirm(&mut found, &observed, &unit_users());
        found
    };
    let far = after(1.3, "mongodb.pool");
    assert_eq!(far.evidence, "extrapolated");
    assert!(
        far.explanation.contains("an extrapolation") && far.explanation.contains("not confirm"),
        "{far:?}"
    );
    let near = after(0.9, "mongodb.pool");
    assert_eq!(near.evidence, "confirmed");
    assert!(
        !near.explanation.contains("extrapolation") && near.explanation.ends_with("which confirms it."),
        "{near:?}"
    );
    assert!((near.confirmed.unwrap().observed_over_predicted - 0.9).abs() < 1e-9);
    let other = after(0.9, "app.cpu");
    assert_eq!(other.evidence, "extrapolated");
    assert!(other.explanation.ends_with("app.cpu gave way, not mongodb.pool."), "{other:?}");
}

/// A tenth more slots are a tenth more users; a second search that finds the old line was of a system that nobody changed.
#[test]
fn a_change_that_did_nothing_confirms_nothing() {
    let after = |change: &str, typical: f64| {
        let mut found = ask(&[change]).unwrap();
        confirm(&mut found, &observed(typical, "mongodb.pool"), &unit_users());
        found
    };
    let unchanged = after("mongodb.pool=11", 530.0);
    assert!(unchanged.gain > 1.05 && unchanged.evidence == "interpolated", "{unchanged:?}");
    assert!(unchanged.explanation.contains("without any change"), "{}", unchanged.explanation);
    assert_eq!(after("mongodb.pool=11", 580.0).evidence, "confirmed");
    assert_eq!(after("app.cpu=4", 530.0).evidence, "confirmed", "that it does nothing was predicted");
}
