//! Systems of every kind of limit, solved by the queueing formulas and read with noise: who gives way first is known, and must be named or, where it is
//! not observed, not guessed. A pool guards a database; a processor and what else there is stand before it.

use super::*;
use crate::queueing::model::{Model, Network};
use crate::queueing::solve;
use crate::record::rows::{LevelMark, SaturationRow};
use crate::record::summary::{BottleneckStatus, Latency};
use crate::seed::{Purpose, Stream, stream};
use rand::RngExt as _;

/// Seconds of a level, and between the beginnings of two.
const HOLD_S: f64 = 15.0;
const LEVEL_S: f64 = 25.0;
const THINK_S: f64 = 1.0;
/// Part of the capacity up to which an open system is taken to be steady.
const NEARLY: f64 = 0.97;

/// What is read of one part of a system.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tells {
    /// Use and limit.
    Use,
    /// The number waiting as well.
    Queue,
    /// Everything: visits, holds and waits too.
    All,
    /// Use, and as the number waiting the seconds of a loop's lag.
    Lag,
}

#[derive(Clone, Debug)]
struct Part {
    name: &'static str,
    kind: &'static str,
    servers: f64,
    tells: Tells,
}

/// Demands are of one request, seconds; 0 where there is no such part.
#[derive(Clone, Debug)]
struct System {
    truth: &'static str,
    app_cores: usize,
    app_s: f64,
    loop_s: f64,
    redis_s: f64,
    lock_s: f64,
    pool: usize,
    hold_s: f64,
    db_cores: usize,
    db_s: f64,
    /// Bytes of heap for each user, of 1e9.
    heap_per_user: f64,
    hidden: bool,
    open: bool,
    tells: Tells,
}

/// A part with what it does under a load.
struct Seen {
    part: Part,
    used: f64,
    waiting: f64,
}

impl System {
    /// One part carries 200 to 800 requests a second, all others `ratio` times as many and more.
    fn new(truth: &'static str, tells: Tells, ratio: f64, random: &mut Stream) -> Self {
        let capacity = 200.0 + 600.0 * random.random::<f64>();
        let cores = 1 + random.random_range(0..4);
        let slots = 5 + random.random_range(0..20);
        let roomy = |servers: usize| servers as f64 / (capacity * ratio * (1.0 + random_part(servers)));
        let mut system = Self {
            truth,
            app_cores: cores,
            app_s: roomy(cores),
            loop_s: roomy(1),
            redis_s: roomy(1),
            lock_s: 0.0,
            pool: slots,
            hold_s: roomy(slots) / 2.0,
            db_cores: cores,
            db_s: roomy(cores) / 2.0,
            heap_per_user: 0.0,
            hidden: false,
            open: false,
            tells,
        };
        match truth {
            "app.cpu" => system.app_s = cores as f64 / capacity,
            "app.loop" => system.loop_s = 1.0 / capacity,
            "redis.main_thread" => system.redis_s = 1.0 / capacity,
            "app.lock" => system.lock_s = 1.0 / capacity,
            "mongodb.pool" => system.hold_s = (slots as f64 / capacity - system.db_s).max(0.001),
            "db.cpu" => {
                system.db_s = cores as f64 / capacity;
                system.pool = 4 * cores + 20;
                system.hold_s = 0.001;
            }
            // Filled where the processor has half of its capacity.
            "app.heap" => system.heap_per_user = 0.7e9 / (capacity * 0.5),
            other => panic!("{other}"),
        }
        system
    }

