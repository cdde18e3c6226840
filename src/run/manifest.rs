//! The manifest a run begins with.

use super::Options;
use crate::clock;
use crate::endpoint::Endpoint;
use crate::probe::process;
use crate::record::rows::{EndpointEntry, Manifest, PhaseMark, Progress, RECORD_SCHEMA, SearchSettings};
use crate::scenario::plan::{Executor, LoadPart, LoadUnit, Plan};
use crate::search::Goal;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};

pub(super) fn begin(plan: &Plan, options: &Options) -> Manifest {
    let part = steered_part(plan).map_or(0, |(index, _)| index);
    let expectation = plan.load.get(part).map(|part| plan.expect_part(part)).unwrap_or_default();
    // Pacing and listening make the time between two requests depend on more than thinking.
    let thinks_only = expectation.pacing.is_none() && expectation.held.all() == 0.0;
    let think = expectation.think_per_request().filter(|_| thinks_only);
    Manifest {
        schema: RECORD_SCHEMA,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: plan.name.clone(),
        scenario_path: plan.recipe.path.clone(),
        scenario_text: redacted(&plan.recipe.text, &plan.redact),
        scenario_sha256: hex(&Sha256::digest(plan.recipe.text.as_bytes())),
        seed: plan.seed,
        command: options.command.to_owned(),
        started_utc: clock::utc_now().to_string(),
        duration_s: 0.0,
        finished: false,
        host: process::host(),
        target: String::new(),
        endpoints: entries(&plan.endpoints),
        phases: phases(plan),
        levels: Vec::new(),
        think_s: think.map(|think| think.as_secs_f64()),
        think_variation: expectation.think_variation().filter(|_| thinks_only),
        requests_per_iteration: expectation.requests(),
        self_timed: plan.load.iter().all(|part| is_self_timed(plan, part)),
        level_unit: level_unit(plan).map(str::to_owned),
        thresholds: plan.thresholds.iter().map(|threshold| threshold.text.clone()).collect(),
        goals: goals(plan).iter().map(|goal| goal.threshold.text.clone()).collect(),
        search: search(plan),
        progress: Progress { warnings: options.warnings.clone(), ..Progress::default() },
        ended: None,
        signal_windows_s: signal_windows_s(plan),
        what_if: options.what_if.clone(),
    }
}

fn signal_windows_s(plan: &Plan) -> BTreeMap<String, f64> {
    let signals = plan.observe.sources.iter().flat_map(|source| &source.signals);
    signals.filter_map(|(name, query)| Some((name.clone(), query.window_s()?))).collect()
}

/// Each with a key of its own: its name, or its protocol and its name where it would be taken for another.
fn entries(endpoints: &[Endpoint]) -> Vec<EndpointEntry> {
    let full = |endpoint: &Endpoint| format!("{} {}", endpoint.protocol.name(), endpoint.name);
    let mut named: HashMap<&str, usize> = HashMap::new();
    for endpoint in endpoints {
        *named.entry(&endpoint.name).or_default() += 1;
    }
    let mut in_full: Vec<bool> = endpoints.iter().map(|endpoint| named[endpoint.name.as_str()] > 1).collect();
    loop {
        let with_protocol = |(endpoint, in_full): (&Endpoint, &bool)| in_full.then(|| full(endpoint));
        let keys: HashSet<String> = endpoints.iter().zip(&in_full).filter_map(with_protocol).collect();
        let mut settled = true;
        for (endpoint, in_full) in endpoints.iter().zip(&mut in_full) {
            // One may be named as another's protocol and name are.
            if !*in_full && keys.contains(&endpoint.name) {
                (*in_full, settled) = (true, false);
            }
        }
        if settled {
            break;
        }
    }
    let entry = |(endpoint, in_full): (&Endpoint, bool)| EndpointEntry {
        name: endpoint.name.clone(),
        protocol: endpoint.protocol.name().to_owned(),
        route: endpoint.route.clone(),
        key: in_full.then(|| full(endpoint)),
    };
    endpoints.iter().zip(in_full).map(entry).collect()
}

