//! The page of made-up scenarios on a made-up machine.

use super::*;
use crate::preflight::fit::tests::machine;
use crate::scenario::{self, Overrides};

fn explained(load: &str, machine: &Machine) -> String {
    let scenario = format!(
        "plimsoll: 1\nname: made-up\nseed: 7\ntarget: {{http: \"http://shop.example\"}}\nsafety: {{allow_hosts: [\"*.example\"]}}\nscenarios:\n  browse:\n    steps:\n      - get: /items\n        name: list\n      - think: 4s..6s\n      - get: /items/1\n        name: item\n{load}"
    );
    let plan = match scenario::load("made-up.yaml", &scenario, &Overrides::none(&|_| None)) {
        Ok(plan) => plan,
        Err(problems) => panic!("{}", problems.lines().join("\n")),
    };
    let held = preflight::preflight(&plan, machine, plan.swarm.agents);
    text(&preflight::explain(&plan, machine, &held))
}

#[test]
fn a_load_with_phases_and_a_threshold_that_lacks_samples() {
    insta::assert_snapshot!(explained(
        "load:\n  - {name: crowd, run: browse, executor: closed, stages: [{to: 2000, over: 20s, phase: ramp}, {hold: 40s, phase: steady}]}\n  - {name: late, run: browse, executor: open, start: 30s, stages: [{to: 50/s, over: 0s}, {hold: 10s}]}\nthresholds:\n  - p99(http) < 100ms\n  - p99.99(http{name=item}) < 1s in steady\n  - error_rate < 1%\n",
        &machine()
    ));
}

#[test]
fn a_load_that_does_not_fit() {
    insta::assert_snapshot!(explained(
        "load:\n  - {name: crowd, run: browse, executor: closed, stages: [{to: 30k, over: 20s}, {hold: 40s}]}\n",
        &machine()
    ));
}

#[test]
fn a_search() {
    insta::assert_snapshot!(explained(
        "load:\n  - {name: line, run: browse, executor: breakpoint, of: users, from: 100, to: 90k, settle: 1s, window: 1s, windows: 1, fail_when: [\"p99(http) > 100ms\"]}\n",
        &machine()
    ));
}
