//! A replica that is told to stop: what it has begun it finishes, and no order that it has acknowledged is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::support::{Answer, Fleet, Remote, Scrape};

const IN_FLIGHT: usize = 24;

async fn order(remote: &Remote, product: usize) -> Answer {
    remote.post("/api/orders", &json!({"product_id": product % 1_000 + 1, "quantity": 2})).await
}

/// All of these are there, at whichever replica one asks.
async fn are_there(fleet: &Fleet, acknowledged: &[Answer]) {
    let remote = Remote::at(fleet.remote.address);
    for some in acknowledged.chunks(IN_FLIGHT) {
        let finds = some.iter().map(|answer| async {
            let order = answer.json();
            let found = remote.get(&format!("/api/orders/{}", order["id"])).await;
            assert_eq!((found.status.as_u16(), found.json()), (200, order));
        });
        futures_util::future::join_all(finds).await;
    }
}

async fn restarted(fleet: &Fleet, times: f64) {
    let remote = &fleet.remote;
    remote
        .scrape_until(|scrape| {
            scrape.sum("target_replica_restarts_total", &[]) == times
                && scrape.sum("target_replicas", &[]) == scrape.sum("target_replicas_desired", &[])
        })
        .await;
}

#[tokio::test]
async fn what_is_in_flight_is_answered_and_kept() {
    let dials = ["mongodb.max_pool_size=24", "mongodb.service_time_ms=5000", "app.drain_ms=15000"];
    let fleet = Fleet::serving("baseline", &dials, &["--replicas", "3"]);
    let mut orders = tokio::task::JoinSet::new();
    for n in 0..IN_FLIGHT {
        let remote = Remote::at(fleet.remote.address);
        orders.spawn(async move { order(&remote, n).await });
    }
    let used = ["state=\"used\""];
    let all = IN_FLIGHT as f64;
    fleet.remote.scrape_until(|scrape| scrape.sum("db_client_connection_count", &used) == all).await;
    let replicas = fleet.processes();
    assert_eq!(replicas.len(), 3);
    replicas.iter().for_each(|pid| kill_process(*pid, Signal::TERM).unwrap());
    let answers = orders.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    // Those that are started in their place share the store; until they listen nobody does.
    restarted(&fleet, 3.0).await;
    assert!(fleet.processes().iter().all(|pid| !replicas.contains(pid)));
    let scrape = fleet.remote.scrape_until(|scrape| scrape.sum("target_replicas", &[]) == 3.0).await;
    assert_eq!(
        scrape.sum("http_requests_total", &["/api/orders\"", "status=\"201\""]),
        all,
        "nothing is lost that was counted in the drain"
    );
    are_there(&fleet, &answers).await;
}

#[tokio::test]
async fn under_a_load_of_orders_replicas_come_and_go_and_none_that_was_acknowledged_is_lost() {
    let fleet = Fleet::serving("baseline", &["mongodb.service_time_ms=2"], &["--replicas", "2"]);
    let over = Arc::new(AtomicBool::new(false));
    let mut customers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (address, over) = (fleet.remote.address, Arc::clone(&over));
        customers.spawn(async move {
            let (mut acknowledged, mut remote) = (Vec::new(), Remote::at(address));
            while !over.load(Ordering::Relaxed) {
                match remote.try_post("/api/orders", &json!({"product_id": n + 1})).await {
                    Some(answer) if answer.status == 201 => acknowledged.push(answer),
                    Some(answer) => panic!("{answer:?}"),
                    // The connection was closed under it: of such an order nobody knows.
                    None => remote = Remote::at(address),
                }
            }
            acknowledged
        });
    }
    for round in 1..=3 {
        let replicas = fleet.processes();
        let placed = |scrape: &Scrape| scrape.sum("http_requests_total", &["/api/orders"]);
        let before = placed(&fleet.remote.scrape_until(|_| true).await);
        fleet.remote.scrape_until(|scrape| placed(scrape) > before + 50.0).await;
        kill_process(replicas[round % 2], Signal::TERM).unwrap();
        restarted(&fleet, round as f64).await;
    }
    over.store(true, Ordering::Relaxed);
    let acknowledged: Vec<Answer> = customers.join_all().await.into_iter().flatten().collect();
    assert!(acknowledged.len() > 150, "{}", acknowledged.len());
    are_there(&fleet, &acknowledged).await;
}
