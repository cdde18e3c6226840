//! On records whose resources follow the utilization law.

use super::*;
use crate::record::rows::{Event, Manifest, SaturationRow, TimelineRow};

/// 20 s at each of these loads, requests per second of `read` and `write`.
const LEVELS: [(f64, f64); 6] =
    [(50.0, 30.0), (100.0, 20.0), (200.0, 50.0), (250.0, 150.0), (300.0, 60.0), (350.0, 250.0)];
const LEVEL_S: usize = 20;

fn entry(name: &str, protocol: &str) -> EndpointEntry {
    EndpointEntry { name: name.to_owned(), protocol: protocol.to_owned(), route: String::new(), key: None }
}

fn reading(t_s: f64, resource: &str, kind: &str, used: f64, limit: f64) -> SaturationRow {
    SaturationRow {
        t_s,
        resource: resource.to_owned(),
        kind: kind.to_owned(),
        used,
        limit: Some(limit),
        waiting: None,
        utilization: None,
        errors: None,
        visits: None,
        wait_s: None,
        hold_s: None,
    }
}

/// A pool of 10 held 20 ms by a read and 10 ms by a write, and two cores of which a read takes 0.5 ms and a write 2 ms, with 0.1 at rest. Rates wobble
/// by one request a second.
fn recorded(levels: &[(f64, f64)]) -> Recorded {
    let mut recorded = unfinished(levels);
    recorded.manifest.finished = true;
    recorded.manifest.progress.generator.valid = true;
    recorded
}

#[test]
fn a_run_that_says_little_is_told_to() {
    let codes = |recorded: &Recorded| -> Vec<String> {
        service_demands(recorded).warnings.iter().map(|warning| warning.code.clone()).collect()
    };
    let levels = [(50.0, 20.0), (100.0, 60.0), (150.0, 30.0), (200.0, 90.0)];
    assert_eq!(codes(&unfinished(&levels)), ["invalid_run", "unfinished_run"]);
    assert_eq!(codes(&recorded(&levels)), [""; 0]);
}

fn unfinished(levels: &[(f64, f64)]) -> Recorded {
    let mut recorded = Recorded {
        dir: "made-up".into(),
        manifest: Manifest {
            scenario: "made-up".to_owned(),
            seed: 7,
            duration_s: (levels.len() * LEVEL_S) as f64,
            endpoints: vec![entry("read", "http"), entry("write", "http"), entry("tick", "ws.lag")],
            ..Manifest::default()
        },
        timeline: Vec::new(),
        saturation: Vec::new(),
        signals: Vec::new(),
        events: Vec::new(),
        intervals: Vec::new(),
        by_name: Default::default(),
    };
    for (number, &(read, write)) in levels.iter().flat_map(|level| [level; LEVEL_S]).enumerate() {
        let t_s = number as f64 + 1.0;
        let wobble = f64::from(u8::from(number % 3 == 0));
        for (name, rate) in [("read", read + wobble), ("write", write), ("tick", 500.0)] {
            let completed = rate as u64;
            recorded.timeline.push(TimelineRow {
                t_s,
                endpoint: name.to_owned(),
                completed,
                ..TimelineRow::default()
            });
        }
        let held = (read + wobble) * 0.020 + write * 0.010;
        recorded.saturation.push(SaturationRow {
            visits: Some(read + wobble + write),
            hold_s: Some(held),
            ..reading(t_s, "mongodb.pool", "pool", held, 10.0)
        });
        let cores = 0.1 + (read + wobble) * 0.0005 + write * 0.002;
        recorded.saturation.push(reading(t_s, "app.cpu", "cpu", cores, 2.0));
        recorded.saturation.push(reading(t_s, "app.heap", "memory", 1e9, 1e9));
    }
    recorded
}

