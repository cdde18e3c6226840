//! What a target says of itself, end to end: signals and resources as thresholds and as safety rules, from a page and from a real
//! Prometheus, the alert rules of the notes among them; and every form that a threshold can have.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod e2e;

use e2e::folder::{Folder, sound};
use e2e::invocation::{Invocation, plimsoll, run, run_at};
use e2e::served::Served;
use e2e::served_exporters::Part;
use e2e::served_prometheus::Prometheus;
use e2e::servers::Says;
use e2e::{scratch, servers};
use plimsoll::clock;
use plimsoll::record::rows::SaturationRow;
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

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

/// What a run at `target` records of a page, read by all presets.
fn read_of(target: SocketAddr, metrics: SocketAddr) -> Folder {
    let dir = scratch();
    let source = format!("[{{scrape: \"http://{metrics}/metrics\", preset: auto}}]");
    run_at("observed.yaml", target).set("observe", source).out(dir.path()).run().exits(0);
    sound(dir.path())
}

fn names(folder: &Folder) -> BTreeSet<&str> {
    folder.recorded.saturation.iter().map(|row| row.resource.as_str()).collect()
}

/// The readings of a resource, all but the first few of which must be there.
fn readings<'f>(folder: &'f Folder, name: &str) -> Vec<&'f SaturationRow> {
    let rows: Vec<_> = folder.recorded.saturation.iter().filter(|row| row.resource == name).collect();
    assert!(rows.len() > 3, "{name}: {:?} {}", names(folder), folder.events());
    rows
}

/// A figure of `/proc/meminfo`, bytes.
fn meminfo(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    1024.0 * line.trim().trim_end_matches(" kB").parse::<f64>().unwrap()
}

#[test]
fn a_node_exporter_tells_of_this_machine() {
    let Some(exporter) = Part::node_exporter() else { return };
    let folder = read_of(servers::page("ok"), exporter.addr);
    let cards = |name: &&str| name.ends_with("_in") || name.ends_with("_out");
    let but_cards: Vec<&str> = names(&folder).into_iter().filter(|name| !cards(name)).collect();
    assert_eq!(but_cards, ["node.cpu", "node.descriptors", "node.memory"], "and nothing of its own process");
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let cores = stat.lines().filter(|line| line.starts_with("cpu")).count() - 1;
    for row in readings(&folder, "node.cpu") {
        assert_eq!(row.limit, Some(cores as f64));
        // Ticks of a hundredth of a second, and the first of a core that idles may be late.
        assert!(row.used > 0.0 && row.used < 1.1 * cores as f64, "{row:?}");
    }
    for row in readings(&folder, "node.memory") {
        assert_eq!(row.limit, Some(meminfo("MemTotal")));
        assert!((0.01..0.999).contains(&row.utilization.unwrap()), "{row:?}");
    }
    for row in readings(&folder, "node.descriptors") {
        assert!(row.used > 10.0 && row.limit.unwrap() > row.used, "{row:?}");
    }
}

