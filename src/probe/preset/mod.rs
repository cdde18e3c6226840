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

/// What `observe: [{preset: …}]` takes, besides `auto`, which is all of them; on an exporter's page without the one of its own process.
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
    (PROCESS, process::resources),
    ("bullmq", queue::resources),
];

const PROCESS: &str = "process";
/// What exporters tell of whether they reach what they are about.
const EXPORTERS: [&str; 3] = ["redis_up", "mongodb_up", "nginx_up"];

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
        let exporter = is_of_an_exporter(scrape);
        let rooms = ROOMS.iter().filter(|(name, _)| !(exporter && *name == PROCESS));
        return Ok(rooms.flat_map(|(_, room)| room(scrape)).collect());
    }
    match ROOMS.iter().find(|(name, _)| *name == preset) {
        Some((_, room)) => Ok(room(scrape)),
        None => Err(format!(
            "there is no preset `{preset}`; there are {}",
            names().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// Whether the page is of a process that tells of another: its own CPU time and descriptors are none of the system under load. The target-app
/// tells of its Redis by the exporter's names, and of its own CPU besides.
fn is_of_an_exporter(scrape: &Scrape) -> bool {
    let marked = EXPORTERS.iter().any(|name| scrape.has(name))
        || scrape.names().any(|name| name.ends_with("_exporter_build_info") && !is_agent(scrape, name));
    marked && !scrape.has("app_cpu_wait_time_seconds_count")
}

/// Whether it is jmx_exporter inside the Java process that it tells of, and no process of its own: its `name` is `jmx_prometheus_javaagent` then, and
/// `jmx_prometheus_standalone` or `jmx_prometheus_httpserver` if not (`BuildInfoCollector.java`).
fn is_agent(scrape: &Scrape, build_info: &str) -> bool {
    build_info == "jmx_exporter_build_info"
        && scrape.label_values(build_info, "name").iter().any(|name| name.contains("javaagent"))
}

/// The sum of the series of that name and those labels, if the scrape has the name.
fn there(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> Option<Figure> {
    scrape.has(name).then(|| Figure::sum(Selector::new(name, labels)))
}

/// The `count` or `sum` of a histogram of times by the OpenTelemetry conventions, in seconds. As the specification has it, the unit is part of the name in
/// Prometheus' text; OpenTelemetry's own exporter for Node.js leaves it out (`PrometheusSerializer.ts`).
fn timed(scrape: &Scrape, name: &str, unit: &str, part: &str, labels: &[(&str, &str)]) -> Option<Figure> {
    let factor = if part == "sum" && unit == "milliseconds" { 1e-3 } else { 1.0 };
    let names = [format!("{name}_{unit}_{part}"), format!("{name}_{part}")];
    let name = names.iter().find(|name| scrape.has(name))?;
    Some(Figure::Sum(vec![(Selector::new(name, labels), factor)]))
}

#[cfg(test)]
mod tests;
