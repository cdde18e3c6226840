//! What gave way first. The evidence is, in this order: where the added time was spent waiting, what was full at which load, and whether a
//! pool's slots were merely held longer by something behind it. Correlation with load is worth nothing, because everything rises with
//! load, and so is the text of an error.

use super::quiet::Quiet;
use super::refusals::{FAILING_MIN, added_error_ratio, exhausted, is_slower, refusals};
use super::saturate::EXHAUSTED_MIN;
use super::suspects::{
    CAUSE_SHARE_MIN, NEAR_LAW, NEAR_WALL, Step, Suspect, queues, sooner, suspects, untold, wall,
};
use super::wall::Unit;
use crate::record::summary::{Level, LevelResource};

/// Share from which another resource is a cause beside the first.
const RIVAL_SHARE_MIN: f64 = 0.25;
/// A level stands in for the first bad one, when that is blurred, if one cause then explains this much.
const CLEAR_SHARE: f64 = 0.8;
/// Utilization below which what serves is not what makes requests wait for it.
const USED_MIN: f64 = 0.5;
/// Share of errors, unless the first bad level has more, above which a level does not stand in for it.
const BENT: f64 = 0.05;
/// Levels below the knee from which on they tell what a request takes.
const ORDERED_MIN: usize = 2;
/// Share of what a full resource lets pass that is let pass at some level.
const REACHED_MIN: f64 = 0.8;
/// Weight in all without which nothing is said to have been found.
pub const FOUND_MIN: f64 = 0.5;
/// Growth of the mean response time (as a share, and in seconds) below which there is nothing to attribute.
const GROWTH_MIN: f64 = 0.02;
const GROWTH_MIN_S: f64 = 50e-6;

/// Failures, as a share of the requests, from which it is by them that a level fails which hardly takes longer: a p99 bears no more. Fewer, from
/// [`FAILING_MIN`] on, tell that something refuses, and not that it is why the level failed.
const FAILING: f64 = 0.01;

/// What some levels say of who gave way first.
#[derive(Clone, Debug)]
pub enum Weighed<'a> {
    /// No level failed.
    AllGood,
    /// One failed, but requests did not take longer; whether more of them failed.
    NoGrowth {
        step: Step<'a>,
        failing: bool,
    },
    /// Requests did not take longer, but failed, and what refused them is known.
    Refused(Judged<'a>),
    Judged(Judged<'a>),
}

#[derive(Clone, Debug)]
pub struct Judged<'a> {
    pub step: Step<'a>,
    /// Each with how much speaks for its having been the first, 0..1 and 1 in all at most; what is left is for something not observed. The
    /// one that explains most comes first.
    pub causes: Vec<(Suspect<'a>, f64)>,
    pub victims: Vec<Suspect<'a>>,
    /// Of the added latency, that of all causes together.
    pub explained: f64,
    /// What told nothing at the knee, where that leaves who is full by elimination only.
    pub untold: Vec<&'a str>,
    /// Levels from this one up to the knee are what it rests on.
    pub from: f64,
}

impl<'a> Judged<'a> {
    fn refused(step: Step<'a>, from: f64, causes: Vec<(Suspect<'a>, f64)>) -> Self {
        Self { step, causes, victims: Vec::new(), explained: 0.0, untold: Vec::new(), from }
    }
}

impl Judged<'_> {
    /// Whether what is said rests on this level.
    pub fn decides(&self, level: &Level) -> bool {
        (self.from..=self.step.knee.level).contains(&level.level)
    }

    /// What all causes have together.
    pub fn found(&self) -> f64 {
        self.causes.iter().map(|(_, weight)| weight).sum()
    }

    /// Nothing shows what it does but that it is full.
    fn is_harmless(&self) -> bool {
        self.causes.iter().filter(|(_, weight)| *weight > 0.0).all(|(suspect, _)| suspect.harmless)
    }

    /// The one that nearly all weight is on.
    fn leader(&self) -> Option<&Suspect<'_>> {
        self.causes.iter().find(|(_, weight)| *weight >= CLEAR_SHARE).map(|(suspect, _)| suspect)
    }
}

