//! Runs that go well, end to end: the shipped scenarios, the accounting against the target's own, coordinated omission, and the commands
//! around a run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod e2e;

use e2e::folder::sound;
use e2e::invocation::{plimsoll, run_at};
use e2e::served::Served;
use e2e::{scratch, servers};
use plimsoll::record::summary::{Summary, Verdict};
use std::collections::BTreeSet;
use std::time::Duration;
use target_app::demand::CpuClass;
use target_app::route::{ROUTES, Route};

const CEILING: &str = "scenarios/mongo-ceiling.yaml";

/// Where one asks after a job.
const JOBS: &str = "/api/jobs/{id}";

#[test]
fn smoke_passes_and_standard_output_is_one_json_document() {
    let dir = scratch();
    let done = plimsoll(["run", "scenarios/smoke.yaml", "--json"])
        .on_a_busy_machine()
        .out(dir.path())
        .run()
        .exits(0);
    let folder = sound(dir.path());
    assert_eq!(folder.summary.verdict, Verdict::Pass);
    let printed: Summary = serde_json::from_str(&done.out).expect("one document and nothing else");
    assert_eq!(printed, folder.summary, "what is printed is what is written");
    assert!(
        done.err.contains("bundled baseline at http://127.0.0.1:"),
        "progress goes to standard error:\n{}",
        done.err
    );

    let written = std::fs::read(dir.path().join("summary.json")).unwrap();
    for form in ["summary.json", "summary.md", "junit.xml", "report.html"] {
        std::fs::remove_file(dir.path().join(form)).unwrap();
    }
    let again = plimsoll(["report"]).arg(dir.path()).run().exits(0);
    again.says("verdict");
    sound(dir.path());
    assert_eq!(
        std::fs::read(dir.path().join("summary.json")).unwrap(),
        written,
        "rendering again changes nothing"
    );
}

#[test]
fn shop_exercises_every_route_and_the_socket_without_a_failure() {
    let dir = scratch();
    plimsoll(["run", "scenarios/shop.yaml"]).on_a_busy_machine().out(dir.path()).run().exits(0);
    let folder = sound(dir.path());
    assert_eq!(folder.summary.failures, [], "unexpected failures");
    assert_eq!((folder.summary.counts.failed, folder.summary.requests.failed), (0, 0));

    let answered = |name: &str| folder.endpoint(name).count > folder.endpoint(name).failed;
    let entries = folder.recorded.manifest.endpoints.iter().filter(|entry| answered(&entry.name));
    let reached: BTreeSet<String> = entries
        .filter_map(|entry| entry.route.split_once(' '))
        .filter_map(|(method, path)| Route::matching(method, path))
        .map(Route::name)
        .collect();
    // What operates the app (metrics, health, its description) is no part of the shop, though the scenario visits some of it; jobs are part of
    // a shop that has a queue.
    let shop = ROUTES.iter().filter(|route| route.cpu != CpuClass::Operational && route.template != JOBS);
    let shop = shop.map(Route::name);
    let missed: Vec<String> = shop.filter(|route| !reached.contains(route)).collect();
    assert!(missed.is_empty(), "routes that the scenario does not reach: {missed:?}");
    for socket in ["open-feed", "subscribe-ack", "ping", "tick"] {
        assert!(answered(socket), "`{socket}` of the WebSocket did not succeed once");
    }
}

/// An order that is answered before it is placed, and what becomes of its job.
#[test]
fn orders_that_a_queue_takes_are_placed() {
    let dir = scratch();
    plimsoll(["run", "scenarios/queued-orders.yaml"]).on_a_busy_machine().out(dir.path()).run().exits(0);
    let folder = sound(dir.path());
    assert_eq!(folder.summary.failures, [], "unexpected failures");
    let count = |name: &str| folder.endpoint(name).count;
    assert!(count("order") >= 50 && count("job") >= count("order"), "{} of {}", count("order"), count("job"));
    let resources = std::fs::read_to_string(dir.path().join("saturation.csv")).unwrap_or_default();
    assert!(resources.contains("queue.workers"), "no readings");
}

