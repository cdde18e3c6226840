//! Predictions held against systems whose truth is known: for each of many drawn systems a search is simulated before a change, the load line after it is
//! predicted from that, and a search of the changed system is simulated as well. The simulation shares nothing with the model but the network.

use plimsoll::analyze::ladder::place;
use plimsoll::analyze::predict::change::Change;
use plimsoll::analyze::predict::{Before, predict};
use plimsoll::analyze::wall::Unit;
use plimsoll::fit::line::line;
use plimsoll::queueing::answer::Answer;
use plimsoll::queueing::model::{Model, Network, Open, Pool, Populations, Servers, Service, Station};
use plimsoll::queueing::simulate::{Hold, Options, simulate};
use plimsoll::record::summary::{Latency, Level, LevelResource, LoadLine};
use plimsoll::scenario::plan::LoadUnit;
use plimsoll::seed::{Purpose, Stream, stream};
use rand::RngExt as _;
use std::collections::BTreeMap;

/// Every kind of load and change comes about four times.
const PAIRS: u64 = 40;
const SEED: u64 = 2;
/// What is asked of all pairs together: twice the errors that `docs/what-if.md` tells.
const MEDIAN_MAX: f64 = 0.014;
const P90_MAX: f64 = 0.034;
const COVERED_MIN: f64 = 0.9;
/// Upper over lower end of an interval, in the middle and at most: one that holds everything says nothing. Replicas, whose share of capacity is drawn
/// from 0.7 to 1, have the widest.
const WIDTH_MEDIAN_MAX: f64 = 1.15;
const WIDTH_MAX: f64 = 1.35;
/// What each further replica brings, as the predictions have it.
const REPLICAS_KEEP: f64 = 0.85;
/// Bytes of a heap that a user takes, and that are in use without any.
const HEAP_PER_USER: f64 = 5e4;
const HEAP_AT_REST: f64 = 1e8;

/// How what a request takes of the processor moves with the load.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moves {
    Not,
    /// Dearer, as collections have more to look through.
    Rises,
    /// Cheaper, as a cache gets warm.
    Falls,
}

impl Moves {
    /// Demand at `part` of the load that fills the pool before the change, over that at none or at a high one.
    fn factor(self, part: f64) -> f64 {
        match self {
            Self::Not => 1.0,
            Self::Rises => 1.0 + 0.6 * part,
            Self::Falls => 1.0 + 5.0 * (-part / 0.1).exp(),
        }
    }
}

/// Users who think, a processor, and behind it a pool; with `db_s` some of its hold is spent at the processors of a database.
#[derive(Clone, Debug)]
struct System {
    think_s: f64,
    cores: usize,
    cpu_s: f64,
    slots: usize,
    hold_s: f64,
    db_cores: usize,
    db_s: f64,
    exponential: bool,
    /// Thinking is uniform from half to one and a half times its mean, not exponential.
    evenly: bool,
    limit_s: f64,
    /// Users with whom a heap is full, and requests fail.
    heap_users: Option<f64>,
    /// Levels are rates of Poisson arrivals, not users who think.
    open: bool,
    moves: Moves,
    /// The load that filled the pool before the change.
    filled_at: f64,
}

impl System {
    fn draw(random: &mut Stream) -> Self {
        let hold_s = random.random_range(0.01..0.05);
        let slots = random.random_range(4..16_usize);
        let exponential = random.random::<f64>() < 0.3;
        // The processor carries 1.3 to 6 times what the pool does, so that either may limit after the change.
        let cores = random.random_range(1..4_usize);
        let cpu_s = hold_s * cores as f64 / slots as f64 / random.random_range(1.3..6.0);
        let with_db = random.random::<f64>() < 0.3;
        let db_cores = random.random_range(1..6_usize);
        let db_s = if with_db {
            (hold_s * db_cores as f64 / slots as f64 / random.random_range(1.5..4.0)).min(hold_s * 0.6)
        } else {
            0.0
        };
        let times = if exponential { 8.0..14.0 } else { 3.0..8.0 };
        Self {
            think_s: random.random_range(0.4..1.2),
            cores,
            cpu_s,
            slots,
            hold_s,
            db_cores,
            db_s,
            exponential,
            evenly: random.random(),
            limit_s: hold_s * random.random_range(times),
            heap_users: None,
            open: false,
            moves: Moves::Not,
            filled_at: 1.0,
        }
    }

