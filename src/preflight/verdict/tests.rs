//! Whole scenarios held against a made-up machine: what is refused, what is warned of, and in what words.

use super::*;
use crate::preflight::fit::tests::machine;
use crate::scenario::plan::Agents;
use crate::scenario::{self, Overrides};

pub(in crate::preflight) fn plan(load: &str) -> Plan {
    plan_with("{http: \"http://127.0.0.1:8080\", ws: \"ws://127.0.0.1:8080\"}", load)
}

fn plan_with(target: &str, load: &str) -> Plan {
    let text = format!(
        "plimsoll: 1\nname: made-up\nseed: 1\ntarget: {target}\nsafety: {{allow_hosts: [\"*.example\"]}}\nscenarios:\n  read:\n    steps:\n      - get: /a\n      - think: 10s\n  feed:\n    steps:\n      - ws_open: /ws\n        as: feed\n      - ws_listen: 60s\n        socket: feed\n      - ws_close: feed\n  events:\n    steps:\n      - get: /a\n      - sse_open: /events\n      - sse_listen: 60s\n      - sse_close:\n{load}"
    );
    match scenario::load("made-up.yaml", &text, &Overrides::none(&|_| None)) {
        Ok(plan) => plan,
        Err(problems) => panic!("{}", problems.lines().join("\n")),
    }
}

fn closed(users: u64) -> String {
    format!(
        "load:\n  - {{name: crowd, run: read, executor: closed, stages: [{{to: {users}, over: 10s}}, {{hold: 60s}}]}}\n"
    )
}

#[test]
fn parts_that_follow_each_other_do_not_add_up_and_parts_at_once_do() {
    let plan = plan(
        "load:\n  - {name: a, run: read, executor: closed, stages: [{to: 300, over: 0s}, {hold: 10s}]}\n  - {name: b, run: read, executor: closed, start: 10s, stages: [{to: 500, over: 0s}, {hold: 10s}]}\n  - {name: c, run: feed, executor: closed, start: 15s, stages: [{to: 100, over: 0s}, {hold: 1s}]}\n",
    );
    let needs = needs(&plan);
    assert_eq!((needs.users, needs.users_bound), (600, 600));
    assert_eq!((needs.sockets(600), needs.destinations.len()), (600, 1));
    assert!((needs.per_user.websockets - 100.0 / 600.0).abs() < 1e-9);
}

#[test]
fn an_event_stream_is_a_further_connection_to_the_http_address() {
    let plan = plan_with(
        "{http: \"https://api.example\"}",
        "load:\n  - {name: a, run: events, executor: closed, stages: [{to: 100, over: 0s}, {hold: 10s}]}\n",
    );
    let needs = needs(&plan);
    let one = needs.per_user;
    assert_eq!((one.http_connections, one.event_streams, one.websockets), (1.0, 1.0, 0.0));
    assert_eq!((one.tls_connections, needs.destinations[0].connections_per_user), (2.0, 2.0));
    assert_eq!((needs.sockets(100), needs.ports(100, |_| 60)), (200, 200));
}

#[test]
fn http_2_takes_memory_for_every_connection_and_few_connections_where_they_are_shared() {
    let needs_of = |rules: &str| {
        let target = format!("{{http: \"http://127.0.0.1:8080\"{rules}}}");
        needs(&plan_with(&target, &closed(1000)))
    };
    let [one, own, shared] =
        ["", ", http_version: 2", ", http_version: 2, connections: shared"].map(needs_of);
    let more = own.memory_bytes(1000, 1, 1) - one.memory_bytes(1000, 1, 1);
    assert_eq!(more, 1000 * super::super::costs::HTTP2_BYTES);
    assert_eq!([one.sockets(1000), own.sockets(1000), shared.sockets(1000)], [1000, 1000, 10]);
    assert!(shared.memory_bytes(1000, 1, 1) < one.memory_bytes(1000, 1, 1));
    let assumed =
        |needs: &Needs| needs.assumptions.iter().any(|assumption| assumption.contains("100 streams"));
    assert!(assumed(&shared) && !assumed(&own));
}

