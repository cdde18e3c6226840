//! Predictions from the folder of a made-up search, in process, and what is refused before anything is sent.

use super::{beside, confirmable};
use crate::analyze::summary::summarize;
use crate::cli::{self, Process, exit};
use crate::measure::histogram::Histogram;
use crate::record::histogram_log::Encoder;
use crate::record::recorded::Recorded;
use crate::record::rows::{EndpointEntry, LevelMark, Manifest};
use crate::record::summary::Summary;
use crate::record::what_if::Asked;
use crate::threshold::Which;
use std::ffi::OsString;
use std::path::Path;

/// Exit code, standard output, standard error.
fn typed(words: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut process = Process {
        args: std::iter::once("plimsoll").chain(words.iter().copied()).map(OsString::from).collect(),
        env: &|_| None,
        out: &mut out,
        err: &mut err,
        color: false,
        terminal: false,
        executable: "plimsoll".into(),
    };
    let code = cli::main(&mut process);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (code, text(out), text(err))
}

const GOAL: &str = "p99(http) > 100ms";
const LEVEL_S: u64 = 20;

/// The record of a search over a pool of 10 that is held 20 ms, users who think for a second, and a processor of 1 core at 0.25 ms a request.
fn search(dir: &Path) {
    let levels = [100_u64, 200, 400, 519, 544, 800];
    let mut manifest = Manifest {
        scenario: "made-up".into(),
        command: "find".into(),
        finished: true,
        seed: 7,
        duration_s: (levels.len() as u64 * LEVEL_S) as f64,
        endpoints: vec![EndpointEntry {
            name: "product".into(),
            protocol: "http".into(),
            route: "GET /".into(),
            key: None,
        }],
        think_s: Some(1.0),
        requests_per_iteration: 1.0,
        level_unit: Some("users".into()),
        goals: vec![GOAL.into()],
        ..Manifest::default()
    };
    manifest.progress.generator.valid = true;
    let mut timeline = "t_s,endpoint,users,offered,sent,completed,failed,dropped,p50,p90,p99,p99_9,max,service_p50,service_p99,service_max,bytes_received,bytes_sent\n".to_owned();
    let mut saturation =
        "t_s,resource,kind,used,limit,waiting,utilization,errors,visits,wait_s,hold_s\n".to_owned();
    let mut histograms = Encoder::header("2026-03-14T09:26:53Z").into_bytes();
    let mut encoder = Encoder::default();
    for (number, &users) in levels.iter().enumerate() {
        let rate = (users.min(510) as f64 / 1.02).round();
        let waiting = users.saturating_sub(510) as f64;
        let wait_s = waiting / rate;
        let from_s = number as u64 * LEVEL_S;
        let good = users < 530;
        manifest.levels.push(LevelMark {
            level: users as f64,
            from_s: from_s as f64,
            to_s: (from_s + LEVEL_S) as f64,
            good,
            failed_by: (!good).then(|| GOAL.into()),
            bad_ratio: if good { 0.001 } else { 0.1 },
            bad_ratio_max: 0.01,
            windows_bad: u32::from(!good),
            windows: 1,
            ..LevelMark::default()
        });
        for second in from_s..from_s + LEVEL_S {
            let t_s = second + 1;
            timeline
                .push_str(&format!("{t_s},product,{users},{rate},{rate},{rate},0,0,0,0,0,0,0,0,0,0,0,0\n"));
            let held_s = rate * 0.02;
            let waited_s = rate * wait_s;
            saturation.push_str(&format!(
                "{t_s},mongodb.pool,pool,{held_s},10,{waiting},,0,{rate},{waited_s},{held_s}\n{t_s},app.cpu,cpu,{},1,,,,,,\n",
                0.01 + rate * 2.5e-4
            ));
            let mut histogram = Histogram::new();
            (0..rate as u64).for_each(|_| histogram.record(((0.02 + wait_s) * 1e9) as u64));
            for clock in [Which::Response, Which::Service] {
                encoder.append(&mut histograms, "product", clock, second, t_s, &histogram).expect("encoded");
            }
        }
    }
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).expect("a file");
    write("record.json", serde_json::to_string(&manifest).expect("JSON").as_bytes());
    write("timeline.csv", timeline.as_bytes());
    write("saturation.csv", saturation.as_bytes());
    write("histograms.hlog", &histograms);
    write("events.ndjson", b"");
}

#[test]
fn a_prediction_from_a_record() {
    let dir = tempfile::tempdir().expect("a folder");
    search(dir.path());
    let path = dir.path().to_str().expect("a path");
    let before = std::fs::read(dir.path().join("record.json")).expect("a manifest");
    let (code, out, err) = typed(&["predict", path, "--what-if", "mongodb.pool=100"]);
    assert_eq!((code, err.as_str()), (exit::OK, ""));
    insta::assert_snapshot!("predict_text", out);
    assert_eq!(typed(&["predict", path, "--what-if", "mongodb.pool=10x"]).1, out, "the same in other words");
    assert_eq!(std::fs::read(dir.path().join("record.json")).expect("still there"), before);
    let (_, json, _) = typed(&["predict", path, "--what-if", "mongodb.pool=20", "--json"]);
    let predicted: serde_json::Value = serde_json::from_str(&json).expect("one document");
    assert_eq!(predicted["limited_by"], "mongodb.pool");
    assert!(predicted["gain"].as_f64().is_some_and(|gain| gain > 1.9 && gain < 2.1), "{json}");
}

