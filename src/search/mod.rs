//! The search for the load line as a pure state machine: results of trials in, the next level out. It knows nothing of time,
//! sockets or users, so every path through it is a unit test.
//!
//! It is MLRsearch (draft-ietf-bmwg-mlrsearch-15), with what docs/decisions/0038 changes in it.

use crate::endpoint::Protocol;
use crate::threshold::{Threshold, Which};

pub mod classify;
#[cfg(test)]
pub(crate) mod closed_system;
pub mod controller;
pub mod goal;
pub mod level;
pub mod line;
pub mod sizing;
pub mod staircase;
pub mod steady;

/// One condition of `fail_when`, turned into a bound on the share of bad requests (analysis: SLO → goal): `p99(http) > 100ms`
/// means "a trial is bad when more than 1 % of its requests took over 100 ms, failed, or were not sent".
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    pub threshold: Threshold,
    pub kind: GoalKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum GoalKind {
    /// Bad = failed, dropped or slower than `limit_ns`; the trial is bad when bad/all > `bad_ratio_max`.
    Latency { clock: Which, protocol: Protocol, name: Option<String>, limit_ns: u64, bad_ratio_max: f64 },
    /// failed/all > the bound.
    Errors { protocol: Option<Protocol>, name: Option<String>, bad_ratio_max: f64 },
    /// Dropped arrivals above the bound, as a count or as a share of the planned.
    Dropped { max: f64, ratio: bool },
}

/// What chooses the levels of a run: a [`controller::Search`] or a [`staircase::Staircase`].
pub trait Levels {
    /// The level to judge next, or the end. Until its result is recorded, the same level again.
    fn next(&mut self) -> Step;
    /// The result of the level that [`Levels::next`] asked for.
    fn record(&mut self, result: level::LevelResult);
    /// The result of the soak that [`Levels::next`] asked for.
    fn record_soak(&mut self, result: level::LevelResult);
    /// The system does not come out of the level that was recorded last.
    fn did_not_recover(&mut self);
    /// Where the load line lies by what was recorded so far.
    fn so_far(&self) -> line::Outcome;
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Bring the load to `level` and judge it by so many windows. `reason` is a sentence for `events.ndjson`.
    Probe {
        level: f64,
        windows: u32,
        /// It was judged before, by fewer: what was seen of it then counts.
        again: bool,
        reason: String,
    },
    /// Hold `level` for the length of a soak.
    Soak {
        level: f64,
        reason: String,
    },
    Done(line::Outcome),
}
