//! What plans do at run time: templates render, checks judge, extracts bind.

use super::super::extract::{BodyCache, CheckKind, Extract, ExtractFailure, ResponseView, parse_pick};
use super::super::matches;
use super::super::plan::{SlotId, Step};
use super::super::template::{Context, RenderError, Template, Value};
use super::{journey, steps};
use crate::seed::{Purpose, Stream, stream};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use std::time::Duration;

/// A user for tests: what it holds, and a fixed stream.
struct User {
    slots: Vec<Option<Value>>,
    stream: Stream,
}

impl User {
    fn new(slots: Vec<Option<Value>>) -> Self {
        Self { slots, stream: stream(1, Purpose::User, 0, 0) }
    }
}

impl Context for User {
    fn slot(&self, slot: SlotId) -> Option<&Value> {
        self.slots.get(usize::from(slot))?.as_ref()
    }
    fn data(&mut self, _: u16, column: u16) -> Option<&str> {
        ["a@b.example", "ä/?"].get(usize::from(column)).copied()
    }
    fn user_id(&self) -> u64 {
        7
    }
    fn iteration(&self) -> u64 {
        3
    }
    fn unix_ms(&self) -> u64 {
        1_700_000_000_123
    }
    fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }
}

fn render(template: &Template, user: &mut User) -> Result<String, RenderError> {
    let mut out = Vec::new();
    template.render(user, &mut out).map(|()| String::from_utf8(out).expect("text"))
}

/// The path and body of a request whose variable `x` is captured before it.
fn request(path: &str, json: &str) -> (Template, Template) {
    let text = format!("      - set: {{x: y}}\n      - post: {path}\n        name: n\n        json: {json}");
    match steps(&text).remove(1) {
        Step::Request(request) => (request.path, request.body.expect("a body")),
        _ => panic!("a request"),
    }
}

