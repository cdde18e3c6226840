//! A search as the tool makes one: grow by two until the p99 breaks its bound, then halve the bracket. Each level is a simulation of its
//! own, one after the other on the clock of the run.

use super::draws::Draws;
use super::system::{Load, System};
use super::world::{self, Ended, Look};
use plimsoll::analyze::LevelInput;
use plimsoll::record::rows::LevelMark;
use plimsoll::record::summary::Latency;

pub(crate) const SETTLE_S: f64 = 4.0;
pub(crate) const JUDGED_S: f64 = 21.0;
const COOL_S: f64 = 5.0;
const WINDOWS: usize = 3;
const BAD_MAX: f64 = 0.01;
const GROW: f64 = 2.0;
const PRECISION: f64 = 1.06;
const LEVELS_MAX: usize = 14;

/// A level and the looks of its seconds, from the begin of its settling on.
#[derive(Debug)]
pub(crate) struct Level {
    pub input: LevelInput,
    pub begin_s: f64,
    pub looks: Vec<Look>,
}

#[derive(Debug)]
pub(crate) struct Searched {
    pub levels: Vec<Level>,
    pub slo_s: f64,
}

/// How the bound on the p99 is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slo {
    /// A multiple of the p99 with hardly any load, and at least what the system holds at 85 % of its ceiling: then it is the ceiling
    /// that breaks it.
    AtCeiling,
    /// So tight that queueing breaks it long before anything is full.
    Early,
}

/// Share of the ceiling at which a bound of `AtCeiling` must hold.
const HELD_AT: f64 = 0.85;
/// Share of the ceiling at which hardly anybody meets anybody.
const QUIET_AT: f64 = 0.08;

pub(crate) fn search(system: &System, slo: Slo, seed: u64, id: u64) -> Searched {
    let mut draws = Draws::new(seed, id, 1);
    let saturation = system.saturation();
    let p99_at = |share: f64, part: u64| {
        let level = (saturation * share).max(1.0);
        let trial = world::run(system, level, SETTLE_S, JUDGED_S, Draws::new(seed, id, part));
        latency(&judged(&trial.ended)).p99 / 1e3
    };
    let quiet_s = p99_at(QUIET_AT, 2);
    let slo_s = match slo {
        Slo::AtCeiling => (quiet_s * draws.log_uniform(2.0, 8.0)).max(1.1 * p99_at(HELD_AT, 3)),
        Slo::Early => quiet_s * draws.between(1.3, 2.0),
    };
    let mut levels: Vec<Level> = Vec::new();
    let (mut good, mut bad): (Option<f64>, Option<f64>) = (None, None);
    let mut next = (saturation / draws.log_uniform(8.0, 40.0)).max(1.0);
    while levels.len() < LEVELS_MAX {
        if matches!(system.load, Load::Closed(_)) {
            next = next.round();
        }
        let begin_s = levels.len() as f64 * (SETTLE_S + JUDGED_S + COOL_S);
        let part = 10 + levels.len() as u64;
        let level = judge(system, next, slo_s, begin_s, Draws::new(seed, id, part));
        if level.input.mark.good {
            good = Some(next)
        } else {
            bad = Some(next)
        }
        levels.push(level);
        next = match (good, bad) {
            (Some(good), Some(bad)) if bad / good <= PRECISION || bad - good <= 1.0 => break,
            (Some(good), Some(bad)) => (good * bad).sqrt(),
            (Some(good), None) => good * GROW,
            (None, Some(bad)) if bad <= 1.0 => break,
            (None, Some(bad)) => bad / GROW,
            (None, None) => break,
        };
    }
    Searched { levels, slo_s }
}

fn judged(ended: &[Ended]) -> Vec<Ended> {
    ended.iter().filter(|ended| ended.at_s > SETTLE_S && ended.at_s <= SETTLE_S + JUDGED_S).copied().collect()
}

fn judge(system: &System, level: f64, slo_s: f64, begin_s: f64, draws: Draws) -> Level {
    let trial = world::run(system, level, SETTLE_S, JUDGED_S, draws);
    let ended = judged(&trial.ended);
    let is_bad = |ended: &Ended| !ended.ok || ended.response_s > slo_s;
    let mut windows = [(0.0, 0.0); WINDOWS];
    for ended in &ended {
        let window = ((ended.at_s - SETTLE_S) / JUDGED_S * WINDOWS as f64) as usize;
        let window = &mut windows[window.min(WINDOWS - 1)];
        window.0 += f64::from(u8::from(is_bad(ended)));
        window.1 += 1.0;
    }
    // A window in which nothing was answered is a bad one.
    let windows_bad = windows.iter().filter(|(bad, all)| *all == 0.0 || bad / all > BAD_MAX).count();
    let good = windows_bad * 2 <= WINDOWS;
    let bad = windows.iter().map(|window| window.0).sum::<f64>();
    let requests = ended.len() as u64;
    let latency = latency(&ended);
    let from_s = begin_s + SETTLE_S;
    let mark = LevelMark {
        level,
        from_s,
        to_s: from_s + JUDGED_S,
        good,
        failed_by: (!good).then(|| format!("p99(http) > {:.0}ms", slo_s * 1e3)),
        bad_ratio: bad / (requests as f64).max(1.0),
        bad_ratio_max: BAD_MAX,
        windows_bad: windows_bad as u32,
        windows: WINDOWS as u32,
        asked: WINDOWS as u32,
        enough: true,
        ..LevelMark::default()
    };
    let iterations_per_s = requests as f64 / JUDGED_S / system.requests_per_iteration;
    let (users, offered_per_s) = match system.load {
        Load::Closed(_) => (level, iterations_per_s),
        Load::Open => (trial.in_flight_s / JUDGED_S, level),
    };
    let failed = ended.iter().filter(|ended| !ended.ok).count() as u64;
    let input = LevelInput {
        mark,
        users,
        offered_per_s,
        requests,
        failed,
        response_ms: latency,
        service_ms: latency,
    };
    Level { input, begin_s, looks: trial.looks }
}

fn latency(ended: &[Ended]) -> Latency {
    let mut all: Vec<f64> = ended.iter().map(|ended| ended.response_s * 1e3).collect();
    all.sort_unstable_by(f64::total_cmp);
    let Some(max) = all.last().copied() else { return Latency::default() };
    let at = |q: f64| all[((all.len() as f64 * q).ceil() as usize).clamp(1, all.len()) - 1];
    Latency {
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        p99_9: at(0.999),
        max,
        mean: all.iter().sum::<f64>() / all.len() as f64,
    }
}