#[test]
fn demands_are_those_the_record_was_made_of() {
    let found = service_demands(&recorded(&LEVELS));
    let [cpu, pool] = &found.resources[..] else { panic!("{found:?}") };
    let near = |value: f64, truth: f64| {
        assert!((value - truth).abs() < 1e-6 * truth.max(1.0), "{value} for {truth}")
    };
    for (resource, read_ms, write_ms, background) in [(cpu, 0.5, 2.0, 0.1), (pool, 20.0, 10.0, 0.0)] {
        assert_eq!(
            (&resource.demands[0].endpoints[..], &resource.demands[1].endpoints[..]),
            (&["read".to_owned()][..], &["write".to_owned()][..])
        );
        near(resource.demands[0].demand_ms, read_ms);
        near(resource.demands[1].demand_ms, write_ms);
        near(resource.background.unwrap(), background);
        assert!(resource.drift.is_none_or(|drift| !drift.moved));
    }
    assert_eq!((cpu.hold_ms, cpu.visits_per_request), (None, None));
    near(pool.visits_per_request.unwrap(), 1.0);
    let (read, write) = LEVELS[..5].iter().fold((0.0, 0.0), |sum, level| (sum.0 + level.0, sum.1 + level.1));
    let hold_ms = (read * 20.0 + write * 10.0) / (read + write);
    assert!((pool.hold_ms.unwrap() - hold_ms).abs() < 0.01, "{pool:?} {hold_ms}");
    let fills = 10.0 / (hold_ms / 1e3);
    assert!((pool.fills_at_per_s.unwrap() / fills - 1.0).abs() < 0.001, "{fills}");
    assert_eq!(found.unfitted.len(), 1, "memory is no resource of requests");
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    // The last level has the pool at 95 %.
    assert_eq!((found.windows, found.windows_used), (24, 20));
    assert_eq!(
        found.left_out,
        [LeftOut { reason: "mongodb.pool at 90 % of its limit or more".to_owned(), windows: 4 }]
    );
}

#[test]
fn windows_that_say_nothing_are_left_out_with_their_reason() {
    let mut record = recorded(&LEVELS);
    for row in &mut record.timeline {
        if row.t_s <= 5.0 && row.endpoint != "tick" {
            row.completed = 0;
        }
        if row.t_s > 5.0 && row.t_s <= 10.0 {
            row.failed = row.completed;
        }
    }
    record.events.push(Event {
        t_s: 33.0,
        kind: "late".to_owned(),
        text: String::new(),
        fields: serde_json::Map::new(),
    });
    record.saturation.retain(|row| row.resource != "app.cpu" || !(50.0..55.0).contains(&row.t_s));
    // The reading after the gap speaks for all of it.
    let found = service_demands(&record);
    let reasons: Vec<(&str, usize)> =
        found.left_out.iter().map(|out| (out.reason.as_str(), out.windows)).collect();
    let wanted = [
        ("mongodb.pool at 90 % of its limit or more", 4),
        ("more than 5 % of the requests failed", 1),
        ("no requests", 1),
        ("seconds told late", 2),
    ];
    assert_eq!(reasons, wanted);
    assert_eq!(found.windows_used, 24 - 8);
    record.saturation.retain(|row| row.resource != "app.cpu" || row.t_s < 60.0);
    let found = service_demands(&record);
    let cpu = found.resources.iter().find(|resource| resource.resource == "app.cpu");
    assert_eq!(
        cpu.map(|cpu| cpu.windows_used),
        Some(7),
        "windows without readings count for other resources"
    );
}

#[test]
fn what_cannot_be_told_apart_is_said() {
    let together: Vec<(f64, f64)> = (1..=5).map(|k| (50.0 * f64::from(k), 25.0 * f64::from(k))).collect();
    let found = service_demands(&recorded(&together));
    assert_eq!(found.resources[0].demands[0].endpoints, ["read", "write"]);
    assert_eq!(found.warnings.len(), 1);
    assert_eq!(found.warnings[0].code, "classes_together");
    let steady = service_demands(&recorded(&[(200.0, 0.0); 3]));
    let codes: Vec<&str> = steady.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["background_unknown", "background_unknown"]);
    let short = service_demands(&recorded(&LEVELS[..1]));
    assert_eq!(short.unfitted.len(), 3);
    assert!(short.unfitted[0].reason.contains("4 of its windows"), "{short:?}");
    let mut blind = recorded(&LEVELS);
    blind.saturation.clear();
    assert_eq!(service_demands(&blind).warnings[0].code, "no_readings");
}

