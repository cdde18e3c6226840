//! From the weights of the evidence to the published answer: a name where one resource is the first in four of five draws, else the set, else
//! that nothing observed explains it; and the ladder of all resources beside it.

use super::attribute::{FOUND_MIN, Judged, Weighed, weigh};
use super::explain;
use super::ladder::{Drawn, Place, place, rung, sort};
use super::odds::{Odds, odds};
use super::onset::latency_knee;
use super::samples::Series;
use super::suspects::Suspect;
use super::wall::Unit;
use crate::record::summary::{Bottleneck, BottleneckStatus, Candidate, Level, NextWall, Rung};
use std::collections::BTreeMap;

/// Probability from which a resource is named rather than the set it belongs to.
pub const NAMED_MIN: f64 = 0.8;
/// Probability below which a resource is no candidate.
const CANDIDATE_MIN: f64 = 0.05;

/// What the attribution is made of: levels in order of load and the readings of each, of those that are believed; and the resources that are not, with the reason.
#[derive(Clone, Debug, Default)]
pub struct Believed {
    pub levels: Vec<Level>,
    pub(super) series: Vec<Vec<Series>>,
    /// Resources that no answer rests on, by name: kind and reason.
    pub left_out: BTreeMap<String, (String, String)>,
    /// Resources whose demand does not hold, so that no wall is predicted: reason.
    pub unpredicted: BTreeMap<String, String>,
    /// Levels that failed, but contradict themselves.
    pub blurred: Vec<f64>,
    /// There are readings, but none lies in a level.
    pub elsewhere: bool,
}

/// The bottleneck, `None` without levels, and the ladder.
pub fn verdict(believed: &Believed, unit: &Unit) -> (Option<Bottleneck>, Vec<Rung>) {
    let levels = &believed.levels;
    let weighed = weigh(levels, unit);
    let victims: Vec<&str> = match &weighed {
        Some(Weighed::Judged(judged)) => judged.victims.iter().map(|victim| victim.name).collect(),
        _ => Vec::new(),
    };
    let kinds: BTreeMap<&str, &str> = levels
        .iter()
        .flat_map(|level| {
            level.resources.iter().map(|(name, resource)| (name.as_str(), resource.kind.as_str()))
        })
        .collect();
    let names: Vec<&str> = kinds.keys().copied().collect();
    let odds = odds(levels, &believed.series, unit, &names, &victims);
    let mut ladder: Vec<Rung> = kinds
        .iter()
        .map(|(name, kind)| {
            let mut found = place(levels, name, unit, victims.contains(name)).map_err(str::to_owned);
            if let (Ok(place), Some(why)) = (&found, believed.unpredicted.get(*name))
                && matches!(place, Place::Ahead { .. })
            {
                found = Err(why.clone());
            }
            rung(name, kind, unit, found, odds.drawn(name, levels))
        })
        .collect();
    for (name, (kind, reason)) in &believed.left_out {
        ladder.push(rung(name, kind, unit, Err(reason.clone()), Drawn::default()));
    }
    sort(&mut ladder);
    let bottleneck =
        weighed.map(|weighed| Verdict { believed, unit, odds: &odds, ladder: &ladder }.bottleneck(&weighed));
    (bottleneck, ladder)
}

/// Builder of the published form.
struct Verdict<'a> {
    believed: &'a Believed,
    unit: &'a Unit,
    odds: &'a Odds,
    ladder: &'a [Rung],
}

