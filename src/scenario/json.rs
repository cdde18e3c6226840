//! Values picked out of a JSON body by a path. The paths that scenarios are full of (names, indexes, `[*]`) are walked over the bytes: what
//! they do not lead to is skipped, and what they do is looked at where it lies. Any other path of RFC 9535 is asked of the parsed body.

use super::template::Value;
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use serde_json_path::JsonPath;
use std::fmt;

/// A compiled JSONPath.
#[derive(Clone, Debug)]
pub struct Path {
    any: JsonPath,
    /// The same path, if it is one that can be walked.
    walk: Option<Box<[Step]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(Box<str>),
    Index(usize),
    /// Every element of an array.
    All,
}

/// The body of one response as JSON, parsed when a path cannot do without and then kept for the other checks and extracts of the step.
#[derive(Debug, Default)]
pub struct BodyCache {
    parsed: Option<Result<Json, String>>,
}

impl BodyCache {
    /// # Errors
    /// The body is not JSON: the parser's own words, with line and column.
    pub fn json(&mut self, body: &[u8]) -> Result<&Json, &str> {
        self.parsed
            .get_or_insert_with(|| serde_json::from_slice(body).map_err(|error| error.to_string()))
            .as_ref()
            .map_err(String::as_str)
    }
}

/// A value that a path leads to.
#[derive(Clone, Copy, Debug)]
pub enum Node<'a> {
    /// The text of it in the body.
    Raw(&'a str),
    Parsed(&'a Json),
}

impl Path {
    /// # Errors
    /// (message, help) when the text is not a JSONPath.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let any = JsonPath::parse(text).map_err(|error| {
            (
                format!("`{text}` is not a JSONPath: {error}"),
                "JSONPath as in RFC 9535: `$.token`, `$.items[0].id`, `$.items[*].id`".to_owned(),
            )
        })?;
        Ok(Self { any, walk: steps(text) })
    }

    /// All values the path leads to, in the order of the body.
    ///
    /// # Errors
    /// The body is not JSON, as [`BodyCache::json`]. A walked body need only be JSON by its grammar where the path does not lead.
    pub fn nodes<'a>(&self, body: &'a [u8], cache: &'a mut BodyCache) -> Result<Vec<Node<'a>>, &'a str> {
        if let Some(found) = self.walk.as_ref().and_then(|steps| walk(steps, body)) {
            return Ok(found);
        }
        Ok(self.any.query(cache.json(body)?).all().into_iter().map(Node::Parsed).collect())
    }

    /// The first of them.
    ///
    /// # Errors
    /// As [`Path::nodes`].
    pub fn first<'a>(&self, body: &'a [u8], cache: &'a mut BodyCache) -> Result<Option<Node<'a>>, &'a str> {
        self.nodes(body, cache).map(|nodes| nodes.first().copied())
    }
}

impl Node<'_> {
    pub fn is_null(self) -> bool {
        match self {
            Self::Raw(text) => text == "null",
            Self::Parsed(json) => json.is_null(),
        }
    }

    /// `null`, or a text, array or object with nothing in it.
    pub fn is_empty(self) -> bool {
        match self {
            Self::Raw("null" | "\"\"") => true,
            Self::Raw(text) => {
                let inside = text.strip_prefix('[').or_else(|| text.strip_prefix('{'));
                inside.is_some_and(|inside| matches!(inside.trim_start().as_bytes(), [b']' | b'}']))
            }
            Self::Parsed(json) => match json {
                Json::Null => true,
                Json::String(text) => text.is_empty(),
                Json::Array(items) => items.is_empty(),
                Json::Object(members) => members.is_empty(),
                Json::Bool(_) | Json::Number(_) => false,
            },
        }
    }

    /// The value by itself. An array or object that was walked to, and in which something has no value, is its text.
    pub fn to_json(self) -> Json {
        match self {
            Self::Raw(text) => serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned())),
            Self::Parsed(json) => json.clone(),
        }
    }

    pub fn as_f64(self) -> Option<f64> {
        match self {
            Self::Raw(text) => serde_json::from_str::<Json>(text).ok()?.as_f64(),
            Self::Parsed(json) => json.as_f64(),
        }
    }

    /// As a variable holds it: JSON strings become text, everything else keeps its JSON form.
    pub fn to_value(self) -> Value {
        if let Self::Raw(text) = self {
            // The usual picks, an id by number or by name, are copied as they are.
            if is_plain_integer(text) {
                return Value::Json(text.into());
            }
            let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            if let Some(plain) = quoted.filter(|text| !text.contains('\\')) {
                return Value::Text(plain.into());
            }
        }
        match self.to_json() {
            Json::String(text) => Value::Text(text.into()),
            other => Value::Json(other.to_string().into()),
        }
    }
}

