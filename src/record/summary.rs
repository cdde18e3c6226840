//! `summary.json`: the result of a run, the published contract for scripts and CI. Times in ms, rates per second, ratios 0..1.
//! A key is changed only on purpose, with the changelog saying so; `docs/schemas/summary.schema.json` is generated from here.

use super::what_if::WhatIf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const SUMMARY_SCHEMA: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    pub schema: u32,
    pub scenario: String,
    pub verdict: Verdict,
    pub exit_code: u8,
    /// Why, in one sentence: what failed first or what was found.
    pub reason: String,
    pub counts: Counts,
    pub requests: RequestCounts,
    /// Age that interrupted iterations had reached when they were cut off; `null` when none was.
    pub interrupted_age_ms: Option<Lag>,
    /// By how much our clock is ahead of the target's, as far as pushed messages with a `lag` tell; `null` without one.
    pub clock_offset_ms: Option<ClockOffset>,
    /// Only for executors `breakpoint` and `step`.
    pub load_line: Option<LoadLine>,
    pub bottleneck: Option<Bottleneck>,
    /// Where each observed resource gives way, soonest first; those of which that cannot be told come last.
    #[serde(default)]
    pub ladder: Vec<Rung>,
    /// What the operational laws say of the levels and of the resources at them.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// What a changed system would carry, where that was asked.
    #[serde(default)]
    pub what_if: Option<WhatIf>,
    pub levels: Vec<Level>,
    pub endpoints: Vec<EndpointResult>,
    pub thresholds: Vec<ThresholdResult>,
    pub generator: Generator,
    /// What failed, most frequent first.
    pub failures: Vec<Failure>,
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    Fail,
    Invalid,
    Aborted,
    QuorumLost,
    Regression,
    CannotTell,
    TargetLost,
    Error,
    Interrupted,
}

/// Iterations: planned = completed + failed + dropped + interrupted + lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    pub planned: u64,
    pub completed: u64,
    pub failed: u64,
    pub dropped: u64,
    pub interrupted: u64,
    pub lost: u64,
}

impl Counts {
    /// Iterations that are accounted for: as many as were planned, or something is wrong.
    pub fn ended(&self) -> u64 {
        self.completed + self.failed + self.dropped + self.interrupted + self.lost
    }
}

/// Requests and what became of them: `sent + unsent = ok + failed + interrupted` at the end of a run that lost no agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestCounts {
    /// Put on the wire, which is what a target's own counter sees.
    pub sent: u64,
    /// Ended before a byte of them was sent: no connection, no stream, no value for a variable, or cut off before.
    #[serde(default)]
    pub unsent: u64,
    /// Answered and as expected.
    pub ok: u64,
    /// Everything else that ended: errors, unexpected answers, time-outs, connections refused before anything was sent.
    pub failed: u64,
    /// Cut off by the end of the drain.
    pub interrupted: u64,
    /// Attempts beyond the first of a request: the server had just closed the connection, or said that it had not looked at it. A target's
    /// counter may have seen them too.
    #[serde(default)]
    pub sent_again: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub connections_opened: u64,
    /// TLS handshakes completed, and those of them that took up a session of an earlier connection.
    #[serde(default)]
    pub tls_handshakes: u64,
    #[serde(default)]
    pub tls_resumed: u64,
    #[serde(default)]
    pub streams: StreamCounts,
}

/// What WebSockets and event streams went through besides their requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamCounts {
    /// Attempts to open again what had ended unexpectedly.
    pub reconnects: u64,
    /// Messages a `sequence` says there were and that did not come.
    pub missing: u64,
    /// Messages that came twice or out of order.
    pub repeated: u64,
    /// Messages that say they were sent later than they were received: the server's clock is ahead of ours by more than their lag.
    pub early: u64,
    /// Messages that came while their user did not ask for any, more than are kept for it: the oldest were dropped.
    #[serde(default)]
    pub overflowed: u64,
    /// The smallest lag of a pushed message, below zero where the server's clock is ahead of ours by more; absent without a `lag`.
    #[serde(default)]
    pub lag_ns_min: Option<i64>,
    /// The fastest opening of a socket or event stream: a round trip to the same target.
    #[serde(default)]
    pub opening_ns_min: Option<u64>,
}

/// Bounds, not an estimate: nothing says where between them the truth is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClockOffset {
    /// Holds if at least one message came as fast as the fastest opening of a socket or event stream had its answer.
    pub low: f64,
    /// The smallest lag: certain, as no message comes before it is sent.
    pub high: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadLine {
    /// `users` or `rate`.
    pub of: String,
    /// `null` when no level was good.
    pub typical: Option<f64>,
    /// The highest load that lasted a whole soak; `null` where none was asked for, or none did.
    pub guaranteed: Option<f64>,
    /// The noise gap, the lower end of the interval over the guaranteed load: what stalls, leaks and other periods cost that a search does not see.
    #[serde(default)]
    pub noise_gap: Option<f64>,
    /// [last good level, first bad level]; an end that was never met is `null`.
    pub interval: [Option<f64>; 2],
    /// `bracket` or `bootstrap`.
    pub interval_kind: String,
    pub confidence: Option<f64>,
    /// The condition that failed first above the line, `null` when the search ended at its upper limit.
    pub limited_by: Option<String>,
    /// The line of each condition alone; the load line is the least of them.
    #[serde(default)]
    pub goals: Vec<GoalLine>,
    /// What was held to find the guaranteed line, in order of time.
    #[serde(default)]
    pub soaks: Vec<Soak>,
}