/// Weighs who gave way first; `levels` in order of load, those and their resources that are believed. `None` without levels.
pub fn weigh<'a>(levels: &'a [Level], unit: &Unit) -> Option<Weighed<'a>> {
    let lowest = levels.first()?;
    let Some(knee) = levels.iter().find(|level| !level.good) else { return Some(Weighed::AllGood) };
    let at_knee = step(lowest, knee);
    let first = weigh_at(levels, at_knee, unit);
    let unknown = match &first {
        Weighed::Judged(judged) => judged.found() < FOUND_MIN || judged.is_harmless(),
        Weighed::NoGrowth { failing, .. } => *failing,
        Weighed::AllGood | Weighed::Refused(_) => false,
    };
    if !unknown {
        return Some(first);
    }
    let exhausted = exhausted(levels, &at_knee, unit);
    if !exhausted.is_empty() {
        return Some(Weighed::Refused(Judged::refused(at_knee, lowest.level, exhausted)));
    }
    if matches!(first, Weighed::NoGrowth { .. }) {
        return Some(first);
    }
    // A moment in which something else took the machine can blur one level. Those above tell of the same wall, if it was seen at the knee already; else
    // whatever gives way second would be blamed. Where many fail, retries and time-outs fill what was not full.
    let whole = |level: &&Level| level.error_ratio <= BENT.max(knee.error_ratio);
    let mut above = levels.iter().filter(|level| !level.good && level.level > knee.level).filter(whole);
    let clear = |level| Some(weigh_at(levels, step(lowest, level), unit)).filter(Weighed::is_clear);
    Some(above.find_map(clear).filter(|found| foreshadowed(&first, found)).unwrap_or(first))
}

/// Goals may fail before anything is full, or while something else has the machine. What is full further up was the first to give way if it is also what
/// most was waited for at the knee, and all that was waited for there explains what was added. Who waits there for what is hardly used waits for somebody
/// outside.
fn foreshadowed(first: &Weighed<'_>, found: &Weighed<'_>) -> bool {
    let (Weighed::Judged(first), Weighed::Judged(found)) = (first, found) else { return false };
    let Some(leader) = found.leader() else { return false };
    let queues = queues(&first.step);
    let is_used = |name: &str| {
        let resource = &first.step.knee.resources[name];
        resource.kind == "pool" || resource.utilization.is_some_and(|ratio| ratio >= USED_MIN)
    };
    let most = queues.iter().filter(|(name, _)| is_used(name)).max_by(|a, b| a.1.total_cmp(&b.1));
    let together: f64 = queues.iter().map(|(_, share)| share).sum();
    most.is_some_and(|(name, _)| *name == leader.name) && together >= CAUSE_SHARE_MIN
}

impl Weighed<'_> {
    fn is_clear(&self) -> bool {
        let Self::Judged(judged) = self else { return false };
        judged.leader().is_some_and(|leader| leader.share >= CLEAR_SHARE)
    }
}

fn step<'a>(lowest: &'a Level, knee: &'a Level) -> Step<'a> {
    let base = Some(lowest).filter(|lowest| lowest.level < knee.level);
    let added_s = (knee.response_ms.mean - base.map_or(0.0, |base| base.response_ms.mean)) / 1e3;
    Step { base, knee, added_s }
}

fn weigh_at<'a>(levels: &'a [Level], step: Step<'a>, unit: &Unit) -> Weighed<'a> {
    let Step { base, added_s, .. } = step;
    let refused = refusals(levels, &step, unit);
    if !refused.is_empty() {
        return Weighed::Refused(Judged::refused(step, step.knee.level, refused));
    }
    let least_s = base.map_or(0.0, |base| (base.response_ms.mean / 1e3 * GROWTH_MIN).max(GROWTH_MIN_S));
    let failing = added_error_ratio(&step);
    if added_s <= least_s || failing >= FAILING && !is_slower(&step) {
        return Weighed::NoGrowth { step, failing: failing > FAILING_MIN };
    }
    Weighed::Judged(judge(levels, unit, step))
}

