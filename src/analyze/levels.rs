//! The table of levels: what was measured in each judged span, with the laws applied and the readings of the resources averaged.

use super::samples::{Series, reading_spans, within};
use super::{Input, LevelInput};
use crate::queueing::laws::{interactive_residual_ratio, interactive_response_s};
use crate::record::summary::{Level, LevelResource};
use crate::scenario::plan::LoadUnit;
use std::collections::BTreeMap;

/// The levels in order of load, each with what its means are taken of.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) levels: Vec<Level>,
    /// One entry a level, in order of name.
    pub(super) series: Vec<Vec<Series>>,
    /// Readings that were passed over, by resource.
    pub(super) impossible: BTreeMap<String, u32>,
    /// There are readings, but none lies in a level.
    pub(super) elsewhere: bool,
}

impl Measured {
    pub(super) fn of(input: &Input<'_>) -> Self {
        let spans = reading_spans(input.readings);
        let mut marks: Vec<&LevelInput> = input.levels.iter().collect();
        marks.sort_by(|a, b| a.mark.level.total_cmp(&b.mark.level));
        let mut measured = Self::default();
        for level in marks {
            let [from_s, to_s] = level.mark.counted_s();
            let (series, impossible) = within(&spans, from_s, to_s);
            measured.levels.push(build(input, level, &series));
            measured.series.push(series);
            for (name, count) in impossible {
                *measured.impossible.entry(name).or_default() += count;
            }
        }
        measured.elsewhere = !input.readings.is_empty() && measured.series.iter().all(Vec::is_empty);
        measured
    }
}

fn build(input: &Input<'_>, measured: &LevelInput, series: &[Series]) -> Level {
    let mark = &measured.mark;
    let span_s = mark.counted_s();
    let seconds = (span_s[1] - span_s[0]).max(f64::MIN_POSITIVE);
    let throughput_per_s = measured.requests as f64 / seconds;
    let response_s = measured.response_ms.mean / 1e3;
    let closed = input.unit == LoadUnit::Users && throughput_per_s > 0.0;
    Level {
        level: mark.level,
        users: measured.users,
        offered_per_s: measured.offered_per_s,
        throughput_per_s,
        good: mark.good,
        failed_by: mark.failed_by.clone(),
        error_ratio: measured.failed as f64 / measured.requests.max(1) as f64,
        span_s,
        truncated_s: mark.counts_from_s.map(|_| span_s[0] - mark.from_s),
        // interactive_response_s solves N = X(R + Z) for one of the two times given the other.
        think_s: if closed {
            interactive_response_s(measured.users, throughput_per_s, response_s).max(0.0)
        } else {
            0.0
        },
        residual_ratio: input
            .think_s
            .filter(|_| closed)
            .map(|think_s| interactive_residual_ratio(measured.users, throughput_per_s, response_s, think_s)),
        response_ms: measured.response_ms,
        service_ms: measured.service_ms,
        resources: series.iter().map(|one| (one.name.clone(), one.mean(throughput_per_s))).collect(),
    }
}

/// Mean time that one request waits for this resource over all its visits, seconds: W·V from its own clock, or by Little's law the
/// number waiting over the throughput. `None` where the resource tells neither.
pub fn wait_per_request_s(level: &Level, resource: &LevelResource) -> Option<f64> {
    match (resource.wait_ms, resource.visits, resource.waiting) {
        (Some(wait_ms), Some(visits), _) => Some(wait_ms / 1e3 * visits),
        (_, _, Some(waiting)) if level.throughput_per_s > 0.0 => Some(waiting / level.throughput_per_s),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::rows::{LevelMark, SaturationRow};
    use crate::record::summary::Latency;

    fn row(t_s: f64, used: f64, waiting: Option<f64>, visits: f64) -> SaturationRow {
        SaturationRow {
            t_s,
            resource: "mongodb.pool".to_owned(),
            kind: "pool".to_owned(),
            used,
            limit: Some(10.0),
            waiting,
            utilization: None,
            errors: None,
            visits: Some(visits),
            wait_s: Some(visits * 0.005),
            hold_s: Some(visits * 0.02),
        }
    }

    fn level(unit: LoadUnit, readings: &[SaturationRow]) -> Level {
        let mark = LevelMark {
            level: 400.0,
            from_s: 10.0,
            to_s: 14.0,
            good: true,
            failed_by: None,
            bad_ratio: 0.0,
            bad_ratio_max: 0.01,
            windows_bad: 0,
            windows: 1,
            ..LevelMark::default()
        };
        let response_ms = Latency { mean: 25.0, ..Latency::default() };
        let measured = LevelInput {
            mark,
            users: 410.0,
            offered_per_s: 400.0,
            requests: 1600,
            failed: 16,
            response_ms,
            service_ms: response_ms,
        };
        Measured::of(&Input {
            unit,
            think_s: Some(1.0),
            requests_per_iteration: 1.0,
            judged: true,
            levels: &[measured],
            soaks: &[],
            search: None,
            readings,
        })
        .levels
        .remove(0)
    }

    #[test]
    fn readings_are_weighted_by_their_time_inside_the_span() {
        // The second reading covers 10 to 12, the third 12 to 14.5 of which 2 s are inside; the first and the last are outside.
        let rows = [
            row(10.0, 3.0, None, 100.0),
            row(12.0, 8.0, Some(0.0), 800.0),
            row(14.5, 9.9, Some(4.0), 1000.0),
            row(15.5, 1.0, None, 9.0),
        ];
        let level = level(LoadUnit::Users, &rows);
        let pool = &level.resources["mongodb.pool"];
        assert!((pool.used - 8.95).abs() < 1e-9 && (pool.utilization.unwrap() - 0.895).abs() < 1e-9);
        assert_eq!((pool.waiting, pool.full_ratio, pool.limit), (Some(2.0), 0.5, Some(10.0)));
        assert!((pool.wait_ms.unwrap() - 5.0).abs() < 1e-9 && (pool.hold_ms.unwrap() - 20.0).abs() < 1e-9);
        assert!((pool.visits.unwrap() - 1.0).abs() < 1e-9, "(800 + 800)/4 visits over 400 requests a second");
        assert!((wait_per_request_s(&level, pool).unwrap() - 0.005).abs() < 1e-9);
    }

    #[test]
    fn the_laws_are_applied_to_closed_levels_only() {
        let closed = level(LoadUnit::Users, &[]);
        assert_eq!((closed.throughput_per_s, closed.error_ratio), (400.0, 0.01));
        assert!((closed.think_s - 1.0).abs() < 1e-9 && closed.residual_ratio.unwrap().abs() < 1e-9);
        assert_eq!(level(LoadUnit::RatePerS, &[]).residual_ratio, None);
    }

    #[test]
    fn a_queue_without_a_clock_is_timed_by_little() {
        let mut rows = [row(11.0, 10.0, Some(8.0), 0.0), row(12.0, 10.0, Some(8.0), 0.0)];
        rows.iter_mut().for_each(|row| (row.visits, row.wait_s, row.hold_s) = (None, None, None));
        let level = level(LoadUnit::Users, &rows);
        let pool = &level.resources["mongodb.pool"];
        assert_eq!((pool.wait_ms, wait_per_request_s(&level, pool)), (None, Some(0.02)));
    }
}
