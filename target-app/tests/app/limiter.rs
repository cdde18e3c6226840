//! The rate limiter seen through HTTP: what a rejected request is told and what it costs, whom it concerns and whom not. Its
//! windows and blocks themselves are tested beside it, on a clock of their own.

use axum::http::Method;
use serde_json::json;
use target_app::route::{ROUTES, Route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Remote, Running, Scrape};

const PRODUCT: &str = "/api/products/1";
const FREE: [&str; 4] = ["/metrics", "/healthz", "/readyz", "/openapi.json"];

/// `limited` with fewer points, quick operations and these dials.
async fn limited(points: &str, dials: &[&str]) -> Running {
    let points = format!("rate_limiter.points={points}");
    let dials: Vec<_> =
        [points.as_str(), "mongodb.service_time_ms=1"].into_iter().chain(dials.iter().copied()).collect();
    Running::of("limited", &dials).await
}

/// Allowed, rejected and forgotten.
fn counted(scrape: &Scrape) -> [f64; 3] {
    ["allowed", "rejected", "forgotten"].map(|what| scrape.sum(&format!("rate_limiter_{what}_total"), &[]))
}

async fn statuses(remote: &Remote, times: usize, headers: &[(&str, &str)]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(remote.send(Method::GET, PRODUCT, headers, "").await.status.as_u16());
    }
    statuses
}

