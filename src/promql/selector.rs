//! Which series are meant: `name{label="value", other=~"pattern"}`.

use super::Labels;
use promql_parser::label::{MatchOp, Matcher};
use std::fmt;

/// A name and what the labels must be; labels that are not named may have any value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    name: String,
    matchers: Vec<Matcher>,
}

impl Selector {
    /// The series of that name whose labels have these values.
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        let matchers = labels.iter().map(|(label, value)| Matcher::new(MatchOp::Equal, label, value));
        Self { name: name.to_owned(), matchers: matchers.collect() }
    }

    /// Those of them whose `label` has none of these values.
    #[must_use]
    pub fn without(mut self, label: &str, values: &[&str]) -> Self {
        self.matchers.extend(values.iter().map(|value| Matcher::new(MatchOp::NotEqual, label, value)));
        self
    }

    pub(super) fn with(name: String, matchers: Vec<Matcher>) -> Self {
        Self { name, matchers }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A label that a series does not have is one of no characters, as in Prometheus.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        let value = |label: &str| labels.get(label).map_or("", String::as_str);
        name == self.name && self.matchers.iter().all(|matcher| matcher.is_match(value(&matcher.name)))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let matchers: Vec<String> = self.matchers.iter().map(ToString::to_string).collect();
        if matchers.is_empty() { Ok(()) } else { write!(f, "{{{}}}", matchers.join(",")) }
    }
}
