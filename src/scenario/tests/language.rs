//! What the language means: plans read from text, and every bad file with all its problems.

use super::super::plan::{Executor, Step, TargetKind, Think};
use super::super::template::{Expression, Segment};
use super::super::{Overrides, load_with};
use super::{files, journey, overrides, plan_of, steps};
use crate::search::GoalKind;
use std::time::Duration;

fn problems(name: &str, text: &str) -> String {
    let error = load_with(name, text, &overrides(), &files).expect_err(name);
    assert!(error.has_errors());
    let all = error.render(false, 110);
    all.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

macro_rules! bad {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            let file = concat!(stringify!($name), ".yaml");
            insta::assert_snapshot!(problems(file, include_str!(concat!("bad/", stringify!($name), ".yaml"))));
        }
    )*};
}

bad!(
    keys,
    units,
    flow_template,
    tabs,
    colon,
    variables,
    target,
    observe,
    presets,
    profiles,
    empty,
    list,
    streams
);

#[test]
fn the_shipped_scenarios_load_without_a_word() {
    let mut count = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let plan = super::super::load_file(&path, &overrides()).expect("a valid scenario");
            assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
            count += 1;
        }
    }
    assert!(count >= 4);
}

#[test]
fn the_ceiling_scenario_means_what_its_comments_say() {
    let text = include_str!("../../../scenarios/mongo-ceiling.yaml");
    let mut overrides = overrides();
    overrides.dials.push(("mongodb.max_pool_size".into(), "20".into()));
    overrides.seed = Some(9);
    let plan = load_with("m.yaml", text, &overrides, &files).expect("valid");
    assert_eq!(plan.seed, 9);
    let dials = vec![("mongodb.max_pool_size".to_owned(), "20".to_owned())];
    assert!(
        matches!(&plan.target.kind, TargetKind::Bundled { profile, dials: d, .. } if profile == "baseline" && *d == dials)
    );
    assert_eq!(plan.endpoints[0].route, "GET /api/products/{number}");
    let Executor::Breakpoint { search, timing, .. } = &plan.load[0].executor else { panic!("a search") };
    assert_eq!((search.from, search.to, search.grow, search.precision), (100.0, 20_000.0, 2.0, 0.05));
    assert_eq!(
        (timing.settle, timing.ramp, timing.windows),
        (Duration::from_secs(4), Duration::from_secs(2), 3)
    );
    let GoalKind::Latency { limit_ns, bad_ratio_max, .. } = &search.fail_when[0].kind else {
        panic!("a latency goal")
    };
    assert_eq!((*limit_ns, *bad_ratio_max), (100_000_000, 0.01));
    let expectation = plan.expect_part(&plan.load[0]);
    assert_eq!(expectation.requests(), 1.0);
    assert_eq!(expectation.think_per_request(), Some(Duration::from_secs(1)));
    // Uniform from 0.5 s to 1.5 s.
    assert!((expectation.think_variation().unwrap() - 1.0 / 12.0).abs() < 1e-9);
}

#[test]
fn the_bundled_target_has_as_many_replicas_as_are_written() {
    let target = |target: &str| {
        plan_of(&format!(
            "plimsoll: 1\ntarget: {target}\nscenarios:\n  a: {{steps: [{{get: /}}, {{think: 1s}}]}}\n\
             load: [{{run: a, executor: closed, stages: [{{to: 1, over: 0s}}, {{hold: 1s}}]}}]\n"
        ))
    };
    let replicas = |text: &str| match target(text).expect(text).target.kind {
        TargetKind::Bundled { replicas, .. } => replicas,
        TargetKind::External { .. } => panic!("it is the bundled one"),
    };
    assert_eq!(replicas("{bundled: baseline}"), None);
    assert_eq!(replicas("{bundled: baseline, replicas: 64}"), Some(64));
    for wrong in ["0", "65", "-1", "2.5", "many", "[2]", "99999999999999999999"] {
        let problems = target(&format!("{{bundled: baseline, replicas: {wrong}}}")).expect_err(wrong).lines();
        assert!(problems.iter().any(|line| line.contains("replicas")), "{wrong}: {problems:?}");
    }
    let elsewhere = target("{http: \"http://127.0.0.1:9\", replicas: 2}").expect_err("not ours").lines();
    assert!(
        elsewhere.iter().any(|line| line.contains("only the bundled target has replicas")),
        "{elsewhere:?}"
    );
}