    /// The load that fills the pool.
    fn guess(&self) -> f64 {
        let full_per_s = self.slots as f64 / self.hold_s;
        if self.open { full_per_s } else { full_per_s * (self.think_s + self.hold_s) }
    }

    fn cpu_at(&self, load: u64) -> f64 {
        self.cpu_s * self.moves.factor(load as f64 / self.filled_at)
    }

    fn of(&self) -> &'static str {
        if self.open { "rate" } else { "users" }
    }

    fn network(&self, load: u64) -> Network {
        let station = |name: &str, demand_s, servers| Station {
            name: name.into(),
            demand_s,
            servers,
            service: Service::Exponential,
        };
        let mut stations = vec![
            station("app.cpu", self.cpu_at(load), Servers::Count(self.cores)),
            station("hold", self.hold_s - self.db_s, Servers::Delay),
        ];
        let mut guards = vec!["hold".to_owned()];
        if self.db_s > 0.0 {
            stations.push(station("mongodb.cpu", self.db_s, Servers::Count(self.db_cores)));
            guards.push("mongodb.cpu".to_owned());
        }
        let pools = vec![Pool {
            name: "mongodb.pool".into(),
            slots: self.slots,
            guards,
            timeout_s: None,
            queue_max: None,
            retry_ratio: None,
        }];
        let model = Model {
            users: (!self.open).then_some(Populations::One(load)),
            think_s: (!self.open).then_some(self.think_s),
            open: self.open.then_some(Open { rate_per_s: load as f64 }),
            classes: None,
            stations,
            pools,
        };
        model.check().expect("a model")
    }

    fn run(&self, load: u64, requests: u64, seed: u64) -> Answer {
        let network = self.network(load);
        let mut options = Options::of(&network, requests);
        // Three times as long as a thought, at the least, to forget that all began at once.
        options.settling = if self.open { 4000 } else { load * 4 + 2000 };
        if !self.exponential {
            options.holds = vec![Hold::Constant; network.stations.len()];
        }
        if self.evenly && !self.open {
            options.think =
                Hold::Empirical((0..1000).map(|i| self.think_s * (0.5 + f64::from(i) / 999.0)).collect());
        }
        let users = (!self.open).then_some(load);
        simulate(&network, users, &options, seed, &mut stream(seed, Purpose::User, 1, load))
    }

    /// Grows from `from` until a level is bad, then halves the bracket: the levels, and the line between the last good and the first bad one.
    fn search(&self, from: u64, precision: f64, requests: u64, seed: u64) -> (Vec<Level>, LoadLine) {
        let mut levels = Vec::new();
        let (mut low, mut high, mut next) = (None, None, from);
        while levels.len() < 30 {
            let level = self.level(next, &self.run(next, requests, seed + next));
            if level.good {
                low = Some(next)
            } else {
                high = Some(next)
            }
            levels.push(level);
            next = match (low, high) {
                (Some(low), None) => low * 2,
                (None, Some(high)) => high / 2,
                (Some(low), Some(high)) if high as f64 / low as f64 > 1.0 + precision && high > low + 1 => {
                    (low as f64 * high as f64).sqrt().round().clamp(low as f64 + 1.0, high as f64 - 1.0)
                        as u64
                }
                _ => break,
            };
        }
        levels.sort_by(|a: &Level, b: &Level| a.level.total_cmp(&b.level));
        let ends = [low, high].map(|end| end.map(|users| users as f64));
        let typical = ends[0].zip(ends[1]).map(|(low, high)| {
            // As `search::line` does it, with p99 over the limit for the share of bad requests over its bound.
            let p99 = |at: f64| {
                levels
                    .iter()
                    .find(|level| level.level == at)
                    .map_or(1.0, |l| l.response_ms.p99 / self.limit_s / 1e3)
            };
            let (below, above) = (p99(low).ln(), p99(high).ln());
            let part = if above > below { (-below / (above - below)).clamp(0.0, 1.0) } else { 0.5 };
            let by_latency = if above > 0.0 { low + part * (high - low) } else { high };
            self.heap_users.map_or(by_latency, |users| users.min(by_latency))
        });
        let line = LoadLine {
            of: self.of().into(),
            typical,
            guaranteed: None,
            interval: ends,
            interval_kind: "bracket".into(),
            confidence: None,
            noise_gap: None,
            goals: Vec::new(),
            soaks: Vec::new(),
            limited_by: Some(self.goal()),
        };
        (levels, line)
    }

    fn think_variation(&self) -> f64 {
        if self.evenly { 1.0 / 12.0 } else { 1.0 }
    }

    fn goal(&self) -> String {
        format!("p99(http) > {}us", (self.limit_s * 1e6).round())
    }

    fn level(&self, load: u64, answer: &Answer) -> Level {
        let said = answer.simulation.as_ref().expect("simulated");
        let rate = answer.throughput_per_s.expect("a throughput");
        let ms = |seconds: Option<f64>| seconds.expect("answers") * 1e3;
        let (p50, p90, p99) = (ms(said.response_p50_s), ms(said.response_p90_s), ms(said.response_p99_s));
        // The tail goes on as it does between these two.
        let nine = p99 - p90;
        let response_ms = Latency {
            p50,
            p90,
            p95: p90 + 0.301 * nine,
            p99,
            p99_9: p99 + nine,
            max: p99 + 2.0 * nine,
            mean: ms(answer.response_s),
        };
        let mut resources = BTreeMap::new();
        let resource = |kind: &str, used: f64, limit: f64| LevelResource {
            kind: kind.into(),
            used,
            limit: Some(limit),
            waiting: None,
            utilization: Some(used / limit),
            full_ratio: if used / limit > 0.97 { 1.0 } else { 0.0 },
            wait_ms: None,
            hold_ms: None,
            visits: None,
            errors_per_s: None,
        };
        for (name, limit) in [("app.cpu", self.cores), ("mongodb.cpu", self.db_cores)] {
            if let Some(station) = answer.stations.iter().find(|station| station.name == name) {
                let busy = station.utilization.expect("servers") * limit as f64;
                resources.insert(name.to_owned(), resource("cpu", busy, limit as f64));
            }
        }
        let pool = &answer.pools[0];
        let (busy, waiting) = (pool.busy.expect("busy"), pool.waiting.expect("waiting"));
        resources.insert(
            "mongodb.pool".to_owned(),
            LevelResource {
                waiting: Some(waiting),
                wait_ms: Some(waiting / rate * 1e3),
                hold_ms: Some(busy / rate * 1e3),
                visits: Some(1.0),
                errors_per_s: None,
                ..resource("pool", busy, self.slots as f64)
            },
        );
        let in_flight = rate * response_ms.mean / 1e3;
        let users = if self.open { in_flight } else { load as f64 };
        if let Some(full) = self.heap_users {
            let used = |users: f64| HEAP_AT_REST + users * HEAP_PER_USER;
            resources.insert("app.heap".to_owned(), resource("memory", used(users.min(full)), used(full)));
        }
        let fits = self.heap_users.is_none_or(|full| users <= full);
        let good = response_ms.p99 <= self.limit_s * 1e3 && fits;
        Level {
            level: load as f64,
            users,
            offered_per_s: rate,
            throughput_per_s: rate,
            good,
            failed_by: (!good).then(|| self.goal()),
            error_ratio: 0.0,
            span_s: [0.0, 20.0],
            truncated_s: None,
            think_s: if self.open { 0.0 } else { self.think_s },
            residual_ratio: None,
            response_ms,
            service_ms: response_ms,
            resources,
        }
    }

    /// The system of a pair, a change as it is asked for, and the system with it.
    fn pair(pair: u64) -> (Self, String, Self) {
        let random = &mut stream(SEED, Purpose::Data, 0, pair);
        let mut before = Self::draw(random);
        let kind = pair % 10;
        if kind == 6 || kind == 7 {
            // Half of the hold is the database's, whose processors are far from busy.
            before.db_s = before.hold_s * random.random_range(0.4..0.6);
            before.db_cores = (before.slots as f64 * random.random_range(1.2..2.0)).ceil() as usize;
        }
        if kind == 8 {
            before.heap_users = Some((before.guess() * random.random_range(1.5..2.5)).round());
        }
        before.open = kind == 5 || kind == 7;
        let mut after = before.clone();
        let text = match kind {
            0 | 1 => {
                let factor = [0.5, 0.7][random.random_range(0..2_usize)];
                after.hold_s = before.hold_s * factor;
                after.db_s = before.db_s * factor;
                // A demand of the pool is all that is done with its slots.
                let of_db =
                    if before.db_s > 0.0 { format!(" mongodb.cpu.demand={factor}x") } else { String::new() };
                format!("mongodb.pool.demand={factor}x{of_db}")
            }
            2 => {
                after.slots = before.slots * 8;
                after.cores = before.cores * 2;
                format!("mongodb.pool=8x app.cpu={}", after.cores)
            }
            6 | 7 => {
                after.db_s = before.db_s / 2.0;
                after.hold_s = before.hold_s - before.db_s / 2.0;
                "mongodb.cpu.demand=0.5x".to_owned()
            }
            8 => {
                after.slots = before.slots * 8;
                after.cores = before.cores * 4;
                format!("mongodb.pool=8x app.cpu={}", after.cores)
            }
            9 => {
                // What the definition says of them: how much replicas really bring no model knows.
                let capacity = 1.0 + REPLICAS_KEEP;
                after.slots = (before.slots as f64 * capacity).round() as usize;
                after.cores = before.cores * 2;
                after.cpu_s = before.cpu_s * 2.0 / capacity;
                "replicas=2x".to_owned()
            }
            3 => {
                after.slots = before.slots * random.random_range(4..10_usize);
                format!("mongodb.pool={}", after.slots)
            }
            _ => {
                after.slots = (before.slots as f64 * random.random_range(1.3..3.0)).round() as usize;
                format!("mongodb.pool={}", after.slots)
            }
        };
        (before, text, after)
    }
}