#[test]
fn a_redis_exporter_tells_of_its_redis() {
    const BYTES_MAX: u64 = 64 * 1024 * 1024;
    let Some(redis) = Part::redis(BYTES_MAX) else { return };
    let Some(exporter) = Part::redis_exporter(redis.addr) else { return };
    let addr = redis.addr;
    // Ends with the Redis.
    std::thread::spawn(move || {
        let mut client = TcpStream::connect(addr).unwrap();
        let mut answer = [0; 5];
        while client.write_all(b"SET key value\r\n").is_ok() && client.read_exact(&mut answer).is_ok() {
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
    });
    let folder = read_of(servers::page("ok"), exporter.addr);
    let all = ["redis.connections", "redis.main_thread", "redis.memory"];
    assert_eq!(names(&folder).into_iter().collect::<Vec<_>>(), all);
    let thread = readings(&folder, "redis.main_thread");
    assert!(thread.iter().all(|row| row.limit == Some(1.0) && (0.0..1.1).contains(&row.used)), "{thread:?}");
    assert!(thread.iter().any(|row| row.used > 0.0 && row.visits > Some(10.0)), "{thread:?}");
    for row in readings(&folder, "redis.connections") {
        assert!(
            (2.0..9.0).contains(&row.used) && row.limit > Some(100.0),
            "ours and the exporter's: {row:?}"
        );
        assert_eq!(row.errors, Some(0.0));
    }
    for row in readings(&folder, "redis.memory") {
        assert_eq!(row.limit, Some(BYTES_MAX as f64));
        assert!(row.used > 100_000.0 && row.used < BYTES_MAX as f64, "{row:?}");
    }
}

#[test]
fn an_nginx_exporter_tells_of_its_nginx() {
    let Some(nginx) = Part::nginx() else { return };
    let Some(exporter) = Part::nginx_exporter(nginx.addr) else { return };
    let folder = read_of(nginx.addr, exporter.addr);
    assert_eq!(names(&folder).into_iter().collect::<Vec<_>>(), ["gateway.connections"]);
    let rows = readings(&folder, "gateway.connections");
    assert!(rows.iter().all(|row| row.limit.is_none() && row.errors.is_none()), "not told: {rows:?}");
    // Five users and the exporter.
    assert!(rows.iter().any(|row| (6.0..12.0).contains(&row.used)), "{rows:?}");
}

/// What is in use of a pool of ten, and the time at which it was so in milliseconds.
fn pool(busy_s: u64, at_ms: Option<u64>) -> Says {
    let at = at_ms.map_or_else(String::new, |ms| format!(" {ms}"));
    Says::Text(format!("busy_total {busy_s}{at}\nlimit 10\n"))
}

#[test]
fn what_is_wrong_with_a_source_is_told_and_nothing_is_made_up() {
    let now_ms = clock::unix_ns() / 1_000_000;
    // A clock that is a little ahead tells of the present.
    let soon_ms = now_ms + 10_000;
    let well = |asked: u64| asked < 3;
    let sources: [(&str, SocketAddr); 9] = [
        ("steady", servers::changing(|asked| pool(2 * asked, None))),
        ("restarts", servers::changing(|asked| pool(2 * asked.checked_sub(5).unwrap_or(asked), None))),
        (
            "falls",
            servers::changing(move |asked| pool(if well(asked) { asked } else { 1_000 - asked }, None)),
        ),
        (
            "refuses",
            servers::changing(move |asked| if well(asked) { pool(asked, None) } else { Says::Status(500) }),
        ),
        (
            "stalls",
            servers::changing(move |asked| if well(asked) { pool(asked, None) } else { Says::Nothing }),
        ),
        (
            "breaks",
            servers::changing(
                move |asked| {
                    if well(asked) { pool(asked, None) } else { Says::Text("busy_total".into()) }
                },
            ),
        ),
        (
            "old",
            servers::changing(move |asked| {
                pool(asked, Some(if well(asked) { soon_ms } else { 1_000 } + 1_000 * asked))
            }),
        ),
        (
            "ahead",
            servers::changing(move |asked| {
                pool(asked, Some(soon_ms + 1_000 * asked + if well(asked) { 0 } else { 3_600_000 }))
            }),
        ),
        // What it knows comes on once in two looks, and is three seconds old then.
        (
            "lags",
            servers::changing(move |asked| {
                pool(2 * (asked / 2 * 2), Some(now_ms - 3_000 + 1_000 * (asked / 2 * 2)))
            }),
        ),
    ];
    let unlimited = servers::page("open 7\n");
    let mut observe: Vec<String> = sources
        .iter()
        .map(|(name, addr)| {
            let roles = "{used_seconds: busy_total, limit: limit}";
            format!("{{name: {name}, scrape: \"http://{addr}/m\", resources: {{{name}.pool: {roles}}}}}")
        })
        .collect();
    observe
        .push(format!("{{scrape: \"http://{unlimited}/m\", resources: {{unlimited.pool: {{used: open}}}}}}"));
    let mut thresholds: Vec<String> =
        sources.iter().map(|(name, _)| format!("\"used({name}.pool) < 90%\"")).collect();
    thresholds.extend(["\"used(unlimited.pool) < 90%\"".into(), "\"used(unlimited.pool) < 9\"".into()]);
    let dir = scratch();
    run_at("observed.yaml", servers::page("ok"))
        .set("observe", format!("[{}]", observe.join(", ")))
        .set("thresholds", format!("[{}]", thresholds.join(", ")))
        .out(dir.path())
        .run()
        .exits(1);
    let folder = sound(dir.path());
    let told = folder.events();
    for threshold in &folder.summary.thresholds {
        let known = ["steady", "restarts", "lags"].iter().any(|name| threshold.text.contains(name));
        let note = threshold.note.as_deref().unwrap_or_default();
        match threshold.text.as_str() {
            "used(unlimited.pool) < 9" => assert_eq!(threshold.result, "pass"),
            "used(unlimited.pool) < 90%" => {
                assert_eq!(threshold.result, "not_evaluated", "a limit is never guessed");
                assert!(note.contains("no reading of `unlimited.pool` that has this figure"), "{note}");
            }
            text if known => assert_eq!(threshold.result, "pass", "{text}: {threshold:?} {told}"),
            text => {
                assert_eq!(threshold.result, "not_evaluated", "{text}: {threshold:?} {told}");
                assert!(note.starts_with("readings cover "), "{text}: {note}");
            }
        }
    }
    assert_eq!(folder.summary.thresholds.len(), thresholds.len());
    for row in &folder.recorded.saturation {
        let of = |name: &str| row.resource.starts_with(name);
        assert!(row.used >= 0.0, "{row:?}");
        assert!(!of("lags.") || row.used == 2.0, "by its own times: {row:?}");
    }
    for words in [
        "the counters of restarts.pool",
        "the counters of falls.pool",
        "answered 500, not 200; readings are missing until it answers",
        "line 1 is no sample: busy_total",
        "1 series of",
        "tells of lags.pool is",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let far = told.matches("carry a time more than five minutes ago, or ten ahead").count();
    assert_eq!(far, 2, "{told}");
    let warned = folder.summary.warnings.iter().find(|warning| warning.code == "readings_missing");
    assert!(warned.is_some_and(|warning| !warning.text.contains("anew 0 times")), "{warned:?}");
}
