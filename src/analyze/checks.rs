//! The operational laws held against every level and every resource. They hold for any system, so what breaks one was not measured right: a level is
//! then left out of the fits, a resource out of the answer, and the residual says why.

use super::levels::Measured;
use super::samples::{Sample, Series, scatter};
use super::saturate::names;
use super::verdict::Believed;
use super::wall::{Demand, Unit, unsaturated};
use crate::fit::parabola::Parabola;
use crate::queueing::laws::number_in_system;
use crate::record::summary::{Check, Level};

/// |N/(X(R+Z)) − 1| above which a level contradicts the interactive law.
const INTERACTIVE_MAX: f64 = 0.05;
/// Residual of Little's law above which a probe is taken to read something else than what was loaded.
const LITTLE_MAX: f64 = 0.1;
/// By how much visits a request, and use against its line, may differ from one load to the next.
const DRIFT_MAX: f64 = 0.15;
/// A mean over a level may be over the limit by so much (a quota that is drawn ahead).
const OVER_LIMIT_MAX: f64 = 0.1;
/// What chance does not exceed: so many standard errors.
const ERRORS_MAX: f64 = 3.0;
/// What the scatter of the readings excuses at most: a single one that is out of all proportion scatters without end.
const SCATTER_MAX: f64 = 0.5;
/// Use below this part of the limit is too little for its residual to matter.
const USED_MIN: f64 = 0.02;
/// Part of the levels that must contradict a law for the resource not to be believed at any.
const MOST: f64 = 0.5;
/// Levels without which a line says nothing of any of them.
const LINE_LEVELS_MIN: usize = 4;

const KEPT: &str = "none";
const LEFT_OUT: &str = "left out of the attribution and of the ladder";

/// What is believed of a run, and the checks that say so.
pub(super) fn believed(measured: Measured, unit: &Unit) -> (Believed, Vec<Check>) {
    let mut checks = Vec::new();
    let levels_out = interactive(&measured.levels, &mut checks);
    let mut believed = Believed { elsewhere: measured.elsewhere, ..Believed::default() };
    for ((level, series), out) in measured.levels.into_iter().zip(measured.series).zip(levels_out) {
        if !out {
            believed.levels.push(level);
            believed.series.push(series);
        } else if !level.good {
            believed.blurred.push(level.level);
        }
    }
    let all: Vec<String> = names(&believed.levels).map(str::to_owned).collect();
    for name in all {
        resource(&mut believed, &name, &mut checks);
    }
    for name in names(&believed.levels).map(str::to_owned).collect::<Vec<_>>() {
        line(&mut believed, &name, unit, &mut checks);
    }
    (believed, checks)
}

/// Which levels contradict the interactive law. Where users took other pauses than the plan has, all levels differ from it: what is left out is then
/// what differs from the pauses that most levels had.
fn interactive(levels: &[Level], checks: &mut Vec<Check>) -> Vec<bool> {
    let bound = |level: &Level| INTERACTIVE_MAX.max(ERRORS_MAX / requests(level).max(1.0).sqrt());
    let lawful = || levels.iter().filter(|level| level.residual_ratio.is_some());
    let mut thought: Vec<f64> = lawful().map(|level| level.think_s).collect();
    thought.sort_by(f64::total_cmp);
    let middle_s = thought.get(thought.len() / 2).copied().filter(|_| thought.len() > 2);
    let out = |level: &Level, residual: f64| {
        let response_s = level.response_ms.mean / 1e3;
        let other = middle_s
            .map_or(residual, |middle_s| (response_s + level.think_s) / (response_s + middle_s) - 1.0);
        residual.abs() > bound(level) && other.abs() > bound(level)
    };
    let rows = levels.iter().filter_map(|level| {
        let residual = level.residual_ratio?;
        let consequence = if out(level, residual) {
            "the level is left out of the fits and of the attribution"
        } else if residual.abs() > bound(level) {
            "kept: all levels differ alike, so think times differ from the plan"
        } else {
            KEPT
        };
        Some(row("interactive", None, Some(level.level), residual, bound(level), consequence))
    });
    keep(checks, rows.collect());
    levels.iter().map(|level| level.residual_ratio.is_some_and(|residual| out(level, residual))).collect()
}

fn requests(level: &Level) -> f64 {
    number_in_system(level.throughput_per_s, level.span_s[1] - level.span_s[0])
}

fn row(
    law: &str,
    resource: Option<&str>,
    level: Option<f64>,
    residual: f64,
    bound: f64,
    consequence: &str,
) -> Check {
    Check {
        law: law.to_owned(),
        resource: resource.map(str::to_owned),
        level,
        residual,
        bound,
        holds: residual.abs() <= bound,
        consequence: consequence.to_owned(),
    }
}

