//! What a changed system would carry. A queueing model is made of what a search measured, its load line is held against the measured one, the change is
//! made in the model, and the goals decide where its line lies then. Pure, and the same whenever it is computed from the same record.
//!
//! Method and limits: `docs/what-if.md`. Sources: Lazowska, Zahorjan, Graham and Sevcik, "Quantitative System Performance", 1984, chapters 9 (memory
//! constraints) and 13 (modification analysis: calibrate, change, evaluate); Totok and Karamcheti, CCPE 2010 (pools in a model).

use super::wall::Unit;
use crate::fit::evidence::{EXTRAPOLATED, INTERPOLATED_MAX};
use crate::record::summary::{Bottleneck, BottleneckStatus, Level, LoadLine, Warning};
use crate::record::what_if::{Asked, Confirmed, NextAt, Observed, Predicted, WhatIf};
use crate::scenario::plan::LoadUnit;
use lines::{Lines, Rung};
use system::{Resource, System};

pub mod change;
mod changed;
mod demands;
mod draws;
mod lines;
mod sentences;
mod system;

use change::Change;

/// What a prediction is made of.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// In order of load.
    pub levels: &'a [Level],
    /// Resources that the checks left out.
    pub left_out: &'a [String],
    pub load_line: Option<&'a LoadLine>,
    pub bottleneck: Option<&'a Bottleneck>,
    /// Conditions under which a level was bad, as written.
    pub goals: &'a [String],
    pub unit: Unit,
    /// Squared coefficient of variation of think times; `None` where it is not known, and they are taken to be exponential.
    pub think_variation: Option<f64>,
    /// Of the record: the same draws for the same record.
    pub seed: u64,
}

/// Why nothing is predicted, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// For scripts: `what_if_resource`, `what_if_levels`, …
    pub code: &'static str,
    pub text: String,
    pub remedy: String,
}

impl Refusal {
    fn new(code: &'static str, text: String, remedy: &str) -> Self {
        Self { code, text, remedy: remedy.to_owned() }
    }

    /// Whether a code, of a warning of the record, is one of these.
    pub fn is_one(code: &str) -> bool {
        code.starts_with("what_if_")
    }
}

/// Probability with which the interval is meant to hold what a search would find.
pub const CONFIDENCE: f64 = 0.9;
/// A model whose line is this factor off the measured one describes the system badly (the interval is wider), or not at all (nothing is predicted).
const CALIBRATION_WIDE: f64 = 1.15;
const CALIBRATION_MAX: f64 = 1.5;
/// Visits a request from which all requests are taken to visit.
const VISITED_BY_ALL: f64 = 0.95;
/// Observed over predicted within which a second search may confirm a prediction.
const CONFIRMED_WITHIN: (f64, f64) = (0.8, 1.2);

