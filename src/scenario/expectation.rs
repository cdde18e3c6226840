//! What a scenario asks for before it runs: requests by endpoint, think time and sockets of one iteration. `explain` prints it, and
//! the think time Z of the operational laws comes from here.

use super::plan::{Executor, JourneyId, LoadPart, Plan, Step, Think};
use crate::endpoint::EndpointId;
use std::collections::BTreeMap;
use std::time::Duration;

/// Means over one iteration of a journey, or of a load part's mix.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expectation {
    /// Requests of one iteration by endpoint; WebSocket handshakes, openings of event streams and awaited messages count
    /// under theirs.
    pub per_iteration: BTreeMap<EndpointId, f64>,
    /// The same for `once_per_user`, once in a user's life.
    pub once_per_user: BTreeMap<EndpointId, f64>,
    /// Time one iteration spends thinking, waiting between repeats and listening.
    pub think: Duration,
    /// Sum of the mean squares of these times, s².
    pub think_square_s2: f64,
    /// Time thought within `once_per_user`.
    pub think_once: Duration,
    /// What one user holds open at the moment at which that is most.
    pub held: Held,
    /// Shortest time between the starts of iterations, where all journeys have a pacing.
    pub pacing: Option<Duration>,
    /// What these numbers assume, in sentences.
    pub notes: Vec<String>,
}

impl LoadPart {
    /// When its load ends, seconds from the start of the run; `None` where that shows as the run goes.
    pub fn planned_end_s(&self) -> Option<f64> {
        match &self.executor {
            Executor::Closed { curve, .. } | Executor::Open { curve, .. } => {
                Some(self.start.as_secs_f64() + curve.end_ns() as f64 / 1e9)
            }
            Executor::Step { .. } | Executor::Breakpoint { .. } => None,
        }
    }
}

/// Connections that are a user's own besides those of its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Held {
    pub sockets: f64,
    pub event_streams: f64,
}

impl Held {
    pub fn all(self) -> f64 {
        self.sockets + self.event_streams
    }
}

impl Expectation {
    /// Requests of one iteration over all endpoints.
    pub fn requests(&self) -> f64 {
        self.per_iteration.values().sum()
    }

    /// Mean think time belonging to one request; `None` for an iteration without requests.
    pub fn think_per_request(&self) -> Option<Duration> {
        let requests = self.requests();
        (requests > 0.0).then(|| self.think.div_f64(requests))
    }

    /// Squared coefficient of variation of the think time belonging to one request, of those that have none too; `None` without thinking.
    pub fn think_variation(&self) -> Option<f64> {
        let mean_s = self.think_per_request()?.as_secs_f64();
        let square_s2 = self.think_square_s2 / self.requests();
        (mean_s > 0.0).then(|| (square_s2 / (mean_s * mean_s) - 1.0).max(0.0))
    }
}

impl Plan {
    /// The expectation of one journey.
    pub fn expect_journey(&self, id: JourneyId) -> Expectation {
        let mut expectation = Expectation::default();
        let Some(journey) = self.journeys.get(usize::from(id)) else { return expectation };
        let mut count = Count::default();
        count.steps(&journey.once_per_user, 1.0);
        expectation.once_per_user = std::mem::take(&mut count.requests);
        expectation.think_once = Duration::from_secs_f64(std::mem::take(&mut count.think_s));
        count.think_square_s2 = 0.0;
        count.steps(&journey.steps, 1.0);
        expectation.per_iteration = count.requests;
        expectation.think = Duration::from_secs_f64(count.think_s);
        expectation.think_square_s2 = count.think_square_s2;
        expectation.held = count.held_max;
        expectation.pacing = journey.pacing;
        expectation.notes = count.notes.into_iter().map(|note| format!("{}: {note}", journey.name)).collect();
        expectation
    }

