//! A query as the scenario has it: read once, refused with its place, asked of scrapes or of a server.

use super::eval::{self, EvalError, Value};
use super::translate::{self, Outside};
use super::{Expr, Function, Selector, Series};
use crate::limits::{QUERY_BYTES_MAX, QUERY_OPERATORS_MAX};
use promql_parser::parser::{self, Expr as Parsed};
use std::collections::BTreeSet;
use std::fmt;

/// What is wrong with bytes `offset..offset+len` of a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub offset: usize,
    pub len: usize,
    pub message: String,
    pub help: String,
}

/// A query that is PromQL.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    text: String,
    /// In the subset; `None` of what only a server can answer.
    expr: Option<Expr>,
    /// The series it names, where a server is asked.
    named: Vec<String>,
}

/// What there is, for those who wrote something else.
const SUBSET: &str = "over scrapes there are selectors with matchers, rate, increase, irate, sum, avg, max, min, count, histogram_quantile, \
                      arithmetic, comparisons, `or` and vector; a Prometheus server answers all of PromQL: {prometheus: URL}";

impl Query {
    /// A query that is answered from scrapes.
    ///
    /// # Errors
    /// What is no PromQL, or outside the subset, with its place.
    pub fn of_scrapes(text: &str) -> Result<Self, Refusal> {
        let parsed = read(text)?;
        let expr = translate::expr(&parsed).map_err(|outside| outside.refusal(text, SUBSET))?;
        Ok(Self { text: text.trim().to_owned(), expr: Some(expr), named: Vec::new() })
    }

    /// A query that a Prometheus server answers.
    ///
    /// # Errors
    /// What is no PromQL. What only a newer server may know is refused too: a query is checked before a run, not in it.
    pub fn of_server(text: &str) -> Result<Self, Refusal> {
        let parsed = read(text)?;
        let expr = translate::expr(&parsed).ok();
        let mut selectors = BTreeSet::new();
        translate::selectors(&parsed, &mut selectors);
        Ok(Self { text: text.trim().to_owned(), expr, named: selectors.into_iter().collect() })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The series it names, if it is no more than a selector.
    pub fn selector(&self) -> Option<&Selector> {
        match &self.expr {
            Some(Expr::Instant(selector)) => Some(selector),
            _ => None,
        }
    }

    /// The series that a query of a server names, each as a selector of its own.
    pub fn named(&self) -> &[String] {
        &self.named
    }

    /// The series that a query in the subset names.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.uses().into_iter().map(|(selector, _)| selector)
    }

    /// The counters whose past it needs, each with how far back, seconds.
    pub fn ranges(&self) -> Vec<(&Selector, f64)> {
        self.spans().into_iter().map(|(_, selector, window_s)| (selector, window_s)).collect()
    }

    /// The longest span that it takes a growth of, seconds: so much of the past its value is about. `irate` is about two points, wherever.
    pub fn window_s(&self) -> Option<f64> {
        let spans = self.spans().into_iter().filter(|(function, ..)| *function != Function::Irate);
        spans.map(|(_, _, window_s)| window_s).max_by(f64::total_cmp)
    }

    fn spans(&self) -> Vec<(Function, &Selector, f64)> {
        let span = |(selector, span): (_, Option<(Function, f64)>)| {
            span.map(|(function, window_s)| (function, selector, window_s))
        };
        self.uses().into_iter().filter_map(span).collect()
    }

    /// What it names, each with what is made of which span of it.
    fn uses(&self) -> Vec<Use<'_>> {
        let mut uses = Vec::new();
        if let Some(expr) = &self.expr {
            collect_uses(expr, &mut uses);
        }
        uses
    }

    /// Its one value, which may be infinite; `None` when the series have none, when not a number (0/0) comes out, or while less is known of
    /// the past than it looks back.
    ///
    /// # Errors
    /// Several values, or series that cannot be matched.
    pub fn value(&self, series: &dyn Series) -> Result<Option<f64>, EvalError> {
        let Some(expr) = &self.expr else { return Err(EvalError::OnlyServer) };
        if self.window_s().is_some_and(|window_s| !series.spans(window_s)) {
            return Ok(None);
        }
        let value = match eval::eval(expr, series)? {
            Value::Scalar(value) => Some(value),
            Value::Vector(samples) => match samples.as_slice() {
                [] => None,
                [(_, value)] => Some(*value),
                several => return Err(EvalError::Several { count: several.len() }),
            },
        };
        Ok(value.filter(|value| !value.is_nan()))
    }
}

