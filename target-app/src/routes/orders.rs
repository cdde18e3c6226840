//! Orders: placing one and looking at it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Problem;
use super::input::{Body, Id};
use crate::app::App;
use crate::clock;
use crate::limiter::Peer;
use crate::store::{Document, NewOrder};

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

/// Places an order.
#[utoipa::path(post, path = "/api/orders", request_body = Order, responses(
    (status = 201, description = "the order"), (status = 422, body = Problem), (status = 503, body = Problem),
))]
pub(crate) async fn place(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    Body(Order { product_id, quantity }): Body<Order>,
) -> Result<(StatusCode, Document), Problem> {
    let placed = submit(&app, product_id, quantity, peer.map(|peer| peer.0)).await?;
    Ok((StatusCode::CREATED, placed))
}

/// Takes an order, from wherever it comes.
pub(crate) async fn submit(
    app: &App,
    product_id: u32,
    quantity: u32,
    peer: Option<Peer>,
) -> Result<Document, Problem> {
    if !(1..=QUANTITY_MAX).contains(&quantity) {
        return Err(Problem::invalid("invalid_quantity", format!("quantity is from 1 to {QUANTITY_MAX}")));
    }
    let order = NewOrder { product_id, quantity, created_at_ms: clock::unix_ms() };
    let placed = app.queue.submit(order).await?;
    app.guard.audit().record("order", peer, || json!({"product_id": product_id, "quantity": quantity}));
    Ok(placed)
}

/// One order.
#[utoipa::path(get, path = "/api/orders/{id}", params(("id" = u32, Path)), responses(
    (status = 200, description = "the order"), (status = 400, body = Problem), (status = 404, body = Problem),
    (status = 503, body = Problem),
))]
pub(crate) async fn one(State(app): State<Arc<App>>, Id(id): Id) -> Result<Document, Problem> {
    app.store.order(id).await?.ok_or_else(|| Problem::not_found("order", id))
}
