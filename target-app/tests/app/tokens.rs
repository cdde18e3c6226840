//! Tokens from outside: which are taken, what the others are told, and whose requests they make.

use std::time::Duration;

use axum::http::Method;
use serde_json::json;

use crate::support::{Answer, Remote, Running};

const INVALID: &str = "Bearer realm=\"shop\", error=\"invalid_token\"";

async fn token(remote: &Remote) -> String {
    let login = json!({"email": "user1@shop.example", "password": "correct-horse"});
    remote.post("/api/login", &login).await.json()["token"].as_str().unwrap().to_owned()
}

async fn ask(remote: &Remote, path: &str, token: &str) -> Answer {
    remote.send(Method::GET, path, &[("authorization", &format!("Bearer {token}"))], "").await
}

fn told(answer: &Answer) -> (u16, String, &str) {
    (answer.status.as_u16(), answer.error(), answer.headers["www-authenticate"].to_str().unwrap())
}

#[tokio::test]
async fn a_token_of_another_seed_or_user_or_end_or_with_a_letter_changed_is_none() {
    let app = Running::quick().await;
    let other = Running::with(&["store.seed=1"]).await;
    let (ours, foreign) = (token(&app.remote).await, token(&other.remote).await);
    let (claims, proof) = ours.rsplit_once('.').unwrap();
    let (_, end) = claims.split_once('.').unwrap();
    let changed = ours.replace(|c: char| c == ours.chars().last().unwrap(), "g");
    let long = "a".repeat(6_000);
    let forged = [
        &foreign,
        &format!("2.{end}.{proof}"),
        &format!("1.{end}0.{proof}"),
        &format!("01.{end}.{proof}"),
        &format!("-1.{end}.{proof}"),
        &format!("1.{proof}"),
        &changed,
        proof,
        claims,
        "..",
        ".",
        &long,
    ];
    assert_eq!(ask(&app.remote, "/api/me", &ours).await.status.as_u16(), 200);
    for token in forged.iter().filter(|token| **token != ours) {
        let answer = ask(&app.remote, "/api/me", token).await;
        assert_eq!(told(&answer), (401, "unauthorized".to_owned(), INVALID), "{token}");
    }
    let without = app.remote.get("/api/me").await;
    assert_eq!(told(&without), (401, "unauthorized".to_owned(), "Bearer realm=\"shop\""));
    app.stop().await.unwrap();
    other.stop().await.unwrap();
}

#[tokio::test]
async fn a_token_ends_when_it_says_at_every_app_of_the_seed() {
    let brief = Running::with(&["mongodb.service_time_ms=1", "session.token_ttl_s=1"]).await;
    let long = Running::quick().await;
    let (ending, lasting) = (token(&brief.remote).await, token(&long.remote).await);
    // What one of them may see ends; nothing here waits for less than its time.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for app in [&brief, &long] {
        let answer = ask(&app.remote, "/api/me", &ending).await;
        assert_eq!(told(&answer), (401, "token_expired".to_owned(), INVALID));
        assert_eq!(ask(&app.remote, "/api/me", &lasting).await.json()["id"], 1);
        // Where nobody asks who it is, it matters no more than one that was made up.
        assert_eq!(ask(&app.remote, "/api/products/1", &ending).await.status.as_u16(), 200);
    }
    brief.stop().await.unwrap();
    long.stop().await.unwrap();
}

#[tokio::test]
async fn who_asks_with_an_expired_token_is_an_address_to_the_limiter() {
    let app = Running::of("limited", &["rate_limiter.points=2", "session.token_ttl_s=1"]).await;
    let ending = token(&app.remote).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // The login and the first of these were the address's two; of its user's own none was touched.
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(ask(&app.remote, "/api/products/1", &ending).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 429]);
    app.stop().await.unwrap();
}
