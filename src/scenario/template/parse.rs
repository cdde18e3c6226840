//! From text with `${…}` to segments. Names are resolved here, once: constants are folded into the text, and what is left are
//! indices and draws.

use super::expression::Parser;
use super::{Expression, Segment, Template, Value};
use std::ops::Range;

/// Where a template stands, which decides how its values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Text,
    /// Inside a JSON string.
    JsonText,
    /// Path and query.
    Path,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// Known before the run: `vars`, `env`, `secret`.
    Constant(Value),
    /// Known when a user gets there.
    Dynamic(Expression),
}

/// A complaint about bytes `at` of the template's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    pub at: Range<usize>,
    pub message: String,
    pub help: Option<String>,
}

/// Gives names their meaning. Errors are (message, help).
pub trait Names {
    /// A plain name: a constant of `vars` or a captured variable.
    fn variable(&mut self, name: &str, at: Range<usize>) -> Result<Meaning, (String, Option<String>)>;
    /// `data.table` or `data.table.column`.
    fn data(&mut self, table: &str, column: Option<&str>) -> Result<Meaning, (String, Option<String>)>;
    fn env(&mut self, name: &str) -> Option<String>;
    fn secret(&mut self, name: &str) -> Result<String, (String, Option<String>)>;
}

/// Compiles `text`; every complaint goes to `errors`, and what could be understood is returned all the same.
pub fn compile(text: &str, place: Place, names: &mut dyn Names, errors: &mut Vec<TemplateError>) -> Template {
    let mut builder = TemplateBuilder::default();
    for part in parts(text, 0, 0, names, errors) {
        builder.part(part, place);
    }
    builder.finish()
}

/// A whole JSON value from a scalar: `"${x}"` alone keeps the type of what it holds, a longer text is a string.
pub fn compile_json_string(
    text: &str,
    builder: &mut TemplateBuilder,
    names: &mut dyn Names,
    errors: &mut Vec<TemplateError>,
) {
    let mut parsed = parts(text, 0, 0, names, errors);
    if let [Part::Value(_)] = parsed.as_slice() {
        match parsed.remove(0) {
            Part::Value(Meaning::Constant(Value::Text(text))) => builder.text(&quoted(&text)),
            Part::Value(Meaning::Constant(Value::Json(json))) => builder.text(&json),
            Part::Value(Meaning::Dynamic(expression)) => builder.value(Segment::JsonValue(expression)),
            Part::Text(_) => {}
        }
        return;
    }
    builder.text("\"");
    for part in parsed {
        builder.part(part, Place::JsonText);
    }
    builder.text("\"");
}

/// `text` as a JSON string with its quotes.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Joins text and values into segments, merging neighboring text.
#[derive(Debug, Default)]
pub struct TemplateBuilder {
    segments: Vec<Segment>,
    text: String,
}

impl TemplateBuilder {
    pub fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub fn value(&mut self, segment: Segment) {
        self.flush();
        self.segments.push(segment);
    }

    pub fn finish(mut self) -> Template {
        self.flush();
        Template { segments: self.segments }
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.segments.push(Segment::Text(std::mem::take(&mut self.text).into()));
        }
    }

    pub(super) fn part(&mut self, part: Part, place: Place) {
        match (part, place) {
            (Part::Text(text), Place::JsonText) => {
                let quoted = quoted(&text);
                self.text(&quoted[1..quoted.len() - 1]);
            }
            (Part::Text(text), _) => self.text(&text),
            (Part::Value(Meaning::Constant(value)), Place::JsonText) => {
                let quoted = quoted(value.as_str());
                self.text(&quoted[1..quoted.len() - 1]);
            }
            // A constant may be a whole piece of a path (`/api/v2`), so its author decides what to encode.
            (Part::Value(Meaning::Constant(value)), _) => self.text(value.as_str()),
            (Part::Value(Meaning::Dynamic(expression)), place) => self.value(match place {
                Place::Text => Segment::Value(expression),
                Place::JsonText => Segment::JsonText(expression),
                Place::Path => Segment::Url(expression),
            }),
        }
    }
}

pub(super) enum Part {
    Text(String),
    Value(Meaning),
}

pub(super) fn parts(
    text: &str,
    offset: usize,
    depth: usize,
    names: &mut dyn Names,
    errors: &mut Vec<TemplateError>,
) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = 0;
    while let Some(found) = text[rest..].find("${") {
        let open = rest + found;
        // `$${` is a literal `${`.
        if text[..open].ends_with('$') {
            literal.push_str(&text[rest..open - usize::from(open > rest)]);
            literal.push_str("${");
            rest = open + 2;
            continue;
        }
        literal.push_str(&text[rest..open]);
        let Some(close) = closing(text, open + 2) else {
            errors.push(TemplateError {
                at: offset + open..offset + text.len(),
                message: "this `${` is never closed".into(),
                help: Some("close it with `}`, or write `$${` for the characters themselves".into()),
            });
            return parts;
        };
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        let mut parser = Parser { text, at: open + 2, end: close, offset, depth, names, errors };
        if let Some(meaning) = parser.whole() {
            parts.push(Part::Value(meaning));
        }
        rest = close + 1;
    }
    literal.push_str(&text[rest..]);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    parts
}

/// The `}` that ends an expression begun before `from`; quotes and inner `${}` are passed over.
pub(in crate::scenario) fn closing(text: &str, from: usize) -> Option<usize> {
    let (mut depth, mut quote) = (0usize, None);
    for (offset, c) in text[from..].char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(from + offset),
            (None, '}') => depth -= 1,
            _ => {}
        }
    }
    None
}