fn judge<'a>(levels: &'a [Level], unit: &Unit, step: Step<'a>) -> Judged<'a> {
    let (victims, mut causes): (Vec<_>, Vec<_>) =
        suspects(levels, unit, &step).into_iter().partition(Suspect::is_victim);
    // Time spent waiting for a victim is caused by what holds its slots; where its holds have not grown, nobody does.
    let grown = || victims.iter().filter(|victim| victim.has_grown());
    let waited: f64 = grown().map(|victim| victim.share).sum();
    for cause in &mut causes {
        // What tells of its waits holds them only as far as these, and those for other victims, are what holds have grown by.
        let holds = |victim: &&Suspect<'_>| {
            let others = cause.share + waited - victim.share;
            cause.inferred || others * step.added_s >= CAUSE_SHARE_MIN * victim.grown_s(&step)
        };
        let suffered: f64 = grown().filter(holds).map(|victim| victim.share).sum();
        cause.share = (cause.share + suffered).min(1.0);
    }
    causes.sort_by(|a, b| b.share.total_cmp(&a.share));
    let explained: f64 = causes.iter().map(|cause| cause.share).sum();
    let mut judged =
        Judged { step, causes: Vec::new(), victims, explained, untold: Vec::new(), from: step.knee.level };
    let Some(leader) = causes.first().filter(|_| explained >= CAUSE_SHARE_MIN) else {
        judged.causes = causes.into_iter().map(|cause| (cause, 0.0)).collect();
        return judged;
    };
    let hidden = if leader.full { Vec::new() } else { sooner(levels, unit, &step, leader) };
    let (kept, others): (Vec<_>, Vec<_>) =
        causes[1..].iter().cloned().partition(|rival| is_rival(leader, rival));
    let mut contenders = vec![leader.clone()];
    contenders.extend(kept);
    contenders.extend(hidden.into_iter().filter(|one| causes.iter().all(|cause| cause.name != one.name)));
    let mut weights = weights(levels, unit, &contenders);
    // Where no two levels below tell what a request takes, and not only the leader is full, nobody knows who was the first.
    let is_victim = |name: &str| judged.victims.iter().any(|victim| victim.name == name);
    let is_other = |(name, resource): (&String, &LevelResource)| {
        let full = resource.utilization.is_some_and(|ratio| ratio >= EXHAUSTED_MIN);
        *name != leader.name && full && !is_victim(name)
    };
    let below = levels.iter().filter(|level| level.level < step.knee.level).count();
    let is_unordered = below < ORDERED_MIN && step.knee.resources.iter().any(is_other);
    if is_unordered || leader.full && is_never_reached(levels, &step, leader) {
        weights.iter_mut().for_each(|weight| *weight *= FOUND_MIN);
    }
    let harmless =
        contenders.iter().zip(&mut weights).filter(|(one, _)| one.harmless && contenders.len() > 1);
    harmless.for_each(|(one, weight)| *weight *= one.binds());
    if contenders.iter().all(|one| one.inferred) {
        judged.untold = untold(levels, step.knee);
        let silent = 1.0 + judged.untold.len() as f64;
        weights.iter_mut().for_each(|weight| *weight /= silent);
    }
    judged.causes = contenders.into_iter().zip(weights).collect();
    judged.causes.extend(others.into_iter().map(|other| (other, 0.0)));
    judged
}

/// The contradiction test of who is full: at no level did so many requests succeed as it lets pass by what they took of it at quiet ones. What fills it is
/// work that comes to nothing, and something else lets no more through.
fn is_never_reached(levels: &[Level], step: &Step<'_>, leader: &Suspect<'_>) -> bool {
    let Some(quiet) = Quiet::of(levels, step.knee, leader.name) else { return false };
    let reached = |level: &Level| {
        let resource = level.resources.get(leader.name)?;
        Some(resource.utilization? / quiet.taken(level, resource) * (1.0 - level.error_ratio))
    };
    let most = levels.iter().filter_map(reached).fold(0.0, f64::max);
    leader.resource.kind != "memory" && most * (1.0 + quiet.error.max(quiet.demand_error)) < REACHED_MIN
}