/// All rows that fail, or else the one that comes nearest to it.
fn keep(checks: &mut Vec<Check>, mut rows: Vec<Check>) {
    rows.sort_by(|a, b| (b.residual.abs() / b.bound).total_cmp(&(a.residual.abs() / a.bound)));
    let failing = rows.iter().filter(|row| !row.holds).count();
    rows.truncate(failing.max(1));
    rows.sort_by(|a, b| a.level.unwrap_or(f64::INFINITY).total_cmp(&b.level.unwrap_or(f64::INFINITY)));
    checks.append(&mut rows);
}

/// Holds one resource against Little's law, its limit and the forced flow law, and leaves it out where it fails.
fn resource(believed: &mut Believed, name: &str, checks: &mut Vec<Check>) {
    let mut out_at = Vec::new();
    let (mut in_use, mut waiting, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut slots, mut held, mut told) = (0.0, 0.0, 0_usize);
    for (place, level) in believed.levels.iter().enumerate() {
        let Some(at) = level.resources.get(name) else { continue };
        if let Some(limit) = at.limit {
            let residual = (at.used / limit - 1.0).max(0.0);
            bounds.push(row("bound", Some(name), Some(level.level), residual, OVER_LIMIT_MAX, KEPT));
        }
        let Some(series) = believed.series[place].iter().find(|series| series.name == name) else { continue };
        if let Some(found) = Residual::of(series, |sample| Some((sample.used, sample.hold_s?))) {
            let check = found.row("little_in_use", name, level);
            told += 1;
            if check.holds {
                (slots, held) = (slots + found.counted, held + found.timed);
            } else {
                out_at.push(place);
            }
            in_use.push(check);
        }
        if let Some(found) = Residual::of(series, |sample| Some((sample.waiting?, sample.wait_s?))) {
            let mut check = found.row("little_waiting", name, level);
            if !check.holds {
                check.consequence =
                    "said only: waits are taken from its clock, not from its count".to_owned();
            }
            waiting.push(check);
        }
    }
    let together = (held > 0.0).then_some(Residual { counted: slots, timed: held, error: 0.0 });
    let everywhere = out_at.len() as f64 > MOST * told as f64
        || together.as_ref().is_some_and(|all| all.residual().abs() > all.bound());
    let over = bounds.iter().any(|check: &Check| !check.holds);
    for (check, &place) in in_use.iter_mut().filter(|check| !check.holds).zip(&out_at) {
        check.consequence = "its readings at this level are left out".to_owned();
        believed.levels[place].resources.remove(name);
    }
    if everywhere {
        let worst = in_use.iter().map(|check| check.residual).max_by(|a, b| a.abs().total_cmp(&b.abs()));
        let residual = together
            .filter(|all| all.residual().abs() > all.bound())
            .map_or(worst.unwrap_or(0.0), |all| all.residual());
        in_use = vec![row("little_in_use", Some(name), None, residual, LITTLE_MAX, LEFT_OUT)];
        let reason = format!(
            "what it says is in use differs by {:+.0} % from its visits times their hold time (Little's law)",
            residual * 100.0
        );
        leave_out(believed, name, reason);
    }
    if over {
        bounds
            .iter_mut()
            .filter(|check| !check.holds)
            .for_each(|check| check.consequence = LEFT_OUT.to_owned());
        let most = bounds.iter().map(|check| check.residual).fold(0.0, f64::max);
        let reason = format!(
            "it uses {:.0} % more than its limit, so that is not the limit of what it tells of",
            most * 100.0
        );
        leave_out(believed, name, reason);
    }
    keep(checks, in_use);
    keep(checks, waiting);
    keep(checks, bounds);
    flow(&believed.levels, name, checks);
}

fn leave_out(believed: &mut Believed, name: &str, reason: String) {
    let kind =
        believed.series.iter().flatten().find(|series| series.name == name).map(|series| series.kind.clone());
    believed.left_out.entry(name.to_owned()).or_insert_with(|| (kind.unwrap_or_default(), reason));
    for level in &mut believed.levels {
        level.resources.remove(name);
    }
}

/// What was counted (slots or waiters times seconds) beside what was timed (the sum of holds or waits): the same by Little's law.
struct Residual {
    counted: f64,
    timed: f64,
    /// Standard error of their difference, as the readings scatter.
    error: f64,
}

