//! Rendering of expressions. It runs for every request, so numbers are written from the stack and text is copied once.

use super::{Context, Expression, Function, RenderError, Value};
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::{Rng as _, RngExt as _};
use rand_distr::Distribution as _;
use sha2::{Digest as _, Sha256};

/// What the surrounding text asks of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    JsonText,
    JsonValue,
    Url,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl Expression {
    pub(super) fn write(
        &self,
        context: &mut dyn Context,
        out: &mut Vec<u8>,
        form: Form,
    ) -> Result<(), RenderError> {
        match self {
            Self::Slot(slot) => match context.slot(*slot) {
                Some(Value::Text(text)) => text_in(text, form, out),
                // A captured object inside a longer JSON string is its text there, hence escaped.
                Some(Value::Json(json)) if form == Form::JsonValue => out.extend_from_slice(json.as_bytes()),
                Some(Value::Json(json)) => text_in(json, form, out),
                None => return Err(RenderError::Unset { slot: *slot }),
            },
            Self::Data { table, column } => match context.data(*table, *column) {
                Some(cell) => text_in(cell, form, out),
                None => return Err(RenderError::DataEnded { table: *table }),
            },
            Self::UserId => number(context.user_id(), out),
            Self::Iteration => number(context.iteration(), out),
            Self::NowMs => number(context.unix_ms(), out),
            Self::NowS => number(context.unix_ms() / 1000, out),
            Self::RandInt { low, high } => number(context.stream().random_range(*low..=*high), out),
            Self::RandZipf { offset, ranks } => {
                // Ranks are whole and at most 2^53 by construction, so the cast is exact.
                number(offset.saturating_add(ranks.sample(context.stream()) as i64), out);
            }
            Self::RandUuid => {
                let mut text = [0u8; 36];
                uuid_v4(context.stream(), &mut text);
                let quote = form == Form::JsonValue;
                out.extend(quote.then_some(b'"'));
                out.extend_from_slice(&text);
                out.extend(quote.then_some(b'"'));
            }
            Self::RandChance(probability) => {
                let hit = context.stream().random_bool(*probability);
                out.extend_from_slice(if hit { b"true" } else { b"false" });
            }
            Self::Call { function, arguments } => {
                let mut rendered = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    let mut bytes = Vec::new();
                    argument.render(context, &mut bytes)?;
                    rendered.push(bytes);
                }
                let text = function.apply(&rendered);
                if form == Form::JsonValue && *function == Function::Json {
                    out.extend_from_slice(text.as_bytes());
                } else {
                    text_in(&text, form, out);
                }
            }
        }
        Ok(())
    }
}

impl Function {
    /// The function of its rendered arguments; a missing one is empty (the parser has counted them).
    pub(super) fn apply(self, arguments: &[Vec<u8>]) -> String {
        let argument = |index: usize| arguments.get(index).map_or(&[][..], Vec::as_slice);
        match self {
            Self::Base64 => base64::engine::general_purpose::STANDARD.encode(argument(0)),
            Self::Sha256 => hex(&Sha256::digest(argument(0))),
            Self::HmacSha256 => {
                let mut mac =
                    Hmac::<Sha256>::new_from_slice(argument(0)).expect("HMAC takes keys of any length");
                mac.update(argument(1));
                hex(&mac.finalize().into_bytes())
            }
            Self::UrlEncode => {
                let mut out = Vec::new();
                percent_encode(argument(0), &mut out);
                String::from_utf8_lossy(&out).into_owned()
            }
            Self::Json => serde_json::Value::from(String::from_utf8_lossy(argument(0))).to_string(),
        }
    }
}

fn text_in(text: &str, form: Form, out: &mut Vec<u8>) {
    match form {
        Form::Text => out.extend_from_slice(text.as_bytes()),
        Form::Url => percent_encode(text.as_bytes(), out),
        Form::JsonText => json_escape(text, out),
        Form::JsonValue => {
            out.push(b'"');
            json_escape(text, out);
            out.push(b'"');
        }
    }
}

/// The inside of a JSON string (RFC 8259 section 7).
fn json_escape(text: &str, out: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                hex_byte(byte, out);
            }
            _ => out.push(byte),
        }
    }
}

/// Everything but the unreserved characters of RFC 3986 section 2.3.
fn percent_encode(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            out.push(b'%');
            out.push(HEX[usize::from(byte >> 4)].to_ascii_uppercase());
            out.push(HEX[usize::from(byte & 15)].to_ascii_uppercase());
        }
    }
}

fn number(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn hex_byte(byte: u8, out: &mut Vec<u8>) {
    out.push(HEX[usize::from(byte >> 4)]);
    out.push(HEX[usize::from(byte & 15)]);
}

fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    bytes.iter().for_each(|byte| hex_byte(*byte, &mut out));
    String::from_utf8_lossy(&out).into_owned()
}

/// A random UUID (RFC 9562 section 5.4) in its usual 36 characters.
fn uuid_v4(stream: &mut crate::seed::Stream, text: &mut [u8; 36]) {
    let mut bytes = [0u8; 16];
    stream.fill_bytes(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut at = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text[at] = b'-';
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
}

/// Everything but unreserved characters as `%XX`, for the fixed parts of a form.
pub fn percent_encoded(text: &str) -> String {
    Function::UrlEncode.apply(&[text.as_bytes().to_vec()])
}
