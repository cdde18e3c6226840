//! The store in a MongoDB: the routes answer as over the embedded one, the pool's figures are the driver's, and what goes wrong
//! with the server is a problem and no hang.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use axum::http::StatusCode;
use futures_util::future::join_all;
use mongodb::bson::{Document, doc};
use serde_json::json;
use target_app::MONGODB_URI;

use crate::mongodb_server::Server;
use crate::routes::CASES;
use crate::support::{Remote, Running, Scrape};

const PRODUCT: &str = "/api/products/1";

fn connections(scrape: &Scrape, state: &str) -> f64 {
    scrape.sum("db_client_connection_count", &[state])
}

#[tokio::test]
async fn the_routes_answer_as_over_the_embedded_store() {
    let Some(server) = Server::start().await else { return };
    for (n, case) in CASES.into_iter().enumerate() {
        let app = Running::over(server.backend(&format!("shop{n}"), ""), "baseline", &[]).await;
        case(&app.remote).await;
        app.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_product_is_the_same_in_both_stores() {
    let Some(server) = Server::start().await else { return };
    let real = Running::over(server.backend("shop", ""), "baseline", &[]).await;
    let embedded = Running::quick().await;
    for path in
        [PRODUCT, "/api/products?page=7", "/api/products?category=lids&page=2", "/api/products?max_price=6"]
    {
        assert_eq!(real.remote.get(path).await.json(), embedded.remote.get(path).await.json(), "{path}");
    }
    let words = "/api/products/search?q=Engraved+Copper+kitchen+%22";
    let ids = |answer: &crate::support::Answer| {
        let items = answer.json()["items"].as_array().unwrap().clone();
        let mut ids: Vec<_> = items.iter().map(|item| item["id"].as_u64().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    let found = ids(&real.remote.get(words).await);
    assert!((1..20).contains(&found.len()), "no more than a page: {}", found.len());
    assert_eq!(found, ids(&embedded.remote.get("/api/products/search?q=engraved+copper+kitchen").await));
    for hostile in ["%5C", "(", ".*", "%5BA-Z", "$where"] {
        let answer = real.remote.get(&format!("/api/products/search?q={hostile}")).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"items": []})), "{hostile}");
    }
    real.stop().await.unwrap();
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_pool_of_ten_under_a_hundred_requests_is_ten_in_use_and_the_others_wait() {
    let Some(server) = Server::start().await else { return };
    let app =
        Running::over(server.backend("shop", ""), "baseline", &["mongodb.wait_queue_timeout_ms=600000"])
            .await;
    server.slow_down(2_000).await;
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let remote = app.remote.clone();
            tokio::spawn(async move { remote.get(PRODUCT).await.status })
        })
        .collect();
    // The driver opens two at a time, so the first may be through before the tenth is open.
    let waiting = |scrape: &Scrape| scrape.sum("db_client_connection_pending_requests", &[]);
    let full = app.remote.scrape_until(|s| connections(s, "used") == 10.0 && waiting(s) >= 50.0).await;
    assert!(waiting(&full) <= 90.0, "{}", waiting(&full));
    assert_eq!((connections(&full, "idle"), full.sum("db_client_connection_max", &[])), (0.0, 10.0));
    server.speed_up().await;
    for request in requests {
        assert_eq!(request.await.unwrap(), StatusCode::OK);
    }
    let all_back = |s: &Scrape| connections(s, "used") == 0.0 && waiting(s) == 0.0;
    let end = app.remote.scrape_until(all_back).await;
    assert_eq!(connections(&end, "idle"), 10.0);
    assert_eq!(end.sum("db_client_connection_created_total", &[]), 10.0);
    for name in ["wait_time_seconds_count", "use_time_seconds_count"] {
        assert_eq!(end.sum(&format!("db_client_connection_{name}"), &[]), 100.0, "{name}");
    }
    for (integral, sum) in
        [("used_seconds_total", "use_time_seconds_sum"), ("pending_seconds_total", "wait_time_seconds_sum")]
    {
        let [integral, sum] =
            [integral, sum].map(|name| end.sum(&format!("db_client_connection_{name}"), &[]));
        assert!((integral / sum - 1.0).abs() < 0.01, "an integral is the sum of its times: {integral} {sum}");
    }
    let by_id = ["collection=\"products\"", "operation=\"product_by_id\""];
    assert_eq!(end.sum("db_client_operation_duration_seconds_count", &by_id), 100.0);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn who_waits_too_long_is_told_so_and_the_pool_goes_on() {
    let Some(server) = Server::start().await else { return };
    let dials = ["mongodb.max_pool_size=1", "mongodb.wait_queue_timeout_ms=30"];
    let app = Running::over(server.backend("shop", ""), "baseline", &dials).await;
    server.slow_down(3_000).await;
    let first = tokio::spawn({
        let remote = app.remote.clone();
        async move { remote.get(PRODUCT).await.status }
    });
    app.remote.scrape_until(|s| connections(s, "used") == 1.0).await;
    let refused = join_all((0..20).map(|_| app.remote.get(PRODUCT))).await;
    for refused in &refused {
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.text, @r#"{"type":"https://eco-bottle.example/problems/pool_wait_queue_timeout","title":"pool wait queue timeout","status":503,"detail":"no connection became free within 30 ms: all 1 are in use","error":"pool_wait_queue_timeout"}"#);
        }
    }
    let scrape = app.remote.scrape().await;
    assert_eq!(scrape.sum("db_client_connection_timeouts_total", &[]), 20.0);
    assert_eq!(scrape.sum("db_client_connection_pending_requests", &[]), 0.0);
    server.speed_up().await;
    assert_eq!(first.await.unwrap(), StatusCode::OK);
    assert_eq!(app.remote.get(PRODUCT).await.status, StatusCode::OK, "nobody stands before who comes next");
    app.stop().await.unwrap();
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let Some(server) = Server::start().await else { return };
    let app = Running::over(server.backend("shop", ""), "baseline", &["mongodb.max_idle_time_ms=50"]).await;
    assert_eq!(app.remote.get(PRODUCT).await.status, StatusCode::OK);
    let closed = |s: &Scrape| s.sum("db_client_connection_closed_total", &[]);
    let end = app.remote.scrape_until(|s| closed(s) > 0.0 && connections(s, "idle") == 0.0).await;
    assert_eq!(closed(&end), end.sum("db_client_connection_created_total", &[]));
    app.stop().await.unwrap();
}

