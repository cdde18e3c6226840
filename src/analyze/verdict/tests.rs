//! Systems whose first limit is known, simulated and hand-made, and what is said of them.

mod contradictions;

use super::*;
use crate::analyze::checks::believed;
use crate::analyze::levels::Measured;
use crate::analyze::testbed::{Simulated, level, pool, silent, unit_users};
use crate::record::summary::{Latency, LevelResource};
use crate::search::closed_system::Pool;

const LOADS: [u64; 8] = [100, 200, 400, 800, 566, 476, 519, 544];

fn found(simulated: &Simulated) -> Bottleneck {
    let unit = unit_users();
    verdict(&believed(Measured::of(&simulated.input()), &unit).0, &unit).0.unwrap()
}

/// Of levels without readings, which every draw has as they are.
fn found_of(levels: &[Level]) -> Bottleneck {
    let series = vec![Vec::new(); levels.len()];
    verdict(&Believed { levels: levels.to_vec(), series, ..Believed::default() }, &unit_users()).0.unwrap()
}

fn share(found: &Bottleneck) -> f64 {
    found.share_of_added_latency.unwrap()
}

#[test]
fn a_pool_that_binds_is_named() {
    // The processor in front takes 2 ms of 4 cores: 2,000 requests a second, so N = 2,000·(1 + 0.022) = 2,044 users.
    let system = Pool { front_servers: 4, front_s: 0.002, ..Pool::default() };
    let found = found(&Simulated::run(&system, &LOADS, 100.0));
    assert_eq!(
        (found.status, found.resource.as_deref(), found.kind.as_deref()),
        (BottleneckStatus::Named, Some("mongodb.pool"), Some("pool"))
    );
    assert!((share(&found) - 1.0).abs() < 0.1, "{}", share(&found));
    assert!((found.onset.unwrap() / 511.0 - 1.0).abs() < 0.05);
    assert!(found.used.unwrap() > 9.8 && found.limit == Some(10.0) && found.waiting.unwrap() > 1.0);
    let [cpu] = &found.next[..] else { panic!("{:?}", found.next) };
    assert_eq!((cpu.resource.as_str(), cpu.evidence.as_str()), ("app.cpu", "extrapolated"));
    assert!((cpu.at / 2044.0 - 1.0).abs() < 0.05, "{}", cpu.at);
    assert!(found.explanation.contains("its size binds"), "{}", found.explanation);
}

#[test]
fn the_draws_of_a_run_are_the_same_each_time_and_bound_what_is_said() {
    let simulated = Simulated::run(&Pool::default(), &LOADS, 100.0);
    let once = found(&simulated);
    assert_eq!(once, found(&simulated));
    assert!(once.probability >= Some(NAMED_MIN) && once.probability <= Some(1.0), "{once:?}");
    for (at, interval) in [(once.onset, once.onset_interval), (once.latency_knee, once.latency_knee_interval)]
    {
        let (at, [low, high]) = (at.unwrap(), interval.unwrap());
        assert!(low <= at && at <= high && 0.9 * at < low && high < 1.1 * at, "{at} in {low} to {high}");
        assert!((at / 510.0 - 1.0).abs() < 0.05, "{at}");
    }
}

/// Slots that are held half as long again as flat and victim allow: the pool binds in part, and what holds it is not observed.
#[test]
fn a_pool_that_is_held_a_little_longer_is_not_named_alone() {
    let judged = |growth: f64| {
        let base = level(100.0, 20.0, [("a.pool", pool(10.0, 2.0, 0.0, 0.02))]);
        let knee = level(500.0, 90.0, [("a.pool", pool(10.0, 10.0, 35.0, 0.02 * growth))]);
        found_of(&[base, Level { good: false, ..knee }])
    };
    assert_eq!(judged(1.05).probability, Some(1.0));
    let partly = judged(1.2);
    assert_eq!((partly.status, partly.candidates.len()), (BottleneckStatus::Set, 1));
    assert!((partly.candidates[0].probability.unwrap() - 2.0 / 3.0).abs() < 1e-9);
    assert!(partly.explanation.contains("something that is not observed (33 %)"), "{}", partly.explanation);
    assert_eq!(judged(1.29).status, BottleneckStatus::Uninstrumented);
}

