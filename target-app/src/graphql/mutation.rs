//! What can be changed.

use std::sync::Arc;

use async_graphql::{Context, Object, Result};

use super::types::Order;
use super::{OPERATION_COMPLEXITY, failed};
use crate::app::App;
use crate::limiter::Peer;
use crate::routes::orders;

pub(super) struct Mutation;

#[Object]
impl Mutation {
    /// Places an order of 1 to 1,000 pieces; not in a shop whose orders are placed by jobs.
    #[graphql(complexity = "OPERATION_COMPLEXITY + child_complexity")]
    async fn place_order(
        &self,
        ctx: &Context<'_>,
        product_id: u32,
        #[graphql(default = 1)] quantity: u32,
    ) -> Result<Order> {
        let (app, peer) = (ctx.data::<Arc<App>>()?, ctx.data::<Option<Peer>>()?);
        let placed = orders::place_now(app, product_id, quantity, *peer).await.map_err(failed)?;
        placed.parsed().map_err(|error| failed(error.into()))
    }
}
