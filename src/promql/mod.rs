//! A subset of PromQL over the scrapes of one source: read by the crate `promql-parser`, evaluated here over anything that gives it [`Series`].
//! What is outside the subset is refused with its place. The arithmetic is Prometheus' own, so that a rule says the same of a
//! scrape as it does there (`promql/engine.go`, `promql/functions.go` and `promql/quantile.go` of Prometheus).

mod binary;
mod eval;
mod quantile;
mod query;
mod range;
mod selector;
mod translate;

pub use eval::EvalError;
pub use query::{Query, Refusal, plain_rule};
pub use selector::Selector;

use std::collections::BTreeMap;

/// The labels of a series, without its name.
pub type Labels = BTreeMap<String, String>;

/// What a series was at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds on the clock of whoever gives it.
    pub t_s: f64,
    pub value: f64,
}

/// The series that a query is about, as of one instant.
pub trait Series {
    /// That instant, on the clock of the points.
    fn now_s(&self) -> f64;
    /// Whether so much of the past is known, seconds: what grew in less is no growth of the span.
    fn spans(&self, _window_s: f64) -> bool {
        true
    }
    /// The value of every series that matches.
    fn instant(&self, selector: &Selector) -> Vec<(Labels, f64)>;
    /// The points of every series that matches, from `window_s` ago (not included) to now, in the order of time.
    fn range(&self, selector: &Selector, window_s: f64) -> Vec<(Labels, Vec<Point>)>;
}

/// An expression of the subset.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::promql) enum Expr {
    Number(f64),
    Instant(Selector),
    Range {
        function: Function,
        selector: Selector,
        window_s: f64,
    },
    Aggregate {
        how: Aggregation,
        by: Grouping,
        of: Box<Expr>,
    },
    Quantile {
        q: Box<Expr>,
        of: Box<Expr>,
    },
    Negated(Box<Expr>),
    /// `vector(0)`: a number as a series without labels.
    Vector(Box<Expr>),
    /// The series of the left side, and those of the right that have no partner there: `sum(x) or vector(0)`.
    Or {
        left: Box<Expr>,
        right: Box<Expr>,
        matching: Grouping,
    },
    Binary {
        left: Box<Expr>,
        op: Operator,
        right: Box<Expr>,
        /// A comparison that yields 0 or 1 instead of leaving out what it does not hold of.
        truth: bool,
        matching: Grouping,
    },
}

/// What is made of a span of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::promql) enum Function {
    Rate,
    Increase,
    Irate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::promql) enum Aggregation {
    Sum,
    Avg,
    Max,
    Min,
    Count,
}

/// Which labels tell groups apart, or which two sides must have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::promql) enum Grouping {
    These(Vec<String>),
    AllBut(Vec<String>),
}

impl Grouping {
    fn key(&self, labels: &Labels) -> Labels {
        let kept = |label: &String| match self {
            Self::These(these) => these.contains(label),
            Self::AllBut(these) => !these.contains(label),
        };
        labels.iter().filter(|(label, _)| kept(label)).map(|(l, v)| (l.clone(), v.clone())).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::promql) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
}

impl Operator {
    fn compares(self) -> bool {
        !matches!(
            self,
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Modulo | Self::Power
        )
    }
}

#[cfg(test)]
mod tests;
