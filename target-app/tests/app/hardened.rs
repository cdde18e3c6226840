//! The protections seen from outside, each refusing and letting pass. TLS has its tests in `tls`; here it is off, so that what
//! is looked at is HTTP.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use ring::{digest, hmac};
use serde_json::{Value, json};
use target_app::Protections;
use target_app::route::{ROUTES, Route};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Remote, Running, Scrape};

const ORDER: &str = r#"{"product_id":7,"quantity":2}"#;
/// As README.md has it, for the seed that ships.
const KEY: &str = "8be3d55d169325c4db5d2dff6151f5a1d8ddd177d77fa4f5a5985ffd6be46de5";
const LISTED: &str = "https://shop.example";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The time that the signatures of a client have: what this machine stamps a new file with.
fn now_s() -> u64 {
    let made = tempfile::tempfile().unwrap().metadata().unwrap().modified().unwrap();
    made.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// The headers of a signed POST, computed as README.md says and with nothing of the app's.
fn signed(path: &str, at_s: u64, nonce: &str, body: &str) -> Vec<(&'static str, String)> {
    let body = hex(digest::digest(&digest::SHA256, body.as_bytes()).as_ref());
    let text = format!("POST\n{path}\n{at_s}\n{nonce}\n{body}");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()), text.as_bytes());
    vec![
        ("content-type", "application/json".to_owned()),
        ("x-key-id", "shop-web".to_owned()),
        ("x-timestamp", at_s.to_string()),
        ("x-nonce", nonce.to_owned()),
        ("x-signature", hex(signature.as_ref())),
    ]
}

