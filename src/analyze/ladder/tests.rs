//! Ladders of hand-made levels, whose walls are arithmetic.

use super::*;
use crate::analyze::testbed::{level, pool, unit_users};
use crate::record::summary::LevelResource;
use crate::scenario::plan::LoadUnit;

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

fn heap(used: f64) -> LevelResource {
    LevelResource { kind: "memory".to_owned(), ..cpu(2e9, used) }
}

#[test]
fn a_wall_is_the_limit_over_the_demand() {
    // 0.1 cores at rest and 0.5 ms a request of 2 cores: 3,800 requests a second; with R + Z = 1.02 s that is 3,876 users.
    // 100 MB and 50 kB a user of 2 GB: 38,000 users.
    let levels: Vec<Level> = [100.0, 200.0, 400.0, 480.0]
        .map(|users| {
            let mut level = level(
                users,
                20.0,
                [("app.cpu", cpu(2.0, 0.1 + users * 5e-4)), ("app.heap", heap(1e8 + users * 5e4))],
            );
            level.resources.insert("mongodb.pool".to_owned(), pool(10.0, users * 0.02, 0.0, 0.02));
            level.resources.insert("idle.cpu".to_owned(), cpu(4.0, 0.5));
            level
        })
        .into();
    let ahead = |name: &str| match place(&levels, name, &unit_users(), false) {
        Ok(Place::Ahead { at, factor }) => (at, factor),
        other => panic!("{name}: {other:?}"),
    };
    let (cpu, heap) = (ahead("app.cpu"), ahead("app.heap"));
    assert!((cpu.0 - 3876.0).abs() < 0.1 && (cpu.1 - 2.0 / 0.34).abs() < 1e-9, "{cpu:?}");
    assert!((heap.0 - 38_000.0).abs() < 1.0, "2 GB: {heap:?}");
    assert_eq!(place(&levels, "idle.cpu", &unit_users(), false), Err("its use does not depend on the load"));
    let rate = Unit { of: LoadUnit::RatePerS, think_s: None, requests_per_iteration: 4.0 };
    let iterations: Vec<Level> =
        levels.iter().map(|level| Level { level: level.level / 4.0, ..level.clone() }).collect();
    let pool = place(&iterations, "mongodb.pool", &rate, false).unwrap().at();
    assert!((pool - 500.0 / 4.0).abs() < 0.1, "the pool, in iterations of four requests: {pool}");
}

#[test]
fn noise_is_no_demand() {
    let levels: Vec<Level> = [(100.0, 0.52), (200.0, 0.47), (400.0, 0.55), (500.0, 0.5)]
        .map(|(users, used)| level(users, 20.0, [("app.cpu", cpu(2.0, used))]))
        .into();
    assert!(place(&levels, "app.cpu", &unit_users(), false).is_err());
}
