//! Checks: what a response must be for its step to count as good.

use super::condition::Condition;
use super::extract::{BodyCache, ResponseView};
use super::template::{Context, Template};
use std::fmt;
use std::time::Duration;

/// One condition of `expect`.
#[derive(Clone, Debug)]
pub enum Check {
    Status(Statuses),
    Body(Condition),
    /// The header is there and has this value; an empty template asks only that it is there.
    Header {
        name: Box<str>,
        value: Template,
    },
    /// Service time at most this.
    Within(Duration),
}

/// Accepted status codes, as inclusive ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(pub Vec<(u16, u16)>);

/// A response that is not what the scenario expects. Texts of the same cause are equal, so that they can be counted together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct CheckFailure {
    pub kind: CheckKind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckKind {
    Status,
    Body,
    Header,
    Late,
}

impl Check {
    /// What a step without `expect: {status: …}` asks: anything below 400.
    pub fn default_status() -> Self {
        Self::Status(Statuses(vec![(100, 399)]))
    }

    /// # Errors
    /// The response is not as expected, or a template of the check has no value.
    pub fn verify(
        &self,
        response: &ResponseView<'_>,
        body: &mut BodyCache,
        context: &mut dyn Context,
    ) -> Result<(), CheckFailure> {
        match self {
            Self::Status(statuses) if statuses.contains(response.status) => Ok(()),
            Self::Status(statuses) => Err(CheckFailure::new(
                CheckKind::Status,
                format!("status {}, expected {statuses}", response.status),
            )),
            Self::Body(condition) => match condition.holds(context, Some((response, body))) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    Err(CheckFailure::new(CheckKind::Body, format!("expected the body to have {condition}")))
                }
                Err(reason) => Err(CheckFailure::new(
                    CheckKind::Body,
                    format!("expected the body to have {condition}: {reason}"),
                )),
            },
            Self::Header { name, value } => verify_header(name, value, response, context),
            Self::Within(limit) if response.elapsed <= *limit => Ok(()),
            Self::Within(limit) => Err(CheckFailure::new(
                CheckKind::Late,
                format!("slower than the expected {}", crate::units::show_duration(*limit)),
            )),
        }
    }

    pub fn reads_body(&self) -> bool {
        matches!(self, Self::Body(condition) if condition.reads_body())
    }

    pub fn reads_head(&self) -> bool {
        matches!(self, Self::Header { .. })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(statuses) => write!(f, "status {statuses}"),
            Self::Body(condition) => write!(f, "body {condition}"),
            Self::Header { name, value } => match value.literal() {
                Some("") => write!(f, "header {name}"),
                Some(text) => write!(f, "header {name}: {text}"),
                None => write!(f, "header {name}: as rendered"),
            },
            Self::Within(limit) => write!(f, "within {}", crate::units::show_duration(*limit)),
        }
    }
}

fn verify_header(
    name: &str,
    value: &Template,
    response: &ResponseView<'_>,
    context: &mut dyn Context,
) -> Result<(), CheckFailure> {
    let failure = |text| Err(CheckFailure::new(CheckKind::Header, text));
    let Some(found) = response.header(name) else {
        return failure(format!("no header `{name}`"));
    };
    let mut wanted = Vec::new();
    match value.render(context, &mut wanted) {
        Ok(()) if wanted.is_empty() || wanted == found => Ok(()),
        Ok(()) => failure(format!("the header `{name}` is not `{}`", String::from_utf8_lossy(&wanted))),
        Err(error) => failure(error.to_string()),
    }
}

impl CheckFailure {
    fn new(kind: CheckKind, text: String) -> Self {
        Self { kind, text }
    }
}

impl Statuses {
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }

    /// `200` or `2xx`.
    pub fn parse_one(text: &str) -> Option<(u16, u16)> {
        if let Some(class) = text.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok()) {
            return (1..=5).contains(&class).then_some((class * 100, class * 100 + 99));
        }
        text.parse::<u16>().ok().filter(|code| (100..=599).contains(code)).map(|code| (code, code))
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == [(100, 399)] {
            return f.write_str("below 400");
        }
        for (index, (low, high)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " or " };
            if low == high {
                write!(f, "{separator}{low}")?;
            } else {
                write!(f, "{separator}{}xx", low / 100)?;
            }
        }
        Ok(())
    }
}