/// Whether it may have been the first instead of `leader`: its share says so, or it has no clock and may be what holds the slots of the leader.
fn is_rival(leader: &Suspect<'_>, rival: &Suspect<'_>) -> bool {
    if let (Some(first), Some(second)) = (leader.lawful(), rival.lawful()) {
        return second * NEAR_LAW >= first
            && (rival.full || rival.inferred || rival.share >= RIVAL_SHARE_MIN);
    }
    let later = match (leader.onset, rival.onset) {
        (Some(first), Some(second)) => second.at > first.bracket[1],
        _ => false,
    };
    !later && (rival.share >= RIVAL_SHARE_MIN || rival.inferred)
}

/// How much speaks for each of them, 1 in all at most; the first explains most.
fn weights(levels: &[Level], unit: &Unit, contenders: &[Suspect<'_>]) -> Vec<f64> {
    if let [alone] = contenders {
        return vec![if alone.share >= CAUSE_SHARE_MIN { alone.binds() } else { alone.share }];
    }
    if let Some(weights) = by_law(contenders) {
        return weights;
    }
    // What a full memory makes dearer is full as well, and where nothing tells what it was before, either may have been the first.
    let unknown = |one: &Suspect<'_>| one.taken.is_none() && one.resource.kind != "memory";
    if contenders.iter().any(|one| one.resource.kind == "memory") && contenders.iter().any(unknown) {
        return normalized(vec![1.0; contenders.len()]);
    }
    let silent = contenders.iter().filter(|one| one.inferred).count();
    if silent == 0 {
        return normalized(contenders.iter().map(|one| one.share).collect());
    }
    match by_demand(levels, unit, contenders) {
        Some(weights) => weights,
        // A pool whose slots are held as long as before binds, one whose slots are held a little longer in part; the rest is due to what has no clock.
        None => {
            let measured = || contenders.iter().filter(|one| !one.inferred);
            let bound = measured().map(Suspect::binds).fold(0.0, f64::max);
            let of = |one: &Suspect<'_>| match one.inferred {
                true => (1.0 - bound) / silent as f64,
                false => bound * one.share / measured().map(|one| one.share).sum::<f64>(),
            };
            contenders.iter().map(of).collect()
        }
    }
}

/// By what requests would have filled first had each gone on to take of it what it took at quiet levels; `None` where that is not told of all.
fn by_law(contenders: &[Suspect<'_>]) -> Option<Vec<f64>> {
    let laws: Vec<f64> = contenders.iter().map(|one| one.lawful().map(f64::recip)).collect::<Option<_>>()?;
    Some(sooner_first(contenders, &laws, NEAR_LAW))
}

/// By the loads at which their demands fill them; `None` where a demand is not told.
fn by_demand(levels: &[Level], unit: &Unit, contenders: &[Suspect<'_>]) -> Option<Vec<f64>> {
    let walls: Vec<f64> = contenders.iter().map(|one| wall(levels, unit, one.name)).collect::<Option<_>>()?;
    Some(sooner_first(contenders, &walls, NEAR_WALL))
}

/// All the weight for the one that gives way at the least load, shared by those that are as near. What requests wait for most is not acquitted by
/// that while nothing is full: then they are not told apart.
fn sooner_first(contenders: &[Suspect<'_>], loads: &[f64], near: f64) -> Vec<f64> {
    let first = loads.iter().copied().fold(f64::INFINITY, f64::min);
    let weight = |(place, load): (usize, &f64)| {
        let waited_for = place == 0 && !contenders[place].full;
        if waited_for || *load <= near * first { 1.0 } else { 0.0 }
    };
    normalized(loads.iter().enumerate().map(weight).collect())
}

fn normalized(weights: Vec<f64>) -> Vec<f64> {
    let all: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / all.max(f64::MIN_POSITIVE)).collect()
}
