//! What the app says about itself. None of this takes a pooled connection or waits for the CPU, so it answers when
//! everything else is exhausted.

#![allow(unused_qualifications, reason = "the code that utoipa writes for query parameters is so qualified")]

use std::io;
use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Problem;
use super::input::Parameters;
use crate::app::App;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MetricsQuery {
    /// One replica of a fleet, counted from zero.
    replica: Option<u32>,
}

/// Metrics in Prometheus text: of the whole fleet, whichever replica is asked, or of one replica.
#[utoipa::path(get, path = "/metrics", params(MetricsQuery), responses(
    (status = 200, description = "Prometheus text, version 0.0.4"), (status = 400, body = Problem),
    (status = 404, body = Problem), (status = 503, body = Problem),
))]
pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<MetricsQuery>,
) -> Result<Response, Problem> {
    let replicas = app.membership.as_ref().map_or(1, |fleet| fleet.place().of);
    if let Some(number) = query.replica.filter(|number| *number >= replicas) {
        let detail = format!("there is no replica {number}; there are {replicas}, counted from 0");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_such_replica", detail));
    }
    let unavailable =
        |e: io::Error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "metrics_unavailable", e.to_string());
    let text = match (&app.membership, query.replica) {
        (Some(fleet), None) => fleet.figures_of_all().await.map_err(unavailable)?,
        (Some(fleet), Some(number)) => fleet.figures_of(number).await.map_err(unavailable)?,
        (None, _) => {
            app.figures().map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "metrics_failed", e))?
        }
    };
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
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
