//! How an order is taken: a seam. `baseline` has no job queue, so an order is written while its caller waits.

use std::sync::Arc;

use crate::store::{Answer, Document, NewOrder, Store};

/// Takes orders.
pub(crate) trait Queue: Send + Sync {
    /// The order as it now stands.
    fn submit(&self, order: NewOrder) -> Answer<Document>;
}

/// No queue: the order is in the store when the answer comes.
pub(crate) struct Inline {
    pub(crate) store: Arc<dyn Store>,
}

impl Queue for Inline {
    fn submit(&self, order: NewOrder) -> Answer<Document> {
        self.store.add_order(order)
    }
}
