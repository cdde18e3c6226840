//! Two sides and what stands between them: numbers, a number and series, or series of which each finds its own on the other side.

use super::eval::{EvalError, Value};
use super::{Grouping, Labels, Operator};
use std::collections::BTreeMap;

pub(super) fn value(
    left: Value,
    op: Operator,
    right: Value,
    truth: bool,
    matching: &Grouping,
) -> Result<Value, EvalError> {
    Ok(match (left, right) {
        (Value::Scalar(left), Value::Scalar(right)) => Value::Scalar(number(left, op, right)),
        (Value::Scalar(left), Value::Vector(samples)) => {
            let of = |value: f64| result(left, op, value, truth, value);
            Value::Vector(samples.into_iter().filter_map(|(l, v)| Some((l, of(v)?))).collect())
        }
        (Value::Vector(samples), Value::Scalar(right)) => {
            let of = |value: f64| result(value, op, right, truth, value);
            Value::Vector(samples.into_iter().filter_map(|(l, v)| Some((l, of(v)?))).collect())
        }
        (Value::Vector(left), Value::Vector(right)) => {
            let others = by_key(right, matching)?;
            let joined = left.into_iter().filter_map(|(labels, value)| {
                let key = matching.key(&labels);
                let kept = result(value, op, *others.get(&key)?, truth, value)?;
                // What comes out has the labels that were matched, of a comparison that filters too.
                Some((key, kept))
            });
            // Several of the left side are ambiguous where they have a partner.
            Value::Vector(by_key(joined.collect(), &Grouping::AllBut(Vec::new()))?.into_iter().collect())
        }
    })
}

fn by_key(samples: Vec<(Labels, f64)>, matching: &Grouping) -> Result<BTreeMap<Labels, f64>, EvalError> {
    let mut keyed = BTreeMap::new();
    for (labels, value) in samples {
        let key = matching.key(&labels);
        if keyed.insert(key.clone(), value).is_some() {
            return Err(EvalError::Ambiguous { labels: format!("{key:?}") });
        }
    }
    Ok(keyed)
}

/// What comes of one pair; `None` where a comparison filters it out. What passes a filter keeps the value `kept`.
fn result(left: f64, op: Operator, right: f64, truth: bool, kept: f64) -> Option<f64> {
    let value = number(left, op, right);
    if op.compares() && !truth { (value == 1.0).then_some(kept) } else { Some(value) }
}

/// A comparison is 0 or 1.
fn number(left: f64, op: Operator, right: f64) -> f64 {
    let truth = |holds: bool| f64::from(u8::from(holds));
    match op {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        Operator::Modulo => left % right,
        Operator::Power => left.powf(right),
        Operator::Equal => truth(left == right),
        Operator::NotEqual => truth(left != right),
        Operator::Greater => truth(left > right),
        Operator::Less => truth(left < right),
        Operator::GreaterOrEqual => truth(left >= right),
        Operator::LessOrEqual => truth(left <= right),
    }
}
