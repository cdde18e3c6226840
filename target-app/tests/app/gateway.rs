//! The gateway: what of nginx's `worker_connections` a client sees, and what passes through it.

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio_tungstenite::tungstenite::Message;

use crate::front::{Front, Raw, scripted};
use crate::support::{Remote, Running};

/// Begins a request, so that the client does not wait and cannot be closed for another.
async fn busy(front: &Front, reading: f64) -> Raw {
    let mut client = front.connect().await;
    client.say("GET /healthz HTTP/1.1\r\n").await;
    front.until("nginx_connections_reading", reading).await;
    client
}

#[tokio::test]
async fn the_shop_is_the_same_through_a_gateway() {
    let app = Running::quick().await;
    let front = Front::of(&[], app.remote.address).await;
    let product = front.remote.get("/api/products/1").await;
    assert_eq!((product.status, product.json()["id"].as_u64()), (StatusCode::OK, Some(1)));
    assert!(product.headers.get("x-cache").is_none(), "there is no edge cache");
    let order = front.remote.post("/api/orders", &json!({"product_id": 1})).await;
    assert_eq!(order.status, StatusCode::CREATED);
    assert_eq!(front.remote.get("/nowhere").await.error(), "no_such_route");
    let head = front.remote.send(Method::HEAD, "/static/app.css", &[], "").await;
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
    let length: usize = head.headers["content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(front.remote.get("/static/app.css").await.text.len(), length);
    let large = "x".repeat(200_000);
    let refused =
        front.remote.send(Method::POST, "/api/leads", &[("content-type", "application/json")], &large);
    assert_eq!(refused.await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(front.remote.get("/api/products/2").await.status, StatusCode::OK, "and the gateway goes on");
    assert_eq!(front.figure("nginx_http_requests_total").await, 7.0);
    front.stop().await.unwrap();
    app.stop().await.unwrap();
}

#[tokio::test]
async fn who_asked_is_told_and_what_is_hop_by_hop_is_not() {
    let echo = |request: Request| async move { format!("{:?}", request.headers()) };
    let (upstream, _) = scripted(Router::new().fallback(echo)).await;
    let front = Front::of(&[], upstream).await;
    let headers =
        [("connection", "x-mine"), ("x-mine", "1"), ("x-forwarded-for", "10.9.8.7"), ("te", "trailers")];
    let seen = front.remote.send(Method::GET, "/", &headers, "").await.text;
    assert!(seen.contains("10.9.8.7, 127.0.0.1") && seen.contains("for=127.0.0.1"), "{seen}");
    assert!(!seen.contains("x-mine") && !seen.contains("\"te\""), "{seen}");
    assert!(seen.contains(&format!("\"host\": \"{}\"", front.remote.address)), "{seen}");
}

#[tokio::test]
async fn a_client_without_a_slot_is_accepted_and_closed() {
    let app = Running::quick().await;
    let front = Front::of(&["gateway.worker_connections=4"], app.remote.address).await;
    let mut held = Vec::new();
    for reading in 1..=4 {
        held.push(busy(&front, f64::from(reading)).await);
    }
    assert_eq!(front.connect().await.rest().await, "", "closed without a word");
    let figures = front.figures().await;
    let counted =
        ["nginx_connections_accepted", "nginx_connections_handled", "nginx_connections_refused_total"]
            .map(|name| figures.sum(name, &[]));
    assert_eq!(counted, [5.0, 4.0, 1.0]);
    let states = ["nginx_connections_active", "nginx_worker_connections", "nginx_worker_connections_max"];
    assert_eq!(states.map(|name| figures.sum(name, &[])), [4.0; 3]);
    drop(held.pop());
    front.until("nginx_connections_active", 3.0).await;
    // There is a slot for this client, but none for the connection to the app that its request needs.
    let answer = front.connect().await.get("/api/products/1").await;
    assert!(
        answer.starts_with("HTTP/1.1 500") && answer.contains("worker_connections_exhausted"),
        "{answer}"
    );
    assert_eq!(front.figures().await.sum("nginx_upstream_failures_total", &["worker_connections"]), 1.0);
}

#[tokio::test]
async fn who_waits_between_two_requests_makes_room_for_others() {
    let app = Running::quick().await;
    let front = Front::of(&["gateway.worker_connections=32"], app.remote.address).await;
    let mut waiting = Vec::new();
    // One of the slots is the one connection to the app, kept for all of them.
    for _ in 0..29 {
        let mut client = front.connect().await;
        assert!(client.get("/api/products/1").await.starts_with("HTTP/1.1 200"));
        waiting.push(client);
        front.until("nginx_connections_waiting", waiting.len() as f64).await;
    }
    assert_eq!(front.figure("nginx_upstream_connections").await, 1.0);
    assert!(waiting[0].get("/api/products/1").await.starts_with("HTTP/1.1 200"));
    front.until("nginx_connections_waiting", 29.0).await;
    // Two of 32 are free: an eighth of the 29 that wait are closed, those that waited longest.
    let mut newcomer = front.connect().await;
    assert!(newcomer.get("/api/products/1").await.starts_with("HTTP/1.1 200"));
    assert_eq!(front.figure("nginx_connections_reused_total").await, 3.0);
    for closed in &mut waiting[1..4] {
        assert_eq!(closed.rest().await, "");
    }
    for alive in [0, 4, 28] {
        assert!(waiting[alive].get("/api/products/1").await.starts_with("HTTP/1.1 200"), "{alive}");
    }
    assert_eq!(front.figure("nginx_connections_refused_total").await, 0.0);
}

#[tokio::test]
async fn a_websocket_takes_two_slots_for_as_long_as_it_is_open() {
    let app = Running::quick().await;
    let front = Front::of(&["gateway.worker_connections=6"], app.remote.address).await;
    let url = format!("ws://{}/ws", front.remote.address);
    let mut sockets = Vec::new();
    for n in 1..=3 {
        let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
        socket.send(Message::text(json!({"type": "ping", "n": n}).to_string())).await.unwrap();
        let pong = socket.next().await.unwrap().unwrap().into_text().unwrap();
        assert!(pong.contains("pong"), "{pong}");
        sockets.push(socket);
    }
    let figures = front.figures().await;
    let states = ["nginx_connections_writing", "nginx_upstream_connections", "nginx_worker_connections"];
    assert_eq!(states.map(|name| figures.sum(name, &[])), [3.0, 3.0, 6.0]);
    assert!(tokio_tungstenite::connect_async(&url).await.is_err(), "there is no room for a fourth");
    drop(sockets.pop());
    front.until("nginx_worker_connections", 4.0).await;
    assert!(tokio_tungstenite::connect_async(&url).await.is_ok());
}

#[tokio::test]
async fn an_event_stream_is_passed_on_as_it_comes() {
    let app = Running::with(&["websocket.tick_interval_ms=50"]).await;
    let front = Front::of(&[], app.remote.address).await;
    let mut client = front.connect().await;
    client.say("GET /events?channel=stock&id=1 HTTP/1.1\r\nHost: shop\r\n\r\n").await;
    let mut seen = String::new();
    while seen.matches("event: tick").count() < 3 {
        let mut bytes = [0; 1024];
        let read = tokio::io::AsyncReadExt::read(&mut client.0, &mut bytes);
        let count = tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap();
        assert!(count > 0, "it ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert_eq!(front.figure("nginx_worker_connections").await, 2.0);
    drop(client);
    front.until("nginx_worker_connections", 0.0).await;
}

#[tokio::test]
async fn without_an_app_it_is_a_bad_gateway_until_there_is_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let front = Front::of(&[], address).await;
    let answer = front.remote.get("/").await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_GATEWAY, "bad_gateway"));
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/", get(|| async { "here" }))).await.unwrap();
    });
    assert_eq!(front.remote.get("/").await.text, "here");
    assert_eq!(front.figures().await.sum("nginx_upstream_failures_total", &["connect"]), 1.0);
}

