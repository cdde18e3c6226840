//! The types of the schema, made from the documents of the store.

use async_graphql::dataloader::DataLoader;
use async_graphql::{ComplexObject, Context, Result, SimpleObject};
use serde::Deserialize;

use super::failed;
use super::loader::{Documents, ProductId};

/// Something to buy.
#[derive(Clone, Debug, Deserialize, SimpleObject)]
pub(super) struct Product {
    id: u32,
    name: String,
    category: String,
    description: String,
    price: f64,
    stock: u32,
}

/// An order of one product.
#[derive(Clone, Debug, Deserialize, SimpleObject)]
#[graphql(complex)]
pub(super) struct Order {
    id: u32,
    product_id: u32,
    quantity: u32,
    total: f64,
    status: String,
    /// Milliseconds since 1970; a Float, since an Int has 32 bits.
    created_at_ms: f64,
}

#[ComplexObject]
impl Order {
    /// What was ordered; read together with that of all other orders of the request.
    async fn product(&self, ctx: &Context<'_>) -> Result<Option<Product>> {
        let documents = ctx.data::<DataLoader<Documents>>()?;
        documents.load_one(ProductId(self.product_id)).await.map_err(failed)
    }
}

/// Someone who asked to be called back.
#[derive(Clone, Debug, Deserialize, SimpleObject)]
pub(super) struct Lead {
    id: u32,
    email: String,
    name: String,
    message: String,
    status: String,
    /// Milliseconds since 1970.
    created_at_ms: f64,
}