/// TLS with a certificate that the target has just made, signatures that the scenario computes, metrics read over the same TLS.
#[test]
fn a_target_with_every_protection_is_loaded_as_any_other() {
    let dir = scratch();
    plimsoll(["run", "scenarios/hardened.yaml", "--agents", "2"])
        .on_a_busy_machine()
        .set("target.replicas", "2")
        .out(dir.path())
        .run()
        .exits(0);
    let folder = sound(dir.path());
    assert_eq!(folder.summary.failures, [], "unexpected failures");
    for endpoint in ["login", "product", "place-order"] {
        assert!(folder.endpoint(endpoint).count >= 10, "`{endpoint}` was reached by too few");
    }
    let resources = std::fs::read_to_string(dir.path().join("saturation.csv")).unwrap_or_default();
    assert!(resources.contains("mongodb.pool"), "no readings");
}

/// Ten thousand users at once, each with a connection, on two replicas of the target.
#[test]
fn a_tenth_of_a_hundred_thousand_users_are_all_served() {
    let dir = scratch();
    let run = plimsoll(["run", "scenarios/eco-100k.yaml", "--profile", "ci"]).on_a_busy_machine();
    run.out(dir.path()).run().exits(0);
    let folder = sound(dir.path());
    assert_eq!(folder.summary.failures, [], "unexpected failures");
    assert_eq!((folder.summary.counts.failed, folder.summary.requests.failed), (0, 0));
    let generator = &folder.summary.generator;
    assert_eq!(folder.summary.requests.connections_opened, 10_000, "one each, kept");
    assert_eq!(generator.sockets_max, 10_000, "and all of them at once");
    let pss = generator.pss_bytes_max;
    assert!(pss <= (1 << 30) / 10, "a tenth of the memory that all of them may take: {pss} bytes");
    for endpoint in ["list-products", "product", "open-feed", "subscribe-ack", "tick"] {
        assert!(folder.endpoint(endpoint).count >= 1_000, "`{endpoint}` was reached by too few");
    }
}

/// The shop against a target that somebody else started, so that nobody but this run and the test's one scrape asks it anything.
#[test]
fn requests_sent_are_the_target_s_own_count() {
    let (dir, target) = (scratch(), Served::start("baseline", &[]));
    let shop = std::fs::read_to_string("scenarios/shop.yaml").unwrap();
    let external = shop.replace("bundled: baseline", "http: ${env.E2E_HTTP}\n  ws: ${env.E2E_WS}");
    assert_ne!(external, shop);
    let scenario = dir.path().join("shop.yaml");
    std::fs::write(&scenario, external).unwrap();
    plimsoll(["run"])
        .arg(&scenario)
        .on_a_busy_machine()
        .env("E2E_HTTP", format!("http://{}", target.addr))
        .env("E2E_WS", format!("ws://{}", target.addr))
        .set("load.0.stages.1.hold", "5s")
        .set("load.1.stages.1.hold", "5s")
        .out(&dir.path().join("run"))
        .run()
        .exits(0);
    let folder = sound(&dir.path().join("run"));
    let counted = target.requests_by_route();
    let all: u64 = counted.iter().filter(|(route, _)| *route != "/metrics").map(|(_, count)| count).sum();
    assert_eq!(folder.summary.requests.sent, all, "sent, and what the target counted: {counted:?}");
    assert!(all > 500, "too few requests to say anything: {all}");
}

/// 200 arrivals a second for 10 s on a server that stands still for one of them. Five slots: a tool that sends the next request when
/// the last has been answered would see five slow requests of 2,000 and call it a p99 of nothing.
#[test]
fn a_stall_is_charged_to_every_arrival_it_kept_waiting() {
    let dir = scratch();
    let addr = servers::freezing(600, Duration::from_secs(1));
    run_at("stall.yaml", addr).out(dir.path()).run().exits(0);
    let folder = sound(dir.path());
    let counts = folder.summary.counts;
    assert_eq!(counts.planned, 2000, "rate × time, whatever the server did");
    assert_eq!((counts.completed, counts.dropped), (2000, 0), "late, but not lost");
    let (response, service) =
        (folder.summary.endpoints[0].response_ms, folder.summary.endpoints[0].service_ms);
    assert!(response.max >= 950.0, "the arrival the stall hit first waited for all of it: {response:?}");
    assert!(response.p99 >= 600.0, "of 2,000 arrivals 200 fell into the stall: {response:?}");
    assert!(response.p50 < 100.0, "most did not: {response:?}");
    assert!(service.max >= 950.0, "the requests under way saw it too: {service:?}");
    assert!(service.p99 < 300.0, "but they were at most five: {service:?}");
}

