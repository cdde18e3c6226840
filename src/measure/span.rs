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
        mean_reading(self.readings, name)
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

/// Mean (used, limit, waiting) of a resource over its readings.
pub fn mean_reading(readings: &[SaturationRow], name: &str) -> Option<(f64, Option<f64>, Option<f64>)> {
    let rows: Vec<&SaturationRow> = readings.iter().filter(|row| row.resource == name).collect();
    let mean =
        |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let used = mean(rows.iter().map(|row| row.used).collect())?;
    let limit = mean(rows.iter().filter_map(|row| row.limit).collect());
    let waiting = mean(rows.iter().filter_map(|row| row.waiting).collect());
    Some((used, limit, waiting))
}
