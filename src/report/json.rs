//! `summary.json`: the summary as it is, indented, ending in a newline so that it can be read in a terminal and compared by line.

use super::{Format, Report, ReportError};

pub struct Json;

impl Format for Json {
    fn render(&self, report: &Report<'_>) -> Result<Vec<u8>, ReportError> {
        let mut out = serde_json::to_vec_pretty(report.summary)?;
        out.push(b'\n');
        Ok(out)
    }
}
