//! A Prometheus server that has scraped the system under load: instant queries over its HTTP API
//! (`/api/v1/query`), and how far its clock is from ours.

use super::prometheus::root_cause;
use crate::clock;
use crate::limits::{SCRAPE_BYTES_MAX, SCRAPE_TIMEOUT};
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
    value: Option<(f64, String)>,
}

impl Server {
    pub fn at(client: reqwest::Client, url: &str) -> Self {
        Self { client, base: url.trim_end_matches('/').to_owned() }
    }

    pub fn url(&self) -> &str {
        &self.base
    }

    /// The one value of a query at `at_unix_s` on the server's clock, or at its now; `None` when there are no data, or no number comes out.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn value(&self, query: &str, at_unix_s: Option<f64>) -> Result<Option<f64>, AskError> {
        let Data { kind, result } = self.ask(query, at_unix_s).await?;
        let strange = |error: serde_json::Error| AskError::NotPrometheus {
            url: self.base.clone(),
            text: error.to_string(),
        };
        let text = match kind.as_str() {
            "scalar" => Some(serde_json::from_value::<(f64, String)>(result).map_err(strange)?.1),
            "vector" => {
                let elements: Vec<Element> = serde_json::from_value(result).map_err(strange)?;
                if elements.len() > 1 {
                    return Err(AskError::Several { query: query.to_owned(), count: elements.len() });
                }
                elements.into_iter().find_map(|element| element.value).map(|(_, text)| text)
            }
            kind => {
                let text = format!("it yields a {kind}, and a number is needed");
                return Err(AskError::Refused { query: query.to_owned(), text });
            }
        };
        Ok(text.and_then(|text| text.parse().ok()).filter(|value: &f64| value.is_finite()))
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
