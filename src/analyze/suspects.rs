//! Who may have given way: resources that were full at the level that failed, or that requests demonstrably waited for, each with its share of the
//! added latency and with what speaks against it.

use super::levels::wait_per_request_s;
use super::onset::{Onset, onset};
use super::quiet::{Quiet, counted_error, free};
use super::saturate::{EXHAUSTED_MIN, names, saturated};
use super::wall::{Demand, Unit, unsaturated};
use crate::queueing::laws::demand_s;
use crate::record::summary::{Level, LevelResource};

/// Share of the added latency that a cause must explain.
pub const CAUSE_SHARE_MIN: f64 = 0.5;
/// Growth of the hold time from which a pool is the victim of what it guards, and up to which its own size binds.
pub const VICTIM_HOLD: f64 = 1.3;
pub const FLAT_HOLD: f64 = 1.15;
/// A pool whose throughput had reached this share of its best with at most half of its slots in use is not what limits it.
const EARLY_THROUGHPUT: f64 = 0.7;
/// Utilization below which work that waits for anything but a pool waits for somebody outside who keeps the machine busy.
const WAITED_FOR_MIN: f64 = 0.7;
/// Utilization from which a processor whose queue nobody counts may be what requests wait for before it is full.
const QUEUES_FROM: f64 = 0.6;
/// The same where no level shows that it is full in the end.
const NEARLY_FULL: f64 = 0.8;
/// Utilization that a queue is computed of at most: beyond, the formula is all rounding.
const RHO_MAX: f64 = 0.99;
/// Levels from this factor above the knee on show whether what queues there is full in the end.
const ABOVE: f64 = 1.2;
/// What was as good as full under the lowest load and is used no more by this factor later is busy with something else.
const GROWS_MIN: f64 = 1.1;
/// Growth of throughput past the load that fills a resource from which it is not what requests wait for.
const OUTGROWN_MIN: f64 = 1.15;
/// Standard errors of what a request took that chance does not exceed.
const DEMAND_ERRORS: f64 = 2.0;
/// Utilization at another level from which it matters that a resource tells nothing of the knee.
const UNTOLD_MIN: f64 = 0.5;
/// Standard errors of the hold that the growth of it must exceed where there is only one slot, and those that may hide a victim where there are more.
const SINGLE_ERRORS: f64 = 2.0;
const HIDING_ERRORS: f64 = 1.0;
/// How sure it is that the size of a pool binds whose hold is not known well enough to tell it from a victim's; likewise of what is full, where nothing
/// shows what it does.
const UNKNOWN_BINDS: f64 = 0.5;
/// Share of the added latency that is spent waiting for a victim from which it counts though it is not full.
const SUFFERED_MIN: f64 = 0.05;

/// One resource that was full at the knee, or that requests waited for.
#[derive(Clone, Debug)]
pub struct Suspect<'a> {
    pub name: &'a str,
    pub resource: &'a LevelResource,
    /// Saturated by the rule; otherwise its waits alone accuse it (a small pool queues long before it is full on average).
    pub full: bool,
    /// Of the added latency, 0..1.
    pub share: f64,
    /// The share is what measured waits leave over, ascribed to the only full resource that tells no waits.
    pub inferred: bool,
    /// Of what failed more than at the lowest level, what it refused; of one that refuses rather than making wait.
    pub refused: Option<f64>,
    /// What a visit holds of it at the knee, or a request takes of it, over what that was at quiet levels.
    pub growth: Option<f64>,
    /// Standard error of that, as a share of it.
    pub error: f64,
    /// Likewise what a request takes of it over all its visits.
    pub taken: Option<f64>,
    /// Most of the throughput was there while half of the slots were free: more slots are not what it lacks.
    pub idle_early: bool,
    /// Throughput went on growing past the load that fills it, and nobody waits for it.
    pub outgrown: bool,
    /// Nothing shows what it does to requests but that it is full.
    pub harmless: bool,
    pub onset: Option<Onset>,
}