#[test]
fn values_are_written_as_their_place_asks() {
    let (path, body) =
        request("/a/${x}?i=${iter}&u=${user.id}&t=${now.s}", "{whole: \"${x}\", inside: \"<${x}>\"}");
    let text = |value: &str| Some(Value::Text(value.into()));
    let mut user = User::new(vec![text("a/b \"c\"\n")]);
    assert_eq!(render(&path, &mut user).expect("set"), "/a/a%2Fb%20%22c%22%0A?i=3&u=7&t=1700000000");
    assert_eq!(render(&body, &mut user).expect("set"), r#"{"whole":"a/b \"c\"\n","inside":"<a/b \"c\"\n>"}"#);
    let mut user = User::new(vec![Some(Value::Json("[1,\"q\"]".into()))]);
    assert_eq!(render(&body, &mut user).expect("set"), r#"{"whole":[1,"q"],"inside":"<[1,\"q\"]>"}"#);
    let mut user = User::new(vec![None]);
    assert_eq!(render(&path, &mut user), Err(RenderError::Unset { slot: 0 }));
    let plan = journey("      - set: {x: y}\n      - get: /${x}\n        name: n").expect("valid");
    assert!(RenderError::Unset { slot: 0 }.describe(&plan).contains("`${x}`"));
}

#[test]
fn functions_compute_what_other_tools_compute() {
    let literal = |text: &str| {
        let read = steps(&format!("      - set: {{x: y}}\n      - set:\n          r: {text}"));
        let Step::Set { value, .. } = &read[1] else { panic!("a set") };
        (
            value.literal().is_some(),
            render(value, &mut User::new(vec![Some(Value::Text("abc".into()))])).expect("set"),
        )
    };
    let folded = |text: &str| (true, text.to_owned());
    assert_eq!(literal("${base64(\"abc\")}"), folded("YWJj"));
    assert_eq!(
        literal("${sha256('abc')}"),
        folded("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    );
    // RFC 4231, test case 2.
    let mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(literal("${hmac_sha256(\"Jefe\", \"what do ya want for nothing?\")}"), folded(mac));
    assert_eq!(literal("${urlencode(\"a b&c\")}"), folded("a%20b%26c"));
    assert_eq!(literal("${base64(x)}"), (false, "YWJj".into()));
    assert_eq!(literal("${base64(\"<${x}>\")}"), (false, "PGFiYz4=".into()));
    assert_eq!(literal("$${x}"), folded("${x}"));
    assert_eq!(literal("${env.NONE:-a:b}"), folded("a:b"));
    assert_eq!(literal("${json('a\"b')}"), folded("\"a\\\"b\""));
}

#[test]
fn draws_stay_within_their_bounds() {
    let read = steps(
        "      - set: {i: \"${rand.int(-2, 2)}\", z: \"${rand.zipf(10, 19)}\", u: \"${rand.uuid()}\", c: \"${rand.chance(50%)}\"}",
    );
    let mut user = User::new(vec![]);
    let mut seen = [const { std::collections::BTreeSet::new() }; 4];
    for _ in 0..2_000 {
        for (index, step) in read.iter().enumerate() {
            let Step::Set { value, .. } = step else { panic!("a set") };
            seen[index].insert(render(value, &mut user).expect("drawn"));
        }
    }
    assert_eq!(seen[0].len(), 5);
    assert_eq!(seen[1].iter().next().map(String::as_str), Some("10"));
    assert!(seen[1].len() == 10 && seen[1].contains("19"));
    assert!(seen[2].len() == 2_000 && seen[2].iter().all(|u| u.len() == 36 && u.as_bytes()[14] == b'4'));
    assert_eq!(seen[3].iter().map(String::as_str).collect::<Vec<_>>(), ["false", "true"]);
}

const HEAD: &[u8] = b"content-type: application/json\r\nLocation:  /orders/7 \r\nX-Empty:\r\n";

fn view(body: &str) -> ResponseView<'_> {
    ResponseView { status: 201, head: HEAD, body: body.as_bytes(), elapsed: Duration::from_millis(40) }
}

fn verdict(expect: &str, body: &str) -> Result<(), (CheckKind, String)> {
    let read = steps(&format!("      - set: {{x: y}}\n      - get: /\n        expect: {expect}"));
    let Step::Request(request) = &read[1] else { panic!("a request") };
    let (mut cache, mut user) = (BodyCache::default(), User::new(vec![Some(Value::Json("5".into()))]));
    request.checks.iter().try_for_each(|check| {
        check.verify(&view(body), &mut cache, &mut user).map_err(|failure| (failure.kind, failure.text))
    })
}

#[test]
fn checks_judge_responses() {
    let body = r#"{"items": [1, 2], "none": [], "status": "paid", "n": 5, "null": null, "tags": ["a", "b"]}"#;
    for good in [
        "{status: 201}",
        "{status: 2xx}",
        "{status: [200, 201]}",
        "{within: 40ms}",
        "{header: {location: /orders/7, X-EMPTY: }}",
        "{body: $.items is not empty}",
        "{body: $.none is empty}",
        "{body: $.gone is empty}",
        "{body: $.items exists}",
        "{body: '$.status == \"paid\"'}",
        "{body: \"$.n == ${x}\"}",
        "{body: $.n >= 5 and $.n < 6}",
        "{body: $.status != 'x'}",
        "{body: '$.tags contains \"b\"'}",
        "{body: body contains 'paid'}",
        "{body: status == 201}",
        "{body: \"${rand.chance(100%)}\"}",
        "{body: '$.items[?@ > 1] exists'}",
    ] {
        assert_eq!(verdict(good, body), Ok(()), "{good}");
    }
    let failure = |expect: &str, body: &str| verdict(expect, body).expect_err(expect);
    assert_eq!(
        failure("{status: [200, 4xx]}", body),
        (CheckKind::Status, "status 201, expected 200 or 4xx".into())
    );
    assert_eq!(failure("{within: 39ms}", body).0, CheckKind::Late);
    assert_eq!(failure("{header: {etag: }}", body), (CheckKind::Header, "no header `etag`".into()));
    assert_eq!(failure("{body: $.gone == 1}", body).1, "expected the body to have $.gone == 1");
    assert_eq!(failure("{body: $.null exists and $.null is not empty}", body).0, CheckKind::Body);
    assert_eq!(failure("{body: $.status < 5}", body).0, CheckKind::Body);
    assert!(failure("{body: $.a exists}", "<html>").1.contains("not JSON"));
    assert_eq!(failure("{body: \"${rand.chance(0%)}\"}", body).0, CheckKind::Body);
}

fn pick(text: &str, body: &str) -> Result<Value, ExtractFailure> {
    let extract = Extract { slot: 0, pick: parse_pick(text).expect(text) };
    extract.apply(&view(body), &mut BodyCache::default(), &mut stream(1, Purpose::User, 0, 0))
}

#[test]
fn extracts_bind_or_say_why_not() {
    let body = r#"{"token": "a\"b", "items": [{"id": 1}, {"id": 2}], "null": null}"#;
    let text = |value: &str| Ok(Value::Text(value.into()));
    let json = |value: &str| Ok(Value::Json(value.into()));
    assert_eq!(pick("$.token", body), text("a\"b"));
    assert_eq!(pick("$.items[*].id", body), json("1"));
    assert_eq!(pick("$.items[*].id | last", body), json("2"));
    assert_eq!(pick("$.items[*].id | count", body), json("2"));
    assert_eq!(pick("$.gone[*] | count", body), json("0"));
    assert!(
        matches!(pick("$.items[*].id | random", body), Ok(Value::Json(id)) if &*id == "1" || &*id == "2")
    );
    assert_eq!(pick("header:location", body), text("/orders/7"));
    assert_eq!(pick("regex:\"id\": (\\d+)", body), text("1"));
    assert_eq!(pick("$.gone", body), Err(ExtractFailure::Nothing { what: "$.gone".into() }));
    assert_eq!(
        pick("$.gone[*] | random", body),
        Err(ExtractFailure::Nothing { what: "$.gone[*] | random".into() })
    );
    assert_eq!(pick("$.null", body), Err(ExtractFailure::Null { what: "$.null".into() }));
    assert_eq!(pick("header:none", body), Err(ExtractFailure::Nothing { what: "header:none".into() }));
    assert!(matches!(pick("$.token", "not json"), Err(ExtractFailure::NotJson { .. })));
}

#[test]
fn messages_match_by_their_members() {
    let message = serde_json::json!({"type": "subscribed", "id": 42, "on": true});
    let with = |pairs: &[(&'static str, &'static str)]| {
        matches(&message, pairs.iter().map(|(k, v)| (*k, v.as_bytes())))
    };
    assert!(with(&[("type", "subscribed"), ("id", "42"), ("on", "true")]) && with(&[]));
    assert!(!with(&[("type", "tick")]) && !with(&[("gone", "x")]));
}

proptest! {
    #[test]
    fn any_text_survives_json_and_url(value in any::<String>()) {
        let (path, body) = request("/${x}", "{whole: \"${x}\", inside: \"<${x}>\"}");
        let mut user = User::new(vec![Some(Value::Text(value.as_str().into()))]);
        let json: serde_json::Value = serde_json::from_str(&render(&body, &mut user).expect("set")).expect("JSON");
        prop_assert_eq!(json["whole"].as_str(), Some(value.as_str()));
        let inside = format!("<{value}>");
        prop_assert_eq!(json["inside"].as_str(), Some(inside.as_str()));
        let path = render(&path, &mut user).expect("set");
        prop_assert!(path.bytes().all(|b| b.is_ascii_graphic()));
        prop_assert!(!path[1..].contains(['/', '?', '#', '&']));
    }

    #[test]
    fn any_template_text_compiles_or_is_refused(text in "[${}()a-z.,\"' 0-9%:-]{0,40}") {
        let _ = journey(&format!("      - set:\n          v: {}", serde_json::Value::from(text)));
    }
}
