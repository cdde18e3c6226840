//! The sentences of a prediction.

use super::system::{Resource, System};
use super::{Doubt, Ladder};
use crate::analyze::explain::{figure, load as exactly, percent};
use crate::analyze::wall::Unit;
use crate::record::what_if::WhatIf;

/// Slots beyond what is of use by this factor are worth a word.
const TOO_MANY: f64 = 1.1;
/// Gain below which a change does nothing that a search could see.
const NO_GAIN: f64 = 1.03;

/// A load to three figures: more of a prediction would only look exact.
fn load(at: f64, unit: &Unit) -> String {
    let figures = 10_f64.powf(at.max(f64::MIN_POSITIVE).log10().floor() - 2.0);
    exactly((at / figures).round() * figures, unit)
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
    if what_if.gain < NO_GAIN && what_if.gain > 1.0 / NO_GAIN {
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
    if what_if.evidence == "extrapolated" {
        text += &format!(
            " That is an extrapolation: the limit is {}x the most that was in use.",
            figure(what_if.factor)
        );
    }
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

/// c = m·(1 + wait/cpu) = m·H/D: slots of a pool that keep the processor behind it busy, where that is instrumented.
fn enough_slots(system: &System, pool: &str) -> Option<f64> {
    let find = |name: &str| system.stations.iter().find(|station| station.name == name);
    let hold = find(pool)?.used.per_unit;
    let behind = |station: &&Resource| station.guarded_by.as_deref() == Some(pool);
    let enough = system.stations.iter().filter(behind).map(|db| db.room() * hold / db.used.per_unit);
    enough.min_by(f64::total_cmp)
}
