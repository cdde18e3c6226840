//! A Prometheus server that has scraped the system under load: instant queries over its HTTP API
//! (`/api/v1/query`), and how far its clock is from ours.

use super::prometheus::root_cause;
use crate::clock;
use crate::limits::{SCRAPE_BYTES_MAX, SCRAPE_TIMEOUT};
use crate::promql::Labels;
use serde::Deserialize;

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("{url}: {text}")]
    Unreachable { url: String, text: String },
    #[error("{url} does not answer as a Prometheus server does: {text}")]
    NotPrometheus { url: String, text: String },
    #[error("Prometheus refuses `{query}`: {text}")]
    Refused { query: String, text: String },
    #[error(
        "`{query}` yields {count} series, and one is needed: put sum(…), avg(…), max(…) or min(…) around it"
    )]
    Several { query: String, count: usize },
}

/// A server by the URL that its API is below.
#[derive(Clone, Debug)]
pub struct Server {
    client: reqwest::Client,
    base: String,
}

/// How far the server's clock is ahead of ours, seconds, and by how much that may be wrong: half of the way there and back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ahead {
    pub by_s: f64,
    pub give_or_take_s: f64,
}

/// Two answers about one clock that are further from each other than both may be wrong, and this, are about two.
const STEP_MIN_S: f64 = 0.5;

impl Ahead {
    /// Whether one of the clocks was set between the two.
    pub fn stepped_from(self, earlier: Self) -> bool {
        (self.by_s - earlier.by_s).abs() > self.give_or_take_s + earlier.give_or_take_s + STEP_MIN_S
    }
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    /// `scalar`, `vector`, `matrix` or `string`.
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Element {
    #[serde(default)]
    metric: Labels,
    value: Option<(f64, String)>,
}

impl Server {
    pub fn at(client: reqwest::Client, url: &str) -> Self {
        Self { client, base: url.trim_end_matches('/').to_owned() }
    }

    pub fn url(&self) -> &str {
        &self.base
    }

    /// The one value of a query at `at_unix_s` on the server's clock, or at its now; `None` when there are no data, or not a number comes out.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn value(&self, query: &str, at_unix_s: Option<f64>) -> Result<Option<f64>, AskError> {
        let mut series = self.series(query, at_unix_s).await?;
        if series.len() > 1 {
            return Err(AskError::Several { query: query.to_owned(), count: series.len() });
        }
        Ok(series.pop().map(|(_, value)| value))
    }

    /// Every series that a query yields, but those that are not a number; a number alone is one without labels.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn series(&self, query: &str, at_unix_s: Option<f64>) -> Result<Vec<(Labels, f64)>, AskError> {
        let Data { kind, result } = self.ask(query, at_unix_s).await?;
        let strange = |error: serde_json::Error| AskError::NotPrometheus {
            url: self.base.clone(),
            text: error.to_string(),
        };
        let elements: Vec<Element> = match kind.as_str() {
            "scalar" => {
                let value = serde_json::from_value(result).map_err(strange)?;
                vec![Element { metric: Labels::new(), value: Some(value) }]
            }
            "vector" => serde_json::from_value(result).map_err(strange)?,
            kind => {
                let text = format!("it yields a {kind}, and a number is needed");
                return Err(AskError::Refused { query: query.to_owned(), text });
            }
        };
        // `+Inf` is a number, as it is in a rule there.
        let number = |element: Element| {
            let value: f64 = element.value?.1.parse().ok()?;
            (!value.is_nan()).then_some((element.metric, value))
        };
        Ok(elements.into_iter().filter_map(number).collect())
    }

    /// The clock of the server against ours, from one question. Its answer was given somewhere on the way.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn ahead(&self) -> Result<(Ahead, f64), AskError> {
        let asked_s = clock::unix_ns() as f64 / 1e9;
        let server_s = self.value("time()", None).await?;
        let answered_s = clock::unix_ns() as f64 / 1e9;
        let Some(server_s) = server_s else {
            let text = "it does not know the time".to_owned();
            return Err(AskError::NotPrometheus { url: self.base.clone(), text });
        };
        let by_s = server_s - (asked_s + answered_s) / 2.0;
        Ok((Ahead { by_s, give_or_take_s: ((answered_s - asked_s) / 2.0).max(0.0) }, server_s))
    }

    async fn ask(&self, query: &str, at_unix_s: Option<f64>) -> Result<Data, AskError> {
        let unreachable = |error: reqwest::Error| AskError::Unreachable {
            url: self.base.clone(),
            text: root_cause(&error),
        };
        let strange = |text: String| AskError::NotPrometheus { url: self.base.clone(), text };
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/query", self.base))
            .map_err(|error| strange(format!("the URL is none: {error}")))?;
        url.query_pairs_mut().append_pair("query", query);
        if let Some(at_s) = at_unix_s {
            url.query_pairs_mut().append_pair("time", &format!("{at_s:.3}"));
        }
        let mut response = self.client.get(url).timeout(SCRAPE_TIMEOUT).send().await.map_err(unreachable)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > SCRAPE_BYTES_MAX {
                return Err(strange(format!("more than {SCRAPE_BYTES_MAX} bytes")));
            }
        }
        // An error of a query has a status of its own and is JSON all the same.
        let envelope: Envelope =
            serde_json::from_slice(&bytes).map_err(|error| strange(format!("status {status}, {error}")))?;
        match envelope {
            Envelope { status, data: Some(data), .. } if status == "success" => Ok(data),
            Envelope { error, .. } if !error.is_empty() => {
                Err(AskError::Refused { query: query.to_owned(), text: error })
            }
            Envelope { status, .. } => Err(strange(format!("`{status}` without data"))),
        }
    }
}
