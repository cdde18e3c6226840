//! `observe`: which sources tell of the system under load, and what is asked of them.

use super::builder::Builder;
use super::document::{Node, Span};
use super::keys;
use super::plan::{LoadPart, Observe, ObserveSource, Safety, Whence};
use super::presets;
use super::problem::Problem;
use super::reader::{self, Fields};
use super::sections::base_url;
use super::suggest;
use crate::promql::{self, Query, Refusal};
use std::collections::BTreeMap;
use std::time::Duration;

const SCRAPE_EVERY: Duration = Duration::from_secs(1);
/// A server scrapes every 15 s or 60 s, as a rule; asking more often finds the same.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// What a source without a name is called.
fn unnamed(index: usize) -> String {
    format!("source-{}", index + 1)
}

type Reader = fn(&str) -> Result<Query, Refusal>;

impl Builder<'_> {
    pub(super) fn observe(&mut self, node: Option<&Node>, bundled: bool, safety: &Safety) -> Observe {
        let Some(node) = node else { return Observe { defaulted: true, sources: Vec::new() } };
        let items = reader::list(node, "`observe`", &mut self.sink);
        let sources = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| self.source(item, index, bundled, safety))
            .collect();
        self.named_once(items);
        Observe { defaulted: false, sources }
    }

    /// Warns of a query over scrapes that looks back further than there will have been any: it has no value before.
    pub(super) fn windows_within(&mut self, node: Option<&Node>, observe: &Observe, load: &[LoadPart]) {
        let ends: Option<Vec<f64>> = load.iter().map(LoadPart::planned_end_s).collect();
        let (Some(node), Some(end_s)) = (node, ends.and_then(|ends| ends.into_iter().reduce(f64::max)))
        else {
            return;
        };
        for source in observe.sources.iter().filter(|source| !matches!(source.whence, Whence::Prometheus(_)))
        {
            for query in source.queries() {
                let Some(window_s) = query.window_s().filter(|window_s| *window_s >= end_s) else { continue };
                let text = format!(
                    "`{query}` looks back {window_s} s, and the load lasts {end_s} s: it will have no value"
                );
                let help =
                    "write a shorter span, or ask a Prometheus server, which has scraped before the run";
                self.sink.push(Problem::warning(node.span, text).help(help));
            }
        }
    }

    /// Refuses a name that is there twice: whoever asks for it would get a mean over both.
    fn named_once(&mut self, sources: &[Node]) {
        let mut names: BTreeMap<String, Span> = BTreeMap::new();
        let mut told: BTreeMap<String, Span> = BTreeMap::new();
        for (index, source) in sources.iter().enumerate() {
            let written = source.get("name").and_then(|node| Some((node.scalar()?.text.clone(), node.span)));
            let (name, at) = written.unwrap_or_else(|| (unnamed(index), source.span));
            if let Some(first) = names.insert(name.clone(), at) {
                let problem = Problem::error(at, format!("two sources have the name `{name}`"));
                let help = "give each a `name` of its own: what a preset finds is called by it where there are several";
                self.sink.push(problem.label(first, "the first").help(help));
            }
            let tellers = ["resources", "signals"].into_iter().filter_map(|key| source.get(key)?.entries());
            for entry in tellers.flatten() {
                if let Some(first) = told.insert(entry.key.clone(), entry.key_span) {
                    let problem = Problem::error(
                        entry.key_span,
                        format!("`{}` is defined twice in `observe`", entry.key),
                    );
                    let help = "a resource or signal is asked for by its name alone: give each its own";
                    self.sink.push(problem.label(first, "the first").help(help));
                }
            }
        }
    }

    fn source(&mut self, node: &Node, index: usize, bundled: bool, safety: &Safety) -> Option<ObserveSource> {
        let fields = Fields::open(node, &keys::SOURCE, &mut self.sink)?;
        let name = fields.get("name").and_then(|node| self.fixed(node, "name"));
        let scrape = fields.get("scrape").map(|node| self.address(node, "scrape", safety));
        let prometheus = fields.get("prometheus").map(|node| self.address(node, "prometheus", safety));
        let of_server = prometheus.is_some();
        let whence = match (scrape, prometheus) {
            (Some(url), None) => url.map(Whence::Scrape),
            (None, Some(url)) => url.map(Whence::Prometheus),
            (None, None) if bundled => Some(Whence::Bundled),
            (None, None) => {
                let help =
                    "write scrape: http://127.0.0.1:8080/metrics, or prometheus: http://127.0.0.1:9090";
                self.sink.error(fields.span, "`scrape` is missing", help);
                None
            }
            (Some(_), Some(_)) => {
                let help = "write two sources: one is read by us, the other has been read by the server";
                self.sink.error(fields.key_span("prometheus"), "a source has one address", help);
                None
            }
        };
        let every = fields
            .get("every")
            .and_then(|node| reader::lasting(node, "`every`", &mut self.sink))
            .unwrap_or(if of_server { ASK_EVERY } else { SCRAPE_EVERY });
        let preset = fields.get("preset").and_then(|node| self.preset(node, of_server));
        let read: Reader = if of_server { Query::of_server } else { Query::of_scrapes };
        let resources = fields.get("resources").map(|node| self.resources(node, read)).unwrap_or_default();
        let signals = fields.get("signals").map(|node| self.signals(node, read)).unwrap_or_default();
        if ["preset", "resources", "signals"].iter().all(|key| fields.get(key).is_none()) {
            self.sink.error(
                fields.span,
                "this source says neither `preset` nor `resources` nor `signals`",
                "write resources: {mongodb.pool: {used: METRIC, limit: METRIC}}",
            );
        }
        let name = name.unwrap_or_else(|| unnamed(index));
        Some(ObserveSource { name, whence: whence?, every, preset, resources, signals })
    }

    /// A URL of a host that may be addressed.
    fn address(&mut self, node: &Node, key: &str, safety: &Safety) -> Option<String> {
        let url = self.fixed(node, key)?;
        let form = match key {
            "scrape" => "write scrape: http://127.0.0.1:8080/metrics",
            _ => "write prometheus: http://127.0.0.1:9090",
        };
        // What is asked of the page is no part of where it is.
        let place = url.split_once('?').map_or(url.as_str(), |(place, _)| place);
        match base_url(place, ["http", "https"]) {
            Ok(place) if safety.allows(&place.host) => Some(url),
            Ok(place) => {
                self.sink.error(
                    node.span,
                    format!(
                        "`{}` is not this machine, and `safety.allow_hosts` does not name it",
                        place.host
                    ),
                    format!("add it when you may ask it: safety: {{allow_hosts: [{}]}}", place.host),
                );
                None
            }
            Err(_) => {
                self.sink.error(node.span, format!("`{url}` is not a URL"), form);
                None
            }
        }
    }

    fn preset(&mut self, node: &Node, of_server: bool) -> Option<String> {
        let name = self.fixed(node, "preset")?;
        if of_server {
            let help = "a server has series of everything it scrapes: name them in `resources`";
            self.sink.error(node.span, "a preset reads a scrape, not a Prometheus server", help);
            return None;
        }
        if !presets::names().contains(&name.as_str()) {
            let problem = Problem::error(node.span, format!("there is no preset `{name}`"));
            self.sink.push(problem.maybe_help(suggest::hint(&name, presets::names())));
            return None;
        }
        Some(name)
    }

    fn resources(&mut self, node: &Node, read: Reader) -> BTreeMap<String, BTreeMap<String, Query>> {
        let mut resources = BTreeMap::new();
        let help = "write resources: {mongodb.pool: {used: METRIC, limit: METRIC, waiting: METRIC}}";
        for resource in node.entries().unwrap_or_default() {
            let mut roles = BTreeMap::new();
            let written = resource.value.entries().unwrap_or_default();
            for role in written {
                if !keys::ROLES.contains(&role.key.as_str()) {
                    let told = keys::ROLES_FOREIGN.iter().find(|(word, _)| *word == role.key);
                    let help = match told {
                        Some((_, help)) => Some((*help).to_owned()),
                        None => suggest::hint(&role.key, keys::ROLES),
                    };
                    let problem =
                        Problem::error(role.key_span, format!("a resource has no figure `{}`", role.key));
                    self.sink.push(problem.maybe_help(help));
                } else if let Some(query) = self.query(&role.value, read) {
                    roles.insert(role.key.clone(), query);
                }
            }
            if written.is_empty() {
                self.sink.error(resource.value.span, format!("`{}` names no metric", resource.key), help);
            } else if !written.iter().any(|role| matches!(role.key.as_str(), "used" | "used_seconds")) {
                self.sink.error(
                    resource.key_span,
                    format!("nothing says how much of `{}` is used", resource.key),
                    "give `used` (a gauge) or `used_seconds` (a counter of use × seconds); a number that is no use is one of `signals`",
                );
            }
            resources.insert(resource.key.clone(), roles);
        }
        if node.entries().is_none() {
            self.sink.error(node.span, "`resources` is a mapping", help);
        }
        resources
    }

    fn signals(&mut self, node: &Node, read: Reader) -> BTreeMap<String, Query> {
        let mut signals = BTreeMap::new();
        let Some(entries) = node.entries() else {
            let help = "write signals: {error_ratio: \"sum(rate(errors_total[1m])) / sum(rate(requests_total[1m]))\"}";
            self.sink.error(node.span, "`signals` is a mapping", help);
            return signals;
        };
        for entry in entries {
            let Some(query) = self.query(&entry.value, read) else { continue };
            if let Err(refusal) = promql::plain_rule(query.text(), &entry.key) {
                self.refused(&entry.value, refusal, query.text());
            }
            signals.insert(entry.key.clone(), query);
        }
        signals
    }

    fn query(&mut self, node: &Node, read: Reader) -> Option<Query> {
        let text = self.fixed(node, "a query")?;
        read(&text).map_err(|refusal| self.refused(node, refusal, &text)).ok()
    }

    fn refused(&mut self, node: &Node, refusal: Refusal, text: &str) {
        // With a variable put in, the places are no more those of what is written.
        let written = node.scalar().is_some_and(|scalar| scalar.text == text);
        let at = if written { node.part(refusal.offset, refusal.offset + refusal.len) } else { node.span };
        self.sink.push(Problem::error(at, refusal.message).help(refusal.help));
    }
}