impl<'a> Suspect<'a> {
    /// What speaks for and against it, but for being full; `share` as its own account has it.
    pub fn at(
        levels: &[Level],
        step: &Step<'_>,
        name: &'a str,
        resource: &'a LevelResource,
        share: Option<f64>,
    ) -> Self {
        let quiet = Quiet::of(levels, step.knee, name);
        // Nobody can stand in line inside a single slot, so what holds it longer must come from elsewhere: that is believed only as far as chance
        // does not make it.
        let growth = quiet.map(|quiet| quiet.growth(step.knee, resource));
        let error = quiet.map_or(0.0, |quiet| quiet.error);
        let doubt = if is_single(resource) { 1.0 + SINGLE_ERRORS * error } else { 1.0 };
        Self {
            name,
            resource,
            full: false,
            share: share.unwrap_or(f64::NAN),
            inferred: share.is_none(),
            refused: None,
            growth: growth.map(|growth| growth / doubt),
            error,
            taken: quiet.map(|quiet| quiet.taken(step.knee, resource)),
            idle_early: idle_early(levels, name, resource),
            outgrown: quiet.is_some_and(|quiet| is_outgrown(levels, step, name, resource, &quiet)),
            harmless: !harms(levels, step, resource),
            onset: None,
        }
    }

    /// Full, but on account of what it guards, or of what makes requests dearer.
    pub fn is_victim(&self) -> bool {
        self.idle_early || self.has_grown()
    }

    /// Whether its own hold times say so, which is the stronger reason.
    pub fn is_held_longer(&self) -> bool {
        self.resource.kind == "pool" && self.has_grown()
    }

    pub fn is_dearer(&self) -> bool {
        self.resource.kind != "pool" && self.has_grown()
    }

    /// A visit or a request takes so much more of it than at quiet levels that it is due to something else.
    pub fn has_grown(&self) -> bool {
        self.resource.kind != "memory" && self.growth.is_some_and(|growth| growth >= VICTIM_HOLD)
    }

    /// By how much longer requests hold it than at quiet levels, over all their visits, seconds.
    pub fn grown_s(&self, step: &Step<'_>) -> f64 {
        let taken = self.taken.unwrap_or(1.0).max(1.0);
        demand_s(self.resource.used, step.knee.throughput_per_s) * (1.0 - taken.recip())
    }

    /// Utilization by what requests took of it at quiet levels.
    pub fn lawful(&self) -> Option<f64> {
        Some(self.resource.utilization? / self.taken?)
    }

    /// How sure it is that its size binds: of a pool by the growth of its holds, 1 while that is flat, 0 for a victim. Nobody knows where no level was quiet,
    /// or where by its error it may be a victim all the same.
    pub fn binds(&self) -> f64 {
        match self.growth {
            _ if self.harmless => UNKNOWN_BINDS,
            _ if self.resource.kind != "pool" => 1.0,
            Some(growth) => {
                let flat = ((VICTIM_HOLD - growth) / (VICTIM_HOLD - FLAT_HOLD)).clamp(0.0, 1.0);
                let surely =
                    is_single(self.resource) || growth * (1.0 + HIDING_ERRORS * self.error) < VICTIM_HOLD;
                if surely { flat } else { flat.min(UNKNOWN_BINDS) }
            }
            None => UNKNOWN_BINDS,
        }
    }
}