#[tokio::test]
async fn a_kept_connection_that_is_gone_costs_nobody_anything() {
    // Closes every connection after its second answer, when the gateway has kept it for a third.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut raw = Raw(stream);
                for _ in 0..2 {
                    raw.answer().await;
                    raw.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                }
                // The third request is read and not answered.
                raw.answer().await;
            });
        }
    });
    let front = Front::of(&[], address).await;
    for n in 0..9 {
        let answer = front.remote.get("/").await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "ok"), "{n}");
    }
    assert!(front.figure("nginx_upstream_connections_opened_total").await >= 4.0);
    // The connection has had one answer. What changes something is not said twice.
    assert_eq!(front.remote.post("/", &json!({})).await.text, "ok");
    assert_eq!(front.remote.post("/", &json!({})).await.error(), "bad_gateway");
    assert_eq!(front.figures().await.sum("nginx_upstream_failures_total", &["broken"]), 1.0);
}

#[tokio::test]
async fn an_app_that_does_not_answer_is_waited_for_so_long() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = Front::of(&["gateway.upstream_timeout_ms=100"], silent.local_addr().unwrap()).await;
    let answer = front.remote.get("/").await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::GATEWAY_TIMEOUT, "gateway_timeout"));
    assert_eq!(front.figures().await.sum("nginx_upstream_failures_total", &["timeout"]), 1.0);
    front.until("nginx_upstream_connections", 0.0).await;
}

