//! How sure the name is: the attribution repeated on the levels drawn again. The probability that a resource was the first is its share of the draws,
//! and intervals are those of the same draws.

use super::attribute::{Weighed, weigh};
use super::ladder::{Drawn, Place, place};
use super::onset::latency_knee;
use super::redraw::redraw;
use super::samples::Series;
use super::wall::{Demand, Unit, unsaturated};
use crate::record::summary::Level;
use crate::seed::{Purpose, Stream, stream};
use rand::RngExt as _;
use rand_distr::{Distribution as _, StandardNormal};
use std::collections::BTreeMap;

/// Times that the levels are drawn again: enough for a probability to the nearest percent or two, and for the ends of an interval of 95 %.
const DRAWS: usize = 200;
/// Any number will do; the same for all, so that an analysis can be repeated.
const SEED: u64 = 39;
/// Levels from which one is left out of each draw where loads are read off fits: how much the shape of a curve rests on one of them is part of
/// what is not known.
const LEVELS_TO_SPARE: usize = 6;

/// What the draws say together.
#[derive(Clone, Debug, Default)]
pub(super) struct Odds {
    /// That it was the first, by resource; what is missing to 1 is for something not observed.
    pub(super) first: BTreeMap<String, f64>,
    /// Loads at which a resource gives way, in the draws that tell.
    places: BTreeMap<String, Vec<f64>>,
    /// Latency knees.
    knees: Vec<f64>,
}

impl Odds {
    /// Where draws of these levels place a resource.
    pub(super) fn drawn(&self, name: &str, levels: &[Level]) -> Drawn {
        let at = self.places.get(name).cloned().unwrap_or_default();
        let levels = levels.iter().filter(|level| level.resources.contains_key(name)).count();
        Drawn { at, draws: DRAWS, levels }
    }

    pub(super) fn knees(&self, levels: &[Level]) -> Drawn {
        Drawn { at: self.knees.clone(), draws: DRAWS, levels: levels.len() }
    }
}

/// By how much a level lies off the line that the demand of a resource makes. That the line is no line is part of what is not known of a load ahead:
/// a draw has each of them on either side (the wild bootstrap of Liu, Annals of Statistics 16, 1988). A curve goes through its levels, and how it goes on is
/// drawn by its own error.
struct Misfit<'a> {
    name: &'a str,
    level: usize,
    used: f64,
}

fn misfits<'a>(levels: &[Level], name: &'a str, unit: &Unit) -> Vec<Misfit<'a>> {
    let free = unsaturated(levels, name);
    let Some(demand) = Demand::of(&free, name, unit) else { return Vec::new() };
    let off = |(place, level): (usize, &Level)| {
        let used = level.resources.get(name)?.used - demand.used_at(level);
        free.iter().any(|one| one.level == level.level).then_some(Misfit { name, level: place, used })
    };
    levels.iter().enumerate().filter_map(off).collect()
}

impl Misfit<'_> {
    fn apply(&self, levels: &mut [Level], random: &mut Stream) {
        let sign = if random.random::<bool>() { 1.0 } else { -1.0 };
        if let Some(resource) = levels[self.level].resources.get_mut(self.name) {
            resource.used = (resource.used + sign * self.used - self.used).max(0.0);
        }
    }
}

/// A place with what is not known of how a demand that moves goes on.
fn drawn_at(place: Place, random: &mut Stream) -> f64 {
    match place {
        Place::Ahead { at, moves: Some(moves), .. } => {
            let off: f64 = StandardNormal.sample(random);
            at * (moves.error * off).exp()
        }
        _ => place.at(),
    }
}

/// Repeats the attribution and the ladder; `names` are the resources of the ladder, `victims` those placed by their demand.
pub(super) fn odds(
    levels: &[Level],
    series: &[Vec<Series>],
    unit: &Unit,
    names: &[&str],
    victims: &[&str],
) -> Odds {
    let random = &mut stream(SEED, Purpose::Bootstrap, 0, 0);
    let mut odds = Odds::default();
    let misfits: Vec<Misfit<'_>> = names.iter().flat_map(|name| misfits(levels, name, unit)).collect();
    for _ in 0..DRAWS {
        let mut drawn = redraw(levels, series, random);
        if let Some(Weighed::Judged(judged) | Weighed::Refused(judged)) = weigh(&drawn, unit) {
            for (suspect, weight) in judged.causes.iter().filter(|(_, weight)| *weight > 0.0) {
                *odds.first.entry(suspect.name.to_owned()).or_default() += weight;
            }
        }
        for misfit in &misfits {
            misfit.apply(&mut drawn, random);
        }
        if drawn.len() >= LEVELS_TO_SPARE {
            drawn.remove(random.random_range(1..drawn.len()));
        }
        for name in names {
            if let Ok(place) = place(&drawn, name, unit, victims.contains(name)) {
                odds.places.entry((*name).to_owned()).or_default().push(drawn_at(place, random));
            }
        }
        if let Some(knee) = drawn.iter().find(|level| !level.good) {
            odds.knees.extend(latency_knee(&drawn, knee).map(|knee| knee.at));
        }
    }
    odds.first.values_mut().for_each(|weight| *weight = (*weight / DRAWS as f64).min(1.0));
    odds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::ladder::rung;
    use crate::analyze::testbed::{level, silent, unit_users};

    /// Eight levels of a processor whose demand rises by 0.6 of itself over them, read to half a percent; its limit is so many times what was used.
    #[test]
    fn an_interval_ahead_holds_where_a_demand_that_moves_fills_it() {
        let truth = |x: f64| x * 1e-3 * (1.0 + 0.6 * x / 480.0);
        for factor in [1.3, 2.0, 4.0] {
            let limit = factor * truth(480.0);
            let full = (480..4000).map(f64::from).find(|x| truth(*x) >= limit).unwrap();
            let holds = |id: u64| {
                let mut random = stream(7, Purpose::Bootstrap, 0, id);
                let levels: Vec<Level> = (1..=8)
                    .map(|k| {
                        let x = 60.0 * f64::from(k);
                        let off: f64 = StandardNormal.sample(&mut random);
                        let used = truth(x) * (1.0 + 0.005 * off);
                        level(x, 0.0, [("app.cpu", silent("cpu", used, limit))])
                    })
                    .collect();
                let unit = unit_users();
                let odds = odds(&levels, &vec![Vec::new(); 8], &unit, &["app.cpu"], &[]);
                let found = place(&levels, "app.cpu", &unit, false).map_err(str::to_owned);
                let [low, high] =
                    rung("app.cpu", "cpu", &unit, found, odds.drawn("app.cpu", &levels)).interval.unwrap();
                low <= full && full <= high
            };
            let held = (0..20).filter(|id| holds(*id)).count();
            assert!(held >= 18, "{factor}: {held} of 20");
        }
    }
}