    /// The expectation of one iteration of a load part, weighted by its mix.
    pub fn expect_part(&self, part: &LoadPart) -> Expectation {
        let total: f64 = part.mix.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let mut mean = Expectation::default();
        let mut pacings = Vec::new();
        for (id, weight) in &part.mix {
            let share = f64::from(*weight) / total;
            let one = self.expect_journey(*id);
            for (endpoint, visits) in one.per_iteration {
                *mean.per_iteration.entry(endpoint).or_default() += share * visits;
            }
            for (endpoint, visits) in one.once_per_user {
                *mean.once_per_user.entry(endpoint).or_default() += share * visits;
            }
            mean.think += one.think.mul_f64(share);
            mean.think_square_s2 += share * one.think_square_s2;
            mean.think_once += one.think_once.mul_f64(share);
            mean.held.sockets += share * one.held.sockets;
            mean.held.event_streams += share * one.held.event_streams;
            pacings.push(one.pacing.map(|pacing| pacing.mul_f64(share)));
            mean.notes.extend(one.notes);
        }
        mean.pacing = pacings.into_iter().sum();
        mean
    }
}

#[derive(Default)]
struct Count {
    requests: BTreeMap<EndpointId, f64>,
    think_s: f64,
    think_square_s2: f64,
    held: Held,
    held_max: Held,
    notes: Vec<String>,
}

impl Count {
    /// Adds steps that are run `times` times.
    fn steps(&mut self, steps: &[Step], times: f64) {
        for step in steps {
            self.step(step, times);
        }
    }

    fn visit(&mut self, endpoint: EndpointId, times: f64) {
        *self.requests.entry(endpoint).or_default() += times;
    }

    fn think(&mut self, think: &Think, times: f64) {
        self.think_s += times * think.mean().as_secs_f64();
        self.think_square_s2 += times * think.mean_square_s2();
    }

    /// Takes note of what is held after something was opened.
    fn opened(&mut self) {
        if self.held.all() > self.held_max.all() {
            self.held_max = self.held;
        }
    }

    fn note(&mut self, text: &str) {
        if !self.notes.iter().any(|note| note == text) {
            self.notes.push(text.to_owned());
        }
    }

    fn step(&mut self, step: &Step, times: f64) {
        match step {
            Step::Request(request) => self.visit(request.endpoint, times),
            Step::Think(think) => self.think(think, times),
            Step::If { condition, then, otherwise } => {
                let probability = condition.probability().unwrap_or_else(|| {
                    self.note(&format!(
                        "`if {condition}` is taken as true, for nothing is known about it beforehand"
                    ));
                    1.0
                });
                self.steps(then, times * probability);
                self.steps(otherwise, times * (1.0 - probability));
            }
            Step::Repeat { max, until, every, steps } => {
                if until.is_some() {
                    self.note(&format!("a loop with `until` is counted with its most, {max} times"));
                }
                let passes = times * f64::from(*max);
                self.steps(steps, passes);
                // Between passes, hence one time fewer than there are passes.
                self.think(&Think::Constant(every.unwrap_or_default()), passes - times);
            }
            Step::Choose { weights, branches } => {
                let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
                for (weight, branch) in weights.iter().zip(branches) {
                    self.steps(branch, times * f64::from(*weight) / total);
                }
            }
            Step::StopUser => self.note("steps after `stop_user` are counted as if it were not there"),
            Step::WsOpen(open) => {
                self.visit(open.endpoint, times);
                self.held.sockets += times.min(1.0);
                self.opened();
            }
            Step::WsClose { .. } => self.held.sockets = (self.held.sockets - times.min(1.0)).max(0.0),
            Step::SseClose { .. } => {
                self.held.event_streams = (self.held.event_streams - times.min(1.0)).max(0.0);
            }
            Step::WsExpect(expect) => self.visit(expect.endpoint, times),
            Step::WsListen(listen) => self.think(&listen.for_time, times),
            Step::SseOpen(open) => {
                self.visit(open.request.endpoint, times);
                self.held.event_streams += times.min(1.0);
                self.opened();
            }
            Step::SseExpect(expect) => self.visit(expect.endpoint, times),
            Step::SseListen(listen) => self.think(&listen.for_time, times),
            Step::Set { .. } | Step::WsSend(_) => {}
        }
    }
}
