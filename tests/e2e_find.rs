//! Searches, end to end: the ceiling that the dials put there is found and named, and the naming says something else when something
//! else is true. What is found is held against `target explain`, which knows the dials and nothing of any run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod e2e;

use e2e::folder::{Folder, sound};
use e2e::invocation::{Invocation, plimsoll, run};
use e2e::{optimized, scratch, servers, tell};
use plimsoll::record::summary::{Bottleneck, BottleneckStatus, Verdict};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const CEILING: &str = "scenarios/mongo-ceiling.yaml";

/// What is found may differ from what the dials say by this share.
const TOLERANCE: f64 = 0.10;

/// A search wants the machine to itself: the tests of this program take turns, however many threads it is given.
static MACHINE: Mutex<()> = Mutex::new(());

fn the_machine() -> MutexGuard<'static, ()> {
    if !optimized() {
        tell(
            "e2e_find: this is a debug build (PLIMSOLL_BIN is not set): its target burns more CPU than its dials say",
        );
    }
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shipped search with its dials, from `from` users on, its windows shortened as far as its answer allows.
fn search(from: u32, dials: &[(&str, &str)]) -> Invocation {
    let search = plimsoll(["find", CEILING])
        .set("load.0.from", from)
        .set("load.0.settle", "3s")
        .set("load.0.window", "3s")
        .set("load.0.cooldown", "1s")
        .on_a_busy_machine()
        .within(Duration::from_secs(300));
    dials.iter().fold(search, |search, (name, value)| search.dial(name, value))
}

/// Users at which `target explain` has each resource give way, first to give way first.
fn explained(dials: &[(&str, &str)]) -> Vec<(String, f64)> {
    let ask = plimsoll(["target", "explain", "baseline", "--json", "--scenario", CEILING]);
    let answer = dials.iter().fold(ask, |ask, (name, value)| ask.dial(name, value)).run().exits(0);
    let ceilings: Vec<serde_json::Value> = serde_json::from_str(&answer.out).unwrap();
    ceilings
        .iter()
        .map(|ceiling| (ceiling["resource"].as_str().unwrap().to_owned(), ceiling["users"].as_f64().unwrap()))
        .collect()
}

fn bottleneck(folder: &Folder) -> &Bottleneck {
    folder
        .summary
        .bottleneck
        .as_ref()
        .expect("levels were judged, so there is an answer about the bottleneck")
}

#[track_caller]
fn assert_near(what: &str, found: Option<f64>, computed: f64, tolerance: f64) {
    let found = found.unwrap_or_else(|| panic!("no {what}"));
    let off = found / computed - 1.0;
    let text = format!("{what}: found {found:.0}, computed {computed:.0} ({:+.1} %)", off * 100.0);
    tell(&text);
    assert!(off.abs() <= tolerance, "{text}");
}

/// Runs the search and holds line, name and onset against the dials; yields where it expects the CPU to be next, and where that is.
fn finds_the_pool(from: u32, dials: &[(&str, &str)]) -> (f64, f64) {
    let _alone = the_machine();
    let dir = scratch();
    let ceilings = explained(dials);
    assert_eq!(ceilings[0].0, "mongodb.pool", "the dials put the pool first");
    let done = search(from, dials).out(dir.path()).run().exits(0);
    for line in ["load line", "gives way    mongodb.pool", "next         app.cpu", "report.html"] {
        done.says(line);
    }
    let folder = sound(dir.path());
    assert_eq!(folder.summary.verdict, Verdict::Pass);
    let line = folder.summary.load_line.as_ref().expect("a load line");
    assert_near("load line", line.typical, ceilings[0].1, TOLERANCE);
    let ([Some(good), Some(bad)], Some(typical)) = (line.interval, line.typical) else {
        panic!("the search met both ends: {line:?}");
    };
    assert!(good <= typical && typical <= bad, "{line:?}");
    assert_eq!(line.limited_by.as_deref(), Some("p99(http) > 100ms"));

    let found = bottleneck(&folder);
    assert_eq!(
        (found.status, found.resource.as_deref()),
        (BottleneckStatus::Named, Some("mongodb.pool")),
        "{found:?}"
    );
    assert_near("onset", found.onset, ceilings[0].1, TOLERANCE);
    assert!(found.share_of_added_latency.is_some_and(|share| share > 0.5 && share < 1.1), "{found:?}");
    let next = found.next.iter().find(|wall| wall.resource == "app.cpu").expect("what comes after the pool");
    (next.at, ceilings.iter().find(|(name, _)| name == "app.cpu").unwrap().1)
}

