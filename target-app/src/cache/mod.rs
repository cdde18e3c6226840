//! The caches in front of the catalog: documents by key for a while, in the app's own process (L1 of three) and in Redis, for all replicas
//! together (L2). A key that L1 misses is loaded once, however many ask for it at that moment, so that what comes after L1 sees at most one
//! read of each key per time to live and replica, whatever the load. L2 alone has nobody wait for another: who misses at the same
//! moment reads the same document from the store. Nor does anybody where many are asked for at once, as by a loader of GraphQL.

mod figures;
mod shared;

pub(crate) use figures::Figures;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use moka::future::Cache as Kept;

use self::shared::Shared;
use crate::profile::{self, Dials};
use crate::redis::Redis;
use crate::routes::Problem;
use crate::store::Document;

/// What the library needs for an entry besides its text: 270 were measured, with 8,000 products.
const ENTRY_OWN_BYTES: usize = 300;

/// Documents by key; a tier is off when the dial for its time to live is zero.
pub(crate) struct Cache {
    kept: Option<Kept<String, Document>>,
    shared: Option<Shared>,
    figures: Figures,
}

/// A document that no tier had.
struct Missed {
    key: String,
    shared: Option<shared::Missed>,
}

impl Cache {
    /// `redis` is there if the dials ask for it.
    pub(crate) fn new(dials: &Dials, redis: Option<Redis>, figures: Figures) -> Self {
        let profile::Cache { l1_ttl_ms, l1_max_bytes, l2_ttl_ms } = dials.cache;
        let kept = (l1_ttl_ms > 0).then(|| {
            Kept::builder()
                .max_capacity(l1_max_bytes)
                .weigher(|key: &String, document: &Document| weight(key, document))
                .time_to_live(Duration::from_millis(l1_ttl_ms))
                .build()
        });
        let shared = redis.filter(|_| l2_ttl_ms > 0).map(|redis| Shared::new(dials, redis, figures.clone()));
        Self { kept, shared, figures }
    }

    /// The document under this key, from `load` if it is not here. A problem is not kept.
    pub(crate) async fn get_or(
        &self,
        key: impl FnOnce() -> String,
        load: impl Future<Output = Result<Document, Problem>>,
    ) -> Result<Document, Problem> {
        let Some(kept) = &self.kept else {
            return match &self.shared {
                // Boxed: what one profile needs should not make the task of everyone larger.
                Some(shared) => Box::pin(ask(shared, &key(), load)).await,
                None => load.await,
            };
        };
        let key = key();
        if let Some(document) = kept.get(&key).await {
            self.figures.l1.hits.inc();
            return Ok(document);
        }
        let loaded = AtomicBool::new(false);
        let loading = async {
            loaded.store(true, Ordering::Relaxed);
            self.figures.l1.misses.inc();
            match &self.shared {
                Some(shared) => ask(shared, &key, load).await,
                None => load.await,
            }
        };
        // Boxed: the few that miss should not make the task of everyone larger.
        let found = Box::pin(kept.try_get_with_by_ref(&key, loading)).await.map_err(Arc::unwrap_or_clone);
        if !loaded.load(Ordering::Relaxed) {
            // Somebody else read it meanwhile.
            self.figures.l1.hits.inc();
        }
        found
    }

    /// The documents that there are under the keys of these ids, in no order: what a tier has of them, and of all others what one `load` finds.
    pub(crate) async fn get_all<L: Future<Output = Result<Vec<(u32, Document)>, Problem>>>(
        &self,
        ids: Vec<u32>,
        key: impl Fn(u32) -> String,
        load: impl FnOnce(Vec<u32>) -> L,
    ) -> Result<Vec<(u32, Document)>, Problem> {
        if self.kept.is_none() && self.shared.is_none() {
            return load(ids).await;
        }
        let looked = join_all(ids.iter().map(|id| self.look_up(key(*id)))).await;
        let (mut found, mut missing) = (Vec::new(), HashMap::new());
        for (id, looked) in ids.into_iter().zip(looked) {
            match looked {
                Ok(document) => found.push((id, document)),
                Err(missed) => drop(missing.insert(id, missed)),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        for (id, document) in load(missing.keys().copied().collect()).await? {
            if let Some(Missed { key, shared }) = missing.remove(&id) {
                if let Some((tier, missed)) = self.shared.as_ref().zip(shared) {
                    tier.leave(missed, &document);
                }
                self.keep(key, &document).await;
            }
            found.push((id, document));
        }
        Ok(found)
    }

    /// What a tier has under this key; what only the second one has the first one has from then on.
    async fn look_up(&self, key: String) -> Result<Document, Missed> {
        if let Some(kept) = &self.kept {
            if let Some(document) = kept.get(&key).await {
                self.figures.l1.hits.inc();
                return Ok(document);
            }
            self.figures.l1.misses.inc();
        }
        let Some(shared) = &self.shared else { return Err(Missed { key, shared: None }) };
        match shared.get(&key).await {
            Ok(document) => {
                self.keep(key, &document).await;
                Ok(document)
            }
            Err(missed) => Err(Missed { key, shared: Some(missed) }),
        }
    }

    async fn keep(&self, key: String, document: &Document) {
        if let Some(kept) = &self.kept {
            kept.insert(key, document.clone()).await;
        }
    }
}

/// The document from the second tier or from `load`.
async fn ask(
    shared: &Shared,
    key: &str,
    load: impl Future<Output = Result<Document, Problem>>,
) -> Result<Document, Problem> {
    match shared.get(key).await {
        Ok(document) => Ok(document),
        Err(missed) => {
            let document = load.await?;
            shared.leave(missed, &document);
            Ok(document)
        }
    }
}

/// What an entry takes, in bytes.
fn weight(key: &str, document: &Document) -> u32 {
    u32::try_from(ENTRY_OWN_BYTES + key.len() + document.0.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
