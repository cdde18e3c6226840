//! The pool seen through HTTP: its errors, its fairness to what must always answer, and clients who go away.

use std::time::Duration;

use crate::support::Running;

const PRODUCT: &str = "/api/products/1";

#[tokio::test]
async fn who_waits_too_long_is_told_so() {
    let dials = [
        "mongodb.max_pool_size=1",
        "mongodb.service_time_ms=60000",
        "mongodb.wait_queue_timeout_ms=30",
        "app.drain_ms=0",
    ];
    let app = Running::with(&dials).await;
    let remote = app.remote.clone();
    tokio::spawn(async move { remote.get(PRODUCT).await });
    app.remote
        .scrape_until(|scrape| scrape.sum("db_client_connection_count", &["state=\"used\""]) == 1.0)
        .await;
    let refused = app.remote.get(PRODUCT).await;
    assert_eq!(refused.status.as_u16(), 503);
    insta::assert_snapshot!(refused.text, @r#"{"type":"https://eco-bottle.example/problems/pool_wait_queue_timeout","title":"pool wait queue timeout","status":503,"detail":"no connection became free within 30 ms: all 1 are in use","error":"pool_wait_queue_timeout"}"#);
    let scrape = app.remote.scrape().await;
    assert_eq!(scrape.sum("db_client_connection_timeouts_total", &[]), 1.0);
    assert_eq!(scrape.sum("http_requests_total", &["status=\"503\"", "/api/products/{id}"]), 1.0);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn what_must_always_answer_needs_no_connection() {
    let dials = ["mongodb.max_pool_size=2", "mongodb.service_time_ms=60000", "app.drain_ms=0"];
    let app = Running::with(&dials).await;
    for _ in 0..7 {
        let remote = app.remote.clone();
        tokio::spawn(async move { remote.get(PRODUCT).await });
    }
    let full = app
        .remote
        .scrape_until(|scrape| scrape.sum("db_client_connection_pending_requests", &[]) == 5.0)
        .await;
    assert_eq!(full.sum("db_client_connection_count", &["used"]), 2.0);
    assert_eq!(full.sum("db_client_connection_count", &["idle"]), 0.0);
    for path in ["/healthz", "/readyz", "/openapi.json", "/static/app.js"] {
        assert_eq!(app.remote.get(path).await.status.as_u16(), 200, "{path}");
    }
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_who_goes_away_frees_nothing_early() {
    let dials = ["mongodb.max_pool_size=1", "mongodb.service_time_ms=300"];
    let app = Running::with(&dials).await;
    let impatient = tokio::time::timeout(Duration::from_millis(50), app.remote.get(PRODUCT)).await;
    assert!(impatient.is_err());
    let gone = app.remote.scrape_until(|scrape| scrape.sum("http_requests_total", &["499"]) == 1.0).await;
    assert_eq!(gone.sum("db_client_connection_count", &["used"]), 1.0);
    let done = app
        .remote
        .scrape_until(|scrape| scrape.sum("db_client_connection_use_time_seconds_count", &[]) == 1.0)
        .await;
    assert!(done.sum("db_client_connection_use_time_seconds_sum", &[]) >= 0.3);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn stopping_lets_what_is_in_flight_finish() {
    let app = Running::with(&["mongodb.service_time_ms=300"]).await;
    let in_flight = tokio::spawn({
        let remote = app.remote.clone();
        async move { remote.get(PRODUCT).await.status.as_u16() }
    });
    app.remote.scrape_until(|scrape| scrape.sum("db_client_connection_count", &["used"]) == 1.0).await;
    app.stop().await.unwrap();
    assert_eq!(in_flight.await.unwrap(), 200);
}