/// Past the pool, the processor: users who fill it by a demand that moves, over those who fill the pool.
const MOVING_WALL: f64 = 2.1;
const MOVING_WITHIN: f64 = 0.05;
const CONSTANT_OFF_MIN: f64 = 0.1;

/// The wall behind the pool is that of a demand that moves: one demand for all loads puts it more than a tenth off, a curve over them within a twentieth, and
/// the load line of a wider pool as well.
#[test]
fn demands_that_move_are_followed() {
    for pair in 0..6 {
        let random = &mut stream(SEED, Purpose::Data, 1, pair);
        let moves = if pair % 2 == 0 { Moves::Rises } else { Moves::Falls };
        // Users who wait for a slot as long as they think would make the load past the pool one that the processor does not see.
        let drawn = System { think_s: 1.0, exponential: false, ..System::draw(random) };
        let drawn = System { limit_s: 4.0 * drawn.hold_s, ..drawn };
        let cpu_s = drawn.hold_s * drawn.cores as f64 / drawn.slots as f64 / MOVING_WALL;
        let system = System { db_s: 0.0, moves, cpu_s, filled_at: drawn.guess(), ..drawn };
        let (levels, found) =
            system.search((system.guess() / 12.0) as u64 + 1, 0.05, 20_000, 1000 + 100 * pair);
        let parts = (1..4000).map(|k| f64::from(k) / 1000.0);
        let full = parts.filter(|part| part * moves.factor(*part) < MOVING_WALL).fold(0.0, f64::max);
        let truth = full * system.guess();
        let unit = Unit { of: LoadUnit::Users, think_s: Some(system.think_s), requests_per_iteration: 1.0 };
        let wall = place(&levels, "app.cpu", &unit, false).expect("a wall").at();
        let below = levels.iter().filter(|level| level.good);
        let points: Vec<(f64, f64)> =
            below.map(|level| (level.throughput_per_s, level.resources["app.cpu"].used)).collect();
        let constant = line(&points).expect("a line");
        let at = (system.cores as f64 - constant.intercept) / constant.slope;
        let constant = unit.load_at(at, unit.cycle_s(&levels[0]));
        let goals = [system.goal()];
        let before = Before {
            levels: &levels,
            left_out: &[],
            load_line: Some(&found),
            bottleneck: None,
            goals: &goals,
            unit,
            think_variation: Some(system.think_variation()),
            seed: pair,
        };
        let asked = Change::read_all(&["mongodb.pool=4x".to_owned()]).expect("a change");
        let predicted = predict(&before, &asked).unwrap_or_else(|refused| panic!("{system:?}: {refused}"));
        let after = System { slots: system.slots * 4, ..system.clone() };
        let (_, line) = after.search((truth * 0.7) as u64 + 1, 0.02, 40_000, 1000 + 100 * pair + 7);
        let (said, line) = (predicted.load_line.typical, line.typical.expect("a line"));
        println!(
            "{pair} {moves:?} wall {wall:.0}, by one demand {constant:.0}, true {truth:.0}; line {said:.0} {:?}, true {line:.0}",
            predicted.load_line.interval
        );
        assert!((wall / truth - 1.0).abs() < MOVING_WITHIN, "{pair} {moves:?}: {wall} for {truth}");
        assert!(
            (constant / truth - 1.0).abs() > CONSTANT_OFF_MIN,
            "{pair} {moves:?}: {constant} for {truth}"
        );
        assert!((said / line - 1.0).abs() < MOVING_WITHIN, "{pair} {moves:?}: {said} for {line}");
        assert_eq!(predicted.limited_by.as_deref(), Some("app.cpu"));
        assert_eq!(predicted.evidence, "extrapolated");
        assert!(predicted.explanation.contains("moves with the load"), "{}", predicted.explanation);
    }
}