#[test]
fn connections_shared_over_http_1_are_as_many_as_requests_under_way() {
    let needs_of = |target: &str| {
        needs(&plan_with(&format!("{{http: \"http://shop.example\"{target}}}"), &closed(60_000)))
    };
    assert_eq!(needs_of("").ports(60_000, |_| 60), 60_000);
    let shared = needs_of(", connections: shared");
    // An answer may take 0.5 s, an iteration takes 10.02 s.
    assert_eq!(shared.ports(60_000, |_| 60), 2_995);
    assert!(
        shared.assumptions.iter().any(|assumption| assumption.ends_with("under way, up to 500ms")),
        "{:?}",
        shared.assumptions
    );
    let plan = plan_with("{http: \"http://shop.example\", connections: shared}", &closed(60_000));
    assert_eq!(preflight(&plan, &machine(), Agents::Auto).refusal(), None);
}

#[test]
fn users_who_live_once_close_their_connections() {
    let visits = |part: &str, connections: &str| {
        let unit = if part.contains("open") { "/s" } else { "" };
        let text = format!(
            "plimsoll: 1\nname: made-up\nseed: 1\ntarget: {{http: \"http://shop.example\", connections: {connections}}}\nsafety: {{allow_hosts: [\"*.example\"]}}\nscenarios:\n  once: {{lifetime: once, steps: [{{get: /a}}]}}\n  paced: {{lifetime: once, pacing: {{every: 10s}}, steps: [{{get: /a}}]}}\n  loop: {{steps: [{{get: /a}}, {{think: 1s}}]}}\nload:\n  - {{name: a, run: {part}, stages: [{{to: 50{unit}, over: 0s}}, {{hold: 10s}}]}}\nthresholds: [\"p99(http) < 2ms\"]\n"
        );
        match scenario::load("made-up.yaml", &text, &Overrides::none(&|_| None)) {
            Ok(plan) => needs(&plan),
            Err(problems) => panic!("{}", problems.lines().join("\n")),
        }
    };
    let once = visits("once, executor: closed", "per_user");
    assert_eq!(once.ports(50, |_| 1), 25_050, "an answer and so a life takes 2 ms");
    assert_eq!(once.requests_per_s_max, None, "what they cost is more than their requests");
    let half = visits("{once: 1, loop: 1}, executor: closed", "per_user");
    assert!((half.per_user.connections_closed_per_s - 0.5 / 0.502).abs() < 0.01, "{:?}", half.per_user);
    let paced = visits("paced, executor: closed", "per_user");
    assert!((paced.per_user.connections_closed_per_s - 0.1).abs() < 0.01, "the next one waits for the beat");
    for (part, connections) in [
        ("loop, executor: closed", "per_user"),
        ("once, executor: closed", "shared"),
        ("once, executor: open", "per_user"),
    ] {
        let kept = visits(part, connections);
        assert_eq!(kept.per_user.connections_closed_per_s, 0.0, "{part}, {connections}");
    }
    let fresh = visits("loop, executor: closed", "fresh");
    assert!((fresh.per_user.connections_closed_per_s - 1.0).abs() < 0.01);
    assert_eq!(fresh.requests_per_s_max, None);
}

/// Needs of a journey at a rate, against a target elsewhere.
fn arrivals(target: &str, steps: &str, stages: &str) -> Needs {
    let text = format!(
        "plimsoll: 1\nname: made-up\nseed: 1\ntarget: {{http: \"http://shop.example\"{target}}}\nsafety: {{allow_hosts: [\"*.example\"]}}\nscenarios:\n  read: {{steps: [{{get: /a}}{steps}]}}\nload:\n  - {{name: a, run: read, executor: open, max_in_flight: 1000, stages: [{stages}]}}\n"
    );
    match scenario::load("made-up.yaml", &text, &Overrides::none(&|_| None)) {
        Ok(plan) => needs(&plan),
        Err(problems) => panic!("{}", problems.lines().join("\n")),
    }
}

