//! What the readings of a record tell of a span: which of them, and how much of it they cover.

use super::recorded::Recorded;
use super::rows::{SIGNAL, SaturationRow};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The longest time that one reading is taken to tell of; a gauge may have been anything in a longer one. Prometheus scrapes once a minute unless told
/// otherwise.
const READING_SPAN_MAX_S: f64 = 60.0;
/// The same in usual distances of readings: two may be missing in a row.
const GAPS_BRIDGED_MAX: f64 = 3.0;
/// For how many of them the last stands: what a server knows is one of them old when a run ends, and nobody asks it again.
const LAST_STANDS: f64 = 2.0;
/// The usual distance where there is but one: sources are read once a second unless told otherwise.
const READING_GAP_S: f64 = 1.0;

/// What a reading at the very edge of a span counts for: it is no less a value.
const WEIGHT_MIN_S: f64 = 1e-3;

/// What is known of a resource or signal in a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Readings {
    /// A reading is of the time since the one before: the first that ended within the span began before it and is left out where there are
    /// others. A span in which none ended goes by the one that covers it. Each with how much of the span it is of, seconds.
    pub rows: Vec<(SaturationRow, f64)>,
    /// How much of the span they tell of, with the one before and the one behind, seconds.
    pub covered_s: f64,
}

/// Where the readings of each name are in a record, found once: a threshold may ask for each second of a long run.
#[derive(Clone, Debug, Default)]
pub struct ByName(OnceLock<Index>);

#[derive(Clone, Debug)]
struct Index {
    /// How many rows there were, of resources and of signals.
    rows: (usize, usize),
    lines: BTreeMap<String, Line>,
}

/// The readings of one name.
#[derive(Clone, Debug, Default)]
struct Line {
    /// Their places, in the order of time; those of signals come behind all others.
    places: Vec<usize>,
    /// Their usual distance, seconds.
    gap_s: f64,
}

impl Recorded {
    /// What is known of a resource or signal in this span.
    pub fn readings(&self, name: &str, span_s: [f64; 2]) -> Readings {
        let index = self.by_name.0.get_or_init(|| Index::of(self));
        let made_anew;
        let index = if index.rows == (self.saturation.len(), self.signals.len()) {
            index
        } else {
            made_anew = Index::of(self);
            &made_anew
        };
        let nothing = Readings { rows: Vec::new(), covered_s: 0.0 };
        index.lines.get(name).map_or(nothing, |line| line.within(self, name, span_s))
    }

    fn reading(&self, place: usize) -> &SaturationRow {
        place
            .checked_sub(self.saturation.len())
            .map_or_else(|| &self.saturation[place], |at| &self.signals[at])
    }
}

impl Index {
    fn of(recorded: &Recorded) -> Self {
        let mut lines: BTreeMap<String, Line> = BTreeMap::new();
        for (place, row) in recorded.saturation.iter().chain(&recorded.signals).enumerate() {
            if let Some(line) = lines.get_mut(&row.resource) {
                line.places.push(place);
            } else {
                lines.insert(row.resource.clone(), Line { places: vec![place], gap_s: READING_GAP_S });
            }
        }
        let t_s = |place: usize| recorded.reading(place).t_s;
        for Line { places, gap_s } in lines.values_mut() {
            // A server's come late, and a clock may be set.
            places.sort_by(|a, b| t_s(*a).total_cmp(&t_s(*b)));
            let mut gaps_s: Vec<f64> = places.windows(2).map(|pair| t_s(pair[1]) - t_s(pair[0])).collect();
            gaps_s.sort_by(f64::total_cmp);
            *gap_s = gaps_s.get(gaps_s.len() / 2).copied().unwrap_or(READING_GAP_S);
        }
        Self { rows: (recorded.saturation.len(), recorded.signals.len()), lines }
    }
}

