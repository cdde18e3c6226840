//! The rows of `timeline.csv`, `saturation.csv` and `events.ndjson`, and the manifest `record.json`: what a run leaves behind
//! second by second, and the only thing that analysis and reports read.

use super::summary::{Counts, Failure, Generator, Lag, RequestCounts, Warning};
use super::what_if::Asked;
use crate::search::level::GoalResult;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const RECORD_SCHEMA: u32 = 1;

/// One second of one endpoint. Latencies in ms; `p…` are of the response time, `service_…` of the service time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimelineRow {
    /// End of the second, seconds from the start of the run.
    pub t_s: f64,
    pub endpoint: String,
    pub users: u64,
    /// Iterations the plan asked for in this second (whole run; repeated in each endpoint's row).
    pub offered: u64,
    pub sent: u64,
    pub completed: u64,
    pub failed: u64,
    /// Iterations dropped in this second (whole run).
    pub dropped: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub max: f64,
    pub service_p50: f64,
    pub service_p99: f64,
    pub service_max: f64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
}

/// The kind of a [`SaturationRow`] that is no resource: the value of a signal, in `used`.
pub const SIGNAL: &str = "signal";

/// One reading of one resource: the state over the span since the reading before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SaturationRow {
    /// When it was read, seconds from the start of the run.
    pub t_s: f64,
    pub resource: String,
    /// `pool`, `cpu`, `memory` or `queue`; of a number that a query gave, [`SIGNAL`].
    pub kind: String,
    /// Mean number in use over the span (connections, cores, bytes).
    pub used: f64,
    pub limit: Option<f64>,
    pub waiting: Option<f64>,
    /// used / limit.
    pub utilization: Option<f64>,
    /// Refusals and time-outs of the resource in the span.
    pub errors: Option<f64>,
    /// Acquisitions in the span, and the sums of their waits and holds in seconds.
    pub visits: Option<f64>,
    pub wait_s: Option<f64>,
    pub hold_s: Option<f64>,
}

/// One line of `events.ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub t_s: f64,
    /// `run`, `phase`, `level`, `search`, `saturation`, `probe`, `target`, `abort`.
    pub kind: String,
    pub text: String,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// `record.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub schema: u32,
    pub tool_version: String,
    pub scenario: String,
    pub scenario_path: String,
    pub scenario_text: String,
    pub scenario_sha256: String,
    pub seed: u64,
    /// `run` or `find`.
    pub command: String,
    /// RFC 3339.
    pub started_utc: String,
    pub duration_s: f64,
    /// False until the run has come to its own end.
    pub finished: bool,
    pub host: Host,
    /// Where the load went, `http://127.0.0.1:40211`.
    pub target: String,
    pub endpoints: Vec<EndpointEntry>,
    pub phases: Vec<PhaseMark>,
    pub levels: Vec<LevelMark>,
    /// Mean think time of one request of the scenario, seconds (think time per iteration over requests per iteration); `null` where the
    /// journeys do not fix it (pacing, listening).
    pub think_s: Option<f64>,
    /// Squared coefficient of variation of the thinking between two requests, 0 where it is always as long.
    #[serde(default)]
    pub think_variation: Option<f64>,
    /// Mean requests of one iteration as planned.
    pub requests_per_iteration: f64,
    /// Every user sends when it is ready, not when a plan says so: closed loads without pacing, and nothing else.
    #[serde(default)]
    pub self_timed: bool,
    /// Unit of the levels: `users`, `rate`, or `null` for plain runs.
    pub level_unit: Option<String>,
    pub thresholds: Vec<String>,
    pub goals: Vec<String>,
    /// `null` where nothing was searched.
    #[serde(default)]
    pub search: Option<SearchSettings>,
    /// Counted up to the last second written.
    #[serde(default)]
    pub progress: Progress,
    /// How the run ended; `null` while it runs, or when it was cut off without a chance to say so.
    #[serde(default)]
    pub ended: Option<Ended>,
    /// How far back the value of each signal looks that takes a growth over a span, seconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signal_windows_s: BTreeMap<String, f64>,
    /// What was asked about a changed system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what_if: Option<Asked>,
}

impl Manifest {
    /// Seconds of load: what rates over the whole run are taken of.
    pub fn load_s(&self) -> f64 {
        if self.progress.elapsed_s > 0.0 { self.progress.elapsed_s } else { self.duration_s }
    }
}

/// Totals of the run so far, kept beside the rows because they cannot be had from percentiles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Seconds of load up to the last row, to the moment the last user left.
    #[serde(default)]
    pub elapsed_s: f64,
    pub counts: Counts,
    pub requests: RequestCounts,
    pub generator: Generator,
    pub failures: Vec<Failure>,
    pub warnings: Vec<Warning>,
    /// Ages that iterations had reached when they were cut off.
    #[serde(default)]
    pub interrupted_age_ms: Lag,
}

/// How and why a run came to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    pub how: End,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The load came to its planned end.
    Completed,
    Interrupted,
    Aborted,
    TargetLost,
    /// An agent is gone, and with it what it had under way.
    AgentLost,
    /// The tool itself could not go on (a full disk).
    Error,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    pub os: String,
    pub cpu: String,
    pub cores: u32,
    pub memory_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointEntry {
    pub name: String,
    pub protocol: String,
    pub route: String,
    /// What the rows and histograms of it go by, where endpoints of several protocols have this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl EndpointEntry {
    /// What the rows and histograms of it go by.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.name)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseMark {
    pub name: String,
    pub from_s: f64,
    pub to_s: f64,
}

/// One judgment of a level of a search or staircase, or one soak: its span, and what was made of all that was seen of the level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LevelMark {
    pub level: f64,
    pub from_s: f64,
    pub to_s: f64,
    pub good: bool,
    /// The first condition that failed.
    pub failed_by: Option<String>,
    /// Share of bad requests for the deciding goal, and its bound.
    pub bad_ratio: f64,
    pub bad_ratio_max: f64,
    /// Windows judged bad, of how many; where the level was judged before, those of then count, too.
    pub windows_bad: u32,
    pub windows: u32,
    /// Windows that were to decide, and whether they held enough requests.
    #[serde(default)]
    pub asked: u32,
    #[serde(default)]
    pub enough: bool,
    /// In the order of the goals.
    #[serde(default)]
    pub goals: Vec<GoalResult>,
    /// The bracket after it: the highest good level below the lowest bad one, and that one.
    #[serde(default)]
    pub bracket: [Option<f64>; 2],
    /// Held to see whether the line lasts, not to find it.
    #[serde(default)]
    pub soak: bool,
    /// From when on what was measured counts, seconds from the start of the run: before that the response time was settling (MSER-5). `null` where
    /// that could not be told.
    #[serde(default)]
    pub counts_from_s: Option<f64>,
    /// How far what was left out lies from the rest, where the level had not settled by then either.
    #[serde(default)]
    pub unsettled_ratio: Option<f64>,
}

impl LevelMark {
    /// The part of the judged span that counts.
    pub fn counted_s(&self) -> [f64; 2] {
        [self.from_s.max(self.counts_from_s.unwrap_or(self.from_s)), self.to_s]
    }
}

/// By what a search was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchSettings {
    /// `ci` or `full` where the command line asked for one; else the scenario's own keys hold.
    pub effort: Option<String>,
    pub window_s: f64,
    pub windows: u32,
    /// Share of the windows that may be bad.
    pub exceed: f64,
    pub precision: f64,
    /// Length of a soak; `null` where no guaranteed line was asked for.
    pub soak_s: Option<f64>,
}
