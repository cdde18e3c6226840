//! The sentences of a prediction.

use super::system::{Resource, System};
use super::{Against, Doubt, Ladder};
use crate::analyze::explain::{figure, load as exactly, percent};
use crate::analyze::wall::Unit;
use crate::fit::evidence::EXTRAPOLATED;
use crate::record::what_if::{Observed, WhatIf};
use crate::units::three_figures;

/// Slots beyond what is of use by this factor are worth a word.
const TOO_MANY: f64 = 1.1;
/// Gain below which a change does nothing that a search could see.
const NO_GAIN: f64 = 1.03;

fn load(at: f64, unit: &Unit) -> String {
    exactly(three_figures(at), unit)
}

pub(super) fn explanation(ladder: &Ladder<'_>, what_if: &WhatIf, measured: f64, doubt: &Doubt<'_>) -> String {
    let unit = &ladder.system.unit;
    let line = &what_if.load_line;
    let mut text = format!(
        "The load line would be at {}, between {} and {} with {} confidence",
        load(line.typical, unit),
        load(line.interval[0], unit),
        load(line.interval[1], unit),
        percent(line.confidence)
    );
    if is_no_gain(what_if.gain) {
        text += &format!(": no gain over the {} that were measured", load(measured, unit));
    } else {
        text += &format!(", {}x the {} that were measured", figure(what_if.gain), load(measured, unit));
    }
    if let Some(name) = &what_if.limited_by {
        text += &format!("; {name} limits it there");
    }
    if let Some(next) = what_if.next.first() {
        text += &format!(", and {} would at {}", next.resource, load(next.at, unit));
    }
    text.push('.');
    text += &extrapolation(what_if);
    if doubt.calibration {
        text += &format!(
            " The model of what was measured has its own line at {}x the measured one, so the interval is wide.",
            figure(1.0 / what_if.calibration)
        );
    }
    if let Some(named) = doubt.other {
        text += &format!(
            " What gave way first was {named}, which in the model is not what limits, so the interval is wide."
        );
    }
    if let (true, Some(name)) = (doubt.moves_on, &what_if.limited_by) {
        text += &format!(
            " What a request takes of {name} moves with the load, and past the loads that were measured it is taken to go on as it did last."
        );
    }
    if let (true, Some(name)) = (doubt.visits, &what_if.limited_by) {
        text += &format!(
            " Not every request visits {name}, and how often those do that visit it is not known: they are taken to visit it once, so the interval is wide."
        );
    }
    for changed in &what_if.changes {
        if let Some(enough) = enough_slots(ladder.after, &changed.resource)
            && changed.to > enough * TOO_MANY
            && changed.to > changed.from
        {
            text += &format!(
                " Past {} slots of {} there is no gain, and a risk of contention: what they guard is busy by then.",
                figure(enough.ceil()),
                changed.resource
            );
        }
    }
    text
}

/// Whether a gain is too small for a search to see.
pub(super) fn is_no_gain(gain: f64) -> bool {
    gain < NO_GAIN && gain > 1.0 / NO_GAIN
}

/// Empty where it is none.
fn extrapolation(what_if: &WhatIf) -> String {
    if what_if.evidence != EXTRAPOLATED {
        return String::new();
    }
    format!(" That is an extrapolation: {}x the most that was measured.", figure(what_if.factor))
}

/// Adds what the second search made of it, before the evidence is changed: what is confirmed is no extrapolation.
pub(super) fn observe(what_if: &mut WhatIf, observed: &Observed, against: Option<Against>, unit: &Unit) {
    let found = format!(" A search of the changed system found {}", load(observed.typical, unit));
    let predicted = what_if.limited_by.as_deref().unwrap_or("nothing");
    let made_of_it = match against {
        None => ", which confirms it.".to_owned(),
        Some(Against::Far) => ", which does not confirm it.".to_owned(),
        Some(Against::Unchanged) => {
            ", which does not confirm it: without any change it would have been as near.".to_owned()
        }
        Some(Against::Other) => format!(
            ", which does not confirm it: {} gave way, not {predicted}.",
            observed.bottleneck.as_deref().unwrap_or("nothing")
        ),
    };
    if against.is_none() {
        what_if.explanation = what_if.explanation.replace(&extrapolation(what_if), "");
    }
    what_if.explanation += &(found + &made_of_it);
}

/// c = m·(1 + wait/cpu) = m·H/D: slots of a pool that keep the processor behind it busy, where that is instrumented.
fn enough_slots(system: &System, pool: &str) -> Option<f64> {
    let find = |name: &str| system.stations.iter().find(|station| station.name == name);
    let hold = find(pool)?.demand.per_unit;
    let behind = |station: &&Resource| station.guarded_by.as_deref() == Some(pool);
    let enough = system.stations.iter().filter(behind).map(|db| db.room() * hold / db.demand.per_unit);
    enough.min_by(f64::total_cmp)
}