#[test]
fn expectations_follow_weights_chances_and_calls() {
    let plan = load_with("shop.yaml", include_str!("../../../scenarios/shop.yaml"), &overrides(), &files)
        .expect("valid");
    let id = |name: &str| plan.endpoints.iter().position(|e| e.name == name).expect(name) as u16;
    let part = plan.expect_part(&plan.load[0]);
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert!(close(part.per_iteration[&id("product")], 0.7));
    assert!(close(part.per_iteration[&id("search")], 0.7 * 0.3));
    assert!(close(part.per_iteration[&id("place-order")], 0.3 * 0.6));
    assert!(close(part.per_iteration[&id("order")], 0.3 * 0.6 * 3.0));
    assert!(close(part.once_per_user[&id("login")], 0.3));
    assert!(part.notes.iter().any(|note| note.contains("until")));
    let watchers = plan.expect_part(&plan.load[1]);
    assert_eq!((watchers.held.sockets, watchers.held.event_streams), (0.75, 0.25));
    assert_eq!(watchers.think, Duration::from_millis(6500));
}

#[test]
fn calls_are_put_in_and_includes_and_tables_are_read() {
    let plan = plan_of(
        "plimsoll: 1\ninclude: login.yaml\ntarget: {http: \"${env.SHOP}\"}\ndata: {users: {file: users.csv, take: unique, at_end: stop_user}}\n\
         scenarios:\n  a:\n    once_per_user: [{call: login}]\n    steps:\n      - get: /me\n        headers: {authorization: \"Bearer ${token}\", x: \"${data.users.password}\"}\n\
         load: [{run: {a: 3}, executor: open, stages: [{to: 30/m, over: 0s}, {hold: 4s}]}]\n",
    )
    .expect("valid");
    assert_eq!(plan.journeys[0].once_per_user.len(), 1);
    assert_eq!(&*plan.data[0].rows[1][1], "two, 2");
    assert_eq!(plan.slots, ["token"]);
    let Executor::Open { curve, .. } = &plan.load[0].executor else { panic!("open") };
    assert_eq!((curve.peak(), curve.end_ns()), (0.5, 4_000_000_000));
    assert!(
        plan_of("plimsoll: 1\ninclude: loop.yaml\n")
            .expect_err("a loop")
            .lines()
            .iter()
            .any(|l| l.contains("includes itself"))
    );
}

#[test]
fn sets_and_profiles_change_the_scenario() {
    let text = "plimsoll: 1\ntarget: {bundled: baseline}\nvars: {n: 1}\nscenarios:\n  a: {steps: [{get: \"/${n}\"}, {think: 1s}]}\n\
                profiles: {p: {vars: {n: 5}, load: [{name: x, run: a, executor: closed, stages: [{to: 1, over: 1s}]}]}}\n";
    let with = |profile: Option<&str>, sets: &[(&str, &str)]| {
        let sets = sets.iter().map(|(path, value)| (path.to_string(), value.to_string())).collect();
        let overrides = Overrides { sets, profile: profile.map(str::to_owned), ..overrides() };
        load_with("s.yaml", text, &overrides, &files)
    };
    assert!(with(None, &[]).expect_err("no load").lines()[0].contains("--profile: p"));
    assert_eq!(with(Some("p"), &[]).expect("valid").endpoints[0].name, "GET /5");
    for path in ["vars.n", "profiles.p.vars.n"] {
        assert_eq!(with(Some("p"), &[(path, "7")]).expect("valid").endpoints[0].name, "GET /7", "{path}");
    }
    assert!(
        with(Some("p"), &[("load.0.run", "b")]).expect_err("no such scenario").lines()[0]
            .contains("--set load.0.run")
    );
    let plan =
        with(Some("p"), &[("scenarios.a.steps.1.think", "7s"), ("target.timeout", "3s")]).expect("valid");
    assert!(matches!(&plan.journeys[0].steps[1], Step::Think(Think::Constant(t)) if t.as_secs() == 7));
    assert_eq!(plan.target.timeout, Duration::from_secs(3));
    let wrong = with(Some("q"), &[("scenarios.a.steps.9.think", "7s"), ("target.timeout", "3")])
        .expect_err("three mistakes");
    insta::assert_snapshot!(wrong.lines().join("\n"));
}

