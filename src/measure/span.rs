//! A span of the run as thresholds and goals ask about it: the merged snapshot, how long it lasted, and what the probes read in it.

use super::histogram::Histogram;
use super::snapshot::{Snapshot, Window};
use crate::endpoint::{Endpoint, Protocol};
use crate::record::rows::SaturationRow;
use crate::search::goal::TrialStats;
use crate::threshold::{Figure, Stats, Which};

#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    pub snapshot: &'a Snapshot,
    pub endpoints: &'a [Endpoint],
    pub seconds: f64,
    pub readings: &'a [SaturationRow],
}

impl Span<'_> {
    fn windows(&self, protocol: Option<Protocol>, name: Option<&str>) -> impl Iterator<Item = &Window> {
        self.endpoints
            .iter()
            .enumerate()
            .filter(move |(_, endpoint)| {
                protocol.is_none_or(|protocol| endpoint.protocol == protocol)
                    && name.is_none_or(|name| endpoint.name == name)
            })
            .filter_map(|(index, _)| self.snapshot.windows.get(index)?.as_deref())
    }

    /// All answered requests of the selection on one clock; `None` when there was none.
    pub fn merged(&self, clock: Which, protocol: Option<Protocol>, name: Option<&str>) -> Option<Histogram> {
        let mut sum = Histogram::new();
        for window in self.windows(protocol, name) {
            sum.add(&match clock {
                Which::Response => window.all_responses(),
                Which::Service => window.all_services(),
            });
        }
        (!sum.is_empty()).then_some(sum)
    }
}

impl Stats for Span<'_> {
    fn latency_ns(
        &self,
        figure: Figure,
        clock: Which,
        protocol: Protocol,
        name: Option<&str>,
    ) -> Option<(f64, u64)> {
        self.merged(clock, Some(protocol), name).map(|merged| merged.figure_ns(figure))
    }

    fn requests(&self, protocol: Option<Protocol>, name: Option<&str>) -> (u64, u64) {
        self.windows(protocol, name).fold((0, 0), |(all, failed), window| {
            (all + window.completed + window.failures, failed + window.failures)
        })
    }

    fn iterations(&self) -> (u64, u64) {
        (self.snapshot.counts.planned, self.snapshot.counts.dropped)
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn resource(&self, name: &str) -> Option<(f64, Option<f64>, Option<f64>)> {
        let named = self.readings.iter().filter(|row| row.resource == name);
        mean_reading(named.map(|row| (row, 1.0)))
    }
}

impl TrialStats for Span<'_> {
    fn slower(&self, clock: Which, protocol: Protocol, name: Option<&str>, limit_ns: u64) -> u64 {
        self.windows(Some(protocol), name)
            .map(|window| match clock {
                Which::Response => window.response.count_above(limit_ns),
                Which::Service => window.service.count_above(limit_ns),
            })
            .sum()
    }

    fn requests(&self, protocol: Option<Protocol>, name: Option<&str>) -> (u64, u64) {
        Stats::requests(self, protocol, name)
    }

    fn iterations(&self) -> (u64, u64) {
        Stats::iterations(self)
    }
}

/// Mean (used, limit, waiting) of a resource over its readings, each with the time that it is of, seconds.
pub fn mean_reading<'r>(
    readings: impl Iterator<Item = (&'r SaturationRow, f64)>,
) -> Option<(f64, Option<f64>, Option<f64>)> {
    let (mut used, mut limit, mut waiting) = (Mean::default(), Mean::default(), Mean::default());
    for (row, seconds) in readings {
        used.add(Some(row.used), seconds);
        limit.add(row.limit, seconds);
        waiting.add(row.waiting, seconds);
    }
    Some((used.value()?, limit.value(), waiting.value()))
}

/// A mean over the part of the time for which there was a value.
#[derive(Debug, Default)]
pub struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    pub fn add(&mut self, value: Option<f64>, weight: f64) {
        if let Some(value) = value {
            self.sum += value * weight;
            self.weight += weight;
        }
    }

    pub fn value(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}
