//! The live feed as server-sent events.

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::{Remote, Running};

/// An open stream, read line by line; chunk sizes and blank lines are passed over.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn open(remote: &Remote, query: &str) -> Self {
        let mut stream = TcpStream::connect(remote.address).await.unwrap();
        let request = format!("GET /events?{query} HTTP/1.1\r\nhost: test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut client = Self(BufReader::new(stream));
        assert_eq!(client.line().await.unwrap(), "HTTP/1.1 200 OK");
        client
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// The value of the next field of that name; `None` at the end of the stream.
    async fn field(&mut self, name: &str) -> Option<String> {
        loop {
            if let Some(value) = self.line().await?.strip_prefix(name) {
                return Some(value.trim_start_matches([':', ' ']).to_owned());
            }
        }
    }

    async fn data(&mut self) -> Value {
        serde_json::from_str(&self.field("data").await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_stream_says_what_it_is_and_brings_every_tick_in_order() {
    let app = Running::with(&["websocket.tick_interval_ms=50"]).await;
    let mut client = Client::open(&app.remote, "channel=stock&id=42").await;
    assert_eq!(client.field("content-type").await.as_deref(), Some("text/event-stream"));
    assert_eq!(client.field("event").await.as_deref(), Some("subscribed"));
    assert_eq!(client.data().await, json!({"type": "subscribed", "channel": "stock", "id": "42"}));
    let mut last = None;
    for _ in 0..4 {
        assert_eq!(client.field("event").await.as_deref(), Some("tick"));
        let id: u64 = client.field("id").await.unwrap().parse().unwrap();
        let tick = client.data().await;
        assert_eq!((&tick["type"], &tick["id"], &tick["seq"]), (&json!("tick"), &json!("42"), &json!(id)));
        assert!(last.is_none_or(|last| id == last + 1), "{last:?} {id}");
        last = Some(id);
    }
    app.stop().await.unwrap();
}

#[tokio::test]
async fn streams_are_counted_and_end_with_the_app() {
    let app = Running::quick().await;
    let mut streams = Vec::new();
    for id in 0..3 {
        streams.push(Client::open(&app.remote, &format!("channel=order&id={id}")).await);
    }
    let full = app.remote.scrape_until(|scrape| scrape.sum("sse_connections", &[]) == 3.0).await;
    assert_eq!(full.sum("sse_connections_opened_total", &[]), 3.0);
    drop(streams.pop());
    app.remote.scrape_until(|scrape| scrape.sum("sse_connections", &[]) == 2.0).await;
    app.stop().await.unwrap();
    for mut stream in streams {
        assert_eq!(stream.field("no such field").await, None, "it ends");
    }
}

#[tokio::test]
async fn a_topic_that_is_none_is_refused() {
    let app = Running::quick().await;
    for query in ["", "?channel=weather&id=1", "?channel=stock", "?channel=stock&id="] {
        let answer = app.remote.get(&format!("/events{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(!answer.error().is_empty());
    }
    app.stop().await.unwrap();
}