/// Collections take the processor as the heap fills up: it is full, but each request costs it more, so the heap is first.
#[test]
fn a_processor_that_collects_garbage_is_the_victim_of_the_heap() {
    let at = |users: f64, mean_ms: f64, cpu: f64, heap: f64| {
        let resources = [("app.cpu", silent("cpu", cpu, 2.0)), ("app.heap", silent("memory", heap, 1e9))];
        level(users, mean_ms, resources)
    };
    let (base, half) = (at(100.0, 20.0, 0.2, 3e8), at(300.0, 21.0, 0.6, 6e8));
    let knee = Level { good: false, ..at(500.0, 120.0, 1.99, 9.6e8) };
    let both = found_of(&[base.clone(), half.clone(), knee.clone()]);
    assert_eq!(both.resource.as_deref(), Some("app.heap"), "{}", both.explanation);
    assert!(both.explanation.contains("a request takes 2.0x as much of it"), "{}", both.explanation);
    let mut unseen = [base, half, knee];
    unseen.iter_mut().for_each(|level| drop(level.resources.remove("app.heap")));
    let found = found_of(&unseen);
    assert_eq!(found.status, BottleneckStatus::Uninstrumented, "{}", found.explanation);
    assert!(found.explanation.contains("victim of what makes requests dearer"), "{}", found.explanation);
}

/// Memory fills with the users while requests wait for a lock that nobody observes: full is all that speaks against it.
#[test]
fn memory_that_does_nothing_to_requests_is_not_named() {
    let at = |users: f64, mean_ms: f64, heap: f64, refused: Option<f64>| {
        let heap = LevelResource { errors_per_s: refused, ..silent("memory", heap, 1e9) };
        level(users, mean_ms, [("app.cpu", silent("cpu", users * 2e-3, 2.0)), ("app.heap", heap)])
    };
    let found = |refused: Option<f64>| {
        let knee = Level { good: false, ..at(500.0, 120.0, 9.5e8, refused) };
        found_of(&[at(100.0, 20.0, 3e8, None), at(300.0, 21.0, 6e8, None), knee])
    };
    let harmless = found(None);
    assert_eq!((harmless.status, harmless.candidates.len()), (BottleneckStatus::Set, 1), "{harmless:?}");
    assert_eq!(harmless.candidates[0].probability, Some(0.5));
    assert!(harmless.explanation.contains("not observed (50 %)"), "{}", harmless.explanation);
    assert_eq!(found(Some(3.0)).resource.as_deref(), Some("app.heap"));
}

/// It would be full at 430 users, and 440 fail for something else: a cache stays as full as it was, a process that dies of its memory does not.
#[test]
fn memory_that_stays_full_while_requests_fail_is_not_named() {
    let at = |users: f64, mean_ms: f64, used: f64| {
        let heap = LevelResource {
            kind: "memory".to_owned(),
            waiting: None,
            wait_ms: None,
            hold_ms: None,
            visits: None,
            ..pool(1e9, used, 0.0, 0.0)
        };
        level(users, mean_ms, [("app.heap", heap)])
    };
    let found = |used: f64| {
        let knee = Level { good: false, error_ratio: 0.2, ..at(440.0, 300.0, used) };
        found_of(&[at(100.0, 20.0, 2.3e8), at(200.0, 20.0, 4.6e8), at(400.0, 20.0, 9.3e8), knee])
    };
    assert_eq!(found(9.4e8).status, BottleneckStatus::Set);
    assert_eq!(found(4e8).resource.as_deref(), Some("app.heap"));
}

/// Workers behind a queue are all busy as well, while requests wait for something else.
#[test]
fn slots_of_which_nobody_tells_who_waits_are_not_named_alone() {
    let workers = |used: f64| LevelResource {
        waiting: None,
        wait_ms: None,
        hold_ms: None,
        visits: None,
        ..pool(50.0, used, 0.0, 0.0)
    };
    let knee = Level { good: false, ..level(500.0, 120.0, [("queue.workers", workers(50.0))]) };
    let found = found_of(&[level(100.0, 20.0, [("queue.workers", workers(10.0))]), knee]);
    assert_eq!((found.status, found.candidates[0].probability), (BottleneckStatus::Set, Some(0.5)));
}

