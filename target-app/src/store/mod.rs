//! The documents of the shop, behind one trait: what the routes may ask, whatever database answers.

mod backend;
mod backup;
mod documents;
mod embedded;
mod figures;
mod files;
#[cfg(feature = "mongodb")]
mod mongo;
mod schema;
mod seed;
mod service_time;

pub use backend::{Backend, BackendError, MONGODB_URI, Uri};
pub use backup::{Contents, back_up};
pub(crate) use documents::{Credentials, Document, NewLead, NewOrder, NewUser, ProductFilter};
pub(crate) use embedded::Embedded;
pub(crate) use figures::Figures;
pub(crate) use files::Home;
pub use files::{Files, FilesError};

use std::future::Future;
use std::pin::Pin;

use crate::pool::{PoolError, Snapshot};

/// Documents on one page of a list.
pub(crate) const PAGE_SIZE: u32 = 20;

/// What a store answers with. It owns all it needs: a caller who goes away does not stop an operation that has begun,
/// just as it does not in a Node service.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Why a store did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error("{what} {value:?} is taken")]
    Duplicate { what: &'static str, value: String },
    #[error("there is no {what} {id}")]
    Missing { what: &'static str, id: u32 },
    #[cfg(feature = "mongodb")]
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("the store failed: {0}")]
    Backend(String),
}

/// Each method is one operation. In the embedded store that is one checkout of a pooled connection, held for that operation's
/// service time; in a MongoDB one for each of its commands.
pub(crate) trait Store: Send + Sync {
    fn products(&self, filter: ProductFilter) -> Answer<Vec<Document>>;
    fn product(&self, id: u32) -> Answer<Option<Document>>;
    /// Those there are of these, in no order.
    fn products_by_ids(&self, ids: Vec<u32>) -> Answer<Vec<Document>>;
    /// Products whose name or description has all these words, best match first.
    fn search(&self, words: Vec<String>) -> Answer<Vec<Document>>;
    /// Fails with `Duplicate` when the email is taken.
    fn add_user(&self, user: NewUser) -> Answer<Document>;
    fn credentials(&self, email: String) -> Answer<Option<Credentials>>;
    fn user(&self, id: u32) -> Answer<Option<Document>>;
    fn add_lead(&self, lead: NewLead) -> Answer<Document>;
    /// Leads of that status, newest first.
    fn leads(&self, status: String) -> Answer<Vec<Document>>;
    /// Fails with `Missing` when there is no such product.
    fn add_order(&self, order: NewOrder) -> Answer<Document>;
    fn order(&self, id: u32) -> Answer<Option<Document>>;
    /// Those there are of these, in no order.
    fn orders_by_ids(&self, ids: Vec<u32>) -> Answer<Vec<Document>>;

    /// The state of the pool at this instant.
    fn pool(&self) -> Snapshot;
    /// Upkeep, called now and then: closes idle connections.
    fn keep(&self);
}
