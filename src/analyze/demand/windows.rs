//! A record cut into windows: who asked for how much in each, and how busy each resource was.

use crate::analyze::samples::{Reading, reading_spans, utilization};
use crate::record::recorded::Recorded;
use crate::record::rows::{EndpointEntry, SaturationRow};
use std::collections::{BTreeMap, BTreeSet};

/// Length of a window, seconds: long against a request, so that what begins in one window and ends in the next does not count, and short
/// against a level of a search.
pub(super) const WINDOW_S: f64 = 5.0;
/// A resource busier than this share of its limit has a queue, and what holds it up is charged to the demand.
const SATURATED_MIN: f64 = 0.9;
/// Failed requests take other ways through a system than good ones.
const FAILED_MAX: f64 = 0.05;
/// Part of a window that readings of a resource must cover.
const COVERED_MIN: f64 = 0.9;

/// One window of the record.
pub(super) struct Cut {
    /// Requests per second of each class of [`classes`].
    pub(super) rates_per_s: Vec<f64>,
    /// Mean users.
    pub(super) users: f64,
    /// Why it says nothing about demands.
    pub(super) left_out: Option<String>,
}

/// What was read of one resource in a window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    covered_s: f64,
    busy_s: f64,
    pub(super) visits: Option<f64>,
    pub(super) hold_s: Option<f64>,
    utilization_s: f64,
}

impl Seen {
    /// Mean in use; `None` where readings do not cover the window.
    pub(super) fn busy(&self) -> Option<f64> {
        (self.covered_s >= COVERED_MIN * WINDOW_S).then(|| self.busy_s / self.covered_s)
    }
}

/// Endpoints whose requests are counted, by their keys: all that had any, but no lags, which are messages that nobody asked for.
pub(super) fn classes(recorded: &Recorded) -> Vec<&EndpointEntry> {
    let asked: BTreeSet<&str> = recorded
        .timeline
        .iter()
        .filter(|row| row.completed + row.failed > 0)
        .map(|row| row.endpoint.as_str())
        .collect();
    let is_request =
        |entry: &&EndpointEntry| !entry.protocol.ends_with(".lag") && asked.contains(entry.key());
    recorded.manifest.endpoints.iter().filter(is_request).collect()
}

/// Resources in order of name, with their kind, last known limit, and what was seen of each in each window.
pub(super) struct Resource<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) limit: Option<f64>,
    pub(super) seen: Vec<Seen>,
}

/// All windows of the record in order of time, and what the resources did in them. A shorter rest at the end is left out.
pub(super) fn cut<'a>(recorded: &'a Recorded, classes: &[&EndpointEntry]) -> (Vec<Cut>, Vec<Resource<'a>>) {
    let count = (recorded.manifest.duration_s / WINDOW_S).floor() as usize;
    let resources = resources(&recorded.saturation, count);
    let mut requests = vec![vec![0_u64; classes.len()]; count];
    let (mut ended, mut failed) = (vec![0_u64; count], vec![0_u64; count]);
    // Each row of a second has the users of the whole run.
    let mut users: Vec<BTreeMap<u64, u64>> = vec![BTreeMap::new(); count];
    for row in &recorded.timeline {
        // A row tells of the second that ends at its time.
        let place = ((row.t_s - 0.5) / WINDOW_S).floor() as usize;
        if let Some(seconds) = users.get_mut(place) {
            let there = seconds.entry(row.t_s.round() as u64).or_default();
            *there = row.users.max(*there);
        }
        let class = classes.iter().position(|entry| entry.key() == row.endpoint);
        if let (Some(class), true) = (class, place < count) {
            requests[place][class] += row.completed + row.failed;
            ended[place] += row.completed + row.failed;
            failed[place] += row.failed;
        }
    }
    let cuts = (0..count)
        .map(|place| {
            let (from_s, to_s) = (place as f64 * WINDOW_S, (place + 1) as f64 * WINDOW_S);
            // What a silent shard had to tell may have come in the window after the one it is of.
            let late = recorded
                .events
                .iter()
                .any(|event| event.kind == "late" && event.t_s > from_s - WINDOW_S && event.t_s <= to_s);
            let left_out = if late {
                Some("seconds told late".to_owned())
            } else if ended[place] == 0 {
                Some("no requests".to_owned())
            } else if failed[place] as f64 > FAILED_MAX * ended[place] as f64 {
                Some("more than 5 % of the requests failed".to_owned())
            } else {
                saturated(&resources, place)
            };
            let rates_per_s = requests[place].iter().map(|&count| count as f64 / WINDOW_S).collect();
            let seconds = users[place].len().max(1) as f64;
            Cut { rates_per_s, users: users[place].values().sum::<u64>() as f64 / seconds, left_out }
        })
        .collect();
    (cuts, resources)
}

/// The first resource that was full or near it. Memory fills without a queue.
fn saturated(resources: &[Resource<'_>], place: usize) -> Option<String> {
    let full = resources.iter().find(|resource| {
        let seen = resource.seen[place];
        resource.kind != "memory"
            && seen.covered_s > 0.0
            && seen.utilization_s / seen.covered_s >= SATURATED_MIN
    });
    full.map(|resource| format!("{} at 90 % of its limit or more", resource.name))
}

fn resources(rows: &[SaturationRow], count: usize) -> Vec<Resource<'_>> {
    let mut resources: BTreeMap<&str, Resource<'_>> = BTreeMap::new();
    for Reading { row, from_s } in reading_spans(rows) {
        let resource = resources.entry(&row.resource).or_insert_with(|| Resource {
            name: &row.resource,
            kind: &row.kind,
            limit: None,
            seen: vec![Seen::default(); count],
        });
        resource.limit = row.limit.or(resource.limit);
        let span_s = row.t_s - from_s;
        let first = (from_s.max(0.0) / WINDOW_S).floor() as usize;
        for (place, seen) in resource.seen.iter_mut().enumerate().skip(first) {
            let begin_s = place as f64 * WINDOW_S;
            let inside_s = row.t_s.min(begin_s + WINDOW_S) - from_s.max(begin_s);
            if inside_s <= 0.0 || span_s <= 0.0 {
                break;
            }
            seen.covered_s += inside_s;
            seen.busy_s += row.used * inside_s;
            seen.utilization_s += utilization(row).unwrap_or(0.0) * inside_s;
            let add = |sum: &mut Option<f64>, value: Option<f64>| {
                if let Some(value) = value {
                    *sum = Some(sum.unwrap_or(0.0) + value * inside_s / span_s);
                }
            };
            add(&mut seen.visits, row.visits);
            add(&mut seen.hold_s, row.hold_s);
        }
    }
    resources.into_values().collect()
}
