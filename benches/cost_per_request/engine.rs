//! The whole engine: a scenario from its text, one shard, every measurement on. What a user of the tool pays for a request.

use plimsoll::clock::Clock;
use plimsoll::engine::route::Route;
use plimsoll::engine::shard::{self, Command, Report, Setup};
use plimsoll::load::share::Share;
use plimsoll::measure::snapshot::{Snapshot, add_counts, add_requests};
use plimsoll::scenario::{self, Overrides};
use plimsoll::transport::Address;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Loops as fast as the answers come; prints the number of requests.
pub(crate) fn run(addr: SocketAddr, users: usize, span: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let load = format!("[{{to: {users}, over: 0s}}, {{hold: {}s}}]", span.as_secs());
    let total = carry(addr, "", &load, |_| {})?;
    if total.requests.failed > 0 {
        return Err(format!("{} requests failed", total.requests.failed).into());
    }
    println!("{}", total.requests.sent);
    Ok(())
}

/// Users that have sent one request and think for a minute; prints the bytes each adds to the process.
pub(crate) fn idle(addr: SocketAddr, users: usize) -> Result<(), Box<dyn std::error::Error>> {
    let before = super::idle::pss_bytes()?;
    let load = format!("[{{to: {users}, over: 2s}}, {{hold: 2s}}]");
    let mut most = 0.0;
    carry(addr, "\n      - think: 60s", &load, |second| {
        if second.users == users as u64 {
            most = super::idle::pss_bytes().unwrap_or(0.0);
        }
    })?;
    println!("{:.0}", (most - before) / users as f64);
    Ok(())
}

fn carry(
    addr: SocketAddr,
    think: &str,
    stages: &str,
    mut each: impl FnMut(&Snapshot),
) -> Result<Snapshot, Box<dyn std::error::Error>> {
    let text = format!(
        "plimsoll: 1\nname: cost\ntarget: {{http: \"http://{addr}\"}}\nscenarios:\n  read:\n    steps:\n      - get: /\n        expect: {{status: 200}}{think}\nload:\n  - name: users\n    run: read\n    executor: closed\n    stages: {stages}\n    graceful_stop: 1s\n"
    );
    let env = |_: &str| None;
    let plan = scenario::load("cost.yaml", &text, &Overrides::none(&env))
        .map_err(|problems| problems.lines().join("\n"))?;
    let address = Address::new(&addr.ip().to_string(), addr.port(), addr, None);
    let (_words, commands) = mpsc::unbounded_channel::<Command>();
    let (reports, mut told) = mpsc::channel(8);
    let setup = Setup {
        plan: Arc::new(plan),
        share: Share::WHOLE,
        clock: Clock::start(),
        http: Some(Route::new(address, String::new())),
        ws: None,
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
    Ok(total)
}
