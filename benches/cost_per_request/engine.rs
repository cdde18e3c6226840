//! The whole engine: a scenario from its text, one shard, every measurement on. What a user of the tool pays for a request.

use plimsoll::clock::Clock;
use plimsoll::engine::route::{Destination, Route};
use plimsoll::engine::shard::{self, Command, Report, Setup};
use plimsoll::load::share::Share;
use plimsoll::measure::snapshot::{Snapshot, add_counts, add_requests};
use plimsoll::scenario::plan::{BaseUrl, TargetKind};
use plimsoll::scenario::{self, Overrides};
use plimsoll::transport::READ_ERROR_ONE_IN;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The least there is, and a step with what steps have: values rendered, a body read, checked and extracted from.
const LITERAL: &str = "{get: /, expect: {status: 200}}";
const RICH: &str = r#"{get: "/items?page=${rand.int(1, 40)}&user=${user.id}", name: items, headers: {x-kind: "${kind}"}, expect: {status: 200, body: "$.items is not empty"}, extract: {item: "$.items[*].id | random"}}"#;

/// Loops as fast as the answers come, or once where users `think`; prints the number of requests.
pub(crate) fn run(
    addr: SocketAddr,
    step: &str,
    users: usize,
    span: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let load = format!("[{{to: {users}, over: 0s}}, {{hold: {}s}}]", span.as_secs());
    let steps = match step {
        "literal" => LITERAL.to_owned(),
        "literal-once" => format!("{LITERAL}\n      - think: 60s"),
        "rich" => RICH.to_owned(),
        "rich-once" => format!("{RICH}\n      - think: 60s"),
        _ => return Err(format!("no step {step}").into()),
    };
    let total = carry(addr, &format!("http: \"http://{addr}\""), &steps, &load, |_| {})?;
    if total.requests.failed > 0 {
        return Err(format!("{} requests failed", total.requests.failed).into());
    }
    println!("{}", total.requests.sent);
    Ok(())
}

/// Users of `kind` who have done once what such users do and think for a minute; prints the bytes each adds to the process.
pub(crate) fn idle(kind: &str, addr: SocketAddr, users: u64) -> Result<(), Box<dyn std::error::Error>> {
    let http = format!("http: \"http://{addr}\"");
    let get = "get: /";
    let (target, step) = match kind {
        "http" => (http, get),
        "shop" => (http, RICH),
        "tls" => (format!("http: \"https://localhost:{}\", tls: {{verify: false}}", addr.port()), get),
        "http2" => (format!("{http}, http_version: 2"), get),
        "http2-shared" => (format!("{http}, http_version: 2, connections: shared"), get),
        "websocket" => (
            format!("ws: \"ws://{addr}\""),
            "ws_open: /\n      - ws_send: {type: hello}\n      - ws_expect: {type: hello}",
        ),
        "events" => (http, "sse_open: /\n      - {sse_expect: , event: message}"),
        _ => return Err(format!("no users of kind {kind}").into()),
    };
    // The first users pay for what all share.
    let load = format!("[{{to: {FIRST}, over: 0s}}, {{hold: 2s}}, {{to: {users}, over: 4s}}, {{hold: 2s}}]");
    let (mut first, mut all) = (None, None);
    let total = carry(addr, &target, &format!("{step}\n      - think: 60s"), &load, |second| {
        let seen = if second.users == users { &mut all } else { &mut first };
        if [FIRST, users].contains(&second.users) {
            *seen = super::idle::pss_bytes().ok();
        }
    })?;
    if total.requests.failed > 0 || total.requests.ok < users {
        return Err(format!("{} of {users} were answered", total.requests.ok).into());
    }
    let grown = all.zip(first).map(|(all, first)| all - first).ok_or("the users were never all there")?;
    println!("{:.0}", grown / (users - FIRST) as f64);
    Ok(())
}

const FIRST: u64 = 10;

fn carry(
    addr: SocketAddr,
    target: &str,
    steps: &str,
    stages: &str,
    mut each: impl FnMut(&Snapshot),
) -> Result<Snapshot, Box<dyn std::error::Error>> {
    let text = format!(
        "plimsoll: 1\nname: cost\ntarget: {{{target}}}\nvars: {{kind: plain}}\nscenarios:\n  read:\n    steps:\n      - {steps}\nload:\n  - name: users\n    run: read\n    executor: closed\n    stages: {stages}\n    graceful_stop: 1s\n"
    );
    let env = |_: &str| None;
    let plan = scenario::load("cost.yaml", &text, &Overrides::none(&env))
        .map_err(|problems| problems.lines().join("\n"))?;
    let TargetKind::External { http, ws } = &plan.target.kind else { return Err("a target by URL".into()) };
    let route = |base: &Option<BaseUrl>| {
        let to = |base| Destination {
            base,
            peer: addr,
            others: Vec::new(),
            sources: Vec::new(),
            trusted: Vec::new(),
        };
        base.clone().map(|base| Route::to(&to(base), &plan.target)).transpose()
    };
    let (http, ws) = (route(http)?, route(ws)?);
    let (_words, commands) = mpsc::unbounded_channel::<Command>();
    let (reports, mut told) = mpsc::channel(8);
    let setup = Setup {
        plan: Arc::new(plan),
        share: Share::WHOLE,
        clock: Clock::start(),
        http,
        ws,
        read_error_one_in: READ_ERROR_ONE_IN,
    };
    let shard = std::thread::spawn(move || shard::run(setup, commands, reports));
    let mut total = Snapshot::default();
    while let Some(report) = told.blocking_recv() {
        match report {
            Report::Snapshot(second) => {
                each(&second);
                add_counts(&mut total.counts, &second.counts);
                add_requests(&mut total.requests, &second.requests);
            }
            Report::Ended => break,
            Report::Failed(text) | Report::Lost(text) => return Err(text.into()),
        }
    }
    shard.join().map_err(|_| "the shard panicked")?;
    if total.counts.planned != total.counts.ended() {
        return Err(format!("iterations that nobody accounts for: {:?}", total.counts).into());
    }
    Ok(total)
}
