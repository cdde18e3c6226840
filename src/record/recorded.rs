//! A run folder read back: what analysis and every report start from, right after the run or a year later on another machine.

use super::histogram_log::{self, Interval};
use super::rows::{Event, Manifest, RECORD_SCHEMA, SIGNAL, SaturationRow, TimelineRow};
use super::store::{EVENTS, HISTOGRAMS, MANIFEST, SATURATION, StoreError, TIMELINE};
use crate::measure::histogram::Histogram;
use crate::threshold::Which;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// The longest time that one reading is taken to tell of; a gauge may have been anything in a longer one. Prometheus scrapes once a minute unless told
/// otherwise.
const READING_SPAN_MAX_S: f64 = 60.0;
/// The same in usual distances of readings: two may be missing in a row.
const GAPS_BRIDGED_MAX: f64 = 3.0;
/// The usual distance where there is but one: sources are read once a second unless told otherwise.
const READING_GAP_S: f64 = 1.0;

/// What is known of a resource or signal in a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Readings {
    /// A reading is of the time since the one before: the first that ended within the span began before it and is left out where there are
    /// others. A span in which none ended goes by the one that covers it.
    pub rows: Vec<SaturationRow>,
    /// How much of the span they tell of, with the one before and the one behind, seconds.
    pub covered_s: f64,
}

#[derive(Clone, Debug)]
pub struct Recorded {
    pub dir: PathBuf,
    pub manifest: Manifest,
    pub timeline: Vec<TimelineRow>,
    /// Of resources; what limits a system is sought among these.
    pub saturation: Vec<SaturationRow>,
    /// Of signals, which thresholds ask for and nothing else.
    pub signals: Vec<SaturationRow>,
    pub events: Vec<Event>,
    pub intervals: Vec<Interval>,
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
        let intervals = histogram_log::parse(&read(&histograms)?)
            .map_err(|text| StoreError::Corrupt { path: histograms, text })?;
        let readings: Vec<SaturationRow> = rows(&dir.join(SATURATION))?;
        let (signals, saturation) = readings.into_iter().partition(|row| row.kind == SIGNAL);
        Ok(Self {
            dir: dir.to_path_buf(),
            timeline: rows(&dir.join(TIMELINE))?,
            saturation,
            signals,
            events: events(&dir.join(EVENTS))?,
            manifest,
            intervals,
        })
    }

    /// The merged histogram of the endpoints that `matches` accepts, over intervals that lie within the span.
    pub fn histogram(&self, clock: Which, span_s: [f64; 2], matches: impl Fn(&str) -> bool) -> Histogram {
        let mut sum = Histogram::new();
        for interval in &self.intervals {
            // Half a millisecond: the log keeps times to the millisecond.
            let inside = interval.start_s >= span_s[0] - 5e-4 && interval.end_s <= span_s[1] + 5e-4;
            if interval.clock == clock && inside && matches(&interval.endpoint) {
                sum.add(&interval.histogram);
            }
        }
        sum
    }

    /// Timeline rows of the span: seconds that ended within it.
    pub fn seconds(&self, span_s: [f64; 2]) -> impl Iterator<Item = &TimelineRow> {
        self.timeline.iter().filter(move |row| row.t_s > span_s[0] + 5e-4 && row.t_s <= span_s[1] + 5e-4)
    }

    /// What is known of a resource or signal in this span.
    pub fn readings(&self, name: &str, span_s: [f64; 2]) -> Readings {
        let mut all: Vec<&SaturationRow> =
            self.saturation.iter().chain(&self.signals).filter(|row| row.resource == name).collect();
        // A server's come late, and a clock may be set.
        all.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        Readings::of(&all, span_s, self.manifest.signal_windows_s.get(name).copied())
    }

    pub fn whole_span(&self) -> [f64; 2] {
        [0.0, self.manifest.duration_s]
    }
}