impl Verdict<'_> {
    fn bottleneck(&self, weighed: &Weighed<'_>) -> Bottleneck {
        let (levels, unit) = (&self.believed.levels, self.unit);
        let judged = match weighed {
            Weighed::AllGood if !self.believed.blurred.is_empty() => {
                return self.unknown(None, explain::blurred(&self.believed.blurred, unit));
            }
            Weighed::AllGood => return self.nothing(explain::all_good(levels, unit)),
            Weighed::NoGrowth { step, failing: true } => {
                return self.unknown(None, explain::no_growth(step, true, unit));
            }
            Weighed::NoGrowth { step, failing: false } => {
                return self.nothing(explain::no_growth(step, false, unit));
            }
            Weighed::Refused(judged) | Weighed::Judged(judged) => judged,
        };
        let refused = matches!(weighed, Weighed::Refused(_));
        let likely = |suspect: &Suspect<'_>| self.likely(judged, suspect.name);
        let best = judged.causes.iter().max_by(|a, b| likely(&a.0).total_cmp(&likely(&b.0)));
        let mut found = match best {
            Some((suspect, _)) if likely(suspect) >= NAMED_MIN => {
                self.named(judged, suspect, likely(suspect))
            }
            Some(_) if self.found(judged).min(judged.found()) >= FOUND_MIN && judged.untold.is_empty() => {
                self.set(judged)
            }
            _ if refused => self.unknown(None, explain::no_growth(&judged.step, true, unit)),
            _ => self.unexplained(judged),
        };
        if refused {
            return found;
        }
        let knee = latency_knee(levels, judged.step.knee);
        found.latency_knee = knee.map(|knee| knee.at);
        found.latency_knee_interval =
            knee.map(|knee| knee.interval(self.odds.knees(levels).interval(knee.at)));
        found
    }

    /// That it was the first: its share of the draws, and no more than its readings can say.
    fn likely(&self, judged: &Judged<'_>, name: &str) -> f64 {
        let drawn = self.odds.first.get(name).copied().unwrap_or(0.0);
        self.readings(judged, name).map_or(drawn, |readings| drawn.min(told_by(readings)))
    }

    /// That it was one of those observed.
    fn found(&self, judged: &Judged<'_>) -> f64 {
        self.odds.first.keys().map(|name| self.likely(judged, name)).sum()
    }

    /// Readings of a resource at the level that decides, where there are any to draw.
    fn readings(&self, judged: &Judged<'_>, name: &str) -> Option<usize> {
        let Believed { levels, series, .. } = self.believed;
        let told = levels.iter().zip(series).filter(|(level, _)| judged.decides(level));
        let counts =
            told.filter_map(|(_, series)| Some(series.iter().find(|one| one.name == name)?.samples.len()));
        counts.reduce(|all, count| all + count)
    }

    /// The resource that would be named if more readings told of it, and how many do.
    fn thin(&self, judged: &Judged<'_>) -> Option<(&str, usize)> {
        let (name, _) = self.odds.first.iter().find(|(_, drawn)| **drawn >= NAMED_MIN)?;
        let readings = self.readings(judged, name)?;
        (told_by(readings) < NAMED_MIN).then_some((name, readings))
    }

    fn nothing(&self, explanation: String) -> Bottleneck {
        Bottleneck { next: self.next(&[]), ..Bottleneck::none(explanation) }
    }

    fn unknown(&self, share: Option<f64>, explanation: String) -> Bottleneck {
        Bottleneck {
            status: BottleneckStatus::Uninstrumented,
            share_of_added_latency: share,
            ..self.nothing(explanation)
        }
    }

    fn unexplained(&self, judged: &Judged<'_>) -> Bottleneck {
        let (unit, step) = (self.unit, &judged.step);
        let causes: Vec<&Suspect<'_>> = judged.causes.iter().map(|(suspect, _)| suspect).collect();
        let text = if self.believed.elsewhere {
            explain::elsewhere(step, unit)
        } else if !judged.untold.is_empty() {
            explain::untold(&causes, &judged.untold, step, unit)
        } else if !self.believed.left_out.is_empty()
            && self.believed.levels.iter().all(|level| level.resources.is_empty())
        {
            explain::all_left_out(self.believed.left_out.keys(), step, unit)
        } else if let Some((name, readings)) = self.thin(judged) {
            format!("cannot tell: {}", explain::thin(name, readings, step, unit))
        } else if judged.found() >= FOUND_MIN {
            explain::unsteady(&causes, self.found(judged), step, unit)
        } else {
            match judged.victims.iter().find(|victim| victim.full) {
                Some(victim) => explain::victim_alone(victim, step, unit),
                None => explain::unexplained(&self.believed.levels, &causes, step, unit),
            }
        };
        let suffered: f64 = judged.victims.iter().map(|victim| victim.share).sum();
        let share = (judged.explained + suffered > 0.0).then_some(judged.explained);
        self.unknown(share, text)
    }

    fn named(&self, judged: &Judged<'_>, suspect: &Suspect<'_>, probability: f64) -> Bottleneck {
        let rung = self.ladder.iter().find(|rung| rung.resource == suspect.name && rung.factor.is_none());
        let next = self.next(&[suspect.name]);
        let text = explain::named(
            suspect,
            &judged.victims,
            &judged.step,
            self.unit,
            probability,
            rung,
            next.first(),
        );
        Bottleneck {
            status: BottleneckStatus::Named,
            resource: Some(suspect.name.to_owned()),
            kind: Some(suspect.resource.kind.clone()),
            used: Some(suspect.resource.used),
            limit: suspect.resource.limit,
            waiting: suspect.resource.waiting,
            onset: rung.and_then(|rung| rung.at),
            onset_interval: rung.and_then(|rung| rung.interval),
            share_of_added_latency: told(suspect.share),
            share_of_failures: suspect.refused,
            probability: Some(probability),
            candidates: self.candidates(judged),
            next,
            ..self.nothing(text)
        }
    }

    fn set(&self, judged: &Judged<'_>) -> Bottleneck {
        let set: Vec<&Suspect<'_>> = judged
            .causes
            .iter()
            .map(|(suspect, _)| suspect)
            .filter(|one| self.likely(judged, one.name) >= CANDIDATE_MIN)
            .collect();
        let names: Vec<&str> = set.iter().map(|suspect| suspect.name).collect();
        let together: f64 = set.iter().map(|suspect| suspect.share).sum();
        let mut text = explain::set(&set, self.found(judged), &judged.step, self.unit);
        if let Some((name, readings)) = self.thin(judged) {
            text += &format!(" As it is, {}", explain::thin(name, readings, &judged.step, self.unit));
        }
        Bottleneck {
            status: BottleneckStatus::Set,
            candidates: self.candidates(judged),
            share_of_added_latency: told(together).map(|share| share.min(1.0)),
            next: self.next(&names),
            ..self.nothing(text)
        }
    }

    /// All that may have been the first, likeliest first.
    fn candidates(&self, judged: &Judged<'_>) -> Vec<Candidate> {
        let share = |name: &str| {
            judged
                .causes
                .iter()
                .find(|(suspect, _)| suspect.name == name)
                .and_then(|(suspect, _)| told(suspect.share))
        };
        let mut candidates: Vec<Candidate> = self
            .odds
            .first
            .keys()
            .map(|name| (name, self.likely(judged, name)))
            .filter(|(_, probability)| *probability >= CANDIDATE_MIN)
            .map(|(name, probability)| Candidate {
                resource: name.clone(),
                probability: Some(probability),
                share_of_added_latency: share(name),
            })
            .collect();
        candidates.sort_by(|a, b| b.probability.unwrap_or(0.0).total_cmp(&a.probability.unwrap_or(0.0)));
        candidates
    }

    /// Rungs of the ladder but those of `except`: what follows once that is widened.
    fn next(&self, except: &[&str]) -> Vec<NextWall> {
        let from = self.ladder.iter().filter(|rung| except.contains(&rung.resource.as_str()));
        let given_way =
            from.filter_map(|rung| rung.interval).map(|[low, _]| low).fold(f64::INFINITY, f64::min);
        let ahead = |rung: &&Rung| {
            !except.contains(&rung.resource.as_str())
                && rung.at.is_some_and(|at| given_way.is_infinite() || at >= given_way)
        };
        let wall = |rung: &Rung| {
            Some(NextWall {
                resource: rung.resource.clone(),
                at: rung.at?,
                extrapolated: rung.factor.unwrap_or(1.0),
                evidence: rung.evidence.clone()?,
            })
        };
        self.ladder.iter().filter(ahead).filter_map(wall).collect()
    }
}

/// What `readings` of a level can say at most, however well they agree: one of them may be chance. So five are the fewest that name anybody
/// ([`NAMED_MIN`]), and a single one says nothing.
fn told_by(readings: usize) -> f64 {
    1.0 - (readings.max(1) as f64).recip()
}

/// A share, unless it is one of failures.
fn told(share: f64) -> Option<f64> {
    Some(share).filter(|share| share.is_finite())
}

#[cfg(test)]
mod tests;