/// Slots are held 60 ms longer than at the quiet level. Who waits 10 ms for the lock does not hold them for so long, who waits 50 ms may.
#[test]
fn a_queue_is_to_blame_for_longer_holds_as_far_as_it_is_waited_for() {
    let found = |waiting: f64, mean_ms: f64| {
        let at = |users: f64, mean_ms: f64, lock: LevelResource, slots: LevelResource| {
            level(users, mean_ms, [("a.lock", lock), ("b.pool", slots)])
        };
        let base = at(100.0, 30.0, pool(1.0, 0.19, 0.0, 0.0019), pool(40.0, 2.0, 0.0, 0.02));
        let knee = at(500.0, mean_ms, pool(1.0, 0.95, waiting, 0.0019), pool(40.0, 40.0, 200.0, 0.08));
        found_of(&[base, Level { good: false, ..knee }])
    };
    assert_eq!(found(5.0, 500.0).status, BottleneckStatus::Uninstrumented);
    assert_eq!(found(25.0, 540.0).resource.as_deref(), Some("a.lock"));
}

/// The pool is the most waited for of what is observed, and explains a tenth. A fifth more users fill it.
#[test]
fn what_fills_above_the_knee_is_not_named_unless_it_was_waited_for_there() {
    let at = |users: f64, good: bool, mean_ms: f64, used: f64, waiting: f64| {
        let wait_ms = Some(waiting / users * 1e3);
        let pool = LevelResource { wait_ms, ..pool(10.0, used, waiting, 0.02) };
        Level { good, ..level(users, mean_ms, [("a.pool", pool)]) }
    };
    let found = |waiting: f64| {
        found_of(&[
            at(100.0, true, 30.0, 2.0, 0.0),
            at(400.0, false, 100.0, 8.0, waiting),
            at(480.0, false, 500.0, 10.0, 220.0),
        ])
    };
    assert_eq!(found(2.8).status, BottleneckStatus::Uninstrumented);
    assert_eq!(found(25.0).resource.as_deref(), Some("a.pool"));
}

/// Two slots that were looked at eight times: their hold at the quiet level may have been a quarter less than it seems, and at the knee it is a twentieth more.
#[test]
fn a_pool_whose_hold_is_hardly_known_is_not_named_alone() {
    let found = |seconds: f64| {
        let at = |users: f64, mean_ms: f64, used: f64, waiting: f64| {
            let gauge =
                LevelResource { wait_ms: None, hold_ms: None, visits: None, ..pool(2.0, used, waiting, 0.0) };
            Level { span_s: [0.0, seconds], ..level(users, mean_ms, [("a.pool", gauge)]) }
        };
        found_of(&[at(100.0, 20.0, 0.9, 0.0), Level { good: false, ..at(212.0, 120.0, 2.0, 22.0) }])
    };
    let short = found(8.0);
    assert_eq!((short.status, short.candidates[0].probability), (BottleneckStatus::Set, Some(0.5)));
    assert_eq!(found(1000.0).resource.as_deref(), Some("a.pool"));
}

#[test]
fn fewer_than_five_readings_name_nobody() {
    let seen = |seconds: f64| found(&Simulated::run(&Pool::default(), &LOADS, 100.0).read_every(seconds));
    let five = seen(4.0);
    assert_eq!((five.status, five.probability), (BottleneckStatus::Named, Some(0.8)), "{}", five.explanation);
    let four = seen(5.0);
    assert_eq!((four.status, four.candidates[0].probability), (BottleneckStatus::Set, Some(0.75)));
    assert!(
        four.explanation.contains("4 readings tell of mongodb.pool at 544 users"),
        "{}",
        four.explanation
    );
    let one = seen(20.0);
    assert_eq!((one.status, one.candidates.len()), (BottleneckStatus::Uninstrumented, 0));
    assert!(one.explanation.contains("cannot tell: 1 reading tells of mongodb.pool"), "{}", one.explanation);
}

#[test]
fn what_is_busy_anyhow_is_not_blamed() {
    let cpu = |used: f64| LevelResource {
        kind: "cpu".to_owned(),
        waiting: None,
        wait_ms: None,
        hold_ms: None,
        visits: None,
        ..pool(2.0, used, 0.0, 0.0)
    };
    let base = level(100.0, 20.0, [("app.cpu", cpu(1.96))]);
    let knee = Level { good: false, ..level(500.0, 90.0, [("app.cpu", cpu(1.99))]) };
    assert_eq!(found_of(&[base, knee]).status, BottleneckStatus::Uninstrumented);
}

