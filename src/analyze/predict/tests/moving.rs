//! Resources of which a request takes more the more load there is.

use super::*;
use crate::seed::{Purpose, stream};
use rand_distr::{Distribution as _, StandardNormal};

/// Cores in use at so many requests a second: a millisecond a request, and more by 0.6 of it at 500, where 0.8 cores are full.
fn used(rate: f64) -> f64 {
    rate * 1e-3 * (1.0 + 0.6 * rate / 500.0)
}

/// Users who think for a second, read to half a percent.
fn levels(id: u64) -> Vec<Level> {
    let mut random = stream(3, Purpose::Bootstrap, 0, id);
    [60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 420.0, 480.0, 600.0, 800.0]
        .map(|users: f64| {
            let rate = users.min(510.0) / 1.02;
            let mean = 20.0 + (users - 510.0).max(0.0) / rate * 1e3;
            let off: f64 = StandardNormal.sample(&mut random);
            let mut level = level(users, mean, [("app.cpu", cpu(0.8, used(rate) * (1.0 + 0.005 * off)))]);
            level.throughput_per_s = rate;
            level.good = users < 530.0;
            let times = &mut level.response_ms;
            (times.p50, times.p90, times.p95, times.p99) = (mean, mean, mean, mean);
            (times.p99_9, times.max) = (mean, mean);
            level
        })
        .into()
}

/// 3.2 cores are full at 1,269 requests a second, of 1,294 users; of those that may wait within the goal, as many a request as with 0.8. On a straight line they
/// would be full a third later.
#[test]
fn the_interval_past_the_loads_holds_what_bends_on() {
    let held = (0..20).filter(|id| {
        let found = asked(&levels(*id), Some(&line(530.0, 519.0, 544.0)), &["app.cpu=4x"]).unwrap();
        let [low, high] = found.load_line.interval;
        assert!(found.load_line.typical > 1500.0, "what was measured last goes on: {found:?}");
        low < 1294.0 * 530.0 / 510.0 && high > 1294.0 * 530.0 / 510.0
    });
    let held = held.count();
    assert!(held >= 17, "{held} of 20");
}

/// More cores are full under more load, where a request takes more of them: the one that was measured takes what it took, and is no longer for it.
#[test]
fn more_cores_hold_no_slot_longer() {
    let mut all = super::levels();
    for level in &mut all {
        let rate = level.throughput_per_s;
        level.resources.insert("mongodb.cpu".to_owned(), cpu(3.0, rate * (2e-3 + 6e-6 * rate)));
    }
    let before = system(&all);
    assert!(find(&before, "mongodb.cpu").demand.curve.is_some());
    let pool_s = |system: &System| find(system, "mongodb.pool").demand.per_unit;
    for (text, added_s) in [("mongodb.cpu=4x", 0.0), ("mongodb.cpu.demand=0.5x", -0.5)] {
        let after = changed(&all, &[text]).unwrap();
        let added_s = added_s * find(&before, "mongodb.cpu").demand.per_unit;
        assert!((pool_s(&after) - pool_s(&before) - added_s).abs() < 1e-9, "{text}");
        assert!((after.alone.mean_s() - before.alone.mean_s() - added_s).abs() < 1e-9, "{text}");
    }
}