#[test]
fn arrivals_ask_and_close_as_often_as_they_come_however_many_wait() {
    let needs = arrivals(", connections: fresh", "", "{to: 30/s, over: 0s}, {hold: 60s}");
    assert_eq!((needs.users, needs.users_bound), (15, 1000), "30/s × 0.5 s");
    assert!((needs.per_user.requests_per_s * 15.0 - 30.0).abs() < 1e-9, "{:?}", needs.per_user);
    assert_eq!(needs.ports(needs.users, |_| 60), 15 + 30 * 60);
    assert_eq!(needs.ports(needs.users_bound, |_| 60), 1000 + 30 * 60, "slots that wait close nothing");
    assert_eq!(needs.ports(30, |_| 0), 30);
}

#[test]
fn arrivals_share_as_many_connections_as_answers_are_under_way() {
    let needs = arrivals(", connections: shared", ", {think: 9.5s}", "{to: 30/s, over: 0s}, {hold: 60s}");
    assert_eq!((needs.users, needs.sockets(needs.users)), (300, 15), "0.5 s of 10 s");
}

#[test]
fn arrivals_that_ebb_are_counted_where_they_are_most() {
    let needs = arrivals("", "", "{to: 30/s, over: 10s}, {hold: 60s}, {to: 0/s, over: 10s}");
    assert_eq!((needs.users, needs.users_bound), (15, 1000));
}

#[test]
fn open_arrivals_are_counted_by_littles_law_and_their_slots_as_a_bound() {
    let plan = plan(
        "load:\n  - {name: a, run: read, executor: open, max_in_flight: 5000, stages: [{to: 20/s, over: 0s}, {hold: 60s}]}\nthresholds: [\"p99(http) < 200ms\"]\n",
    );
    let needs = needs(&plan);
    assert_eq!((needs.users, needs.users_bound), (204, 5000), "20/s × (10 s of thinking + 0.2 s of answer)");
}

#[test]
fn one_process_is_refused_what_several_carry() {
    let plan = plan(&closed(100_000));
    assert_eq!(preflight(&plan, &machine(), Agents::Auto).refusal(), None);
    let one = preflight(&plan, &machine(), Agents::Fixed(1));
    insta::assert_snapshot!(one.refusal().expect("it does not fit"));
    let forced = one.warnings(true);
    assert_eq!(forced[0].code, "preflight_forced");
    insta::assert_snapshot!(forced[0].text);
    assert!(one.warnings(false).is_empty());
}

#[test]
fn a_target_elsewhere_is_refused_for_its_ports() {
    let plan = plan_with("{http: \"http://shop.example\"}", &closed(40_000));
    let held = preflight(&plan, &machine(), Agents::Auto);
    insta::assert_snapshot!(held.refusal().expect("it does not fit"));
}

#[test]
fn the_top_of_a_search_need_not_fit_but_its_first_level_must() {
    let search = |from: u64| {
        plan_with(
            "{http: \"http://shop.example\"}",
            &format!(
                "load:\n  - {{name: line, run: read, executor: breakpoint, of: users, from: {from}, to: 90k, settle: 1s, window: 1s, windows: 1, fail_when: [\"p99(http) > 100ms\"]}}\n"
            ),
        )
    };
    let low = preflight(&search(100), &machine(), Agents::Auto);
    assert_eq!(low.refusal(), None);
    insta::assert_snapshot!(low.warnings(false)[0].text);
    let high = preflight(&search(50_000), &machine(), Agents::Auto);
    assert!(
        high.refusal().expect("the first level does not fit").starts_with("the first level does not fit")
    );
}
