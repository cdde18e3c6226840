//! The scenario language: text → document with spans → every problem at once → [`plan::Plan`].

mod builder;
mod check;
mod compose;
mod condition;
pub mod document;
pub mod effort;
mod events;
mod executors;
pub mod expectation;
pub mod extract;
pub mod generator_limits;
mod goals;
pub mod json;
pub mod keys;
mod observe;
pub mod plan;
pub mod presets;
pub mod problem;
mod reader;
pub mod recipe;
mod request;
mod resolve;
mod rows;
pub mod schema;
mod sections;
mod socket;
mod spread;
mod steps;
mod suggest;
mod tables;
pub mod template;
mod think;
mod tls;

pub use problem::{Problem, Problems, Severity};
pub use socket::matches;

use builder::Builder;
use document::Span;
use plan::Plan;
use problem::{Sink, Source};
use std::io::Read as _;
use std::path::Path;

/// The page of the language, as `plimsoll help scenario` shows it.
pub const REFERENCE: &str = include_str!("reference.md");

/// What the command line and the environment change about a scenario.
pub struct Overrides<'a> {
    /// `--set path=value`, in order.
    pub sets: Vec<(String, String)>,
    /// `--dial NAME=VALUE`, for the bundled target.
    pub dials: Vec<(String, String)>,
    pub profile: Option<String>,
    pub seed: Option<u64>,
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Overrides<'a> {
    /// Nothing changed.
    pub fn none(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { sets: Vec::new(), dials: Vec::new(), profile: None, seed: None, env }
    }
}

/// Reads a scenario from a file.
///
/// # Errors
/// Every problem of the scenario, or that the file cannot be read.
pub fn load_file(path: &Path, overrides: &Overrides<'_>) -> Result<Plan, Problems> {
    let name = path.to_string_lossy();
    let text = read(path, crate::limits::SCENARIO_BYTES_MAX)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()));
    match text {
        Ok(text) => load(&name, &text, overrides),
        Err(reason) => {
            let mut sink = Sink::default();
            sink.error(
                Span::default(),
                format!("cannot read `{name}`: {reason}"),
                "name a scenario file, such as scenarios/smoke.yaml",
            );
            Err(sink.finish(&[Source { name: name.into_owned(), text: "".into() }]))
        }
    }
}

/// Reads a scenario. `path` is what messages call it, and data files and includes are looked for beside it.
///
/// # Errors
/// Every problem of the scenario. Warnings alone are no error: they are in [`Plan::warnings`].
pub fn load(path: &str, text: &str, overrides: &Overrides<'_>) -> Result<Plan, Problems> {
    load_with(path, text, overrides, &read)
}

fn load_with(
    path: &str,
    text: &str,
    overrides: &Overrides<'_>,
    files: compose::Files<'_>,
) -> Result<Plan, Problems> {
    let mut sink = Sink::default();
    let noted = recipe::Noted::new(files);
    let files = |path: &Path, bytes_max: u64| noted.read(path, bytes_max);
    let composed = match compose::compose(path, text, overrides, &files, &mut sink) {
        Ok(composed) => composed,
        Err(sources) => return Err(sink.finish(&sources)),
    };
    let builder = Builder::new(sink, overrides.env);
    let mut plan = resolve::resolve(path, composed, overrides, &files, builder)?;
    plan.recipe = noted.into_recipe(path, text, overrides, plan.seed);
    Ok(plan)
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("it is larger than {}", crate::units::show_bytes(bytes_max)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