#[test]
fn json_bodies_keep_types_and_paths_are_encoded() {
    let read = steps(
        "      - post: /a/${rand.uuid()}/b?q=${iter}\n        name: x\n        json: {n: \"${rand.int(1, 3)}\", s: \"no ${iter}\", k: [1, 1.50, true, null, \"2\"], t: \"a\\\"b\"}",
    );
    let Step::Request(request) = &read[0] else { panic!("a request") };
    assert!(matches!(request.path.segments[1], Segment::Url(Expression::RandUuid)));
    let segments = &request.body.as_ref().expect("a body").segments;
    assert!(matches!(&segments[0], Segment::Text(text) if &**text == "{\"n\":"));
    assert!(matches!(segments[1], Segment::JsonValue(Expression::RandInt { low: 1, high: 3 })));
    assert!(matches!(segments[3], Segment::JsonText(Expression::Iteration)));
    assert!(
        matches!(&segments[4], Segment::Text(text) if &**text == "\",\"k\":[1,1.50,true,null,\"2\"],\"t\":\"a\\\"b\"}")
    );
    assert_eq!(request.headers[0].0, "content-type");
    assert!(!request.keeps_body && !request.keeps_head);
}

#[test]
fn only_what_is_looked_at_is_kept() {
    let keeps = |text: &str| match &steps(&format!("      - get: /x\n        {text}"))[0] {
        Step::Request(request) => (request.keeps_body, request.keeps_head),
        _ => panic!("a request"),
    };
    assert_eq!(keeps("expect: {status: 2xx, within: 3s}"), (false, false));
    assert_eq!(keeps("expect: {body: status == 200}"), (false, false));
    assert_eq!(keeps("expect: {body: $.a exists}"), (true, false));
    assert_eq!(keeps("expect: {header: {etag: }}"), (false, true));
    assert_eq!(keeps("extract: {a: header:Location, b: \"regex:(x)\"}"), (true, true));
    let looped = steps("      - repeat: {max: 2, until: $.done == true}\n        steps: [{get: /x}]");
    assert!(
        matches!(&looped[0], Step::Repeat { steps, .. } if matches!(&steps[0], Step::Request(r) if r.keeps_body))
    );
}

#[test]
fn a_variable_captured_on_some_ways_only_is_a_warning() {
    let plan = journey("      - if: ${rand.chance(50%)}\n        then: [{get: /a, extract: {id: $.id}}]\n      - get: /b?id=${id}").expect("runs");
    assert_eq!(plan.warnings.items.len(), 1);
    assert!(plan.warnings.lines()[0].contains("warning: `id` is captured only on some"));
    let both = journey(
        "      - if: ${rand.chance(50%)}\n        then: [{get: /a, extract: {id: $.id}}]\n        else: [{set: {id: x}}]\n      - get: /b?id=${id}",
    );
    assert!(both.expect("runs").warnings.is_empty());
}

#[test]
fn problems_as_json_have_places_in_bytes_and_lines() {
    let error = plan_of("plimsoll: 1\nnaem: x\n").expect_err("wrong");
    let first = &error.json()[0];
    assert_eq!(
        (first["line"].as_u64(), first["column"].as_u64(), first["offset"].as_u64()),
        (Some(1), Some(1), Some(0))
    );
    let typo =
        error.json().as_array().expect("a list").iter().find(|p| p["line"] == 2).cloned().expect("the typo");
    assert_eq!(
        (typo["offset"].as_u64(), typo["length"].as_u64(), typo["help"].as_str()),
        (Some(12), Some(4), Some("did you mean `name`?"))
    );
}