impl Residual {
    fn of(series: &Series, pick: impl Fn(&Sample) -> Option<(f64, f64)>) -> Option<Self> {
        let both: Vec<(f64, f64)> = series
            .samples
            .iter()
            .filter_map(|sample| pick(sample).map(|(count, time_s)| (count * sample.seconds, time_s)))
            .collect();
        let timed: f64 = both.iter().map(|(_, timed)| timed).sum();
        let error = scatter(both.iter().map(|(counted, timed)| counted - timed)) * both.len() as f64;
        let counted = both.iter().map(|(counted, _)| counted).sum();
        (timed > 0.0).then(|| Self { counted, timed, error: if error.is_finite() { error } else { 0.0 } })
    }

    fn residual(&self) -> f64 {
        self.counted / self.timed - 1.0
    }

    /// What is counted is often a gauge read once a second; the number then varies like a Poisson count, so n slot-seconds may be off by √n, and three
    /// times that is no contradiction, nor is three times what the readings themselves scatter by.
    fn bound(&self) -> f64 {
        let scattered = (ERRORS_MAX * self.error / self.timed).min(SCATTER_MAX);
        LITTLE_MAX.max(ERRORS_MAX / self.timed.sqrt()).max(scattered)
    }

    fn row(&self, law: &str, name: &str, level: &Level) -> Check {
        row(law, Some(name), Some(level.level), self.residual(), self.bound(), KEPT)
    }
}

/// Visits a request at each load against those of the mean request.
fn flow(levels: &[Level], name: &str, checks: &mut Vec<Check>) {
    let told: Vec<(&Level, f64)> =
        levels.iter().filter_map(|level| Some((level, level.resources.get(name)?.visits?))).collect();
    let all: f64 = told.iter().map(|(level, _)| requests(level)).sum();
    let mean = told.iter().map(|(level, visits)| visits * requests(level)).sum::<f64>() / all;
    let rows = told.iter().map(|(level, visits)| {
        let bound = DRIFT_MAX.max(ERRORS_MAX / (mean * requests(level)).sqrt());
        let residual = visits / mean - 1.0;
        let consequence = if residual.abs() <= bound {
            KEPT
        } else {
            "said only: visits a request change with the load (retries, cache misses), or readings lag"
        };
        row("forced_flow", Some(name), Some(level.level), residual, bound, consequence)
    });
    keep(checks, rows.collect());
}

/// Holds the use of a resource where it is not saturated against the line that demand and background make; where that is a curve, which goes through its levels,
/// against a parabola.
fn line(believed: &mut Believed, name: &str, unit: &Unit, checks: &mut Vec<Check>) {
    let free = unsaturated(&believed.levels, name);
    let Some(demand) = Demand::of(&free, name, unit).filter(|_| free.len() >= LINE_LEVELS_MIN) else {
        return;
    };
    let points =
        || free.iter().filter_map(|level| Some((level.throughput_per_s, level.resources.get(name)?.used)));
    let bent = demand.curve.as_ref().and_then(|_| Parabola::through(&points().collect::<Vec<_>>()));
    let rows: Vec<Check> = free
        .iter()
        .filter_map(|level| {
            let used = level.resources.get(name)?.used;
            let by_law = bent.map_or(demand.used_at(level), |bent| bent.at(level.throughput_per_s));
            let lawful = by_law.max(USED_MIN * demand.limit);
            let place = believed.levels.iter().position(|other| other.level == level.level)?;
            let series = believed.series[place].iter().find(|series| series.name == name)?;
            let error = Some(series.used_error()).filter(|error| error.is_finite()).unwrap_or(0.0);
            let bound = DRIFT_MAX.max(ERRORS_MAX * error / lawful);
            Some(row("utilization", Some(name), Some(level.level), (used - by_law) / lawful, bound, KEPT))
        })
        .collect();
    let failing = rows.iter().filter(|row| !row.holds).count();
    let many = failing >= 2 && failing as f64 > MOST * free.len() as f64;
    let consequence = match (many, bent.is_some()) {
        (true, _) => "no load is predicted at which it gives way",
        (false, true) => "said only: it lies off the curve of its demand",
        (false, false) => "said only: its demand moves with the load",
    };
    let rows: Vec<Check> = rows
        .into_iter()
        .map(|row| if row.holds { row } else { Check { consequence: consequence.to_owned(), ..row } })
        .collect();
    if many {
        let reason = "its use does not follow the throughput (readings that lag, clocks that disagree, or a demand that moves)";
        believed.unpredicted.insert(name.to_owned(), reason.to_owned());
    }
    keep(checks, rows);
}

#[cfg(test)]
mod tests;
