//! Prometheus text: one scrape as a set of series, and selectors `name{label="value"}` over it.

use crate::limits::{SCRAPE_BYTES_MAX, SCRAPE_TIMEOUT};
use prometheus_parse::{Scrape as Parsed, Value};
use std::collections::BTreeMap;

/// One scrape: every series with its value. Histograms and summaries appear as their `_sum`, `_count` and `_bucket` series.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    series: Vec<Series>,
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// `name{label="value",…}`; labels that are not named may have any value, and what matches is summed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSelector {
    name: String,
    labels: Vec<(String, String)>,
}

#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    #[error("{url}: {text}")]
    Unreachable { url: String, text: String },
    #[error("{url} answered {status}, not 200")]
    Status { url: String, status: u16 },
    #[error("{url} sent more than {SCRAPE_BYTES_MAX} bytes")]
    TooLarge { url: String },
    #[error("{url} did not answer with Prometheus text: {text}")]
    NotMetrics { url: String, text: String },
}

impl Scrape {
    /// # Errors
    /// The parser's own words for the first line it does not take.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(|line| Ok::<_, std::io::Error>(line.to_owned()));
        let parsed = Parsed::parse(lines).map_err(|error| error.to_string())?;
        let mut series = Vec::with_capacity(parsed.samples.len());
        for sample in parsed.samples {
            let labels: BTreeMap<String, String> =
                sample.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            match sample.value {
                Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => {
                    series.push(Series { name: sample.metric, labels, value });
                }
                // Buckets are not asked for by any reading; sums and counts come as series of their own.
                Value::Histogram(_) | Value::Summary(_) => {}
            }
        }
        Ok(Self { series })
    }

    /// The sum of all matching series; `None` when there is none.
    pub fn get(&self, selector: &MetricSelector) -> Option<f64> {
        let matching = self.series.iter().filter(|series| selector.matches(series));
        matching.fold(None, |sum, series| Some(sum.unwrap_or(0.0) + series.value))
    }

    pub fn has(&self, name: &str) -> bool {
        self.series.iter().any(|series| series.name == name)
    }

    /// The distinct values of `label` among the series called `name`.
    pub fn label_values(&self, name: &str, label: &str) -> Vec<String> {
        let mut values: Vec<String> = self
            .series
            .iter()
            .filter(|series| series.name == name)
            .filter_map(|series| series.labels.get(label).cloned())
            .collect();
        values.sort_unstable();
        values.dedup();
        values
    }
}

impl MetricSelector {
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter().map(|&(label, value)| (label.to_owned(), value.to_owned())).collect();
        Self { name: name.to_owned(), labels }
    }

    /// # Errors
    /// A sentence saying what the form is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not of the form name{{label=\"value\"}}");
        let (name, rest) = match text.split_once('{') {
            None => (text, ""),
            Some((name, rest)) => (name, rest.strip_suffix('}').ok_or_else(form)?),
        };
        let name = name.trim();
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if name.is_empty() || !name.chars().all(legal) {
            return Err(form());
        }
        let mut labels = Vec::new();
        for pair in rest.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (label, value) = pair.split_once('=').ok_or_else(form)?;
            let value =
                value.trim().strip_prefix('"').and_then(|value| value.strip_suffix('"')).ok_or_else(form)?;
            labels.push((label.trim().to_owned(), value.to_owned()));
        }
        Ok(Self { name: name.to_owned(), labels })
    }

    fn matches(&self, series: &Series) -> bool {
        series.name == self.name
            && self.labels.iter().all(|(label, value)| series.labels.get(label) == Some(value))
    }
}

/// Fetches and parses one scrape.
///
/// # Errors
/// [`ScrapeError`] naming the URL and what was wrong.
pub async fn fetch(client: &reqwest::Client, url: &str) -> Result<Scrape, ScrapeError> {
    let unreachable =
        |error: reqwest::Error| ScrapeError::Unreachable { url: url.to_owned(), text: root_cause(&error) };
    let mut response = client.get(url).timeout(SCRAPE_TIMEOUT).send().await.map_err(unreachable)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(ScrapeError::Status { url: url.to_owned(), status: response.status().as_u16() });
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > SCRAPE_BYTES_MAX {
            return Err(ScrapeError::TooLarge { url: url.to_owned() });
        }
    }
    let broken = |text: String| ScrapeError::NotMetrics { url: url.to_owned(), text };
    let text = String::from_utf8(bytes).map_err(|_| broken("it is not UTF-8".into()))?;
    let scrape = Scrape::parse(&text).map_err(broken)?;
    if scrape.series.is_empty() {
        return Err(broken("there is no metric in it".into()));
    }
    Ok(scrape)
}

/// reqwest says "error sending request"; what a person needs is the innermost cause.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP pool connections\n# TYPE pool gauge\npool{pool_name=\"mongodb\",state=\"used\"} 7\n\
        pool{pool_name=\"mongodb\",state=\"idle\"} 3\npool{pool_name=\"redis\",state=\"used\"} 1\n\
        # TYPE wait histogram\nwait_bucket{le=\"0.1\"} 4\nwait_bucket{le=\"+Inf\"} 5\nwait_sum 0.5\nwait_count 5\n\
        # TYPE total counter\ntotal 42\n";

    fn get(selector: &str) -> Option<f64> {
        Scrape::parse(TEXT).expect("parses").get(&MetricSelector::parse(selector).expect("a selector"))
    }

    #[test]
    fn a_selector_sums_what_it_does_not_name() {
        assert_eq!(get("pool{pool_name=\"mongodb\", state=\"used\"}"), Some(7.0));
        assert_eq!(get("pool{pool_name=\"mongodb\"}"), Some(10.0));
        assert_eq!(get("pool"), Some(11.0));
        assert_eq!(get("total"), Some(42.0));
        assert_eq!(get("nothing"), None);
        assert_eq!(get("pool{state=\"pending\"}"), None);
    }

    #[test]
    fn sums_and_counts_of_a_histogram_are_series() {
        assert_eq!(get("wait_sum"), Some(0.5));
        assert_eq!(get("wait_count"), Some(5.0));
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in ["", "a{", "a{b}", "a{b=c}", "{b=\"c\"}", "a b"] {
            assert!(MetricSelector::parse(text).is_err(), "{text}");
        }
    }
}