#[test]
fn a_profile_with_its_own_load_sets_foreign_thresholds_aside() {
    let text = "plimsoll: 1\ntarget: {bundled: baseline}\nscenarios:\n  a: {steps: [{get: /a, name: one}]}\n  b: {steps: [{get: /b, name: two}]}\n\
                load: [{run: a, executor: closed, stages: [{phase: peak, to: 1, over: 1s}]}]\n\
                profiles: {p: {load: [{run: b, executor: closed, stages: [{to: 1, over: 1s}]}]}}\n\
                thresholds: [error_rate < 1%, p50(http) < 1s in peak, 'p50(http{name=one}) < 1s']\n";
    let with = |profile: Option<&str>| {
        let overrides = Overrides { profile: profile.map(str::to_owned), ..overrides() };
        load_with("s.yaml", text, &overrides, &files).expect("valid")
    };
    assert_eq!(with(None).thresholds.len(), 3);
    let plan = with(Some("p"));
    assert_eq!(plan.thresholds.iter().map(|t| t.text.as_str()).collect::<Vec<_>>(), ["error_rate < 1%"]);
    assert!(
        plan.warnings.items.len() == 2
            && plan.warnings.lines()[0].contains("set aside: no stage has the phase `peak`")
    );
    // What the command line says was said for this load.
    for sets in [
        ("thresholds", "[p50(http) < 1s in peak]"),
        ("thresholds.0", "p50(http) < 1s in peak"),
        ("safety.abort_when", "['p50(http{name=one}) > 1s']"),
        // Of no load: a rule with a slip in it would never abort anything.
        ("safety.abort_when", "[used(node.cpuu) > 95% for 5s]"),
        ("profiles.p.safety.abort_when", "['p50(http{name=one}) > 1s']"),
    ] {
        let sets = vec![(sets.0.to_owned(), sets.1.to_owned())];
        let overrides = Overrides { profile: Some("p".to_owned()), sets, ..overrides() };
        let refused = load_with("s.yaml", text, &overrides, &files).map(|_| &overrides.sets);
        assert!(refused.is_err(), "{refused:?}");
    }
    let own = text.replace(
        "profiles: {p: {load:",
        "profiles:\n  p:\n    safety:\n      abort_when:\n        - 'p50(http{name=one}) > 1s'\n    load:",
    );
    let own = own.replace("over: 1s}]}]}}\nthr", "over: 1s}]}]\nthr");
    let overrides_of_p = Overrides { profile: Some("p".to_owned()), ..overrides() };
    let refused = load_with("s.yaml", &own, &overrides_of_p, &files).map(drop).expect_err("its own rule");
    assert!(refused.lines()[0].contains("no step of this load is named `one`"), "{:?}", refused.lines());
    let slip =
        text.replace("thresholds:", "safety: {abort_when: [used(node.cpuu) > 95% for 5s]}\nthresholds:");
    let refused = load_with("s.yaml", &slip, &overrides_of_p, &files).map(drop).expect_err("a slip");
    assert!(refused.lines()[0].contains("nothing observes a resource `node.cpuu`"), "{:?}", refused.lines());
}

