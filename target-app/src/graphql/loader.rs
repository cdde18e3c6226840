//! The loaders: what the fields of one request ask for by id in the same moment is read by one store operation, and of products only
//! what the caches do not have.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use async_graphql::dataloader::Loader;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::types::{Order, Product};
use crate::app::App;
use crate::routes::Problem;
use crate::routes::products::product_key;
use crate::store::Document;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ProductId(pub(super) u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct OrderId(pub(super) u32);

/// Reads documents by their ids.
pub(super) struct Documents(pub(super) Arc<App>);

impl Loader<ProductId> for Documents {
    type Value = Product;
    type Error = Problem;

    async fn load(&self, keys: &[ProductId]) -> Result<HashMap<ProductId, Product>, Problem> {
        let read = async |missing| {
            let documents = self.0.store.products_by_ids(missing).await?;
            identified(documents)
        };
        let ids = keys.iter().map(|id| id.0).collect();
        let documents = self.0.cache.get_all(ids, product_key, read).await?;
        parsed(documents, ProductId)
    }
}

impl Loader<OrderId> for Documents {
    type Value = Order;
    type Error = Problem;

    async fn load(&self, keys: &[OrderId]) -> Result<HashMap<OrderId, Order>, Problem> {
        let documents = self.0.store.orders_by_ids(keys.iter().map(|id| id.0).collect()).await?;
        parsed(identified(documents)?, OrderId)
    }
}

/// What all documents have.
#[derive(Deserialize)]
struct Identity {
    id: u32,
}

fn identified(documents: Vec<Document>) -> Result<Vec<(u32, Document)>, Problem> {
    let with_id = |document: Document| Ok((document.parsed::<Identity>()?.id, document));
    documents.into_iter().map(with_id).collect()
}

fn parsed<K: Eq + Hash, T: DeserializeOwned>(
    documents: Vec<(u32, Document)>,
    key: impl Fn(u32) -> K,
) -> Result<HashMap<K, T>, Problem> {
    documents.iter().map(|(id, document)| Ok((key(*id), document.parsed()?))).collect()
}