#[tokio::test]
async fn without_its_server_it_answers_with_a_problem_and_recovers_by_itself() {
    let Some(mut server) = Server::start().await else { return };
    let store = server.backend("shop", "serverSelectionTimeoutMS=1000");
    let dials = ["mongodb.max_pool_size=2", "mongodb.wait_queue_timeout_ms=300"];
    let app = Running::over(store, "baseline", &dials).await;
    let order = app.remote.post("/api/orders", &json!({"product_id": 5})).await.json();
    server.stop().await;
    for _ in 0..2 {
        // More than the pool has connections: those who wait for a turn are not told that the pool was too small.
        for refused in join_all((0..6).map(|_| app.remote.get(PRODUCT))).await {
            assert_eq!(
                (refused.status.as_u16(), refused.error().as_str()),
                (503, "store_unavailable"),
                "{}",
                refused.text
            );
        }
    }
    assert_eq!(app.remote.get("/healthz").await.status, StatusCode::OK);
    server.start_again().await;
    let mut recovered = false;
    for _ in 0..120 {
        recovered = app.remote.get(PRODUCT).await.status == StatusCode::OK;
        if recovered {
            break;
        }
    }
    assert!(recovered);
    assert_eq!(app.remote.get(&format!("/api/orders/{}", order["id"])).await.json(), order);
    let next = app.remote.post("/api/orders", &json!({"product_id": 5})).await.json();
    assert_eq!(next["id"].as_u64().unwrap(), order["id"].as_u64().unwrap() + 1);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn two_who_begin_at_once_fill_it_once() {
    let Some(server) = Server::start().await else { return };
    let start = || Running::over(server.backend("shop", ""), "baseline", &[]);
    let (first, second) = tokio::join!(start(), start());
    let database = server.client().await.database("shop");
    for (name, count) in [("products", 1_000), ("users", 200), ("orders", 0)] {
        assert_eq!(
            database.collection::<Document>(name).count_documents(doc! {}).await.unwrap(),
            count,
            "{name}"
        );
    }
    let mut ids: Vec<_> = join_all((0..20).map(|n| {
        let remote = if n % 2 == 0 { &first.remote } else { &second.remote };
        async move {
            remote.post("/api/orders", &json!({"product_id": n + 1})).await.json()["id"].as_u64().unwrap()
        }
    }))
    .await;
    ids.sort_unstable();
    assert_eq!(ids, (1..=20).collect::<Vec<_>>(), "they count together");
    let mut indexes = Vec::new();
    for name in ["products", "users", "leads"] {
        indexes.extend(database.collection::<Document>(name).list_index_names().await.unwrap());
    }
    for index in ["category_1_price_1", "email_1", "email_1_createdAt_-1", "status_1_createdAt_-1"] {
        assert!(indexes.iter().any(|name| name == index), "{index} is not among {indexes:?}");
    }
    first.stop().await.unwrap();
    second.stop().await.unwrap();
}

fn served(server: &Server, arguments: &[&str], secret: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_target-app"));
    command.args(["serve", "baseline", "--listen", "127.0.0.1:0", "--exit-with-stdin"]).args(arguments);
    command.env(MONGODB_URI, server.uri("shop", secret));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn the_replicas_of_a_fleet_share_it_and_its_uri_stands_in_no_list_of_processes() {
    let Some(server) = Server::start().await else { return };
    let mut child =
        served(&server, &["--replicas", "2", "--faults", "127.0.0.1:0"], "appName=geheim").spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let [address, faults] = ["listening http://", "faults http://"].map(|word| {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line.trim_end().strip_prefix(word).expect(&line).parse().unwrap()
    });
    let pid = child.id();
    let replicas = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert_eq!(replicas.split_whitespace().count(), 2);
    for pid in replicas.split_whitespace().chain([pid.to_string().as_str()]) {
        let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!arguments.contains("mongodb://"), "{arguments}");
    }
    for n in 1..=12 {
        // A client of its own is a connection of its own, which the kernel gives to any replica.
        let order = Remote::at(address).post("/api/orders", &json!({"product_id": n})).await.json();
        assert_eq!(order["id"], n);
        assert_eq!(Remote::at(address).get(&format!("/api/orders/{n}")).await.json(), order);
    }
    let order = json!({"fault": "slow", "resource": "mongodb", "factor": 2, "for_ms": 1_000});
    let refused = Remote::at(faults).post("/admin/faults", &order).await;
    assert_eq!((refused.status.as_u16(), refused.error().as_str()), (422, "unfit_fault"), "{}", refused.text);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn what_it_cannot_start_with_it_says_without_the_password() {
    let Some(server) = Server::start().await else { return };
    assert!(
        server
            .client()
            .await
            .database("shop")
            .collection("counters")
            .insert_one(doc! {"_id": "seed", "products": 5})
            .await
            .is_ok()
    );
    let filled = served(&server, &[], "").output().unwrap();
    let words = String::from_utf8(filled.stderr).unwrap();
    assert_eq!(filled.status.code(), Some(9), "{words}");
    assert!(words.contains("the database shop was filled with"), "{words}");
    let begins = |uri: &str| {
        let output = served(&server, &[], "").env(MONGODB_URI, uri).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (uri, code) in [
        ("mongo://ada:geheim@127.0.0.1", 2),
        ("mongodb://ada:ge%heim@127.0.0.1/shop", 9),
        ("mongodb://ada:geheim@127.0.0.1:1/shop?serverSelectionTimeoutMS=100", 9),
    ] {
        let (ended, words) = begins(uri);
        assert_eq!(ended, Some(code), "{words}");
        assert!(words.starts_with("error: ") && !words.contains("heim"), "{words}");
    }
}