/// Index, unit and goals of the part whose levels are judged, if the plan has one.
pub(super) fn steered_part(plan: &Plan) -> Option<(usize, &Executor)> {
    plan.load
        .iter()
        .map(|part| &part.executor)
        .enumerate()
        .find(|(_, executor)| matches!(executor, Executor::Step { .. } | Executor::Breakpoint { .. }))
}

/// Whether every user of this part starts an iteration when it is ready for it.
fn is_self_timed(plan: &Plan, part: &LoadPart) -> bool {
    let users = match &part.executor {
        Executor::Closed { .. } => true,
        Executor::Step { of, .. } | Executor::Breakpoint { of, .. } => *of == LoadUnit::Users,
        Executor::Open { .. } => false,
    };
    users && part.mix.iter().all(|(journey, _)| plan.journeys[usize::from(*journey)].pacing.is_none())
}

fn goals(plan: &Plan) -> &[Goal] {
    match steered_part(plan) {
        Some((_, Executor::Step { fail_when, .. })) => fail_when,
        Some((_, Executor::Breakpoint { search, .. })) => &search.fail_when,
        _ => &[],
    }
}

fn search(plan: &Plan) -> Option<SearchSettings> {
    let (_, Executor::Breakpoint { search, timing, .. }) = steered_part(plan)? else { return None };
    Some(SearchSettings {
        effort: search.effort.map(|effort| effort.name().to_owned()),
        window_s: timing.window.as_secs_f64(),
        windows: timing.windows,
        exceed: search.exceed,
        precision: search.precision,
        soak_s: search.guarantee.then_some(search.soak.as_secs_f64()),
    })
}

fn level_unit(plan: &Plan) -> Option<&'static str> {
    match steered_part(plan)?.1 {
        Executor::Step { of, .. } | Executor::Breakpoint { of, .. } => Some(match of {
            LoadUnit::Users => "users",
            LoadUnit::RatePerS => "rate",
        }),
        Executor::Closed { .. } | Executor::Open { .. } => None,
    }
}

fn phases(plan: &Plan) -> Vec<PhaseMark> {
    let mut marks: Vec<PhaseMark> = Vec::new();
    for part in &plan.load {
        let (Executor::Closed { phases, .. } | Executor::Open { phases, .. }) = &part.executor else {
            continue;
        };
        let start_s = part.start.as_secs_f64();
        for phase in phases {
            let (from_s, to_s) = (start_s + phase.from_ns as f64 / 1e9, start_s + phase.to_ns as f64 / 1e9);
            // Parts that name the same phase mean the same span; it reaches from the first to the last of them.
            match marks.iter_mut().find(|mark| mark.name == phase.name) {
                Some(mark) => {
                    mark.from_s = mark.from_s.min(from_s);
                    mark.to_s = mark.to_s.max(to_s);
                }
                None => marks.push(PhaseMark { name: phase.name.clone(), from_s, to_s }),
            }
        }
    }
    marks
}

fn redacted(text: &str, secrets: &[String]) -> String {
    secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Protocol;

    #[test]
    fn every_endpoint_has_a_key_of_its_own() {
        let endpoint = |protocol: Protocol, name: &str| Endpoint {
            name: name.to_owned(),
            protocol,
            route: String::new(),
        };
        let entries = entries(&[
            endpoint(Protocol::Ws, "tick"),
            endpoint(Protocol::WsLag, "tick"),
            endpoint(Protocol::Http, "ws tick"),
            endpoint(Protocol::Sse, "http ws tick"),
            endpoint(Protocol::Http, "home"),
        ]);
        let keys: Vec<&str> = entries.iter().map(EndpointEntry::key).collect();
        assert_eq!(keys, ["ws tick", "ws.lag tick", "http ws tick", "sse http ws tick", "home"]);
    }
}