/// Predicts the load line after `changes`.
///
/// # Errors
/// What cannot be told from this record, and what to do about it.
pub fn predict(before: &Before<'_>, changes: &[Change]) -> Result<WhatIf, Refusal> {
    let measured = Measured::of(before)?;
    let system = System::of(before)?;
    let (after, changed) = system.changed(changes)?;
    let cannot = || {
        Refusal::new(
            "what_if_model",
            "no resource with a limit and a demand was measured, or the goals do not hold for a single request".to_owned(),
            "observe what the system is made of (`observe`), and search again from a lower `from`",
        )
    };
    let lines = Lines::of(&system).ok_or_else(cannot)?;
    let lines_after = Lines::of(&after).ok_or_else(cannot)?;
    let calibration = measured.typical / lines.line();
    if !(1.0 / CALIBRATION_MAX..=CALIBRATION_MAX).contains(&calibration) {
        return Err(Refusal::new(
            "what_if_calibration",
            format!(
                "a model of what was measured has its load line at {}, not at {}: what limits this system is not what was observed of it",
                super::explain::load(lines.line(), &system.unit),
                super::explain::load(measured.typical, &system.unit)
            ),
            "observe more of the target, or search again with longer windows",
        ));
    }
    let ladder = Ladder::new((&system, &lines), (&after, &lines_after), calibration);
    let (first, typical) = ladder.first().ok_or_else(cannot)?;
    let limiting = after.resources().find(|resource| resource.name == first.name);
    let named = before.bottleneck.and_then(|found| found.resource.as_deref());
    let doubt = Doubt {
        calibration: calibration.ln().abs() > CALIBRATION_WIDE.ln(),
        other: named.filter(|named| lines.rungs.first().is_some_and(|first| first.name != *named)),
        moves_on: limiting.is_some_and(Resource::moves_on),
        visits: limiting.is_some_and(|resource| first.queues && resource.visits < VISITED_BY_ALL),
    };
    let interval = draws::interval(&ladder, &measured, before.seed);
    let widened = |end: f64| if doubt.widens() { typical * (end / typical).powi(2) } else { end };
    let interval = [widened(interval[0].min(typical)), widened(interval[1].max(typical))];
    let round = |load: f64| if before.unit.of == LoadUnit::Users { load.round() } else { load };
    let load_max = before.levels.iter().map(|level| level.level).fold(f64::MIN_POSITIVE, f64::max);
    let factor = ladder.factor().max(typical / load_max);
    let mut what_if = WhatIf {
        changes: changed,
        load_line: Predicted {
            of: measured.of.to_owned(),
            typical: round(typical),
            interval: interval.map(round),
            confidence: CONFIDENCE,
        },
        gain: typical / measured.typical,
        limited_by: Some(first.name.clone()),
        evidence: if factor > INTERPOLATED_MAX || doubt.moves_on { EXTRAPOLATED } else { "interpolated" }
            .to_owned(),
        factor,
        calibration,
        next: ladder.calibrated[1..]
            .iter()
            .map(|(rung, at)| NextAt { resource: rung.name.clone(), at: round(*at) })
            .collect(),
        explanation: String::new(),
        confirmed: None,
    };
    what_if.explanation = sentences::explanation(&ladder, &what_if, measured.typical, &doubt);
    Ok(what_if)
}

/// What is predicted of the changed system, beside what was observed of it; a question without an answer is a warning.
///
/// # Errors
/// Why there is none, as [`predict`] says it.
pub fn answer(asked: &Asked, before: &Before<'_>) -> Result<WhatIf, Warning> {
    let changes = Change::read_all(&asked.changes);
    let mut what_if = changes.and_then(|changes| predict(before, &changes)).map_err(|refused| Warning {
        code: refused.code.to_owned(),
        text: refused.text,
        remedy: refused.remedy,
    })?;
    if let Some(observed) = &asked.observed {
        confirm(&mut what_if, observed, &before.unit);
    }
    Ok(what_if)
}

/// The prediction beside what a second search found. It confirms it where its line is within 20 % of the predicted one, nearer to that than to the line
/// before the change (or none was predicted to differ), and the resource that it names is the one that was to limit.
fn confirm(what_if: &mut WhatIf, observed: &Observed, unit: &Unit) {
    let ratio = observed.typical / what_if.load_line.typical;
    let (least, most) = CONFIRMED_WITHIN;
    let against = if !(least..=most).contains(&ratio) {
        Some(Against::Far)
    } else if !sentences::is_no_gain(what_if.gain) && ratio.ln().abs() >= (ratio * what_if.gain).ln().abs() {
        // Observed over measured is observed over predicted times the gain.
        Some(Against::Unchanged)
    } else if observed.bottleneck.is_some() && observed.bottleneck != what_if.limited_by {
        Some(Against::Other)
    } else {
        None
    };
    sentences::observe(what_if, observed, against, unit);
    if against.is_none() {
        "confirmed".clone_into(&mut what_if.evidence);
    }
    what_if.confirmed = Some(Confirmed {
        typical: observed.typical,
        interval: observed.interval,
        observed_over_predicted: ratio,
        run: observed.run.clone(),
        bottleneck: observed.bottleneck.clone(),
    });
}

/// Why a second search does not confirm a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Against {
    /// Its line is another.
    Far,
    /// Its line is as near to that of the system before the change.
    Unchanged,
    /// Another resource gave way.
    Other,
}

