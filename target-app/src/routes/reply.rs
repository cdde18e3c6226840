//! What goes back: documents as they are in the store, and problems as `{error, detail}` with the right status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::pool::PoolError;
use crate::store::{Document, StoreError};

/// A request that could not be served.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// A fixed word to act on, for example `email_taken`.
    error: &'static str,
    /// What happened, for a person.
    detail: String,
    #[serde(skip)]
    status: StatusCode,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, error: &'static str, detail: impl Into<String>) -> Self {
        Self { error, detail: detail.into(), status }
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
        (self.status, Json(self)).into_response()
    }
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
            StoreError::Backend(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
        };
        Self::new(status, word, error.to_string())
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
