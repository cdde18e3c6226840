//! A run folder read back: what analysis and every report start from, right after the run or a year later on another machine.

use super::histogram_log::{self, Interval};
use super::readings::ByName;
use super::rows::{Event, Manifest, RECORD_SCHEMA, SIGNAL, SaturationRow, TimelineRow};
use super::store::{EVENTS, HISTOGRAMS, MANIFEST, SATURATION, StoreError, TIMELINE};
use crate::measure::histogram::Histogram;
use crate::threshold::Which;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// The logs keep times to the millisecond.
const TIME_STEP_S: f64 = 1e-3;

#[derive(Clone, Debug)]
pub struct Recorded {
    pub dir: PathBuf,
    pub manifest: Manifest,
    /// In the order of the seconds.
    pub timeline: Vec<TimelineRow>,
    /// Of resources; what limits a system is sought among these.
    pub saturation: Vec<SaturationRow>,
    /// Of signals, which thresholds ask for and nothing else.
    pub signals: Vec<SaturationRow>,
    pub events: Vec<Event>,
    /// In the order of their ends.
    pub intervals: Vec<Interval>,
    /// Where the readings of each name are.
    pub by_name: ByName,
}

#[cfg(test)]
thread_local! {
    /// How many intervals were looked at on this thread.
    static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl Recorded {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// [`StoreError`] naming the file that is missing or broken. A last row cut off by a crash is no error.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let manifest_path = dir.join(MANIFEST);
        let manifest: Manifest = serde_json::from_slice(&read(&manifest_path)?)
            .map_err(|error| StoreError::Corrupt { path: manifest_path.clone(), text: error.to_string() })?;
        if manifest.schema > RECORD_SCHEMA {
            return Err(StoreError::Corrupt {
                path: manifest_path,
                text: format!(
                    "schema {} was written by a newer plimsoll; this one reads up to {RECORD_SCHEMA}",
                    manifest.schema
                ),
            });
        }
        let histograms = dir.join(HISTOGRAMS);
        let mut intervals = histogram_log::parse(&read(&histograms)?)
            .map_err(|text| StoreError::Corrupt { path: histograms, text })?;
        let mut timeline: Vec<TimelineRow> = rows(&dir.join(TIMELINE))?;
        // As they were written; but spans are found by halving, and a record may come from anywhere.
        intervals.sort_by(|a, b| a.end_s.total_cmp(&b.end_s));
        timeline.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        let readings: Vec<SaturationRow> = rows(&dir.join(SATURATION))?;
        let (signals, saturation) = readings.into_iter().partition(|row| row.kind == SIGNAL);
        Ok(Self {
            dir: dir.to_path_buf(),
            timeline,
            saturation,
            signals,
            events: events(&dir.join(EVENTS))?,
            manifest,
            intervals,
            by_name: ByName::default(),
        })
    }

    /// The merged histogram of the endpoints that `matches` accepts, over intervals that lie within the span.
    pub fn histogram(&self, clock: Which, span_s: [f64; 2], matches: impl Fn(&str) -> bool) -> Histogram {
        let mut sum = Histogram::new();
        for interval in self.within(span_s) {
            if interval.clock == clock && matches(&interval.endpoint) {
                sum.add_sparse(&interval.histogram);
            }
        }
        sum
    }

    /// Intervals that lie within the span.
    pub fn within(&self, span_s: [f64; 2]) -> impl Iterator<Item = &Interval> {
        let from_s = span_s[0] - TIME_STEP_S / 2.0;
        self.ended_within(span_s).iter().filter(move |interval| {
            #[cfg(test)]
            LOOKED_AT.set(LOOKED_AT.get() + 1);
            interval.start_s >= from_s
        })
    }

    /// Those that ended within it. No others are looked at, so that the windows of a run together cost no more than the run.
    fn ended_within(&self, span_s: [f64; 2]) -> &[Interval] {
        let [from_s, to_s] = [span_s[0] - TIME_STEP_S / 2.0, span_s[1] + TIME_STEP_S / 2.0];
        let first = self.intervals.partition_point(|interval| interval.end_s < from_s);
        let end = self.intervals.partition_point(|interval| interval.end_s <= to_s);
        &self.intervals[first..end.max(first)]
    }

    /// Timeline rows of the span: seconds that ended within it.
    pub fn seconds(&self, span_s: [f64; 2]) -> impl Iterator<Item = &TimelineRow> {
        let until = |t_s: f64| self.timeline.partition_point(|row| row.t_s <= t_s + TIME_STEP_S / 2.0);
        let (first, end) = (until(span_s[0]), until(span_s[1]));
        self.timeline[first..end.max(first)].iter()
    }

    pub fn whole_span(&self) -> [f64; 2] {
        [0.0, self.manifest.duration_s]
    }
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path).map_err(|source| StoreError::Read { path: path.to_path_buf(), source })
}

