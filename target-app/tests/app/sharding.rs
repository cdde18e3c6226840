//! Shards of the embedded store: who is asked for what, that nothing is lost or found twice on the way from one number of shards to another, and what
//! sharding costs.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::backup::{Shop, command, text};
use crate::support::{Remote, Scrape};

fn shards(count: usize) -> [String; 2] {
    ["--dial".to_owned(), format!("mongodb.shards={count}")]
}

/// Operations of this kind at each of three shards.
fn operations(scrape: &Scrape, operation: &str) -> [f64; 3] {
    [0, 1, 2].map(|shard| {
        let server = format!("server=\"mongodb-shard-{shard}\"");
        let operation = format!("operation=\"{operation}\"");
        scrape.sum("db_client_operation_duration_seconds_count", &[&server, &operation])
    })
}

async fn login(remote: &Remote, email: &str, password: &str) -> String {
    let answer = remote.post("/api/login", &json!({"email": email, "password": password})).await;
    assert_eq!(answer.status.as_u16(), 200, "{email}: {}", answer.text);
    answer.json()["token"].as_str().unwrap().to_owned()
}

async fn email_of(remote: &Remote, token: &str) -> Value {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    remote.send(axum::http::Method::GET, "/api/me", &headers, "").await.json()["email"].clone()
}

#[tokio::test]
async fn each_operation_asks_the_shards_that_can_know() {
    let [flag, dial] = shards(3);
    let shop = Shop::of(&[&flag, &dial]);
    for id in 1..=12 {
        let email = format!("user{id}@shop.example");
        let token = login(&shop.remote, &email, "correct-horse").await;
        assert_eq!(email_of(&shop.remote, &token).await, email);
    }
    for n in 0..5 {
        let lead = json!({"email": "a@shop.example", "message": format!("no. {n}")});
        assert_eq!(shop.remote.post("/api/leads", &lead).await.status.as_u16(), 201);
    }
    let leads = shop.remote.get("/api/leads?status=new").await.json()["items"].clone();
    let messages: Vec<_> = leads.as_array().unwrap().iter().map(|lead| lead["message"].clone()).collect();
    assert_eq!(messages, ["no. 4", "no. 3", "no. 2", "no. 1", "no. 0"]);
    for id in 1..=4 {
        assert_eq!(shop.remote.get(&format!("/api/products/{id}")).await.status.as_u16(), 200);
    }
    let scrape = shop.remote.scrape().await;
    assert_eq!(operations(&scrape, "user_by_email"), [12.0; 3], "an email is no shard key");
    let by_id = operations(&scrape, "user_by_id");
    assert!(by_id.iter().sum::<f64>() == 12.0 && by_id.iter().all(|count| *count > 0.0), "{by_id:?}");
    assert_eq!(operations(&scrape, "lead_insert"), [0.0, 0.0, 5.0], "what is new is on the last one");
    assert_eq!(operations(&scrape, "leads_list"), [1.0; 3]);
    assert_eq!(operations(&scrape, "product_by_id"), [4.0, 0.0, 0.0]);
    shop.end();
}

#[tokio::test]
async fn an_email_is_taken_on_whichever_shard_its_user_is() {
    let [flag, dial] = shards(3);
    let shop = Shop::of(&[&flag, &dial]);
    let mut ids = BTreeSet::new();
    for n in 0..6 {
        let user = json!({"email": format!("new{n}@shop.example"), "password": "x"});
        let added = shop.remote.post("/api/users", &user).await;
        assert!(ids.insert(added.json()["id"].as_u64().unwrap()), "{}", added.text);
        assert_eq!(shop.remote.post("/api/users", &user).await.error(), "email_taken");
    }
    let scrape = shop.remote.scrape().await;
    assert_eq!(
        operations(&scrape, "user_insert").iter().sum::<f64>(),
        6.0,
        "none is asked to add who is known"
    );
    assert_eq!(operations(&scrape, "user_by_email"), [12.0; 3]);
    shop.end();
}

/// Everything that a store has, as it can be asked for.
async fn contents(remote: &Remote) -> (Vec<Value>, Value, u16) {
    let mut emails = Vec::new();
    for email in ["user1@shop.example", "user2@shop.example", "user200@shop.example"] {
        let token = login(remote, email, "correct-horse").await;
        emails.push(email_of(remote, &token).await);
    }
    for n in 0..4 {
        let token = login(remote, &format!("kept{n}@shop.example"), "x").await;
        emails.push(email_of(remote, &token).await);
    }
    let leads = remote.get("/api/leads?status=new").await.json()["items"].clone();
    (emails, leads, remote.get("/api/orders/1").await.status.as_u16())
}

#[tokio::test]
async fn nothing_is_lost_or_found_twice_when_the_shards_are_others() {
    let place = tempfile::tempdir().unwrap();
    let [store, again, backup] = ["shop", "again", "backup.gz"].map(|name| place.path().join(name));
    let serve = |count: usize| {
        let [flag, dial] = shards(count);
        Shop::of(&["--store", text(&store), &flag, &dial])
    };
    let shop = serve(1);
    for n in 0..4 {
        let user = json!({"email": format!("kept{n}@shop.example"), "password": "x"});
        assert_eq!(shop.remote.post("/api/users", &user).await.status.as_u16(), 201);
    }
    for n in 0..12 {
        let lead = json!({"email": "a@shop.example", "message": format!("no. {n}")});
        assert_eq!(shop.remote.post("/api/leads", &lead).await.status.as_u16(), 201);
        // Those of one instant have no order.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    shop.remote.post("/api/orders", &json!({"product_id": 1})).await;
    let before = contents(&shop.remote).await;
    assert_eq!((before.1.as_array().unwrap().len(), before.2), (12, 200));
    shop.end();
    for count in [3, 3, 2, 5, 1, 4] {
        let shop = serve(count);
        assert_eq!(contents(&shop.remote).await, before, "{count} shards");
        shop.end();
        let files = std::fs::read_dir(&store).unwrap().filter(|entry| {
            entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "sqlite")
        });
        assert_eq!(files.count(), count);
    }
    let written = command(&["backup", "--from", text(&store), "--to", text(&backup)]).output().unwrap();
    let words = String::from_utf8(written.stdout).unwrap();
    assert!(words.contains(": 1000 products, 204 users, 12 leads, 1 orders"), "{words}");
    let restored = Shop::of(&["--store", text(&again), "--restore", text(&backup)]);
    assert_eq!(contents(&restored.remote).await, before);
    restored.end();
}
