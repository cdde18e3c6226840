//! Targets that are not there, talk nonsense, hang up, keep silent, or die.

use super::e2e::folder::{Folder, sound};
use super::e2e::invocation::{Invocation, run, run_at};
use super::e2e::served::Served;
use super::e2e::{processes, scratch, servers};
use super::seconds_recorded;
use plimsoll::record::summary::{Failure, Verdict};
use rustix::process::Signal;
use std::path::Path;
use std::time::Duration;

#[test]
fn nothing_listens() {
    let dir = scratch();
    let addr = servers::nothing();
    let done = run_at("arrivals.yaml", addr).out(dir.path()).run().exits(8);
    done.says(&format!("http://{addr}: connection refused"));
    done.says("start the service, or correct `target` in the scenario");
    let folder = sound(dir.path());
    assert_eq!(folder.summary.verdict, Verdict::TargetLost);
    assert_eq!((folder.summary.counts.planned, folder.summary.requests.sent), (0, 0), "no load was begun");
    assert!(folder.events().contains("connection refused"));
}

/// Of a service in two places each is asked before the load.
#[test]
fn nothing_listens_where_its_sockets_go() {
    let dir = scratch();
    let (http, ws) = (servers::slow(Duration::from_millis(1)), servers::nothing());
    let run = |scenario| run_at(scenario, http).set("target.ws", format!("ws://{ws}"));
    let step = "{ws_open: /line}";
    let done = run("arrivals.yaml").set("scenarios.look.steps.0", step).out(dir.path()).run().exits(8);
    done.says(&format!("ws://{ws}: connection refused"));
    assert_eq!(sound(dir.path()).summary.verdict, Verdict::TargetLost);
    let unused = scratch();
    run("arrivals.yaml").out(unused.path()).run().exits(0);
}

/// A service that speaks HTTP/2 may have its sockets elsewhere, where a socket's opening is all that is understood.
#[test]
fn its_sockets_are_knocked_on_in_their_own_version() {
    let dir = scratch();
    let (http, ws) = (servers::http2(), servers::slow(Duration::from_millis(1)));
    let run =
        run_at("arrivals.yaml", http).set("target.ws", format!("ws://{ws}")).set("target.http_version", 2);
    run.set("scenarios.look.steps.0", "{ws_open: /line}").out(dir.path()).run().exits(1);
    let most = &sound(dir.path()).summary.failures[0];
    assert!(most.text.contains("200"), "the load reached its place, which opens no socket: {most:?}");
}

#[test]
fn its_name_is_nobodys() {
    let dir = scratch();
    let run = run("arrivals.yaml").env("E2E_HTTP", "http://no-such-host.invalid");
    let done = run.set("safety.allow_hosts", "[no-such-host.invalid]").out(dir.path()).run().exits(8);
    done.says("cannot resolve `no-such-host.invalid`");
    done.says("check the name");
    let summary = sound(dir.path()).summary;
    assert_eq!((summary.verdict, summary.counts.planned), (Verdict::TargetLost, 0));
}

/// The service is up: it is its certificate that will not do, and starting it would not help.
#[test]
fn it_shows_a_certificate_that_is_no_servers() {
    let dir = scratch();
    let (addr, pem) = servers::a_ca_itself();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    let run = run("arrivals.yaml").env("E2E_HTTP", format!("https://{addr}"));
    let done = run.set("target.tls.ca", ca.display()).out(&dir.path().join("run")).run().exits(8);
    done.says("the server shows a CA's own certificate");
    done.says("have it show one with `basicConstraints = CA:FALSE`");
    let said = format!("{}{}", done.out, done.err);
    assert!(!said.contains("start the service"), "{said}");
}

/// Runs 80 arrivals of which every one fails alike, and yields the folder and the failure.
fn all_fail(dir: &Path, run: Invocation) -> (Folder, Failure) {
    let done = run.out(dir).run().exits(1);
    done.says("not one request succeeded: `x`");
    let folder = sound(dir);
    let (summary, counts) = (&folder.summary, folder.summary.counts);
    assert_eq!(summary.verdict, Verdict::Fail);
    assert_eq!((counts.planned, counts.failed, counts.completed), (80, 80, 0));
    assert_eq!((summary.requests.ok, summary.requests.failed), (0, 80));
    assert_eq!(summary.failures.iter().map(|failure| failure.count).sum::<u64>(), 80, "each with its reason");
    assert!(summary.failures.iter().all(|failure| failure.endpoint == "x"));
    let most = summary.failures[0].clone();
    (folder, most)
}

#[test]
fn it_answers_garbage() {
    let dir = scratch();
    let (folder, most) = all_fail(dir.path(), run_at("arrivals.yaml", servers::garbage()));
    assert_eq!(most.kind, "protocol");
    assert!(most.text.contains("malformed"), "{most:?}");
    assert_eq!(folder.summary.requests.sent, 80);
}

#[test]
fn it_hangs_up() {
    let dir = scratch();
    let (_, most) = all_fail(dir.path(), run_at("arrivals.yaml", servers::closing()));
    assert_eq!(most.kind, "reset");
    assert!(most.text.contains("closed") || most.text.contains("reset"), "{most:?}");
}

#[test]
fn it_never_answers() {
    let dir = scratch();
    let (folder, most) = all_fail(dir.path(), run_at("arrivals.yaml", servers::silent()));
    assert_eq!(most.kind, "timeout");
    assert!(most.text.contains("within 1s"), "the limit that was met: {most:?}");
    let waited = folder.endpoint("x").response_ms;
    assert!(waited.p50 >= 1000.0, "a time-out is a latency of at least its limit: {waited:?}");
}

/// Somebody else's service goes away and does not come back: after ten seconds of refusals it is given up.
#[test]
fn it_stops_listening_in_mid_run() {
    let dir = scratch();
    let target = Served::start("baseline", &[]);
    let run = run_at("patient.yaml", target.addr).out(dir.path()).start();
    run.await_until("first second", || seconds_recorded(dir.path()) >= 2);
    drop(target);
    let done = run.finish().exits(8);
    done.says("nothing could connect for 10 s; `health`: connection refused");
    let folder = sound(dir.path());
    assert_eq!(folder.summary.verdict, Verdict::TargetLost);
    assert!(folder.summary.counts.completed > 0, "what was measured before stands");
    assert!(folder.recorded.manifest.duration_s < 30.0, "it was given up long before its end");
}

#[test]
fn the_bundled_target_dies_in_mid_run() {
    let dir = scratch();
    let mut run = run("readers.yaml").out(dir.path()).start();
    run.await_words("bundled baseline at http://");
    run.await_until("first second", || seconds_recorded(dir.path()) >= 2);
    let target = processes::children(run.pid());
    assert_eq!(target.len(), 1, "the run's one child is its target");
    processes::signal(target[0], Signal::KILL);
    let done = run.finish().exits(8);
    done.says("the bundled target-app ended in mid-run");
    done.says("SIGKILL");
    let folder = sound(dir.path());
    assert_eq!(folder.summary.verdict, Verdict::TargetLost);
    assert!(folder.summary.counts.completed > 0, "what was measured before stands");
    assert!(folder.events().contains("target: the bundled target-app ended in mid-run"));
}

#[test]
fn the_bundled_target_does_not_start() {
    let dir = scratch();
    let done = run("readers.yaml").out(dir.path()).dial("mongodb.max_pool_size", "many").run();
    assert_ne!(done.code, Some(0));
    done.says("mongodb.max_pool_size");
    done.says("many");
}
