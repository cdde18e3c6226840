//! Writing the run folder, second by second. After every call the folder is a valid record of what has been measured so far:
//! rows are appended whole, the manifest is replaced by renaming.

use super::histogram_log::Encoder;
use super::rows::{Event, Manifest, SaturationRow, TimelineRow};
use super::summary::Counts;
use crate::measure::snapshot::Snapshot;
use crate::threshold::Which;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

pub const MANIFEST: &str = "record.json";
pub const SUMMARY: &str = "summary.json";
pub const TIMELINE: &str = "timeline.csv";
pub const SATURATION: &str = "saturation.csv";
pub const HISTOGRAMS: &str = "histograms.hlog";
pub const EVENTS: &str = "events.ndjson";

/// What is computed from a record and stands beside it.
pub const DERIVED: &[&str] =
    &[SUMMARY, "report.html", "levels.csv", "junit.xml", "summary.md", "summary.txt"];

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is not what it should be: {text}", path.display())]
    Corrupt { path: PathBuf, text: String },
}

impl StoreError {
    /// What the user can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                "free some space, or give another folder with --out; what was measured so far stands in the folder"
            }
            Self::Write { .. } => {
                "check that the folder exists and may be written, or give another one with --out"
            }
            Self::Read { .. } => "give the folder of a run, the one that holds record.json",
            Self::Corrupt { .. } => {
                "the file was changed or cut off after the run; the other files of the folder still stand"
            }
        }
    }
}

#[derive(Debug)]
struct Appender {
    path: PathBuf,
    file: File,
}

impl Appender {
    fn create(dir: &Path, name: &str) -> Result<Self, StoreError> {
        let path = dir.join(name);
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&path)
            .map_err(|source| StoreError::Write { path: path.clone(), source })?;
        Ok(Self { path, file })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|source| StoreError::Write { path: self.path.clone(), source })
    }
}

/// The open folder of a running test.
pub struct Store {
    dir: PathBuf,
    pub manifest: Manifest,
    timeline: Appender,
    saturation: Appender,
    histograms: Appender,
    events: Appender,
    encoder: Encoder,
    timeline_headed: bool,
    saturation_headed: bool,
}

