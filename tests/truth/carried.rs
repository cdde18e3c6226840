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
use plimsoll::transport::{Address, READ_ERROR_ONE_IN};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub(crate) struct Carried {
    pub(crate) sum: Snapshot,
    /// Unix time at which the run's clock read zero.
    pub(crate) began_ns: u64,
    plan: Arc<Plan>,
}

/// Runs `journey` (keys of the scenario after its steps) under `load` to its end. Each request goes to `/USER/TURN`.
pub(crate) fn carry(addr: SocketAddr, journey: &str, load: &str) -> Carried {
    carry_sampling(READ_ERROR_ONE_IN, addr, journey, load)
}

/// The same, knowing of one response in so many how late it was read.
pub(crate) fn carry_sampling(read_error_one_in: u32, addr: SocketAddr, journey: &str, load: &str) -> Carried {
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
        read_error_one_in,
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
    assert_eq!(sum.counts.planned, sum.counts.ended(), "{:?}", sum.counts);
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

/// How many requests arrived in a span, beside the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Arrivals too many or too few.
    pub(crate) off: u64,
    /// Arrivals planned for when the bare loop stood still across one of the ends: those may be on the wrong side of it.
    pub(crate) held_up: u64,
}

impl Carried {
    /// Every span of that length that begins at a tenth of a second of an open load which lasted for `load`, beside `stalls`, spans of Unix
    /// time in which a bare loop stood still.
    pub(crate) fn spans(
        &self,
        log: &[Entry],
        load: Duration,
        length: Duration,
        stalls: &[[u64; 2]],
    ) -> Vec<Span> {
        let planned = self.planned_ns();
        let arrived = sorted(log.iter().map(|entry| entry.arrived_ns));
        let within = |instants: &[u64], from_ns: u64, to_ns: u64| {
            (instants.partition_point(|at| *at < to_ns) - instants.partition_point(|at| *at < from_ns)) as u64
        };
        let begins =
            (0..=(load - length).as_millis() as u64 / 100).map(|tenth| self.began_ns + tenth * 100_000_000);
        begins
            .map(|from_ns| {
                let to_ns = from_ns + length.as_nanos() as u64;
                let across =
                    |stall: &&[u64; 2]| [from_ns, to_ns].iter().any(|at| (stall[0]..=stall[1]).contains(at));
                Span {
                    off: within(&planned, from_ns, to_ns).abs_diff(within(&arrived, from_ns, to_ns)),
                    held_up: stalls
                        .iter()
                        .filter(across)
                        .map(|stall| within(&planned, stall[0], stall[1] + 1))
                        .sum(),
                }
            })
            .collect()
    }

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