#[test]
fn predictions_come_true() {
    let (mut errors, mut widths) = (Vec::new(), Vec::new());
    let mut covered = 0;
    for pair in 0..PAIRS {
        let (system, change, after) = System::pair(pair);
        let (levels, line) = system.search((system.guess() / 6.0) as u64 + 1, 0.05, 20_000, 100 * pair);
        let changes: Vec<String> = change.split(' ').map(str::to_owned).collect();
        let changes = Change::read_all(&changes).expect("changes");
        let unit = if system.open {
            Unit { of: LoadUnit::RatePerS, think_s: None, requests_per_iteration: 1.0 }
        } else {
            Unit { of: LoadUnit::Users, think_s: Some(system.think_s), requests_per_iteration: 1.0 }
        };
        let goals = [system.goal()];
        let before = Before {
            levels: &levels,
            left_out: &[],
            load_line: Some(&line),
            bottleneck: None,
            goals: &goals,
            unit,
            think_variation: (!system.open).then_some(system.think_variation()),
            seed: pair,
        };
        let predicted = predict(&before, &changes).unwrap_or_else(|refused| panic!("{system:?}: {refused}"));
        let said = predicted.load_line.typical;
        let (_, truth) = after.search((said * 0.7) as u64 + 1, 0.02, 40_000, 100 * pair + 7);
        let truth = truth.typical.expect("a line");
        let error = said / truth - 1.0;
        let [low, high] = predicted.load_line.interval;
        let inside = (low..=high).contains(&truth);
        covered += u64::from(inside);
        println!(
            "{pair:>3} {:<5} {change:<52} {:>6.0} -> {said:>6.0} [{low:>6.0} {high:>6.0}] true {truth:>6.0} {:>+6.1} % {} by {} (calibration {:.3})",
            system.of(),
            line.typical.unwrap_or_default(),
            error * 100.0,
            if inside { " " } else { "!" },
            predicted.limited_by.as_deref().unwrap_or("-"),
            predicted.calibration
        );
        errors.push(error.abs());
        widths.push(high / low);
    }
    let at = |values: &mut [f64], share: f64| {
        values.sort_by(f64::total_cmp);
        values[((values.len() - 1) as f64 * share).round() as usize]
    };
    let (median, p90) = (at(&mut errors, 0.5), at(&mut errors, 0.9));
    let (width, widest) = (at(&mut widths, 0.5), at(&mut widths, 1.0));
    let coverage = covered as f64 / PAIRS as f64;
    println!(
        "median {:.1} %, p90 {:.1} %, covered {:.0} %, widths {width:.3} to {widest:.3}",
        median * 100.0,
        p90 * 100.0,
        coverage * 100.0
    );
    assert!(median <= MEDIAN_MAX && p90 <= P90_MAX, "median {median}, p90 {p90}");
    assert!(coverage >= COVERED_MIN, "covered {coverage}");
    assert!(width <= WIDTH_MEDIAN_MAX && widest <= WIDTH_MAX, "widths {width}, {widest}");
}
