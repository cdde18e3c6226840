//! The arithmetic of the metrics: what was sent is what was counted, and what is open is opened less closed.

use crate::support::Running;

#[tokio::test]
async fn requests_sent_are_requests_counted() {
    let app = Running::quick().await;
    let before = app.remote.scrape().await;
    let mut sent = 0;
    for round in 0..30 {
        let paths = ["/api/products/7", "/api/products/9999", "/nowhere", "/static/app.css", "/healthz"];
        app.remote.get(paths[round % paths.len()]).await;
        sent += 1;
    }
    let after = app.remote.scrape().await;
    let total = |labels: &[&str]| {
        after.sum("http_requests_total", labels) - before.sum("http_requests_total", labels)
    };
    // The first scrape is counted once it has been answered, so it is in the second one.
    assert_eq!(total(&[]), f64::from(sent) + 1.0);
    assert_eq!(total(&["method=\"GET\"", "route=\"/api/products/{id}\"", "status=\"200\""]), 6.0);
    assert_eq!(total(&["route=\"/api/products/{id}\"", "status=\"404\""]), 6.0);
    assert_eq!(total(&["route=\"unmatched\"", "status=\"404\""]), 6.0);
    assert_eq!(total(&["route=\"/healthz\""]), 6.0);
    assert_eq!(total(&["route=\"/metrics\""]), 1.0);
    let durations = "http_request_duration_seconds_count";
    assert_eq!(after.sum(durations, &[]), after.sum("http_requests_total", &[]));
    app.stop().await.unwrap();
}

#[tokio::test]
async fn the_pool_adds_up_at_every_scrape() {
    let dials = ["mongodb.max_pool_size=4", "mongodb.service_time_ms=3", "mongodb.max_idle_time_ms=1"];
    let app = Running::with(&dials).await;
    let clients: Vec<_> = (0..12)
        .map(|_| {
            let remote = app.remote.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    assert_eq!(remote.get("/api/products/1").await.status.as_u16(), 200);
                }
            })
        })
        .collect();
    let check = |scrape: &crate::support::Scrape| {
        let count = |state: &str| scrape.sum("db_client_connection_count", &[state]);
        let (used, idle) = (count("used"), count("idle"));
        assert_eq!(scrape.sum("db_client_connection_max", &[]), 4.0);
        assert!(used + idle <= 4.0);
        let opened = scrape.sum("db_client_connection_created_total", &[]);
        assert_eq!(opened - scrape.sum("db_client_connection_closed_total", &[]), used + idle);
    };
    for _ in 0..20 {
        check(&app.remote.scrape().await);
    }
    for client in clients {
        client.await.unwrap();
    }
    // Idle connections close after a while.
    let end = app.remote.scrape_until(|s| s.sum("db_client_connection_count", &["idle"]) == 0.0).await;
    check(&end);
    for name in
        ["db_client_connection_wait_time_seconds_count", "db_client_connection_use_time_seconds_count"]
    {
        assert_eq!(end.sum(name, &[]), 120.0, "{name}");
    }
    assert_eq!(end.sum("app_cpu_wait_time_seconds_count", &[]), 120.0);
    let used_s = end.sum("db_client_connection_used_seconds_total", &[]);
    let held_s = end.sum("db_client_connection_use_time_seconds_sum", &[]);
    assert!((used_s / held_s - 1.0).abs() < 1e-6, "{used_s} {held_s}");
    let by_id = ["collection=\"products\"", "operation=\"product_by_id\""];
    assert_eq!(end.sum("db_client_operation_duration_seconds_count", &by_id), 120.0);
    let took_s = end.sum("db_client_operation_duration_seconds_sum", &by_id);
    let waited_s = end.sum("db_client_connection_wait_time_seconds_sum", &[]);
    assert!(took_s >= waited_s + held_s, "an operation waits and holds: {took_s} {waited_s} {held_s}");
    app.stop().await.unwrap();
}

#[tokio::test]
async fn every_promised_metric_is_there() {
    let app = Running::quick().await;
    app.remote.get("/api/products/1").await;
    let text = app.remote.scrape().await.0;
    for name in [
        "app_cpu_pending_requests",
        "app_cpu_wait_time_seconds_bucket",
        "bullmq_job_count",
        "bullmq_job_duration_seconds_bucket",
        "bullmq_job_wait_seconds_bucket",
        "bullmq_jobs_added_total",
        "bullmq_jobs_completed_total",
        "bullmq_jobs_failed_total",
        "bullmq_jobs_lost_total",
        "bullmq_jobs_put_off_total",
        "bullmq_jobs_rejected_total",
        "bullmq_jobs_retried_total",
        "bullmq_jobs_stalled_total",
        "bullmq_store_errors_total",
        "bullmq_worker_active",
        "cache_hits_total",
        "cache_misses_total",
        "cache_writes_lost_total",
        "circuit_breaker_failures_total",
        "circuit_breaker_fallback_total",
        "circuit_breaker_opened_total",
        "circuit_breaker_rejected_total",
        "circuit_breaker_timeouts_total",
        "db_client_connection_count",
        "db_client_connection_max",
        "db_client_connection_pending_requests",
        "db_client_connection_pending_seconds_total",
        "db_client_connection_timeouts_total",
        "db_client_connection_use_time_seconds_bucket",
        "db_client_connection_used_seconds_total",
        "db_client_connection_wait_time_seconds_bucket",
        "db_client_operation_duration_seconds_bucket",
        "db_scan_cpu_seconds_total",
        "http_request_duration_seconds_bucket",
        "http_requests_total",
        "http_server_connections",
        "http_server_connections_max",
        "nodejs_eventloop_lag_p99_seconds",
        "nodejs_gc_duration_seconds_bucket",
        "nodejs_heap_size_limit_bytes",
        "nodejs_heap_size_total_bytes",
        "nodejs_heap_size_used_bytes",
        "process_cpu_cores_limit",
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "rate_limiter_allowed_total",
        "rate_limiter_forgotten_total",
        "rate_limiter_rejected_total",
        "rate_limiter_users",
        "websocket_connections",
        "websocket_protocol_errors_total",
    ] {
        let begins = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        assert!(text.lines().any(begins), "{name} is missing");
    }
    app.stop().await.unwrap();
}
