//! The value of an expression at an instant.

use super::{Aggregation, Expr, Grouping, Labels, Series, binary, quantile, range};
use std::collections::{BTreeMap, BTreeSet};

/// What an expression amounts to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Scalar(f64),
    Vector(Vec<(Labels, f64)>),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    #[error("{count} series come out, and one is needed: put sum(…), avg(…), max(…) or min(…) around it")]
    Several { count: usize },
    #[error(
        "several series of one side have the same labels {labels}: sum them up first, or name more labels in `on (…)`"
    )]
    Ambiguous { labels: String },
    #[error("a number was expected, and series came")]
    NotANumber,
    #[error("series were expected, and a number came")]
    NoSeries,
    #[error("only a Prometheus server can answer this")]
    OnlyServer,
}

pub(super) fn eval(expr: &Expr, series: &dyn Series) -> Result<Value, EvalError> {
    Ok(match expr {
        Expr::Number(number) => Value::Scalar(*number),
        Expr::Instant(selector) => Value::Vector(series.instant(selector)),
        Expr::Range { function, selector, window_s } => {
            let now_s = series.now_s();
            let spans = series.range(selector, *window_s).into_iter();
            let values = spans.filter_map(|(labels, points)| {
                Some((labels, range::value(*function, &points, now_s, *window_s)?))
            });
            Value::Vector(values.collect())
        }
        Expr::Aggregate { how, by, of } => {
            let Value::Vector(samples) = eval(of, series)? else { return Err(EvalError::NoSeries) };
            Value::Vector(aggregate(*how, by, &samples))
        }
        Expr::Quantile { q, of } => {
            let Value::Scalar(q) = eval(q, series)? else { return Err(EvalError::NotANumber) };
            let Value::Vector(samples) = eval(of, series)? else { return Err(EvalError::NoSeries) };
            Value::Vector(quantile::of_histograms(q, &samples))
        }
        Expr::Negated(of) => match eval(of, series)? {
            Value::Scalar(value) => Value::Scalar(-value),
            Value::Vector(samples) => {
                Value::Vector(samples.into_iter().map(|(labels, value)| (labels, -value)).collect())
            }
        },
        Expr::Vector(of) => match eval(of, series)? {
            Value::Scalar(value) => Value::Vector(vec![(Labels::new(), value)]),
            Value::Vector(_) => return Err(EvalError::NotANumber),
        },
        Expr::Or { left, right, matching } => {
            let (Value::Vector(mut left), Value::Vector(right)) = (eval(left, series)?, eval(right, series)?)
            else {
                return Err(EvalError::NoSeries);
            };
            let keys: BTreeSet<Labels> = left.iter().map(|(labels, _)| matching.key(labels)).collect();
            left.extend(right.into_iter().filter(|(labels, _)| !keys.contains(&matching.key(labels))));
            Value::Vector(left)
        }
        Expr::Binary { left, op, right, truth, matching } => {
            let (left, right) = (eval(left, series)?, eval(right, series)?);
            binary::value(left, *op, right, *truth, matching)?
        }
    })
}

fn aggregate(how: Aggregation, by: &Grouping, samples: &[(Labels, f64)]) -> Vec<(Labels, f64)> {
    let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    for (labels, value) in samples {
        groups.entry(by.key(labels)).or_default().push(*value);
    }
    let of_group = |values: &[f64]| {
        let sum: f64 = values.iter().sum();
        match how {
            Aggregation::Sum => sum,
            Aggregation::Avg => sum / values.len() as f64,
            // `f64::max` passes over what is not a number, as Prometheus does.
            Aggregation::Max => values.iter().copied().fold(f64::NAN, f64::max),
            Aggregation::Min => values.iter().copied().fold(f64::NAN, f64::min),
            Aggregation::Count => values.len() as f64,
        }
    };
    groups.into_iter().map(|(labels, values)| (labels, of_group(&values))).collect()
}
