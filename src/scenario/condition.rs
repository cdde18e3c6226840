//! Conditions of `expect: {body: …}`, `if` and `until`: comparisons joined by `and`.

use super::extract::ResponseView;
use super::json::{BodyCache, Node, Path};
use super::template::parse::closing;
use super::template::{Context, Expression, Segment, Template};
use serde_json::Value as Json;
use std::fmt;
use std::ops::Range;

/// Terms of which all must hold.
#[derive(Clone, Debug)]
pub struct Condition {
    /// As written, for messages.
    pub text: Box<str>,
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
enum Term {
    /// A template that renders to `true`.
    Truth(Template),
    Test {
        subject: Operand,
        test: Test,
    },
    Compare {
        left: Operand,
        op: Comparison,
        right: Operand,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Empty,
    NotEmpty,
    Exists,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

#[derive(Clone, Debug)]
enum Operand {
    Path(Path),
    /// Quoted text or a bare `${…}`; the latter may hold a number.
    Template(Template),
    Literal(Json),
    Status,
    Body,
}

/// Terms of one condition; more is a program.
const TERMS_MAX: usize = 16;

impl Condition {
    /// Does it hold, given the last response where the condition reads one?
    ///
    /// # Errors
    /// A sentence saying why that cannot be told: a body that is not JSON, a variable that was not captured.
    pub fn holds(
        &self,
        context: &mut dyn Context,
        mut response: Option<(&ResponseView<'_>, &mut BodyCache)>,
    ) -> Result<bool, String> {
        for term in &self.terms {
            let last = response.as_mut().map(|(view, cache)| (*view, &mut **cache));
            if !term.holds(context, last)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the body of a response, so that it must be kept.
    pub fn reads_body(&self) -> bool {
        self.operands().any(|operand| matches!(operand, Operand::Path(_) | Operand::Body))
    }

    /// Reads any part of a response.
    pub fn reads_response(&self) -> bool {
        self.operands().any(|operand| !matches!(operand, Operand::Template(_) | Operand::Literal(_)))
    }

    /// The probability that it holds where that is known beforehand: `${rand.chance(30%)}` alone.
    pub fn probability(&self) -> Option<f64> {
        match self.terms.as_slice() {
            [Term::Truth(template)] => match template.segments.as_slice() {
                [Segment::Value(Expression::RandChance(probability))] => Some(*probability),
                _ => None,
            },
            _ => None,
        }
    }

    fn operands(&self) -> impl Iterator<Item = &Operand> {
        self.terms.iter().flat_map(|term| match term {
            Term::Truth(_) => vec![],
            Term::Test { subject, .. } => vec![subject],
            Term::Compare { left, right, .. } => vec![left, right],
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Term {
    fn holds(
        &self,
        context: &mut dyn Context,
        mut response: Option<(&ResponseView<'_>, &mut BodyCache)>,
    ) -> Result<bool, String> {
        let mut value = |operand: &Operand, context: &mut dyn Context| {
            operand.value(context, response.as_mut().map(|(view, cache)| (*view, &mut **cache)))
        };
        match self {
            Self::Truth(template) => {
                let mut bytes = Vec::new();
                template.render(context, &mut bytes).map_err(|error| error.to_string())?;
                Ok(bytes == b"true")
            }
            // What a path leads to is looked at where it lies: it may be most of the body.
            Self::Test { subject: Operand::Path(path), test } => {
                let (view, cache) = response.ok_or(NO_RESPONSE)?;
                Ok(test.holds(first(path, view, cache)?))
            }
            Self::Test { subject, test } => {
                Ok(test.holds(value(subject, context)?.as_ref().map(Node::Parsed)))
            }
            Self::Compare { left, op, right } => {
                let (Some(left), Some(right)) = (value(left, context)?, value(right, context)?) else {
                    return Ok(false);
                };
                Ok(op.compare(&left, &right))
            }
        }
    }
}

impl Test {
    fn holds(self, found: Option<Node<'_>>) -> bool {
        match self {
            Self::Empty => found.is_none_or(Node::is_empty),
            Self::NotEmpty => !found.is_none_or(Node::is_empty),
            Self::Exists => found.is_some(),
        }
    }
}

const NO_RESPONSE: &str = "there is no response to look at";

fn first<'a>(
    path: &Path,
    view: &ResponseView<'a>,
    cache: &'a mut BodyCache,
) -> Result<Option<Node<'a>>, String> {
    path.first(view.body, cache).map_err(|reason| format!("the body is not JSON: {reason}"))
}

impl Operand {
    /// The value now; `None` when a path matches nothing (then comparisons are false).
    fn value(
        &self,
        context: &mut dyn Context,
        response: Option<(&ResponseView<'_>, &mut BodyCache)>,
    ) -> Result<Option<Json>, String> {
        let response = response.ok_or(NO_RESPONSE);
        match self {
            Self::Literal(value) => Ok(Some(value.clone())),
            Self::Status => Ok(Some(Json::from(response?.0.status))),
            Self::Body => Ok(Some(Json::from(String::from_utf8_lossy(response?.0.body)))),
            Self::Path(path) => {
                let (view, cache) = response?;
                Ok(first(path, view, cache)?.map(Node::to_json))
            }
            Self::Template(template) => {
                let mut bytes = Vec::new();
                template.render(context, &mut bytes).map_err(|error| error.to_string())?;
                let text = String::from_utf8_lossy(&bytes);
                Ok(Some(match (template.segments.as_slice(), text.as_ref()) {
                    ([Segment::Value(_)], "true") => Json::Bool(true),
                    ([Segment::Value(_)], "false") => Json::Bool(false),
                    (_, text) => Json::from(text),
                }))
            }
        }
    }
}

impl Comparison {
    fn compare(self, left: &Json, right: &Json) -> bool {
        match self {
            Self::Equal => equal(left, right),
            Self::NotEqual => !equal(left, right),
            Self::Contains => match left {
                Json::Array(items) => items.iter().any(|item| equal(item, right)),
                left => text_of(left).contains(&text_of(right)),
            },
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => {
                let order = match (number_of(left), number_of(right)) {
                    (Some(left), Some(right)) => left.partial_cmp(&right),
                    // Numbers and words have no order among each other.
                    (None, None) => Some(text_of(left).cmp(&text_of(right))),
                    _ => None,
                };
                order.is_some_and(|order| match self {
                    Self::Less => order.is_lt(),
                    Self::LessOrEqual => order.is_le(),
                    Self::Greater => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
        }
    }
}

/// Equal as numbers when both are, else as text: a captured `5` equals a member `5`.
fn equal(left: &Json, right: &Json) -> bool {
    match (number_of(left), number_of(right)) {
        (Some(a), Some(b)) => a == b,
        _ => left == right || text_of(left) == text_of(right),
    }
}

fn number_of(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A complaint about bytes `at` of the condition's text.
pub(super) type ConditionError = (Range<usize>, String, Option<String>);

const FORMS: &str = "write `$.items is not empty`, `$.status == \"paid\"`, `$.id exists`, `body contains \"ok\"`, \
                     `${x} == \"y\"` or `${rand.chance(30%)}`, joined by `and`";

/// Reads a condition. `compile` turns a text that starts at the given offset into a template.
///
/// # Errors
/// The place, what is wrong there, and help.
pub(super) fn parse(
    text: &str,
    compile: &mut dyn FnMut(&str, usize) -> Template,
) -> Result<Condition, ConditionError> {
    let tokens = tokens(text)?;
    let mut terms = Vec::new();
    for part in tokens.split(|token| &text[token.clone()] == "and") {
        let Some(first) = part.first() else {
            return Err((0..text.len(), "a condition is missing here".into(), Some(FORMS.into())));
        };
        terms.push(term(text, part, first, compile)?);
    }
    if terms.len() > TERMS_MAX {
        return Err((0..text.len(), format!("more than {TERMS_MAX} conditions"), None));
    }
    Ok(Condition { text: text.into(), terms })
}

fn term(
    text: &str,
    tokens: &[Range<usize>],
    first: &Range<usize>,
    compile: &mut dyn FnMut(&str, usize) -> Template,
) -> Result<Term, ConditionError> {
    let words: Vec<&str> = tokens.iter().map(|token| &text[token.clone()]).collect();
    let end = tokens.last().map_or(first.end, |token| token.end);
    let refuse = |at: Range<usize>, message: String| Err((at, message, Some(FORMS.to_owned())));
    if let Some(other) = tokens.iter().find(
        |token| matches!(&text[(*token).clone()], "or" | "||" | "&&" | "not" if words.get(1) != Some(&"is")),
    ) {
        let message = format!("`{}` is not part of conditions", &text[other.clone()]);
        return refuse(other.clone(), message);
    }
    if let [word] = words.as_slice() {
        return if word.starts_with("${") {
            Ok(Term::Truth(compile(word, first.start)))
        } else {
            refuse(first.clone(), format!("`{word}` alone is not a condition"))
        };
    }
    let subject = operand(text, first, compile)?;
    match words[1..] {
        ["is", "empty"] => return Ok(Term::Test { subject, test: Test::Empty }),
        ["is", "not", "empty"] => return Ok(Term::Test { subject, test: Test::NotEmpty }),
        ["exists"] => return Ok(Term::Test { subject, test: Test::Exists }),
        [_, _] => {}
        _ => return refuse(first.start..end, "this is not a condition".into()),
    }
    let op = match words[1] {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        "contains" => Comparison::Contains,
        other => return refuse(tokens[1].clone(), format!("`{other}` does not compare")),
    };
    Ok(Term::Compare { left: subject, op, right: operand(text, &tokens[2], compile)? })
}

fn operand(
    text: &str,
    token: &Range<usize>,
    compile: &mut dyn FnMut(&str, usize) -> Template,
) -> Result<Operand, ConditionError> {
    let word = &text[token.clone()];
    if word.starts_with("${") {
        return Ok(Operand::Template(compile(word, token.start)));
    }
    if word.starts_with(['"', '\'']) {
        let inner = &word[1..word.len().saturating_sub(1).max(1)];
        return Ok(Operand::Template(compile(inner, token.start + 1)));
    }
    if word.starts_with('$') {
        let path = Path::parse(word).map_err(|(message, help)| (token.clone(), message, Some(help)))?;
        return Ok(Operand::Path(path));
    }
    match word {
        "status" => return Ok(Operand::Status),
        "body" => return Ok(Operand::Body),
        _ => {}
    }
    serde_json::from_str::<Json>(word).map(Operand::Literal).map_err(|_| {
        let help = format!("quote texts: \"{word}\"; paths begin with `$.`, variables with `${{`");
        (token.clone(), format!("`{word}` is neither a path, a number nor a quoted text"), Some(help))
    })
}

/// Words of a condition: blanks separate them except inside quotes, brackets and `${…}`.
fn tokens(text: &str) -> Result<Vec<Range<usize>>, ConditionError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let Some(c) = rest.chars().next() else { break };
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let end = if rest.starts_with("${") {
            closing(text, at + 2).map(|close| close + 1)
        } else if c == '"' || c == '\'' {
            rest[1..].find(c).map(|close| at + close + 2)
        } else if "=!<>".contains(c) {
            Some(at + rest.find(|c: char| !"=!<>".contains(c)).unwrap_or(rest.len()))
        } else {
            Some(at + word_end(rest))
        };
        let Some(end) = end else {
            return Err((at..text.len(), "this is never closed".into(), Some(FORMS.into())));
        };
        tokens.push(at..end);
        at = end;
    }
    Ok(tokens)
}

fn word_end(text: &str) -> usize {
    let (mut depth, mut quote) = (0usize, None);
    for (offset, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if depth > 0 => quote = Some(c),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            (None, c) if depth == 0 && (c.is_whitespace() || "=!<>".contains(c)) => return offset,
            _ => {}
        }
    }
    text.len()
}