#[test]
fn the_ceiling_of_a_pool_of_10_is_found_and_named() {
    let (next, computed) = finds_the_pool(200, &[]);
    if optimized() {
        assert_near("the next wall, app.cpu", Some(next), computed, 0.2);
    }
}

/// Fewer cores bring the next wall nearer: `next` is computed from what was measured.
#[test]
fn the_ceiling_moves_with_the_pool_and_the_next_wall_with_the_cores() {
    // A thousand reads a second are more than a debug build and its target carry beside each other: there each read holds its
    // connection twice as long, and half as many fill the pool.
    let (from, hold_ms, cores) = if optimized() { (400, "20", "0.5") } else { (200, "40", "0.8") };
    let dials = [("mongodb.max_pool_size", "20"), ("mongodb.service_time_ms", hold_ms), ("app.cores", cores)];
    let (next, computed) = finds_the_pool(from, &dials);
    let with_all_cores = explained(&[]).iter().find(|(name, _)| name == "app.cpu").unwrap().1;
    assert!(computed < 0.9 * with_all_cores, "the dial moved the wall: {computed} from {with_all_cores}");
    assert!(next < 0.9 * with_all_cores, "and what was measured shows it: {next}");
    if optimized() {
        assert_near("the next wall, app.cpu", Some(next), computed, 0.2);
    }
}

#[test]
fn another_wall_gets_another_name() {
    let _alone = the_machine();
    let dir = scratch();
    // The share of a core is small, the cost of a request large: the ceiling lies where little of the machine is taken.
    let dials =
        [("mongodb.max_pool_size", "100"), ("app.cores", "0.3"), ("app.cpu_us_per_request.read", "600")];
    let ceilings = explained(&dials);
    assert_eq!(ceilings[0].0, "app.cpu");
    search(200, &dials).out(dir.path()).run().exits(0);
    let folder = sound(dir.path());
    let found = bottleneck(&folder);
    assert_ne!(found.resource.as_deref(), Some("mongodb.pool"), "{found:?}");
    assert_eq!(
        (found.status, found.resource.as_deref()),
        (BottleneckStatus::Named, Some("app.cpu")),
        "{found:?}"
    );
    let line = folder.summary.load_line.as_ref().expect("a load line");
    // A debug build spends more than the dial, so its wall lies lower.
    assert_near("load line", line.typical, ceilings[0].1, if optimized() { 0.15 } else { 0.5 });
    assert!(
        !found.next.iter().any(|wall| wall.resource == "app.cpu"),
        "what gave way is not what comes next: {found:?}"
    );
}

#[test]
fn without_instruments_no_resource_is_named() {
    let _alone = the_machine();
    let dir = scratch();
    search(400, &[]).set("observe", "[]").set("load.0.precision", "50%").out(dir.path()).run().exits(0);
    let folder = sound(dir.path());
    let found = bottleneck(&folder);
    assert_eq!(
        (found.status, found.resource.as_deref()),
        (BottleneckStatus::Uninstrumented, None),
        "{found:?}"
    );
    assert!(
        folder.summary.load_line.as_ref().is_some_and(|line| line.typical.is_some()),
        "the line is found all the same"
    );
    assert!(folder.recorded.saturation.is_empty(), "nothing was to be observed");
}

#[test]
fn far_below_saturation_nothing_gives_way() {
    let _alone = the_machine();
    let dir = scratch();
    run("stairs.yaml").on_a_busy_machine().out(dir.path()).run().exits(0);
    let folder = sound(dir.path());
    let found = bottleneck(&folder);
    assert_eq!((found.status, found.resource.as_deref()), (BottleneckStatus::None, None), "{found:?}");
    let levels: Vec<f64> = folder.summary.levels.iter().map(|level| level.level).collect();
    assert_eq!(levels, [60.0, 120.0]);
}