#[tokio::test]
async fn a_slow_client_holds_one_slot_and_not_for_ever() {
    let app = Running::quick().await;
    let front = Front::of(&["gateway.client_timeout_ms=3000"], app.remote.address).await;
    let mut slow = front.connect().await;
    for byte in "GET /healthz HTTP/1.1\r\nHost: s".chars() {
        slow.say(&byte.to_string()).await;
    }
    front.until("nginx_connections_reading", 1.0).await;
    assert_eq!(front.figure("nginx_upstream_connections").await, 0.0, "nothing to ask the app yet");
    assert_eq!(front.remote.get("/healthz").await.status, StatusCode::OK, "others do not wait for it");
    slow.rest().await;
    front.until("nginx_connections_reading", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_before_the_request_is_whole_reaches_the_client() {
    // Answers when something of the request is there, and closes with it unread, which resets the connection.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut raw = Raw(stream);
            raw.0.peek(&mut [0]).await.unwrap();
            raw.say("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 9\r\n\r\ntoo large").await;
        }
    });
    let front = Front::of(&[], address).await;
    let body = "x".repeat(3_000_000);
    for n in 0..50 {
        let mut client = front.connect().await;
        client.say(&format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len())).await;
        // All of it is taken, wanted or not.
        client.say(&body).await;
        let answer = client.answer().await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.ends_with("too large"), "{n}: {answer}");
    }
    assert_eq!(front.figure("nginx_upstream_failures_total").await, 0.0);
    front.until("nginx_upstream_connections", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_on_after_its_answer_makes_room_like_one_that_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut raw = Raw(listener.accept().await.unwrap().0);
        raw.0.peek(&mut [0]).await.unwrap();
        raw.say("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 9\r\n\r\ntoo large").await;
    });
    let front = Front::of(&["gateway.worker_connections=2"], upstream).await;
    let mut client = front.connect().await;
    client.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nx").await;
    assert!(client.answer().await.ends_with("too large"));
    front.until("nginx_connections_waiting", 1.0).await;
    // More than the sockets between them hold: the gateway has read most of it.
    client.say(&"x".repeat(16_000_000)).await;
    let states = ["nginx_connections_waiting", "nginx_connections_reading", "nginx_upstream_connections"];
    let figures = front.figures().await;
    assert_eq!(states.map(|name| figures.sum(name, &[])), [1.0, 0.0, 0.0]);
    let _others = (front.connect().await, front.connect().await);
    front.until("nginx_connections_reused_total", 1.0).await;
    assert_eq!(client.rest().await, "", "it is closed for another");
}

#[tokio::test]
async fn garbage_is_refused_and_harms_nobody() {
    let app = Running::quick().await;
    let front = Front::of(&[], app.remote.address).await;
    for garbage in
        ["\u{1}\u{2}\u{3} what\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n"]
    {
        let mut client = front.connect().await;
        client.say(garbage).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{garbage:?}: {answer}");
    }
    // Of two lengths the one that is not the last word counts for nothing, here and at the app.
    let mut client = front.connect().await;
    let body = "{\"email\":\"a@b.example\",\"name\":\"Ada\",\"message\":\"Hello\"}";
    client
        .say(&format!(
            "POST /api/leads HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\
        Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ))
        .await;
    let answer = client.answer().await;
    assert!(answer.starts_with("HTTP/1.1 201") && answer.contains("Hello"), "{answer}");
    let mut client = front.connect().await;
    client.say("CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n").await;
    assert!(client.answer().await.starts_with("HTTP/1.1 405"));
    assert_eq!(front.remote.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(front.figure("nginx_upstream_failures_total").await, 0.0);
}

#[tokio::test]
async fn no_more_connections_are_kept_than_the_dial_says() {
    for (kept, opened) in [(0, 12.0), (2, 10.0), (64, 6.0)] {
        // Each is answered when all six have come, so all six have a connection.
        let all_six = Arc::new(Barrier::new(6));
        let together = || async move {
            all_six.wait().await;
            "ok"
        };
        let (upstream, _) = scripted(Router::new().route("/", get(together))).await;
        let front = Front::of(&[&format!("gateway.upstream_keepalive={kept}")], upstream).await;
        for _ in 0..2 {
            let clients: Vec<_> = (0..6).map(|_| Remote::at(front.remote.address)).collect();
            let asked = clients.iter().map(|client| client.get("/"));
            for answer in futures_util::future::join_all(asked).await {
                assert_eq!(answer.text, "ok");
            }
            front.until("nginx_upstream_connections", f64::min(f64::from(kept), 6.0)).await;
        }
        assert_eq!(front.figure("nginx_upstream_connections_opened_total").await, opened, "{kept} kept");
    }
}

#[tokio::test]
async fn told_to_stop_it_lets_what_is_in_flight_finish() {
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "done"
    };
    let (upstream, _) = scripted(Router::new().route("/", get(slow))).await;
    let front = Front::of(&[], upstream).await;
    let address: SocketAddr = front.remote.address;
    let idle = front.connect().await;
    let asked = tokio::spawn(async move { Remote::at(address).get("/").await.text });
    front.until("nginx_connections_writing", 1.0).await;
    front.stop().await.unwrap();
    assert_eq!(asked.await.unwrap(), "done");
    drop(idle);
}
