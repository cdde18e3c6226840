//! The breaker seen through HTTP: that a store that has become slow is left alone, what users get meanwhile, and that it is asked again.

use std::time::Duration;

use serde_json::json;

use crate::faults::Breakable;
use crate::support::{Answer, Running, Scrape};

fn in_state(scrape: &Scrape, state: &str) -> bool {
    scrape.sum("circuit_breaker_state", &[&format!("state=\"{state}\"")]) == 1.0
        && scrape.sum("circuit_breaker_state", &[]) == 1.0
}

fn is_stale(answer: &Answer) -> bool {
    let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap());
    match (header("x-fallback"), header("warning")) {
        (Some("stale"), Some("110 - \"Response is Stale\"")) => true,
        (None, None) => false,
        other => panic!("half a mark: {other:?}"),
    }
}

#[tokio::test]
async fn a_store_that_becomes_slow_is_left_alone_and_asked_again() {
    let dials = ["breaker.timeout_ms=400", "breaker.reset_timeout_ms=1500", "mongodb.service_time_ms=10"];
    let arguments: Vec<_> = dials.iter().flat_map(|dial| ["--dial", dial]).collect();
    let shop = Breakable::serving(&arguments);
    let catalog = ["/api/products/1", "/api/products?category=flasks", "/api/products/search?q=steel"];
    let mut fresh = Vec::new();
    for path in catalog {
        let answer = shop.app.get(path).await;
        assert!(answer.status.as_u16() == 200 && !is_stale(&answer), "{answer:?}");
        fresh.push(answer.text);
    }
    assert!(in_state(&shop.app.scrape().await, "closed"));

    shop.order(json!({"fault": "slow", "resource": "mongodb", "factor": 100, "for_ms": 3_600_000})).await;
    // Each of them takes a second and is given up before, until ten have been asked for and seven of them failed.
    for _ in 0..10 {
        let answer = shop.app.get(catalog[0]).await;
        assert!(answer.status.as_u16() == 200 && is_stale(&answer) && answer.text == fresh[0], "{answer:?}");
    }
    let open = shop.app.scrape().await;
    assert_eq!(open.sum("circuit_breaker_opened_total", &[]), 1.0);
    let timeouts = open.sum("circuit_breaker_timeouts_total", &[]);
    assert!((7.0..10.0).contains(&timeouts), "three were read before: {timeouts}");
    // Rejected, all of the catalog is as it was, and what was never read is not there.
    let mut rejected = 0;
    for _ in 0..200 {
        let unknown = shop.app.get("/api/products/999").await;
        match unknown.error().as_str() {
            "circuit_open" => {
                rejected += 1;
                assert_eq!(unknown.status.as_u16(), 503);
                assert!(unknown.headers.contains_key("retry-after"));
            }
            // The one that is let try.
            other => assert_eq!((other, unknown.status.as_u16()), ("store_timeout", 503)),
        }
    }
    assert!(rejected >= 150, "{rejected}");
    for (path, fresh) in catalog.iter().zip(&fresh) {
        let answer = shop.app.get(path).await;
        assert!(is_stale(&answer) && answer.text == *fresh, "{answer:?}");
    }
    let lead = shop.app.post("/api/leads", &json!({"email": "a@shop.example"})).await;
    assert!(["circuit_open", "store_timeout"].contains(&lead.error().as_str()), "writes have no fallback");

    shop.app.scrape_until(|scrape| in_state(scrape, "half_open")).await;
    shop.order(json!({"fault": "none"})).await;
    // The connections are held as long as they were to be, so the first that tries may still come too early.
    let closed = loop {
        let answer = shop.app.get("/api/products/999").await;
        let scrape = shop.app.scrape().await;
        if answer.status.as_u16() == 200 {
            break scrape;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(in_state(&closed, "closed"));
    assert!(!is_stale(&shop.app.get(catalog[0]).await));
    assert!(closed.sum("circuit_breaker_rejected_total", &[]) >= f64::from(rejected));
    assert!(closed.sum("circuit_breaker_fallback_total", &[]) >= 12.0);
}

#[tokio::test]
async fn what_was_given_up_keeps_its_connection_as_long_as_it_would_have() {
    let dials = [
        "breaker.timeout_ms=50",
        "breaker.volume_threshold=1000",
        "mongodb.max_pool_size=1",
        "mongodb.service_time_ms=700",
    ];
    let app = Running::of("breaker", &dials).await;
    for path in ["/api/products/1", "/api/products/2"] {
        assert_eq!(app.remote.get(path).await.error(), "store_timeout");
    }
    let given_up = app.remote.scrape().await;
    assert_eq!(given_up.sum("db_client_connection_count", &["used"]), 1.0);
    assert_eq!(given_up.sum("db_client_connection_pending_requests", &[]), 1.0, "the second waits in line");
    let uses = "db_client_connection_use_time_seconds";
    let done = app.remote.scrape_until(|s| s.sum(&format!("{uses}_count"), &[]) == 2.0).await;
    assert!(done.sum(&format!("{uses}_sum"), &[]) >= 1.4, "both were held to the end");
    assert_eq!(done.sum("circuit_breaker_timeouts_total", &[]), 2.0);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_store_refuses_for_good_reason_opens_nothing() {
    let app = Running::of("breaker", &["mongodb.service_time_ms=1"]).await;
    let taken = json!({"email": "user1@shop.example", "password": "x"});
    for _ in 0..20 {
        assert_eq!(app.remote.post("/api/users", &taken).await.status.as_u16(), 409);
        assert_eq!(app.remote.post("/api/orders", &json!({"product_id": 4000})).await.status.as_u16(), 422);
        assert_eq!(app.remote.get("/api/products/4000").await.status.as_u16(), 404);
    }
    let scrape = app.remote.scrape().await;
    assert!(in_state(&scrape, "closed"));
    assert_eq!(scrape.sum("circuit_breaker_failures_total", &[]), 0.0);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_breaker_nobody_is_given_up() {
    let app = Running::with(&["mongodb.service_time_ms=300", "breaker.volume_threshold=1"]).await;
    assert!(!is_stale(&app.remote.get("/api/products/1").await));
    assert_eq!(app.remote.scrape().await.sum("circuit_breaker_state", &[]), 0.0);
    app.stop().await.unwrap();
}
