//! A whole scenario on one shard against an address: what it counted, with the identities that hold for every run checked.

use plimsoll::clock::Clock;
use plimsoll::engine::route::{Destination, Route};
use plimsoll::engine::shard::{self, Command, Report, Setup};
use plimsoll::load::share::Share;
use plimsoll::measure::snapshot::{Snapshot, Window};
use plimsoll::record::summary::Counts;
use plimsoll::scenario::plan::{BaseUrl, Plan, TargetKind};
use plimsoll::scenario::{self, Overrides};
use plimsoll::transport::READ_ERROR_ONE_IN;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A run: what is asked of the shard, and how it is told to end.
pub(crate) struct Run<'a> {
    pub(crate) addr: SocketAddr,
    /// Keys of `target`, the address among them.
    pub(crate) target: &'a str,
    /// Scenarios and load.
    pub(crate) rest: &'a str,
    pub(crate) share: Share,
    /// Said after their delays, one after the other.
    pub(crate) words: &'a [(Duration, Command)],
    /// Over as soon as nobody is left, whatever the load says.
    pub(crate) ends_with_its_users: bool,
}

/// What a run left: everything added up, by the names of the plan.
pub(crate) struct Ran {
    plan: Arc<Plan>,
    pub(crate) sum: Snapshot,
    /// What was told of each second, by its end.
    pub(crate) seconds: Vec<(u64, Counts)>,
}

/// Runs `rest` (scenarios and load) with these keys of `target` against `addr`, to its end.
pub(crate) fn carry(addr: SocketAddr, target: &str, rest: &str) -> Snapshot {
    Run { addr, target, rest, share: Share::WHOLE, words: &[], ends_with_its_users: false }.carry().sum
}

/// One user goes through `steps` (a YAML list, a step a line) once, within a few seconds.
pub(crate) fn one_user(addr: SocketAddr, steps: &str) -> Ran {
    one_user_of(addr, &format!("http: \"http://{addr}\", ws: \"ws://{addr}\", timeout: 2s"), steps)
}

/// The same with these keys of `target`.
pub(crate) fn one_user_of(addr: SocketAddr, target: &str, steps: &str) -> Ran {
    let rest = format!(
        "scenarios:\n  a:\n    steps:\n{steps}      - stop_user\nload:\n  - {{run: a, executor: closed, stages: [{{to: 1, over: 0s}}, {{hold: 6s}}], graceful_stop: 1s}}\n"
    );
    Run { addr, target, rest: &rest, share: Share::WHOLE, words: &[], ends_with_its_users: true }.carry()
}

impl Run<'_> {
    pub(crate) fn carry(self) -> Ran {
        let (ran, failure) = self.carry_altered(|_| {});
        assert_eq!(failure, None);
        ran
    }

    /// Of a plan that no scenario makes: what was counted, and what the shard says it failed by.
    pub(crate) fn carry_altered(self, alter: impl FnOnce(&mut Plan)) -> (Ran, Option<String>) {
        let Self { target, rest, .. } = self;
        let text = format!("plimsoll: 1\nname: test\ntarget: {{{target}}}\nobserve: []\n{rest}");
        let env = |_: &str| None;
        let mut plan = scenario::load("test.yaml", &text, &Overrides::none(&env))
            .unwrap_or_else(|problems| panic!("{}", problems.lines().join("\n")));
        alter(&mut plan);
        let plan = Arc::new(plan);
        let TargetKind::External { http, ws } = &plan.target.kind else { panic!("a target by URL") };
        let (say, commands) = mpsc::unbounded_channel();
        let (reports, mut told) = mpsc::channel(8);
        let setup = Setup {
            plan: Arc::clone(&plan),
            share: self.share,
            clock: Clock::start(),
            http: self.route(&plan, http.as_ref()),
            ws: self.route(&plan, ws.as_ref()),
            read_error_one_in: READ_ERROR_ONE_IN,
        };
        let thread = std::thread::spawn(move || shard::run(setup, commands, reports));
        let (words, speaking) = (self.words.to_vec(), say.clone());
        let speaker = std::thread::spawn(move || {
            for (after, word) in words {
                std::thread::sleep(after);
                let _ = speaking.send(word);
            }
        });
        let mut sum = Snapshot::default();
        let mut seconds = Vec::new();
        let mut sockets = 0;
        let failure = loop {
            match told.blocking_recv().expect("the shard says how it ends") {
                Report::Snapshot(second) => {
                    sockets = second.sockets;
                    let gone = second.users == 0 && sum.counts.planned > 0;
                    sum.add(&second);
                    seconds.push((second.end_s, second.counts));
                    if gone && self.ends_with_its_users {
                        let _ = say.send(Command::Drain);
                    }
                }
                Report::Ended => break None,
                Report::Failed(text) | Report::Lost(text) => break Some(text),
            }
        };
        thread.join().expect("no panic");
        speaker.join().expect("no panic");
        // Held until here: a coordinator that goes away means abort.
        drop(say);
        let (counts, requests) = (sum.counts, sum.requests);
        assert_eq!(counts.planned, counts.ended(), "{counts:?}");
        assert_eq!(
            requests.sent + requests.unsent,
            requests.ok + requests.failed + requests.interrupted,
            "{requests:?}"
        );
        assert_eq!(sockets, 0, "opened - closed");
        (Ran { plan, sum, seconds }, failure)
    }

    fn route(&self, plan: &Plan, base: Option<&BaseUrl>) -> Option<Route> {
        let base = base?.clone();
        let destination = Destination {
            base,
            peer: self.addr,
            others: Vec::new(),
            sources: Vec::new(),
            trusted: Vec::new(),
        };
        Some(Route::to(&destination, &plan.target).expect("a route to the target"))
    }
}

impl Ran {
    /// Failures as (endpoint, kind, text, count), most frequent first.
    pub(crate) fn failures(&self) -> Vec<(String, String, String, u64)> {
        let name = |id| plimsoll::endpoint::name_of(&self.plan.endpoints, id);
        let list = self.sum.failures.list(name);
        list.into_iter().map(|f| (f.endpoint, f.kind, f.text, f.count)).collect()
    }

    pub(crate) fn completed(&self, endpoint: &str, protocol: &str) -> u64 {
        self.window(endpoint, protocol).map_or(0, |window| window.completed)
    }

    pub(crate) fn window(&self, endpoint: &str, protocol: &str) -> Option<&Window> {
        let mut known = self.plan.endpoints.iter();
        let index = known.position(|e| e.name == endpoint && e.protocol.name() == protocol)?;
        self.sum.windows.get(index)?.as_deref()
    }
}

/// So many users who go through `steps` for a second.
pub(crate) fn closed(users: u32, steps: &str) -> String {
    format!(
        "scenarios: {{read: {{steps: {steps}}}}}\nload:\n  - {{name: a, run: read, executor: closed, stages: [{{to: {users}, over: 0s}}, {{hold: 1s}}], graceful_stop: 1s}}\n"
    )
}
