//! The replica set of the embedded store: what its users notice when the primary is killed, what is lost by it, and that all processes of a fleet
//! see the same of it.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::faults::Breakable;
use crate::support::{Answer, Scrape};

/// A primary, a secondary and an arbiter, as the shop has them; no election is waited for longer than a test has time.
const SET: [&str; 4] =
    ["--dial", "mongodb.replica_set.members=2", "--dial", "mongodb.replica_set.arbiters=1"];

fn set(dials: &[&str]) -> Breakable {
    let mut arguments = SET.to_vec();
    arguments.extend(dials.iter().flat_map(|dial| ["--dial", *dial]));
    Breakable::serving(&arguments)
}

async fn order(shop: &Breakable) -> Answer {
    shop.app.post("/api/orders", &json!({"product_id": 1, "quantity": 2})).await
}

async fn found(shop: &Breakable, order: &Value) -> u16 {
    shop.app.get(&format!("/api/orders/{}", order["id"])).await.status.as_u16()
}

fn states(scrape: &Scrape) -> [f64; 2] {
    ["mongodb-0", "mongodb-1"].map(|member| scrape.sum("mongodb_rs_members_state", &[member]))
}

#[tokio::test]
async fn what_the_secondary_had_not_copied_is_lost_with_the_primary() {
    let shop = set(&["mongodb.replica_set.election_ms=500", "mongodb.replica_set.lag_ms=1500"]);
    assert_eq!(states(&shop.app.scrape().await), [1.0, 2.0]);
    let old = order(&shop).await.json();
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    let new = order(&shop).await.json();
    assert_eq!(found(&shop, &new).await, 200);
    let told = shop.order(json!({"fault": "kill_primary", "for_ms": 3_600_000})).await;
    assert_eq!(told[0]["killed_primaries"][0]["shard"], 0);
    // Whoever asks now waits for the election.
    assert_eq!((found(&shop, &old).await, found(&shop, &new).await), (200, 404));
    let scrape = shop.app.scrape_until(|scrape| states(scrape) == [8.0, 1.0]).await;
    assert_eq!(scrape.sum("mongodb_rs_elections_total", &[]), 1.0);
    assert_eq!(scrape.sum("mongodb_rs_rolled_back_documents_total", &["orders"]), 1.0);
    let next = order(&shop).await.json();
    assert!(next["id"].as_u64() > new["id"].as_u64(), "the number of a lost order is not given again");
    assert_eq!(found(&shop, &next).await, 200);
    let uses = shop.app.scrape().await;
    let writes =
        |server: &str| uses.sum("db_client_operation_duration_seconds_count", &["order_insert", server]);
    assert_eq!((writes("mongodb-0"), writes("mongodb-1")), (2.0, 1.0));
    shop.order(json!({"fault": "none"})).await;
    shop.app.scrape_until(|scrape| states(scrape) == [2.0, 1.0]).await;
}

#[tokio::test]
async fn what_a_majority_has_is_not_lost() {
    let shop = set(&[
        "mongodb.replica_set.election_ms=500",
        "mongodb.replica_set.lag_ms=400",
        "mongodb.replica_set.write_concern=majority",
        "mongodb.replica_set.write_timeout_ms=600",
    ]);
    let before = shop.app.scrape().await.sum("db_client_connection_use_time_seconds_sum", &[]);
    let kept = order(&shop).await.json();
    let held_s = shop.app.scrape().await.sum("db_client_connection_use_time_seconds_sum", &[]) - before;
    assert!(held_s >= 0.4, "the connection is held until the secondary has it: {held_s}");
    shop.order(json!({"fault": "kill_primary", "for_ms": 3_600_000})).await;
    assert_eq!(found(&shop, &kept).await, 200);
    // With the secondary as the primary nobody is left who could have it as well: an arbiter keeps nothing.
    assert_eq!(order(&shop).await.error(), "store_write_concern_timeout");
    shop.order(json!({"fault": "none"})).await;
    assert_eq!(order(&shop).await.status.as_u16(), 201);
}

