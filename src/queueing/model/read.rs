//! Reading a model from JSON, with the place of what does not fit.

use super::{Fault, Model, Network, Populations, Servers, fault};
use schemars::JsonSchema;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use std::fmt;

/// The network that a text describes.
///
/// # Errors
/// What is no JSON, no model, or a model with faults; each with its place and what would be right.
pub fn read(text: &str) -> Result<Network, Vec<Fault>> {
    let mut document = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize::<_, Model>(&mut document);
    let whole = read.map_err(|error| {
        let path = error.path().to_string();
        // The whole document, and no place of it.
        let path = if path == "." || path == "?" { String::new() } else { path };
        (path, error.into_inner())
    });
    let model =
        whole.and_then(|model| document.end().map(|()| model).map_err(|error| (String::new(), error)));
    let model = model.map_err(|(path, error)| vec![refusal(&path, &error)])?;
    let lists = unnamed(text);
    if lists.is_empty() { model.check() } else { Err(lists) }
}

/// Objects that are written as lists of their values, which serde takes: without names nobody sees which value is which.
fn unnamed(text: &str) -> Vec<Fault> {
    let Ok(document) = serde_json::from_str::<serde_json::Value>(text) else { return Vec::new() };
    let mut objects = vec![(String::new(), &document), ("open".to_owned(), &document["open"])];
    for list in ["stations", "pools", "classes"] {
        let all = document[list].as_array().into_iter().flatten().enumerate();
        objects.extend(all.map(|(index, object)| (format!("{list}[{index}]"), object)));
    }
    let lists = objects.into_iter().filter(|(_, value)| value.is_array());
    lists.map(|(path, _)| fault(&path, "it is a list", "write an object, each value with its key")).collect()
}

fn refusal(path: &str, error: &serde_json::Error) -> Fault {
    let remedy = if error.is_syntax() || error.is_eof() {
        "write one JSON document; numbers are finite"
    } else {
        "a model has users and think_s, open, or classes with name, users, think_s, demands_s; stations with name, demand_s, servers, service; pools with name, slots, guards, timeout_s, queue_max, retry_ratio"
    };
    fault(path, &error.to_string(), remedy)
}

/// For the schema: what [`Populations`] reads.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the schema alone needs it")]
pub enum NumberOrList {
    Number(u64),
    List(Vec<u64>),
}

/// For the schema: what [`Servers`] reads.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the schema alone needs it")]
pub enum NumberOrDelay {
    Number(usize),
    Word(Delay),
}

/// The one word.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "the schema alone needs it")]
pub enum Delay {
    Delay,
}

impl<'de> Deserialize<'de> for Populations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Populations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of users, or a list of such numbers")
            }

            fn visit_u64<E: de::Error>(self, users: u64) -> Result<Populations, E> {
                Ok(Populations::One(users))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Populations, A::Error> {
                let mut all = Vec::new();
                while let Some(users) = list.next_element()? {
                    all.push(users);
                }
                Ok(Populations::Several(all))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Servers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Servers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of servers, or \"delay\"")
            }

            fn visit_u64<E: de::Error>(self, servers: u64) -> Result<Servers, E> {
                // What does not fit is too large, and is told so with all others.
                Ok(Servers::Count(usize::try_from(servers).unwrap_or(usize::MAX)))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Servers, E> {
                match word {
                    "delay" => Ok(Servers::Delay),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
