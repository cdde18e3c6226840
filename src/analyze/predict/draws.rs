//! The interval of a prediction, by Monte Carlo: what was measured is drawn again within its uncertainty, and each draw has a load line of its own.
//! What a draw changes moves the walls; how far behind its wall a line lies (`Rung::tail`) is computed once.

use super::system::{REPLICAS_KEEP, REPLICAS_KEEP_WITHIN, Resource, System, capacity};
use super::{CONFIDENCE, Ladder, Measured};
use crate::seed::{Purpose, Stream, stream};
use rand::RngExt as _;
use std::collections::BTreeMap;

const DRAWS: u64 = 1000;
/// Standard error of a search repeated, and of the model as such: of its tail, and more the further it is taken and where another resource limits than before.
const LINE_ERROR: f64 = 0.015;
const MODEL_ERROR: f64 = 0.015;
const MODEL_ERROR_PER_LN_GAIN: f64 = 0.01;
const OTHER_RESOURCE_ERROR: f64 = 0.02;
/// Standard error of mean think time and time alone together.
const THINK_ERROR: f64 = 0.01;

/// [5 %, 95 %] of the draws.
pub(super) fn interval(ladder: &Ladder<'_>, measured: &Measured<'_>, seed: u64) -> [f64; 2] {
    let mut random = stream(seed, Purpose::Prediction, 0, 0);
    let mut lines: Vec<f64> = (0..DRAWS).map(|_| draw(ladder, measured, &mut random)).collect();
    lines.sort_by(f64::total_cmp);
    let at = |share: f64| lines[((share * DRAWS as f64) as usize).min(lines.len() - 1)];
    [at((1.0 - CONFIDENCE) / 2.0), at(f64::midpoint(1.0, CONFIDENCE))]
}

fn draw(ladder: &Ladder<'_>, measured: &Measured<'_>, random: &mut Stream) -> f64 {
    let off: BTreeMap<&str, f64> =
        ladder.system.resources().map(|resource| (resource.name.as_str(), normal(random))).collect();
    let users = (THINK_ERROR * normal(random)).exp();
    let line = within(measured, random) * (LINE_ERROR * normal(random)).exp();
    let more = ladder.after.resources().any(|resource| resource.replicas > 1.0);
    let kept = if more {
        random.random_range(REPLICAS_KEEP_WITHIN.0..=REPLICAS_KEEP_WITHIN.1)
    } else {
        REPLICAS_KEEP
    };
    let moved = |system: &System, name: &str| {
        let resource: Option<&Resource> = system.resources().find(|resource| resource.name == name);
        let off = off.get(name).copied().unwrap_or(0.0);
        let demand = resource.map_or(1.0, |resource| (resource.error() * off).exp());
        let replicas = resource.map_or(1.0, |resource| resource.replicas);
        let users = if resource.is_some_and(|resource| resource.demand.by_users) { 1.0 } else { users };
        users / demand * capacity(replicas, kept) / capacity(replicas, REPLICAS_KEEP)
    };
    let model = ladder
        .lines
        .rungs
        .iter()
        .map(|rung| rung.at() * ladder.lines.share_of(rung) * moved(ladder.system, &rung.name))
        .fold(f64::INFINITY, f64::min);
    let calibration = line / model;
    // How much of the calibration is of the resource that limited, nobody knows.
    let part = random.random::<f64>();
    let of_model = normal(random);
    let lines_after = ladder.lines_after;
    lines_after
        .rungs
        .iter()
        .map(|rung| {
            let same = ladder.taken_over(rung) == 1.0;
            let taken_over = if same { 1.0 } else { part };
            let at = rung.at() * lines_after.share_of(rung) * moved(ladder.after, &rung.name);
            let far = (at / measured.typical).ln().abs();
            let mut error = MODEL_ERROR + MODEL_ERROR_PER_LN_GAIN * far;
            error += if same { 0.0 } else { OTHER_RESOURCE_ERROR };
            at * calibration.powf(taken_over) * (error * of_model).exp()
        })
        .fold(f64::INFINITY, f64::min)
}

/// A triangle over the bracket with its peak at the typical line.
fn within(measured: &Measured<'_>, random: &mut Stream) -> f64 {
    let Measured { typical, good, bad, .. } = *measured;
    let (width, share) = (bad - good, random.random::<f64>());
    if width <= 0.0 {
        return typical;
    }
    if share < (typical - good) / width {
        good + (share * width * (typical - good)).sqrt()
    } else {
        bad - ((1.0 - share) * width * (bad - typical)).sqrt()
    }
}

/// Standard normal (Box and Muller, Annals of Mathematical Statistics 29(2), 1958).
fn normal(random: &mut Stream) -> f64 {
    let (a, b) = (1.0 - random.random::<f64>(), random.random::<f64>());
    (-2.0 * a.ln()).sqrt() * (2.0 * std::f64::consts::PI * b).cos()
}
