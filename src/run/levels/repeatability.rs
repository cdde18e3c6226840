//! Ten searches of one system under noise, second by second as a run goes: do they agree with each other and with the truth, and how long
//! do they take? The system is the closed one of the shipped scenario, and it stands still for 0.8 s at random times, every 120 s on the mean.

use super::tests::p99_goal;
use super::{Act, LevelRun};
use crate::endpoint::{Endpoint, Protocol};
use crate::measure::snapshot::Snapshot;
use crate::scenario::effort::Effort;
use crate::scenario::plan::{LevelTiming, LoadUnit, SearchRules};
use crate::search::controller::Search;
use crate::seed::{Purpose, Stream, stream};
use rand::RngExt;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

const SERVERS: usize = 10;
const HOLD_S: f64 = 0.02;
const STALL_S: f64 = 0.8;
const STALL_EVERY_S: f64 = 120.0;

/// Users who think 0.5 to 1.5 s, then hold one of [`SERVERS`] connections for [`HOLD_S`], first come first served. In a stall nothing moves.
struct World {
    random: Stream,
    /// When the stalls begin.
    stalls: Vec<f64>,
    /// When each connection is free, in time without stalls.
    free: [f64; SERVERS],
    users: u64,
    /// When each user asks next, nanoseconds.
    asking: BinaryHeap<Reverse<(u64, u64)>>,
    /// Response times by the second in which they ended, nanoseconds.
    ended: BTreeMap<u64, Vec<u64>>,
    now_s: u64,
}

impl World {
    fn new(seed: u64, stalls_every_s: Option<f64>) -> Self {
        let mut random = stream(seed, Purpose::User, 0, 0);
        let (mut stalls, mut at) = (Vec::new(), 0.0);
        while let Some(every_s) = stalls_every_s.filter(|_| at < 7200.0) {
            at += STALL_S - every_s * (1.0 - random.random::<f64>()).ln();
            stalls.push(at);
        }
        Self {
            random,
            stalls,
            free: [0.0; SERVERS],
            users: 0,
            asking: BinaryHeap::new(),
            ended: BTreeMap::new(),
            now_s: 0,
        }
    }

    /// How long the system has moved until `t_s`.
    fn moved(&self, t_s: f64) -> f64 {
        let begun = self.stalls.iter().take_while(|stall| **stall < t_s);
        t_s - begun.map(|stall| (t_s - stall).min(STALL_S)).sum::<f64>()
    }

    /// When it has moved for so long.
    fn at(&self, moved_s: f64) -> f64 {
        self.stalls.iter().fold(moved_s, |t_s, stall| if *stall < t_s { t_s + STALL_S } else { t_s })
    }

    fn steer(&mut self, users: u64, over_s: f64) {
        for user in self.users..users {
            let at_s = self.now_s as f64 + self.random.random::<f64>() * (over_s + 1.0);
            self.asking.push(Reverse(((at_s * 1e9) as u64, user)));
        }
        self.users = users;
    }

    fn second(&mut self) -> Snapshot {
        let end_ns = (self.now_s + 1) * 1_000_000_000;
        while let Some(Reverse((at_ns, user))) = self.asking.peek().copied().filter(|next| next.0.0 < end_ns)
        {
            self.asking.pop();
            if user >= self.users {
                continue;
            }
            let asked_s = at_ns as f64 / 1e9;
            let moved_s = self.moved(asked_s);
            let first = (1..SERVERS).fold(0, |best, i| if self.free[i] < self.free[best] { i } else { best });
            self.free[first] = self.free[first].max(moved_s) + HOLD_S;
            let done_s = self.at(self.free[first]);
            let took_ns = ((done_s - asked_s) * 1e9) as u64;
            self.ended.entry(done_s as u64).or_default().push(took_ns);
            let thinks_s = 0.5 + self.random.random::<f64>();
            self.asking.push(Reverse((((done_s + thinks_s) * 1e9) as u64, user)));
        }
        let mut snapshot = Snapshot { end_s: self.now_s + 1, users: self.users, ..Snapshot::default() };
        let window = snapshot.window_mut(0);
        for took_ns in self.ended.remove(&self.now_s).unwrap_or_default() {
            window.response.record(took_ns);
            window.completed += 1;
        }
        self.now_s += 1;
        snapshot
    }
}

/// How a search is made, besides what the shipped scenario says.
#[derive(Clone, Copy)]
struct Method {
    window_s: u64,
    windows: u32,
    precision: f64,
}

fn effort(effort: Effort) -> Method {
    Method { window_s: effort.window().as_secs(), windows: effort.windows(), precision: effort.precision() }
}

