//! Service demands of a recorded run: what one request takes of each resource, from windows in which nothing was saturated. The document of
//! `plimsoll fit demand`.

mod windows;

use crate::analyze::wall::evidence_of;
use crate::fit::demand::{Demands, MOVED_MIN, WINDOWS_MIN, Window, demands};
use crate::fit::held::{held, rather_held};
use crate::record::recorded::Recorded;
use crate::record::rows::EndpointEntry;
use crate::record::summary::Warning;
use crate::seed::{Purpose, stream};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use windows::{Cut, Resource, WINDOW_S};

/// `plimsoll fit demand --json`. Times in ms, rates per second; what is busy in servers: connections, cores.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ServiceDemands {
    pub scenario: String,
    /// Length of a window, seconds, and how many of them the record has.
    pub window_s: f64,
    pub windows: usize,
    /// Windows in which no resource was saturated and hardly a request failed.
    pub windows_used: usize,
    /// The others, by reason.
    pub left_out: Vec<LeftOut>,
    /// In order of name.
    pub resources: Vec<ResourceDemand>,
    /// Resources of which no demand can be told, and why.
    pub unfitted: Vec<Unfitted>,
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LeftOut {
    pub reason: String,
    pub windows: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Unfitted {
    pub resource: String,
    pub reason: String,
    /// What each user holds of it, where users do; bytes for memory.
    pub per_user: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ResourceDemand {
    pub resource: String,
    pub kind: String,
    pub limit: Option<f64>,
    /// Of the windows used, those that readings of this resource cover.
    pub windows_used: usize,
    /// One a class of requests; several endpoints are one class where their rates rise and fall together.
    pub demands: Vec<ClassDemand>,
    /// In use without any request, with its interval of 95 %; `null` where the load hardly varied, so that it cannot be told from what requests use.
    pub background: Option<f64>,
    pub background_ci95: Option<[f64; 2]>,
    /// Mean time that a visit holds the resource, from its own clock, and visits a request; `null` where it has none.
    pub hold_ms: Option<f64>,
    pub visits_per_request: Option<f64>,
    pub drift: Option<Drift>,
    /// Where the demand moves with the load, that of a request of the mean mix under each load, lowest first; use goes straight from one to the next, and past the
    /// last as it does over the upper half of the loads. `null` where one demand does for all loads.
    pub curve: Option<Vec<DemandAt>>,
    /// Requests per second, of the mix that was seen, at which the limit is reached; `null` without a limit or without a demand.
    pub fills_at_per_s: Option<f64>,
    /// Evidence class of that rate, and the limit over the most that was in use in a window. What lies past the curve of a demand that moves is extrapolated.
    pub evidence: Option<String>,
    pub extrapolated: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ClassDemand {
    pub endpoints: Vec<String>,
    /// Service a request needs over all its visits, with its interval of 95 %.
    pub demand_ms: f64,
    pub ci95_ms: [f64; 2],
    /// Variance inflation factor beside the other classes.
    pub vif: f64,
}

/// The demand of a request of the mean mix under the lower and the higher half of the loads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Drift {
    pub lower_ms: f64,
    pub upper_ms: f64,
    /// They differ by more than 15 % and by more than chance: one demand does not hold for all loads.
    pub moved: bool,
}

/// A point of the curve of a demand that moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DemandAt {
    pub rate_per_s: f64,
    pub demand_ms: f64,
}

/// Estimates the demands of all resources of a record.
pub fn service_demands(recorded: &Recorded) -> ServiceDemands {
    let classes = windows::classes(recorded);
    let (cuts, resources) = windows::cut(recorded, &classes);
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for cut in &cuts {
        if let Some(reason) = &cut.left_out {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    let mut document = ServiceDemands {
        scenario: recorded.manifest.scenario.clone(),
        window_s: WINDOW_S,
        windows: cuts.len(),
        windows_used: cuts.iter().filter(|cut| cut.left_out.is_none()).count(),
        left_out: reasons
            .into_iter()
            .map(|(reason, windows)| LeftOut { reason: reason.to_owned(), windows })
            .collect(),
        resources: Vec::new(),
        unfitted: Vec::new(),
        warnings: Vec::new(),
    };
    for (number, resource) in resources.iter().enumerate() {
        match fit(recorded, &classes, &cuts, resource, number) {
            Ok(found) => document.resources.push(found),
            Err(unfitted) => document.unfitted.push(unfitted),
        }
    }
    document.warnings = whose_run(recorded);
    document.warnings.extend(warnings(&document));
    document
}

fn fit(
    recorded: &Recorded,
    classes: &[&EndpointEntry],
    cuts: &[Cut],
    resource: &Resource<'_>,
    number: usize,
) -> Result<ResourceDemand, Unfitted> {
    let unfitted = |reason: String, per_user: Option<f64>| Unfitted {
        resource: resource.name.to_owned(),
        reason,
        per_user,
    };
    let used = cuts.iter().zip(&resource.seen).filter(|(cut, _)| cut.left_out.is_none());
    let covered: Vec<_> = used.filter_map(|(cut, seen)| Some((cut, seen, seen.busy()?))).collect();
    let windows: Vec<Window> = covered
        .iter()
        .map(|(cut, _, busy)| Window {
            seconds: WINDOW_S,
            busy: *busy,
            rates_per_s: cut.rates_per_s.clone(),
            users: cut.users,
        })
        .collect();
    let by_users = held(&windows);
    if resource.kind == "memory" {
        let per_user = by_users.map(|held| held.per_user);
        return Err(unfitted("memory is held by users and data, not by requests".to_owned(), per_user));
    }
    if let Some(held) = by_users.filter(|held| rather_held(&windows, held)) {
        return Err(unfitted("held by users, whatever they ask for".to_owned(), Some(held.per_user)));
    }
    let random = &mut stream(recorded.manifest.seed, Purpose::Bootstrap, number as u64, 0);
    let found = demands(&windows, random).ok_or_else(|| {
        let few = format!("{} of its windows can be used, and a demand takes {WINDOWS_MIN}", windows.len());
        unfitted(few, None)
    })?;
    let total = |window: &Window| window.rates_per_s.iter().sum::<f64>();
    let requests: f64 = windows.iter().map(|window| total(window) * window.seconds).sum();
    let sum = |of: &dyn Fn(&windows::Seen) -> Option<f64>| -> Option<f64> {
        covered.iter().map(|(_, seen, _)| of(seen)).sum()
    };
    let visits = sum(&|seen| seen.visits).filter(|visits| *visits > 0.0);
    let most = windows.iter().map(|window| window.busy).fold(0.0, f64::max);
    let mean_s = mean_demand_s(&found, &windows);
    // What a pool holds longer is a queue behind it, and no demand.
    let curve =
        found.drift.as_ref().and_then(|drift| drift.curve.as_ref()).filter(|_| resource.kind != "pool");
    let fills = resource.limit.filter(|_| mean_s > 0.0).map(|limit| {
        let background = found.background.map_or(0.0, |background| background.value);
        let at = curve.map_or((limit - background) / mean_s, |curve| curve.load_at(limit));
        (at, limit / most)
    });
    let is_past = resource.limit.is_some_and(|limit| curve.is_some_and(|curve| curve.is_past(limit)));
    let at = |(rate_per_s, demand_s)| DemandAt { rate_per_s, demand_ms: demand_s * 1e3 };
    let curve = curve.map(|curve| curve.demands().map(at).collect());
    let background = found.background;
    Ok(ResourceDemand {
        resource: resource.name.to_owned(),
        kind: resource.kind.to_owned(),
        limit: resource.limit,
        windows_used: windows.len(),
        background: background.map(|background| background.value),
        background_ci95: background.map(|background| background.ci95),
        hold_ms: sum(&|seen| seen.hold_s).zip(visits).map(|(hold_s, visits)| hold_s / visits * 1e3),
        visits_per_request: visits.map(|visits| visits / requests),
        curve,
        drift: found.drift.map(|drift| Drift {
            lower_ms: drift.lower_s * 1e3,
            upper_ms: drift.upper_s * 1e3,
            moved: drift.moved,
        }),
        fills_at_per_s: fills.map(|(rate, _)| rate),
        evidence: fills.map(|(_, factor)| evidence_of(is_past, factor).to_owned()),
        extrapolated: fills.map(|(_, factor)| factor),
        demands: found
            .demands
            .into_iter()
            .map(|demand| ClassDemand {
                endpoints: demand
                    .group
                    .classes
                    .iter()
                    .map(|&class| classes[class].key().to_owned())
                    .collect(),
                demand_ms: demand.demand_s.value * 1e3,
                ci95_ms: demand.demand_s.ci95.map(|end| end * 1e3),
                vif: demand.group.vif,
            })
            .collect(),
    })
}

/// Demand of a request of the mix that the windows had, seconds.
fn mean_demand_s(found: &Demands, windows: &[Window]) -> f64 {
    let of = |classes: &[usize]| -> f64 {
        windows.iter().map(|window| classes.iter().map(|&class| window.rates_per_s[class]).sum::<f64>()).sum()
    };
    let each: Vec<(f64, f64)> =
        found.demands.iter().map(|demand| (of(&demand.group.classes), demand.demand_s.value)).collect();
    let all: f64 = each.iter().map(|(rate, _)| rate).sum();
    each.iter().map(|(rate, demand_s)| rate * demand_s).sum::<f64>() / all
}

/// What the run itself lacks.
fn whose_run(recorded: &Recorded) -> Vec<Warning> {
    let progress = &recorded.manifest.progress;
    let warning = |code: &str, text: &str, remedy: &str| Warning {
        code: code.to_owned(),
        text: text.to_owned(),
        remedy: remedy.to_owned(),
    };
    let invalid = (!progress.generator.valid).then(|| {
        warning(
            "invalid_run",
            "the generator was the limit in this run: the load was not what it says",
            "take a run that is valid",
        )
    });
    let cut_off = (!recorded.manifest.finished).then(|| {
        warning(
            "unfinished_run",
            "the run did not end by itself: its last window may be a part of one",
            "take a run that is finished",
        )
    });
    invalid.into_iter().chain(cut_off).collect()
}

fn warnings(document: &ServiceDemands) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code: &str, text: String, remedy: &str| {
        warnings.push(Warning { code: code.to_owned(), text, remedy: remedy.to_owned() });
    };
    if document.resources.is_empty() && document.unfitted.is_empty() {
        warn(
            "no_readings",
            "the record has no readings of any resource".to_owned(),
            "say under `observe` where the target tells of itself",
        );
    }
    for resource in &document.resources {
        let name = &resource.resource;
        if let Some(Drift { lower_ms, upper_ms, moved: true }) = resource.drift {
            let instead = if resource.curve.is_some() { "; a curve over them takes its place" } else { "" };
            let text = format!(
                "{name}: a request takes {lower_ms:.3} ms under the lower half of the loads and {upper_ms:.3} ms under the higher, more than {:.0} % apart: one demand does not hold for all loads{instead}",
                MOVED_MIN * 100.0
            );
            warn(
                "demand_moves",
                text,
                "look for retries, caches that overflow or locks; use the demand of the loads you mean",
            );
        }
        if resource.background.is_none() {
            let text = format!(
                "{name}: the load hardly varied, so what it uses without requests is counted as theirs"
            );
            warn("background_unknown", text, "run several levels (`step`, or `plimsoll find`)");
        }
    }
    let together = document.resources.first().map_or(0, |resource| {
        resource.demands.iter().map(|class| class.endpoints.len().saturating_sub(1)).sum()
    });
    if together > 0 {
        warn(
            "classes_together",
            "endpoints whose rates rise and fall together, or more than a fifth as many as windows, cannot be told apart: their demand is the mean of their requests".to_owned(),
            "run longer, and the journeys with other shares (`run: {browse: 3, buy: 1}`) at some levels",
        );
    }
    warnings
}

#[cfg(test)]
mod tests;
