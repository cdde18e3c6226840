//! What the app says about itself. None of this takes a pooled connection or waits for the CPU, so it answers when
//! everything else is exhausted.

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Problem;
use crate::app::App;

/// Metrics in Prometheus text.
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "Prometheus text, version 0.0.4")))]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    match app.metrics.render(&app.readings()) {
        Ok(text) => {
            Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
        }
        Err(e) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "metrics_failed", e.to_string())),
    }
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "it does")))]
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Whether new requests should come here: not once the app is stopping.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, description = "they should"), (status = 503, body = Problem),
))]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    if *app.stopping.borrow() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the app is stopping"));
    }
    Ok("ready\n")
}

pub(crate) async fn no_such_route(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_route", format!("there is no {}", uri.path()))
}

pub(crate) async fn no_such_method(method: Method, OriginalUri(uri): OriginalUri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no_such_method", detail)
}
