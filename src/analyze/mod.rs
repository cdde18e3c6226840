//! What a finished run means: levels with the operational laws applied, the load line, what gave way first, what comes next. Pure
//! functions of the record, so all of it can be done again later, elsewhere, without running the test again.

use crate::record::rows::{LevelMark, SaturationRow, SearchSettings};
use crate::record::summary::{Latency, Soak};
use crate::scenario::plan::LoadUnit;

pub mod attribute;
pub mod checks;
mod clocks;
pub mod demand;
pub mod explain;
pub mod findings;
pub mod ladder;
pub mod levels;
mod odds;
mod omission;
pub mod onset;
pub mod predict;
pub mod quiet;
mod redraw;
pub mod refusals;
mod samples;
pub mod saturate;
mod steady;
pub mod summary;
pub mod suspects;
#[cfg(test)]
mod testbed;
pub mod usl;
pub mod verdict;
pub mod wall;

/// What the analysis reads from a record.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    pub unit: LoadUnit,
    /// Mean think time per request, seconds; `None` where the journeys do not fix it (pacing, listening).
    pub think_s: Option<f64>,
    /// Mean requests of one iteration.
    pub requests_per_iteration: f64,
    /// Whether the levels were judged by conditions at all; a staircase without any has levels but no load line.
    pub judged: bool,
    pub levels: &'a [LevelInput],
    pub soaks: &'a [Soak],
    /// By what the levels were searched; `None` where they were known beforehand.
    pub search: Option<&'a SearchSettings>,
    /// All readings of the run, in order of time; each level takes its own.
    pub readings: &'a [SaturationRow],
}

/// What was measured in what counts of the judged span of one level.
#[derive(Clone, Debug, Default)]
pub struct LevelInput {
    pub mark: LevelMark,
    /// Mean users; in an open load the mean number of iterations in flight.
    pub users: f64,
    /// Iterations that the plan asked for, per second.
    pub offered_per_s: f64,
    /// Requests that ended in the span, failed ones included.
    pub requests: u64,
    pub failed: u64,
    pub response_ms: Latency,
    pub service_ms: Latency,
}
