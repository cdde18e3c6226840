//! One shard of the engine against a server, on a thread of its own, and all that it reported.

use super::server::Entry;
use super::sorted;
use plimsoll::clock::{Clock, unix_ns};
use plimsoll::engine::route::Route;
use plimsoll::engine::shard::{self, Report, Setup};
use plimsoll::load::arrivals::Schedule;
use plimsoll::load::share::Share;
use plimsoll::measure::histogram::Histogram;
use plimsoll::measure::snapshot::Snapshot;
use plimsoll::scenario::plan::{Executor, Plan};
use plimsoll::scenario::{self, Overrides};
use plimsoll::transport::Address;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

pub(crate) struct Carried {
    pub(crate) sum: Snapshot,
    /// Unix time at which the run's clock read zero.
    pub(crate) began_ns: u64,
    plan: Arc<Plan>,
}

/// Runs `journey` (keys of the scenario after its steps) under `load` to its end. Each request goes to `/USER/TURN`.
pub(crate) fn carry(addr: SocketAddr, journey: &str, load: &str) -> Carried {
    let text = format!(
        "plimsoll: 1\nname: truth\ntarget: {{http: \"http://{addr}\", timeout: 5s}}\nobserve: []\nscenarios: {{ask: {{steps: [{{get: \"/${{user.id}}/${{iter}}\", name: ask}}]{journey}}}}}\nload:\n  - {{run: ask, {load}}}\n"
    );
    let env = |_: &str| None;
    let plan = scenario::load("truth.yaml", &text, &Overrides::none(&env))
        .unwrap_or_else(|problems| panic!("{}", problems.lines().join("\n")));
    let plan = Arc::new(plan);
    let address = Address::new(&addr.ip().to_string(), addr.port(), addr, None);
    // Held to the end: an agent that goes away means abort.
    let (_say, commands) = mpsc::unbounded_channel();
    let (reports, mut told) = mpsc::channel(64);
    let clock = Clock::start();
    let began_ns = unix_ns() - clock.now();
    let setup = Setup {
        plan: Arc::clone(&plan),
        share: Share::WHOLE,
        clock,
        http: Some(Route::new(address, String::new())),
        ws: None,
    };
    let thread = std::thread::spawn(move || shard::run(setup, commands, reports));
    let mut sum = Snapshot::default();
    loop {
        match told.blocking_recv().expect("the shard says how it ends") {
            Report::Snapshot(second) => sum.add(&second),
            Report::Ended => break,
            Report::Failed(text) | Report::Lost(text) => panic!("{text}"),
        }
    }
    thread.join().expect("no panic");
    Carried { sum, began_ns, plan }
}

/// Response times by the log of the server: from the beats of each paced user. The one that was met most promptly shows when they are; the
/// first is late by the opening of the connection.
pub(crate) fn paced_response(log: &[Entry], every_ns: u64) -> Vec<u64> {
    let mut first: HashMap<u64, u64> = HashMap::new();
    for entry in log {
        let by_this_ns = entry.arrived_ns - entry.turn * every_ns;
        first.entry(entry.user).and_modify(|at| *at = by_this_ns.min(*at)).or_insert(by_this_ns);
    }
    let beat_ns = |entry: &Entry| first[&entry.user] + entry.turn * every_ns;
    sorted(log.iter().map(|entry| entry.released_ns.saturating_sub(beat_ns(entry))))
}

impl Carried {
    pub(crate) fn response(&self) -> Histogram {
        self.sum.windows[0].as_ref().expect("requests were sent").all_responses()
    }

    pub(crate) fn service(&self) -> Histogram {
        self.sum.windows[0].as_ref().expect("requests were sent").all_services()
    }

    /// Response times by the log of the server: from the instant the plan gave each arrival of an open load.
    pub(crate) fn open_response(&self, log: &[Entry]) -> Vec<u64> {
        let planned_ns = self.planned_ns();
        sorted(log.iter().map(|entry| entry.released_ns.saturating_sub(planned_ns[entry.user as usize])))
    }

    /// Unix time of every arrival that the plan of an open load has, by number.
    pub(crate) fn planned_ns(&self) -> Vec<u64> {
        let Executor::Open { curve, open, .. } = &self.plan.load[0].executor else { panic!("an open load") };
        let mut schedule = Schedule::new(open.arrivals, self.plan.seed, 0, Share::WHOLE);
        std::iter::from_fn(|| schedule.next(curve)).map(|arrival| self.began_ns + arrival.at_ns).collect()
    }
}