fn is_single(resource: &LevelResource) -> bool {
    resource.kind == "pool" && resource.limit.is_some_and(|limit| limit <= 1.0)
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

impl<'a> Step<'a> {
    fn before(&self, name: &str) -> Option<(&'a Level, &'a LevelResource)> {
        let base = self.base?;
        Some((base, base.resources.get(name)?))
    }
}

/// Resources that were full or waited for at the knee.
pub fn suspects<'a>(levels: &'a [Level], unit: &Unit, step: &Step<'a>) -> Vec<Suspect<'a>> {
    let mut measured = 0.0;
    let mut suspects: Vec<Suspect<'a>> = Vec::new();
    let mut queueing = Vec::new();
    for (name, resource) in &step.knee.resources {
        let told = waited_share(step, name, resource);
        measured += told.unwrap_or(0.0);
        let utilization = resource.utilization.unwrap_or(0.0);
        let full = saturated(resource, step.knee, step.base) && !is_busy_anyhow(step, name, resource);
        let starved = resource.kind != "pool" && utilization < WAITED_FOR_MIN;
        // A number waiting that explains little may be no number of requests (a loop's lag, a run queue): only a clock of waits is held to its word.
        let unclocked = resource.wait_ms.is_none() && told.is_none_or(|share| share < CAUSE_SHARE_MIN);
        let mut suspect = Suspect::at(levels, step, name, resource, told);
        if suspect.outgrown {
            continue;
        }
        let suffers = match told {
            Some(share) => share >= SUFFERED_MIN && suspect.has_grown(),
            None => utilization >= NEARLY_FULL && suspect.is_held_longer(),
        };
        if full {
            suspect.full = true;
            suspect.onset = onset(levels, name, unit);
            suspects.push(suspect);
        } else if !starved && told.is_some_and(|share| share >= CAUSE_SHARE_MIN) || suffers {
            suspects.push(suspect);
        } else if unclocked && utilization >= QUEUES_FROM {
            suspect.inferred = true;
            suspect.share = queue_share(levels, unit, step, name, resource);
            queueing.push(suspect);
        }
    }
    let left = (1.0 - measured).max(0.0);
    // Who is full of what requests take, and tells of hardly any waiting, does not count all that wait for it.
    for suspect in suspects.iter_mut().filter(|suspect| suspect.full && suspect.resource.kind == "cpu") {
        let unclocked = suspect.resource.wait_ms.is_none() && suspect.share < CAUSE_SHARE_MIN;
        suspect.inferred |= unclocked && left >= CAUSE_SHARE_MIN;
    }
    // What no clock measured can be ascribed to a full resource without one, as far as there is just one; several share it.
    let silent = suspects.iter().filter(|suspect| suspect.inferred).count().max(1) as f64;
    for suspect in suspects.iter_mut().filter(|suspect| suspect.inferred) {
        suspect.share = left / silent;
    }
    if !suspects.iter().any(|suspect| suspect.full) {
        // What is waited before a victim may be due to it as well, as what is served behind that makes its holds longer.
        let held = suspects.iter().filter(|suspect| suspect.is_held_longer());
        let most = left + held.map(|suspect| suspect.share).sum::<f64>();
        queueing.retain(|suspect| suspect.share.min(most) >= CAUSE_SHARE_MIN);
        queueing.iter_mut().for_each(|suspect| suspect.share = suspect.share.min(left));
        suspects.append(&mut queueing);
    }
    suspects
}

/// Share of the added latency that requests spent waiting for it, by its own account.
fn waited_share(step: &Step<'_>, name: &str, resource: &LevelResource) -> Option<f64> {
    let wait_s = wait_per_request_s(step.knee, resource)?;
    let before_s = step.before(name).and_then(|(base, before)| wait_per_request_s(base, before));
    Some(((wait_s - before_s.unwrap_or(0.0)).max(0.0) / step.added_s).min(1.0))
}

/// Nobody waits for memory, so what it does to those who take longer shows elsewhere: it refuses, or what computes does more for each request (collections,
/// paging); else it may be full as caches are. Slots that refuse nobody, and of which nobody tells who waits, may be those of workers behind a queue.
fn harms(levels: &[Level], step: &Step<'_>, resource: &LevelResource) -> bool {
    let costs = |(name, station): (&String, &LevelResource)| {
        let used = station.utilization.is_some_and(|ratio| ratio >= UNTOLD_MIN);
        let quiet = Quiet::of(levels, step.knee, name).filter(|_| used && is_station(station));
        let least = |quiet: &Quiet| FLAT_HOLD * (1.0 + DEMAND_ERRORS * quiet.demand_error);
        quiet.is_some_and(|quiet| quiet.growth(step.knee, station) >= least(&quiet))
    };
    let shows = || match resource.kind.as_str() {
        "memory" => step.knee.resources.iter().any(costs),
        "pool" => wait_per_request_s(step.knee, resource).is_some(),
        _ => true,
    };
    resource.errors_per_s.is_some_and(|errors| errors > 0.0) || shows()
}

/// Full under the lowest load already, and not used more since: what keeps it busy is not what requests ask of it.
pub fn is_busy_anyhow(step: &Step<'_>, name: &str, resource: &LevelResource) -> bool {
    let Some((base, before)) = step.before(name) else { return false };
    let more_load = step.knee.throughput_per_s >= GROWS_MIN * base.throughput_per_s;
    let silent = wait_per_request_s(step.knee, resource).is_none();
    let full_before = before.utilization.is_some_and(|ratio| ratio >= EXHAUSTED_MIN);
    silent && more_load && full_before && resource.used < GROWS_MIN * before.used
}

/// At a level at which it was full it would be more than full by what requests took of it at quiet ones, and nothing waits for it that is told of:
/// fewer of them come to it than did, and those that do not come do not wait (workers behind a queue, a cache that fills itself).
fn is_outgrown(
    levels: &[Level],
    step: &Step<'_>,
    name: &str,
    resource: &LevelResource,
    quiet: &Quiet,
) -> bool {
    let waits = [resource.waiting, resource.wait_ms].iter().flatten().any(|wait| *wait > 0.0);
    let seen = levels.iter().filter(|level| level.level <= step.knee.level);
    let least = OUTGROWN_MIN * (1.0 + DEMAND_ERRORS * quiet.demand_error);
    let mut full = seen
        .filter_map(|level| Some((level, level.resources.get(name)?)))
        .filter(|(_, resource)| resource.utilization.is_some_and(|ratio| ratio >= EXHAUSTED_MIN));
    resource.kind != "memory"
        && !waits
        && full.any(|(level, resource)| quiet.taken(level, resource) * least <= 1.0)
}

/// The contradiction test: most of the throughput was already there while no more than half of the slots were ever in use.
fn idle_early(levels: &[Level], name: &str, at_knee: &LevelResource) -> bool {
    let Some(limit) = at_knee.limit.filter(|_| at_knee.kind == "pool") else { return false };
    let best = levels.iter().map(|level| level.throughput_per_s).fold(0.0, f64::max);
    levels.iter().any(|level| {
        let used = level.resources.get(name).map_or(f64::INFINITY, |resource| used_at_most(level, resource));
        used <= limit / 2.0 && level.throughput_per_s > EARLY_THROUGHPUT * best
    })
}

/// Slots in use, as far as readings of once a second tell: two of their standard errors above the mean.
fn used_at_most(level: &Level, resource: &LevelResource) -> f64 {
    let seconds = level.span_s[1] - level.span_s[0];
    resource.used * (1.0 + 2.0 * counted_error(resource.used * seconds, free(resource)))
}

/// Share of the added latency that a processor without a clock explains before it is full; 0 where levels further up tell that it never is.
fn queue_share(levels: &[Level], unit: &Unit, step: &Step<'_>, name: &str, resource: &LevelResource) -> f64 {
    let mut above = levels.iter().filter(|level| level.level >= ABOVE * step.knee.level).peekable();
    let is_full = |level: &Level| {
        level.resources.get(name).is_none_or(|resource| saturated(resource, level, step.base))
    };
    let depends = Demand::of(&unsaturated(levels, name), name, unit).is_some() || step.base.is_none();
    let fills = match above.peek() {
        Some(_) => above.any(is_full),
        None => resource.utilization.is_some_and(|ratio| ratio >= NEARLY_FULL),
    };
    if !depends || !fills {
        return 0.0;
    }
    predicted_share(step, name, resource)
}

/// Serves one after the other, be it a processor or a loop.
fn is_station(resource: &LevelResource) -> bool {
    matches!(resource.kind.as_str(), "cpu" | "queue")
}

/// Share of the added latency that queues at a processor by its utilization, exponential service: W = D·ρ^(√(2(m+1))−1)/(m(1−ρ)) a request
/// (Sakasegawa, Annals of the Institute of Statistical Mathematics 29, 1977).
fn predicted_share(step: &Step<'_>, name: &str, resource: &LevelResource) -> f64 {
    let Some(limit) = resource.limit.filter(|_| is_station(resource)) else { return 0.0 };
    let servers = limit.max(1.0);
    let queued_s = |level: &Level, resource: &LevelResource| {
        let utilization = (resource.used / limit).min(RHO_MAX);
        let exponent = (2.0 * (servers + 1.0)).sqrt() - 1.0;
        demand_s(resource.used, level.throughput_per_s) * utilization.powf(exponent)
            / (servers * (1.0 - utilization))
    };
    let before_s = step.before(name).map_or(0.0, |(base, before)| queued_s(base, before));
    (queued_s(step.knee, resource) - before_s).max(0.0) / step.added_s
}

/// What requests wait for at the knee: the share of each resource by its own account, of a processor without a clock by its utilization.
pub fn queues<'a>(step: &Step<'a>) -> Vec<(&'a str, f64)> {
    let share = |name: &'a String, resource: &LevelResource| {
        let told = waited_share(step, name, resource);
        match resource.wait_ms {
            Some(_) => told.unwrap_or(0.0),
            None => told.unwrap_or(0.0).max(predicted_share(step, name, resource).min(1.0)),
        }
    };
    step.knee.resources.iter().map(|(name, resource)| (name.as_str(), share(name, resource))).collect()
}

