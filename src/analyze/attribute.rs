//! What gave way first. The evidence is, in this order: where the added time was spent waiting, what was full at which load, and whether a
//! pool's slots were merely held longer by something behind it. Correlation with load is worth nothing, because everything rises with
//! load, and so is the text of an error.

use super::explain;
use super::levels::wait_per_request_s;
use super::next::{Unit, walls};
use super::onset::{Onset, onset};
use super::saturate::saturated;
use crate::record::summary::{Bottleneck, BottleneckStatus, Candidate, Level, LevelResource};

/// Share of the added latency that a cause must explain.
pub const CAUSE_SHARE_MIN: f64 = 0.5;
/// Share from which another resource is a cause beside the first.
const RIVAL_SHARE_MIN: f64 = 0.25;
/// Growth of the hold time from which a pool is the victim of what it guards, and up to which its own size binds.
pub const VICTIM_HOLD: f64 = 1.3;
pub const FLAT_HOLD: f64 = 1.15;
/// In use over limit below which a pool is not exhausted, whatever a log says.
const EXHAUSTED_MIN: f64 = 0.9;
/// A pool whose throughput had reached this share of its best with at most half of its slots in use is not what limits it.
const EARLY_THROUGHPUT: f64 = 0.7;
/// Walls closer than this factor are not told apart.
const NEAR_WALL: f64 = 1.05;
/// Utilization below which work that waits for anything but a pool waits for somebody outside who keeps the machine busy.
const WAITED_FOR_MIN: f64 = 0.7;
/// Levels up to this factor above the first bad one stand in for it when it is blurred, if one cause then explains this much.
const NEIGHBOR_MAX: f64 = 1.25;
const CLEAR_SHARE: f64 = 0.8;
/// Growth of the mean response time (as a share, and in seconds) below which there is nothing to attribute.
const GROWTH_MIN: f64 = 0.02;
const GROWTH_MIN_S: f64 = 50e-6;

/// One resource that was full at the knee, or that requests demonstrably waited for.
#[derive(Clone, Debug)]
pub struct Suspect<'a> {
    pub name: &'a str,
    pub resource: &'a LevelResource,
    /// Saturated by the rule; otherwise the measured wait alone accuses it (a small pool queues long before it is full on average).
    pub full: bool,
    /// Of the added latency, 0..1.
    pub share: f64,
    /// The share is what measured waits leave over, ascribed to the only full resource that tells no waits.
    pub inferred: bool,
    /// Hold time at the knee over that at the lowest level.
    pub hold_growth: Option<f64>,
    /// Most of the throughput was there while half of the slots were free: more slots are not what it lacks.
    pub idle_early: bool,
    pub onset: Option<Onset>,
}

impl Suspect<'_> {
    /// Full, but on account of what it guards.
    fn is_victim(&self) -> bool {
        self.idle_early || self.is_held_longer()
    }

    /// Whether its own hold times say so, which is the stronger reason.
    pub fn is_held_longer(&self) -> bool {
        self.hold_growth.is_some_and(|growth| growth >= VICTIM_HOLD)
    }
}

/// The two levels that are compared.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The lowest level, `None` when that one already failed.
    pub base: Option<&'a Level>,
    /// The lowest level that failed.
    pub knee: &'a Level,
    /// Mean response time added between them, seconds.
    pub added_s: f64,
}

/// What gave way first; `levels` in order of load, `excluded` resources whose probes are not believed. `None` without levels.
pub fn attribute(levels: &[Level], excluded: &[String], unit: &Unit) -> Option<Bottleneck> {
    let lowest = levels.first()?;
    let Some(knee) = levels.iter().find(|level| !level.good) else {
        return Some(Finding::none(levels, None, unit, explain::all_good(levels, unit)));
    };
    let first = attribute_at(levels, lowest, knee, excluded, unit);
    if first.status != BottleneckStatus::Uninstrumented {
        return Some(first);
    }
    // A moment in which something else took the machine can blur one level. Its neighbors above, while they are near, tell of the same
    // wall; further up, whatever gives way second would be blamed.
    let near =
        |level: &&Level| !level.good && level.level > knee.level && level.level <= NEIGHBOR_MAX * knee.level;
    let named =
        levels.iter().filter(near).map(|level| attribute_at(levels, lowest, level, excluded, unit)).find(
            |found| {
                found.status == BottleneckStatus::Named && found.share_of_added_latency >= Some(CLEAR_SHARE)
            },
        );
    Some(named.unwrap_or(first))
}

