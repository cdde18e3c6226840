//! Where what a run knows of its target comes from, end to end: presets at real exporters, pages that go wrong in every way, and what a staircase
//! makes of a page that goes wrong in the middle of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod e2e;

use e2e::folder::{Folder, sound};
use e2e::invocation::run_at;
use e2e::served::{self, Served};
use e2e::served_exporters::Part;
use e2e::servers::Says;
use e2e::{scratch, servers};
use plimsoll::clock;
use plimsoll::record::rows::SaturationRow;
use plimsoll::record::summary::{Bottleneck, BottleneckStatus, Summary};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;

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

/// Milliseconds of Unix time, and how many of them have passed since `began_ms`.
fn passed_ms(began_ms: u64) -> u64 {
    clock::unix_ns() / 1_000_000 - began_ms
}

/// A page of which each series tells its own time, as one that is federated or cached does.
#[test]
fn the_times_that_a_page_gives_are_those_of_its_readings() {
    // Well in the past, so that nothing is before it.
    let began_ms = clock::unix_ns() / 1_000_000 - 60_000;
    // When something that comes on every so often did so last, some time behind the others, in milliseconds since then.
    let on = move |every_ms: u64, behind_ms: u64| {
        (passed_ms(began_ms) - behind_ms) / every_ms * every_ms + behind_ms
    };
    let sources: [(&str, &str, SocketAddr); 4] = [
        // Two instances, each with one in use, and scraped 0.4 s apart.
        (
            "two",
            "{used_seconds: busy_total, limit: limit}",
            servers::changing(move |_| {
                let line = |i: u32, at_ms: u64| {
                    format!("busy_total{{i=\"{i}\"}} {} {}\n", at_ms as f64 / 1e3, began_ms + at_ms)
                };
                Says::Text(format!("{}{}limit 4\n", line(0, on(2_000, 0)), line(1, on(2_000, 400))))
            }),
        ),
        // What is counted carries no time.
        (
            "partly",
            "{used_seconds: busy_total, visits: jobs_total, limit: limit}",
            servers::changing(move |_| {
                let (at_ms, jobs) = (on(1_500, 0), passed_ms(began_ms) / 100);
                let (busy, told_ms) = (at_ms as f64 / 1e3, began_ms + at_ms);
                Says::Text(format!("busy_total {busy} {told_ms}\njobs_total {jobs}\nlimit 4\n"))
            }),
        ),
        // The newest is of the third look, in a role and in a signal.
        (
            "frozen",
            "{used_seconds: sum(busy_total), limit: limit}",
            servers::changing(move |asked| {
                let at_s = 55 + asked.min(10);
                Says::Text(format!("busy_total {at_s} {}\nlimit 4\n", began_ms + 1_000 * at_s))
            }),
        ),
        (
            "gauge",
            "{used: busy, limit: limit}",
            servers::changing(move |_| Says::Text(format!("busy 1 {}\nlimit 4\n", began_ms + on(2_000, 0)))),
        ),
    ];
    let observe = sources.map(|(name, roles, addr)| {
        format!(
            "{{name: {name}, scrape: \"http://{addr}/m\", every: 200ms, resources: {{{name}.pool: {roles}}}, \
             signals: {{{name}_s: \"sum(rate(busy_total[2s]))\"}}}}"
        )
    });
    let dir = scratch();
    run_at("observed.yaml", servers::page("ok"))
        .set("observe", format!("[{}]", observe.join(", ")))
        .set(
            "thresholds",
            "[\"used(two.pool) < 51%\", \"used(two.pool) > 49%\", \"used(gauge.pool) < 26%\", \"used(frozen.pool) < 90%\", \"value(frozen_s) < 5\"]",
        )
        .out(dir.path())
        .run()
        .exits(1);
    let folder = sound(dir.path());
    let told = folder.events();
    for threshold in &folder.summary.thresholds {
        let result = if threshold.text.contains("frozen") { "not_evaluated" } else { "pass" };
        assert_eq!(threshold.result, result, "{threshold:?} {told}");
    }
    for row in readings(&folder, "two.pool") {
        assert!((row.used - 2.0).abs() < 1e-6, "{row:?}");
    }
    let partly = readings(&folder, "partly.pool");
    let visits: f64 = partly.iter().map(|row| row.visits.unwrap()).sum();
    let told_s: f64 = partly.windows(2).map(|pair| pair[1].t_s - pair[0].t_s).sum::<f64>() + 1.5;
    assert!((visits / told_s - 10.0).abs() < 1.0, "ten a second, whenever the time comes on: {partly:?}");
    for name in ["frozen.pool", "frozen_s"] {
        assert!(told.contains(&format!("has told the same time of {name} for ")), "{name}: {told}");
    }
    assert!(!told.contains("the same time of two") && !told.contains("the same time of gauge"), "{told}");
}

