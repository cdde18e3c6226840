//! Steady state over the judged spans of a record: what of their beginning was still settling, and what drifted in a soak.

use super::LevelInput;
use super::explain::load;
use super::next::Unit;
use crate::record::recorded::Recorded;
use crate::record::summary::{Drift, Warning};
use crate::search::steady::{Truncation, trend, truncate};
use crate::threshold::Which;
use std::collections::BTreeMap;

/// Means of the response time by the second, in ms; a second without an answer has none.
fn second_means(recorded: &Recorded, [from_s, to_s]: [f64; 2]) -> Vec<f64> {
    let mut sums: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for interval in recorded.intervals.iter().filter(|interval| interval.clock == Which::Response) {
        // Half a millisecond: the log keeps times to the millisecond.
        if interval.start_s >= from_s - 5e-4 && interval.end_s <= to_s + 5e-4 {
            let (sum, count) = sums.entry(interval.end_s.ceil() as u64).or_default();
            *sum += interval.histogram.mean_ns() / 1e6 * interval.histogram.count() as f64;
            *count += interval.histogram.count() as f64;
        }
    }
    sums.into_values().filter(|(_, count)| *count > 0.0).map(|(sum, count)| sum / count).collect()
}

pub(super) fn truncation(recorded: &Recorded, span_s: [f64; 2]) -> Option<Truncation> {
    truncate(&second_means(recorded, span_s))
}

/// What grew or shrank over a soak, although the load did not: response time, and use of memory.
pub(super) fn drift(recorded: &Recorded, [from_s, to_s]: [f64; 2]) -> Vec<Drift> {
    let mut series = vec![("response".to_owned(), second_means(recorded, [from_s, to_s]))];
    let inside = recorded.saturation.iter().filter(|row| row.t_s > from_s && row.t_s <= to_s);
    let mut memory: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for row in inside.filter(|row| row.kind == "memory") {
        memory.entry(&row.resource).or_default().push(row.used);
    }
    series.extend(memory.into_iter().map(|(name, used)| (name.to_owned(), used)));
    let material = |(of, values): (String, Vec<f64>)| {
        let trend = trend(&values).filter(crate::search::steady::Trend::is_material)?;
        Some(Drift { of, change_ratio: trend.change_ratio, p_value: trend.p_value })
    };
    series.into_iter().filter_map(material).collect()
}

/// The highest good level that had not come to rest. A bad one need not: its queue grows.
pub(super) fn unsettled_warning(levels: &[LevelInput], unit: &Unit) -> Option<Warning> {
    let (level, truncation) = levels
        .iter()
        .filter(|level| level.mark.good)
        .filter_map(|level| Some((level.mark.level, level.truncation.filter(|found| found.is_unsettled)?)))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Warning {
        code: "not_steady".to_owned(),
        text: format!(
            "{} was judged while its response time had not settled: the first {} s of it lie {:+.0} % from the rest",
            load(level, unit),
            truncation.seconds,
            truncation.shift_ratio * 100.0
        ),
        remedy: "settle longer, or warm the target up before: caches, pools and compilers take their time"
            .to_owned(),
    })
}

/// A soak that was good and yet did not stand still.
pub(super) fn drift_warning(soaks: &[crate::record::summary::Soak]) -> Option<Warning> {
    let soak = soaks.iter().rfind(|soak| soak.good && !soak.drift.is_empty())?;
    let [from_s, to_s] = soak.span_s;
    let told = |drift: &Drift| {
        let of = if drift.of == "response" { "the response time" } else { drift.of.as_str() };
        format!("{of} by {:+.0} %", drift.change_ratio * 100.0)
    };
    let all: Vec<String> = soak.drift.iter().map(told).collect();
    Some(Warning {
        code: "soak_drift".to_owned(),
        text: format!(
            "over {:.0} s at the guaranteed load there was a trend: {}",
            to_s - from_s,
            all.join(", ")
        ),
        remedy: "look for what is never given back; the guaranteed line lasts as long as the soak did"
            .to_owned(),
    })
}
