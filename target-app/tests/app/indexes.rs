//! The shop with and without its indexes: the same answers, found by going through everything, which takes as long as it is dialled to and never less
//! than it really does.

use serde_json::{Value, json};

use crate::support::{Remote, Running, Scrape};

fn counted(scrape: &Scrape, collection: &str, plan: &str) -> f64 {
    let labels = [format!("collection=\"{collection}\""), format!("plan=\"{plan}\"")];
    scrape.sum("db_client_operation_duration_seconds_count", &labels.each_ref().map(String::as_str))
}

fn scanned(scrape: &Scrape, collection: &str) -> f64 {
    scrape.sum("db_client_documents_scanned_total", &[&format!("collection=\"{collection}\"")])
}

/// The ids of what is found, in their order.
async fn found(remote: &Remote, path: &str) -> Vec<u64> {
    let answer = remote.get(path).await;
    assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.text);
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn without_indexes_the_answers_are_the_same() {
    let quick = ["mongodb.service_time_ms=1", "mongodb.scan_us_per_document=0"];
    let (indexed, scanning) = (Running::of("baseline", &quick).await, Running::of("unindexed", &quick).await);
    for path in [
        "/api/products",
        "/api/products?page=3",
        "/api/products?category=flasks",
        "/api/products?category=lids&max_price=40&page=2",
    ] {
        assert_eq!(found(&scanning.remote, path).await, found(&indexed.remote, path).await, "{path}");
    }
    // Few enough that all of them come; which is the best match only the index knows.
    let mut narrow = 0;
    for id in [17, 230, 999] {
        let product = indexed.remote.get(&format!("/api/products/{id}")).await.json();
        let name = product["name"].as_str().unwrap();
        let words: Vec<_> = name.split(' ').take(3).collect();
        let path = format!("/api/products/search?q={}", words.join("+").to_uppercase());
        let (mut with, mut without) =
            (found(&indexed.remote, &path).await, found(&scanning.remote, &path).await);
        with.sort_unstable();
        without.sort_unstable();
        narrow += u32::from(with.len() < 20);
        assert!(
            without.contains(&id) && (with.len() == 20 || with == without),
            "{path}: {with:?} {without:?}"
        );
    }
    assert!(narrow > 0, "too many matches to tell");
    for hostile in ["%22", "%27+OR+1%3D1", "a%25", "1+2+3+4+5+6+7+8+9"] {
        found(&scanning.remote, &format!("/api/products/search?q={hostile}")).await;
    }
    for app in [&indexed, &scanning] {
        let remote = &app.remote;
        let login = json!({"email": "user150@shop.example", "password": "correct-horse"});
        assert_eq!(remote.post("/api/login", &login).await.json()["user_id"], 150);
        let new = json!({"email": "ada@shop.example", "password": "x"});
        assert_eq!(remote.post("/api/users", &new).await.json()["id"], 201);
        let again = remote.post("/api/users", &new).await;
        assert_eq!((again.status.as_u16(), again.error().as_str()), (409, "email_taken"));
        for name in ["Ada", "Bob", "Cyd"] {
            remote.post("/api/leads", &json!({"email": "a@shop.example", "name": name})).await;
        }
        let leads = remote.get("/api/leads").await.json();
        let names: Vec<_> =
            leads["items"].as_array().unwrap().iter().map(|lead| lead["name"].clone()).collect();
        assert_eq!(names.iter().filter(|name| Value::is_string(name)).count(), 3);
    }
    indexed.stop().await.unwrap();
    scanning.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_gone_through_is_counted_and_takes_its_dialled_time() {
    // A category: 1 + 1,000 x 0.2 ms. User 50: 1 + 50 x 0.2.
    let app =
        Running::of("unindexed", &["mongodb.service_time_ms=1", "mongodb.scan_us_per_document=200"]).await;
    let uses = "db_client_connection_use_time_seconds_sum";
    let before = app.remote.scrape().await.sum(uses, &[]);
    found(&app.remote, "/api/products?category=flasks").await;
    found(&app.remote, "/api/products/search?q=steel").await;
    let after = app.remote.scrape_until(|s| s.sum("db_client_connection_count", &["used"]) == 0.0).await;
    assert_eq!((counted(&after, "products", "COLLSCAN"), scanned(&after, "products")), (2.0, 2_000.0));
    let held_s = after.sum(uses, &[]) - before;
    assert!(held_s >= 0.402 - 0.001, "two of 201 ms: {held_s}");

    app.remote.get("/api/products/7").await;
    found(&app.remote, "/api/products?page=2").await;
    app.remote
        .post("/api/login", &json!({"email": "user50@shop.example", "password": "correct-horse"}))
        .await;
    app.remote.post("/api/login", &json!({"email": "nobody@shop.example", "password": "x"})).await;
    app.remote.post("/api/users", &json!({"email": "ada@shop.example", "password": "x"})).await;
    app.remote.post("/api/users", &json!({"email": "user10@shop.example", "password": "x"})).await;
    app.remote.post("/api/orders", &json!({"product_id": 1})).await;
    let scrape = app.remote.scrape().await;
    assert_eq!((counted(&scrape, "products", "IXSCAN"), scanned(&scrape, "products")), (2.0, 2_000.0));
    assert_eq!(
        (counted(&scrape, "users", "COLLSCAN"), scanned(&scrape, "users")),
        (4.0, 50.0 + 200.0 + 200.0 + 10.0)
    );
    assert_eq!(counted(&scrape, "orders", "none"), 1.0);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn with_indexes_nothing_is_gone_through() {
    let app = Running::quick().await;
    found(&app.remote, "/api/products?category=flasks").await;
    found(&app.remote, "/api/products/search?q=steel").await;
    app.remote.post("/api/users", &json!({"email": "ada@shop.example", "password": "x"})).await;
    let scrape = app.remote.scrape().await;
    assert_eq!(scrape.sum("db_client_documents_scanned_total", &[]), 0.0);
    assert_eq!(scrape.sum("db_scan_cpu_seconds_total", &[]), 0.0);
    assert_eq!((counted(&scrape, "products", "IXSCAN"), counted(&scrape, "users", "none")), (2.0, 1.0));
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_scan_that_takes_longer_than_its_dial_lengthens_the_hold_and_nobody_else_pays() {
    // One connection, so that a debt of the scan would be taken off the reads that follow it.
    let dials = [
        "mongodb.max_pool_size=1",
        "mongodb.service_time_ms=10",
        "mongodb.scan_us_per_document=0",
        "store.products=30000",
    ];
    let app = Running::of("unindexed", &dials).await;
    // By words that are nowhere: all of every document is read.
    let search = "/api/products/search?q=nowhere+to+be+found+at+all";
    for _ in 0..3 {
        found(&app.remote, search).await;
        for id in 1..=3 {
            app.remote.get(&format!("/api/products/{id}")).await;
        }
    }
    let scrape = app.remote.scrape_until(|s| s.sum("db_client_connection_count", &["used"]) == 0.0).await;
    let (scans_s, held_s) = (
        scrape.sum("db_scan_cpu_seconds_total", &[]),
        scrape.sum("db_client_connection_use_time_seconds_sum", &[]),
    );
    assert!(scans_s > 0.036, "three scans, each longer than the dial of 10 ms: {scans_s} s");
    assert!(
        held_s >= scans_s + 9.0 * 0.010 - 0.001,
        "three scans of {scans_s} s and nine reads of 10 ms: {held_s} s"
    );
    app.stop().await.unwrap();
}
