//! What can be asked.

use std::sync::Arc;

use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, Object, Result};
use axum::http::StatusCode;

use super::loader::{Documents, OrderId, ProductId};
use super::types::{Lead, Order, Product};
use super::{OPERATION_COMPLEXITY, failed};
use crate::app::App;
use crate::routes::Problem;
use crate::store::{Document, PAGE_SIZE, ProductFilter, StoreError};

/// Ids of one field.
const IDS_MAX: usize = 100;

pub(super) struct Query;

#[Object]
impl Query {
    async fn product(&self, ctx: &Context<'_>, id: u32) -> Result<Option<Product>> {
        ctx.data::<DataLoader<Documents>>()?.load_one(ProductId(id)).await.map_err(failed)
    }

    /// A page of products, cheapest first within a category. Pages are counted from one.
    #[graphql(complexity = "OPERATION_COMPLEXITY + PAGE_SIZE as usize * child_complexity")]
    async fn products(
        &self,
        ctx: &Context<'_>,
        category: Option<String>,
        max_price: Option<f64>,
        #[graphql(default = 1)] page: u32,
    ) -> Result<Vec<Product>> {
        if page == 0 {
            let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid_query", "page is counted from 1");
            return Err(failed(problem));
        }
        let filter = ProductFilter { category, max_price, page };
        read(ctx.data::<Arc<App>>()?.store.products(filter).await)
    }

    async fn order(&self, ctx: &Context<'_>, id: u32) -> Result<Option<Order>> {
        ctx.data::<DataLoader<Documents>>()?.load_one(OrderId(id)).await.map_err(failed)
    }

    /// Orders in the order of these ids, at most 100; null for one that there is not.
    #[graphql(complexity = "ids.len() * child_complexity + 1")]
    async fn orders(&self, ctx: &Context<'_>, ids: Vec<u32>) -> Result<Vec<Option<Order>>> {
        if ids.len() > IDS_MAX {
            let detail = format!("at most {IDS_MAX} ids can be asked for at once");
            return Err(failed(Problem::new(StatusCode::BAD_REQUEST, "too_many_ids", detail)));
        }
        let documents = ctx.data::<DataLoader<Documents>>()?;
        let found = documents.load_many(ids.iter().map(|id| OrderId(*id))).await.map_err(failed)?;
        Ok(ids.iter().map(|id| found.get(&OrderId(*id)).cloned()).collect())
    }

    /// Leads of a status, newest first.
    #[graphql(complexity = "OPERATION_COMPLEXITY + PAGE_SIZE as usize * child_complexity")]
    async fn leads(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = "new")] status: String,
    ) -> Result<Vec<Lead>> {
        read(ctx.data::<Arc<App>>()?.store.leads(status).await)
    }
}

fn read<T: serde::de::DeserializeOwned>(documents: Result<Vec<Document>, StoreError>) -> Result<Vec<T>> {
    let documents = documents.map_err(|error| failed(error.into()))?;
    let values = documents.iter().map(Document::parsed).collect::<Result<_, StoreError>>();
    values.map_err(|error| failed(error.into()))
}