fn rows<Row: DeserializeOwned>(path: &Path) -> Result<Vec<Row>, StoreError> {
    let bytes = read(path)?;
    let complete = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    csv::Reader::from_reader(&bytes[..complete])
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::Corrupt { path: path.to_path_buf(), text: error.to_string() })
}

fn events(path: &Path) -> Result<Vec<Event>, StoreError> {
    let bytes = read(path)?;
    let complete = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    bytes[..complete]
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            serde_json::from_slice(line)
                .map_err(|error| StoreError::Corrupt { path: path.to_path_buf(), text: error.to_string() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::histogram::Sparse;
    use crate::record::rows::EndpointEntry;
    use crate::record::span::RecordedSpan;
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

    const ENDPOINTS: [&str; 3] = ["a", "b", "c"];

    fn entry(name: &str) -> EndpointEntry {
        EndpointEntry { name: name.into(), protocol: "http".into(), route: String::new(), key: None }
    }

    /// A record of these stretches of time, each of whole seconds from a second on, with one latency of each endpoint on each clock.
    fn recorded(stretches: &[(u32, u32)]) -> Recorded {
        let one = |ms: u64| {
            let mut one = Histogram::new();
            one.record(1_000_000 * ms);
            Sparse::from(&one)
        };
        let one_each: Vec<Sparse> = [1, 3, 10, 30, 100].map(one).into();
        let mut intervals = Vec::new();
        let mut timeline = Vec::new();
        for (number, &(start, lasts)) in stretches.iter().enumerate() {
            let (start_s, end_s) = (f64::from(start), f64::from(start + lasts));
            for (at, endpoint) in ENDPOINTS.iter().enumerate() {
                let histogram = &one_each[(number + at) % one_each.len()];
                for clock in [Which::Response, Which::Service] {
                    let histogram = histogram.clone();
                    intervals.push(Interval {
                        endpoint: (*endpoint).into(),
                        clock,
                        start_s,
                        end_s,
                        histogram,
                    });
                }
                let row = TimelineRow { t_s: end_s, endpoint: (*endpoint).into(), ..TimelineRow::default() };
                timeline.push(TimelineRow { completed: number as u64, ..row });
            }
        }
        intervals.sort_by(|a, b| a.end_s.total_cmp(&b.end_s));
        timeline.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        Recorded {
            dir: PathBuf::new(),
            manifest: Manifest { endpoints: ENDPOINTS.map(entry).into(), ..Manifest::default() },
            timeline,
            saturation: Vec::new(),
            signals: Vec::new(),
            events: Vec::new(),
            intervals,
            by_name: ByName::default(),
        }
    }

    proptest! {
        #[test]
        fn a_span_found_by_halving_is_the_one_found_by_looking_at_everything(
            stretches in proptest::collection::vec((0..40_u32, 0..4_u32), 0..60),
            span in (0..42_u32, 0..20_u32).prop_map(|(from, lasts)| [f64::from(from), f64::from(from + lasts)]),
            off_s in proptest::prop_oneof![-2e-3..2e-3_f64, proptest::sample::select(&[-5e-4, 0.0, 5e-4][..])],
        ) {
            let recorded = recorded(&stretches);
            let span_s = span.map(|t_s| t_s + off_s);
            let mut naive = Histogram::new();
            for interval in &recorded.intervals {
                let inside = interval.start_s >= span_s[0] - 5e-4 && interval.end_s <= span_s[1] + 5e-4;
                if inside && interval.clock == Which::Service && interval.endpoint != "b" {
                    naive.add(&Histogram::from(&interval.histogram));
                }
            }
            let found = recorded.histogram(Which::Service, span_s, |endpoint| endpoint != "b");
            prop_assert_eq!(found.hdr(), naive.hdr());
            let inside = |row: &&TimelineRow| row.t_s > span_s[0] + 5e-4 && row.t_s <= span_s[1] + 5e-4;
            prop_assert!(recorded.timeline.iter().filter(inside).eq(recorded.seconds(span_s)));
        }
    }

    #[test]
    fn the_windows_of_an_hour_cost_no_more_than_the_hour() {
        const HOUR_S: u32 = 3_600;
        let hour: Vec<(u32, u32)> = (0..HOUR_S).map(|second| (second, 1)).collect();
        let recorded = recorded(&hour);
        let span = RecordedSpan::new(&recorded, [0.0, f64::from(HOUR_S)]);
        for window_s in [1.0, 30.0] {
            let windows = span.windows(window_s);
            assert_eq!(windows.len() as f64, f64::from(HOUR_S) / window_s);
            let merged = windows.iter().map(|window| window.histogram(Which::Service, None, None).count());
            LOOKED_AT.set(0);
            assert_eq!(merged.sum::<u64>(), u64::from(HOUR_S) * ENDPOINTS.len() as u64, "each once");
            // What ended at the instant at which a window begins is looked at by both.
            let all = LOOKED_AT.get();
            assert!(
                (1..2 * recorded.intervals.len()).contains(&all),
                "{all} of {}",
                recorded.intervals.len()
            );
        }
    }
}
