//! A discrete-event simulation of a small closed system, for tests only: users who think and then ask, a pool of connections with a
//! first-come-first-served queue, and behind it (held together with the connection) an optional second station.

use crate::search::goal::tests::Counted;
use crate::seed::{Purpose, Stream, stream};
use rand::RngExt;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// What every user does: think U(think_low, think_high), then hold a connection for `hold_s` and, still holding it, one of `inner_servers`
/// servers for `inner_s`. `front_s` on `front_servers` comes before the pool.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) size: usize,
    pub(crate) hold_s: f64,
    pub(crate) inner_servers: usize,
    pub(crate) inner_s: f64,
    pub(crate) front_servers: usize,
    pub(crate) front_s: f64,
    pub(crate) think_s: (f64, f64),
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            size: 10,
            hold_s: 0.02,
            inner_servers: 1,
            inner_s: 0.0,
            front_servers: 1,
            front_s: 0.0,
            think_s: (0.5, 1.5),
        }
    }
}

/// What was seen of one station in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Second {
    pub(crate) busy_s: f64,
    pub(crate) waiting_s: f64,
    pub(crate) visits: f64,
    pub(crate) wait_s: f64,
    pub(crate) hold_s: f64,
}

pub(crate) struct Observed {
    /// (when it ended, how long it took), seconds, after the settling time.
    pub(crate) responses: Vec<(f64, f64)>,
    pub(crate) seconds: f64,
    /// One entry a second: front, pool, inner.
    pub(crate) stations: [Vec<Second>; 3],
}

/// Splits what was observed into `n` windows of equal length.
pub(crate) fn windows_of(observed: &Observed, n: usize) -> Vec<Counted> {
    let mut windows = vec![Counted::default(); n];
    for &(ended_s, took_s) in &observed.responses {
        let index = ((ended_s / observed.seconds * n as f64) as usize).min(n - 1);
        windows[index].ok_ms.push(took_s * 1e3);
    }
    windows
}

const FRONT: usize = 0;
const POOL: usize = 1;
const INNER: usize = 2;

struct Station {
    servers: usize,
    busy: usize,
    queue: VecDeque<(usize, f64)>,
    since_s: f64,
    seen: Vec<Second>,
}

impl Station {
    /// Accounts for the time up to `now_s`, second by second.
    fn advance(&mut self, now_s: f64) {
        while self.since_s < now_s {
            let until_s = now_s.min(self.since_s.floor() + 1.0);
            let span_s = until_s - self.since_s;
            let (busy, waiting) = (self.busy as f64, self.queue.len() as f64);
            let second = self.second(self.since_s);
            second.busy_s += busy * span_s;
            second.waiting_s += waiting * span_s;
            self.since_s = until_s;
        }
    }

    fn second(&mut self, at_s: f64) -> &mut Second {
        let index = at_s.floor() as usize;
        if self.seen.len() <= index {
            self.seen.resize(index + 1, Second::default());
        }
        &mut self.seen[index]
    }
}

struct World {
    now_s: f64,
    stations: [Station; 3],
    events: BinaryHeap<Reverse<(u64, u64, usize, u8)>>,
    sequence: u64,
    acquired_s: Vec<[f64; 3]>,
}

impl World {
    /// `stage`: 0 asks, 1 leaves the front, 2 has held its own time in the pool, 3 leaves the inner station.
    fn at(&mut self, when_s: f64, user: usize, stage: u8) {
        self.sequence += 1;
        self.events.push(Reverse(((when_s * 1e9) as u64, self.sequence, user, stage)));
    }

    /// Queues at a station; true when a server was free.
    fn enter(&mut self, station: usize, user: usize) -> bool {
        let now_s = self.now_s;
        let station_at = &mut self.stations[station];
        station_at.advance(now_s);
        if station_at.busy < station_at.servers {
            station_at.busy += 1;
            station_at.second(now_s).visits += 1.0;
            self.acquired_s[user][station] = now_s;
            return true;
        }
        station_at.queue.push_back((user, now_s));
        false
    }

    /// Frees a server; the next in the queue takes it.
    fn leave(&mut self, station: usize, user: usize) -> Option<usize> {
        let now_s = self.now_s;
        let held_s = now_s - self.acquired_s[user][station];
        let station_at = &mut self.stations[station];
        station_at.advance(now_s);
        station_at.second(now_s).hold_s += held_s;
        let Some((next, asked_s)) = station_at.queue.pop_front() else {
            station_at.busy -= 1;
            return None;
        };
        let second = station_at.second(now_s);
        second.visits += 1.0;
        second.wait_s += now_s - asked_s;
        self.acquired_s[next][station] = now_s;
        Some(next)
    }
}

impl Pool {
    /// Runs `users` for `settle_s`, then observes for `for_s`.
    pub(crate) fn run(&self, users: u64, settle_s: f64, for_s: f64, seed: u64) -> Observed {
        let station =
            |servers| Station { servers, busy: 0, queue: VecDeque::new(), since_s: 0.0, seen: Vec::new() };
        let users = users as usize;
        let mut world = World {
            now_s: 0.0,
            stations: [station(self.front_servers), station(self.size), station(self.inner_servers)],
            events: BinaryHeap::new(),
            sequence: 0,
            acquired_s: vec![[0.0; 3]; users],
        };
        let mut streams: Vec<Stream> =
            (0..users).map(|id| stream(seed, Purpose::User, 0, id as u64)).collect();
        let mut asked_s = vec![0.0; users];
        let mut think = |user: usize| {
            let (low, high) = self.think_s;
            low + (high - low) * streams[user].random::<f64>()
        };
        for user in 0..users {
            world.at(think(user), user, 0);
        }
        let (mut responses, end_s) = (Vec::new(), settle_s + for_s);
        while let Some(Reverse((at_ns, _, user, stage))) = world.events.pop() {
            world.now_s = at_ns as f64 / 1e9;
            let now_s = world.now_s;
            if now_s >= end_s {
                break;
            }
            match stage {
                0 => {
                    asked_s[user] = now_s;
                    if self.front_s == 0.0 {
                        self.ask_pool(&mut world, user);
                    } else if world.enter(FRONT, user) {
                        world.at(now_s + self.front_s, user, 1);
                    }
                }
                1 => {
                    if let Some(next) = world.leave(FRONT, user) {
                        world.at(now_s + self.front_s, next, 1);
                    }
                    self.ask_pool(&mut world, user);
                }
                2 if self.inner_s > 0.0 => {
                    if world.enter(INNER, user) {
                        world.at(now_s + self.inner_s, user, 3);
                    }
                }
                _ => {
                    if stage == 3
                        && let Some(next) = world.leave(INNER, user)
                    {
                        world.at(now_s + self.inner_s, next, 3);
                    }
                    if let Some(next) = world.leave(POOL, user) {
                        world.at(now_s + self.hold_s, next, 2);
                    }
                    if now_s >= settle_s {
                        responses.push((now_s - settle_s, now_s - asked_s[user]));
                    }
                    world.at(now_s + think(user), user, 0);
                }
            }
        }
        let stations = world.stations.map(|mut station| {
            station.advance(end_s);
            station.seen.split_off(settle_s as usize)
        });
        Observed { responses, seconds: for_s, stations }
    }

    fn ask_pool(&self, world: &mut World, user: usize) {
        if world.enter(POOL, user) {
            world.at(world.now_s + self.hold_s, user, 2);
        }
    }
}