#[tokio::test]
async fn without_a_primary_writes_are_refused_and_secondaries_are_read() {
    let shop = set(&[
        "mongodb.replica_set.election_ms=3600000",
        "mongodb.server_selection_timeout_ms=100",
        "mongodb.replica_set.read_preference=secondaryPreferred",
    ]);
    shop.order(json!({"fault": "kill_primary", "for_ms": 3_600_000})).await;
    let refused = order(&shop).await;
    assert_eq!((refused.status.as_u16(), refused.error().as_str()), (503, "store_server_selection_timeout"));
    assert_eq!(refused.json()["detail"], "no primary could be had within 100 ms");
    assert_eq!(shop.app.get("/api/products/1").await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_secondary_answers_with_what_it_has_copied() {
    let shop = set(&["mongodb.replica_set.lag_ms=3600000", "mongodb.replica_set.read_preference=secondary"]);
    let order = order(&shop).await.json();
    assert_eq!(found(&shop, &order).await, 404);
    assert_eq!(shop.app.get("/api/products/1").await.status.as_u16(), 200, "what it began with it has");
    let scrape = shop.app.scrape().await;
    assert_eq!(scrape.sum("db_client_connection_use_time_seconds_count", &["mongodb-1"]), 2.0);
    assert_eq!(scrape.sum("db_client_connection_use_time_seconds_count", &["mongodb-0"]), 1.0);
}

#[tokio::test]
async fn what_the_primary_was_busy_with_is_cut_off() {
    let shop = set(&["mongodb.replica_set.election_ms=200", "mongodb.service_time_ms=2000"]);
    let app = shop.app.clone();
    let written =
        tokio::spawn(async move { app.post("/api/orders", &json!({"product_id": 1, "quantity": 2})).await });
    shop.app.scrape_until(|s| s.sum("db_client_connection_count", &["state=\"used\""]) == 1.0).await;
    shop.order(json!({"fault": "kill_primary", "for_ms": 100})).await;
    let cut_off = written.await.unwrap();
    assert_eq!((cut_off.status.as_u16(), cut_off.error().as_str()), (503, "store_cut_off"));
}

#[tokio::test]
async fn one_server_alone_is_back_with_all_it_had() {
    let shop = Breakable::serving(&["--dial", "mongodb.server_selection_timeout_ms=100"]);
    let kept = order(&shop).await.json();
    shop.order(json!({"fault": "kill_primary", "for_ms": 3_600_000})).await;
    assert_eq!(order(&shop).await.error(), "store_server_selection_timeout");
    shop.order(json!({"fault": "none"})).await;
    assert_eq!(found(&shop, &kept).await, 200);
    for wrong in [json!({"fault": "kill_primary"}), json!({"fault": "kill_primary", "for_ms": 5, "shard": 1})]
    {
        assert_eq!(shop.refused(&wrong).await, "unfit_fault", "{wrong}");
    }
}

#[tokio::test]
async fn what_is_lost_is_taken_out_once_whichever_process_does_it() {
    let dials = [
        "--replicas",
        "3",
        "--dial",
        "mongodb.replica_set.election_ms=700",
        "--dial",
        "mongodb.replica_set.lag_ms=3600000",
    ];
    let shop = Breakable::serving(&[&SET[..], &dials].concat());
    let mut lost = Vec::new();
    for _ in 0..9 {
        lost.push(order(&shop).await.json());
    }
    shop.order(json!({"fault": "kill_primary", "for_ms": 3_600_000})).await;
    let scrape = shop.app.scrape_until(|scrape| states(scrape) == [8.0, 1.0]).await;
    assert_eq!(scrape.sum("mongodb_rs_elections_total", &[]), 1.0);
    for order in &lost {
        assert_eq!(found(&shop, order).await, 404);
    }
    let kept = order(&shop).await.json();
    // Whoever comes later goes through the same outage, and finds that it is dealt with.
    let processes: Vec<Pid> = shop.processes();
    processes.iter().for_each(|pid| kill_process(*pid, Signal::KILL).unwrap());
    let back = |scrape: &Scrape| {
        scrape.sum("target_replica_restarts_total", &[]) == 3.0 && scrape.sum("target_replicas", &[]) == 3.0
    };
    shop.app.scrape_until(back).await;
    let scrape = shop.app.scrape_until(|scrape| states(scrape) == [8.0, 1.0]).await;
    assert_eq!(scrape.sum("mongodb_rs_rolled_back_documents_total", &["orders"]), 9.0);
    assert_eq!(found(&shop, &kept).await, 200);
}

#[tokio::test]
async fn a_job_whose_order_is_lost_has_failed() {
    let shop = set(&[
        "mongodb.replica_set.election_ms=300",
        "mongodb.replica_set.lag_ms=3600000",
        "queue.concurrency=2",
    ]);
    let job = order(&shop).await.json()["job_id"].clone();
    let state = async || shop.app.get(&format!("/api/jobs/{job}")).await.json();
    while state().await["status"] != "completed" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shop.order(json!({"fault": "kill_primary", "for_ms": 3_600_000})).await;
    shop.app.scrape_until(|scrape| states(scrape) == [8.0, 1.0]).await;
    let failed = state().await;
    assert_eq!((failed["status"].as_str(), &failed["order_id"]), (Some("failed"), &Value::Null), "{failed}");
    assert_eq!(failed["reason"], "the order was lost with a primary of the store");
}

#[tokio::test]
async fn a_shard_loses_its_own_primary() {
    let shop = set(&[
        "mongodb.shards=2",
        "mongodb.replica_set.election_ms=3600000",
        "mongodb.server_selection_timeout_ms=100",
    ]);
    shop.order(json!({"fault": "kill_primary", "for_ms": 3_600_000, "shard": 1})).await;
    let lead = json!({"email": "a@shop.example", "message": "hello"});
    assert_eq!(shop.app.post("/api/leads", &lead).await.error(), "store_server_selection_timeout");
    assert_eq!(order(&shop).await.status.as_u16(), 201, "orders are on the other one");
    let scrape =
        shop.app.scrape_until(|scrape| scrape.sum("mongodb_rs_members_state", &["rs1", "-1-0"]) == 8.0).await;
    assert_eq!(scrape.sum("mongodb_rs_members_state", &["rs0", "-0-0"]), 1.0);
}

#[tokio::test]
async fn a_fleet_sees_one_set_and_so_does_who_joins_it_later() {
    let dials = [
        "--replicas",
        "2",
        "--dial",
        "mongodb.replica_set.election_ms=3600000",
        "--dial",
        "mongodb.server_selection_timeout_ms=100",
    ];
    let shop = Breakable::serving(&[&SET[..], &dials].concat());
    let told = shop.order(json!({"fault": "kill_primary", "for_ms": 3_600_000})).await;
    assert_eq!(told.len(), 2);
    let scrape = shop.app.scrape_until(|scrape| states(scrape) == [8.0, 2.0]).await;
    assert_eq!(scrape.sum("mongodb_rs_elections_total", &[]), 0.0);
    // The supervisor's children are its replicas. Those that are started in their place read of the outage in the file.
    let processes: Vec<Pid> = shop.processes();
    assert_eq!(processes.len(), 2);
    processes.iter().for_each(|pid| kill_process(*pid, Signal::KILL).unwrap());
    let back = |scrape: &Scrape| {
        scrape.sum("target_replica_restarts_total", &[]) == 2.0 && scrape.sum("target_replicas", &[]) == 2.0
    };
    shop.app.scrape_until(back).await;
    for _ in 0..6 {
        assert_eq!(order(&shop).await.error(), "store_server_selection_timeout");
    }
    shop.order(json!({"fault": "none"})).await;
}
