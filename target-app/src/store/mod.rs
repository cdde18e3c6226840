//! The documents of the shop, behind one trait: what the routes may ask, whatever database answers.

mod backend;
mod backup;
mod documents;
mod embedded;
mod figures;
mod files;
mod jobs;
#[cfg(feature = "mongodb")]
mod mongo;
mod schema;
mod seed;
mod service_time;
mod sharding;
mod topology;

pub use backend::{Backend, BackendError, MONGODB_URI, Uri};
pub use backup::{Contents, back_up};
pub(crate) use documents::{Credentials, Document, NewLead, NewOrder, NewUser, ProductFilter};
pub(crate) use embedded::{Embedded, keep_outage};
pub(crate) use figures::{ELECTIONS, Figures, MEMBERS_STATE, ScansCpu};
pub(crate) use files::Home;
pub use files::{Files, FilesError};
pub(crate) use jobs::{Claim, Fate, Job, JobState, JobStatus, Jobs};
pub(crate) use topology::Topology;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::pool::{PoolError, Snapshot};
use crate::profile;

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
    #[error("no {what} could be had within {} ms", .timeout.as_millis())]
    NoServer { what: &'static str, timeout: Duration },
    #[error("{server} went away before it answered: what was asked of it may have been done or not")]
    CutOff { server: String },
    #[error("it is written, but no majority has confirmed it within {} ms", .within.as_millis())]
    WriteConcern { within: Duration },
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("the store failed: {0}")]
    Backend(String),
    #[error("the store took longer than {} ms", .timeout.as_millis())]
    TooLong { timeout: Duration },
    #[error("too much of what the store was asked failed: it is left alone for a while")]
    CircuitOpen { retry_after: Duration },
}

impl StoreError {
    /// Whether the store is to blame, and not what was asked of it.
    pub(crate) fn is_failure(&self) -> bool {
        !matches!(self, Self::Duplicate { .. } | Self::Missing { .. })
    }
}

/// A pool of connections to one server, by its name.
pub(crate) struct Pooled {
    pub(crate) name: String,
    pub(crate) snapshot: Snapshot,
}

/// Each method is one operation. In the embedded store that is one checkout of a pooled connection, held for that operation's
/// service time, on each server that it has to ask; in a MongoDB one for each of its commands.
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

    /// The jobs that are kept beside the documents, by a connection of their own: the shop has them in another server.
    fn jobs(&self, _terms: &profile::Queue) -> Result<Jobs, StoreError> {
        Err(StoreError::Backend("this store keeps no jobs".to_owned()))
    }

    /// The state of the pools at this instant.
    fn pools(&self) -> Vec<Pooled>;
    /// Upkeep, called now and then: closes idle connections, and says how the servers are.
    fn keep(&self);
}
