//! How far the generator may fall behind before its numbers count as its own and not the target's: `safety.generator`.

use super::document::Node;
use super::plan::{Executor, Plan};
use super::problem::Sink;
use super::{keys, reader};
use crate::threshold::{Selector, Stat, Threshold};
use std::time::Duration;

/// Lateness that may be left out of account at p99, however strict the SLO: about what a timer and a scheduler cost on a machine that is
/// used for other things too.
const LATENESS_P99_MIN: Duration = Duration::from_millis(5);

/// Share of the tightest latency that the scenario judges by: an error of that size does not change what it says.
const LATENESS_OF_SLO_RATIO: f64 = 0.05;

/// `safety.generator` as written; past any of them the verdict is INVALID.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneratorLimits {
    /// Release of arrivals, beats and ends of thoughts after their instant. `None`: see [`Plan::lateness_allowed`].
    pub dispatch_lag_p99: Option<Duration>,
    /// Reading of a response after its arrival, by the kernel's stamps. `None`: likewise.
    pub read_error_p99: Option<Duration>,
    /// Share of a shard's thread that is used, 0..1, for seconds on end.
    pub cpu_ratio: f64,
    /// Share of the time that a shard's thread is ready and has no core, 0..1, for seconds on end.
    pub run_queue_ratio: f64,
}

impl Default for GeneratorLimits {
    fn default() -> Self {
        Self { dispatch_lag_p99: None, read_error_p99: None, cpu_ratio: 0.85, run_queue_ratio: 0.5 }
    }
}

impl GeneratorLimits {
    pub(super) fn read(node: Option<&Node>, sink: &mut Sink) -> Self {
        let unless_written = Self::default();
        let Some(fields) = node.and_then(|node| reader::Fields::open(node, &keys::GENERATOR, sink)) else {
            return unless_written;
        };
        let mut lateness =
            |key| fields.get(key).and_then(|node| reader::lasting(node, &format!("`{key}`"), sink));
        let (dispatch_lag_p99, read_error_p99) = (lateness("dispatch_lag_p99"), lateness("read_error_p99"));
        let mut share = |key| fields.get(key).and_then(|node| reader::share(node, &format!("`{key}`"), sink));
        Self {
            dispatch_lag_p99,
            read_error_p99,
            cpu_ratio: share("cpu").unwrap_or(unless_written.cpu_ratio),
            run_queue_ratio: share("run_queue").unwrap_or(unless_written.run_queue_ratio),
        }
    }
}

impl Plan {
    /// What the generator may add to a latency at p99 where the scenario sets no limit of its own: 5 ms, or 5 % of the tightest percentile
    /// that the scenario judges by, whichever is more.
    pub fn lateness_allowed(&self) -> Duration {
        let goals = self.load.iter().flat_map(|part| match &part.executor {
            Executor::Step { fail_when, .. } => fail_when.as_slice(),
            Executor::Breakpoint { search, .. } => search.fail_when.as_slice(),
            Executor::Closed { .. } | Executor::Open { .. } => &[],
        });
        let judged = self.thresholds.iter().chain(goals.map(|goal| &goal.threshold));
        let tightest_ns = judged.filter_map(latency_ns).fold(f64::INFINITY, f64::min);
        if tightest_ns.is_finite() {
            LATENESS_P99_MIN.max(Duration::from_nanos((tightest_ns * LATENESS_OF_SLO_RATIO) as u64))
        } else {
            LATENESS_P99_MIN
        }
    }
}

fn latency_ns(threshold: &Threshold) -> Option<f64> {
    let percentile = matches!(threshold.stat, Stat::Percentile(_));
    (percentile && matches!(threshold.selector, Selector::Requests { .. } | Selector::All))
        .then_some(threshold.value)
}