#[test]
fn a_safety_rule_is_met_by_a_page_that_comes_on_every_few_seconds() {
    let full = servers::changing(|_| {
        let at_ms = clock::unix_ns() / 1_000_000 / 5_000 * 5_000;
        Says::Text(format!("busy 10 {at_ms}\nlimit 10 {at_ms}\n"))
    });
    let dir = scratch();
    run_at("observed.yaml", servers::page("ok"))
        .set(
            "observe",
            format!(
                "[{{scrape: \"http://{full}/m\", resources: {{full.pool: {{used: busy, limit: limit}}}}}}]"
            ),
        )
        .set("safety.abort_when", "[\"used(full.pool) > 90% for 7s\"]")
        .set("load", "[{run: look, executor: closed, stages: [{to: 5, over: 0s}, {hold: 40s}]}]")
        .out(dir.path())
        .run()
        .exits(4);
    let events = sound(dir.path()).events();
    assert!(events.contains("used(full.pool) > 90% for 7s"), "{events}");
}

/// Looks at a page that are well; the staircase takes twice as many.
const WELL: u64 = 24;

/// What a staircase over a shop whose pool of four is its limit says of that, where its page is asked for by way of `relay`.
fn climbed(relay: impl Fn(SocketAddr, u64) -> Says + Send + Sync + 'static) -> Bottleneck {
    let shop = Served::start("baseline", &["mongodb.max_pool_size=4", "mongodb.service_time_ms=300"]);
    let addr = shop.addr;
    let page = servers::changing(move |asked| relay(addr, asked));
    let dir = scratch();
    let climbing = run_at("climb.yaml", shop.addr).env("METRICS", format!("http://{page}/metrics"));
    climbing.out(dir.path()).run().exits(0);
    let Summary { levels, bottleneck, .. } = sound(dir.path()).summary;
    let good: Vec<bool> = levels.iter().map(|level| level.good).collect();
    assert_eq!(good, [true, true, true, false, false], "the pool is what limits: {levels:?}");
    bottleneck.unwrap()
}

/// Side by side: each shop has next to nothing to do.
#[test]
fn a_page_that_goes_wrong_in_the_middle_names_nothing() {
    let told = |shop| Says::Text(served::metrics(shop));
    let other = Served::start("baseline", &[]);
    let other_addr = other.addr;
    std::thread::scope(|scope| {
        let well = scope.spawn(|| climbed(move |shop, _| told(shop)));
        let fails = scope
            .spawn(|| climbed(move |shop, asked| if asked < WELL { told(shop) } else { Says::Status(500) }));
        let freezes = scope.spawn(|| {
            let last = Mutex::new(String::new());
            climbed(move |shop, asked| {
                let mut last = last.lock().unwrap();
                if asked < WELL {
                    *last = served::metrics(shop);
                }
                Says::Text(last.clone())
            })
        });
        // Another instance answers every second time, and its counters are others.
        let alternates =
            scope.spawn(|| climbed(move |shop, asked| told([shop, other_addr][usize::from(asked % 2 > 0)])));
        let well = well.join().unwrap();
        assert_eq!(
            (well.status, well.resource.as_deref()),
            (BottleneckStatus::Named, Some("mongodb.pool")),
            "{well:?}"
        );
        let fails = fails.join().unwrap();
        assert_eq!(fails.status, BottleneckStatus::Uninstrumented, "{fails:?}");
        assert!(fails.explanation.contains("the probes told nothing at 12 users"), "{fails:?}");
        for found in [freezes.join().unwrap(), alternates.join().unwrap()] {
            assert_eq!(
                (found.status, &found.resource),
                (BottleneckStatus::Uninstrumented, &None),
                "{found:?}"
            );
        }
    });
}