fn attribute_at(
    levels: &[Level],
    lowest: &Level,
    knee: &Level,
    excluded: &[String],
    unit: &Unit,
) -> Bottleneck {
    let base = Some(lowest).filter(|lowest| lowest.level < knee.level);
    let added_s = (knee.response_ms.mean - base.map_or(0.0, |base| base.response_ms.mean)) / 1e3;
    let step = Step { base, knee, added_s };
    let least_s = base.map_or(0.0, |base| (base.response_ms.mean / 1e3 * GROWTH_MIN).max(GROWTH_MIN_S));
    if added_s <= least_s {
        let failing = knee.error_ratio > base.map_or(0.0, |base| base.error_ratio) + 0.001;
        let text = explain::no_growth(&step, failing, unit);
        return if failing {
            Finding::unknown(levels, knee, unit, None, text)
        } else {
            Finding::none(levels, Some(knee), unit, text)
        };
    }
    judge(levels, excluded, unit, &step)
}

fn judge(levels: &[Level], excluded: &[String], unit: &Unit, step: &Step<'_>) -> Bottleneck {
    let mut suspects = suspects(levels, excluded, unit, step);
    let (victims, mut causes): (Vec<_>, Vec<_>) = suspects.drain(..).partition(Suspect::is_victim);
    // Time spent waiting for a victim is caused by what holds its slots.
    let suffered: f64 = victims.iter().map(|victim| victim.share).sum();
    for cause in &mut causes {
        cause.share = (cause.share + suffered).min(1.0);
    }
    causes.sort_by(|a, b| b.share.total_cmp(&a.share));
    let explained: f64 = causes.iter().map(|cause| cause.share).sum();
    let Some(leader) = causes.first().filter(|_| explained >= CAUSE_SHARE_MIN) else {
        let text = match victims.first() {
            Some(victim) => explain::victim_alone(victim, step, unit),
            None => explain::unexplained(levels, &causes, step, unit),
        };
        let share = (explained + suffered > 0.0).then_some(explained);
        return Finding::unknown(levels, step.knee, unit, share, text);
    };
    let later = |rival: &Suspect<'_>| match (leader.onset, rival.onset) {
        (Some(first), Some(second)) => second.at > first.interval[1],
        _ => false,
    };
    // A full resource without a clock is a rival whatever the measured waits leave over for it: it may be what holds the slots.
    let rivals: Vec<&Suspect<'_>> = causes[1..]
        .iter()
        .filter(|rival| (rival.share >= RIVAL_SHARE_MIN || rival.inferred) && !later(rival))
        .collect();
    let hidden = if leader.full { Vec::new() } else { sooner(levels, unit, step, leader) };
    if leader.share >= CAUSE_SHARE_MIN && rivals.is_empty() && hidden.is_empty() {
        let text = explain::named(leader, &victims, step, unit);
        return Finding::named(levels, leader, step, unit, text);
    }
    let set: Vec<&Suspect<'_>> = std::iter::once(leader).chain(rivals).chain(&hidden).collect();
    Finding::set(levels, &set, step, unit)
}

/// Resources that were full or waited for at the knee, with their share of the added latency.
fn suspects<'a>(levels: &'a [Level], excluded: &[String], unit: &Unit, step: &Step<'a>) -> Vec<Suspect<'a>> {
    let mut measured = 0.0;
    let mut suspects = Vec::new();
    for (name, resource) in &step.knee.resources {
        if excluded.contains(name) {
            continue;
        }
        let before = step.base.and_then(|base| Some((base, base.resources.get(name)?)));
        let waited_s = wait_per_request_s(step.knee, resource).map(|wait_s| {
            let before_s = before.and_then(|(base, before)| wait_per_request_s(base, before));
            (wait_s - before_s.unwrap_or(0.0)).max(0.0)
        });
        let share = waited_s.map(|waited_s| (waited_s / step.added_s).min(1.0));
        measured += share.unwrap_or(0.0);
        let exhausted = resource.utilization.is_some_and(|ratio| ratio >= EXHAUSTED_MIN);
        let full = exhausted && saturated(resource, step.knee, step.base);
        let starved =
            resource.kind != "pool" && resource.utilization.is_some_and(|ratio| ratio < WAITED_FOR_MIN);
        if !full && (starved || share.is_none_or(|share| share < CAUSE_SHARE_MIN)) {
            continue;
        }
        let growth = |held: f64| Some(held / before?.1.hold_ms.filter(|&held| held > 0.0)?);
        suspects.push(Suspect {
            name,
            resource,
            full,
            share: share.unwrap_or(f64::NAN),
            inferred: share.is_none(),
            hold_growth: resource.hold_ms.and_then(growth),
            idle_early: idle_early(levels, name, resource),
            onset: full.then(|| onset(levels, name, unit)).flatten(),
        });
    }
    // What no clock measured can be ascribed to a full resource without one, as far as there is just one; several share it.
    let silent = suspects.iter().filter(|suspect| suspect.inferred).count().max(1) as f64;
    for suspect in suspects.iter_mut().filter(|suspect| suspect.inferred) {
        suspect.share = (1.0 - measured).max(0.0) / silent;
    }
    suspects
}