/// The load line that a search finds, and the seconds it takes.
fn search(method: Method, world: &mut World) -> (f64, u64) {
    let rules = SearchRules {
        from: 100.0,
        to: 20_000.0,
        grow: 2.0,
        precision: method.precision,
        exceed: 0.5,
        fail_when: vec![p99_goal()],
        effort: None,
        guarantee: false,
        soak: Duration::ZERO,
    };
    let timing = LevelTiming {
        ramp: Duration::from_secs(2),
        settle: Duration::from_secs(4),
        window: Duration::from_secs(method.window_s),
        windows: method.windows,
        cooldown: Duration::from_secs(2),
    };
    let endpoint = Endpoint { name: "product".into(), protocol: Protocol::Http, route: "GET /".into() };
    let chooser = Box::new(Search::new(rules, method.windows, LoadUnit::Users));
    let mut run = LevelRun::new(
        chooser,
        vec![p99_goal()],
        0.5,
        timing,
        Duration::ZERO,
        LoadUnit::Users,
        vec![endpoint],
    );
    let mut acts = run.start(0);
    loop {
        for act in acts {
            match act {
                Act::Steer { value, over_s } => world.steer(value as u64, over_s),
                Act::Done => {
                    return (run.so_far().typical.expect("a line"), world.now_s);
                }
                Act::Mark(_) | Act::Warn(_) | Act::Say(_) => {}
            }
        }
        let second = world.second();
        acts = run.second(&second, second.end_s);
    }
}

/// What ten searches came to, as shares of the truth, and how long they took.
struct Ten {
    sd: f64,
    bias: f64,
    longest_s: u64,
    told: String,
}

/// Ten searches, each with stalls and users of its own.
fn ten(method: Method, truth: f64) -> Ten {
    let found: Vec<(f64, u64)> =
        (1..=10).map(|seed| search(method, &mut World::new(1000 + seed, Some(STALL_EVERY_S)))).collect();
    let mean = found.iter().map(|(line, _)| line / truth).sum::<f64>() / 10.0;
    let sd = (found.iter().map(|(line, _)| (line / truth - mean).powi(2)).sum::<f64>() / 9.0).sqrt();
    let seconds: Vec<u64> = found.iter().map(|(_, seconds)| *seconds).collect();
    let told = format!(
        "{} windows of {} s at {} %: sd {:.1} %, bias {:+.1} % of {truth}; seconds {seconds:?}",
        method.windows,
        method.window_s,
        method.precision * 100.0,
        sd * 100.0,
        (mean - 1.0) * 100.0,
    );
    Ten { sd, bias: mean - 1.0, longest_s: seconds.into_iter().max().unwrap_or(0), told }
}

/// Where one request in a hundred takes longer than the goal allows, without stalls and over 200 s: halved to a user.
fn truth() -> f64 {
    let (mut good, mut bad) = (400, 600);
    while bad - good > 1 {
        let users = u64::midpoint(good, bad);
        let mut world = World::new(users, None);
        world.steer(users, 2.0);
        (0..10).for_each(|_| drop(world.second()));
        let mut all = Snapshot::default();
        (0..200).for_each(|_| all.add(&world.second()));
        let p99_ns = all.window_mut(0).response.quantile_ns(0.99);
        if p99_ns > 100_000_000 { bad = users } else { good = users }
    }
    good as f64
}

#[test]
fn ten_searches_under_stalls_find_one_line() {
    let truth = truth();
    let full = ten(effort(Effort::Full), truth);
    assert!(full.sd <= 0.02 && full.bias.abs() <= 0.02 && full.longest_s <= 600, "{}", full.told);
    let ci = ten(effort(Effort::Ci), truth);
    assert!(ci.sd <= 0.04 && ci.bias.abs() <= 0.04 && ci.longest_s <= 240, "{}", ci.told);
    // One long window a level, as a search by RFC 2544 has it: a stall is 1.3 % of its 60 s, and a level far below the line is bad.
    let long = ten(Method { window_s: 60, windows: 1, precision: 0.02 }, truth);
    assert!(long.sd > 0.02 && long.bias.abs() > 0.02, "the test could not fail: {}", long.told);
    // Decision 0038 has these figures.
    insta::assert_snapshot!([full.told, ci.told, long.told].join("\n"), @r"
    11 windows of 10 s at 2 %: sd 0.3 %, bias +0.6 % of 527; seconds [420, 404, 415, 404, 460, 415, 434, 414, 551, 420]
    11 windows of 5 s at 5 %: sd 0.1 %, bias +0.9 % of 527; seconds [170, 164, 164, 170, 165, 170, 164, 165, 169, 169]
    1 windows of 60 s at 2 %: sd 34.3 %, bias -40.4 % of 527; seconds [652, 653, 516, 652, 516, 516, 516, 712, 452, 650]
    ");
}