impl Store {
    /// Makes the folder (and its parents) and its first, empty, valid files. What was computed from an earlier record in the same folder
    /// goes first, so that nobody reads the verdict of another run.
    ///
    /// # Errors
    /// [`StoreError::Write`] with the path that could not be written.
    pub fn create(dir: &Path, manifest: Manifest) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(|source| StoreError::Write { path: dir.to_path_buf(), source })?;
        if dir.join(MANIFEST).exists() {
            for name in DERIVED {
                remove(&dir.join(name))?;
            }
        }
        let mut store = Self {
            dir: dir.to_path_buf(),
            timeline: Appender::create(dir, TIMELINE)?,
            saturation: Appender::create(dir, SATURATION)?,
            histograms: Appender::create(dir, HISTOGRAMS)?,
            events: Appender::create(dir, EVENTS)?,
            encoder: Encoder::default(),
            timeline_headed: false,
            saturation_headed: false,
            manifest,
        };
        store.histograms.append(Encoder::header(&store.manifest.started_utc).as_bytes())?;
        store.write_manifest()?;
        Ok(store)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends one merged second: its timeline rows and its histograms, then the manifest with the totals so far.
    ///
    /// # Errors
    /// [`StoreError::Write`]; what was written before it stays valid.
    pub fn second(&mut self, snapshot: &Snapshot, start_s: u64) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        let mut lines = Vec::new();
        for (index, entry) in self.manifest.endpoints.iter().enumerate() {
            let Some(window) = snapshot.windows.get(index).and_then(Option::as_deref) else { continue };
            let (response, service) = (window.all_responses(), window.all_services());
            let ms = |ns: u64| ns as f64 / 1e6;
            rows.push(TimelineRow {
                t_s: snapshot.end_s as f64,
                endpoint: entry.key().to_owned(),
                users: snapshot.users,
                offered: snapshot.counts.planned,
                sent: window.sent,
                completed: window.completed,
                failed: window.failures,
                dropped: snapshot.counts.dropped,
                p50: ms(response.quantile_ns(0.5)),
                p90: ms(response.quantile_ns(0.9)),
                p99: ms(response.quantile_ns(0.99)),
                p99_9: ms(response.quantile_ns(0.999)),
                max: ms(response.max_ns()),
                service_p50: ms(service.quantile_ns(0.5)),
                service_p99: ms(service.quantile_ns(0.99)),
                service_max: ms(service.max_ns()),
                bytes_received: window.bytes_received,
                bytes_sent: window.bytes_sent,
            });
            for (clock, histogram) in [(Which::Response, &response), (Which::Service, &service)] {
                if !histogram.is_empty() {
                    self.encoder
                        .append(&mut lines, entry.key(), clock, start_s, snapshot.end_s, histogram)
                        .map_err(|text| StoreError::Corrupt { path: self.histograms.path.clone(), text })?;
                }
            }
        }
        // What is counted for the whole run stands in each endpoint's row, so a second in which no request ended needs one too.
        let something = snapshot.counts != Counts::default() || snapshot.users > 0;
        if rows.is_empty()
            && something
            && let Some(first) = self.manifest.endpoints.first()
        {
            rows.push(TimelineRow {
                t_s: snapshot.end_s as f64,
                endpoint: first.key().to_owned(),
                users: snapshot.users,
                offered: snapshot.counts.planned,
                dropped: snapshot.counts.dropped,
                ..TimelineRow::default()
            });
        }
        append_csv(&mut self.timeline, &rows, &mut self.timeline_headed)?;
        self.histograms.append(&lines)?;
        self.manifest.duration_s = snapshot.end_s as f64;
        // What comes late may have ended before what is written already.
        let progress = &mut self.manifest.progress;
        progress.elapsed_s = progress.elapsed_s.max(snapshot.end_ns as f64 / 1e9);
        self.write_manifest()
    }

    /// # Errors
    /// [`StoreError::Write`].
    pub fn readings(&mut self, rows: &[SaturationRow]) -> Result<(), StoreError> {
        append_csv(&mut self.saturation, rows, &mut self.saturation_headed)
    }

    /// # Errors
    /// [`StoreError::Write`].
    pub fn event(&mut self, event: &Event) -> Result<(), StoreError> {
        let mut line = serde_json::to_vec(event).map_err(|error| StoreError::Corrupt {
            path: self.events.path.clone(),
            text: error.to_string(),
        })?;
        line.push(b'\n');
        self.events.append(&line)
    }

    /// Replaces `record.json` whole, so that a reader never sees half of it.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn write_manifest(&mut self) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec_pretty(&self.manifest).map_err(|error| StoreError::Corrupt {
            path: self.dir.join(MANIFEST),
            text: error.to_string(),
        })?;
        replace(&self.dir.join(MANIFEST), &bytes)
    }
}

/// Writes a file of the folder whole: into a neighbor first, then renamed over the old one.
///
/// # Errors
/// [`StoreError::Write`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let wrong = |source| StoreError::Write { path: path.to_path_buf(), source };
    let mut neighbor = path.as_os_str().to_owned();
    neighbor.push(".tmp");
    let neighbor = PathBuf::from(neighbor);
    fs::write(&neighbor, bytes).map_err(wrong)?;
    fs::rename(&neighbor, path).map_err(wrong)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Write { path: path.to_path_buf(), source })
        }
        _ => Ok(()),
    }
}

