//! Orders: placing one and looking at it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::input::{Body, Id};
use super::{Problem, to_the_end};
use crate::app::App;
use crate::clock;
use crate::limiter::Peer;
use crate::store::{Document, JobState, NewOrder};

/// Pieces of one order.
const QUANTITY_MAX: u32 = 1_000;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Order {
    product_id: u32,
    #[serde(default = "one_piece")]
    #[schema(minimum = 1, maximum = 1000)]
    quantity: u32,
}

fn one_piece() -> u32 {
    1
}

/// An order that was taken and will be placed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Taken {
    job_id: u32,
    status: JobState,
}

/// Places an order, or has it placed by a job.
#[utoipa::path(post, path = "/api/orders", request_body = Order, responses(
    (status = 201, description = "the order"),
    (status = 202, body = Taken, description = "the job that places it; only in profiles with a job queue",
        headers(("Location" = String, description = "where to ask after the job"))),
    (status = 422, body = Problem), (status = 503, body = Problem),
))]
pub(crate) async fn place(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    Body(Order { product_id, quantity }): Body<Order>,
) -> Result<Response, Problem> {
    let (order, peer) = (checked(product_id, quantity)?, peer.map(|peer| peer.0));
    let Some(queue) = &app.queue else {
        return Ok((StatusCode::CREATED, placed(&app, order, peer).await?).into_response());
    };
    let job_id = queue.add(&order)?;
    audited(&app, product_id, quantity, peer);
    let location = [(header::LOCATION, format!("/api/jobs/{job_id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Taken { job_id, status: JobState::Waiting })).into_response())
}

/// Places an order while its caller waits, for those who have no other way to be told of it.
pub(crate) async fn place_now(
    app: &Arc<App>,
    product_id: u32,
    quantity: u32,
    peer: Option<Peer>,
) -> Result<Document, Problem> {
    if app.queue.is_some() {
        let detail = "this shop has its orders placed by jobs: POST /api/orders takes one";
        return Err(Problem::new(StatusCode::CONFLICT, "orders_are_queued", detail));
    }
    placed(app, checked(product_id, quantity)?, peer).await
}

async fn placed(app: &Arc<App>, order: NewOrder, peer: Option<Peer>) -> Result<Document, Problem> {
    let app = Arc::clone(app);
    to_the_end(async move {
        let (product_id, quantity) = (order.product_id, order.quantity);
        let placed = app.store.add_order(order).await?;
        audited(&app, product_id, quantity, peer);
        Ok(placed)
    })
    .await
}

fn checked(product_id: u32, quantity: u32) -> Result<NewOrder, Problem> {
    if !(1..=QUANTITY_MAX).contains(&quantity) {
        return Err(Problem::invalid("invalid_quantity", format!("quantity is from 1 to {QUANTITY_MAX}")));
    }
    Ok(NewOrder { product_id, quantity, created_at_ms: clock::unix_ms(), job_id: None })
}

fn audited(app: &App, product_id: u32, quantity: u32, peer: Option<Peer>) {
    app.guard.audit().record("order", peer, || json!({"product_id": product_id, "quantity": quantity}));
}

/// One order.
#[utoipa::path(get, path = "/api/orders/{id}", params(("id" = u32, Path)), responses(
    (status = 200, description = "the order"), (status = 400, body = Problem), (status = 404, body = Problem),
    (status = 503, body = Problem),
))]
pub(crate) async fn one(State(app): State<Arc<App>>, Id(id): Id) -> Result<Document, Problem> {
    app.store.order(id).await?.ok_or_else(|| Problem::not_found("order", id))
}