fn retry_after_s(answer: &Answer) -> u64 {
    answer.headers["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn who_asks_for_more_than_there_is_gets_429_and_when_to_come_back() {
    let app = limited("3", &[]).await;
    assert_eq!(statuses(&app.remote, 4, &[]).await, [200, 200, 200, 429]);
    let rejected = app.remote.get(PRODUCT).await;
    assert_eq!((rejected.status.as_u16(), rejected.error().as_str()), (429, "rate_limited"));
    insta::assert_snapshot!(rejected.text, @r#"{"type":"https://eco-bottle.example/problems/rate_limited","title":"rate limited","status":429,"detail":"a user may ask 3 times in 900s; ask again when Retry-After has passed","error":"rate_limited"}"#);
    // A test that takes longer than ten seconds between two requests has other worries.
    assert!((890..=900).contains(&retry_after_s(&rejected)), "{:?}", rejected.headers);

    let scrape = app.remote.scrape().await;
    assert_eq!(counted(&scrape), [3.0, 2.0, 0.0]);
    let answered =
        |status: &str| scrape.sum("http_requests_total", &["route=\"/api/products/{id}\"", status]);
    assert_eq!((answered("status=\"200\""), answered("status=\"429\"")), (3.0, 2.0));
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_part_of_a_second_is_a_second_to_wait() {
    let app = limited("1", &["rate_limiter.window_ms=300", "rate_limiter.block_ms=900"]).await;
    let rejected = loop {
        let answer = app.remote.get(PRODUCT).await;
        if answer.status.as_u16() == 429 {
            break answer;
        }
    };
    assert_eq!(retry_after_s(&rejected), 1);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_window_that_is_over_gives_the_points_back() {
    let app = limited("1", &["rate_limiter.window_ms=1", "rate_limiter.block_ms=0"]).await;
    let mut allowed = 0;
    // Each is allowed or came within a millisecond of one that was.
    for _ in 0..2_000 {
        allowed += u32::from(app.remote.get(PRODUCT).await.status.as_u16() == 200);
        if allowed == 3 {
            break;
        }
    }
    assert_eq!(allowed, 3);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn users_who_logged_in_have_points_of_their_own_wherever_they_are() {
    let app = limited("2", &[]).await;
    let mut bearers = Vec::new();
    for number in [1, 2] {
        let user = json!({"email": format!("user{number}@shop.example"), "password": "correct-horse"});
        let session = app.remote.post("/api/login", &user).await.json();
        bearers.push(format!("Bearer {}", session["token"].as_str().unwrap()));
    }
    // The logins were the address's own requests.
    assert_eq!(statuses(&app.remote, 1, &[]).await, [429]);
    let (ada, bob) = ([("authorization", bearers[0].as_str())], [("authorization", bearers[1].as_str())]);
    assert_eq!(statuses(&app.remote, 3, &ada).await, [200, 200, 429]);
    assert_eq!(statuses(&app.remote, 1, &bob).await, [200]);
    let elsewhere = app.remote.from([127, 0, 0, 2].into());
    assert_eq!(statuses(&elsewhere, 1, &ada).await, [429]);
    assert_eq!(statuses(&elsewhere, 2, &bob).await, [200, 429]);
    assert_eq!(statuses(&elsewhere, 2, &[]).await, [200, 200]);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_gets_more_by_saying_to_be_somebody_else() {
    let app = limited("1", &[]).await;
    assert_eq!(statuses(&app.remote, 1, &[]).await, [200]);
    for claim in [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-real-ip", "203.0.113.7"),
        ("forwarded", "for=203.0.113.7"),
        ("authorization", "Bearer 7.00"),
        ("authorization", "Basic YTpi"),
    ] {
        assert_eq!(statuses(&app.remote, 1, &[claim]).await, [429], "{claim:?}");
    }
    assert_eq!(counted(&app.remote.scrape().await), [1.0, 5.0, 0.0]);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn what_tells_of_the_app_itself_answers_the_blocked_and_takes_no_points() {
    let app = limited("2", &[]).await;
    for _ in 0..3 {
        for path in FREE {
            assert_eq!(app.remote.get(path).await.status.as_u16(), 200, "{path}");
        }
    }
    assert_eq!(statuses(&app.remote, 3, &[]).await, [200, 200, 429]);
    for path in FREE {
        assert_eq!(app.remote.get(path).await.status.as_u16(), 200, "{path}");
    }
    let scrape = app.remote.scrape().await;
    assert_eq!((counted(&scrape), scrape.sum("rate_limiter_users", &[])), ([2.0, 1.0, 0.0], 1.0));
    app.stop().await.unwrap();
}

/// The request to each route is the second of its address, so nothing but the rule decides.
#[tokio::test]
async fn the_document_says_429_exactly_where_it_is_answered() {
    let app = limited("1", &[]).await;
    let document = app.remote.get("/openapi.json").await.json();
    assert_eq!(statuses(&app.remote, 1, &[]).await, [200]);
    for Route { method, template, .. } in ROUTES {
        let path = template.replace("{id}", "1").replace("{asset}", "app.css");
        let answer = app.remote.send(method.parse().unwrap(), &path, &[], "").await;
        let told = &document["paths"][template][method.to_lowercase()]["responses"]["429"];
        assert_eq!(answer.status.as_u16() == 429, told.is_object(), "{method} {template}: {answer:?}");
        assert_eq!(answer.headers.contains_key("retry-after"), told["headers"]["Retry-After"].is_object());
    }
    // Nor does guessing paths go on for ever.
    for (method, path) in [(Method::GET, "/nowhere"), (Method::POST, "/metrics"), (Method::HEAD, PRODUCT)] {
        assert_eq!(app.remote.send(method, path, &[], "").await.status.as_u16(), 429, "{path}");
    }
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_rejected_request_takes_no_connection_and_costs_what_its_own_dial_says() {
    // Were it charged as a read, each would take a second.
    let dials = [
        "app.cpu_us_per_request.login=0",
        "app.cpu_us_per_request.read=1000000",
        "app.cpu_us_per_request.rejected=0",
    ];
    let app = limited("1", &dials).await;
    let login = json!({"email": "user1@shop.example", "password": "correct-horse"});
    assert_eq!(app.remote.post("/api/login", &login).await.status.as_u16(), 200);
    let checkouts = "db_client_connection_use_time_seconds_count";
    let before = app.remote.scrape().await.sum(checkouts, &[]);
    assert_eq!(statuses(&app.remote, 20, &[]).await, [429; 20]);
    let after = app.remote.scrape().await;
    assert_eq!(after.sum(checkouts, &[]), before);
    let took_s = after.sum("http_request_duration_seconds_sum", &["route=\"/api/products/{id}\""]);
    assert!(took_s < 10.0, "20 of them took {took_s} s");
    app.stop().await.unwrap();
}

#[tokio::test]
async fn however_many_users_come_no_more_are_remembered_than_there_is_room_for() {
    let app = limited("1", &["rate_limiter.max_users=3"]).await;
    for last in 1..=8 {
        let user = app.remote.from([127, 0, 1, last].into());
        assert_eq!(statuses(&user, 1, &[]).await, [200]);
        assert!(app.remote.scrape().await.sum("rate_limiter_users", &[]) <= 3.0);
    }
    let scrape = app.remote.scrape().await;
    assert_eq!((counted(&scrape), scrape.sum("rate_limiter_users", &[])), ([8.0, 0.0, 5.0], 3.0));
    app.stop().await.unwrap();
}

#[tokio::test]
async fn with_no_points_there_is_no_limiter_and_nothing_is_counted() {
    let app = limited("0", &[]).await;
    assert_eq!(statuses(&app.remote, 150, &[]).await, [200; 150]);
    let scrape = app.remote.scrape().await;
    assert_eq!((counted(&scrape), scrape.sum("rate_limiter_users", &[])), ([0.0; 3], 0.0));
    app.stop().await.unwrap();
}

#[tokio::test]
async fn as_it_ships_the_hundred_and_first_request_is_rejected() {
    let app = Running::of("limited", &["mongodb.service_time_ms=1"]).await;
    let mut expected = vec![200; 100];
    expected.extend([429; 5]);
    assert_eq!(statuses(&app.remote, 105, &[]).await, expected);
    assert_eq!(counted(&app.remote.scrape().await), [100.0, 5.0, 0.0]);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_rejected_request_whose_body_nobody_reads_leaves_its_connection_open() {
    let app = limited("1", &[]).await;
    assert_eq!(statuses(&app.remote, 1, &[]).await, [200]);
    let mut connection = TcpStream::connect(app.remote.address).await.unwrap();
    let body = json!({"email": "a@shop.example", "message": "x".repeat(5_000)}).to_string();
    let head = "POST /api/leads HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
    for round in 0..3 {
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert_ne!(connection.read_buf(&mut answer).await.unwrap(), 0, "round {round}: closed");
        }
        assert!(answer.starts_with(b"HTTP/1.1 429 "), "round {round}: {}", String::from_utf8_lossy(&answer));
    }
    app.stop().await.unwrap();
}
