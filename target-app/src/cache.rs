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
use tokio::sync::Semaphore;

use crate::metrics::Maker;
use crate::profile::{self, Dials};
use crate::redis::Redis;
use crate::routes::Problem;
use crate::store::Document;

/// Documents of one replica that may be on their way to Redis.
const LEAVING_MAX: usize = 1_000;
/// What the library needs for an entry besides its text: 270 were measured, with 8,000 products.
const ENTRY_OWN_BYTES: usize = 300;

/// What the caches count.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    l1: Tier,
    l2: Tier,
    /// Documents that were not left in Redis.
    lost: IntCounter,
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
        let lost = make.count(
            "cache_writes_lost_total",
            "Documents not left in Redis because too many were on their way there.",
        )?;
        Ok(Self { l1: tier("l1"), l2: tier("l2"), lost })
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
    leaving: Arc<Semaphore>,
}

impl Shared {
    /// Leaves a document there without anyone's waiting for it; false where too many are on their way. One that Redis does not take is counted by its client.
    fn leave(&self, name: String, document: &Document) -> bool {
        let Ok(place) = Arc::clone(&self.leaving).try_acquire_owned() else { return false };
        let (redis, text, lasts) = (self.redis.clone(), document.0.clone(), self.lasts);
        tokio::spawn(async move {
            let _ = redis.set(&name, &text, lasts).await;
            drop(place);
        });
        true
    }
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
            leaving: Arc::new(Semaphore::new(LEAVING_MAX)),
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
        // Not told to a Redis that is down already.
        if found.is_ok() && !shared.leave(name, &document) {
            self.figures.lost.inc();
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
    use std::sync::Arc;

    use axum::http::StatusCode;

    use super::{Cache, Figures, LEAVING_MAX, catalog, named};
    use crate::metrics::{Maker, Metrics};
    use crate::profile::Profile;
    use crate::redis::node::Node;
    use crate::redis::{Redis, node_of};
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

    #[tokio::test]
    async fn who_misses_waits_for_no_set_and_what_would_be_too_many_are_counted() {
        let profile = Profile::named("redis-single").unwrap().with_dial("redis.command_us=20").unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let node = Arc::new(Node::new(0, vec![address], &profile.dials().redis).unwrap());
        tokio::spawn(Arc::clone(&node).serve(listener));
        let metrics = Metrics::new().unwrap();
        let urls = [format!("redis://{address}")];
        let redis = Redis::connect(&urls, &profile.dials().redis, metrics.redis.clone()).await.unwrap();
        let cache = Cache::new(profile.dials(), Some(redis), metrics.cache);
        let leaving = &cache.shared.as_ref().unwrap().leaving;

        cache.get_or(|| "a".to_owned(), slow()).await.unwrap();
        assert_eq!(leaving.available_permits(), LEAVING_MAX - 1, "it is on its way");
        drop(leaving.acquire_many(LEAVING_MAX as u32).await.unwrap());
        cache.get_or(|| "a".to_owned(), async { unreachable!("it is there") }).await.unwrap();

        let all = leaving.acquire_many(LEAVING_MAX as u32).await.unwrap();
        assert_eq!(cache.get_or(|| "b".to_owned(), slow()).await.unwrap().0, "x");
        assert_eq!((cache.figures.lost.get(), cache.figures.l2.misses.get()), (1, 2));
        drop(all);
    }
}