/// Where one condition puts the line. Only the load line is narrowed to the precision of the search: another condition's interval is what the
/// levels on the way to it happened to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GoalLine {
    pub text: String,
    pub typical: Option<f64>,
    /// [last good level, first bad level] for this condition; an end that was never met is `null`.
    pub interval: [Option<f64>; 2],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Soak {
    pub level: f64,
    pub good: bool,
    pub failed_by: Option<String>,
    /// Share of bad requests over all of it.
    pub bad_ratio: f64,
    /// Start and end, seconds from the start of the run.
    pub span_s: [f64; 2],
    /// What grew while the load did not.
    pub drift: Vec<Drift>,
}

/// A trend over a soak that is no chance (p < 0.01) and comes to more than a tenth of the mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// `response` for the mean response time, or the name of a resource.
    pub of: String,
    /// Change over the whole soak as a share of the mean.
    pub change_ratio: f64,
    /// That a trend of this size came about by chance.
    pub p_value: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bottleneck {
    pub status: BottleneckStatus,
    pub resource: Option<String>,
    pub candidates: Vec<Candidate>,
    /// `pool`, `cpu`, `memory` or `queue`.
    pub kind: Option<String>,
    pub used: Option<f64>,
    pub limit: Option<f64>,
    pub waiting: Option<f64>,
    /// Load at which its queue began to grow, in the unit of the load line.
    pub onset: Option<f64>,
    pub onset_interval: Option<[f64; 2]>,
    /// Load from which the mean response time grows along a straight line, whatever makes it.
    #[serde(default)]
    pub latency_knee: Option<f64>,
    #[serde(default)]
    pub latency_knee_interval: Option<[f64; 2]>,
    pub share_of_added_latency: Option<f64>,
    /// Of what fails more than at the lowest level, what the resource refused: of one that fails requests rather than making them wait.
    #[serde(default)]
    pub share_of_failures: Option<f64>,
    /// `measured`, `interpolated`, `extrapolated` or `confirmed`.
    pub evidence: String,
    /// Share of the redraws of the readings in which it is the first: 0.8 or more of what is named.
    pub probability: Option<f64>,
    /// What follows once this one is widened, soonest first.
    pub next: Vec<NextWall>,
    /// One plain sentence a reader can act on.
    pub explanation: String,
}

