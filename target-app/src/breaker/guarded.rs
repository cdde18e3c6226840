//! The store behind its breaker: every operation is asked of it only where the breaker lets it pass.

use std::sync::Arc;

use super::{Breaker, Figures};
use crate::clock;
use crate::profile;
use crate::store::{
    Answer, Credentials, Document, NewLead, NewOrder, NewUser, Pooled, ProductFilter, Store, StoreError,
};

/// A store and its breaker.
pub(crate) struct Guarded {
    store: Arc<dyn Store>,
    breaker: Arc<Breaker>,
}

impl Guarded {
    pub(crate) fn new(store: Arc<dyn Store>, dials: &profile::Breaker, figures: Figures) -> Self {
        Self { store, breaker: Arc::new(Breaker::new(dials, figures)) }
    }

    /// Like the operations themselves this goes on when the caller goes away, or a trial that nobody waits for would leave the breaker half open.
    fn guard<T: Send + 'static>(&self, ask: impl FnOnce(&dyn Store) -> Answer<T>) -> Answer<T> {
        let pass = match self.breaker.admit(clock::now()) {
            Ok(pass) => pass,
            Err(e) => return Box::pin(std::future::ready(Err(e))),
        };
        let (breaker, answer) = (Arc::clone(&self.breaker), ask(self.store.as_ref()));
        let task = tokio::spawn(async move { breaker.watch(pass, answer).await });
        Box::pin(async move { task.await.unwrap_or_else(|e| Err(StoreError::Backend(e.to_string()))) })
    }
}

impl Store for Guarded {
    fn products(&self, filter: ProductFilter) -> Answer<Vec<Document>> {
        self.guard(|store| store.products(filter))
    }

    fn product(&self, id: u32) -> Answer<Option<Document>> {
        self.guard(|store| store.product(id))
    }

    fn products_by_ids(&self, ids: Vec<u32>) -> Answer<Vec<Document>> {
        self.guard(|store| store.products_by_ids(ids))
    }

    fn search(&self, words: Vec<String>) -> Answer<Vec<Document>> {
        self.guard(|store| store.search(words))
    }

    fn add_user(&self, user: NewUser) -> Answer<Document> {
        self.guard(|store| store.add_user(user))
    }

    fn credentials(&self, email: String) -> Answer<Option<Credentials>> {
        self.guard(|store| store.credentials(email))
    }

    fn user(&self, id: u32) -> Answer<Option<Document>> {
        self.guard(|store| store.user(id))
    }

    fn add_lead(&self, lead: NewLead) -> Answer<Document> {
        self.guard(|store| store.add_lead(lead))
    }

    fn leads(&self, status: String) -> Answer<Vec<Document>> {
        self.guard(|store| store.leads(status))
    }

    fn add_order(&self, order: NewOrder) -> Answer<Document> {
        self.guard(|store| store.add_order(order))
    }

    fn order(&self, id: u32) -> Answer<Option<Document>> {
        self.guard(|store| store.order(id))
    }

    fn orders_by_ids(&self, ids: Vec<u32>) -> Answer<Vec<Document>> {
        self.guard(|store| store.orders_by_ids(ids))
    }

    fn pools(&self) -> Vec<Pooled> {
        self.breaker.read(clock::now());
        self.store.pools()
    }

    fn keep(&self) {
        self.store.keep();
    }
}
