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

    /// Readings of a resource or signal that tell of this span. A reading is of the time since the one before: the first that ended within the
    /// span began before it and is left out where there are others. A span in which none ended goes by the one that covers it.
    pub fn readings(&self, name: &str, span_s: [f64; 2]) -> Vec<SaturationRow> {
        let all = self.saturation.iter().chain(&self.signals).filter(|row| row.resource == name);
        let mut before = None;
        let mut inside = Vec::new();
        for row in all {
            if row.t_s <= span_s[0] {
                before = Some(row.t_s);
            } else if row.t_s <= span_s[1] + 5e-4 {
                inside.push(row.clone());
            } else {
                let covers = before.is_some_and(|before| row.t_s - before <= READING_SPAN_MAX_S);
                if inside.is_empty() && covers {
                    inside.push(row.clone());
                }
                break;
            }
        }
        if inside.len() > 1 && inside[0].kind != SIGNAL {
            inside.remove(0);
        }
        inside
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
    fn a_span_goes_by_the_readings_that_tell_of_it() {
        let times = [5.0, 10.0, 15.0, 20.0, 200.0];
        let recorded = Recorded {
            dir: PathBuf::new(),
            manifest: Manifest::default(),
            timeline: Vec::new(),
            saturation: times.map(|t_s| row("pool", "pool", t_s)).into(),
            signals: times.map(|t_s| row("ratio", SIGNAL, t_s)).into(),
            events: Vec::new(),
            intervals: Vec::new(),
        };
        let read = |name: &str, span_s: [f64; 2]| {
            recorded.readings(name, span_s).iter().map(|row| row.t_s).collect::<Vec<_>>()
        };
        assert_eq!(read("pool", [4.0, 16.0]), [10.0, 15.0], "the first began before");
        assert_eq!(read("ratio", [4.0, 16.0]), [5.0, 10.0, 15.0], "a value is of its instant");
        assert_eq!(read("pool", [9.0, 12.0]), [10.0], "where there is no other");
        assert_eq!(read("pool", [11.0, 12.0]), [15.0], "the reading of that time");
        assert_eq!(read("pool", [0.0, 1.0]), [0.0; 0], "nothing is known of the time before the first");
        assert_eq!(read("pool", [100.0, 101.0]), [0.0; 0], "nor of a long silence");
        assert_eq!(read("other", [0.0, 99.0]), [0.0; 0]);
    }
}
