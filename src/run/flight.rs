//! What is under way, as far as counts of what was sent and what has ended tell: a rule on latencies must fire although nothing ends.

use crate::endpoint::{Endpoint, Protocol};
use crate::measure::snapshot::Snapshot;
use crate::measure::span::Span;
use crate::threshold::{Figure, Stats, Which};
use std::collections::VecDeque;

/// How old a request can be told to be: rules with a longer limit see it at this age. A target's time-out is 10 s unless written.
const AGE_MAX_S: usize = 300;

/// Sent and ended requests of one endpoint since the run began.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    sent: u64,
    ended: u64,
}

/// The requests of a run by endpoint, as of each of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Flight {
    now: Vec<Count>,
    /// Sent by the end of each second, the latest first.
    sent: VecDeque<Vec<u64>>,
    /// Of a second that some shards have not told of, nothing can be said of what is late.
    blind: bool,
}

impl Flight {
    /// Takes in the `span_s` seconds that came as one.
    pub(super) fn second(&mut self, second: &Snapshot, span_s: u64) {
        self.blind = second.late;
        if self.now.len() < second.windows.len() {
            self.now.resize(second.windows.len(), Count::default());
        }
        let before: Vec<u64> = self.now.iter().map(|count| count.sent).collect();
        for (count, window) in self.now.iter_mut().zip(&second.windows) {
            let Some(window) = window else { continue };
            count.sent += window.sent;
            // What ended without having been sent, and messages nobody sent for, are none of these: that way too few are under way, never too many.
            let ended = window.completed + window.failures + window.cut_off;
            count.ended = (count.ended + ended).min(count.sent);
        }
        // When in a span of several seconds they were sent is not told: at its end at the latest.
        for _ in 1..span_s.min(AGE_MAX_S as u64) {
            self.sent.push_front(before.clone());
        }
        self.sent.push_front(self.now.iter().map(|count| count.sent).collect());
        self.sent.truncate(AGE_MAX_S + 1);
    }

    /// How many requests of an endpoint, at the end of the latest second, were sent `age_s` or more before: at least those sent by then less all that have
    /// ended, whichever these were.
    fn older(&self, endpoint: usize, age_s: usize) -> u64 {
        let sent = self.sent.get(age_s.min(AGE_MAX_S)).and_then(|sent| sent.get(endpoint)).copied();
        let ended = self.now.get(endpoint).map_or(0, |count| count.ended);
        if self.blind { 0 } else { sent.unwrap_or(0).saturating_sub(ended) }
    }
}

/// A second with what is under way at its end.
#[derive(Clone, Copy)]
pub(super) struct InFlight<'a> {
    pub(super) span: Span<'a>,
    pub(super) flight: &'a Flight,
}

impl InFlight<'_> {
    fn sum(&self, protocol: Option<Protocol>, name: Option<&str>, age_s: usize) -> u64 {
        let meant = |endpoint: &Endpoint| {
            protocol.is_none_or(|protocol| endpoint.protocol == protocol)
                && name.is_none_or(|name| endpoint.name == name)
        };
        let endpoints = self.span.endpoints.iter().enumerate().filter(|(_, endpoint)| meant(endpoint));
        endpoints.map(|(index, _)| self.flight.older(index, age_s)).sum()
    }
}

impl Stats for InFlight<'_> {
    fn latency_ns(
        &self,
        figure: Figure,
        clock: Which,
        protocol: Protocol,
        name: Option<&str>,
    ) -> Option<(f64, u64)> {
        self.span.latency_ns(figure, clock, protocol, name)
    }

    fn requests(&self, protocol: Option<Protocol>, name: Option<&str>) -> (u64, u64) {
        Stats::requests(&self.span, protocol, name)
    }

    fn iterations(&self) -> (u64, u64) {
        Stats::iterations(&self.span)
    }

    fn seconds(&self) -> f64 {
        self.span.seconds()
    }

    fn resource(&self, name: &str) -> Option<(f64, Option<f64>, Option<f64>)> {
        self.span.resource(name)
    }

    fn overdue(&self, protocol: Protocol, name: Option<&str>, age_ns: f64) -> u64 {
        self.sum(Some(protocol), name, (age_ns / 1e9).ceil() as usize)
    }

    fn under_way(&self, protocol: Option<Protocol>, name: Option<&str>) -> u64 {
        self.sum(protocol, name, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::snapshot::Window;

    fn second(sent: u64, ended: u64) -> Snapshot {
        let window = Window { sent, completed: ended, ..Window::default() };
        Snapshot { windows: vec![Some(Box::new(window))], ..Snapshot::default() }
    }

    #[test]
    fn what_was_sent_before_and_cannot_have_ended_is_late() {
        let mut flight = Flight::default();
        // Twenty users send once each second and are answered, then the target hangs.
        (0..5).for_each(|_| flight.second(&second(20, 20), 1));
        assert_eq!((flight.older(0, 0), flight.older(0, 1)), (0, 0));
        flight.second(&second(20, 0), 1);
        assert_eq!((flight.older(0, 0), flight.older(0, 1)), (20, 0));
        flight.second(&second(0, 0), 1);
        assert_eq!((flight.older(0, 1), flight.older(0, 2)), (20, 0));
        flight.second(&second(0, 0), 3);
        assert_eq!((flight.older(0, 4), flight.older(0, 5)), (20, 0));
        flight.second(&second(0, 15), 1);
        assert_eq!(flight.older(0, 5), 5, "fifteen have ended");
        flight.second(&Snapshot { late: true, ..Snapshot::default() }, 1);
        assert_eq!(flight.older(0, 5), 0, "who knows what the silent ones have ended");
    }

    #[test]
    fn what_is_cut_off_is_under_way_no_more() {
        let mut flight = Flight::default();
        flight.second(&second(20, 0), 1);
        let window = Window { cut_off: 20, ..Window::default() };
        flight.second(&Snapshot { windows: vec![Some(Box::new(window))], ..Snapshot::default() }, 1);
        assert_eq!((flight.older(0, 0), flight.older(0, 1)), (0, 0));
    }

    #[test]
    fn what_ends_without_having_been_sent_hides_no_more_than_what_was() {
        let mut flight = Flight::default();
        // Connections are refused for a while: failures without a request.
        (0..5).for_each(|_| flight.second(&second(0, 100), 1));
        flight.second(&second(20, 0), 1);
        flight.second(&second(0, 0), 2);
        assert_eq!((flight.older(0, 2), flight.older(0, 3), flight.older(7, 0)), (20, 0, 0));
    }
}