#[test]
fn a_pool_of_100_leaves_the_processor_to_bind() {
    // 4 cores of 8 ms: N* = 500·1.028 = 514; the pool would carry 5,000 requests a second.
    let system = Pool { size: 100, front_servers: 4, front_s: 0.008, ..Pool::default() };
    let found = found(&Simulated::run(&system, &LOADS, 100.0));
    assert_eq!(
        (found.status, found.resource.as_deref()),
        (BottleneckStatus::Named, Some("app.cpu")),
        "{}",
        found.explanation
    );
    assert!((found.onset.unwrap() / 514.0 - 1.0).abs() < 0.05);
    assert!(share(&found) > 0.9 && found.explanation.contains("tells no waiting times"));
    assert!((found.next[0].at / 5140.0 - 1.0).abs() < 0.05, "{:?}", found.next);
}

#[test]
fn what_is_not_observed_is_not_guessed() {
    let system = Pool { front_servers: 4, front_s: 0.002, ..Pool::default() };
    let without_pool = found(&Simulated::run(&system, &LOADS, 100.0).without("mongodb.pool"));
    assert_eq!((without_pool.status, without_pool.resource), (BottleneckStatus::Uninstrumented, None));
    assert!(without_pool.explanation.contains("none of the observed resources was full"));
    let blind = found(&Simulated::run(&Pool::default(), &LOADS, 100.0).without("mongodb.pool"));
    assert_eq!(blind.status, BottleneckStatus::Uninstrumented);
    assert!(blind.explanation.contains("add an `observe` section") && blind.next.is_empty());
}

#[test]
fn far_below_saturation_nothing_gives_way() {
    for loads in [&[50_u64][..], &[50, 100, 200]] {
        let found = found(&Simulated::run(&Pool::default(), loads, 100.0));
        assert_eq!(
            (found.status, found.resource, found.share_of_added_latency),
            (BottleneckStatus::None, None, None)
        );
        assert!(found.explanation.starts_with("nothing gave way"));
    }
    let next = found(&Simulated::run(&Pool::default(), &[100, 200, 300], 100.0)).next;
    assert!((next[0].at / 510.0 - 1.0).abs() < 0.05, "the wall ahead is said all the same: {next:?}");
}

#[test]
fn two_that_give_way_together_are_a_set() {
    // Both carry 500 requests a second.
    let knee = level(
        550.0,
        120.0,
        [("a.pool", pool(10.0, 10.0, 25.0, 0.02)), ("b.pool", pool(5.0, 5.0, 22.0, 0.01))],
    );
    let base =
        level(100.0, 30.0, [("a.pool", pool(10.0, 2.0, 0.0, 0.02)), ("b.pool", pool(5.0, 1.0, 0.0, 0.01))]);
    let levels = [base, Level { good: false, ..knee }];
    let found = found_of(&levels);
    assert_eq!((found.status, found.resource), (BottleneckStatus::Set, None));
    let names: Vec<_> = found.candidates.iter().map(|candidate| candidate.resource.as_str()).collect();
    assert_eq!(names, ["a.pool", "b.pool"]);
    assert!((found.share_of_added_latency.unwrap() - 1.0).abs() < 0.05, "50 and 44 of 90 ms");
}

#[test]
fn a_pool_whose_slots_are_held_longer_is_a_victim() {
    // One processor of 5 ms behind the pool: 200 requests a second, however many connections wait for it.
    let system = Pool { inner_servers: 1, inner_s: 0.005, hold_s: 0.004, ..Pool::default() };
    let loads = [50, 100, 150, 220, 300];
    let seen = found(&Simulated::run(&system, &loads, 100.0));
    assert_eq!(
        (seen.status, seen.resource.as_deref()),
        (BottleneckStatus::Named, Some("db.cpu")),
        "{}",
        seen.explanation
    );
    assert!(seen.explanation.contains("mongodb.pool is full too"), "{}", seen.explanation);
    let unseen = found(&Simulated::run(&system, &loads, 100.0).without("db.cpu"));
    assert_eq!((unseen.status, unseen.resource), (BottleneckStatus::Uninstrumented, None));
    assert!(unseen.explanation.contains("victim of what it guards"), "{}", unseen.explanation);
    // Silent at the lowest level, it is held against the next.
    let mut late = Simulated::run(&system, &loads, 100.0).without("db.cpu");
    late.readings.retain(|row| row.t_s > 25.0);
    assert_eq!(found(&late).status, BottleneckStatus::Uninstrumented);
}

