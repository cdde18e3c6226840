//! The loaders: what the fields of one request ask for by id in the same moment is read by one store operation.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader::Loader;

use super::types::{Order, Product};
use crate::app::App;
use crate::routes::Problem;
use crate::store::{Document, Store};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ProductId(pub(super) u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct OrderId(pub(super) u32);

/// Reads documents by their ids.
pub(super) struct Documents {
    store: Arc<dyn Store>,
}

impl Documents {
    pub(super) fn of(app: &App) -> Self {
        Self { store: Arc::clone(&app.store) }
    }
}

impl Loader<ProductId> for Documents {
    type Value = Product;
    type Error = Problem;

    async fn load(&self, keys: &[ProductId]) -> Result<HashMap<ProductId, Product>, Problem> {
        let documents = self.store.products_by_ids(keys.iter().map(|id| id.0).collect()).await?;
        parsed(&documents, |product: &Product| ProductId(product.id))
    }
}

impl Loader<OrderId> for Documents {
    type Value = Order;
    type Error = Problem;

    async fn load(&self, keys: &[OrderId]) -> Result<HashMap<OrderId, Order>, Problem> {
        let documents = self.store.orders_by_ids(keys.iter().map(|id| id.0).collect()).await?;
        parsed(&documents, |order: &Order| OrderId(order.id))
    }
}

fn parsed<K: Eq + std::hash::Hash, T: serde::de::DeserializeOwned>(
    documents: &[Document],
    key: impl Fn(&T) -> K,
) -> Result<HashMap<K, T>, Problem> {
    let values = documents.iter().map(Document::parsed::<T>);
    Ok(values.map(|value| value.map(|value| (key(&value), value))).collect::<Result<_, _>>()?)
}