#[test]
fn a_demand_that_moves_is_said() {
    let loads: Vec<(f64, f64)> = (1..=8).map(|k| (50.0 * f64::from(k), 0.0)).collect();
    let mut record = recorded(&loads);
    for row in record.saturation.iter_mut().filter(|row| row.resource == "app.cpu") {
        row.used += (row.used - 0.1).powi(2) * 4.0;
    }
    let found = service_demands(&record);
    let moved: Vec<bool> =
        found.resources.iter().map(|resource| resource.drift.is_some_and(|drift| drift.moved)).collect();
    assert_eq!(moved, [true, false]);
    let [warning] = &found.warnings[..] else { panic!("{:?}", found.warnings) };
    assert!(warning.code == "demand_moves" && warning.text.starts_with("app.cpu: "), "{warning:?}");
}

/// A connection a user, and a memory of 50 KB a user, under users who ask twice a second.
#[test]
fn what_users_hold_has_no_demand() {
    let mut record = recorded(&LEVELS[..5]);
    let mut held = Vec::new();
    for row in &mut record.timeline {
        row.users = (row.t_s / LEVEL_S as f64).ceil() as u64 * 60;
        if row.endpoint == "read" {
            let users = row.users as f64;
            held.push(reading(row.t_s, "gateway.connections", "pool", users + 2.0, 4096.0));
            held.push(reading(row.t_s, "ws.heap", "memory", 1e7 + 5e4 * users, 1e9));
        }
    }
    record.saturation.extend(held);
    let found = service_demands(&record);
    let fitted: Vec<&str> = found.resources.iter().map(|resource| resource.resource.as_str()).collect();
    assert_eq!(fitted, ["app.cpu", "mongodb.pool"]);
    let per_user = |name: &str| {
        let unfitted = found.unfitted.iter().find(|unfitted| unfitted.resource == name);
        unfitted.map(|unfitted| (unfitted.reason.as_str(), unfitted.per_user.map(f64::round)))
    };
    assert_eq!(per_user("gateway.connections"), Some(("held by users, whatever they ask for", Some(1.0))));
    assert_eq!(
        per_user("ws.heap"),
        Some(("memory is held by users and data, not by requests", Some(50_000.0)))
    );
    assert_eq!(per_user("app.heap").unwrap().1, None);
}

#[test]
fn an_empty_record_is_no_trouble() {
    let mut empty = recorded(&[]);
    assert_eq!(service_demands(&empty).windows, 0);
    empty.manifest.duration_s = 100.0;
    assert_eq!(service_demands(&empty).left_out[0].windows, 20);
}

/// 1.5 ms a request and 4 µs more of it for each request a second: 1.64 cores are full at 480 requests a second, where one demand for all loads has more.
#[test]
fn a_demand_that_moves_is_told_as_a_curve() {
    let levels: Vec<(f64, f64)> = (1..=7).map(|k| (60.0 * f64::from(k), 0.0)).collect();
    let mut record = recorded(&levels);
    let rates = levels.iter().flat_map(|level| [level.0; LEVEL_S]).enumerate();
    let rates: Vec<f64> = rates.map(|(number, rate)| rate + f64::from(u8::from(number % 3 == 0))).collect();
    for row in record.saturation.iter_mut().filter(|row| row.resource == "app.cpu") {
        let rate = rates[row.t_s as usize - 1];
        (row.used, row.limit) = (rate * (1.5e-3 + 4e-6 * rate), Some(1.64));
    }
    let found = service_demands(&record);
    let [cpu, pool] = &found.resources[..] else { panic!("{found:?}") };
    let fills = cpu.fills_at_per_s.unwrap();
    assert!((fills / 480.0 - 1.0).abs() < 0.05, "{fills}");
    let one = (1.64 - cpu.background.unwrap()) / cpu.demands[0].demand_ms * 1e3;
    assert!(one > 480.0 * 1.1, "{one}");
    assert_eq!(
        cpu.evidence.as_deref(),
        Some("extrapolated"),
        "past the curve, though by less than a quarter"
    );
    let curve = cpu.curve.as_ref().unwrap();
    assert!(curve.windows(2).all(|two| two[0].demand_ms < two[1].demand_ms), "{curve:?}");
    let last = curve.last().unwrap();
    assert!((last.demand_ms / (1.5 + 4e-3 * last.rate_per_s) - 1.0).abs() < 0.02, "{last:?}");
    assert_eq!(pool.curve, None);
    let moves = found.warnings.iter().find(|warning| warning.code == "demand_moves").unwrap();
    assert!(moves.text.contains("a curve over them takes its place"), "{}", moves.text);
}