/// Resources without a clock whose demand fills them no later than `suspect` would be: before anything is full, a queue at one of them
/// may be what makes requests wait for the other.
pub fn sooner<'a>(
    levels: &'a [Level],
    unit: &Unit,
    step: &Step<'a>,
    suspect: &Suspect<'a>,
) -> Vec<Suspect<'a>> {
    let seen = step.knee.resources.iter().filter(|(name, resource)| {
        *name != suspect.name
            && resource.kind != "memory"
            && wait_per_request_s(step.knee, resource).is_none()
    });
    let is_sooner = |one: &Suspect<'_>| match (one.lawful(), suspect.lawful()) {
        (Some(law), Some(own)) => law * NEAR_LAW >= own,
        _ => wall(levels, unit, one.name)
            .is_some_and(|at| at <= NEAR_WALL * wall(levels, unit, suspect.name).unwrap_or(f64::INFINITY)),
    };
    seen.map(|(name, resource)| Suspect {
        share: (1.0 - suspect.share).max(0.0),
        ..Suspect::at(levels, step, name, resource, None)
    })
    .filter(|one| !one.is_victim() && !one.outgrown && is_sooner(one))
    .collect()
}

/// Walls closer than this factor are not told apart, nor are utilizations by law that are.
pub const NEAR_WALL: f64 = 1.05;
pub const NEAR_LAW: f64 = 1.08;

/// The load at which the demand of a resource, as seen where it was not saturated, fills it.
pub fn wall(levels: &[Level], unit: &Unit, name: &str) -> Option<f64> {
    Demand::of(&unsaturated(levels, name), name, unit)?.wall(levels.first()?, unit)
}

/// Resources that were more than half full at another level and tell nothing of this one: what they would have said nobody knows.
pub fn untold<'a>(levels: &'a [Level], knee: &Level) -> Vec<&'a str> {
    let matters = |name: &str| {
        let seen = || levels.iter().filter_map(|level| level.resources.get(name));
        seen().any(|resource| resource.utilization.is_none_or(|ratio| ratio >= UNTOLD_MIN))
    };
    names(levels).filter(|name| !knee.resources.contains_key(*name) && matters(name)).collect()
}