fn append_csv<Row: serde::Serialize>(
    to: &mut Appender,
    rows: &[Row],
    headed: &mut bool,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut writer = csv::WriterBuilder::new().has_headers(!*headed).from_writer(Vec::new());
    let broken = |text: String| StoreError::Corrupt { path: to.path.clone(), text };
    for row in rows {
        writer.serialize(row).map_err(|error| broken(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| broken(error.to_string()))?;
    *headed = true;
    to.append(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::recorded::Recorded;
    use crate::record::rows::EndpointEntry;
    use crate::record::span::RecordedSpan;
    use crate::threshold::Stats as _;

    fn manifest() -> Manifest {
        let entry = EndpointEntry {
            name: "product".into(),
            protocol: "http".into(),
            route: "GET /".into(),
            key: None,
        };
        Manifest { endpoints: vec![entry], ..Manifest::default() }
    }

    fn second(end_s: u64, users: u64, planned: u64, requests: u64) -> Snapshot {
        let mut snapshot = Snapshot { end_s, users, ..Snapshot::default() };
        snapshot.counts.planned = planned;
        if requests > 0 {
            let window = snapshot.window_mut(0);
            window.completed = requests;
            window.response.record(1_000_000);
        }
        snapshot
    }

    #[test]
    fn a_second_in_which_no_request_ended_keeps_its_users_and_arrivals() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = Store::create(dir.path(), manifest()).expect("a store");
        store.second(&second(1, 10, 5, 3), 0).expect("written");
        let mut hung = second(2, 30, 7, 0);
        hung.counts.dropped = 2;
        store.second(&hung, 1).expect("written");
        store.second(&second(3, 0, 0, 0), 2).expect("written");
        let recorded = Recorded::open(dir.path()).expect("a record");
        assert_eq!(recorded.timeline.len(), 2, "a second without load has no row");
        let span = RecordedSpan::new(&recorded, [0.0, 2.0]);
        assert_eq!((span.iterations(), span.users(), span.requests(None, None)), ((12, 2), 20.0, (3, 0)));
    }

    #[test]
    fn endpoints_of_one_name_and_several_protocols_stay_apart() {
        use crate::endpoint::Protocol;
        use crate::threshold::{Figure, Which};
        let dir = tempfile::tempdir().expect("a folder");
        let entry = |protocol: &str| EndpointEntry {
            name: "tick".into(),
            protocol: protocol.into(),
            route: "WS tick".into(),
            key: Some(format!("{protocol} tick")),
        };
        let manifest = Manifest { endpoints: vec![entry("ws"), entry("ws.lag")], ..Manifest::default() };
        let mut store = Store::create(dir.path(), manifest).expect("a store");
        let mut both = second(1, 1, 1, 3);
        let lag = both.window_mut(1);
        lag.completed = 5;
        lag.response.record(9_000_000);
        store.second(&both, 0).expect("written");
        let recorded = Recorded::open(dir.path()).expect("a record");
        let span = RecordedSpan::new(&recorded, [0.0, 1.0]);
        let of = |protocol| {
            let (slowest_ns, _) =
                span.latency_ns(Figure::Max, Which::Response, protocol, Some("tick")).expect("recorded");
            (span.requests(Some(protocol), Some("tick")).0, (slowest_ns / 1e6).round())
        };
        assert_eq!((of(Protocol::Ws), of(Protocol::WsLag)), ((3, 1.0), (5, 9.0)));
    }

    #[test]
    fn a_new_record_leaves_no_verdict_of_the_old_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let page = dir.path().join("report.html");
        fs::write(&page, "of somebody else").expect("written");
        drop(Store::create(dir.path(), manifest()).expect("a store"));
        assert!(page.exists(), "without a record beside it, it is none of ours");
        fs::write(dir.path().join(SUMMARY), "{}").expect("written");
        fs::write(dir.path().join("notes.md"), "mine").expect("written");
        drop(Store::create(dir.path(), manifest()).expect("a store"));
        assert!(!page.exists() && !dir.path().join(SUMMARY).exists());
        assert!(dir.path().join("notes.md").exists());
    }
}
