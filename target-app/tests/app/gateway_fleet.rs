//! A fleet with a gateway: one address for clients, the replicas behind it, and what is left when the gateway dies.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::front::Raw;
use crate::support::Fleet;

const REQUESTS: usize = 40;
const PRODUCTS: [&str; 2] = ["route=\"/api/products/{id}\"", "status=\"200\""];

fn fleet(dials: &[&str], arguments: &[&str]) -> Fleet {
    let mut all = vec!["gateway.worker_connections=64", "app.drain_ms=500", "mongodb.service_time_ms=1"];
    all.extend(dials);
    Fleet::serving("baseline", &all, arguments)
}

/// The process of the gateway.
fn gateway(fleet: &Fleet) -> Pid {
    let is_it = |pid: &Pid| {
        let words = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap();
        String::from_utf8_lossy(&words).contains("gateway-0/1")
    };
    fleet.processes().into_iter().find(is_it).expect("a gateway")
}

#[tokio::test]
async fn the_figures_of_the_gateway_are_among_those_of_the_fleet() {
    let fleet = fleet(&[], &["--replicas", "2"]);
    assert_eq!(fleet.processes().len(), 3);
    for _ in 0..REQUESTS {
        assert!(fleet.fresh("/api/products/1").unwrap().starts_with("HTTP/1.1 200"));
    }
    let order = fleet.remote.post("/api/orders", &json!({"product_id": 1})).await;
    assert_eq!(order.status, StatusCode::CREATED);
    let scrape = fleet.scrape("/metrics");
    assert_eq!(scrape.sum("http_requests_total", &PRODUCTS), REQUESTS as f64);
    assert_eq!(scrape.sum("nginx_http_requests_total", &[]), REQUESTS as f64 + 2.0, "this one is among them");
    assert_eq!(scrape.sum("nginx_worker_connections_max", &[]), 64.0);
    assert_eq!(scrape.sum("target_replicas", &[]), 2.0, "a gateway is no replica");
    assert_eq!(scrape.sum("process_cpu_cores_limit", &[]), 2.0, "nor has it a CPU of the app");
    let behind = fleet.inner.as_ref().unwrap().scrape().await;
    assert_eq!(behind.sum("nginx_http_requests_total", &[]), REQUESTS as f64 + 2.0, "this one came round it");
}

#[tokio::test]
async fn who_watches_sees_a_gateway_that_is_full() {
    let fleet = fleet(&["gateway.worker_connections=2", "gateway.upstream_keepalive=0"], &[]);
    let url = format!("ws://{}/ws", fleet.remote.address);
    let socket = tokio_tungstenite::connect_async(url).await.unwrap();
    assert_eq!(fleet.fresh("/metrics").unwrap_or_default(), "", "there is no way in");
    let scrape = fleet.inner.as_ref().unwrap().scrape().await;
    let figures = ["nginx_worker_connections", "nginx_connections_refused_total", "websocket_connections"];
    assert_eq!(figures.map(|name| scrape.sum(name, &[])), [2.0, 1.0, 1.0]);
    drop(socket);
}

#[tokio::test]
async fn a_killed_gateway_is_followed_by_another_and_no_counter_falls() {
    let fleet = fleet(&[], &[]);
    for _ in 0..REQUESTS {
        fleet.fresh("/api/products/1").unwrap();
    }
    let before = fleet.scrape("/metrics");
    let mut idle = Raw(tokio::net::TcpStream::connect(fleet.remote.address).await.unwrap());
    let killed = gateway(&fleet);
    kill_process(killed, Signal::KILL).unwrap();
    assert_eq!(idle.rest().await, "", "its connections go with it");
    let after = fleet.restarted(1.0).await;
    assert_ne!(gateway(&fleet), killed);
    for name in ["nginx_http_requests_total", "nginx_connections_accepted", "nginx_connections_handled"] {
        assert!(after.sum(name, &[]) > before.sum(name, &[]), "{name}");
    }
    assert_eq!(after.sum("http_requests_total", &PRODUCTS), REQUESTS as f64, "the replica lives");
    assert!(fleet.fresh("/api/products/1").unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn what_a_gateway_counts_while_it_drains_is_not_lost() {
    let fleet = fleet(&["app.drain_ms=20000", "mongodb.service_time_ms=5000"], &[]);
    let leaving = gateway(&fleet);
    let replica = fleet.processes().into_iter().find(|pid| *pid != leaving).unwrap();
    let remote = fleet.remote.clone();
    let order = tokio::spawn(async move { remote.post("/api/orders", &json!({"product_id": 1})).await });
    let behind = fleet.inner.as_ref().unwrap();
    behind.scrape_until(|scrape| scrape.sum("db_client_connection_count", &["state=\"used\""]) == 1.0).await;
    kill_process(leaving, Signal::TERM).unwrap();
    // It takes no more clients from now on, and tells nobody anything until its end.
    while tokio::net::TcpStream::connect(fleet.remote.address).await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    kill_process(replica, Signal::KILL).unwrap();
    assert_eq!(order.await.unwrap().error(), "bad_gateway");
    let scrape = fleet.restarted(2.0).await;
    assert_eq!(scrape.sum("nginx_upstream_failures_total", &["broken"]), 1.0);
}

#[tokio::test]
async fn a_killed_replica_is_a_bad_gateway_until_it_is_back() {
    let fleet = fleet(&["mongodb.service_time_ms=2000"], &[]);
    let replica = fleet.processes().into_iter().find(|pid| *pid != gateway(&fleet)).unwrap();
    assert!(fleet.fresh("/api/products/1").unwrap().starts_with("HTTP/1.1 200"));
    let remote = fleet.remote.clone();
    let order = tokio::spawn(async move { remote.post("/api/orders", &json!({"product_id": 1})).await });
    let behind = fleet.inner.as_ref().unwrap();
    behind.scrape_until(|scrape| scrape.sum("db_client_connection_count", &["state=\"used\""]) == 1.0).await;
    kill_process(replica, Signal::KILL).unwrap();
    assert_eq!(order.await.unwrap().error(), "bad_gateway");
    let scrape = fleet.restarted(1.0).await;
    assert!(fleet.fresh("/api/products/1").unwrap().starts_with("HTTP/1.1 200"));
    assert!(scrape.sum("nginx_upstream_failures_total", &["broken"]) >= 1.0);
    assert_eq!(scrape.sum("nginx_connections_refused_total", &[]), 0.0);
}

#[tokio::test]
async fn behind_a_gateway_the_rate_limiter_still_knows_one_client_from_another() {
    let fleet = fleet(&["rate_limiter.points=3"], &[]);
    let other = fleet.remote.from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    for client in [&fleet.remote, &other] {
        for _ in 0..3 {
            assert_eq!(client.get("/api/products/1").await.status, StatusCode::OK);
        }
        // What a client says of itself is not what the gateway adds.
        let pretends = [("x-forwarded-for", "10.1.2.3")];
        let answer = client.send(axum::http::Method::GET, "/api/products/1", &pretends, "").await;
        assert_eq!(answer.error(), "rate_limited");
    }
}
