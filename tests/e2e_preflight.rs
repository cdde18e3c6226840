//! What can be known before a run: `explain`, `doctor`, `trace`, and the run that does not begin because it could not end well.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod e2e;

use e2e::invocation::plimsoll;
use e2e::{scratch, servers};
use serde_json::Value;

/// More users than any machine has memory for.
const TOO_MANY: &str = "4000000000";

#[test]
fn explain_draws_and_counts() {
    let page = plimsoll(["explain", "scenarios/steady-open.yaml"]).run().exits(0).out;
    for part in ["iterations/s\n", "├", "2,750 iterations", "this machine 50 users at once", "lifted by"] {
        assert!(page.contains(part), "`{part}` is missing:\n{page}");
    }
    assert!(page.lines().all(|line| line.chars().count() < 200));
    let document = plimsoll(["explain", "scenarios/shop.yaml", "--json"]).run().exits(0).out;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["parts"].as_array().unwrap().len(), 2);
    assert!(document["fit"]["agents"].as_u64().unwrap() >= 1);
    plimsoll(["explain", "tests/e2e/scenarios/wrong.yaml"]).run().exits(2);
}

#[test]
fn doctor_names_the_first_wall() {
    let page = plimsoll(["doctor"]).run().exits(0).out;
    assert!(page.contains("the first wall is") && page.contains("a sleep of 1 ms ends"), "{page}");
    let document = plimsoll(["doctor", "--users", "4G", "--json"]).run();
    document.exits(2).says("--users");
    let refused = plimsoll(["doctor", "--users", TOO_MANY, "--json"]).run().exits(1).out;
    let document: Value = serde_json::from_str(&refused).unwrap();
    assert_eq!(
        (&document["fits"], &document["users"]),
        (&Value::Bool(false), &Value::from(4_000_000_000_u64))
    );
}

#[test]
fn a_load_that_cannot_fit_is_refused_before_anything_is_started() {
    let dir = scratch();
    let too_many = format!("load.0.stages=[{{to: {TOO_MANY}, over: 1s}}]");
    let run = plimsoll(["run", "scenarios/smoke.yaml", "--set", &too_many]).out(dir.path());
    let refused = run.run().exits(2);
    refused.says("does not fit into this machine");
    refused.says("lift it:");
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "a refused run leaves nothing");

    // Nor does a target of the user's own see a packet of it.
    let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    target.set_nonblocking(true).unwrap();
    let base = format!("target={{http: \"http://{}\"}}", target.local_addr().unwrap());
    let run = plimsoll(["run", "scenarios/smoke.yaml", "--set", &too_many, "--set", &base]).out(dir.path());
    run.run().exits(2).says("does not fit into this machine");
    assert_eq!(target.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody has called");
}

#[test]
fn explain_refuses_what_run_refuses() {
    let dir = scratch();
    let too_many = format!("load.0.stages=[{{to: {TOO_MANY}, over: 1s}}]");
    let refused =
        plimsoll(["run", "scenarios/smoke.yaml", "--agents", "1", "--set", &too_many]).out(dir.path());
    let hint = format!(
        "`plimsoll explain scenarios/smoke.yaml --set '{too_many}' --agents 1 --shards 5` shows the rest"
    );
    refused.arg("--shards").arg("5").run().exits(2).says(&hint);

    let explain =
        |agents: &str| plimsoll(["explain", "scenarios/smoke.yaml", "--set", &too_many, "--agents", agents]);
    explain("1").run().exits(2).says("REFUSED here");
    let document = explain("3").arg("--shards").arg("5").arg("--json").run().exits(2).out;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert!(document["refusal"].as_str().unwrap().contains("does not fit"));
    assert_eq!(document["fit"]["agents"], 3);
    assert_eq!(document["fit"]["shards"], 5);
}

#[test]
fn trace_shows_one_iteration_and_ends_its_target() {
    let traced = plimsoll(["trace", "scenarios/smoke.yaml"]).run().exits(0);
    for part in ["> GET /healthz HTTP/1.1", "status 200", "captured product_id", "the iteration completed"] {
        assert!(traced.out.contains(part), "`{part}` is missing:\n{}", traced.out);
    }
    let document =
        plimsoll(["trace", "scenarios/shop.yaml", "--journey", "buy", "--json"]).run().exits(0).out;
    let document: Value = serde_json::from_str(&document).unwrap();
    let last = document["events"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["event"], &last["how"]), (&Value::from("ended"), &Value::from("completed")));
}

#[test]
fn trace_refuses_what_it_cannot_follow() {
    let unknown = plimsoll(["trace", "scenarios/shop.yaml", "--journey", "nope"]).run().exits(2);
    unknown.says("there is no journey `nope`; there are: browse, buy, watch");
    plimsoll(["trace", "tests/e2e/scenarios/wrong.yaml"]).run().exits(2);
    let down = servers::nothing();
    let lost =
        plimsoll(["trace", "tests/e2e/scenarios/crowd.yaml"]).env("E2E_HTTP", format!("http://{down}")).run();
    lost.exits(8).says("start the service");
}