/// Resources without a clock whose demand fills them no later than `suspect` would be: before anything is full, a queue at one of them
/// may be what makes requests wait for the other.
fn sooner<'a>(levels: &'a [Level], unit: &Unit, step: &Step<'a>, suspect: &Suspect<'a>) -> Vec<Suspect<'a>> {
    let walls = walls(levels, Some(step.knee), &[], unit);
    let own = walls.iter().find(|wall| wall.resource == suspect.name).map_or(f64::INFINITY, |wall| wall.at);
    let is_sooner = |name: &str| walls.iter().any(|wall| wall.resource == name && wall.at <= own * NEAR_WALL);
    let seen = step.knee.resources.iter().filter(|(name, resource)| {
        *name != suspect.name
            && resource.kind != "memory"
            && is_sooner(name)
            && wait_per_request_s(step.knee, resource).is_none()
    });
    seen.map(|(name, resource)| Suspect {
        name,
        resource,
        full: false,
        share: (1.0 - suspect.share).max(0.0),
        inferred: true,
        hold_growth: None,
        idle_early: false,
        onset: None,
    })
    .collect()
}

/// The contradiction test: most of the throughput was already there while no more than half of the slots were ever in use.
fn idle_early(levels: &[Level], name: &str, at_knee: &LevelResource) -> bool {
    let Some(limit) = at_knee.limit.filter(|_| at_knee.kind == "pool") else { return false };
    let best = levels.iter().map(|level| level.throughput_per_s).fold(0.0, f64::max);
    levels.iter().any(|level| {
        let used = level.resources.get(name).map_or(f64::INFINITY, |resource| resource.used);
        used <= limit / 2.0 && level.throughput_per_s > EARLY_THROUGHPUT * best
    })
}

/// Builders of the published form.
struct Finding;

impl Finding {
    fn none(levels: &[Level], knee: Option<&Level>, unit: &Unit, explanation: String) -> Bottleneck {
        Bottleneck {
            status: BottleneckStatus::None,
            resource: None,
            candidates: Vec::new(),
            kind: None,
            used: None,
            limit: None,
            waiting: None,
            onset: None,
            onset_interval: None,
            share_of_added_latency: None,
            evidence: "measured".to_owned(),
            probability: None,
            next: walls(levels, knee, &[], unit),
            explanation,
        }
    }

    fn unknown(
        levels: &[Level],
        knee: &Level,
        unit: &Unit,
        share: Option<f64>,
        explanation: String,
    ) -> Bottleneck {
        Bottleneck {
            status: BottleneckStatus::Uninstrumented,
            share_of_added_latency: share,
            ..Self::none(levels, Some(knee), unit, explanation)
        }
    }

    fn named(
        levels: &[Level],
        suspect: &Suspect<'_>,
        step: &Step<'_>,
        unit: &Unit,
        explanation: String,
    ) -> Bottleneck {
        Bottleneck {
            status: BottleneckStatus::Named,
            resource: Some(suspect.name.to_owned()),
            kind: Some(suspect.resource.kind.clone()),
            used: Some(suspect.resource.used),
            limit: suspect.resource.limit,
            waiting: suspect.resource.waiting,
            onset: suspect.onset.map(|onset| onset.at),
            onset_interval: suspect.onset.map(|onset| onset.interval),
            share_of_added_latency: Some(suspect.share),
            next: walls(levels, Some(step.knee), &[suspect.name], unit),
            ..Self::none(&[], None, unit, explanation)
        }
    }

    fn set(levels: &[Level], suspects: &[&Suspect<'_>], step: &Step<'_>, unit: &Unit) -> Bottleneck {
        let names: Vec<&str> = suspects.iter().map(|suspect| suspect.name).collect();
        let candidate = |suspect: &&Suspect<'_>| Candidate {
            resource: suspect.name.to_owned(),
            probability: None,
            share_of_added_latency: Some(suspect.share),
        };
        let together = suspects.iter().map(|suspect| suspect.share).sum::<f64>().min(1.0);
        Bottleneck {
            status: BottleneckStatus::Set,
            candidates: suspects.iter().map(candidate).collect(),
            share_of_added_latency: Some(together),
            next: walls(levels, Some(step.knee), &names, unit),
            ..Self::none(&[], None, unit, explain::set(suspects, step, unit))
        }
    }
}

#[cfg(test)]
mod tests;
