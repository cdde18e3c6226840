//! Runs that are told to end, asked twice, or simply shot: no target is left behind, and the folder holds what was measured.

use super::e2e::folder::{Folder, rendered, sound};
use super::e2e::invocation::{Invocation, Running, plimsoll, run};
use super::e2e::{processes, scratch, servers};
use super::seconds_recorded;
use plimsoll::record::recorded::Recorded;
use plimsoll::record::summary::Verdict;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::Path;

/// A run that has recorded two seconds, with its target's process and address.
struct UnderWay {
    run: Running,
    target: i32,
    addr: SocketAddr,
}

fn under_way(dir: &Path, run: Invocation) -> UnderWay {
    let mut run = run.out(dir).start();
    let said = run.await_words("record  ");
    let addr = said
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap()
        .parse()
        .unwrap();
    run.await_until("second in the record", || seconds_recorded(dir) >= 2);
    let children = processes::children(run.pid());
    assert_eq!(children.len(), 1, "the run's one child is its target");
    assert!(processes::listens(addr));
    UnderWay { run, target: children[0], addr }
}

fn assert_no_target_left(target: i32, addr: SocketAddr) {
    // It ends by itself when its standard input does; a process that was shot could not wait for that.
    for _ in 0..500 {
        if !processes::lives(target) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(!processes::lives(target), "the target's process {target} is left behind");
    assert!(!processes::listens(addr), "somebody still listens at {addr}");
}

fn interrupted(dir: &Path) -> Folder {
    let folder = sound(dir);
    assert_eq!((folder.summary.verdict, folder.summary.exit_code), (Verdict::Interrupted, 130));
    assert!(folder.events().contains("abort: interrupted by the user"));
    folder
}

#[test]
fn ctrl_c_lets_what_is_in_flight_finish() {
    let dir = scratch();
    let UnderWay { run, target, addr } = under_way(dir.path(), run("readers.yaml"));
    run.signal(Signal::INT);
    run.finish().exits(130).says("interrupted");
    assert_no_target_left(target, addr);
    let folder = interrupted(dir.path());
    let counts = folder.summary.counts;
    assert!(counts.completed > 0);
    assert_eq!((counts.interrupted, counts.failed), (0, 0), "drained against a living target");
}

/// A service that takes a connection and never says a word of TLS would be waited for, a minute long.
#[test]
fn ctrl_c_before_the_load_ends_the_preparation() {
    let (dir, addr) = (scratch(), servers::silent());
    let run =
        run("arrivals.yaml").env("E2E_HTTP", format!("https://{addr}")).set("target.connect_timeout", "1m");
    let run = run.out(dir.path()).start();
    run.await_until("record", || dir.path().join("record.json").exists());
    run.signal(Signal::INT);
    run.finish().exits(130);
    let folder = sound(dir.path());
    assert_eq!((folder.summary.verdict, folder.summary.counts.planned), (Verdict::Interrupted, 0));
    assert!(folder.events().contains("interrupted by the user before the load began"));
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let dir = scratch();
    // Each read takes a minute, and there is as much time to finish it: only being cut off ends it sooner.
    let run = run("readers.yaml")
        .dial("mongodb.service_time_ms", 60_000)
        .set("target.timeout", "90s")
        .set("load.0.graceful_stop", "90s");
    let UnderWay { mut run, target, addr } = under_way(dir.path(), run);
    run.signal(Signal::INT);
    run.await_words("interrupted by the user");
    run.signal(Signal::INT);
    run.finish().exits(130);
    assert_no_target_left(target, addr);
    let folder = interrupted(dir.path());
    assert_eq!(folder.summary.counts.interrupted, 5, "one read of each user");
    assert_eq!(folder.summary.requests.interrupted, 5);
    assert!(folder.events().contains("interrupted again"));
    assert!(folder.recorded.manifest.duration_s < 30.0, "it waited for what was in flight");
}

/// An open load that is drained: no arrival is planned after the word, and none of those before it is forgotten.
#[test]
fn ctrl_c_in_an_open_load() {
    let dir = scratch();
    let mut run = plimsoll(["run", "scenarios/steady-open.yaml"]).out(dir.path()).start();
    run.await_words("record  ");
    run.await_until("second in the record", || seconds_recorded(dir.path()) >= 3);
    run.signal(Signal::INT);
    run.finish().exits(130);
    let counts = interrupted(dir.path()).summary.counts;
    assert!(counts.completed > 0);
    assert_eq!(counts.interrupted, 0, "{counts:?}");
}

#[test]
fn shot_it_leaves_a_record_up_to_the_last_second() {
    let dir = scratch();
    let UnderWay { run, target, addr } = under_way(dir.path(), run("readers.yaml"));
    run.signal(Signal::KILL);
    let done = run.finish();
    assert_eq!((done.code, done.signal), (None, Some(Signal::KILL.as_raw())));
    assert_no_target_left(target, addr);

    let recorded = Recorded::open(dir.path()).unwrap();
    assert!(!recorded.manifest.finished);
    assert!(
        recorded.manifest.duration_s >= 2.0
            && !recorded.timeline.is_empty()
            && !recorded.intervals.is_empty()
    );
    plimsoll(["report"]).arg(dir.path()).run().exits(0).says("the run was cut off");
    let folder = rendered(dir.path());
    assert_eq!(folder.summary.verdict, Verdict::Interrupted);
    assert!(folder.summary.counts.completed > 0);
    assert!(folder.summary.counts.interrupted <= 5, "at most what the five users had under way");
    let generator = &folder.summary.generator;
    assert!(generator.valid && generator.shards > 0, "known up to the last second: {generator:?}");
    // Five users who read without a thought are told what that hides.
    let [told] = &folder.summary.warnings[..] else { panic!("{:?}", folder.summary.warnings) };
    assert_eq!(told.code, "closed_loop", "being shot is no fault of the numbers before it");
}