/// A published report blames a pool of 30 slots that is 70 % used, with 76 % of the best throughput at 10 concurrent requests.
#[test]
fn a_pool_that_is_not_full_is_not_blamed() {
    let mut levels = [
        level(10.0, 100.0, [("db.pool", pool(30.0, 10.0, 0.0, 0.1))]),
        level(64.0, 400.0, [("db.pool", pool(30.0, 21.0, 2.0, 0.1))]),
    ];
    levels[0].throughput_per_s = 76.0;
    levels[1].throughput_per_s = 100.0;
    levels[1].good = false;
    let found = found_of(&levels);
    assert_eq!(found.status, BottleneckStatus::Uninstrumented);
    // Even were it full at the end, it had idle slots when the throughput stopped growing.
    levels[1].resources.insert("db.pool".to_owned(), pool(30.0, 30.0, 150.0, 0.1));
    let full = found_of(&levels);
    assert_eq!(full.status, BottleneckStatus::Uninstrumented);
    assert!(full.explanation.contains("half of its slots were still free"), "{}", full.explanation);
}

#[test]
fn failing_fast_is_not_a_queue() {
    let base = level(100.0, 20.0, [("db.pool", pool(10.0, 2.0, 0.0, 0.02))]);
    let refused = Level {
        good: false,
        error_ratio: 0.4,
        failed_by: Some("error_rate > 1%".to_owned()),
        ..level(200.0, 19.0, [])
    };
    let found = found_of(&[base.clone(), refused]);
    assert_eq!(found.status, BottleneckStatus::Uninstrumented);
    assert!(found.explanation.contains("40 % of the requests fail without taking longer"));
    let rare =
        Level { good: false, failed_by: Some("p99(http) > 100ms".to_owned()), ..level(200.0, 20.1, []) };
    assert_eq!(found_of(&[base, rare]).status, BottleneckStatus::None);
}

/// A gateway of 1,024 connections, two for each socket: who comes when all are taken is hung up on, which takes no time.
#[test]
fn what_refuses_is_named_by_its_refusals() {
    let connections = |used: f64, errors_per_s: f64| LevelResource {
        waiting: None,
        wait_ms: None,
        hold_ms: None,
        visits: None,
        errors_per_s: Some(errors_per_s),
        ..pool(1024.0, used, 0.0, 0.0)
    };
    let at = |users: f64, used: f64, errors_per_s: f64| {
        let cpu = LevelResource { kind: "cpu".to_owned(), errors_per_s: None, ..connections(0.0, 0.0) };
        let cpu =
            LevelResource { used: users * 1e-4, limit: Some(1.0), utilization: Some(users * 1e-4), ..cpu };
        level(users, 2.0, [("gateway.connections", connections(used, errors_per_s)), ("app.cpu", cpu)])
    };
    let refusing = |errors_per_s: f64, used: f64, mean_ms: f64| {
        let knee = at(560.0, used, errors_per_s);
        let response_ms = Latency { mean: mean_ms, ..Latency::default() };
        let failed_by = Some("error_rate > 1%".to_owned());
        let knee = Level { good: false, error_ratio: 25.0 / 560.0, failed_by, response_ms, ..knee };
        found_of(&[at(100.0, 202.0, 0.0), at(400.0, 802.0, 0.0), knee])
    };
    let found = refusing(24.0, 1019.0, 2.1);
    assert_eq!(
        (found.status, found.resource.as_deref(), found.share_of_added_latency),
        (BottleneckStatus::Named, Some("gateway.connections"), None)
    );
    assert!((found.share_of_failures.unwrap() - 0.96).abs() < 1e-9, "24 of the 25 a second");
    assert!(
        found.explanation.contains("refuses, explains 96 % of the failures at 560 users"),
        "{}",
        found.explanation
    );
    assert!((found.onset.unwrap() / 512.0 - 1.0).abs() < 0.05, "{:?}", found.onset);
    let others = [refusing(10.0, 1019.0, 2.1), refusing(24.0, 800.0, 2.1)];
    assert!(others.iter().all(|found| found.status == BottleneckStatus::Uninstrumented), "{others:?}");
    let slower = refusing(24.0, 1019.0, 40.0);
    assert_eq!(slower.share_of_failures, None, "a queue explains what takes longer: {}", slower.explanation);
}

