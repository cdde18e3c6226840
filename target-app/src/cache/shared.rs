//! The second tier: documents in Redis, for all replicas together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Figures;
use crate::profile::{self, Dials};
use crate::redis::Redis;
use crate::store::Document;

/// Documents of one replica that may be on their way to Redis.
pub(super) const LEAVING_MAX: usize = 1_000;

/// What Redis keeps, by the keys of the cache.
pub(super) struct Shared {
    redis: Redis,
    lasts: Duration,
    catalog: String,
    pub(super) leaving: Arc<Semaphore>,
    figures: Figures,
}

/// A document that was not there, with its key in Redis if that answered at all.
pub(super) struct Missed(Option<String>);

impl Shared {
    pub(super) fn new(dials: &Dials, redis: Redis, figures: Figures) -> Self {
        Self {
            redis,
            lasts: Duration::from_millis(dials.cache.l2_ttl_ms),
            catalog: catalog(&dials.store),
            leaving: Arc::new(Semaphore::new(LEAVING_MAX)),
            figures,
        }
    }

    /// A Redis that does not answer is as one that has nothing; its client counts that.
    pub(super) async fn get(&self, key: &str) -> Result<Document, Missed> {
        let name = named(&self.catalog, key);
        let found = self.redis.get(&name).await;
        if let Ok(Some(text)) = found {
            self.figures.l2.hits.inc();
            return Ok(Document(text));
        }
        self.figures.l2.misses.inc();
        Err(Missed(found.is_ok().then_some(name)))
    }

    /// Leaves there what it did not have, without anyone's waiting for it, unless it is down already or too much is on its way. What it does not take then
    /// is counted by its client.
    pub(super) fn leave(&self, missed: Missed, document: &Document) {
        let Missed(Some(name)) = missed else { return };
        let Ok(place) = Arc::clone(&self.leaving).try_acquire_owned() else {
            self.figures.lost.inc();
            return;
        };
        let (redis, text, lasts) = (self.redis.clone(), document.0.clone(), self.lasts);
        tokio::spawn(async move {
            let _ = redis.set(&name, &text, lasts).await;
            drop(place);
        });
    }
}

/// What all that is cached depends on: several shops may use one Redis.
pub(super) fn catalog(dials: &profile::Store) -> String {
    format!("shop:{}:{}", dials.seed, dials.products)
}

/// The key in Redis. What the app calls it is in braces, so that this alone decides which node of a cluster has it, and the ceilings of the nodes are
/// the same whatever the seed.
pub(super) fn named(catalog: &str, key: &str) -> String {
    format!("{catalog}:{{{key}}}")
}
