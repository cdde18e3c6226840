//! What a scenario will do, before it does it: its curves, how much of everything is expected, which thresholds will have too few
//! samples, and whether the machine carries it. The command line draws it; the JSON form is this.

use super::fit::Fit;
use super::needs::{Needs, Part, nanos, responses};
use super::verdict::Preflight;
use crate::endpoint::EndpointId;
use crate::load::curve::Curve;
use crate::probe::machine::Machine;
use crate::scenario::plan::{BaseUrl, Executor, LevelTiming, Lifetime, LoadUnit, Plan, TargetKind};
use crate::threshold::{Selector, Stat, Threshold, samples_needed};
use crate::units::NANOS_PER_S;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Version of the JSON form; a change of what a key means raises it.
pub const EXPLAIN_SCHEMA: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Explanation {
    pub schema: u32,
    pub scenario: String,
    pub target: String,
    pub seed: u64,
    /// Until the last part ends; absent for a search, whose end nobody knows.
    pub duration_s: Option<f64>,
    pub parts: Vec<ExplainedPart>,
    /// Iterations and requests of the whole run; of a search, none.
    pub iterations: Option<f64>,
    pub requests: Option<f64>,
    pub endpoints: Vec<ExplainedEndpoint>,
    pub thresholds: Vec<ExplainedThreshold>,
    pub needs: Needs,
    pub fit: Fit,
    pub machine: Machine,
    /// Why the run would be refused here.
    pub refusal: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ExplainedPart {
    pub name: String,
    /// `closed`, `open`, `step` or `breakpoint`.
    pub executor: String,
    /// What the curve counts: `users` or `iterations/s`.
    pub unit: String,
    pub start_s: f64,
    pub duration_s: Option<f64>,
    pub journeys: Vec<ExplainedJourney>,
    /// Corners of the curve, seconds of the run; lines between them are straight. Of a search: its growth while every level is good.
    pub curve: Vec<Point>,
    pub phases: Vec<Span>,
    pub peak: f64,
    /// Iterations of the whole part.
    pub iterations: Option<f64>,
    /// Of one iteration: its expected length, the time in it without a request under way, its requests.
    pub iteration_s: f64,
    pub think_s: f64,
    pub requests_per_iteration: f64,
    /// Open iterations at once: the most that are let in.
    pub in_flight_max: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ExplainedJourney {
    pub name: String,
    /// Of the part's users or arrivals.
    pub share_ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Point {
    pub t_s: f64,
    pub value: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Span {
    pub name: String,
    pub from_s: f64,
    pub to_s: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ExplainedEndpoint {
    pub name: String,
    pub protocol: String,
    pub route: String,
    /// Of all requests of the run; of a search, of those of a mean iteration.
    pub share_ratio: f64,
    pub requests: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ExplainedThreshold {
    pub text: String,
    /// Samples expected where it is judged (of windows: in each of them), and how many it needs.
    pub samples: Option<f64>,
    pub samples_needed: u64,
    /// False where it will not be evaluated, and so not pass.
    pub evaluable: bool,
}

/// Says what `plan` will do on `machine`, against which it was held in `preflight`.
pub fn explain(plan: &Plan, machine: &Machine, preflight: &Preflight) -> Explanation {
    let responses = responses(plan);
    let parts: Vec<Whole<'_>> =
        plan.load.iter().map(|load| Whole { plan, part: Part::new(plan, load, responses) }).collect();
    let duration_s = parts.iter().map(Whole::end_s).try_fold(0.0_f64, |end, part| Some(end.max(part?)));
    let everything = (0.0, duration_s.unwrap_or(f64::INFINITY));
    let counts = counts(&parts, everything);
    let iterations = parts.iter().map(|part| part.iterations(everything)).sum::<Option<f64>>();
    let requests = counts.as_ref().map(|counts| counts.values().sum::<f64>());
    Explanation {
        schema: EXPLAIN_SCHEMA,
        scenario: plan.name.clone(),
        target: target(plan),
        seed: plan.seed,
        duration_s,
        parts: parts.iter().map(Whole::explained).collect(),
        iterations,
        requests,
        endpoints: endpoints(plan, &parts, counts.as_ref()),
        thresholds: plan.thresholds.iter().map(|threshold| explained(plan, &parts, threshold)).collect(),
        needs: preflight.needs.clone(),
        fit: preflight.fit.clone(),
        machine: machine.clone(),
        refusal: preflight.refusal(),
    }
}

fn target(plan: &Plan) -> String {
    match &plan.target.kind {
        TargetKind::Bundled { profile, .. } => format!("bundled {profile}"),
        TargetKind::External { http, ws } => {
            let same = |ws: &&BaseUrl| {
                http.as_ref().is_some_and(|http| (&http.host, http.port) == (&ws.host, ws.port))
            };
            let ws = ws.as_ref().filter(|ws| !same(ws));
            let bases = [("http", http.as_ref()), ("ws", ws)];
            let urls = bases.iter().filter_map(|(scheme, base)| {
                let base = base.as_ref()?;
                let secure = if base.tls { "s" } else { "" };
                Some(format!("{scheme}{secure}://{}:{}{}", base.host, base.port, base.prefix))
            });
            urls.collect::<Vec<_>>().join(", ")
        }
    }
}

/// A part over the time of the run.
struct Whole<'a> {
    plan: &'a Plan,
    part: Part<'a>,
}

impl Whole<'_> {
    fn start_s(&self) -> f64 {
        self.part.load.start.as_secs_f64()
    }

    fn end_s(&self) -> Option<f64> {
        let length_s = match &self.part.load.executor {
            Executor::Closed { curve, .. } | Executor::Open { curve, .. } => curve.end_ns() as f64 / 1e9,
            Executor::Step { levels, timing, .. } => level_s(timing) * levels.len() as f64,
            Executor::Breakpoint { .. } => return None,
        };
        Some(self.start_s() + length_s)
    }

    /// The curve with time counted from the part's start; of a search, its growth.
    fn curve(&self) -> (Curve, LoadUnit) {
        match &self.part.load.executor {
            Executor::Closed { curve, .. } => (curve.clone(), LoadUnit::Users),
            Executor::Open { curve, .. } => (curve.clone(), LoadUnit::RatePerS),
            Executor::Step { of, levels, timing, .. } => (staircase(levels.iter().copied(), timing), *of),
            Executor::Breakpoint { of, search, timing, .. } => {
                let grown = std::iter::successors(Some(search.from), |level| {
                    (*level < search.to).then(|| (level * search.grow).min(search.to))
                });
                // Growth is a factor above one, so few levels lead anywhere; the bound is for a factor next to it.
                (staircase(grown.take(crate::limits::SEARCH_PROBES_MAX as usize), timing), *of)
            }
        }
    }

    /// Iterations between two seconds of the run; `None` for a search.
    fn iterations(&self, (from_s, to_s): (f64, f64)) -> Option<f64> {
        if matches!(self.part.load.executor, Executor::Breakpoint { .. }) {
            return None;
        }
        let (curve, unit) = self.curve();
        let start_ns = nanos(self.part.load.start);
        let inside = |s: f64| ((s * NANOS_PER_S as f64) as u64).saturating_sub(start_ns);
        let area = curve.area_to(inside(to_s)) - curve.area_to(inside(from_s));
        Some(match unit {
            LoadUnit::RatePerS => area,
            LoadUnit::Users if self.part.iteration_s > 0.0 => area / self.part.iteration_s,
            LoadUnit::Users => 0.0,
        })
    }

    /// How often the steps that a user does once are done.
    fn beginnings(&self, span: (f64, f64)) -> Option<f64> {
        let (curve, unit) = self.curve();
        let journeys = || self.part.load.mix.iter().map(|(id, _)| &self.plan.journeys[usize::from(*id)]);
        if unit == LoadUnit::RatePerS || journeys().all(|journey| journey.lifetime == Lifetime::Once) {
            return self.iterations(span);
        }
        let begins_inside = (span.0..span.1).contains(&self.start_s());
        Some(if begins_inside { curve.peak() } else { 0.0 })
    }

    fn explained(&self) -> ExplainedPart {
        let load = self.part.load;
        let (curve, unit) = self.curve();
        let start_s = self.start_s();
        let (executor, phases, in_flight_max) = match &load.executor {
            Executor::Closed { phases, .. } => ("closed", phases.as_slice(), None),
            Executor::Open { phases, open, .. } => ("open", phases.as_slice(), Some(open.max_in_flight)),
            Executor::Step { of, open, .. } => {
                ("step", [].as_slice(), (*of == LoadUnit::RatePerS).then_some(open.max_in_flight))
            }
            Executor::Breakpoint { of, open, .. } => {
                ("breakpoint", [].as_slice(), (*of == LoadUnit::RatePerS).then_some(open.max_in_flight))
            }
        };
        let weights: f64 = load.mix.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let corners = curve.segments().iter().flat_map(|segment| {
            [(segment.from_ns, segment.start), (segment.to_ns, segment.end)]
                .map(|(ns, value)| Point { t_s: start_s + ns as f64 / 1e9, value })
        });
        let mut corners: Vec<Point> = corners.collect();
        corners.dedup();
        ExplainedPart {
            name: load.name.clone(),
            executor: executor.to_owned(),
            unit: if unit == LoadUnit::Users { "users" } else { "iterations/s" }.to_owned(),
            start_s,
            duration_s: self.end_s().map(|end_s| end_s - start_s),
            journeys: load
                .mix
                .iter()
                .map(|(id, weight)| ExplainedJourney {
                    name: self.plan.journeys[usize::from(*id)].name.clone(),
                    share_ratio: f64::from(*weight) / weights,
                })
                .collect(),
            peak: curve.peak(),
            curve: corners,
            phases: phases
                .iter()
                .map(|phase| Span {
                    name: phase.name.clone(),
                    from_s: start_s + phase.from_ns as f64 / 1e9,
                    to_s: start_s + phase.to_ns as f64 / 1e9,
                })
                .collect(),
            iterations: self.end_s().and_then(|end_s| self.iterations((start_s, end_s))),
            iteration_s: self.part.iteration_s,
            think_s: self.part.expectation.think.as_secs_f64(),
            requests_per_iteration: self.part.expectation.requests(),
            in_flight_max,
        }
    }
}

fn staircase(levels: impl Iterator<Item = f64>, timing: &LevelTiming) -> Curve {
    let hold_ns = nanos(timing.settle + timing.window * timing.windows);
    levels.fold(Curve::new(0.0), |curve, level| curve.ramp_to(level, nanos(timing.ramp)).hold(hold_ns))
}

fn level_s(timing: &LevelTiming) -> f64 {
    (timing.ramp + timing.settle + timing.window * timing.windows).as_secs_f64()
}

/// Requests by endpoint between two seconds of the run; `None` where a search is among the parts.
fn counts(parts: &[Whole<'_>], span: (f64, f64)) -> Option<BTreeMap<EndpointId, f64>> {
    let mut counts = BTreeMap::new();
    for whole in parts {
        let (iterations, beginnings) = (whole.iterations(span)?, whole.beginnings(span)?);
        for (endpoint, visits) in &whole.part.expectation.per_iteration {
            *counts.entry(*endpoint).or_default() += visits * iterations;
        }
        for (endpoint, visits) in &whole.part.expectation.once_per_user {
            *counts.entry(*endpoint).or_default() += visits * beginnings;
        }
    }
    Some(counts)
}

fn endpoints(
    plan: &Plan,
    parts: &[Whole<'_>],
    counts: Option<&BTreeMap<EndpointId, f64>>,
) -> Vec<ExplainedEndpoint> {
    let mut means: BTreeMap<EndpointId, f64> = BTreeMap::new();
    for (endpoint, visits) in parts.iter().flat_map(|whole| &whole.part.expectation.per_iteration) {
        *means.entry(*endpoint).or_default() += visits;
    }
    let shares = counts.unwrap_or(&means);
    let all: f64 = shares.values().sum();
    let explained = |(id, endpoint): (usize, &crate::endpoint::Endpoint)| {
        let id = EndpointId::try_from(id).ok()?;
        let amount = *shares.get(&id)?;
        Some(ExplainedEndpoint {
            name: endpoint.name.clone(),
            protocol: endpoint.protocol.name().to_owned(),
            route: endpoint.route.clone(),
            share_ratio: if all > 0.0 { amount / all } else { 0.0 },
            requests: counts.map(|_| amount),
        })
    };
    plan.endpoints.iter().enumerate().filter_map(explained).collect()
}

fn explained(plan: &Plan, parts: &[Whole<'_>], threshold: &Threshold) -> ExplainedThreshold {
    let needed = match threshold.stat {
        Stat::Percentile(q) => samples_needed(q),
        _ => 1,
    };
    let samples = samples(plan, parts, threshold);
    ExplainedThreshold {
        text: threshold.text.clone(),
        samples,
        samples_needed: needed,
        evaluable: samples.is_none_or(|samples| samples >= needed as f64),
    }
}

/// Samples a threshold will have: over its phase or the run, or in a mean window of those. `None` where that cannot be known.
fn samples(plan: &Plan, parts: &[Whole<'_>], threshold: &Threshold) -> Option<f64> {
    let Selector::Requests { protocol, name, .. } = &threshold.selector else { return None };
    let span = match &threshold.phase {
        Some(phase) => phase_of(parts, phase)?,
        None => (0.0, parts.iter().map(Whole::end_s).try_fold(0.0_f64, |end, part| Some(end.max(part?)))?),
    };
    let selected = |id: EndpointId| {
        let endpoint = &plan.endpoints[usize::from(id)];
        endpoint.protocol == *protocol && name.as_ref().is_none_or(|name| *name == endpoint.name)
    };
    let samples: f64 =
        counts(parts, span)?.iter().filter(|(id, _)| selected(**id)).map(|(_, count)| count).sum();
    // Pushed messages come when the target pleases.
    if *protocol == crate::endpoint::Protocol::WsLag {
        return None;
    }
    Some(match threshold.window() {
        Some(window) => samples * (window.as_secs_f64() / (span.1 - span.0).max(f64::MIN_POSITIVE)).min(1.0),
        None => samples,
    })
}

fn phase_of(parts: &[Whole<'_>], name: &str) -> Option<(f64, f64)> {
    let spans = parts.iter().flat_map(|whole| {
        let phases = match &whole.part.load.executor {
            Executor::Closed { phases, .. } | Executor::Open { phases, .. } => phases.as_slice(),
            Executor::Step { .. } | Executor::Breakpoint { .. } => &[],
        };
        let start_s = whole.start_s();
        phases
            .iter()
            .filter(|phase| phase.name == name)
            .map(move |phase| (start_s + phase.from_ns as f64 / 1e9, start_s + phase.to_ns as f64 / 1e9))
    });
    spans.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
}

#[cfg(test)]
mod tests;
