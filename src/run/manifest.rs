//! The manifest a run begins with.

use super::Options;
use crate::clock;
use crate::probe::process;
use crate::record::rows::{EndpointEntry, Manifest, PhaseMark, Progress, RECORD_SCHEMA};
use crate::scenario::plan::{Executor, LoadPart, LoadUnit, Plan};
use crate::search::Goal;
use sha2::{Digest as _, Sha256};

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
        endpoints: plan
            .endpoints
            .iter()
            .map(|endpoint| EndpointEntry {
                name: endpoint.name.clone(),
                protocol: endpoint.protocol.name().to_owned(),
                route: endpoint.route.clone(),
                key: (plan.endpoints.iter().filter(|other| other.name == endpoint.name).count() > 1)
                    .then(|| format!("{} {}", endpoint.protocol.name(), endpoint.name)),
            })
            .collect(),
        phases: phases(plan),
        levels: Vec::new(),
        think_s: think.map(|think| think.as_secs_f64()),
        requests_per_iteration: expectation.requests(),
        self_timed: plan.load.iter().all(|part| is_self_timed(plan, part)),
        level_unit: level_unit(plan).map(str::to_owned),
        thresholds: plan.thresholds.iter().map(|threshold| threshold.text.clone()).collect(),
        goals: goals(plan).iter().map(|goal| goal.threshold.text.clone()).collect(),
        progress: Progress { warnings: options.warnings.clone(), ..Progress::default() },
        ended: None,
    }
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
