//! The ladder of ceilings: for every resource that is observed, the load at which it gives way, as far as the run tells.

use super::onset::{Onset, onset};
use super::saturate::saturated;
use super::wall::{Demand, Unit, evidence_of, unsaturated};
use crate::fit::student::wider;
use crate::record::summary::{Level, Rung};
use crate::scenario::plan::LoadUnit;

/// Share of redraws that must place a resource for its interval to be theirs.
const PLACED_MIN: f64 = 0.5;
/// Degrees of freedom that are taken to be there at least: a single one would say nothing.
const FREE_MIN: f64 = 2.0;
/// What lies between the ends of an interval.
const CONFIDENCE: f64 = 0.95;
/// Standard errors on either side that this is.
const NORMAL: f64 = 1.96;

/// Where a resource gives way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// It was seen to.
    Seen(Onset),
    /// Its demand says so; `factor` times the most that was in use. Where what a request takes of it moves with the load, it tells how.
    Ahead { at: f64, factor: f64, moves: Option<Moves> },
}

/// How what a request takes moves with the load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moves {
    /// [`Curve::moved`](crate::fit::curve::Curve).
    pub by: f64,
    /// Standard error of the load, as a share, for how it may go on.
    pub error: f64,
}

impl Place {
    pub fn at(self) -> f64 {
        match self {
            Self::Seen(onset) => onset.at,
            Self::Ahead { at, .. } => at,
        }
    }
}

/// Where `name` gives way, or why that cannot be told. A `victim` is full on account of something else, so it is placed by its demand.
///
/// # Errors
/// The reason, as a clause.
pub fn place(levels: &[Level], name: &str, unit: &Unit, victim: bool) -> Result<Place, &'static str> {
    let seen = || levels.iter().filter_map(|level| level.resources.get(name));
    let (Some(base), true) = (levels.first(), seen().count() > 0) else {
        return Err("no reading lies in a level");
    };
    if seen().all(|resource| resource.limit.is_none()) {
        return Err("no limit is told");
    }
    let is_full = |level: &Level| {
        level.resources.get(name).is_some_and(|resource| saturated(resource, level, Some(base)))
    };
    if !victim && levels.iter().any(is_full) {
        return onset(levels, name, unit).map(Place::Seen).ok_or("it was full at the lowest level already");
    }
    let free = unsaturated(levels, name);
    if free.len() < 2 {
        return Err("too few levels: a demand takes two at which it was not full");
    }
    let demand = Demand::of(&free, name, unit).ok_or("its use does not depend on the load")?;
    let at = demand.wall(base, unit).ok_or("its use leaves no room without any load already")?;
    if free.last().is_some_and(|level| at < level.level) {
        return Err("the run went past the load that its demand would allow");
    }
    let factor = if victim {
        let most = levels.iter().map(|level| level.throughput_per_s).fold(0.0, f64::max);
        demand.filled_at() / most
    } else {
        demand.limit / seen().map(|resource| resource.used).fold(0.0, f64::max)
    };
    let moves = demand.curve.map(|curve| Moves { by: curve.moved, error: curve.error_at(demand.limit) });
    Ok(Place::Ahead { at, factor, moves })
}

/// Places of one resource in the levels drawn again.
#[derive(Clone, Debug, Default)]
pub struct Drawn {
    /// Of the draws that tell.
    pub at: Vec<f64>,
    pub draws: usize,
    /// Levels that tell of the resource.
    pub levels: usize,
}

impl Drawn {
    fn tells(&self) -> bool {
        self.at.len() as f64 >= PLACED_MIN * self.draws as f64 && !self.at.is_empty()
    }

    /// The middle 95 % of the draws, and `at` in any case; wider where few levels tell how much they scatter, two of them for the line itself.
    pub fn interval(mut self, at: f64) -> [f64; 2] {
        self.at.sort_by(f64::total_cmp);
        let wider = wider((self.levels as f64 - 2.0).max(FREE_MIN));
        let end = |share: f64| {
            let place = (self.at.len().saturating_sub(1) as f64 * share).round() as usize;
            at + wider * (self.at.get(place).copied().unwrap_or(at) - at)
        };
        let outside = (1.0 - CONFIDENCE) / 2.0;
        [end(outside).clamp(0.0, at), end(1.0 - outside).max(at)]
    }
}

/// What is published of a resource: its place, with the interval of those that redraws of the levels gave it.
pub fn rung(name: &str, kind: &str, unit: &Unit, place: Result<Place, String>, drawn: Drawn) -> Rung {
    let mut rung = Rung {
        resource: name.to_owned(),
        kind: kind.to_owned(),
        of: match unit.of {
            LoadUnit::Users => "users".to_owned(),
            LoadUnit::RatePerS => "rate".to_owned(),
        },
        at: None,
        interval: None,
        confidence: None,
        evidence: None,
        factor: None,
        demand_moved: None,
        reason: None,
    };
    let tells = drawn.tells();
    match place {
        Err(reason) => rung.reason = Some(reason),
        Ok(Place::Ahead { .. }) if !tells => {
            rung.reason = Some("its readings scatter too much to tell".to_owned())
        }
        Ok(place) => {
            let ends = tells.then(|| drawn.interval(place.at()));
            let measured = || Some("measured".to_owned());
            rung.at = Some(place.at());
            (rung.interval, rung.confidence, rung.evidence, rung.factor) = match place {
                Place::Seen(Onset { bracket, fitted: false, .. }) => (Some(bracket), None, measured(), None),
                Place::Seen(onset) => {
                    let ends = ends.map(|ends| counted(onset, ends));
                    (ends, ends.map(|_| CONFIDENCE), measured(), None)
                }
                Place::Ahead { factor, moves, .. } => {
                    rung.demand_moved = moves.map(|moves| moves.by);
                    let class = evidence_of(moves.is_some(), factor).to_owned();
                    (ends, ends.map(|_| CONFIDENCE), Some(class), Some(factor))
                }
            };
        }
    }
    rung
}

/// The ends of redraws, wider by the error of what was counted.
fn counted(onset: Onset, [low, high]: [f64; 2]) -> [f64; 2] {
    let error = NORMAL * onset.error * onset.at;
    [(onset.at - error.hypot(onset.at - low)).max(0.0), onset.at + error.hypot(high - onset.at)]
}

/// Soonest first, those without an answer last, in order of name.
pub fn sort(ladder: &mut [Rung]) {
    ladder.sort_by(|a, b| {
        let at = |rung: &Rung| rung.at.unwrap_or(f64::INFINITY);
        at(a).total_cmp(&at(b)).then_with(|| a.resource.cmp(&b.resource))
    });
}

#[cfg(test)]
mod tests;
