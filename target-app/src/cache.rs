//! The cache in the app's own process (L1 of three): documents by key for a while. A key that is missing is read from the
//! store once, however many ask for it at that moment, so that what the store sees of cached reads is at most one of each
//! key per time to live and replica, whatever the load.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache as Kept;
use prometheus::IntCounter;

use crate::profile;
use crate::routes::Problem;
use crate::store::Document;

/// What the cache counts, made by whoever owns the registry.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) hits: IntCounter,
    pub(crate) misses: IntCounter,
}

/// Documents by key; off when the dial for their time to live is zero.
pub(crate) struct Cache {
    kept: Option<Kept<String, Document>>,
    figures: Figures,
}

impl Cache {
    pub(crate) fn new(dials: &profile::Cache, figures: Figures) -> Self {
        let on = dials.l1_ttl_ms > 0;
        let kept = on.then(|| {
            Kept::builder()
                .max_capacity(dials.l1_max_entries)
                .time_to_live(Duration::from_millis(dials.l1_ttl_ms))
                .build()
        });
        Self { kept, figures }
    }

    /// The document under this key, from `load` if it is not here. A problem is not kept.
    pub(crate) async fn get_or(
        &self,
        key: impl FnOnce() -> String,
        load: impl Future<Output = Result<Document, Problem>>,
    ) -> Result<Document, Problem> {
        let Some(kept) = &self.kept else { return load.await };
        let key = key();
        if let Some(document) = kept.get(&key).await {
            self.figures.hits.inc();
            return Ok(document);
        }
        let loading = async {
            self.figures.misses.inc();
            load.await
        };
        // Boxed: the few that miss should not make the task of everyone larger.
        Box::pin(kept.try_get_with(key, loading)).await.map_err(Arc::unwrap_or_clone)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::{Cache, Figures};
    use crate::profile::Profile;
    use crate::routes::Problem;
    use crate::store::Document;

    fn cache(ttl_ms: u64) -> Cache {
        let dial = format!("cache.l1_ttl_ms={ttl_ms}");
        let profile = Profile::named("baseline").unwrap().with_dial(&dial).unwrap();
        let counter = |name| prometheus::IntCounter::new(name, "x").unwrap();
        Cache::new(&profile.dials().cache, Figures { hits: counter("hits"), misses: counter("misses") })
    }

    async fn slow() -> Result<Document, Problem> {
        tokio::task::yield_now().await;
        Ok(Document("x".to_owned()))
    }

    #[tokio::test]
    async fn a_key_that_many_miss_at_once_is_loaded_once() {
        let cache = cache(60_000);
        let reads = (0..50).map(|_| cache.get_or(|| "a".to_owned(), slow()));
        for read in futures_util::future::join_all(reads).await {
            assert_eq!(read.unwrap().0, "x");
        }
        cache.get_or(|| "a".to_owned(), slow()).await.unwrap();
        assert_eq!(cache.figures.misses.get(), 1);
        assert!(cache.figures.hits.get() >= 1);
    }

    #[tokio::test]
    async fn a_problem_is_not_kept() {
        let cache = cache(60_000);
        let fails = async { Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "gone")) };
        assert!(cache.get_or(|| "a".to_owned(), fails).await.is_err());
        assert!(cache.get_or(|| "a".to_owned(), slow()).await.is_ok());
    }

    #[tokio::test]
    async fn off_it_keeps_and_counts_nothing() {
        let cache = cache(0);
        for _ in 0..2 {
            cache.get_or(|| "a".to_owned(), slow()).await.unwrap();
        }
        assert_eq!((cache.figures.hits.get(), cache.figures.misses.get()), (0, 0));
    }
}
