//! A whole scenario on one shard against an address: its counts, with the identities that hold for every run checked.

use plimsoll::clock::Clock;
use plimsoll::engine::route::{Destination, Route};
use plimsoll::engine::shard::{self, Command, Report, Setup};
use plimsoll::load::share::Share;
use plimsoll::measure::snapshot::Snapshot;
use plimsoll::scenario::plan::TargetKind;
use plimsoll::scenario::{self, Overrides};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Runs `rest` (scenarios and load) with these keys of `target` against `addr`.
pub(crate) fn carry(addr: SocketAddr, target: &str, rest: &str) -> Snapshot {
    let text = format!("plimsoll: 1\nname: test\ntarget: {{{target}}}\nobserve: []\n{rest}");
    let env = |_: &str| None;
    let plan = scenario::load("test.yaml", &text, &Overrides::none(&env))
        .unwrap_or_else(|problems| panic!("{}", problems.lines().join("\n")));
    let TargetKind::External { http: Some(base), .. } = &plan.target.kind else { panic!("a target by URL") };
    let destination = Destination { base: base.clone(), peer: addr, others: Vec::new(), sources: Vec::new() };
    let route = Route::to(&destination, &plan.target).unwrap();
    let (_say, commands) = mpsc::unbounded_channel::<Command>();
    let (reports, mut told) = mpsc::channel(8);
    let setup = Setup {
        plan: Arc::new(plan),
        share: Share::WHOLE,
        clock: Clock::start(),
        http: Some(route),
        ws: None,
    };
    let thread = std::thread::spawn(move || shard::run(setup, commands, reports));
    let mut sum = Snapshot::default();
    let mut sockets = 0;
    loop {
        match told.blocking_recv().expect("the shard says how it ends") {
            Report::Snapshot(second) => {
                sockets = second.sockets;
                sum.add(&second);
            }
            Report::Ended => break,
            Report::Failed(text) | Report::Lost(text) => panic!("{text}"),
        }
    }
    thread.join().expect("no panic");
    let (counts, requests) = (sum.counts, sum.requests);
    assert_eq!(
        counts.planned,
        counts.completed + counts.failed + counts.dropped + counts.interrupted + counts.lost
    );
    assert_eq!(requests.sent + sum.connect_failures, requests.ok + requests.failed + requests.interrupted);
    assert_eq!(sockets, 0, "opened - closed");
    sum
}

/// So many users who go through `steps` for a second.
pub(crate) fn closed(users: u32, steps: &str) -> String {
    format!(
        "scenarios: {{read: {{steps: {steps}}}}}\nload:\n  - {{name: a, run: read, executor: closed, stages: [{{to: {users}, over: 0s}}, {{hold: 1s}}], graceful_stop: 1s}}\n"
    )
}
