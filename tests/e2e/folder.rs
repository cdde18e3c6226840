//! What holds of the folder of every run, however it ended: every file is there and parses, the files agree with each other, and every
//! planned iteration is accounted for.

use jsonschema::Validator;
use plimsoll::analyze::summary::summarize;
use plimsoll::record::recorded::Recorded;
use plimsoll::record::summary::{Counts, EndpointResult, Summary};
use std::path::Path;

/// A folder that was found sound.
pub(crate) struct Folder {
    pub(crate) recorded: Recorded,
    pub(crate) summary: Summary,
}

impl Folder {
    #[track_caller]
    pub(crate) fn endpoint(&self, name: &str) -> &EndpointResult {
        let found = self.summary.endpoints.iter().find(|endpoint| endpoint.name == name);
        found.unwrap_or_else(|| panic!("no endpoint `{name}` in {:?}", self.summary.endpoints))
    }

    /// Text of all events, one a line.
    pub(crate) fn events(&self) -> String {
        self.recorded.events.iter().map(|event| format!("{}: {}\n", event.kind, event.text)).collect()
    }
}

/// Opens the folder of a run that came to its own end and asserts everything that must hold of it.
#[track_caller]
pub(crate) fn sound(dir: &Path) -> Folder {
    let recorded = Recorded::open(dir).unwrap_or_else(|error| panic!("{error}"));
    assert!(recorded.manifest.finished, "the record says that it is not finished");
    assert!(recorded.manifest.ended.is_some(), "the record does not say how the run ended");
    rendered(dir)
}

/// Likewise for any folder that has been rendered, also one whose run was cut off.
#[track_caller]
pub(crate) fn rendered(dir: &Path) -> Folder {
    let recorded = Recorded::open(dir).unwrap_or_else(|error| panic!("{error}"));
    let text = read(dir, "summary.json");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let complaints: Vec<String> = schema().iter_errors(&json).map(|error| error.to_string()).collect();
    assert!(complaints.is_empty(), "summary.json breaks its schema: {complaints:?}");
    let summary: Summary = serde_json::from_str(&text).unwrap();
    assert_eq!(summary, summarize(&recorded), "summary.json is what the record says");
    assert_accounted(&summary.counts);
    assert_rows_agree(&recorded, &summary);
    assert_reports(dir, &summary);
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let leftovers: Vec<_> = entries.filter(|name| name.to_string_lossy().ends_with(".tmp")).collect();
    assert!(leftovers.is_empty(), "left in the folder: {leftovers:?}");
    Folder { recorded, summary }
}

/// planned = completed + failed + dropped + interrupted + lost.
#[track_caller]
pub(crate) fn assert_accounted(counts: &Counts) {
    assert_eq!(counts.planned, counts.ended(), "{counts:?}");
}

/// What is counted second by second is what the totals say, and the histograms hold as many values as requests ended.
#[track_caller]
fn assert_rows_agree(recorded: &Recorded, summary: &Summary) {
    let rows = &recorded.timeline;
    let sent: u64 = rows.iter().map(|row| row.sent).sum();
    assert_eq!(sent, summary.requests.sent, "requests sent: timeline and summary");
    for endpoint in &summary.endpoints {
        let of = rows.iter().filter(|row| row.endpoint == endpoint.name);
        let ended: u64 = of.map(|row| row.completed + row.failed).sum();
        assert_eq!(ended, endpoint.count, "{}: timeline and summary", endpoint.name);
    }
    for interval in &recorded.intervals {
        let known = summary.endpoints.iter().any(|endpoint| endpoint.name == interval.endpoint);
        assert!(known, "histograms of `{}`, which is no endpoint", interval.endpoint);
        assert!(interval.start_s < interval.end_s, "an interval of no length: {interval:?}");
    }
}

#[track_caller]
fn assert_reports(dir: &Path, summary: &Summary) {
    let page = read(dir, "report.html");
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"),
        "report.html is cut off"
    );
    assert!(page.contains(&summary.scenario), "report.html does not name the scenario");
    for outside in ["src=\"http", "href=\"http", "url(http"] {
        assert!(!page.contains(outside), "report.html needs the network: {outside}");
    }
    let junit = quick_junit::Report::deserialize_from_str(&read(dir, "junit.xml")).unwrap();
    assert_eq!(junit.test_suites.len(), 1);
    assert!(read(dir, "summary.md").contains(&summary.scenario), "summary.md does not name the scenario");
    assert!(!read(dir, "events.ndjson").is_empty(), "a run without an event");
}

fn read(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn schema() -> Validator {
    let text = include_str!("../../docs/schemas/summary.schema.json");
    jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap()
}