/// Grammar alone lets pass half of a surrogate pair and a number out of range: who is led to such a thing is to hear of it, as whoever parses
/// the body does.
fn may_have_no_value(text: &str) -> bool {
    const DIGITS_MAX: usize = 300; // A double has 308 before its point.
    match text.as_bytes() {
        b"true" | b"false" | b"null" => false,
        [b'"', ..] => text.contains('\\'),
        // Whether it is empty is often all that is asked, so it is parsed by whom its value is asked.
        [b'[' | b'{', ..] => false,
        number => number.len() > DIGITS_MAX || text.contains(['e', 'E']),
    }
}

/// Digits that are their own canonical form and fit 64 bits.
fn is_plain_integer(text: &str) -> bool {
    text.len() < 19 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The steps of a path that has only names, indexes from the front and `[*]`.
fn steps(text: &str) -> Option<Box<[Step]>> {
    let mut rest = text.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let step;
        (step, rest) = match rest.strip_prefix('.') {
            Some(after) => {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
                let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                let (name, rest) = after.split_at(end);
                // `..` and `.*` have no name here; the latter would also take the members of objects, in whatever order.
                (Step::Name((!name.is_empty()).then_some(name)?.into()), rest)
            }
            None => {
                let (inside, rest) = rest.strip_prefix('[')?.split_once(']')?;
                let quoted = |quote| inside.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
                let step = match quoted('"').or_else(|| quoted('\'')) {
                    Some(name) if !name.contains(['\\', '"', '\'']) => Step::Name(name.into()),
                    Some(_) => return None,
                    None if inside == "*" => Step::All,
                    None if inside.bytes().all(|byte| byte.is_ascii_digit()) => {
                        Step::Index(inside.parse().ok()?)
                    }
                    None => return None,
                };
                (step, rest)
            }
        };
        steps.push(step);
    }
    Some(steps.into())
}

/// `None` where the parsed body has to be asked: it is not JSON, or a wildcard has met an object, whose members the tree has in another order.
fn walk<'b>(steps: &[Step], body: &'b [u8]) -> Option<Vec<Node<'b>>> {
    let text = std::str::from_utf8(body).ok()?;
    let mut found = Vec::new();
    let mut body = serde_json::Deserializer::from_str(text);
    Walk { steps, found: &mut found }.deserialize(&mut body).ok()?;
    body.end().ok()?;
    Some(found)
}

/// What is left of the way, at a value of the body.
struct Walk<'s, 'b, 'f> {
    steps: &'s [Step],
    found: &'f mut Vec<Node<'b>>,
}

impl<'b> DeserializeSeed<'b> for Walk<'_, 'b, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, value: D) -> Result<(), D::Error> {
        if self.steps.is_empty() {
            let text = <&RawValue>::deserialize(value)?.get();
            if may_have_no_value(text) {
                serde_json::from_str::<Json>(text).map_err(D::Error::custom)?;
            }
            self.found.push(Node::Raw(text));
            return Ok(());
        }
        value.deserialize_any(self)
    }
}

/// A value in which the path goes on; one that has no members or elements is the end of it.
impl<'b> Visitor<'b> for Walk<'_, 'b, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut members: A) -> Result<(), A::Error> {
        let wanted = match self.steps.first() {
            Some(Step::Name(name)) => Some(&**name),
            Some(Step::All) => return Err(A::Error::custom("members in the order of the tree")),
            Some(Step::Index(_)) | None => None,
        };
        let before = self.found.len();
        while let Some(is_wanted) = members.next_key_seed(IsName(wanted))? {
            if is_wanted {
                // Of members of the same name the last one counts.
                self.found.truncate(before);
                members.next_value_seed(Walk { steps: &self.steps[1..], found: &mut *self.found })?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut elements: A) -> Result<(), A::Error> {
        let is_wanted = |index: usize| match self.steps.first() {
            Some(Step::All) => true,
            Some(Step::Index(wanted)) => index == *wanted,
            Some(Step::Name(_)) | None => false,
        };
        for index in 0.. {
            let more = if is_wanted(index) {
                elements
                    .next_element_seed(Walk { steps: &self.steps[1..], found: &mut *self.found })?
                    .is_some()
            } else {
                elements.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a member's name, to tell whether it is this one.
struct IsName<'s>(Option<&'s str>);

impl<'b> DeserializeSeed<'b> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'b>>(self, name: D) -> Result<bool, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(self.0 == Some(name))
    }
}

#[cfg(test)]
#[path = "tests/json.rs"]
mod tests;
