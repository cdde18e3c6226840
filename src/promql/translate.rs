//! From the tree of the crate to ours: what is outside the subset ends here.

use super::{Aggregation, Expr, Function, Grouping, Operator, Selector};
use crate::limits::QUERY_WINDOW_MAX;
use promql_parser::label::{MatchOp, Matcher, Matchers};
use promql_parser::parser::{
    BinModifier, Call, Expr as Parsed, LabelModifier, VectorMatchCardinality, VectorSelector,
};
use std::collections::BTreeSet;

/// A word of a query that is not in the subset.
#[derive(Debug)]
pub(super) struct Outside {
    pub word: String,
    pub message: String,
}

fn outside(word: impl Into<String>, message: impl Into<String>) -> Outside {
    Outside { word: word.into(), message: message.into() }
}

pub(super) fn expr(parsed: &Parsed) -> Result<Expr, Outside> {
    Ok(match parsed {
        Parsed::NumberLiteral(number) => Expr::Number(number.val),
        Parsed::Paren(paren) => expr(&paren.expr)?,
        Parsed::Unary(unary) => Expr::Negated(Box::new(expr(&unary.expr)?)),
        Parsed::VectorSelector(series) => Expr::Instant(selector(series)?),
        Parsed::Call(call) => function(call)?,
        Parsed::Aggregate(aggregate) => {
            let word = aggregate.op.to_string();
            let how = match word.as_str() {
                "sum" => Aggregation::Sum,
                "avg" => Aggregation::Avg,
                "max" => Aggregation::Max,
                "min" => Aggregation::Min,
                "count" => Aggregation::Count,
                _ => return Err(outside(&word, format!("`{word}` is not evaluated over scrapes"))),
            };
            let by = grouping(aggregate.modifier.as_ref(), Grouping::These(Vec::new()));
            Expr::Aggregate { how, by, of: Box::new(expr(&aggregate.expr)?) }
        }
        Parsed::Binary(binary) => {
            let written = binary.op.to_string();
            let plain = BinModifier::default();
            let modifier = binary.modifier.as_ref().unwrap_or(&plain);
            let word = match &modifier.card {
                VectorMatchCardinality::ManyToOne(_) => Some("group_left"),
                VectorMatchCardinality::OneToMany(_) => Some("group_right"),
                _ if modifier.fill_values != plain.fill_values => Some("fill"),
                _ => None,
            };
            if let Some(word) = word {
                return Err(outside(word, format!("`{word}` is not evaluated over scrapes")));
            }
            let (left, right) = (Box::new(expr(&binary.lhs)?), Box::new(expr(&binary.rhs)?));
            let matching = grouping(modifier.matching.as_ref(), Grouping::AllBut(Vec::new()));
            if written == "or" {
                return Ok(Expr::Or { left, right, matching });
            }
            let op = operator(&written)
                .ok_or_else(|| outside(&written, format!("`{written}` is not evaluated over scrapes")))?;
            Expr::Binary { left, op, right, truth: modifier.return_bool, matching }
        }
        Parsed::Subquery(_) => return Err(outside("[", "a subquery is not evaluated over scrapes")),
        Parsed::StringLiteral(text) => return Err(outside(&text.val, "a text is not a number")),
        Parsed::MatrixSelector(span) => {
            let word = span.vs.name.clone().unwrap_or_default();
            return Err(outside(word, "a span of time is not a number: write rate(…[1m])"));
        }
        Parsed::Extension(_) => return Err(outside("", "this is not evaluated over scrapes")),
    })
}

fn function(call: &Call) -> Result<Expr, Outside> {
    let name = call.func.name;
    let function = match name {
        "rate" => Function::Rate,
        "increase" => Function::Increase,
        "irate" => Function::Irate,
        "vector" => {
            let [of] = call.args.args.as_slice() else {
                return Err(outside(name, "`vector` takes a number"));
            };
            return Ok(Expr::Vector(Box::new(expr(of)?)));
        }
        "histogram_quantile" => {
            let [q, of] = call.args.args.as_slice() else {
                return Err(outside(name, "`histogram_quantile` takes a number and buckets"));
            };
            return Ok(Expr::Quantile { q: Box::new(expr(q)?), of: Box::new(expr(of)?) });
        }
        _ => return Err(outside(name, format!("`{name}` is not evaluated over scrapes"))),
    };
    match call.args.args.first().map(Box::as_ref) {
        Some(Parsed::MatrixSelector(span)) if span.range <= QUERY_WINDOW_MAX => {
            Ok(Expr::Range { function, selector: selector(&span.vs)?, window_s: span.range.as_secs_f64() })
        }
        Some(Parsed::MatrixSelector(_)) => {
            let message = format!("scrapes are kept for {} min at most", QUERY_WINDOW_MAX.as_secs() / 60);
            Err(outside("[", message))
        }
        _ => Err(outside(name, format!("`{name}` takes a counter with its span: {name}(NAME[1m])"))),
    }
}

