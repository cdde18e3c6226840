//! A run folder read back: what analysis and every report start from, right after the run or a year later on another machine.

use super::histogram_log::{self, Interval};
use super::readings::ByName;
use super::rows::{Event, Manifest, RECORD_SCHEMA, SIGNAL, SaturationRow, TimelineRow};
use super::store::{EVENTS, HISTOGRAMS, MANIFEST, SATURATION, StoreError, TIMELINE};
use crate::measure::histogram::Histogram;
use crate::threshold::Which;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

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
    /// Where the readings of each name are.
    pub by_name: ByName,
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
            by_name: ByName::default(),
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
