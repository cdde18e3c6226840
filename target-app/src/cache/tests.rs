//! The tiers alone: what is loaded, kept, counted and left where.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;

use super::shared::{LEAVING_MAX, catalog, named};
use super::{Cache, Figures};
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

/// Documents named by their ids, of those up to ten.
async fn to_ten(ids: Vec<u32>) -> Result<Vec<(u32, Document)>, Problem> {
    let there = ids.into_iter().filter(|id| *id <= 10);
    Ok(there.map(|id| (id, Document(id.to_string()))).collect())
}

#[tokio::test]
async fn of_many_keys_those_are_loaded_that_are_not_there_and_kept_under_the_same() {
    let cache = cache(60_000);
    let key = |id: u32| format!("k{id}");
    cache.get_or(|| key(1), async { Ok(Document("1".to_owned())) }).await.unwrap();
    let found = cache.get_all(vec![1, 2, 3, 11], key, |missing| {
        assert_eq!(missing.iter().collect::<BTreeSet<_>>(), [2, 3, 11].iter().collect());
        to_ten(missing)
    });
    let mut found = found.await.unwrap();
    found.sort_by_key(|(id, _)| *id);
    assert_eq!(found, [1, 2, 3].map(|id| (id, Document(id.to_string()))));
    let again = cache.get_all(vec![2, 3], key, |_| async { unreachable!("they are there") });
    assert_eq!(again.await.unwrap().len(), 2);
    cache.get_or(|| key(2), async { unreachable!("it is there") }).await.unwrap();
    // What there is not is asked for again.
    let absent = cache.get_all(vec![11], key, |missing| {
        assert_eq!(missing, [11]);
        to_ten(missing)
    });
    assert_eq!(absent.await.unwrap(), []);
    let fails = cache.get_all(vec![4], key, |_| async {
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_failed", "x"))
    });
    assert!(fails.await.is_err());
    // Hits: 1 of four, two of two, one; misses: 1 alone, three of four, 11 and 4.
    assert_eq!((cache.figures.l1.hits.get(), cache.figures.l1.misses.get()), (4, 6));
}