/// A hundred users, far below the line, are all that the search may go to: what is looked at is the way from the flags to the record and its reports.
#[test]
fn an_effort_and_a_guarantee_are_asked_for_on_the_command_line() {
    let _alone = the_machine();
    let dir = scratch();
    let done = search(90, &[])
        .set("load.0.to", 100)
        .set("load.0.settle", "1s")
        .set("load.0.guarantee", "{soak: 10s}")
        .arg("--effort")
        .arg("ci")
        .arg("--guarantee")
        .out(dir.path())
        .run()
        .exits(0);
    done.says("guaranteed");
    let folder = sound(dir.path());
    let settings = folder.recorded.manifest.search.as_ref().expect("a search");
    assert_eq!((settings.effort.as_deref(), settings.soak_s), (Some("ci"), Some(10.0)));
    assert_eq!((settings.window_s, settings.windows, settings.precision), (5.0, 11, 0.05));
    let line = folder.summary.load_line.as_ref().expect("a load line");
    let (Some(guaranteed), Some(typical)) = (line.guaranteed, line.typical) else {
        panic!("both lines: {line:?}");
    };
    assert!(guaranteed <= typical && line.noise_gap.is_some_and(|gap| gap >= 1.0), "{line:?}");
    let [soak] = &line.soaks[..] else { panic!("one soak: {line:?}") };
    assert!(soak.good && soak.level == 100.0 && soak.span_s[1] - soak.span_s[0] >= 10.0, "{soak:?}");
    let decided = |what: &str| {
        let of_it = |fields: &serde_json::Map<String, serde_json::Value>| {
            fields["what"] == what && fields["soak"] == true
        };
        folder.recorded.events.iter().any(|event| event.fields.contains_key("soak") && of_it(&event.fields))
    };
    assert!(decided("next") && decided("judged"), "{}", folder.events());
    let page = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    for section in ["--effort ci: ", "Soaks, in order of time", "The search"] {
        assert!(page.contains(section), "report.html has no `{section}`");
    }
}

/// What stays behind an overload is the target's, so the search ends there, with what it knows of the line.
#[test]
fn a_target_that_does_not_recover_from_an_overload_fails_the_search() {
    let _alone = the_machine();
    let dir = scratch();
    let target = servers::tiring(30, Duration::from_millis(300));
    let done = plimsoll(["find", "tests/e2e/scenarios/tired.yaml"])
        .env("E2E_HTTP", format!("http://{target}"))
        .on_a_busy_machine()
        .out(dir.path())
        .within(Duration::from_secs(180))
        .run()
        .exits(1);
    done.says("the target did not recover from level 40");
    let folder = sound(dir.path());
    assert_eq!(folder.summary.verdict, Verdict::Fail);
    assert!(folder.summary.reason.starts_with("the target did not recover"), "{}", folder.summary.reason);
    assert!(folder.summary.warnings.iter().any(|warning| warning.code == "non_recovering"));
    let line = folder.summary.load_line.as_ref().expect("a load line");
    assert_eq!(line.interval, [Some(20.0), Some(40.0)], "{line:?}");
    assert!(
        folder
            .recorded
            .events
            .iter()
            .any(|event| event.fields.get("what").is_some_and(|what| what == "non_recovering"))
    );
}

/// A prediction from a search of a pool of 10, made with 20, and searched again.
#[test]
fn a_prediction_is_held_against_a_second_search() {
    let _alone = the_machine();
    let dir = scratch();
    let first = dir.path().join("first");
    // A debug build carries less beside its target: there each read holds its connection longer, and half as many fill the pool.
    let (from, hold_ms) = if optimized() { (200, "20") } else { (100, "40") };
    let done = search(from, &[("mongodb.service_time_ms", hold_ms)])
        .arg("--what-if")
        .arg("mongodb.pool=20")
        .arg("--confirm")
        .within(Duration::from_secs(600))
        .out(&first)
        .run()
        .exits(0);
    for line in ["what if      mongodb.pool 10 → 20", "predicted    about", "observed", "report.html"] {
        done.says(line);
    }
    let folder = sound(&first);
    let predicted = folder.summary.what_if.as_ref().expect("a prediction");
    let confirmed = predicted.confirmed.as_ref().expect("a second search");
    tell(&format!(
        "predicted {:.0} {:?}, observed {:.0}: {:.3}",
        predicted.load_line.typical,
        predicted.load_line.interval,
        confirmed.typical,
        confirmed.observed_over_predicted
    ));
    let tolerance = if optimized() { TOLERANCE } else { 0.3 };
    assert!((confirmed.observed_over_predicted - 1.0).abs() <= tolerance, "{predicted:?}");
    if optimized() {
        assert_eq!(predicted.evidence, "confirmed");
        assert_eq!(predicted.limited_by.as_deref(), Some("mongodb.pool"));
        assert_eq!(confirmed.bottleneck, predicted.limited_by);
    }
    assert!(folder.recorded.events.iter().any(|event| event.kind == "what_if"), "the record says so");
    let second = sound(&dir.path().join("first-what-if"));
    assert_eq!(second.summary.load_line.and_then(|line| line.typical), Some(confirmed.typical));
}