/// Refuses a comparison that leaves out what it does not hold of, where one number is wanted: a rule that is silent because all is well cannot be
/// told from one that has no data.
///
/// # Errors
/// The place of the comparison, and how a rule is written here.
pub fn plain_rule(text: &str, name: &str) -> Result<(), Refusal> {
    let parsed = read(text)?;
    let Some((op, limit)) = translate::filters(&parsed) else { return Ok(()) };
    let opposite = match op.as_str() {
        ">" => "<=",
        ">=" => "<",
        "<" => ">=",
        "<=" => ">",
        "==" => "!=",
        _ => "==",
    };
    let offset = text.rfind(&op).unwrap_or(0);
    Err(Refusal {
        offset,
        len: op.len(),
        message: format!("`{op} {limit}` leaves nothing while the rule is silent, which looks like no data"),
        help: format!(
            "end the signal before it, and write the rule as abort_when: [\"value({name}) {op} {limit} for 1m\"] or as thresholds: \
             [\"value({name}) {opposite} {limit}\"]"
        ),
    })
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Outside {
    fn refusal(self, text: &str, help: &str) -> Refusal {
        // The parser keeps no places. A word may stand in the query more than once; the first is as good a place to look as any.
        let found = find_word(text, &self.word);
        let (offset, len) = found.map_or((0, text.len().max(1)), |offset| (offset, self.word.len()));
        Refusal { offset, len, message: self.message, help: help.to_owned() }
    }
}

/// Where a word stands in a query, outside its strings.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, _) if text[at..].starts_with(word) => {
                let before = text[..at].chars().next_back().is_some_and(part);
                let after = text[at + word.len()..].chars().next().is_some_and(part);
                let wordlike = word.chars().all(part);
                if !wordlike || (!before && !after) {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn read(text: &str) -> Result<Parsed, Refusal> {
    let whole = |message: String, help: &str| Refusal {
        offset: 0,
        len: text.len().max(1),
        message,
        help: help.to_owned(),
    };
    // What nests in a query nests by these; a parser and an evaluation that call themselves for each need a bound.
    let operators = text.bytes().filter(|byte| b"([+-*/%^<>=!".contains(byte)).count();
    if text.len() > QUERY_BYTES_MAX || operators > QUERY_OPERATORS_MAX {
        let message = format!(
            "a query has at most {QUERY_BYTES_MAX} bytes and {QUERY_OPERATORS_MAX} operators and parentheses"
        );
        return Err(whole(message, "let Prometheus record a part of it, and name what it records"));
    }
    parser::parse(text).map_err(|said| {
        let message = format!("this is not PromQL: {}", said.trim());
        whole(message, "write for instance sum(rate(http_requests_total[1m]))")
    })
}

/// A selector in a query, and the span of it that is looked at.
type Use<'e> = (&'e Selector, Option<(Function, f64)>);

fn collect_uses<'e>(expr: &'e Expr, uses: &mut Vec<Use<'e>>) {
    match expr {
        Expr::Number(_) => {}
        Expr::Instant(selector) => uses.push((selector, None)),
        Expr::Range { function, selector, window_s } => uses.push((selector, Some((*function, *window_s)))),
        Expr::Aggregate { of, .. } | Expr::Negated(of) | Expr::Vector(of) => collect_uses(of, uses),
        Expr::Quantile { q: left, of: right }
        | Expr::Or { left, right, .. }
        | Expr::Binary { left, right, .. } => {
            collect_uses(left, uses);
            collect_uses(right, uses);
        }
    }
}
