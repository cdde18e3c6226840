//! Templates: text with `${…}`, compiled once. At run time a literal segment costs a copy and a variable an index; nothing is
//! looked up by name.

mod expression;
pub mod parse;
mod render;

pub use render::percent_encoded;

use super::plan::{Plan, SlotId};

/// A compiled template.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Inclusive at both ends.
    RandInt {
        low: i64,
        high: i64,
    },
    /// `offset` + rank, where ranks 1..=n come with probability proportional to 1/rank^s.
    RandZipf {
        offset: i64,
        ranks: rand_distr::Zipf<f64>,
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
    /// Lower-case hexadecimal.
    Sha256,
    /// Key, then message; lower-case hexadecimal.
    HmacSha256,
    UrlEncode,
    /// The text as a JSON string with its quotes.
    Json,
}

/// A value a user holds: text, or the text of a JSON number, boolean, null, array or object.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(Box<str>),
    Json(Box<str>),
}

/// Why a template has no text right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("a variable in it has not been captured by any step this user has run")]
    Unset { slot: SlotId },
    #[error("a data table in it has no row left for this user")]
    DataEnded { table: u16 },
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

impl Template {
    /// A template that is always this text.
    pub fn text(text: &str) -> Self {
        let segments = if text.is_empty() { Vec::new() } else { vec![Segment::Text(text.into())] };
        Self { segments }
    }

    /// The text of a template without values: no rendering needed.
    pub fn literal(&self) -> Option<&str> {
        match self.segments.as_slice() {
            [] => Some(""),
            [Segment::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text to `out`. Literal segments and numbers allocate nothing.
    ///
    /// # Errors
    /// A variable that holds nothing, or a data table without a row. What was appended before it stays in `out`.
    pub fn render(&self, context: &mut dyn Context, out: &mut Vec<u8>) -> Result<(), RenderError> {
        for segment in &self.segments {
            match segment {
                Segment::Text(text) => out.extend_from_slice(text.as_bytes()),
                Segment::Value(expression) => expression.write(context, out, render::Form::Text)?,
                Segment::JsonText(expression) => expression.write(context, out, render::Form::JsonText)?,
                Segment::JsonValue(expression) => expression.write(context, out, render::Form::JsonValue)?,
                Segment::Url(expression) => expression.write(context, out, render::Form::Url)?,
            }
        }
        Ok(())
    }

    /// What `set` stores: a template that is one value keeps the type of that value, anything else is text.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn value(&self, context: &mut dyn Context) -> Result<Value, RenderError> {
        if let [Segment::Value(Expression::Slot(slot))] = self.segments.as_slice() {
            return context.slot(*slot).cloned().ok_or(RenderError::Unset { slot: *slot });
        }
        let mut bytes = Vec::new();
        self.render(context, &mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned().into_boxed_str();
        Ok(match self.segments.as_slice() {
            [Segment::Value(expression)] if expression.is_json() => Value::Json(text),
            _ => Value::Text(text),
        })
    }

    /// Does the text change between two renderings? Then a path with it needs a name.
    pub fn is_dynamic(&self) -> bool {
        self.literal().is_none()
    }
}

impl Expression {
    /// Numbers and booleans, which stand in JSON without quotes.
    fn is_json(&self) -> bool {
        matches!(
            self,
            Self::UserId
                | Self::Iteration
                | Self::NowMs
                | Self::NowS
                | Self::RandInt { .. }
                | Self::RandZipf { .. }
                | Self::RandChance(_)
        )
    }
}

impl RenderError {
    /// The sentence for a failed step, with the names of the plan.
    pub fn describe(&self, plan: &Plan) -> String {
        match self {
            Self::Unset { slot } => {
                let name = plan.slots.get(usize::from(*slot)).map_or("?", String::as_str);
                format!("`${{{name}}}` has not been captured by any step this user has run")
            }
            Self::DataEnded { table } => {
                let name = plan.data.get(usize::from(*table)).map_or("?", |table| table.name.as_str());
                format!("the data table `{name}` has no row left for this user")
            }
        }
    }
}

impl Value {
    /// The text inside, whichever kind it is.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Json(text) => text,
        }
    }
}
