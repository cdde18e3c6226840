//! What is full, and yet not what gave way.

use super::*;

/// Requests fail at 480 users and are a third slower; memory by users.
fn failing(used: [(f64, f64); 5]) -> Bottleneck {
    let levels = used.map(|(users, ratio)| {
        let is_last = users == 480.0;
        let mean_ms = if is_last { 27.0 } else { 20.0 };
        let level = level(users, mean_ms, [("a.memory", silent("memory", ratio * 1e9, 1e9))]);
        Level { good: !is_last, error_ratio: f64::from(u8::from(is_last)), ..level }
    });
    found_of(&levels)
}

/// A cache is as full at two levels at which nothing failed, the second past the load that fills it.
#[test]
fn memory_that_was_as_full_while_all_was_well_is_not_named() {
    let cache = [(100.0, 0.25), (200.0, 0.5), (390.0, 0.955), (440.0, 0.955), (480.0, 0.955)];
    assert_ne!(failing(cache).status, BottleneckStatus::Named);
    let at_its_limit = cache.map(|(users, ratio)| (users, if ratio > 0.9 { 0.99 } else { ratio }));
    assert_ne!(failing(at_its_limit).status, BottleneckStatus::Named);
    let heap = [(100.0, 0.22), (200.0, 0.44), (390.0, 0.86), (440.0, 0.98), (480.0, 0.99)];
    assert_eq!(failing(heap).resource.as_deref(), Some("a.memory"));
}

/// A lock before a pool that is not observed: who waits for the pool comes back to the lock, which is full of work of which nothing comes.
#[test]
fn what_lets_more_through_than_ever_succeeded_is_not_named() {
    let judged = |succeed_per_s: f64| {
        let lock = |used: f64, waiting: f64| pool(1.0, used, waiting, 0.0042);
        let quiet = [50.0, 100.0].map(|rate| level(rate, 300.0, [("a.lock", lock(rate * 0.0042, 0.0))]));
        let knee = level(300.0, 7000.0, [("a.lock", lock(1.0, 1900.0))]);
        let [one, two] = quiet;
        found_of(&[one, two, Level { good: false, throughput_per_s: succeed_per_s, ..knee }])
    };
    assert_eq!(judged(230.0).resource.as_deref(), Some("a.lock"));
    assert_ne!(judged(167.0).status, BottleneckStatus::Named);
}

/// One level below tells no demand, so nobody knows which of two that are full was the first.
#[test]
fn of_two_that_are_full_after_a_single_level_none_is_named() {
    let both = |pool_used: f64, redis: f64, waiting: [f64; 2]| {
        [("a.pool", pool(11.0, pool_used, waiting[0], 0.06)), ("redis", pool(1.0, redis, waiting[1], 0.004))]
    };
    let base = level(152.0, 87.0, both(9.2, 0.57, [1.1, 0.3]));
    let knee = level(304.0, 2700.0, both(11.0, 1.0, [200.0, 614.0]));
    let found = found_of(&[base.clone(), Level { good: false, ..knee.clone() }]);
    assert_ne!(found.status, BottleneckStatus::Named, "{found:?}");
    let less = level(76.0, 80.0, both(4.6, 0.28, [0.0, 0.0]));
    let found = found_of(&[less, base, Level { good: false, ..knee }]);
    assert_ne!(found.resource.as_deref(), Some("redis"), "by what requests took it is the second: {found:?}");
}
