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
        Ok(Place::Ahead { at, factor, moves: None }) => (at, factor),
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

/// 1 ms a request, and a microsecond more of it for each request a second: 0.9 cores are full at 572 requests a second, which is past the 500 that were
/// sent; one demand for all loads says 640.
#[test]
fn a_demand_that_moves_is_followed_and_its_wall_an_extrapolation() {
    let levels: Vec<Level> = [100.0, 200.0, 300.0, 400.0, 450.0, 500.0]
        .map(|users: f64| level(users, 0.0, [("app.cpu", cpu(0.9, users * (1e-3 + 1e-6 * users)))]))
        .into();
    let found = place(&levels, "app.cpu", &unit_users(), false).unwrap();
    let Place::Ahead { at, factor, moves: Some(Moves { by: moved, error }) } = found else {
        panic!("{found:?}")
    };
    assert!((at / 572.0 - 1.0).abs() < 0.03 && (factor - 1.2).abs() < 1e-9, "{found:?}");
    // 1.18 ms a request more over the first two, from none on, and 1.79 over the others.
    assert!((moved - 1.52).abs() < 0.01 && error > 0.01 && error < 0.05, "{moved} {error}");
    let drawn = || Drawn { at: vec![at; 9], draws: 9, levels: 6 };
    let published = rung("app.cpu", "cpu", &unit_users(), Ok(found), drawn());
    assert_eq!((published.evidence.as_deref(), published.demand_moved), (Some("extrapolated"), Some(moved)));
    let one = Place::Ahead { at, factor, moves: None };
    let published = rung("app.cpu", "cpu", &unit_users(), Ok(one), drawn());
    assert_eq!((published.evidence.as_deref(), published.demand_moved), (Some("interpolated"), None));
}

/// Each socket is held by a user: what the levels that were good say stands, though the last of them took all there was.
#[test]
fn what_fills_without_a_queue_is_placed_by_two_good_levels() {
    let connections =
        |used: f64| LevelResource { kind: "pool".to_owned(), errors_per_s: Some(0.0), ..cpu(400.0, used) };
    let levels: Vec<Level> =
        [(100.0, 0.19, true), (200.0, 0.33, true), (209.0, 0.13, false), (238.0, 0.4, false)]
            .map(|(users, mean_ms, good)| {
                let used = f64::min(users * 2.0, 400.0);
                Level { good, ..level(users, mean_ms, [("gateway.connections", connections(used))]) }
            })
            .into();
    let found = place(&levels, "gateway.connections", &unit_users(), false).unwrap();
    assert!((found.at() - 200.0).abs() < 1.0, "{found:?}");
}

/// A heap that grew while nobody asked: no load is what fills it.
#[test]
fn what_is_full_without_any_load_is_said_to_be() {
    let levels: Vec<Level> = [100.0, 200.0, 400.0]
        .map(|users| level(users, 20.0, [("app.cpu", cpu(2.0, 0.3 + users * 1e-3))]))
        .map(|mut level| {
            level.resources.get_mut("app.cpu").unwrap().limit = Some(0.3);
            level.resources.get_mut("app.cpu").unwrap().utilization = Some(0.5);
            level
        })
        .into();
    let found = place(&levels, "app.cpu", &unit_users(), false);
    assert_eq!(found, Err("its use leaves no room without any load already"));
}

#[test]
fn noise_is_no_demand() {
    let levels: Vec<Level> = [(100.0, 0.52), (200.0, 0.47), (400.0, 0.55), (500.0, 0.5)]
        .map(|(users, used)| level(users, 20.0, [("app.cpu", cpu(2.0, used))]))
        .into();
    assert!(place(&levels, "app.cpu", &unit_users(), false).is_err());
}
