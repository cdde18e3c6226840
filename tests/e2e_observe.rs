//! What a target says of itself, end to end: signals and resources as thresholds and as safety rules, from a page and from a real
//! Prometheus, the alert rules of the notes among them; and every form that a threshold can have.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod e2e;

use e2e::folder::{Folder, sound};
use e2e::invocation::{Invocation, plimsoll, run, run_at};
use e2e::served::Served;
use e2e::served_exporters::Part;
use e2e::served_prometheus::Prometheus;
use e2e::{scratch, servers};
use std::net::SocketAddr;

/// A node_exporter of a machine with 8 GB, of which so much is available; where there is none, its page as we would write it.
struct Machine {
    addr: SocketAddr,
    _exporter: Option<Part>,
}

impl Machine {
    fn with(available_bytes: f64) -> Self {
        let exporter = Part::node_exporter_of(available_bytes);
        let page = || {
            format!("node_memory_MemTotal_bytes 8e+09\nnode_memory_MemAvailable_bytes {available_bytes}\n")
        };
        let addr = exporter.as_ref().map_or_else(|| servers::page(&page()), |exporter| exporter.addr);
        Self { addr, _exporter: exporter }
    }
}

/// What became of each threshold, by its text.
fn results(folder: &Folder) -> Vec<(&str, &str)> {
    folder.summary.thresholds.iter().map(|t| (t.text.as_str(), t.result.as_str())).collect()
}

fn rules(shop: SocketAddr, machine: SocketAddr, prometheus: Option<&Prometheus>) -> Invocation {
    let run = plimsoll(["run", "scenarios/alert-rules.yaml"])
        .env("SHOP_HTTP", format!("http://{shop}"))
        .env("NODE_METRICS", format!("http://{machine}/metrics"))
        .on_a_busy_machine();
    match prometheus {
        None => run,
        Some(prometheus) => {
            run.arg("--profile").arg("prometheus").env("PROMETHEUS", format!("http://{}", prometheus.addr))
        }
    }
}

/// Runs the rules over the page and over a Prometheus that scrapes it; those of them that must not hold are `fired`, all others must, but for
/// how many requests are under way where that is of no concern.
fn judged(dials: &[&str], available_bytes: f64, fired: &[&str], how_many: bool) {
    let (shop, machine) = (Served::start("baseline", dials), Machine::with(available_bytes));
    let prometheus = Prometheus::scraping(&[shop.addr, machine.addr]);
    for source in [None, prometheus.as_ref()].into_iter().take(1 + usize::from(prometheus.is_some())) {
        let dir = scratch();
        let code = i32::from(!fired.is_empty());
        rules(shop.addr, machine.addr, source).out(dir.path()).run().exits(code);
        let folder = sound(dir.path());
        let told = (source.is_some(), folder.events());
        for (text, result) in results(&folder) {
            if text.contains("value(busy)") && !how_many {
                continue;
            }
            let wanted = if fired.iter().any(|name| text.contains(name)) { "fail" } else { "pass" };
            assert_eq!(result, wanted, "{text}: {told:?} {:?}", folder.summary.thresholds);
        }
        assert_eq!(folder.summary.thresholds.len(), 4);
        assert!(folder.recorded.signals.len() > 20, "{told:?}");
        assert!(
            folder.recorded.saturation.is_empty(),
            "signals are no resources: nothing else was asked for"
        );
    }
}

#[test]
fn the_rules_of_the_notes_are_silent_while_all_is_well() {
    judged(&["mongodb.service_time_ms=5"], 6e9, &[], true);
}

#[test]
fn the_rules_on_latency_and_memory_fire() {
    judged(
        &["mongodb.service_time_ms=1200"],
        1e9,
        &["value(busy)", "value(mean_latency_s)", "value(memory_used)"],
        true,
    );
}

#[test]
fn the_rule_on_errors_fires_and_ends_a_run_as_a_safety_rule() {
    let dials =
        ["mongodb.service_time_ms=100", "mongodb.max_pool_size=1", "mongodb.wait_queue_timeout_ms=20"];
    judged(&dials, 6e9, &["value(error_ratio)"], false);
    let (shop, machine) = (Served::start("baseline", &dials), Machine::with(6e9));
    let prometheus = Prometheus::scraping(&[shop.addr, machine.addr]);
    for source in [None, prometheus.as_ref()].into_iter().take(1 + usize::from(prometheus.is_some())) {
        let dir = scratch();
        let run = rules(shop.addr, machine.addr, source)
            .set("safety.abort_when", "[\"value(error_ratio) > 1% for 3s\"]");
        run.out(dir.path()).run().exits(4).says("value(error_ratio) > 1% for 3s");
        sound(dir.path());
    }
}

