//! Levels, the ladder and endpoints as one flat table for a spreadsheet: raw numbers, a unit in every column name, a row per level, rung and
//! endpoint; a rung's `level` is where its resource gives way. The seconds between are in `timeline.csv` already.

use super::{Format, Report, ReportError};
use crate::record::summary::Latency;

pub struct Csv;

const COLUMNS: [&str; 26] = [
    "row",
    "name",
    "protocol",
    "level",
    "good",
    "failed_by",
    "throughput_per_s",
    "count",
    "failed",
    "response_p50_ms",
    "response_p90_ms",
    "response_p95_ms",
    "response_p99_ms",
    "response_p99_9_ms",
    "response_max_ms",
    "response_mean_ms",
    "service_p50_ms",
    "service_p90_ms",
    "service_p95_ms",
    "service_p99_ms",
    "service_p99_9_ms",
    "service_max_ms",
    "service_mean_ms",
    "level_low",
    "level_high",
    "evidence",
];

impl Format for Csv {
    fn render(&self, report: &Report<'_>) -> Result<Vec<u8>, ReportError> {
        let mut table = ::csv::Writer::from_writer(Vec::new());
        table.write_record(COLUMNS)?;
        let unit = report.manifest.level_unit.as_deref().unwrap_or("level");
        for level in &report.summary.levels {
            let mut row = vec![
                "level".to_owned(),
                unit.to_owned(),
                String::new(),
                number(level.level),
                level.good.to_string(),
                inert(level.failed_by.as_deref().unwrap_or_default()),
                number(level.throughput_per_s),
                String::new(),
                String::new(),
            ];
            latencies(&mut row, &level.response_ms, &level.service_ms);
            row.resize(COLUMNS.len(), String::new());
            table.write_record(&row)?;
        }
        for rung in &report.summary.ladder {
            let mut row = vec!["rung".to_owned(), inert(&rung.resource), String::new()];
            row.push(rung.at.map_or_else(String::new, number));
            row.resize(COLUMNS.len() - 3, String::new());
            let [low, high] = rung.interval.map_or_else(Default::default, |ends| ends.map(number));
            row.extend([low, high, inert(rung.evidence.as_deref().unwrap_or_default())]);
            table.write_record(&row)?;
        }
        for endpoint in &report.summary.endpoints {
            let mut row = vec![
                "endpoint".to_owned(),
                inert(&endpoint.name),
                endpoint.protocol.clone(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                endpoint.count.to_string(),
                endpoint.failed.to_string(),
            ];
            latencies(&mut row, &endpoint.response_ms, &endpoint.service_ms);
            row.resize(COLUMNS.len(), String::new());
            table.write_record(&row)?;
        }
        table.into_inner().map_err(|error| ReportError::Csv(error.into_error().into()))
    }
}

fn latencies(row: &mut Vec<String>, response: &Latency, service: &Latency) {
    for l in [response, service] {
        row.extend([l.p50, l.p90, l.p95, l.p99, l.p99_9, l.max, l.mean].map(number));
    }
}

/// A spreadsheet reads an empty cell as missing, and `NaN` as text.
fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

/// A cell that begins with one of these runs as a formula in spreadsheets; the apostrophe makes it text.
fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{inert, number};

    #[test]
    fn a_name_cannot_become_a_formula() {
        assert_eq!(inert("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(inert("product"), "product");
    }

    #[test]
    fn no_number_is_an_empty_cell() {
        assert_eq!(number(f64::NAN), "");
        assert_eq!(number(12.5), "12.5");
    }
}