impl Readings {
    /// Of all readings of one name, in the order of time. `window_s` is how far back each looks, where that is further than the one before.
    fn of(all: &[&SaturationRow], span_s: [f64; 2], window_s: Option<f64>) -> Self {
        let mut gaps_s: Vec<f64> = all.windows(2).map(|pair| pair[1].t_s - pair[0].t_s).collect();
        gaps_s.sort_by(f64::total_cmp);
        let gap_s = gaps_s.get(gaps_s.len() / 2).copied().unwrap_or(READING_GAP_S);
        let gap_max_s = (gap_s * GAPS_BRIDGED_MAX).min(READING_SPAN_MAX_S);
        let since_s = |at: usize| at.checked_sub(1).map(|before| all[at].t_s - all[before].t_s);

        let from = all.partition_point(|row| row.t_s <= span_s[0]);
        let to = all.partition_point(|row| row.t_s <= span_s[1] + 5e-4);
        let mut rows: Vec<SaturationRow> = all[from..to].iter().map(|row| (*row).clone()).collect();
        if rows.len() > 1 && rows[0].kind != SIGNAL {
            rows.remove(0);
        }
        if rows.is_empty() && to < all.len() && since_s(to).is_some_and(|since_s| since_s <= gap_max_s) {
            rows.push(all[to].clone());
        }

        // Backwards, so that what was counted lies behind.
        let (mut covered_s, mut counted_s) = (0.0, span_s[1]);
        for (at, row) in all.iter().enumerate().rev() {
            let reach_s = since_s(at).unwrap_or(gap_s).min(gap_max_s).max(window_s.unwrap_or(0.0));
            // The last stands until the next would have been due.
            let until_s = if at + 1 == all.len() { row.t_s + gap_s } else { row.t_s };
            let began_s = (row.t_s - reach_s).max(span_s[0]);
            covered_s += (until_s.min(counted_s) - began_s).max(0.0);
            counted_s = counted_s.min(began_s);
        }
        Self { rows, covered_s }
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
    use crate::record::span::RecordedSpan;
    use crate::threshold::{Stats, Verdict};

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
        let why = "readings cover 5 of 9 s of `pool`".to_owned();
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
        }
    }

    #[test]
    fn a_span_goes_by_the_readings_that_tell_of_it() {
        let times = [5.0, 10.0, 15.0, 20.0, 200.0];
        let recorded = with(times.into(), times.map(|t_s| row("ratio", SIGNAL, t_s)).into());
        let read = |name: &str, span_s: [f64; 2]| {
            recorded.readings(name, span_s).rows.iter().map(|row| row.t_s).collect::<Vec<_>>()
        };
        assert_eq!(read("pool", [4.0, 16.0]), [10.0, 15.0], "the first began before");
        assert_eq!(read("ratio", [4.0, 16.0]), [5.0, 10.0, 15.0], "a value is of its instant");
        assert_eq!(read("pool", [9.0, 12.0]), [10.0], "where there is no other");
        assert_eq!(read("pool", [11.0, 12.0]), [15.0], "the reading of that time");
        assert_eq!(read("pool", [0.0, 1.0]), [0.0; 0], "nothing is known of the time before the first");
        assert_eq!(read("pool", [100.0, 101.0]), [0.0; 0], "nor of a long silence");
        assert_eq!(read("other", [0.0, 99.0]), [0.0; 0]);
        let covered = |name: &str, span_s: [f64; 2]| recorded.readings(name, span_s).covered_s;
        // The first tells of the five seconds before it, that of 200 s of the fifteen before, and of the five behind.
        assert_eq!(covered("pool", [0.0, 300.0]), 40.0);
        assert_eq!(covered("pool", [0.0, 20.0]), 20.0);
        assert_eq!(covered("pool", [11.0, 12.0]), 1.0);
        assert_eq!(covered("pool", [100.0, 101.0]), 0.0);
        assert_eq!(covered("other", [0.0, 20.0]), 0.0);
        let mut minute = recorded.clone();
        minute.manifest.signal_windows_s.insert("ratio".into(), 60.0);
        assert_eq!(
            minute.readings("ratio", [0.0, 300.0]).covered_s,
            20.0 + 60.0 + 5.0,
            "a rate is of its span"
        );
    }
}