#[test]
fn a_server_that_does_not_answer_or_refuses_is_told_and_its_thresholds_do_not_pass() {
    let shop = Served::start("baseline", &["mongodb.service_time_ms=5"]);
    let machine = Machine::with(6e9);
    let dir = scratch();
    let run = rules(shop.addr, machine.addr, None)
        .arg("--profile")
        .arg("prometheus")
        .env("PROMETHEUS", format!("http://{}", servers::nothing()));
    run.out(dir.path()).run().exits(1);
    let folder = sound(dir.path());
    assert!(results(&folder).iter().all(|(_, result)| *result == "not_evaluated"), "{:?}", results(&folder));
    assert_eq!(
        folder.events().matches("readings are missing until it answers").count(),
        1,
        "{}",
        folder.events()
    );
    let warned = folder.summary.warnings.iter().find(|warning| warning.code == "readings_missing");
    assert!(warned.is_some_and(|warning| !warning.text.contains("read 0 times")), "{warned:?}");
}

#[test]
fn every_form_of_a_threshold_is_judged() {
    let holds = [
        "p50(http) < 5s",
        "p95(service:http{name=product}) < 9s in many",
        "max(http) < 10s",
        "mean(http{name=product}) > 50ms in few",
        "error_rate == 0",
        "error_rate(http) < 0.5% in many",
        "rate(http) > 1/s in few",
        "count(http{name=product}) > 20",
        "dropped == 0",
        "dropped < 0.1%",
        "p50(http) < 5s for 95% of 2s windows in many",
        "p50(http) > 1ms for 3s in many",
        "used(own.pool) > 0.1 in many",
        "used(mongodb.pool) > 60% in many",
        "used(mongodb.pool) < 60% in few",
        "used(mongodb.pool) > 50% for 2s in many",
        "waiting(mongodb.pool) > 0 in many",
        "waiting(mongodb.pool) < 1 in few",
        "value(requests_per_s) > 1 for 75% of 2s windows in many",
    ];
    let fails = [
        "p50(http) < 1ms",
        "used(mongodb.pool) < 50% in many",
        "used(mongodb.pool) > 95% for 3s in few",
        "waiting(mongodb.pool) == 0 in many",
        "value(requests_per_s) < 0.1",
        "rate(http) < 1/s",
        "p50(http) < 1ms for 50% of 1s windows",
    ];
    let undecided = ["p99.9(http) < 10s", "p99(http) < 10s in few", "used(no.such.pool) < 90%"];
    let all: Vec<String> =
        holds.iter().chain(&fails).chain(&undecided).map(|text| format!("\"{text}\"")).collect();
    let dir = scratch();
    run("grammar.yaml")
        .set("thresholds", format!("[{}]", all.join(", ")))
        .out(dir.path())
        .run()
        .exits(1)
        .says("threshold `p50(http) < 1ms` was not met");
    let folder = sound(dir.path());
    let told = &folder.summary.thresholds;
    for (text, result) in results(&folder) {
        let wanted = match text {
            text if holds.contains(&text) => "pass",
            text if fails.contains(&text) => "fail",
            _ => "not_evaluated",
        };
        assert_eq!(result, wanted, "{text}: {told:#?}");
    }
    assert_eq!(told.len(), all.len());
}

#[test]
fn a_threshold_without_samples_fails_the_run() {
    let dir = scratch();
    let run = run("grammar.yaml").set("thresholds", "[\"p99.9(http) < 10s\"]").out(dir.path());
    run.run().exits(1);
    assert_eq!(results(&sound(dir.path())), [("p99.9(http) < 10s", "not_evaluated")]);
}

#[test]
fn rules_end_a_run_of_a_full_resource_and_of_a_target_that_hangs() {
    let dir = scratch();
    run("grammar.yaml")
        .set("safety.abort_when", "[\"used(mongodb.pool) > 60% for 2s\"]")
        .out(dir.path())
        .run()
        .exits(4)
        .says("used(mongodb.pool) > 60% for 2s");
    let dir = scratch();
    // Nothing ends before the time-out of ten seconds.
    run_at("busy.yaml", servers::silent())
        .set("safety.abort_when", "[\"p99(http) > 500ms for 2s\"]")
        .out(dir.path())
        .run()
        .exits(4)
        .says("p99(http) > 500ms for 2s");
    let folder = sound(dir.path());
    assert!(
        folder.recorded.manifest.duration_s < 9.0,
        "it fired at {} s",
        folder.recorded.manifest.duration_s
    );
}