async fn post(remote: &Remote, path: &str, headers: &[(&'static str, String)], body: &str) -> Answer {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    remote.send(Method::POST, path, &headers, body).await
}

/// `hardened` in clear text.
async fn hardened(dials: &[&str], protections: Protections) -> Running {
    let dials: Vec<_> =
        ["tls.version=off", "mongodb.service_time_ms=1"].into_iter().chain(dials.iter().copied()).collect();
    Running::protected("hardened", &dials, protections).await
}

fn rejected(scrape: &Scrape, reason: &str) -> f64 {
    scrape.sum("rejected_total", &[&format!("reason=\"{reason}\"")])
}

#[tokio::test]
async fn every_answer_tells_browsers_what_they_may_do_with_it() {
    let app = hardened(&["rate_limiter.points=3"], Protections::default()).await;
    let statuses = [("/api/products/1", 200), ("/static/app.js", 200), ("/nowhere", 404), ("/api/me", 429)];
    for (path, status) in statuses {
        let answer = app.remote.get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!answer.headers.contains_key("strict-transport-security"), "in clear text it means nothing");
    }
    assert_eq!(rejected(&app.remote.scrape().await, "rate_limited"), 1.0);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_foreign_origin_gets_nothing_and_a_listed_one_its_allowance() {
    let listed = Protections { allow_origins: vec![LISTED.parse().unwrap()], ..Protections::default() };
    let app = hardened(&[], listed).await;
    let own = format!("http://{}", app.remote.address);
    let ask = |method, origin: &str| {
        let (remote, origin) = (app.remote.clone(), origin.to_owned());
        async move {
            let wanted = ("access-control-request-method", "POST");
            remote.send(method, "/api/products/1", &[("origin", &origin), wanted], "").await
        }
    };
    for foreign in ["https://evil.example", "http://shop.example", "null"] {
        for method in [Method::OPTIONS, Method::GET] {
            let answer = ask(method, foreign).await;
            assert_eq!((answer.status, answer.error().as_str()), (StatusCode::FORBIDDEN, "foreign_origin"));
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
        }
    }
    let preflight = ask(Method::OPTIONS, LISTED).await;
    assert_eq!(preflight.status, StatusCode::OK);
    assert_eq!(preflight.headers["access-control-allow-origin"], LISTED);
    let headers = preflight.headers["access-control-allow-headers"].to_str().unwrap();
    assert!(headers.contains("x-signature") && headers.contains("authorization"), "{headers}");
    let read = ask(Method::GET, LISTED).await;
    assert_eq!(read.status, StatusCode::OK);
    assert_eq!(read.headers["access-control-allow-origin"], LISTED);
    assert_eq!(ask(Method::GET, &own).await.status, StatusCode::OK);
    assert_eq!(rejected(&app.remote.scrape().await, "foreign_origin"), 6.0);

    // Browsers open sockets to anywhere, so the app has to look.
    let socket = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("origin", "https://evil.example"),
    ];
    assert_eq!(app.remote.send(Method::GET, "/ws", &socket, "").await.status, StatusCode::FORBIDDEN);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_write_is_taken_once_if_it_is_signed() {
    let app = hardened(&[], Protections::default()).await;
    let path = "/api/orders";
    let now = now_s();
    let good = signed(path, now, "n-1", ORDER);
    assert_eq!(post(&app.remote, path, &good, ORDER).await.status, StatusCode::CREATED);
    let mut renamed = signed(path, now, "n-2", ORDER);
    renamed[1].1 = "somebody".to_owned();
    let mut broken = signed(path, now, "n-3", ORDER);
    broken[4].1 = "soon".to_owned();
    let refused = [
        ("signature_replayed", good.clone(), ORDER),
        ("signature_missing", good[..3].to_vec(), ORDER),
        ("signature_unknown_key", renamed, ORDER),
        ("signature_malformed", broken, ORDER),
        ("signature_stale", signed(path, now - 400, "n-4", ORDER), ORDER),
        ("signature_stale", signed(path, now + 400, "n-5", ORDER), ORDER),
        ("signature_wrong", signed("/api/leads", now, "n-6", ORDER), ORDER),
        ("signature_wrong", signed(path, now, "n-7", ORDER), r#"{"product_id":7,"quantity":900}"#),
    ];
    for (reason, headers, body) in &refused {
        let answer = post(&app.remote, path, headers, body).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::UNAUTHORIZED, *reason));
    }
    let scrape = app.remote.scrape().await;
    for (reason, ..) in &refused {
        let times = refused.iter().filter(|(other, ..)| other == reason).count();
        assert_eq!(rejected(&scrape, reason), times as f64, "{reason}");
    }
    assert_eq!(scrape.sum("http_requests_total", &["/api/orders", "status=\"401\""]), 8.0);
    // The same order again is another request.
    assert_eq!(
        post(&app.remote, path, &signed(path, now, "n-8", ORDER), ORDER).await.status,
        StatusCode::CREATED
    );
    // A query belongs to what is signed, and who only reads signs nothing.
    let queried = signed("/api/orders?a=1", now, "n-9", ORDER);
    assert_eq!(post(&app.remote, "/api/orders?a=1", &queried, ORDER).await.status, StatusCode::CREATED);
    assert_eq!(app.remote.get("/api/orders/1").await.status, StatusCode::OK);
    let long = "x".repeat(70_000);
    let answer = post(&app.remote, path, &signed(path, now, "n-10", &long), &long).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
    app.stop().await.unwrap();
}

#[tokio::test]
async fn without_signing_the_rest_of_hardened_takes_plain_writes() {
    let app = hardened(&["request_signing.required=off"], Protections::default()).await;
    let order: Value = serde_json::from_str(ORDER).unwrap();
    assert_eq!(app.remote.post("/api/orders", &order).await.status, StatusCode::CREATED);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn the_document_says_401_wherever_a_signature_may_be_asked_for() {
    let app = hardened(&[], Protections::default()).await;
    let document = app.remote.get("/openapi.json").await.json();
    for Route { method, template, .. } in ROUTES.iter().filter(|route| route.method == "POST") {
        let answer = app.remote.send(method.parse().unwrap(), template, &[], "").await;
        assert_eq!(answer.error(), "signature_missing");
        let operation = &document["paths"][template]["post"];
        assert!(operation["responses"]["401"].is_object(), "{template}");
        let parameters = operation["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|parameter| parameter["name"] == "X-Signature"), "{template}");
    }
    for Route { method, template, .. } in ROUTES {
        let told = &document["paths"][template][method.to_lowercase()]["responses"]["403"];
        assert!(told.is_object(), "{method} {template}");
    }
    app.stop().await.unwrap();
}

#[tokio::test]
async fn an_order_whose_client_goes_away_is_in_the_audit_log_too() {
    let app = Running::with(&["audit_log.enabled=on", "mongodb.service_time_ms=2000"]).await;
    let remote = app.remote.clone();
    let client = tokio::spawn(async move { remote.post("/api/orders", &json!({"product_id": 1})).await });
    app.remote.scrape_until(|scrape| scrape.sum("db_client_connection_count", &["used"]) == 1.0).await;
    client.abort();
    let gone = app.remote.scrape_until(|s| s.sum("http_requests_total", &["status=\"499\""]) == 1.0).await;
    assert_eq!(gone.sum("audit_log_events_total", &[]), 0.0, "it is not placed yet");
    app.remote.scrape_until(|scrape| scrape.sum("audit_log_events_total", &[]) == 1.0).await;
    assert_eq!(app.remote.get("/api/orders/1").await.json()["product_id"], 1);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn the_audit_log_has_a_line_for_each_event_and_all_are_there_at_the_end() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit");
    let given = Protections { audit_log: Some(path.clone()), ..Protections::default() };
    let app = hardened(&["request_signing.required=off"], given).await;
    let login = |password| json!({"email": "user1@shop.example", "password": password});
    app.remote.post("/api/login", &login("correct-horse")).await;
    app.remote.post("/api/login", &login("battery")).await;
    app.remote.post("/api/users", &json!({"email": "new@shop.example", "password": "x"})).await;
    app.remote.post("/api/orders", &serde_json::from_str(ORDER).unwrap()).await;
    app.remote.send(Method::GET, "/api/me", &[("origin", "https://evil.example")], "").await;
    app.stop().await.unwrap();

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            assert_eq!(line["peer"], "127.0.0.1");
            let mut rest = line.as_object().unwrap().clone();
            for common in ["at_ms", "peer"] {
                rest.remove(common);
            }
            Value::Object(rest).to_string()
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    {"event":"login","user_id":1}
    {"email":"user1@shop.example","event":"login_failed"}
    {"email":"new@shop.example","event":"registration"}
    {"event":"order","product_id":7,"quantity":2}
    {"event":"rejected","reason":"foreign_origin","route":"GET /api/me"}
    "#);
}

#[tokio::test]
async fn half_a_head_ends_its_connection_and_an_idle_client_is_no_attacker() {
    let app = hardened(&["http.header_read_timeout_ms=200"], Protections::default()).await;
    // Nothing at all, half a head, and half a head after a whole request.
    let whole = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    for (before, half) in [("", ""), ("", "GET /healthz HTTP/1.1\r\nhos"), (whole, "GET /heal")] {
        let mut connection = TcpStream::connect(app.remote.address).await.unwrap();
        connection.write_all(before.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !before.is_empty() && !answer.ends_with(b"ok\n") {
            assert_ne!(connection.read_buf(&mut answer).await.unwrap(), 0);
        }
        connection.write_all(half.as_bytes()).await.unwrap();
        assert_eq!(connection.read_buf(&mut answer).await.unwrap(), 0, "{half}");
    }
    let scrape = app.remote.scrape_until(|scrape| rejected(scrape, "header_timeout") == 3.0).await;
    assert!(scrape.sum("http_server_idle_timeouts_total", &[]) <= 1.0, "the test's own client at most");

    let mut idle = TcpStream::connect(app.remote.address).await.unwrap();
    idle.write_all(whole.as_bytes()).await.unwrap();
    let before = scrape.sum("http_server_idle_timeouts_total", &[]);
    let mut answer = Vec::new();
    idle.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    let after =
        app.remote.scrape_until(|scrape| scrape.sum("http_server_idle_timeouts_total", &[]) > before).await;
    assert_eq!(rejected(&after, "header_timeout"), 3.0);
    app.stop().await.unwrap();
}

/// Sends the head of an order and then its body a byte at a time, until there is an answer; all that is said.
async fn dripped(remote: &Remote) -> String {
    let mut connection = TcpStream::connect(remote.address).await.unwrap();
    let head = "POST /api/orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    while said.is_empty() {
        connection.write_all(b" ").await.unwrap();
        let pause = Duration::from_millis(20);
        let _ = tokio::time::timeout(pause, connection.read_buf(&mut said)).await;
    }
    // Nothing more is sent, and it is closed all the same.
    connection.read_to_end(&mut said).await.unwrap();
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn a_body_that_comes_a_byte_at_a_time_is_given_up_as_a_whole() {
    // Read for its signature, and for itself.
    for signing in ["request_signing.required=on", "request_signing.required=off"] {
        let app = hardened(&["http.body_read_timeout_ms=500", signing], Protections::default()).await;
        let said = dripped(&app.remote).await;
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        assert!(
            said.contains("connection: close\r\n") && said.contains("\"error\":\"body_timeout\""),
            "{said}"
        );
        let scrape = app.remote.scrape().await;
        assert_eq!(rejected(&scrape, "body_timeout"), 1.0);
        assert_eq!(scrape.sum("http_requests_total", &["/api/orders", "status=\"408\""]), 1.0);
        let quick = signed("/api/orders", now_s(), "n-1", ORDER);
        assert_eq!(post(&app.remote, "/api/orders", &quick, ORDER).await.status, StatusCode::CREATED);
        app.stop().await.unwrap();
    }
}

#[tokio::test]
async fn in_baseline_there_is_none_of_it() {
    let app = Running::quick().await;
    let foreign =
        app.remote.send(Method::GET, "/api/products/1", &[("origin", "https://evil.example")], "").await;
    assert_eq!(foreign.status, StatusCode::OK);
    for name in ["content-security-policy", "x-content-type-options", "access-control-allow-origin", "vary"] {
        assert!(!foreign.headers.contains_key(name), "{name}");
    }
    let order: Value = serde_json::from_str(ORDER).unwrap();
    assert_eq!(app.remote.post("/api/orders", &order).await.status, StatusCode::CREATED);
    let scrape = app.remote.scrape().await;
    assert_eq!(scrape.sum("rejected_total", &[]) + scrape.sum("audit_log_events_total", &[]), 0.0);
    app.stop().await.unwrap();
}
