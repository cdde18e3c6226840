//! What is read out of one response: compiled from the scenario, evaluated without knowing how the bytes came. A WebSocket
//! message is a response without status and head.

pub use super::check::{Check, CheckFailure, CheckKind, Statuses};
pub use super::condition::Condition;
pub use super::json::BodyCache;

use super::json::Path;
use super::plan::SlotId;
use super::template::Value;
use crate::seed::Stream;
use rand::RngExt as _;
use std::time::Duration;

/// One response as checks see it. `head` and `body` are empty when the step keeps neither.
#[derive(Clone, Copy, Debug)]
pub struct ResponseView<'a> {
    pub status: u16,
    /// Raw header block after the status line, as received.
    pub head: &'a [u8],
    pub body: &'a [u8],
    /// Service time of the request, for `within`.
    pub elapsed: Duration,
}

impl<'a> ResponseView<'a> {
    /// A WebSocket message.
    pub fn message(body: &'a [u8]) -> Self {
        Self { status: 0, head: &[], body, elapsed: Duration::ZERO }
    }

    /// The first header of that name (any case), without surrounding blanks.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.head.split(|byte| *byte == b'\n').find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
        })
    }
}

/// A value to read out of a response.
#[derive(Clone, Debug)]
pub enum Pick {
    /// `$.items[*].id | random`.
    Json { path: Path, text: Box<str>, which: Choice },
    /// `regex:…`, its first group.
    Regex { regex: regex::bytes::Regex },
    /// `header:Name`.
    Header { name: Box<str> },
}

/// Which of several matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    First,
    Last,
    Random,
    /// Not a match but how many there are.
    Count,
}

#[derive(Clone, Debug)]
pub struct Extract {
    pub slot: SlotId,
    pub pick: Pick,
}

/// Why there is no value. The text names what was looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtractFailure {
    #[error("`{what}` matches nothing in the response")]
    Nothing { what: String },
    #[error("`{what}` is null in the response")]
    Null { what: String },
    #[error("`{what}` needs JSON, and the body is not: {reason}")]
    NotJson { what: String, reason: String },
    #[error("`{what}` is not a number in the response")]
    NotNumber { what: String },
}

impl Extract {
    /// As [`Pick::apply`].
    ///
    /// # Errors
    /// As [`Pick::apply`].
    pub fn apply(
        &self,
        response: &ResponseView<'_>,
        body: &mut BodyCache,
        stream: &mut Stream,
    ) -> Result<Value, ExtractFailure> {
        self.pick.apply(response, body, stream)
    }
}

impl Pick {
    /// The value. JSON strings become text, everything else keeps its JSON form.
    ///
    /// # Errors
    /// Nothing matches, the match is `null`, or the body is not JSON: never a `null` in the next URL.
    pub fn apply(
        &self,
        response: &ResponseView<'_>,
        body: &mut BodyCache,
        stream: &mut Stream,
    ) -> Result<Value, ExtractFailure> {
        let nothing = || ExtractFailure::Nothing { what: self.to_string() };
        match self {
            Self::Json { path, which, .. } => {
                let nodes = path.nodes(response.body, body).map_err(|reason| self.not_json(reason))?;
                let node = match which {
                    Choice::Count => return Ok(Value::Json(nodes.len().to_string().into())),
                    Choice::First => nodes.first(),
                    Choice::Last => nodes.last(),
                    Choice::Random if nodes.is_empty() => None,
                    Choice::Random => nodes.get(stream.random_range(0..nodes.len())),
                };
                let node = node.ok_or_else(nothing)?;
                if node.is_null() {
                    return Err(ExtractFailure::Null { what: self.to_string() });
                }
                Ok(node.to_value())
            }
            Self::Regex { regex } => {
                let group =
                    regex.captures(response.body).and_then(|found| found.get(1)).ok_or_else(nothing)?;
                Ok(Value::Text(String::from_utf8_lossy(group.as_bytes()).into()))
            }
            Self::Header { name } => {
                let value = response.header(name).ok_or_else(nothing)?;
                Ok(Value::Text(String::from_utf8_lossy(value).into()))
            }
        }
    }

    /// The value as a number, for `lag` and `sequence` of a listening step.
    ///
    /// # Errors
    /// Nothing matches, it is not a number, or the message is not JSON.
    pub fn number(&self, response: &ResponseView<'_>, body: &mut BodyCache) -> Result<f64, ExtractFailure> {
        let Self::Json { path, .. } = self else {
            return Err(ExtractFailure::NotNumber { what: self.to_string() });
        };
        let node = path.first(response.body, body).map_err(|reason| self.not_json(reason))?;
        let node = node.ok_or_else(|| ExtractFailure::Nothing { what: self.to_string() })?;
        node.as_f64().ok_or_else(|| ExtractFailure::NotNumber { what: self.to_string() })
    }

    pub fn reads_body(&self) -> bool {
        !matches!(self, Self::Header { .. })
    }

    fn not_json(&self, reason: &str) -> ExtractFailure {
        ExtractFailure::NotJson { what: self.to_string(), reason: reason.to_owned() }
    }
}

impl std::fmt::Display for Pick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json { text, .. } => f.write_str(text),
            Self::Regex { regex } => write!(f, "regex:{regex}"),
            Self::Header { name } => write!(f, "header:{name}"),
        }
    }
}

/// Reads an extract as written: JSONPath with an optional `| random`, `first`, `last` or `count`; `regex:`; `header:`.
///
/// # Errors
/// (message, help) when it is none of these or does not compile.
pub fn parse_pick(text: &str) -> Result<Pick, (String, String)> {
    const HELP: &str =
        "write a JSONPath `$.items[*].id | random`, `regex:PATTERN` with one group, or `header:Name`";
    if let Some(pattern) = text.strip_prefix("regex:") {
        let regex = regex::bytes::Regex::new(pattern).map_err(|error| {
            (format!("the pattern does not compile: {}", last_line(&error.to_string())), HELP.to_owned())
        })?;
        if regex.captures_len() < 2 {
            return Err((
                "the pattern has no group to capture".into(),
                "put ( ) around what you want: regex:id=(\\d+)".into(),
            ));
        }
        return Ok(Pick::Regex { regex });
    }
    if let Some(name) = text.strip_prefix("header:") {
        let name = name.trim();
        if name.is_empty() {
            return Err(("`header:` needs the name of a header".into(), HELP.into()));
        }
        return Ok(Pick::Header { name: name.into() });
    }
    if text.starts_with("css:") {
        return Err((
            "`css:` extracts are not in this version yet".into(),
            "use `regex:` on the page's text".into(),
        ));
    }
    if !text.starts_with('$') {
        return Err((format!("`{text}` is not an extract"), HELP.into()));
    }
    let (path, which) = match text.rsplit_once('|') {
        Some((path, word)) if !word.contains([']', ')', '"', '\'']) => {
            let which = match word.trim() {
                "first" => Choice::First,
                "last" => Choice::Last,
                "random" => Choice::Random,
                "count" => Choice::Count,
                other => {
                    let help = "after `|` stands `first`, `last`, `random` or `count`";
                    return Err((format!("`{other}` does not choose among matches"), help.into()));
                }
            };
            (path.trim_end(), which)
        }
        _ => (text, Choice::First),
    };
    Ok(Pick::Json { path: Path::parse(path)?, text: text.into(), which })
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ")
}