#[test]
fn what_another_profile_names_is_held_against_its_own_target_and_sources() {
    let load = "load: [{run: a, executor: closed, stages: [{to: 1, over: 1s}]}]";
    let read = |observe: &str, name: &str| {
        let text = format!(
            "plimsoll: 1\nscenarios: {{a: {{steps: [{{get: /}}]}}}}\nprofiles:\n  here:\n    target: {{http: 'http://127.0.0.1:1'}}\n    {load}\n  \
             other:\n    {observe}\n    {load}\n    thresholds: ['used({name}) < 90%']\n"
        );
        let overrides = Overrides { profile: Some("here".into()), ..overrides() };
        load_with("s.yaml", &text, &overrides, &files).map_err(|problems| problems.lines()).err()
    };
    let bundled = "target: {bundled: baseline}";
    assert_eq!(read(bundled, "mongodb.pool"), None, "the bundled target has it");
    let staging = "target: {http: 'http://staging.example'}\n    safety: {allow_hosts: [staging.example]}\n    observe: ";
    let page = format!("{staging}[{{scrape: 'http://staging.example/m', preset: auto}}]");
    assert_eq!(read(&page, "mongodb.pool"), None, "its own hosts");
    let foreign =
        read(&page.replace("safety: {allow_hosts: [staging.example]}", "safety: {max_users: 9}"), "a.pool");
    assert!(foreign.is_some_and(|lines| lines[0].contains("`staging.example` is not this machine")));
    let unknown = format!("{staging}[{{scrape: '${{env.NOWHERE_SET}}', preset: auto}}]");
    assert_eq!(read(&unknown, "whatever.pool"), None, "it is read elsewhere");
    for (observe, name) in [
        (page.as_str(), "node.cpus"),
        (bundled, "node.cpus"),
        ("target: {http: 'http://127.0.0.1:2'}", "mongodb.pool"),
    ] {
        let refused = read(observe, name).expect("refused");
        assert!(refused[0].contains(&format!("nothing observes a resource `{name}`")), "{refused:?}");
    }
}

#[test]
fn event_streams_and_reconnects_are_read() {
    let text = "      - sse_open: /events?channel=${data.t}\n        as: feed\n        headers: {Accept: text/plain}\n        expect: {within: 3s}\n        reconnect: {max: 3}\n      - {sse_expect: , event: ready, stream: feed}\n      - {sse_expect: {type: tick, id: \"${data.t}\"}, text: up, stream: feed, extract: {seq: $.seq}}\n      - {sse_listen: 1s..2s, event: tick, stream: feed, lag: $.at, sequence: $.seq}\n      - {sse_close: feed}\n      - {ws_open: /ws, reconnect: {max: 2, backoff: 100ms..1s}}\n      - {ws_send: hello, resend: true}";
    let plan = plan_of(&format!(
        "plimsoll: 1\ntarget: {{http: \"http://127.0.0.1:8080\"}}\ndata: {{t: {{values: [a]}}}}\nscenarios:\n  a:\n    steps:\n{text}\nload:\n  - {{run: a, executor: closed, stages: [{{to: 1, over: 0s}}, {{hold: 1s}}]}}\nthresholds: [\"p99(sse{{name=ready}}) < 1s\", p99(sse.lag) < 1s]\n"
    ))
    .unwrap_or_else(|problems| panic!("{}", problems.lines().join("\n")));
    let names: Vec<String> =
        plan.endpoints.iter().map(|e| format!("{} {} {}", e.protocol.name(), e.name, e.route)).collect();
    assert_eq!(
        names,
        [
            "sse SSE /events GET /events",
            "sse ready SSE ready",
            "sse tick SSE tick",
            "sse.lag tick SSE tick",
            "ws WS /ws GET /ws"
        ]
    );
    let seconds = Duration::from_secs;
    let steps = &plan.journeys[0].steps;
    let Step::SseOpen(open) = &steps[0] else { panic!("sse_open") };
    let again = open.reconnect.expect("reconnect");
    assert_eq!((again.max, again.wait_min, again.wait_max), (3, seconds(1), seconds(10)));
    assert_eq!(open.request.timeout, seconds(3));
    let headers: Vec<&str> = open.request.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(headers, ["Accept", "cache-control"], "the scenario's own comes before the usual one");
    let Step::SseExpect(expect) = &steps[2] else { panic!("sse_expect") };
    assert_eq!(
        (expect.wanted.members.len(), expect.wanted.text.is_some(), expect.extracts.len()),
        (2, true, 1)
    );
    let Step::SseListen(listen) = &steps[3] else { panic!("sse_listen") };
    assert!(listen.pushed.lag.is_some() && listen.pushed.sequence.is_some());
    assert!(matches!(&steps[6], Step::WsSend(send) if send.resend && !send.binary));
    let expectation = plan.expect_journey(0);
    assert_eq!((expectation.held.event_streams, expectation.think), (1.0, Duration::from_millis(1500)));
}
