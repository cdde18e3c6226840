//! Steady state over the judged spans of a record: which levels had not settled, and what drifted in a soak.

use super::LevelInput;
use super::explain::load;
use super::wall::Unit;
use crate::measure::histogram::Histogram;
use crate::record::recorded::Recorded;
use crate::record::summary::{Drift, Soak, Warning};
use crate::search::steady::{Trend, trend};
use crate::threshold::Which;
use std::collections::BTreeMap;

/// Means of the response time by the second, in ms; a second without an answer has none.
fn second_means(recorded: &Recorded, span_s: [f64; 2]) -> Vec<f64> {
    let mut sums: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for interval in recorded.within(span_s).filter(|interval| interval.clock == Which::Response) {
        let (sum, count) = sums.entry(interval.end_s.ceil() as u64).or_default();
        let answers = Histogram::from(&interval.histogram);
        *sum += answers.mean_ns() / 1e6 * answers.count() as f64;
        *count += answers.count() as f64;
    }
    sums.into_values().filter(|(_, count)| *count > 0.0).map(|(sum, count)| sum / count).collect()
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
        let trend = trend(&values).filter(Trend::is_material)?;
        Some(Drift { of, change_ratio: trend.change_ratio, p_value: trend.p_value })
    };
    series.into_iter().filter_map(material).collect()
}

/// The highest level that was judged before it had come to rest. A bad one that gets worse need not: its queue grows.
pub(super) fn unsettled_warning(levels: &[LevelInput], unit: &Unit) -> Option<Warning> {
    let (mark, ratio) = levels
        .iter()
        .filter_map(|level| Some((&level.mark, level.mark.unsettled_ratio?)))
        .filter(|(mark, ratio)| mark.good || *ratio > 0.0)
        .max_by(|(a, _), (b, _)| a.level.total_cmp(&b.level))?;
    Some(Warning {
        code: "not_steady".to_owned(),
        text: format!(
            "{} was judged while its response time had not settled: the first {:.0} s, which are left out, lie {:+.0} % from the rest",
            load(mark.level, unit),
            mark.counted_s()[0] - mark.from_s,
            ratio * 100.0
        ),
        remedy: "settle longer, or warm the target up before: caches, pools and compilers take their time"
            .to_owned(),
    })
}

/// What is to be said of the soaks: none lasted, or the one that did had a trend.
pub(super) fn soak_warning(soaks: &[Soak]) -> Option<Warning> {
    let last = soaks.last()?;
    let Some(soak) = soaks.iter().find(|soak| soak.good) else {
        return Some(Warning {
            code: "not_guaranteed".to_owned(),
            text: format!(
                "no load was carried for a whole soak: the last was held at {}, with {:.2} % bad requests",
                last.level,
                last.bad_ratio * 100.0
            ),
            remedy: "look at the timeline of the soaks for what recurs: stalls, checkpoints, collections of garbage, memory that fills".to_owned(),
        });
    };
    if soak.drift.is_empty() {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::histogram::Sparse;
    use crate::record::histogram_log::Interval;
    use crate::record::rows::{LevelMark, Manifest, SaturationRow};
    use crate::scenario::plan::LoadUnit;

    /// A minute in which each second has a hundred answers of `ms(second)`, and a heap of `bytes(second)`.
    fn minute(ms: impl Fn(f64) -> f64, bytes: impl Fn(f64) -> f64) -> Recorded {
        let interval = |second: u32| {
            let mut histogram = Histogram::new();
            (0..100).for_each(|_| histogram.record((ms(second.into()) * 1e6) as u64));
            Interval {
                endpoint: "product".into(),
                clock: Which::Response,
                start_s: second.into(),
                end_s: f64::from(second) + 1.0,
                histogram: Sparse::from(&histogram),
            }
        };
        let row = |second: u32| SaturationRow {
            t_s: f64::from(second) + 1.0,
            resource: "app.heap".into(),
            kind: "memory".into(),
            used: bytes(second.into()),
            limit: None,
            waiting: None,
            utilization: None,
            errors: None,
            visits: None,
            wait_s: None,
            hold_s: None,
        };
        Recorded {
            dir: std::path::PathBuf::new(),
            manifest: Manifest::default(),
            timeline: Vec::new(),
            saturation: (0..60).map(row).collect(),
            signals: Vec::new(),
            events: Vec::new(),
            intervals: (0..60).map(interval).collect(),
            by_name: Default::default(),
        }
    }

    #[test]
    fn what_drifts_in_a_soak_is_named() {
        let wobble = |t: f64| (t * 1.7).sin();
        let leaking = minute(|t| 20.0 + wobble(t), |t| 1e8 + 1e6 * t + 1e5 * wobble(t));
        let drift = drift(&leaking, [0.0, 60.0]);
        assert_eq!(drift.iter().map(|drift| drift.of.as_str()).collect::<Vec<_>>(), ["app.heap"]);
        assert!((drift[0].change_ratio - 60.0 / 129.5).abs() < 0.01 && drift[0].p_value < 1e-6);
        let soak = |good, drift| Soak {
            level: 488.0,
            good,
            failed_by: None,
            bad_ratio: 0.0131,
            span_s: [0.0, 60.0],
            drift,
        };
        let lasted = soak_warning(&[soak(false, vec![]), soak(true, drift)]).unwrap();
        assert_eq!(lasted.text, "over 60 s at the guaranteed load there was a trend: app.heap by +46 %");
        assert_eq!(soak_warning(&[soak(true, vec![])]), None);
        assert_eq!(soak_warning(&[soak(false, vec![])]).unwrap().code, "not_guaranteed");
    }

    #[test]
    fn the_highest_level_that_had_not_settled_is_warned_of() {
        let level = |level, good, unsettled_ratio| {
            let mark = LevelMark { level, good, unsettled_ratio, ..LevelMark::default() };
            LevelInput {
                mark: LevelMark { from_s: 4.0, to_s: 64.0, counts_from_s: Some(34.0), ..mark },
                ..LevelInput::default()
            }
        };
        let unit = Unit { of: LoadUnit::Users, think_s: None, requests_per_iteration: 1.0 };
        let levels = [
            level(100.0, true, Some(0.5)),
            level(200.0, true, Some(-0.2)),
            level(300.0, true, None),
            level(400.0, false, Some(-4.0)),
        ];
        let warning = unsettled_warning(&levels, &unit).unwrap();
        assert_eq!(
            warning.text,
            "200 users was judged while its response time had not settled: the first 30 s, which are left out, lie -20 % from the rest"
        );
        let falling = unsettled_warning(&[level(400.0, false, Some(4.0))], &unit);
        assert!(falling.is_some(), "it may have been judged too low");
        assert_eq!(unsettled_warning(&levels[2..], &unit), None);
    }
}
