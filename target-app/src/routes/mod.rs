//! The handlers, one file a resource, and the forms of what they take and give.

pub(crate) mod events;
pub(crate) mod graphql;
pub(crate) mod health;
mod input;
pub(crate) mod jobs;
pub(crate) mod leads;
pub(crate) mod orders;
pub(crate) mod products;
mod reply;
pub(crate) mod statics;
pub(crate) mod users;

pub(crate) use reply::{PROBLEM_JSON, Problem};

use std::future::Future;

use axum::http::StatusCode;

/// Work that goes on to its end when its client goes away, as a handler of Node does: an operation of the store does so anyway, and what is to be
/// said of it in the audit log should be.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let ended = tokio::spawn(work).await;
    let broken = |e: tokio::task::JoinError| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "handler_failed", e.to_string())
    };
    ended.map_err(broken)?
}
