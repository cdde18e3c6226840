//! Templates: text with `${…}`, compiled once. At run time a literal segment costs a copy and a variable an index; nothing is
//! looked up by name.

use super::plan::SlotId;

/// A compiled template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pub segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    Text(Box<str>),
    /// The value as text.
    Value(Expression),
    /// The value as the inside of a JSON string (escaped, no quotes).
    JsonText(Expression),
    /// The value as a whole JSON value: a captured number stays a number, text is quoted.
    JsonValue(Expression),
    /// The value percent-encoded, for a path or query.
    Url(Expression),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Slot(SlotId),
    Data {
        table: u16,
        column: u16,
    },
    UserId,
    Iteration,
    NowMs,
    NowS,
    RandInt {
        low: i64,
        high: i64,
    },
    /// Rank 1..=n with probability proportional to 1/rank^s.
    RandZipf {
        n: u64,
        s: f64,
    },
    RandUuid,
    /// `true` with this probability, else `false`.
    RandChance(f64),
    /// A function of rendered arguments.
    Call {
        function: Function,
        arguments: Vec<Template>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Base64,
    Sha256,
    UrlEncode,
    Json,
}

/// A value a user holds: text, or the text of a JSON number, boolean, null, array or object.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(Box<str>),
    Json(Box<str>),
}

/// What a template may ask for while it is rendered; the engine's users implement it.
pub trait Context {
    /// The variable, `None` while nothing has been captured into it.
    fn slot(&self, slot: SlotId) -> Option<&Value>;
    /// The cell of this iteration's row; `None` when the table ran out (`at_end`).
    fn data(&mut self, table: u16, column: u16) -> Option<&str>;
    fn user_id(&self) -> u64;
    fn iteration(&self) -> u64;
    /// Unix time in milliseconds.
    fn unix_ms(&self) -> u64;
    fn stream(&mut self) -> &mut crate::seed::Stream;
}
