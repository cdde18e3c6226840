//! Resources that not every request uses.

use super::*;

const SLOTS: f64 = 10.0;
const HOLD_S: f64 = 0.02;
const FILE_S: f64 = 0.001;
const CPU_S: f64 = 5e-4;
const REQUESTS: f64 = 5.0;

/// Pages of a product and four files, turned once a second: each of the five takes half a millisecond of 0.3 cores, which are full at 600 requests a second,
/// of 123 users; the product alone takes a connection, of which there are ten for the products of 512.
fn levels() -> Vec<Level> {
    [20.0, 40.0, 80.0, 123.0, 150.0, 200.0]
        .into_iter()
        .map(|users: f64| {
            let rate = (REQUESTS * users / 1.026).min(600.0);
            let wait_ms = (users / rate - 1.026 / REQUESTS).max(0.0) * 1e3;
            let used = rate / REQUESTS * HOLD_S;
            let pool = LevelResource {
                wait_ms: Some(0.0),
                visits: Some(1.0 / REQUESTS),
                ..pool(SLOTS, used, 0.0, HOLD_S)
            };
            let mean = (HOLD_S + 4.0 * FILE_S) / REQUESTS * 1e3 + wait_ms;
            let mut level = level(users, mean, [("app.cpu", cpu(0.3, rate * CPU_S)), ("mongodb.pool", pool)]);
            (level.throughput_per_s, level.good) = (rate, wait_ms < 60.0);
            let slow = HOLD_S * 1e3 + wait_ms;
            level.think_s = 1.0 / REQUESTS;
            level.response_ms = Latency {
                p50: FILE_S * 1e3 + wait_ms,
                p90: slow,
                p95: slow,
                p99: slow,
                p99_9: slow,
                max: slow,
                mean,
            };
            level
        })
        .collect()
}

/// With four times the cores the pool limits, at the users that fill it and those of whose products one in twenty waits too long: a queue that is taken for
/// one of all requests would let a third more of them in.
#[test]
fn a_pool_that_one_request_in_five_uses_limits_where_its_own_requests_wait() {
    let levels = levels();
    let goals = [GOAL.to_owned()];
    let line = line(160.0, 150.0, 170.0);
    let unit = Unit { think_s: Some(1.0 / REQUESTS), requests_per_iteration: REQUESTS, ..unit_users() };
    let before = Before { unit, ..before(&levels, Some(&line), &goals) };
    let found = predict(&before, &Change::read_all(&["app.cpu=1.2".to_owned()]).unwrap()).unwrap();
    assert_eq!(found.limited_by.as_deref(), Some("mongodb.pool"), "{found:?}");
    let typical = found.load_line.typical / found.calibration.sqrt();
    assert!((500.0..560.0).contains(&typical), "{found:?}");
}
