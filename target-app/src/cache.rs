//! The caches in front of the catalog: documents by key for a while, in the app's own process (L1 of three) and in Redis, for all replicas
//! together (L2). A key that L1 misses is loaded once, however many ask for it at that moment, so that what comes after L1 sees at most one
//! read of each key per time to live and replica, whatever the load. L2 alone has nobody wait for another: who misses at the same
//! moment reads the same document from the store.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moka::future::Cache as Kept;
use prometheus::{IntCounter, IntCounterVec, Opts};

use crate::metrics::Maker;
use crate::profile::{self, Dials};
use crate::redis::Redis;
use crate::routes::Problem;
use crate::store::Document;

/// What the library needs for an entry besides its text: 270 were measured, with 8,000 products.
const ENTRY_OWN_BYTES: usize = 300;

/// What the caches count.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    l1: Tier,
    l2: Tier,
}

#[derive(Clone, Debug)]
struct Tier {
    hits: IntCounter,
    misses: IntCounter,
}

impl Figures {
    pub(crate) fn made_by(make: &Maker<'_>) -> prometheus::Result<Self> {
        let by_tier = |name, help| make.registered(IntCounterVec::new(Opts::new(name, help), &["tier"])?);
        let hits = by_tier("cache_hits_total", "Reads answered from this tier of the cache.")?;
        let misses = by_tier("cache_misses_total", "Reads that this tier did not have.")?;
        let tier =
            |name| Tier { hits: hits.with_label_values(&[name]), misses: misses.with_label_values(&[name]) };
        Ok(Self { l1: tier("l1"), l2: tier("l2") })
    }
}

/// Documents by key; a tier is off when the dial for its time to live is zero.
pub(crate) struct Cache {
    kept: Option<Kept<String, Document>>,
    shared: Option<Shared>,
    figures: Figures,
}

/// The second tier.
struct Shared {
    redis: Redis,
    lasts: Duration,
    catalog: String,
}

/// What all that is cached depends on: several shops may use one Redis.
fn catalog(dials: &profile::Store) -> String {
    format!("shop:{}:{}", dials.seed, dials.products)
}

/// The key in Redis. What the app calls it is in braces, so that this alone decides which node of a cluster has it, and the ceilings of the nodes are
/// the same whatever the seed.
fn named(catalog: &str, key: &str) -> String {
    format!("{catalog}:{{{key}}}")
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
        let shared = redis.filter(|_| l2_ttl_ms > 0).map(|redis| Shared {
            redis,
            lasts: Duration::from_millis(l2_ttl_ms),
            catalog: catalog(&dials.store),
        });
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
                Some(shared) => Box::pin(self.ask_shared(shared, &key(), load)).await,
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
                Some(shared) => self.ask_shared(shared, &key, load).await,
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

    /// A Redis that does not answer is as one that has nothing; its client counts that.
    async fn ask_shared(
        &self,
        shared: &Shared,
        key: &str,
        load: impl Future<Output = Result<Document, Problem>>,
    ) -> Result<Document, Problem> {
        let name = named(&shared.catalog, key);
        let found = shared.redis.get(&name).await;
        if let Ok(Some(text)) = found {
            self.figures.l2.hits.inc();
            return Ok(Document(text));
        }
        self.figures.l2.misses.inc();
        let document = load.await?;
        // Not told to a Redis that is down already: everyone would wait for it twice.
        if found.is_ok() {
            let _ = shared.redis.set(&name, &document.0, shared.lasts).await;
        }
        Ok(document)
    }
}

/// What an entry takes, in bytes.
fn weight(key: &str, document: &Document) -> u32 {
    u32::try_from(ENTRY_OWN_BYTES + key.len() + document.0.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::{Cache, Figures, catalog, named};
    use crate::metrics::Maker;
    use crate::profile::Profile;
    use crate::redis::node_of;
    use crate::routes::Problem;
    use crate::routes::products::product_key;
    use crate::store::Document;

    fn cache(ttl_ms: u64) -> Cache {
        with(&[&format!("cache.l1_ttl_ms={ttl_ms}")])
    }

    fn with(dials: &[&str]) -> Cache {
        let profile = Profile::named("baseline").unwrap().with_dials(dials).unwrap();
        let registry = prometheus::Registry::new();
        let figures = Figures::made_by(&Maker { registry: &registry }).unwrap();
        Cache::new(profile.dials(), None, figures)
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
        assert_eq!(
            (cache.figures.l1.misses.get(), cache.figures.l1.hits.get()),
            (1, 50),
            "each read is one of them"
        );
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
        assert_eq!((cache.figures.l1.hits.get(), cache.figures.l1.misses.get()), (0, 0));
    }

    #[tokio::test]
    async fn it_is_bounded_by_bytes_whatever_its_documents_are() {
        for (length, fit) in [(0, 1_000), (100_000, 10)] {
            let cache = with(&["cache.l1_ttl_ms=60000", "cache.l1_max_bytes=1048576"]);
            for number in 0..5_000 {
                let load = async { Ok(Document("x".repeat(length))) };
                cache.get_or(|| number.to_string(), load).await.unwrap();
            }
            let kept = cache.kept.unwrap();
            kept.run_pending_tasks().await;
            assert!(kept.weighted_size() <= 1 << 20, "{length}");
            assert!((fit / 2..fit * 4).contains(&kept.entry_count()), "{length}: {}", kept.entry_count());
        }
    }

    #[test]
    fn the_shop_in_a_key_does_not_decide_which_node_has_it() {
        for seed in ["store.seed=1", "store.seed=2"] {
            let profile = Profile::named("redis-cluster").unwrap().with_dial(seed).unwrap();
            let name = |id| named(&catalog(&profile.dials().store), &product_key(id));
            assert_eq!(name(7), format!("shop:{}:1000:{{product:7}}", &seed[11..]));
            assert!((1..1_000).all(|id| node_of(&name(id), 3) == node_of(&product_key(id), 3)));
        }
    }
}
