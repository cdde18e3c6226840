//! What stands between `${` and `}`: a name, or a function of quoted texts, numbers and names. There are no operators.

use super::parse::{Meaning, Names, Part, Place, TemplateBuilder, TemplateError, parts};
use super::{Expression, Function, Template, Value};
use std::ops::Range;

const FORMS: [&str; 17] = [
    "rand.int",
    "rand.zipf",
    "rand.uuid",
    "rand.chance",
    "base64",
    "sha256",
    "hmac_sha256",
    "json",
    "urlencode",
    "user.id",
    "iter",
    "now.ms",
    "now.s",
    "env.NAME",
    "secret.NAME",
    "data.TABLE",
    "data.TABLE.COLUMN",
];

/// Depth of calls within calls.
const NESTING_MAX: usize = 16;

/// Reads the text between `${` and `}`.
pub(super) struct Parser<'t, 'n> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    pub(super) end: usize,
    /// Where `text` begins within the outermost text, for places in messages.
    pub(super) offset: usize,
    pub(super) depth: usize,
    pub(super) names: &'n mut dyn Names,
    pub(super) errors: &'n mut Vec<TemplateError>,
}

impl<'t> Parser<'t, '_> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..self.end]
    }

    fn fail(&mut self, from: usize, to: usize, message: impl Into<String>, help: Option<String>) {
        let at = self.offset + from..self.offset + to.max(from);
        self.errors.push(TemplateError { at, message: message.into(), help });
    }

    pub(super) fn whole(&mut self) -> Option<Meaning> {
        let meaning = self.expression()?;
        self.space();
        if self.at < self.end {
            let text = self.rest().to_owned();
            self.fail(
                self.at,
                self.end,
                format!("`{text}` is left over at the end of this template"),
                Some("templates hold one name or one function call; there are no operators".into()),
            );
            return None;
        }
        Some(meaning)
    }

    fn space(&mut self) {
        self.at = self.end - self.rest().trim_start().len();
    }

    fn expression(&mut self) -> Option<Meaning> {
        self.space();
        let start = self.at;
        let length = self
            .rest()
            .find(|c: char| !(c.is_alphanumeric() || "_.-".contains(c)))
            .unwrap_or(self.rest().len());
        // `env.X:-default` and `iter` may be followed by `:-`, whose minus is not part of the name.
        let name = self.rest()[..length].trim_end_matches('-');
        self.at += name.len();
        if name.is_empty() {
            let (from, to) = (start, self.end);
            self.fail(
                from,
                to,
                "a name or a function was expected here",
                Some(format!("there is: {}", FORMS.join(", "))),
            );
            return None;
        }
        if self.rest().starts_with('(') {
            return self.call(name, start);
        }
        let resolved = self.name(name, start);
        match resolved {
            Ok(meaning) => Some(meaning),
            Err((message, help)) => {
                let to = self.at;
                self.fail(start, to, message, help);
                None
            }
        }
    }

    fn name(&mut self, name: &str, start: usize) -> Result<Meaning, (String, Option<String>)> {
        let dynamic = |expression| Ok(Meaning::Dynamic(expression));
        let text = |text: String| Ok(Meaning::Constant(Value::Text(text.into())));
        match name.split_once('.') {
            None if name == "iter" => dynamic(Expression::Iteration),
            None => self.names.variable(name, self.offset + start..self.offset + self.at),
            Some(("user", "id")) => dynamic(Expression::UserId),
            Some(("now", "ms")) => dynamic(Expression::NowMs),
            Some(("now", "s")) => dynamic(Expression::NowS),
            Some(("rand", "uuid")) => dynamic(Expression::RandUuid),
            Some(("rand", "int" | "zipf" | "chance")) => {
                Err((format!("`{name}` needs its arguments"), Some(usage(name).into())))
            }
            Some(("env", variable)) => {
                let default = self.rest().strip_prefix(":-").map(str::to_owned);
                if default.is_some() {
                    self.at = self.end;
                }
                match (self.names.env(variable), default) {
                    (Some(value), default) if !value.is_empty() || default.is_none() => text(value),
                    (_, Some(default)) => text(default),
                    _ => Err((
                        format!("the environment variable `{variable}` is not set"),
                        Some(format!("set it, or give a default: ${{env.{variable}:-value}}")),
                    )),
                }
            }
            Some(("secret", secret)) => self.names.secret(secret).and_then(text),
            Some(("data", rest)) => {
                let (table, column) =
                    rest.split_once('.').map_or((rest, None), |(table, column)| (table, Some(column)));
                self.names.data(table, column)
            }
            Some(_) => Err(unknown(name)),
        }
    }

    fn call(&mut self, name: &'t str, start: usize) -> Option<Meaning> {
        let open = self.at + 1;
        let Some(close) = self.matching_parenthesis() else {
            let to = self.end;
            self.fail(start, to, format!("the `(` after `{name}` is never closed"), None);
            return None;
        };
        let arguments = split_arguments(self.text, open, close);
        self.at = close + 1;
        let wanted = match name {
            "rand.int" => 2..=2,
            "rand.zipf" => 2..=3,
            "rand.uuid" => 0..=0,
            "rand.chance" | "base64" | "sha256" | "json" | "urlencode" => 1..=1,
            "hmac_sha256" => 2..=2,
            _ => {
                let (message, help) = unknown(name);
                self.fail(start, open - 1, message, help);
                return None;
            }
        };
        if !wanted.contains(&arguments.len()) || self.depth >= NESTING_MAX {
            let message = format!("`{name}` does not take {} arguments", arguments.len());
            self.fail(start, close + 1, message, Some(usage(name).into()));
            return None;
        }
        let meaning = if name.starts_with("rand.") {
            self.draw(name, &arguments)
        } else {
            self.function(name, &arguments)
        };
        if meaning.is_none() && self.errors.is_empty() {
            self.fail(
                start,
                close + 1,
                format!("`{name}` cannot use these arguments"),
                Some(usage(name).into()),
            );
        }
        meaning
    }

    fn draw(&mut self, name: &str, arguments: &[Range<usize>]) -> Option<Meaning> {
        let written: Vec<&str> = arguments.iter().map(|range| self.text[range.clone()].trim()).collect();
        let integer = |index: usize| written.get(index).and_then(|text| text.parse::<i64>().ok());
        let expression = match name {
            "rand.uuid" => Some(Expression::RandUuid),
            "rand.int" => integer(0)
                .zip(integer(1))
                .filter(|(low, high)| low <= high)
                .map(|(low, high)| Expression::RandInt { low, high }),
            "rand.zipf" => {
                integer(0).zip(integer(1)).filter(|(low, high)| low <= high).and_then(|(low, high)| {
                    let exponent = written.get(2).map_or(Some(1.0), |text| text.parse::<f64>().ok())?;
                    // 2^53: above it ranks are no longer whole as floats.
                    let n = high.checked_sub(low)?.checked_add(1).filter(|n| *n <= 1 << 53)?;
                    let ranks = rand_distr::Zipf::new(n as f64, exponent).ok()?;
                    Some(Expression::RandZipf { offset: low.checked_sub(1)?, ranks })
                })
            }
            _ => crate::units::percent(written.first()?)
                .ok()
                .filter(|probability| (0.0..=1.0).contains(probability))
                .map(Expression::RandChance),
        };
        if expression.is_none() {
            let (from, to) =
                (arguments.first().map_or(self.at, |r| r.start), arguments.last().map_or(self.at, |r| r.end));
            self.fail(from, to, format!("`{name}` cannot use these arguments"), Some(usage(name).into()));
        }
        expression.map(Meaning::Dynamic)
    }

    fn function(&mut self, name: &str, arguments: &[Range<usize>]) -> Option<Meaning> {
        let function = match name {
            "base64" => Function::Base64,
            "sha256" => Function::Sha256,
            "hmac_sha256" => Function::HmacSha256,
            "json" => Function::Json,
            _ => Function::UrlEncode,
        };
        let templates: Vec<Template> =
            arguments.iter().map(|range| self.argument(range.clone())).collect::<Option<_>>()?;
        let constants: Option<Vec<Vec<u8>>> = templates
            .iter()
            .map(|template| template.literal().map(|text| text.as_bytes().to_vec()))
            .collect();
        let Some(constants) = constants else {
            return Some(Meaning::Dynamic(Expression::Call { function, arguments: templates }));
        };
        let folded = function.apply(&constants).into_boxed_str();
        Some(Meaning::Constant(if function == Function::Json {
            Value::Json(folded)
        } else {
            Value::Text(folded)
        }))
    }

    /// A quoted text (itself a template), a number, or an expression.
    fn argument(&mut self, range: Range<usize>) -> Option<Template> {
        let text = &self.text[range.clone()];
        let trimmed = text.trim();
        let start = range.start + (text.len() - text.trim_start().len());
        let quote = trimmed.chars().next().filter(|c| "\"'".contains(*c));
        let mut builder = TemplateBuilder::default();
        if let Some(inner) = quote.and_then(|q| trimmed.strip_prefix(q)?.strip_suffix(q)) {
            let before = self.errors.len();
            for part in parts(inner, self.offset + start + 1, self.depth + 1, self.names, self.errors) {
                builder.part(part, Place::Text);
            }
            return (self.errors.len() == before).then(|| builder.finish());
        }
        if !trimmed.is_empty() && trimmed.parse::<f64>().is_ok() {
            return Some(Template::text(trimmed));
        }
        let mut inner = Parser {
            text: self.text,
            at: start,
            end: start + trimmed.len(),
            offset: self.offset,
            depth: self.depth + 1,
            names: self.names,
            errors: self.errors,
        };
        let meaning = inner.whole()?;
        builder.part(Part::Value(meaning), Place::Text);
        Some(builder.finish())
    }

    fn matching_parenthesis(&self) -> Option<usize> {
        let (mut depth, mut quote) = (0usize, None);
        for (offset, c) in self.rest().char_indices() {
            match (quote, c) {
                (Some(q), c) if c == q => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(c),
                (None, '(') => depth += 1,
                (None, ')') if depth == 1 => return Some(self.at + offset),
                (None, ')') => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }
}

/// The arguments between `open` and `close`, split at commas outside quotes and parentheses.
fn split_arguments(text: &str, open: usize, close: usize) -> Vec<Range<usize>> {
    if text[open..close].trim().is_empty() {
        return Vec::new();
    }
    let (mut depth, mut quote, mut start) = (0usize, None, open);
    let mut ranges = Vec::new();
    for (offset, c) in text[open..close].char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                ranges.push(start..open + offset);
                start = open + offset + 1;
            }
            _ => {}
        }
    }
    ranges.push(start..close);
    ranges
}

fn unknown(name: &str) -> (String, Option<String>) {
    (format!("there is no `{name}` in templates"), crate::scenario::suggest::hint(name, FORMS))
}

fn usage(function: &str) -> &'static str {
    match function {
        "rand.int" => "write ${rand.int(1, 100)}: both ends included, low first",
        "rand.zipf" => "write ${rand.zipf(1, 1000)} or, with an exponent, ${rand.zipf(1, 1000, 1.2)}",
        "rand.chance" => "write ${rand.chance(30%)}",
        "rand.uuid" => "write ${rand.uuid()}",
        "hmac_sha256" => "write ${hmac_sha256(secret.key, \"message\")}",
        "base64" => "write ${base64(\"text\")} or ${base64(name)}",
        "sha256" => "write ${sha256(\"text\")} or ${sha256(name)}",
        "json" => "write ${json(name)}",
        _ => "write ${urlencode(name)}",
    }
}
