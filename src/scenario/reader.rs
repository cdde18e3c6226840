//! Reading values out of the document. Every reader reports what is wrong and goes on, so that one pass finds everything.

use super::document::{Entry, Kind, Node, Span};
use super::keys::Section;
use super::problem::{Problem, Sink};
use super::suggest;
use crate::units::{self, UnitError};
use std::time::Duration;

/// The entries of a mapping whose keys have been checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'n> {
    entries: &'n [Entry],
    pub(super) span: Span,
    /// Some key did not belong, so what is missing may only be misspelled.
    pub(super) misspelled: bool,
}

impl<'n> Fields<'n> {
    /// Opens a mapping and reports every key that does not belong; `None` when it is no mapping at all.
    pub(super) fn open(node: &'n Node, section: &Section, sink: &mut Sink) -> Option<Self> {
        let Some(entries) = node.entries() else {
            let keys = section.keys.join(", ");
            sink.error(
                node.span,
                format!("{} is a mapping, not {}", section.what, node.what()),
                format!("its keys are: {keys}"),
            );
            return None;
        };
        let mut misspelled = false;
        for entry in entries.iter().filter(|entry| !section.keys.contains(&entry.key.as_str())) {
            sink.push(unknown_key(entry, section));
            misspelled = true;
        }
        Some(Self { entries, span: node.span, misspelled })
    }

    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Where the key itself stands, or the mapping.
    pub(super) fn key_span(&self, key: &str) -> Span {
        self.entries.iter().find(|entry| entry.key == key).map_or(self.span, |entry| entry.key_span)
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, key: &str, help: &str, sink: &mut Sink) -> Option<&'n Node> {
        let found = self.get(key).filter(|node| !node.is_null());
        if found.is_none() {
            sink.error(self.key_span(key), format!("`{key}` is missing"), help);
        }
        found
    }
}

pub(super) fn unknown_key(entry: &Entry, section: &Section) -> Problem {
    let key = entry.key.as_str();
    if section.later.contains(&key) {
        return not_yet(entry.key_span, key);
    }
    let problem = Problem::error(entry.key_span, format!("{} has no key `{key}`", section.what));
    match section.foreign.iter().find(|(word, _)| *word == key) {
        Some((_, advice)) => problem.help(*advice),
        None if key == "<<" => problem.help("merge keys are YAML 1.1; use `include`, `call` or a profile"),
        None => problem.maybe_help(suggest::hint(key, section.keys.iter().copied())),
    }
}

/// The answer to what the language has and this version does not.
pub(super) fn not_yet(at: Span, what: &str) -> Problem {
    Problem::error(at, format!("`{what}` is not in this version yet"))
        .help("leave it out; `plimsoll help scenario` lists what there is")
}

pub(super) fn list<'n>(node: &'n Node, what: &str, sink: &mut Sink) -> &'n [Node] {
    match &node.kind {
        Kind::List(items) => items,
        _ if node.is_null() => &[],
        _ => {
            sink.error(
                node.span,
                format!("{what} is a list, not {}", node.what()),
                "write one `- item` a line, or [a, b]",
            );
            &[]
        }
    }
}

pub(super) fn text<'n>(node: &'n Node, what: &str, sink: &mut Sink) -> Option<&'n str> {
    match node.scalar() {
        Some(scalar) if !node.is_null() => Some(&scalar.text),
        _ => {
            sink.error(
                node.span,
                format!("{what} is a text, not {}", node.what()),
                "write it on the same line after the colon",
            );
            None
        }
    }
}

fn united<T>(
    node: &Node,
    what: &str,
    sink: &mut Sink,
    read: impl Fn(&str) -> Result<T, UnitError>,
) -> Option<T> {
    let text = text(node, what, sink)?;
    read(text).map_err(|error| sink.error(node.span, error.message, error.help)).ok()
}

pub(super) fn duration(node: &Node, what: &str, sink: &mut Sink) -> Option<Duration> {
    united(node, what, sink, units::duration)
}

/// A duration that is not zero.
pub(super) fn lasting(node: &Node, what: &str, sink: &mut Sink) -> Option<Duration> {
    let value = duration(node, what, sink)?;
    if value.is_zero() {
        sink.error(node.span, format!("{what} must be longer than zero"), "write a duration such as 5s");
        return None;
    }
    Some(value)
}

pub(super) fn rate(node: &Node, what: &str, sink: &mut Sink) -> Option<f64> {
    united(node, what, sink, units::rate_per_s)
}

pub(super) fn count(node: &Node, what: &str, sink: &mut Sink) -> Option<u64> {
    united(node, what, sink, units::count)
}

/// A count that fits the smaller integer of the plan and is at least one.
pub(super) fn count_u32(node: &Node, what: &str, sink: &mut Sink) -> Option<u32> {
    let value = count(node, what, sink)?;
    match u32::try_from(value) {
        Ok(value) if value > 0 => Some(value),
        _ => {
            sink.error(
                node.span,
                format!("{what} must be between 1 and {}", u32::MAX),
                "write a count such as 500 or 20k",
            );
            None
        }
    }
}

/// A share above 0 and at most 100 %.
pub(super) fn share(node: &Node, what: &str, sink: &mut Sink) -> Option<f64> {
    let value = united(node, what, sink, units::percent)?;
    if !(value > 0.0 && value <= 1.0) {
        sink.error(node.span, format!("{what} lies above 0% and up to 100%"), "write a share such as 5%");
        return None;
    }
    Some(value)
}

pub(super) fn boolean(node: &Node, what: &str, sink: &mut Sink) -> Option<bool> {
    match text(node, what, sink)? {
        "true" => Some(true),
        "false" => Some(false),
        other => {
            sink.error(
                node.span,
                format!("{what} is true or false, not `{other}`"),
                "write `true` or `false`",
            );
            None
        }
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(node: &Node, what: &str, choices: &[(&str, T)], sink: &mut Sink) -> Option<T> {
    let text = text(node, what, sink)?;
    let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        let words = choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        sink.error(node.span, format!("{what} is not `{text}`"), format!("it is one of: {words}"));
    }
    found
}

/// Letters, digits, `_` and `-`, starting with a letter or `_`: names that `${…}` and `in PHASE` can hold.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
