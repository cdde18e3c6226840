//! A span of a recorded run as thresholds ask about it: percentiles from the merged histograms of the log, counts from the timeline.

use super::readings::Readings;
use super::recorded::Recorded;
use super::rows::{EndpointEntry, TimelineRow};
use super::summary::Latency;
use crate::endpoint::Protocol;
use crate::measure::histogram::Histogram;
use crate::measure::span::mean_reading;
use crate::threshold::{Coverage, Figure, Stats, Which};
use std::collections::{BTreeMap, HashSet};

#[derive(Clone, Copy, Debug)]
pub struct RecordedSpan<'a> {
    recorded: &'a Recorded,
    span_s: [f64; 2],
}

impl<'a> RecordedSpan<'a> {
    pub fn new(recorded: &'a Recorded, span_s: [f64; 2]) -> Self {
        Self { recorded, span_s }
    }

    /// Consecutive windows of whole seconds inside the span; a shorter rest is left out.
    pub fn windows(&self, seconds: f64) -> Vec<Self> {
        let mut windows = Vec::new();
        let mut from_s = self.span_s[0].ceil();
        while seconds > 0.0 && from_s + seconds <= self.span_s[1] + 1e-9 {
            windows.push(Self { recorded: self.recorded, span_s: [from_s, from_s + seconds] });
            from_s += seconds;
        }
        windows
    }

    /// What the rows and histograms of a selection go by, found once for all of them.
    fn keys(&self, protocol: Option<Protocol>, name: Option<&str>) -> HashSet<&'a str> {
        let entries = self.recorded.manifest.endpoints.iter().filter(|entry| {
            protocol.is_none_or(|protocol| entry.protocol == protocol.name())
                && name.is_none_or(|name| entry.name == name)
        });
        entries.map(EndpointEntry::key).collect()
    }

    pub fn histogram(&self, clock: Which, protocol: Option<Protocol>, name: Option<&str>) -> Histogram {
        let keys = self.keys(protocol, name);
        self.recorded.histogram(clock, self.span_s, |endpoint| keys.contains(endpoint))
    }

    fn merged(&self, clock: Which, protocol: Protocol, name: Option<&str>) -> Option<Histogram> {
        Some(self.histogram(clock, Some(protocol), name)).filter(|merged| !merged.is_empty())
    }

    fn rows(&self) -> impl Iterator<Item = &'a TimelineRow> {
        self.recorded.seconds(self.span_s)
    }

    /// Mean users over the seconds of the span that have any rows.
    pub fn users(&self) -> f64 {
        let by_second = self.users_by_second();
        by_second.values().sum::<u64>() as f64 / by_second.len().max(1) as f64
    }

    /// Time that all users together were there, seconds. Seconds that were told as one count as one: where nobody was there is no row either, and
    /// a record does not say which of both a gap is.
    pub fn user_seconds(&self) -> f64 {
        self.users_by_second().values().sum::<u64>() as f64
    }

    fn users_by_second(&self) -> BTreeMap<u64, u64> {
        self.rows().map(|row| (row.t_s.to_bits(), row.users)).collect()
    }
}

/// The figures of a histogram, in milliseconds.
pub fn latency(histogram: &Histogram) -> Latency {
    let ms = |q: f64| histogram.quantile_ns(q) as f64 / 1e6;
    Latency {
        p50: ms(0.5),
        p90: ms(0.9),
        p95: ms(0.95),
        p99: ms(0.99),
        p99_9: ms(0.999),
        max: histogram.max_ns() as f64 / 1e6,
        mean: histogram.mean_ns() / 1e6,
    }
}

impl Stats for RecordedSpan<'_> {
    fn latency_ns(
        &self,
        figure: Figure,
        clock: Which,
        protocol: Protocol,
        name: Option<&str>,
    ) -> Option<(f64, u64)> {
        self.merged(clock, protocol, name).map(|merged| merged.figure_ns(figure))
    }

    fn requests(&self, protocol: Option<Protocol>, name: Option<&str>) -> (u64, u64) {
        let keys = self.keys(protocol, name);
        self.rows()
            .filter(|row| keys.contains(row.endpoint.as_str()))
            .fold((0, 0), |(all, failed), row| (all + row.completed + row.failed, failed + row.failed))
    }

    fn iterations(&self) -> (u64, u64) {
        let by_second: BTreeMap<u64, (u64, u64)> =
            self.rows().map(|row| (row.t_s.to_bits(), (row.offered, row.dropped))).collect();
        by_second.values().fold((0, 0), |(planned, dropped), (p, d)| (planned + p, dropped + d))
    }

    fn seconds(&self) -> f64 {
        if self.span_s == self.recorded.whole_span() {
            // The last second of a run is seldom a whole one.
            return self.recorded.manifest.load_s();
        }
        self.span_s[1] - self.span_s[0]
    }

    fn resource(&self, name: &str) -> Option<(f64, Option<f64>, Option<f64>)> {
        let readings = self.recorded.readings(name, self.span_s);
        mean_reading(readings.rows.iter().map(|(row, seconds)| (row, *seconds)))
    }

    fn coverage(&self, name: &str) -> Option<Coverage> {
        let Readings { rows, covered_s } = self.recorded.readings(name, self.span_s);
        let span_s = self.span_s[1] - self.span_s[0];
        Some(Coverage { readings: rows.len() as u64, covered_s, span_s })
    }
}