#[test]
fn check_shows_every_problem_with_its_place() {
    let scenario = "tests/e2e/scenarios/wrong.yaml";
    let places = [
        (8, 9, "expext", "`expect`"),
        (9, 16, "no unit", "2s"),
        (11, 10, "lok", "`look`"),
        (15, 9, "htp", "http"),
    ];

    let shown = plimsoll(["check"]).arg(scenario).run().exits(2);
    assert_eq!(shown.out, "", "problems are no result");
    for (line, column, what, remedy) in places {
        shown.says(&format!("wrong.yaml:{line}:{column}]"));
        shown.says(what);
        shown.says(remedy);
    }
    assert!(shown.err.matches("──").count() >= places.len(), "carets under each place:\n{}", shown.err);

    let json = plimsoll(["check", "--json"]).arg(scenario).run().exits(2);
    let problems: Vec<serde_json::Value> =
        serde_json::from_str(&json.out).expect("one document and nothing else");
    let found: Vec<_> =
        problems.iter().map(|problem| (problem["line"].as_u64(), problem["column"].as_u64())).collect();
    assert_eq!(found, places.map(|(line, column, _, _)| (Some(line), Some(column))));

    let mut checked = 0;
    for folder in ["scenarios", "scenarios/bottlenecks"] {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for scenario in files.filter(|path| path.is_file()) {
            plimsoll(["check"]).arg(scenario).run().exits(0).says("nothing wrong");
            checked += 1;
        }
    }
    assert!(checked >= 7, "{checked}");
}

/// N* of each pool size, worked out by hand: c/S·(Z + S) with S = 20 ms of hold, Z = 1 s of thinking.
#[test]
fn the_target_is_listed_and_explained_from_its_dials() {
    plimsoll(["target", "list"]).run().exits(0).says("baseline");
    let list: serde_json::Value =
        serde_json::from_str(&plimsoll(["target", "list", "--json"]).run().exits(0).out).unwrap();
    assert!(list.to_string().contains("baseline"));
    plimsoll(["target", "explain", "baseline", "--scenario", CEILING]).run().exits(0).says("mongodb.pool");
    for (pool, users) in [(10, 510.0), (7, 357.0), (20, 1020.0)] {
        let explained = plimsoll(["target", "explain", "baseline", "--json", "--scenario", CEILING])
            .dial("mongodb.max_pool_size", pool)
            .run()
            .exits(0);
        let ceilings: Vec<serde_json::Value> = serde_json::from_str(&explained.out).expect("one document");
        assert_eq!(ceilings[0]["resource"], "mongodb.pool", "first to give way first");
        let found = ceilings[0]["users"].as_f64().unwrap();
        assert!((found - users).abs() <= 1.0, "pool of {pool}: {found}");
    }
}

/// Standard input is empty here.
#[test]
fn a_model_can_come_from_standard_input() {
    plimsoll(["solve", "-"]).run().exits(2).says("standard input: EOF");
}

#[test]
fn every_command_has_help_with_an_example() {
    let commands = [
        "run",
        "find",
        "check",
        "report",
        "solve",
        "schema",
        "target",
        "target serve",
        "target list",
        "target explain",
    ];
    for command in commands {
        let done = plimsoll(command.split(' ')).arg("--help").run().exits(0);
        let example = format!("\n  plimsoll {command}");
        assert!(done.out.contains(&example), "no example in the help of `{command}`:\n{}", done.out);
    }
    plimsoll(["--help"]).run().exits(0).says("plimsoll find");
    plimsoll(["help", "scenario"]).run().exits(0).says("scenarios");
    let schema = plimsoll(["schema"]).run().exits(0);
    serde_json::from_str::<serde_json::Value>(&schema.out).expect("one document and nothing else");
}