    fn model(&self, load: f64) -> Network {
        let mut stations = vec![r#"{"name":"rest","demand_s":0.002,"servers":"delay"}"#.to_owned()];
        for (name, demand_s, servers) in [
            ("app.cpu", self.app_s, self.app_cores),
            ("app.loop", self.loop_s, 1),
            ("redis.main_thread", self.redis_s, 1),
            ("db.cpu", self.db_s, self.db_cores),
        ] {
            stations.push(format!(r#"{{"name":"{name}","demand_s":{demand_s},"servers":{servers}}}"#));
        }
        stations.push(format!(r#"{{"name":"db.wire","demand_s":{},"servers":"delay"}}"#, self.hold_s));
        let mut pools =
            vec![format!(r#"{{"name":"mongodb.pool","slots":{},"guards":["db.wire","db.cpu"]}}"#, self.pool)];
        if self.lock_s > 0.0 {
            stations.push(format!(r#"{{"name":"locked","demand_s":{},"servers":"delay"}}"#, self.lock_s));
            pools.push(r#"{"name":"app.lock","slots":1,"guards":["locked"]}"#.to_owned());
        }
        let who = if self.open {
            format!(r#""open":{{"rate_per_s":{load}}}"#)
        } else {
            format!(r#""users":{load},"think_s":{THINK_S}"#)
        };
        let text = format!(r#"{{{who},"stations":[{}],"pools":[{}]}}"#, stations.join(","), pools.join(","));
        serde_json::from_str::<Model>(&text).expect("a model").check().expect("no fault")
    }

    /// Requests per second that it carries at most, however much memory it has.
    fn capacity(&self) -> f64 {
        let pool = self.pool as f64 / (self.hold_s + self.db_s);
        let singles = [self.loop_s, self.redis_s, self.lock_s].map(|demand_s| 1.0 / demand_s);
        let many = [self.app_cores as f64 / self.app_s, self.db_cores as f64 / self.db_s, pool];
        singles.into_iter().chain(many).fold(f64::INFINITY, f64::min)
    }

    /// Loads that fill the parts whose demand is the same under any load.
    fn walls(&self) -> Vec<(&'static str, f64)> {
        let base_s = self.at(1).1;
        let load = |per_s: f64| if self.open { per_s } else { per_s * (base_s + THINK_S) };
        let cores = [("app.cpu", self.app_cores, self.app_s), ("db.cpu", self.db_cores, self.db_s)];
        let single = [("app.loop", 1, self.loop_s), ("redis.main_thread", 1, self.redis_s)];
        let all = cores.into_iter().chain(single);
        all.map(|(name, servers, demand_s)| (name, load(servers as f64 / demand_s))).collect()
    }

    /// Throughput, mean response time in seconds, and each part. Open and overloaded, the queue of what is full grows while the level lasts.
    fn at(&self, load: u64) -> (f64, f64, Vec<Seen>) {
        let capacity = self.capacity();
        let carried = NEARLY * capacity;
        if !self.open || (load as f64) < carried {
            return self.steady(load as f64);
        }
        let (_, r, mut seen) = self.steady(carried);
        let queue = (load as f64 - carried) * HOLD_S / 2.0;
        let first = if self.truth == "db.cpu" { "mongodb.pool" } else { self.truth };
        for one in &mut seen {
            if one.part.name == first {
                (one.used, one.waiting) = (one.part.servers, queue);
            } else if one.part.name == self.truth {
                (one.used, one.waiting) = (one.part.servers, self.pool as f64 - one.part.servers);
            }
        }
        (capacity.min(load as f64), r + queue / capacity, seen)
    }

    fn steady(&self, users: f64) -> (f64, f64, Vec<Seen>) {
        let heap =
            if self.heap_per_user > 0.0 { 0.2e9 + self.heap_per_user * users } else { 0.2e9 + 1e4 * users };
        // Collections take the more of the processor and of the loop the less is free.
        let full = (heap / 1e9).min(0.98);
        let dearer = if full > 0.8 { 1.0 + 0.15 * (full - 0.8) / (1.0 - full) } else { 1.0 };
        let system = Self { app_s: self.app_s * dearer, loop_s: self.loop_s * dearer, ..self.clone() };
        let network = system.model(users);
        let answer = solve(&network).expect("a solution").remove(0);
        let (x, pause_s) = (answer.throughput_per_s.expect("stable"), 0.05 * (dearer - 1.0));
        let r = answer.response_s.expect("stable") + pause_s;
        // Pauses slow all down alike.
        let x = if self.open { x } else { x / (1.0 + pause_s / (r + THINK_S)) };
        let of = |name: &str, kind: &'static str, servers: f64, tells: Tells, static_name: &'static str| {
            let part = Part { name: static_name, kind, servers, tells };
            let (busy, waiting) = match answer.stations.iter().find(|station| station.name == name) {
                Some(station) => {
                    let busy = station.utilization.unwrap_or(0.0) * servers;
                    (busy, (station.queue.unwrap_or(0.0) - busy).max(0.0))
                }
                None => {
                    let pool = answer.pools.iter().find(|pool| pool.name == name).expect("a part");
                    (pool.busy.unwrap_or(0.0), pool.waiting.unwrap_or(0.0))
                }
            };
            Seen { part, used: busy, waiting }
        };
        let silent = if matches!(self.truth, "app.cpu" | "db.cpu") { self.tells } else { Tells::Use };
        let mut seen = vec![
            of("app.cpu", "cpu", self.app_cores as f64, silent, "app.cpu"),
            of(
                "app.loop",
                "cpu",
                1.0,
                if self.truth == "app.loop" { self.tells } else { Tells::Use },
                "app.loop",
            ),
            of("redis.main_thread", "cpu", 1.0, Tells::All, "redis.main_thread"),
            of("db.cpu", "cpu", self.db_cores as f64, silent, "db.cpu"),
            of("mongodb.pool", "pool", self.pool as f64, Tells::All, "mongodb.pool"),
        ];
        if self.lock_s > 0.0 {
            seen.push(of("app.lock", "pool", 1.0, Tells::All, "app.lock"));
        }
        let heap_part = Part { name: "app.heap", kind: "memory", servers: 1e9, tells: Tells::Use };
        seen.push(Seen { part: heap_part, used: heap.min(0.99e9), waiting: 0.0 });
        (x, r, seen)
    }

    /// A search: loads that double until one is bad, then the middle of the bracket until that is narrow.
    fn run(&self, from: u64, slower: f64, random: &mut Stream) -> (Vec<LevelInput>, Vec<SaturationRow>) {
        let (mut levels, mut readings) = (Vec::new(), Vec::new());
        let base_s = self.at(1).1;
        let (mut good, mut bad, mut users) = (None, None, from);
        for _ in 0..12 {
            let (x, r, seen) = self.at(users);
            let from_s = LEVEL_S * levels.len() as f64 + 5.0;
            let is_good = r <= slower * base_s;
            let mut level = level_input(users, x, r, is_good, from_s, random);
            if self.open {
                level.users = x * r;
            }
            levels.push(level);
            for second in 1..=HOLD_S as u32 {
                for one in seen.iter().filter(|one| !(self.hidden && one.part.name == self.truth)) {
                    readings.push(one.row(from_s + f64::from(second), x, random));
                }
            }
            if is_good {
                good = Some(users)
            } else {
                bad = Some(users)
            }
            users = match (good, bad) {
                (Some(good), Some(bad)) if bad as f64 / good as f64 > 1.05 => {
                    ((good * bad) as f64).sqrt() as u64
                }
                (Some(_), Some(_)) => break,
                (Some(good), None) => good * 2,
                (None, _) => panic!("{self:?} is bad from the start"),
            };
        }
        (levels, readings)
    }
}

/// Parts are not all as roomy.
fn random_part(servers: usize) -> f64 {
    0.13 * (servers % 5) as f64
}

fn level_input(users: u64, x: f64, r: f64, good: bool, from_s: f64, random: &mut Stream) -> LevelInput {
    let mean = r * 1e3 * (1.0 + 0.01 * normal(random));
    let response_ms = Latency { p50: mean, p90: mean, p95: mean, p99: mean, p99_9: mean, max: mean, mean };
    let mark = LevelMark {
        level: users as f64,
        from_s,
        to_s: from_s + HOLD_S,
        good,
        failed_by: (!good).then(|| "p99 > limit".to_owned()),
        bad_ratio: 0.0,
        bad_ratio_max: 0.01,
        windows_bad: 0,
        windows: 3,
        ..LevelMark::default()
    };
    LevelInput {
        mark,
        users: users as f64,
        offered_per_s: x,
        requests: (x * HOLD_S).round() as u64,
        failed: 0,
        response_ms,
        service_ms: response_ms,
        truncation: None,
    }
}

/// The sum of twelve even draws, less six.
fn normal(random: &mut Stream) -> f64 {
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
}

impl Seen {
    fn row(&self, t_s: f64, x: f64, random: &mut Stream) -> SaturationRow {
        let Part { name, kind, servers, tells } = &self.part;
        let wobble = if *kind == "memory" { 0.02 } else { 0.08 };
        let used = (self.used * (1.0 + wobble * normal(random))).clamp(0.0, *servers);
        let waiting = (self.waiting * (1.0 + 0.2 * normal(random))).max(0.0);
        let visits = (x + x.sqrt() * normal(random)).max(1.0).round();
        let all = |value: f64| (*tells == Tells::All).then_some(value);
        SaturationRow {
            t_s,
            resource: (*name).to_owned(),
            kind: (*kind).to_owned(),
            used,
            limit: Some(*servers),
            waiting: match tells {
                Tells::Use => None,
                Tells::Queue | Tells::All => Some(waiting),
                Tells::Lag => Some(waiting / x),
            },
            utilization: Some(used / servers),
            errors: None,
            visits: all(visits),
            wait_s: all(waiting),
            hold_s: all(used),
        }
    }
}

/// Names, right and wrong, sets with the truth in them, and abstentions, over systems of every kind.
#[test]
fn every_kind_of_limit_is_named_and_none_is_guessed() {
    let random = &mut stream(3, Purpose::Bootstrap, 1, 0);
    let kinds: [(&'static str, &[Tells]); 7] = [
        ("mongodb.pool", &[Tells::All]),
        ("db.cpu", &[Tells::Use, Tells::Queue]),
        ("app.cpu", &[Tells::Use, Tells::Queue]),
        ("app.loop", &[Tells::Use, Tells::Lag, Tells::All]),
        ("redis.main_thread", &[Tells::All]),
        ("app.lock", &[Tells::All]),
        ("app.heap", &[Tells::Use]),
    ];
    let (mut cases, mut guessed, mut abstained) = (0, Vec::new(), Vec::new());
    let (mut rungs, mut off, mut outside) = (0_usize, 0_usize, 0_usize);
    for (truth, tells) in kinds {
        for tells in tells {
            for ratio in [1.2, 2.0] {
                for slower in [1.7, 5.0] {
                    for (hidden, open) in [(false, false), (true, false), (false, true), (true, true)] {
                        if open && truth == "app.heap" {
                            continue;
                        }
                        let mut system = System::new(truth, *tells, ratio, random);
                        (system.hidden, system.open) = (hidden, open);
                        let (levels, readings) = system.run(25, slower, random);
                        let found = findings(&Input {
                            unit: if open { LoadUnit::RatePerS } else { LoadUnit::Users },
                            think_s: Some(THINK_S).filter(|_| !open),
                            requests_per_iteration: 1.0,
                            judged: true,
                            levels: &levels,
                            soaks: &[],
                            search: None,
                            readings: &readings,
                        });
                        let bottleneck = found.bottleneck.expect("levels");
                        cases += 1;
                        for (name, wall) in system.walls().into_iter().filter(|_| truth != "app.heap") {
                            let rung = found.ladder.iter().find(|rung| rung.resource == name);
                            let Some((at, [low, high])) =
                                rung.and_then(|rung| Some((rung.at?, rung.interval?)))
                            else {
                                continue;
                            };
                            rungs += 1;
                            off += usize::from((at / wall - 1.0).abs() > 0.1);
                            outside += usize::from(!(low..=high).contains(&wall));
                        }
                        let case = format!(
                            "{truth} {tells:?} ratio {ratio} slower {slower} hidden {hidden} open {open}: {:?} {:?} {} {:?}",
                            bottleneck.status, bottleneck.candidates, bottleneck.explanation, system
                        );
                        match (hidden, bottleneck.status, bottleneck.resource.as_deref()) {
                            (false, BottleneckStatus::Named, Some(name)) if name == truth => {}
                            (true, BottleneckStatus::Uninstrumented | BottleneckStatus::None, _) => {}
                            (true, ..) | (_, BottleneckStatus::Named, _) => guessed.push(case),
                            _ => abstained.push(case),
                        }
                    }
                }
            }
        }
    }
    assert!(guessed.is_empty(), "named what it is not:\n{}", guessed.join("\n"));
    let all = abstained.join("\n");
    assert!(20 * abstained.len() <= cases, "{} of {cases} not named:\n{all}", abstained.len());
    assert!(20 * off <= rungs, "{off} of {rungs} walls are off by more than 10 %");
    assert!(8 * outside <= rungs, "{outside} of {rungs} walls lie outside their intervals of 95 %");
}
