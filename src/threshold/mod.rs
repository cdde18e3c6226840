//! Thresholds: `stat['('selector')'] op value ['in' phase] ['for' …]`, one grammar for `thresholds`, `fail_when` and `abort_when`.
//! They judge anything that gives them [`Stats`].

mod judge;
mod parse;
mod print;

pub use judge::{Judgment, Verdict, Watch, judge, measure, samples_needed};
pub use parse::{ThresholdError, parse};

use crate::endpoint::Protocol;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// As the user wrote it; what reports print.
    pub text: String,
    pub stat: Stat,
    pub selector: Selector,
    pub op: Op,
    /// In the base unit of the stat: nanoseconds, ratio 0..1, per second, or a plain number.
    pub value: f64,
    pub phase: Option<String>,
    pub lasting: Option<Lasting>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stat {
    /// A quantile, 0..1.
    Percentile(f64),
    Max,
    Mean,
    ErrorRate,
    Rate,
    /// Without a unit a count, with `%` a share of the planned.
    Dropped {
        ratio: bool,
    },
    Count,
    Used {
        ratio: bool,
    },
    Waiting,
    /// Of a signal; with `%` written as a share.
    Value {
        ratio: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Selector {
    All,
    Requests {
        clock: Which,
        protocol: Protocol,
        name: Option<String>,
    },
    /// A resource; of `value`, a signal.
    Resource(String),
}

/// The two clocks every step carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Which {
    /// From the intended start.
    Response,
    /// From the first byte sent.
    Service,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lasting {
    /// `for 15s`: in every second of some span of this length.
    For(Duration),
    /// `for 95% of 10s windows`.
    ShareOfWindows { share: f64, window: Duration },
}

/// How much of a span readings tell of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coverage {
    pub readings: u64,
    pub covered_s: f64,
    pub span_s: f64,
}

/// A figure of latencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    Quantile(f64),
    Max,
    Mean,
}

/// What a threshold may ask of a span of the run.
pub trait Stats {
    /// A figure of the latencies in nanoseconds with the number of samples; `None` for an unknown endpoint or no sample.
    fn latency_ns(
        &self,
        figure: Figure,
        clock: Which,
        protocol: Protocol,
        name: Option<&str>,
    ) -> Option<(f64, u64)>;
    /// (all, failed) of the matching requests; `None` as protocol means all of them.
    fn requests(&self, protocol: Option<Protocol>, name: Option<&str>) -> (u64, u64);
    /// (planned, dropped) iterations.
    fn iterations(&self) -> (u64, u64);
    fn seconds(&self) -> f64;
    /// Mean (used, limit, waiting) of a resource over the span.
    fn resource(&self, name: &str) -> Option<(f64, Option<f64>, Option<f64>)>;
    /// How much of the span is known of a resource; `None` where nobody asks.
    fn coverage(&self, _name: &str) -> Option<Coverage> {
        None
    }
    /// Requests under way at the end of the span that were sent so long before, at least; 0 where nobody knows.
    fn overdue(&self, _protocol: Protocol, _name: Option<&str>, _age_ns: f64) -> u64 {
        0
    }
    /// Requests under way at the end of the span, at least.
    fn under_way(&self, _protocol: Option<Protocol>, _name: Option<&str>) -> u64 {
        0
    }
}

impl Threshold {
    /// Is the condition true of this value (in the base unit)?
    pub fn holds(&self, value: f64) -> bool {
        match self.op {
            Op::Less => value < self.value,
            Op::LessOrEqual => value <= self.value,
            Op::Greater => value > self.value,
            Op::GreaterOrEqual => value >= self.value,
            Op::Equal => value == self.value,
            Op::NotEqual => value != self.value,
        }
    }

    /// Length of the consecutive windows that [`judge()`] needs; `None` when the whole span is judged at once.
    pub fn window(&self) -> Option<Duration> {
        match self.lasting? {
            Lasting::For(_) => Some(Duration::from_secs(1)),
            Lasting::ShareOfWindows { window, .. } => Some(window),
        }
    }
}
