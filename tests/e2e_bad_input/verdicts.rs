//! Runs that come to their end and must not pass: rules that were met, thresholds that were not, arrivals that found no slot, and a
//! generator that cannot be believed.

use super::e2e::folder::{Folder, sound};
use super::e2e::invocation::run_at;
use super::e2e::{scratch, servers};
use plimsoll::record::summary::Verdict;
use std::path::Path;
use std::time::Duration;

/// Runs the crowd at a server that takes half a second for each answer, with these changes, and holds it to its exit code and words.
fn run_crowd(dir: &Path, changes: &[(&str, &str)], code: i32, words: &[&str]) -> Folder {
    let run = run_at("crowd.yaml", servers::slow(Duration::from_millis(500))).out(dir);
    let done = changes.iter().fold(run, |run, (path, value)| run.set(path, value)).run().exits(code);
    words.iter().for_each(|words| done.says(words));
    sound(dir)
}

#[test]
fn arrivals_without_a_slot_are_dropped_and_counted() {
    let dir = scratch();
    let changes = [("thresholds", "[\"dropped < 1%\"]")];
    let folder = run_crowd(dir.path(), &changes, 1, &["threshold `dropped < 1%` was not met"]);
    let counts = folder.summary.counts;
    assert_eq!(counts.planned, 400, "rate × time, whatever the target does");
    assert!((60..=100).contains(&counts.completed), "ten slots of half a second: {counts:?}");
    assert_eq!(counts.dropped, 400 - counts.completed);
    let response = folder.endpoint("x").response_ms;
    assert!(response.max < 1500.0, "what ran was not late: {response:?}");
}

/// The other way to be late: nothing is given up while there is time, and all of the waiting is in the response time. That the target was
/// slow is not held against the generator.
#[test]
fn arrivals_without_a_slot_run_late() {
    let dir = scratch();
    let folder = run_crowd(dir.path(), &[("load.0.late", "queue")], 0, &["verdict"]);
    let counts = folder.summary.counts;
    assert_eq!(counts.planned, 400);
    assert!(counts.completed >= 100 && counts.dropped > 0, "{counts:?}");
    let times = folder.endpoint("x");
    assert!(times.response_ms.p99 > 3000.0, "response time counts from the due instant: {times:?}");
    assert!(times.service_ms.p99 < 1500.0, "service time does not: {times:?}");
    assert!(folder.summary.generator.valid, "{:?}", folder.summary.generator);
}

#[test]
fn a_generator_that_cannot_keep_up_makes_the_run_invalid() {
    let dir = scratch();
    let done = run_at("crowd.yaml", servers::slow(Duration::ZERO))
        .set("safety.generator.dispatch_lag_p99", "1us")
        .out(dir.path())
        .run()
        .exits(3);
    done.says("INVALID");
    done.says("the generator, not the target, was the limit");
    let folder = sound(dir.path());
    assert_eq!(folder.summary.verdict, Verdict::Invalid);
    assert!(!folder.summary.generator.valid);
    let warning = folder.summary.warnings.iter().find(|warning| warning.code == "generator_dispatch_lag");
    assert!(warning.is_some_and(|warning| !warning.remedy.is_empty()), "{:?}", folder.summary.warnings);
}

#[test]
fn a_safety_rule_ends_the_run() {
    let dir = scratch();
    let changes = [("safety.abort_when", "[\"p50(http) > 100ms for 2s\"]")];
    let says = ["safety rule `p50(http) > 100ms for 2s` was met"];
    let folder = run_crowd(dir.path(), &changes, 4, &says);
    assert_eq!(folder.summary.verdict, Verdict::Aborted);
    assert!(folder.summary.counts.planned < 400, "it ended before its time: {:?}", folder.summary.counts);
    assert!(folder.events().contains("the load is taken down"));
    assert_eq!(folder.summary.warnings, []);
}

#[test]
fn a_threshold_that_is_not_met() {
    let dir = scratch();
    let changes = [("thresholds", "[\"p50(http) < 100ms\", \"count(http) > 1\"]")];
    let folder = run_crowd(dir.path(), &changes, 1, &["threshold `p50(http) < 100ms` was not met"]);
    assert_eq!(folder.summary.verdict, Verdict::Fail);
    let results: Vec<&str> =
        folder.summary.thresholds.iter().map(|threshold| threshold.result.as_str()).collect();
    assert_eq!(results, ["fail", "pass"]);
    assert!(folder.summary.thresholds[0].value.is_some_and(|ms| ms >= 500.0));
}

#[test]
fn a_threshold_without_enough_samples_is_no_pass() {
    let dir = scratch();
    let changes = [("thresholds", "[\"p99(http) < 10s\"]")];
    let says = ["threshold `p99(http) < 10s` could not be evaluated", "p99 needs 1000"];
    let folder = run_crowd(dir.path(), &changes, 1, &says);
    assert_eq!(folder.summary.verdict, Verdict::Fail);
    assert_eq!(folder.summary.thresholds[0].result, "not_evaluated");
}