/// What is doubtful of a prediction.
struct Doubt<'a> {
    /// The model's line is far from the measured one.
    calibration: bool,
    /// The attribution names another resource than limits the model.
    other: Option<&'a str>,
    /// A request takes more or less of what limits as the load grows, and past all that was measured it is taken to go on as it did last.
    moves_on: bool,
    /// Not every request waits for what limits, or some more than once: nothing tells whether one in five visits it, or one in fifteen three times.
    visits: bool,
}

impl Doubt<'_> {
    /// Whether the interval is twice as wide, on a logarithmic scale.
    fn widens(&self) -> bool {
        self.calibration || self.other.is_some() || self.visits
    }
}

/// The load line that was measured, with both ends of its bracket.
struct Measured<'a> {
    of: &'a str,
    typical: f64,
    good: f64,
    bad: f64,
}

impl<'a> Measured<'a> {
    fn of(before: &Before<'a>) -> Result<Self, Refusal> {
        let Some(line) = before.load_line else {
            return Err(Refusal::new(
                "what_if_no_line",
                "the record has no load line to start from".to_owned(),
                "search one first: `plimsoll find`",
            ));
        };
        let (Some(typical), [Some(good), Some(bad)]) = (line.typical, line.interval) else {
            let (what, remedy) = match line.interval {
                [_, None] => {
                    ("no level was bad, so what limits the system was not met", "search up to a higher `to`")
                }
                _ => (
                    "no level was good, so nothing is known of the system below its line",
                    "search from a lower `from`",
                ),
            };
            return Err(Refusal::new("what_if_no_line", what.to_owned(), remedy));
        };
        if before.bottleneck.is_some_and(|found| found.status == BottleneckStatus::Uninstrumented) {
            return Err(Refusal::new(
                "what_if_uninstrumented",
                "cannot tell: what limits this system is not observed, so no change of what is observed says where the line would be".to_owned(),
                "observe more of the target until a resource is named, and search again",
            ));
        }
        Ok(Self { of: &line.of, typical, good, bad })
    }
}

/// The rungs of the changed system, held against those before the change.
struct Ladder<'a> {
    system: &'a System,
    after: &'a System,
    lines: &'a Lines,
    lines_after: &'a Lines,
    /// With the load at which each limits, calibrated; soonest first.
    calibrated: Vec<(&'a Rung, f64)>,
}

impl<'a> Ladder<'a> {
    fn new(
        (system, lines): (&'a System, &'a Lines),
        (after, lines_after): (&'a System, &'a Lines),
        calibration: f64,
    ) -> Self {
        let mut ladder = Self { system, after, lines, lines_after, calibrated: Vec::new() };
        let at =
            |rung: &Rung| rung.at() * lines_after.share_of(rung) * calibration.powf(ladder.taken_over(rung));
        let mut calibrated: Vec<(&Rung, f64)> =
            lines_after.rungs.iter().map(|rung| (rung, at(rung))).collect();
        calibrated.sort_by(|a, b| a.1.total_cmp(&b.1));
        ladder.calibrated = calibrated;
        ladder
    }

    /// Share, as an exponent, of the calibration that a rung takes over: all of it where the resource limited the measured system, and half
    /// where it did not, for part of what the model lacks lies with the users and part with the resource.
    fn taken_over(&self, rung: &Rung) -> f64 {
        let was_first = self.lines.rungs.first().is_some_and(|first| first.name == rung.name);
        if was_first { 1.0 } else { 0.5 }
    }

    /// What limits, and where.
    fn first(&self) -> Option<(&'a Rung, f64)> {
        self.calibrated.first().copied()
    }

    /// Limit of the first rung over the most that was ever in use of it.
    fn factor(&self) -> f64 {
        let named =
            |(first, _): (&Rung, f64)| self.after.resources().find(|resource| resource.name == first.name);
        let of_limit = |resource: &Resource| {
            resource.demand.limit * resource.replicas / resource.used_max.max(f64::MIN_POSITIVE)
        };
        self.first().and_then(named).map_or(1.0, of_limit)
    }
}

#[cfg(test)]
mod tests;
