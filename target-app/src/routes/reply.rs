//! What goes back: documents as they are in the store, and problems as problem details (RFC 9457) with the right status.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::pool::PoolError;
use crate::store::{Document, StoreError};

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// What all types of problem begin with. The host is one of those that never exist (RFC 2606): a type is a name and no place.
const TYPES: &str = "https://eco-bottle.example/problems/";

/// A request that could not be served: the members of RFC 9457, and a word to act on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `https://eco-bottle.example/problems/` and the word.
    #[schema(format = "uri")]
    r#type: String,
    /// The word, to be read by a person.
    title: String,
    /// The status of the response.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16, minimum = 400, maximum = 599)]
    status: StatusCode,
    /// What happened this time, for a person.
    detail: String,
    /// A fixed word to act on, for example `email_taken`.
    error: &'static str,
    /// When to ask again, for the header `Retry-After`.
    #[serde(skip)]
    retry_after: Option<Duration>,
    /// How to say who one is, for the header `WWW-Authenticate`.
    #[serde(skip)]
    challenge: Option<Challenge>,
}

/// How to say who one is, where it was not said or was not believed (RFC 6750, 3).
#[derive(Clone, Copy, Debug)]
pub(super) enum Challenge {
    TokenNeeded,
    TokenInvalid,
}

impl Challenge {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::TokenNeeded => "Bearer realm=\"shop\"",
            Self::TokenInvalid => "Bearer realm=\"shop\", error=\"invalid_token\"",
        })
    }
}

impl Problem {
    pub(crate) fn new(status: StatusCode, error: &'static str, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("{TYPES}{error}"),
            title: error.replace('_', " "),
            status,
            detail: detail.into(),
            error,
            retry_after: None,
            challenge: None,
        }
    }

    /// The same problem, gone after this time.
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The same problem, with how to say who one is.
    pub(super) fn challenge(self, challenge: Challenge) -> Self {
        Self { challenge: Some(challenge), ..self }
    }

    /// The word to act on.
    pub(crate) fn error(&self) -> &'static str {
        self.error
    }

    /// What happened, for a person.
    pub(crate) fn into_detail(self) -> String {
        self.detail
    }

    /// Whether it is the app's own.
    pub(crate) fn is_failure(&self) -> bool {
        self.status.is_server_error()
    }

    pub(super) fn not_found(what: &str, id: u32) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what} {id}"))
    }

    pub(super) fn invalid(error: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))];
        // Text and a number have no way to fail.
        let text = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (self.status, kind, text).into_response();
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // Who was too slow is not waited for (RFC 9110, 15.5.9).
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.header());
        }
        response
    }
}

fn as_number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

/// Rounded up, since whoever comes a moment too early has come for nothing.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (status, word) = match &error {
            StoreError::Pool(PoolError::WaitQueueTimeout { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, "pool_wait_queue_timeout")
            }
            StoreError::Pool(PoolError::WaitQueueFull { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, "pool_wait_queue_full")
            }
            StoreError::Pool(PoolError::Open(_)) => (StatusCode::SERVICE_UNAVAILABLE, "pool_open_failed"),
            StoreError::Duplicate { .. } => (StatusCode::CONFLICT, "email_taken"),
            StoreError::Missing { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "unknown_product"),
            #[cfg(feature = "mongodb")]
            StoreError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
            StoreError::Files(_) | StoreError::Backend(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "store_failed")
            }
            StoreError::NoServer { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_server_selection_timeout")
            }
            StoreError::CutOff { .. } => (StatusCode::SERVICE_UNAVAILABLE, "store_cut_off"),
            StoreError::WriteConcern { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_write_concern_timeout")
            }
            StoreError::TooLong { .. } => (StatusCode::SERVICE_UNAVAILABLE, "store_timeout"),
            StoreError::CircuitOpen { .. } => (StatusCode::SERVICE_UNAVAILABLE, "circuit_open"),
        };
        let problem = Self::new(status, word, error.to_string());
        match error {
            StoreError::CircuitOpen { retry_after } => problem.retry_after(retry_after),
            _ => problem,
        }
    }
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], self.0).into_response()
    }
}

/// `{"items": [...]}` of documents that are JSON already.
pub(super) fn items(documents: &[Document]) -> Document {
    let mut text = String::from("{\"items\":[");
    for (i, document) in documents.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        text.push_str(&document.0);
    }
    text.push_str("]}");
    Document(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::whole_seconds;

    #[test]
    fn a_part_of_a_second_is_a_second_to_wait() {
        for (wait, seconds) in [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (900_000, 900)] {
            assert_eq!(whole_seconds(Duration::from_millis(wait)), seconds, "{wait} ms");
        }
        assert_eq!(whole_seconds(Duration::from_nanos(1)), 1);
    }
}