fn selector(series: &VectorSelector) -> Result<Selector, Outside> {
    if series.offset.is_some() {
        return Err(outside("offset", "`offset` is not evaluated over scrapes"));
    }
    if series.at.is_some() {
        return Err(outside("@", "`@` is not evaluated over scrapes"));
    }
    let Matchers { matchers, or_matchers } = &series.matchers;
    if !or_matchers.is_empty() {
        return Err(outside("or", "matchers joined by `or` are not evaluated over scrapes"));
    }
    let named: Option<String> = series.name.clone().or_else(|| {
        let of_name = |matcher: &&Matcher| matcher.name == "__name__" && matcher.op == MatchOp::Equal;
        matchers.iter().find(of_name).map(|matcher| matcher.value.clone())
    });
    let name = named.ok_or_else(|| outside("{", "a series is selected by its name"))?;
    let labels = matchers.iter().filter(|matcher| matcher.name != "__name__" || matcher.value != name);
    Ok(Selector::with(name.clone(), labels.cloned().collect()))
}

fn grouping(modifier: Option<&LabelModifier>, otherwise: Grouping) -> Grouping {
    match modifier {
        None => otherwise,
        Some(LabelModifier::Include(labels)) => Grouping::These(labels.labels.clone()),
        Some(LabelModifier::Exclude(labels)) => Grouping::AllBut(labels.labels.clone()),
    }
}

fn operator(word: &str) -> Option<Operator> {
    Some(match word {
        "+" => Operator::Add,
        "-" => Operator::Subtract,
        "*" => Operator::Multiply,
        "/" => Operator::Divide,
        "%" => Operator::Modulo,
        "^" => Operator::Power,
        "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        ">" => Operator::Greater,
        "<" => Operator::Less,
        ">=" => Operator::GreaterOrEqual,
        "<=" => Operator::LessOrEqual,
        _ => return None,
    })
}

/// The comparison at the top that filters, and what it compares with.
pub(super) fn filters(parsed: &Parsed) -> Option<(String, String)> {
    match parsed {
        Parsed::Paren(paren) => filters(&paren.expr),
        Parsed::Binary(binary) => {
            let word = binary.op.to_string();
            let truth = binary.modifier.as_ref().is_some_and(|modifier| modifier.return_bool);
            (operator(&word).is_some_and(Operator::compares) && !truth)
                .then(|| (word, binary.rhs.to_string()))
        }
        _ => None,
    }
}

/// The series a query names, each as a selector of its own.
pub(super) fn selectors(parsed: &Parsed, found: &mut BTreeSet<String>) {
    match parsed {
        Parsed::VectorSelector(series) => {
            found.insert(bare(series));
        }
        Parsed::MatrixSelector(span) => {
            found.insert(bare(&span.vs));
        }
        Parsed::Paren(paren) => selectors(&paren.expr, found),
        Parsed::Unary(unary) => selectors(&unary.expr, found),
        Parsed::Subquery(subquery) => selectors(&subquery.expr, found),
        Parsed::Aggregate(aggregate) => {
            aggregate.param.iter().for_each(|param| selectors(param, found));
            selectors(&aggregate.expr, found);
        }
        Parsed::Binary(binary) => {
            selectors(&binary.lhs, found);
            selectors(&binary.rhs, found);
        }
        Parsed::Call(call) => call.args.args.iter().for_each(|argument| selectors(argument, found)),
        Parsed::NumberLiteral(_) | Parsed::StringLiteral(_) | Parsed::Extension(_) => {}
    }
}

fn bare(series: &VectorSelector) -> String {
    VectorSelector::new(series.name.clone(), series.matchers.clone()).to_string()
}
