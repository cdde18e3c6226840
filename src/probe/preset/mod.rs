//! Presets: resources recognized by the metric names of the OpenTelemetry conventions and of the usual exporters, so that a service
//! that follows them needs no list of its own. Each family has a room of its own. A limit that is not told is none, never a guess.

mod db_client;
mod hikaricp;
mod http_server;
mod jvm;
mod mongodb;
mod nginx;
mod node_exporter;
mod nodejs;
mod process;
mod queue;
mod redis;

use super::prometheus::Scrape;
use super::resource::{Figure, Resource};
use crate::promql::Selector;

/// How a family's resources are found.
type Room = fn(&Scrape) -> Vec<Resource>;

/// What `observe: [{preset: …}]` takes, besides `auto`, which is all of them.
const ROOMS: [(&str, Room); 11] = [
    ("opentelemetry-db-client", db_client::resources),
    ("opentelemetry-http-server", http_server::resources),
    ("hikaricp", hikaricp::resources),
    ("jvm", jvm::resources),
    ("mongodb", mongodb::resources),
    ("redis", redis::resources),
    ("nginx", nginx::resources),
    ("nodejs", nodejs::resources),
    ("node-exporter", node_exporter::resources),
    ("process", process::resources),
    ("bullmq", queue::resources),
];

/// The names of all presets.
pub fn names() -> impl Iterator<Item = &'static str> {
    std::iter::once("auto").chain(ROOMS.iter().map(|(name, _)| *name))
}

/// Every resource that `preset` finds in a scrape; `auto` tries all.
///
/// # Errors
/// A sentence with the known names.
pub fn discover(preset: &str, scrape: &Scrape) -> Result<Vec<Resource>, String> {
    if preset == "auto" {
        return Ok(ROOMS.iter().flat_map(|(_, room)| room(scrape)).collect());
    }
    match ROOMS.iter().find(|(name, _)| *name == preset) {
        Some((_, room)) => Ok(room(scrape)),
        None => Err(format!(
            "there is no preset `{preset}`; there are {}",
            names().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The sum of the series of that name and those labels, if the scrape has the name.
fn there(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> Option<Figure> {
    scrape.has(name).then(|| Figure::sum(Selector::new(name, labels)))
}

#[cfg(test)]
mod tests;