#[test]
fn what_cannot_be_predicted_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    search(dir.path());
    let path = dir.path().to_str().expect("a path");
    for (change, said, remedy) in [
        ("redis.main_thread=2", "no resource `redis.main_thread`", "app.cpu, mongodb.pool"),
        ("mongodb.pool=1", "less than the", "more than that"),
        ("mongodb.pool", "says no value", "RESOURCE=VALUE"),
        ("replicas=3", "needs a factor", "replicas=2x"),
    ] {
        let (code, out, err) = typed(&["predict", path, "--what-if", change]);
        assert_eq!((code, out.as_str()), (exit::USAGE, ""), "{change}");
        assert!(err.contains(said) && err.contains(remedy), "{change}: {err}");
    }
    let (code, _, err) = typed(&["predict", "/no/such", "--what-if", "a=1"]);
    assert!(code == exit::USAGE && err.contains("record.json"), "{err}");
    assert_eq!(typed(&["predict", path]).0, exit::USAGE, "there must be a question");
}

/// Before the first request, not after minutes.
#[test]
fn a_question_that_cannot_be_answered_is_refused_before_the_search() {
    let scenario = "scenarios/mongo-ceiling.yaml";
    for (words, said) in [
        (vec!["--what-if", "mongodb.pool=many"], "no number or size"),
        (vec!["--what-if", "redis.main_thread=2", "--confirm"], "no dial of the bundled target"),
        (vec!["--confirm"], "--what-if"),
        (vec!["--what-if", "a=1", "--apply", "true"], "--confirm"),
        (
            vec!["--what-if", "a=1", "--confirm", "--set", "target={http: \"http://127.0.0.1:1\"}"],
            "does not know how to change this target",
        ),
    ] {
        let all: Vec<&str> = ["find", scenario].into_iter().chain(words).collect();
        let (code, _, err) = typed(&all);
        assert_eq!(code, exit::USAGE, "{all:?}");
        assert!(err.contains(said), "{all:?}: {err}");
    }
}

#[test]
fn the_second_record_lies_beside_the_first() {
    assert_eq!(beside(Path::new("reports/shop")), Path::new("reports/shop-what-if"));
    assert_eq!(beside(Path::new("reports/shop/")), Path::new("reports/shop-what-if"));
    assert!(beside(Path::new(".")).to_string_lossy().ends_with("-what-if"));
}

#[test]
fn what_would_go_wrong_after_the_first_search_is_refused_before_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let (first, second) = (dir.path().join("shop"), dir.path().join("shop-what-if"));
    std::fs::create_dir_all(&second).expect("a folder");
    search(&second);
    let out = first.to_str().expect("a path");
    let scenario = "scenarios/mongo-ceiling.yaml";
    let words = ["find", scenario, "--out", out, "--confirm", "--what-if", "mongodb.pool=2x"];
    let (code, _, err) = typed(&words);
    assert_eq!(code, exit::USAGE);
    assert!(err.contains("has a record already") && err.contains("move that away"), "{err}");
    for (change, said) in
        [("gateway.connections=2x", "off in this profile"), ("mongodb.pool=1.23x", "whole number")]
    {
        let (code, _, err) = typed(&["find", scenario, "--confirm", "--what-if", change]);
        assert_eq!(code, exit::USAGE, "{change}");
        assert!(err.contains(said), "{change}: {err}");
    }
}

#[test]
fn what_was_not_predicted_is_not_confirmed_and_said() {
    let dir = tempfile::tempdir().expect("a folder");
    search(dir.path());
    let mut recorded = Recorded::open(dir.path()).expect("a record");
    let asked = |change: &str| Some(Asked { changes: vec![change.to_owned()], observed: None });
    let mut err = Vec::new();
    let mut out = Vec::new();
    let mut process = Process {
        args: Vec::new(),
        env: &|_| None,
        out: &mut out,
        err: &mut err,
        color: false,
        terminal: false,
        executable: "plimsoll".into(),
    };
    recorded.manifest.what_if = asked("mongodb.pool=100");
    let mut summary = summarize(&recorded);
    (summary.exit_code, summary.reason) = (3, "the generator was the limit".to_owned());
    assert_eq!(confirmable(&mut process, &summary).err(), Some(3));
    summary.exit_code = exit::OK;
    assert!(confirmable(&mut process, &summary).is_ok());
    recorded.manifest.what_if = asked("redis.cpu=2x");
    let summary = Summary { exit_code: exit::OK, ..summarize(&recorded) };
    assert_eq!(confirmable(&mut process, &summary).err(), Some(exit::FAILED));
    let said = String::from_utf8(err).expect("UTF-8");
    for part in ["the change was not made", "the generator was the limit", "no resource `redis.cpu`"] {
        assert!(said.contains(part), "{said}");
    }
}