/// A heap that is used up fails requests without a word.
#[test]
fn memory_that_is_used_up_is_named_where_requests_fail() {
    let heap = |used: f64| LevelResource {
        kind: "memory".to_owned(),
        waiting: None,
        wait_ms: None,
        hold_ms: None,
        visits: None,
        ..pool(1e9, used, 0.0, 0.0)
    };
    let knee = level(300.0, 21.0, [("app.heap", heap(9.8e8))]);
    let knee = Level { good: false, error_ratio: 0.2, ..knee };
    let found = found_of(&[level(100.0, 20.0, [("app.heap", heap(4e8))]), knee.clone()]);
    assert_eq!((found.resource.as_deref(), found.share_of_failures), (Some("app.heap"), None));
    assert!(found.explanation.contains("at 300 users requests begin to fail"), "{}", found.explanation);
    let always = found_of(&[level(100.0, 20.0, [("app.heap", heap(9.7e8))]), knee]);
    assert_eq!(always.status, BottleneckStatus::Uninstrumented, "it was as full before");
}

/// Full at all levels, the pool may as well be the victim of what it guards: no quiet level tells how long its slots were held there.
#[test]
fn a_pool_that_no_quiet_level_tells_of_is_not_named_alone() {
    let found = found(&Simulated::run(&Pool::default(), &[800, 1000], 100.0));
    assert_eq!((found.status, found.resource.as_deref(), found.onset), (BottleneckStatus::Set, None, None));
    assert_eq!(found.candidates.len(), 1);
    assert_eq!(found.candidates[0].resource, "mongodb.pool");
    assert!(share(&found) > 0.9 && found.explanation.contains("something that is not observed (50 %)"));
}

/// A search of ours on a shared machine: at the first bad level something else took the CPU for a while, so half of the added time was
/// spent waiting for a CPU that was a quarter used; one level further up the pool explains all of it.
#[test]
fn a_level_blurred_by_a_starved_cpu_is_judged_by_its_neighbor() {
    let resource =
        |kind: &str, used: f64, limit: f64, waiting: f64, pool_wait_ms: Option<f64>| LevelResource {
            kind: kind.into(),
            used,
            limit: Some(limit),
            waiting: Some(waiting),
            utilization: Some(used / limit),
            full_ratio: if used / limit > 0.98 { 1.0 } else { 0.1 },
            wait_ms: pool_wait_ms,
            hold_ms: pool_wait_ms.map(|_| 20.0),
            visits: pool_wait_ms.map(|_| 1.0),
            errors_per_s: None,
        };
    let level =
        |users: f64, good: bool, x: f64, mean_ms: f64, cpu: (f64, f64), pool: (f64, f64, f64)| Level {
            level: users,
            users,
            offered_per_s: x,
            throughput_per_s: x,
            good,
            failed_by: (!good).then(|| "p99(http) > 100ms".to_owned()),
            error_ratio: 0.0,
            span_s: [0.0, 12.0],
            truncated_s: None,
            think_s: 1.0,
            residual_ratio: Some(0.0),
            response_ms: Latency { mean: mean_ms, p99: mean_ms * 1.5, ..Latency::default() },
            service_ms: Latency { mean: mean_ms, ..Latency::default() },
            resources: [
                ("app.cpu".to_owned(), resource("cpu", cpu.0, 1.0, cpu.1, None)),
                ("mongodb.pool".to_owned(), resource("pool", pool.0, 20.0, pool.1, Some(pool.2))),
            ]
            .into(),
        };
    let levels = [
        level(100.0, true, 97.0, 20.5, (0.033, 0.0), (1.94, 0.0, 0.0)),
        level(800.0, true, 784.0, 20.9, (0.199, 0.0), (15.7, 0.4, 0.5)),
        level(993.0, true, 965.0, 31.9, (0.244, 0.3), (19.3, 9.4, 9.8)),
        level(1037.0, false, 950.0, 84.0, (0.243, 32.7), (19.0, 29.4, 30.9)),
        level(1131.0, false, 1000.0, 128.9, (0.253, 0.2), (20.0, 108.0, 108.3)),
    ];
    let found = found_of(&levels);
    assert_eq!((found.status, found.resource.as_deref()), (BottleneckStatus::Named, Some("mongodb.pool")));
}