impl Bottleneck {
    /// Nothing gave way.
    pub fn none(explanation: String) -> Self {
        Self {
            status: BottleneckStatus::None,
            resource: None,
            candidates: Vec::new(),
            kind: None,
            used: None,
            limit: None,
            waiting: None,
            onset: None,
            onset_interval: None,
            latency_knee: None,
            latency_knee_interval: None,
            share_of_added_latency: None,
            share_of_failures: None,
            evidence: "measured".to_owned(),
            probability: None,
            next: Vec::new(),
            explanation,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BottleneckStatus {
    Named,
    Set,
    Uninstrumented,
    None,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    pub resource: String,
    /// That it gave way first; `null` where none was computed.
    pub probability: Option<f64>,
    pub share_of_added_latency: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NextWall {
    pub resource: String,
    /// Load, in the unit of the load line, at which m/D of this resource is reached: its rung of the ladder.
    pub at: f64,
    /// Predicted over highest measured load of the resource; above 1.25 the number is an extrapolation.
    pub extrapolated: f64,
    pub evidence: String,
}

/// Where one resource gives way: a rung of the ladder of ceilings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rung {
    pub resource: String,
    /// `pool`, `cpu`, `memory` or `queue`.
    pub kind: String,
    /// What `at` counts: `users` or `rate`.
    pub of: String,
    /// The load at which its queue begins to grow, or at which its demand fills it; `null` where that cannot be told.
    pub at: Option<f64>,
    /// With `confidence` the middle part of what redraws of the readings give; without it the levels on either side.
    pub interval: Option<[f64; 2]>,
    pub confidence: Option<f64>,
    /// `measured` where it was seen to give way, `interpolated` up to 1.25 × the most that was in use, else `extrapolated`, as all is that a demand which moves makes of more
    /// than that; `confirmed` by a run after the change.
    pub evidence: Option<String>,
    /// Use at which it gives way over the most that was measured; `null` where it was seen to.
    pub factor: Option<f64>,
    /// What a request more takes over the upper half of the loads, over what it takes over the lower, where one demand does not do for all of them and `at` is told
    /// by a curve over the loads; `null` where one does.
    #[serde(default)]
    pub demand_moved: Option<f64>,
    /// Why there is no `at`.
    pub reason: Option<String>,
}

/// One operational law, held against one level, one resource or both. Where a law holds only the worst of its residuals is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// `interactive` N = X(R + Z), `little_in_use` in use = X·V·H, `little_waiting` waiting = X·V·W, `utilization` in use = b + X·D, `forced_flow` V the
    /// same at all loads, `bound` in use ≤ m.
    pub law: String,
    /// `null` where the law is one of the whole level.
    pub resource: Option<String>,
    /// `null` for all levels together.
    pub level: Option<f64>,
    /// Measured over lawful, less one; 0 where they agree.
    pub residual: f64,
    /// What chance and rounding may make of it.
    pub bound: f64,
    pub holds: bool,
    /// What follows from it for the answer.
    pub consequence: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    pub level: f64,
    pub users: f64,
    pub offered_per_s: f64,
    pub throughput_per_s: f64,
    pub good: bool,
    /// The first condition that failed, if any.
    pub failed_by: Option<String>,
    pub error_ratio: f64,
    /// Start and end of what counts of the judged span, seconds from the start of the run.
    pub span_s: [f64; 2],
    /// Seconds of the judged span before that, which MSER-5 leaves out because the response time was still settling; `null` where it was too short to tell.
    #[serde(default)]
    pub truncated_s: Option<f64>,
    /// Mean time between requests of one user that it does not wait for an answer, seconds: what the interactive law N = X(R+Z) yields.
    pub think_s: f64,
    /// N/(X(R+Z)) − 1 with the scenario's own think time; far from 0 the level cannot be trusted. `null` in open loads.
    pub residual_ratio: Option<f64>,
    pub response_ms: Latency,
    pub service_ms: Latency,
    pub resources: BTreeMap<String, LevelResource>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub max: f64,
    pub mean: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LevelResource {
    pub kind: String,
    pub used: f64,
    pub limit: Option<f64>,
    pub waiting: Option<f64>,
    pub utilization: Option<f64>,
    /// Share of the readings, 0..1, in which used/limit was at least 0.98.
    pub full_ratio: f64,
    /// Mean wait and mean hold of one visit, milliseconds, and visits per request, where the resource tells.
    pub wait_ms: Option<f64>,
    pub hold_ms: Option<f64>,
    pub visits: Option<f64>,
    /// Refusals and time-outs that it counts itself, per second.
    #[serde(default)]
    pub errors_per_s: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointResult {
    pub name: String,
    /// `http`, `ws`, `ws.lag`, `sse` or `sse.lag`.
    pub protocol: String,
    pub count: u64,
    pub failed: u64,
    pub response_ms: Latency,
    pub service_ms: Latency,
    /// Points of the percentile curve: [quantile 0..1, response ms, service ms].
    pub curve: Vec<[f64; 3]>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdResult {
    pub text: String,
    /// In the unit of the text: ms, a ratio, per second or a number; `null` when there was nothing to judge.
    pub value: Option<f64>,
    pub samples: u64,
    /// `pass`, `fail` or `not_evaluated`.
    pub result: String,
    /// Why it was not evaluated.
    pub note: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    pub valid: bool,
    pub agents: u32,
    pub shards: u32,
    /// Of the busiest shard's thread over the run.
    pub cpu_ratio: f64,
    /// Cores that the generator's processes used on average, all their threads together.
    pub cores: f64,
    /// Share of the run that the shard's thread which waited most was ready to run and had no core; `null` where the kernel does not tell.
    pub run_queue_ratio: Option<f64>,
    /// Share of all cores' time that a hypervisor gave to other machines while this one had use for it, of the machine that led the run; `null`
    /// where the kernel does not tell.
    #[serde(default)]
    pub steal_ratio: Option<f64>,
    pub dispatch_lag_ms: Lag,
    /// How late a shard's own timer fired: what the generator adds to any latency it reports.
    pub loop_lag_ms: Lag,
    /// How long what came had lain in the socket, by the kernel's own stamps, when it was read: what the generator added to its
    /// latency. `null` where there were no stamps.
    pub read_error_ms: Option<ReadError>,
    /// Requests that were not sent because this process had no descriptor, port or socket memory left.
    pub socket_errors: u64,
    /// Memory of the generator's processes together (PSS).
    pub pss_bytes_max: u64,
    pub sockets_max: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lag {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// A sample of what was read: one response in a hundred over HTTP/1.1 in clear text, elsewhere one read in a hundred; ten a second of a slow load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReadError {
    /// Reads in the sample.
    pub count: u64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// `(no request)` where a step failed that only computes.
    pub endpoint: String,
    /// `status`, `check`, `connect`, `timeout`, `reset`, `protocol`, …
    pub kind: String,
    pub text: String,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    pub code: String,
    pub text: String,
    pub remedy: String,
}
