//! Thresholds and search goals: reading them, and holding the names in them against the plan.

use super::builder::Builder;
use super::compose::Borrowed;
use super::document::{Kind, Node};
use super::plan::{Executor, LoadPart, Observe};
use super::presets::Found;
use super::problem::Problem;
use super::reader;
use super::suggest;
use crate::endpoint::Protocol;
use crate::search::Goal;
use crate::threshold::{self, Lasting, Selector, Stat, Threshold};
use std::collections::BTreeSet;

impl Builder<'_> {
    /// Reads a list of thresholds.
    pub(super) fn thresholds(&mut self, node: &Node, what: &str) -> Vec<Threshold> {
        self.with_places(node, what).into_iter().map(|(threshold, _)| threshold).collect()
    }

    /// Reads `abort_when`, which goes by the seconds of a run as they come.
    pub(super) fn watches(&mut self, node: &Node) -> Vec<Threshold> {
        let read = self.with_places(node, "`abort_when`");
        for (threshold, at) in &read {
            if threshold.phase.is_some() {
                let help = "leave `in PHASE` out; a threshold can have it";
                self.sink.error(at.span, "a safety rule holds in all phases", help);
            }
            if matches!(threshold.lasting, Some(Lasting::ShareOfWindows { .. })) {
                let help = "write `for 15s`; a threshold can ask for a share of windows";
                self.sink.error(at.span, "a safety rule cannot wait for all windows of a run", help);
            }
        }
        read.into_iter().map(|(threshold, _)| threshold).collect()
    }

    fn with_places<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(Threshold, &'n Node)> {
        let mut thresholds = Vec::new();
        for item in reader::list(node, what, &mut self.sink) {
            if matches!(item.kind, Kind::Map(_)) {
                self.sink.error(
                    item.span,
                    "a threshold is one text",
                    "write - p99(http) < 300ms; quote it where it holds `: `, `{` at the start, or `#`",
                );
                continue;
            }
            let Some(text) = reader::text(item, "a threshold", &mut self.sink) else { continue };
            match threshold::parse(text) {
                Ok(threshold) => thresholds.push((threshold, item)),
                Err(error) => {
                    let at = item.part(error.offset, error.offset + error.len);
                    self.sink.push(Problem::error(at, error.message).help(error.help));
                }
            }
        }
        thresholds
    }

    /// Reads `fail_when`: conditions that the search can turn into a share of bad requests.
    pub(super) fn goals(&mut self, node: &Node) -> Vec<Goal> {
        let mut goals = Vec::new();
        let read = self.with_places(node, "`fail_when`");
        if read.is_empty() && matches!(&node.kind, Kind::List(items) if items.is_empty()) {
            self.sink.error(
                node.span,
                "`fail_when` names no condition",
                "write fail_when: [p99(http) > 100ms]",
            );
        }
        for (threshold, at) in read {
            self.sought.push((threshold.clone(), at.span));
            match Goal::from_threshold(threshold) {
                Ok(goal) => goals.push(goal),
                Err(error) => {
                    let help = "fail_when takes percentiles, max, error_rate and dropped with `>`: p99(http) > 100ms";
                    self.sink.error(at.span, error.to_string(), help);
                }
            }
        }
        goals
    }

    /// Holds the names in the conditions of searches against the requests of the journeys read so far.
    pub(super) fn check_goals(&mut self) {
        for (threshold, at) in std::mem::take(&mut self.sought) {
            if let Selector::Requests { protocol, name: Some(name), .. } = &threshold.selector
                && let Some((message, help)) = self.no_endpoint(*protocol, name)
            {
                self.sink.push(Problem::error(at, message).maybe_help(help));
            }
        }
    }

    /// The thresholds whose names the plan has. A misfit is an error; but one that is `borrowed`, and names a phase or a request, belongs to another load of the
    /// file and is set aside with a warning. What is observed is no matter of the load: a rule on what nobody observes would be lost without a word.
    pub(super) fn fitting(
        &mut self,
        node: &Node,
        thresholds: Vec<Threshold>,
        load: &[LoadPart],
        observe: &Observe,
        borrowed: Option<Borrowed>,
    ) -> Vec<Threshold> {
        let items = if let Kind::List(items) = &node.kind { items.as_slice() } else { &[] };
        let written = |threshold: &Threshold| {
            let same =
                |item: &&Node| item.scalar().is_some_and(|scalar| scalar.text.trim() == threshold.text);
            items.iter().find(same).map_or(node.span, |item| item.span)
        };
        let mut fitting = Vec::new();
        for threshold in thresholds {
            let at = written(&threshold);
            if let Selector::Resource(name) = &threshold.selector
                && let Some((message, help)) = self.unobserved(threshold.stat, name, observe)
            {
                self.sink.push(Problem::error(at, message).maybe_help(help));
                continue;
            }
            match self.misfit(&threshold, load) {
                None => fitting.push(threshold),
                Some((message, _)) if borrowed.is_some_and(|borrowed| borrowed.holds(at)) => {
                    let problem = Problem::warning(at, format!("set aside: {message}"));
                    self.sink.push(
                        problem.help("the profile brings another load; give it `thresholds` of its own"),
                    );
                }
                Some((message, help)) => {
                    self.sink.push(Problem::error(at, message).maybe_help(help));
                }
            }
        }
        fitting
    }

    /// What a threshold names and the load does not have, with help.
    fn misfit(&self, threshold: &Threshold, load: &[LoadPart]) -> Option<(String, Option<String>)> {
        if let Some(phase) = &threshold.phase {
            let phases: Vec<&str> = load.iter().flat_map(phases_of).collect();
            if !phases.contains(&phase.as_str()) {
                let help = suggest::hint(phase, phases)
                    .or_else(|| Some("name it in a stage: {phase: peak, hold: 5m}".into()));
                return Some((format!("no stage has the phase `{phase}`"), help));
            }
        }
        match &threshold.selector {
            Selector::Requests { protocol, name: Some(name), .. } => self.no_endpoint(*protocol, name),
            _ => None,
        }
    }

    fn unobserved(&self, stat: Stat, name: &str, observe: &Observe) -> Option<(String, Option<String>)> {
        let resources = observe.sources.iter().flat_map(|source| source.resources.keys());
        let signals = observe.sources.iter().flat_map(|source| source.signals.keys());
        let (resources, signals): (Vec<&str>, Vec<&str>) =
            (resources.map(String::as_str).collect(), signals.map(String::as_str).collect());
        if matches!(stat, Stat::Value { .. }) {
            let help = if resources.contains(&name) {
                Some(format!("it is a resource: write used({name})"))
            } else {
                suggest::hint(name, signals.clone())
                    .or_else(|| Some("define it under `observe`: signals: {NAME: QUERY}".into()))
            };
            return (!signals.contains(&name)).then(|| (format!("nothing observes a signal `{name}`"), help));
        }
        if resources.contains(&name) {
            return None;
        }
        let message = format!("nothing observes a resource `{name}`");
        if signals.contains(&name) {
            return Some((message, Some(format!("it is a signal: write value({name})"))));
        }
        let found = Found::of(observe, self.bundled);
        if found.may_have(name) {
            return None;
        }
        let meant = found.meant_by(name);
        if !meant.is_empty() {
            let help = format!(
                "did you mean `{}`? what presets find is called by the `name` of its source where several have one, and only there",
                meant.join("` or `")
            );
            return Some((message, Some(help)));
        }
        let like = found.like(name);
        let near = suggest::nearest(name, resources.iter().copied().chain(like.iter().map(String::as_str)));
        let there: BTreeSet<String> =
            resources.iter().map(|name| (*name).to_owned()).chain(found.all()).collect();
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if there.is_empty() => "define it under `observe`".into(),
            None => format!("there is: {}", there.into_iter().collect::<Vec<_>>().join(", ")),
        };
        Some((message, Some(help)))
    }

    fn no_endpoint(&self, protocol: Protocol, name: &str) -> Option<(String, Option<String>)> {
        let endpoints = &self.registry.endpoints;
        if endpoints.iter().any(|endpoint| endpoint.protocol == protocol && endpoint.name == name) {
            return None;
        }
        let same: Vec<&str> =
            endpoints.iter().filter(|e| e.protocol == protocol).map(|e| e.name.as_str()).collect();
        let help = match endpoints.iter().find(|endpoint| endpoint.name == name) {
            Some(other) => {
                Some(format!("there is one of another protocol: {}", show_protocol(other.protocol)))
            }
            None => suggest::hint(name, same),
        };
        Some((format!("no step of this load is named `{name}`"), help))
    }
}

fn phases_of(part: &LoadPart) -> Vec<&str> {
    match &part.executor {
        Executor::Closed { phases, .. } | Executor::Open { phases, .. } => {
            phases.iter().map(|phase| phase.name.as_str()).collect()
        }
        Executor::Step { .. } | Executor::Breakpoint { .. } => Vec::new(),
    }
}

fn show_protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Ws => "ws",
        Protocol::WsLag => "ws.lag",
        Protocol::Sse => "sse",
        Protocol::SseLag => "sse.lag",
    }
}
