//! A finished record becomes bytes: one trait, one file per format, no I/O and no clock inside. Whoever calls writes the bytes
//! where they belong, so every format can be rendered again later, on another machine, from the run folder alone.

pub mod charts;
pub mod csv;
pub mod html;
pub mod json;
pub mod junit;
pub mod numbers;
pub mod plain;
pub mod summary_md;
pub mod text;
pub mod watch;
pub mod what_if;
pub mod wording;

use crate::record::rows::{Event, Manifest, SaturationRow, TimelineRow};
use crate::record::summary::Summary;

/// All that a report is made from: the parts of a run folder, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    pub manifest: &'a Manifest,
    pub summary: &'a Summary,
    pub timeline: &'a [TimelineRow],
    pub saturation: &'a [SaturationRow],
    pub events: &'a [Event],
}

/// One form in which a run can be shown.
pub trait Format {
    /// The whole document.
    ///
    /// # Errors
    /// Only when a library refuses to write the document; any record, however empty, can be rendered.
    fn render(&self, report: &Report<'_>) -> Result<Vec<u8>, ReportError>;
}

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("chart '{chart}' could not be drawn: {reason}")]
    Chart { chart: &'static str, reason: String },
    #[error("the result could not be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the result could not be written as JUnit XML: {0}")]
    JUnit(#[from] quick_junit::SerializeError),
    #[error("the result could not be written as CSV: {0}")]
    Csv(#[from] ::csv::Error),
    #[error("unknown report format '{0}': choose among html, json, csv, junit, md, text")]
    UnknownFormat(String),
}

/// The formats by the names that `plimsoll report --format` takes, with the file each is kept in.
pub const FORMATS: [(&str, &str); 6] = [
    ("html", "report.html"),
    ("json", "summary.json"),
    ("csv", "levels.csv"),
    ("junit", "junit.xml"),
    ("md", "summary.md"),
    ("text", "summary.txt"),
];

/// The format of a name in [`FORMATS`]; text comes without color and without the path of the report.
///
/// # Errors
/// [`ReportError::UnknownFormat`], which lists the names there are.
pub fn by_name(name: &str) -> Result<Box<dyn Format>, ReportError> {
    Ok(match name {
        "html" => Box::new(html::Html),
        "json" => Box::new(json::Json),
        "csv" => Box::new(csv::Csv),
        "junit" => Box::new(junit::JUnit),
        "md" => Box::new(summary_md::Markdown),
        "text" => Box::new(text::Text::default()),
        other => return Err(ReportError::UnknownFormat(other.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::{FORMATS, by_name};

    #[test]
    fn every_listed_format_exists_and_no_other() {
        assert!(FORMATS.iter().all(|(name, _)| by_name(name).is_ok()));
        let refusal = by_name("pdf").err().expect("no such format").to_string();
        assert!(FORMATS.iter().all(|(name, _)| refusal.contains(name)), "{refusal}");
    }
}
