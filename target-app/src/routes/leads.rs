//! Leads: people who asked to be called back. The write path of the shop.

#![allow(unused_qualifications, reason = "the code that utoipa writes for query parameters is so qualified")]

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use super::input::{Body, Parameters};
use super::reply::items;
use super::users::{NAME_MAX_CHARS, check_length, checked_email};
use crate::app::App;
use crate::clock;
use crate::store::{Document, NewLead};

/// Longest message of a lead.
const MESSAGE_MAX_CHARS: usize = 2_000;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Lead {
    #[schema(max_length = 254, pattern = r"^[!-?A-~]+@[!-?A-~]*\.[!-?A-~]*$")]
    email: String,
    #[serde(default)]
    #[schema(max_length = 200)]
    name: String,
    #[serde(default)]
    #[schema(max_length = 2000)]
    message: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LeadsQuery {
    /// `new` unless told otherwise.
    status: Option<String>,
}

/// Leaves a lead.
#[utoipa::path(post, path = "/api/leads", request_body = Lead, responses(
    (status = 201, description = "the lead"), (status = 422, body = Problem), (status = 503, body = Problem),
))]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    Body(lead): Body<Lead>,
) -> Result<(StatusCode, Document), Problem> {
    let email = checked_email(lead.email)?;
    check_length("name", &lead.name, NAME_MAX_CHARS)?;
    check_length("message", &lead.message, MESSAGE_MAX_CHARS)?;
    let lead = NewLead { email, name: lead.name, message: lead.message, created_at_ms: clock::unix_ms() };
    Ok((StatusCode::CREATED, app.store.add_lead(lead).await?))
}

/// Leads of a status, newest first.
#[utoipa::path(get, path = "/api/leads", params(LeadsQuery), responses(
    (status = 200, description = "`{items: [lead]}`"), (status = 400, body = Problem), (status = 503, body = Problem),
))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<LeadsQuery>,
) -> Result<Document, Problem> {
    let status = query.status.unwrap_or_else(|| "new".to_owned());
    Ok(items(&app.store.leads(status).await?))
}
