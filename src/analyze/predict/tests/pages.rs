//! Resources that not every request uses.

use super::*;

const SLOTS: f64 = 10.0;
const HOLD_S: f64 = 0.02;
const FILE_S: f64 = 0.001;
const CPU_S: f64 = 5e-4;
const REQUESTS: f64 = 5.0;

/// Pages of a product and files, `requests` in all, turned once a second. Each takes half a millisecond of a processor that is full at 120 pages a second: 0.3
/// cores and 123 users for four files. The product alone takes a connection, of which there are ten for the products of 512.
fn levels(requests: f64) -> Vec<Level> {
    let page_s = HOLD_S + (requests - 1.0) * FILE_S;
    [20.0, 40.0, 80.0, 123.0, 150.0, 200.0]
        .into_iter()
        .map(|users: f64| {
            let cycle_s = 1.002 + page_s;
            let rate = (requests * users / cycle_s).min(120.0 * requests);
            let wait_ms = (users / rate - cycle_s / requests).max(0.0) * 1e3;
            let used = rate / requests * HOLD_S;
            let pool = LevelResource {
                wait_ms: Some(0.0),
                visits: Some(1.0 / requests),
                ..pool(SLOTS, used, 0.0, HOLD_S)
            };
            let mean = page_s / requests * 1e3 + wait_ms;
            let cpu = cpu(0.06 * requests, rate * CPU_S);
            let mut level = level(users, mean, [("app.cpu", cpu), ("mongodb.pool", pool)]);
            (level.throughput_per_s, level.good) = (rate, wait_ms < 60.0);
            let (fast, slow) = (FILE_S * 1e3 + wait_ms, HOLD_S * 1e3 + wait_ms);
            let at = |share: f64| if share > 1.0 - 1.0 / requests { slow } else { fast };
            level.think_s = 1.0 / requests;
            level.response_ms =
                Latency { p50: fast, p90: at(0.9), p95: at(0.95), p99: slow, p99_9: slow, max: slow, mean };
            level
        })
        .collect()
}

/// With four times the cores the pool limits, at the users that fill it and those of whose products one in twenty waits too long: a queue that is taken for
/// one of all requests would let a third more of them in.
#[test]
fn a_pool_that_one_request_in_five_uses_limits_where_its_own_requests_wait() {
    let found = with_four_times_the_cores(REQUESTS, GOAL);
    assert_eq!(found.limited_by.as_deref(), Some("mongodb.pool"), "{found:?}");
    let typical = found.load_line.typical / found.calibration.sqrt();
    assert!((500.0..560.0).contains(&typical), "{found:?}");
    // It may as well be one in fifteen that visits three times, of which fewer may wait.
    assert!(found.explanation.contains("taken to visit it once"), "{}", found.explanation);
    let [low, high] = found.load_line.interval;
    assert!(high / low > 1.25, "{found:?}");
}

/// One request in 25 of a page visits the pool: all of them may wait as long as they will, and at most 4 % of the requests are late where 5 % may be. The pool
/// limits where it is full all the same, at 522 users: more of them turn no more pages.
#[test]
fn a_pool_whose_requests_may_all_be_late_limits_where_it_is_full() {
    let found = with_four_times_the_cores(25.0, "p95(http) > 20ms");
    assert_eq!(found.limited_by.as_deref(), Some("mongodb.pool"), "{found:?}");
    let typical = found.load_line.typical / found.calibration.sqrt();
    assert!((500.0..560.0).contains(&typical), "{found:?}");
}

fn with_four_times_the_cores(requests: f64, goal: &str) -> WhatIf {
    let levels = levels(requests);
    let goals = [goal.to_owned()];
    let line = line(160.0, 150.0, 170.0);
    let unit = Unit { think_s: Some(1.0 / requests), requests_per_iteration: requests, ..unit_users() };
    let before = Before { unit, ..before(&levels, Some(&line), &goals) };
    predict(&before, &Change::read_all(&["app.cpu=4x".to_owned()]).unwrap()).unwrap()
}