impl Line {
    fn within(&self, recorded: &Recorded, name: &str, span_s: [f64; 2]) -> Readings {
        let Self { places, gap_s } = self;
        let row = |at: usize| recorded.reading(places[at]);
        let until = |t_s: f64| places.partition_point(|place| recorded.reading(*place).t_s <= t_s);
        let since_s = |at: usize| at.checked_sub(1).map(|before| row(at).t_s - row(before).t_s);
        let gap_max_s = (gap_s * GAPS_BRIDGED_MAX).min(READING_SPAN_MAX_S);

        let (mut from, mut to) = (until(span_s[0]), until(span_s[1] + 5e-4));
        let first = from;
        if to - from > 1 && row(from).kind != SIGNAL {
            from += 1;
        }
        if from == to && to < places.len() && since_s(to).is_some_and(|since_s| since_s <= gap_max_s) {
            to += 1;
        }
        let of_span = |at: usize| {
            let began_s = row(at).t_s - since_s(at).unwrap_or(*gap_s).min(gap_max_s);
            (row(at).t_s.min(span_s[1]) - began_s.max(span_s[0])).max(WEIGHT_MIN_S)
        };
        let rows = (from..to).map(|at| (row(at).clone(), of_span(at))).collect();

        // A rate is of its span, where that is longer.
        let window_s = recorded.manifest.signal_windows_s.get(name).copied().unwrap_or(0.0);
        let reach_max_s = gap_max_s.max(*gap_s).max(window_s);
        let (mut covered_s, mut counted_s) = (0.0, span_s[1]);
        // Backwards, so that what was counted lies behind.
        for at in (first.saturating_sub(1)..until(span_s[1] + reach_max_s)).rev() {
            let reach_s = since_s(at).unwrap_or(*gap_s).min(gap_max_s).max(window_s);
            let until_s =
                if at + 1 == places.len() { row(at).t_s + gap_s * LAST_STANDS } else { row(at).t_s };
            let began_s = (row(at).t_s - reach_s).max(span_s[0]);
            covered_s += (until_s.min(counted_s) - began_s).max(0.0);
            counted_s = counted_s.min(began_s);
        }
        Readings { rows, covered_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::rows::Manifest;
    use crate::record::span::RecordedSpan;
    use crate::threshold::{Stats, Verdict};
    use std::path::PathBuf;

    fn row(resource: &str, kind: &str, t_s: f64) -> SaturationRow {
        SaturationRow {
            t_s,
            resource: resource.into(),
            kind: kind.into(),
            used: t_s,
            limit: None,
            waiting: None,
            utilization: None,
            errors: None,
            visits: None,
            wait_s: None,
            hold_s: None,
        }
    }

    #[test]
    fn a_source_that_fell_silent_is_not_judged_by_what_it_said_before() {
        let mut recorded = with(vec![1.0, 2.0, 3.0, 4.0], Vec::new());
        let judged = |recorded: &Recorded, text: &str| {
            let threshold = crate::threshold::parse(text).expect("a threshold");
            let span = RecordedSpan::new(recorded, [0.0, 9.0]);
            let windows =
                threshold.window().map(|window| span.windows(window.as_secs_f64())).unwrap_or_default();
            let windows: Vec<&dyn Stats> = windows.iter().map(|window| window as &dyn Stats).collect();
            let judgment = crate::threshold::judge(&threshold, Some(&span), &windows);
            (judgment.samples, judgment.result)
        };
        let why = "readings cover 6 of 9 s of `pool`".to_owned();
        assert_eq!(judged(&recorded, "used(pool) < 90"), (3, Verdict::NotEvaluated { why }));
        assert!(matches!(judged(&recorded, "used(pool) < 90 for 8s").1, Verdict::NotEvaluated { .. }));
        assert_eq!(judged(&recorded, "used(pool) < 90 for 3s").1, Verdict::Pass, "that is known");
        recorded.saturation.extend([5.0, 6.0, 8.0].map(|t_s| row("pool", "pool", t_s)));
        assert_eq!(
            judged(&recorded, "used(pool) < 90"),
            (6, Verdict::Pass),
            "one that was missed is bridged"
        );
        recorded.saturation[3].used = f64::INFINITY;
        assert_eq!(judged(&recorded, "used(pool) < 90").1, Verdict::Fail);
        recorded.saturation[4].used = f64::NEG_INFINITY;
        assert!(matches!(judged(&recorded, "used(pool) < 90").1, Verdict::NotEvaluated { .. }));
    }

    fn with(times: Vec<f64>, signals: Vec<SaturationRow>) -> Recorded {
        Recorded {
            dir: PathBuf::new(),
            manifest: Manifest::default(),
            timeline: Vec::new(),
            saturation: times.into_iter().map(|t_s| row("pool", "pool", t_s)).collect(),
            signals,
            events: Vec::new(),
            intervals: Vec::new(),
            by_name: ByName::default(),
        }
    }

    #[test]
    fn a_span_goes_by_the_readings_that_tell_of_it() {
        let times = [5.0, 10.0, 15.0, 20.0, 200.0];
        let recorded = with(times.into(), times.map(|t_s| row("ratio", SIGNAL, t_s)).into());
        let read = |name: &str, span_s: [f64; 2]| {
            recorded.readings(name, span_s).rows.iter().map(|(row, _)| row.t_s).collect::<Vec<_>>()
        };
        assert_eq!(read("pool", [4.0, 16.0]), [10.0, 15.0], "the first began before");
        assert_eq!(read("ratio", [4.0, 16.0]), [5.0, 10.0, 15.0], "a value is of its instant");
        assert_eq!(read("pool", [9.0, 12.0]), [10.0], "where there is no other");
        assert_eq!(read("pool", [11.0, 12.0]), [15.0], "the reading of that time");
        assert_eq!(read("pool", [0.0, 1.0]), [0.0; 0], "nothing is known of the time before the first");
        assert_eq!(read("pool", [100.0, 101.0]), [0.0; 0], "nor of a long silence");
        assert_eq!(read("other", [0.0, 99.0]), [0.0; 0]);
        let weights = |span_s: [f64; 2]| {
            recorded.readings("ratio", span_s).rows.iter().map(|(_, seconds)| *seconds).collect::<Vec<_>>()
        };
        assert_eq!(weights([4.0, 18.0]), [1.0, 5.0, 5.0], "as far as they lie within");
        assert_eq!(weights([150.0, 210.0]), [15.0], "a long silence is not told of by what comes behind");
        let covered = |name: &str, span_s: [f64; 2]| recorded.readings(name, span_s).covered_s;
        // The first tells of the five seconds before it, that of 200 s of the fifteen before, and of the ten behind.
        assert_eq!(covered("pool", [0.0, 300.0]), 45.0);
        assert_eq!(covered("pool", [0.0, 20.0]), 20.0);
        assert_eq!(covered("pool", [11.0, 12.0]), 1.0);
        assert_eq!(covered("pool", [100.0, 101.0]), 0.0);
        assert_eq!(covered("other", [0.0, 20.0]), 0.0);
        let mut minute = recorded.clone();
        minute.manifest.signal_windows_s.insert("ratio".into(), 60.0);
        assert_eq!(
            minute.readings("ratio", [0.0, 300.0]).covered_s,
            20.0 + 60.0 + 10.0,
            "a rate is of its span"
        );
    }

    #[test]
    fn readings_count_by_the_time_that_they_are_of() {
        let mut recorded = with(vec![15.0, 19.0, 30.0, 34.0, 45.0], Vec::new());
        // Two a second, of which now four seconds tell and now eleven.
        for (row, grown) in recorded.saturation.iter_mut().zip([22.0, 15.0, 15.0, 15.0, 15.0]) {
            let seconds = if [19.0, 34.0].contains(&row.t_s) { 4.0 } else { 11.0 };
            (row.used, row.limit) = (grown / seconds, Some(4.0));
        }
        let (used, limit, _) = RecordedSpan::new(&recorded, [19.0, 45.0]).resource("pool").expect("known");
        assert!((used - 2.0).abs() < 1e-9 && limit == Some(4.0), "{used}");
    }
}
