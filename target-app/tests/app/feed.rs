//! The WebSocket protocol.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::{Remote, Running};

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn open(remote: &Remote) -> Self {
        Self(connect_async(format!("ws://{}/ws", remote.address)).await.unwrap().0)
    }

    async fn say(&mut self, message: &str) {
        self.0.send(Message::text(message)).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => return json!({"closed": frame.map(|f| u16::from(f.code))}),
                _ => {}
            }
        }
    }

    /// The next message that is not a tick.
    async fn answer(&mut self, message: &str) -> Value {
        self.say(message).await;
        loop {
            let heard = self.hear().await;
            if heard["type"] != "tick" {
                return heard;
            }
        }
    }
}

async fn app() -> Running {
    Running::with(&["websocket.tick_interval_ms=50", "websocket.max_subscriptions=2"]).await
}

#[tokio::test]
async fn a_subscriber_gets_every_tick_in_order() {
    let app = app().await;
    let mut client = Client::open(&app.remote).await;
    let subscribed = client.answer(r#"{"type":"subscribe","channel":"stock","id":"42"}"#).await;
    assert_eq!(subscribed, json!({"type": "subscribed", "channel": "stock", "id": "42"}));
    let mut last = None;
    for _ in 0..5 {
        let tick = client.hear().await;
        assert_eq!(
            (&tick["type"], &tick["channel"], &tick["id"]),
            (&json!("tick"), &json!("stock"), &json!("42"))
        );
        assert!(tick["sent_at_ms"].as_u64().unwrap() > 1_700_000_000_000);
        let seq = tick["seq"].as_u64().unwrap();
        assert!(last.is_none_or(|last| seq == last + 1), "{last:?} {seq}");
        last = Some(seq);
    }
    let left = client.answer(r#"{"type":"unsubscribe","channel":"stock","id":"42"}"#).await;
    assert_eq!(left["type"], "unsubscribed");
    // Nothing comes any more: the next message is the answer to the ping.
    client.say(r#"{"type":"ping"}"#).await;
    assert_eq!(client.hear().await["type"], "pong");
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_ping_comes_back_with_all_it_carried() {
    let app = app().await;
    let mut client = Client::open(&app.remote).await;
    let pong = client.answer(r#"{"type":"ping","sent":12.5,"who":{"user":3}}"#).await;
    assert_eq!(
        (&pong["type"], &pong["sent"], &pong["who"]["user"]),
        (&json!("pong"), &json!(12.5), &json!(3))
    );
    assert!(pong["at_ms"].as_u64().unwrap() > 1_700_000_000_000);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_not_understood_is_answered_and_the_socket_stays() {
    let app = app().await;
    let mut client = Client::open(&app.remote).await;
    for (message, error) in [
        ("{", "malformed_json"),
        ("[1]", "malformed_json"),
        (r#"{"type":"dance"}"#, "unknown_type"),
        (r#"{"type":"subscribe","channel":"weather","id":"1"}"#, "unknown_topic"),
        (r#"{"type":"subscribe","channel":"stock"}"#, "unknown_topic"),
        (r#"{"type":"subscribe","channel":"stock","id":""}"#, "unknown_topic"),
        (r#"{"type":"unsubscribe","channel":"weather","id":"1"}"#, "unknown_topic"),
    ] {
        let answer = client.answer(message).await;
        assert_eq!((&answer["type"], &answer["error"]), (&json!("error"), &json!(error)), "{message}");
    }
    for id in 1..=2 {
        let subscribe = json!({"type": "subscribe", "channel": "product", "id": id}).to_string();
        assert_eq!(client.answer(&subscribe).await["id"], id.to_string());
        // Again is no second subscription.
        assert_eq!(client.answer(&subscribe).await["type"], "subscribed");
    }
    let third = client.answer(r#"{"type":"subscribe","channel":"product","id":"3"}"#).await;
    assert_eq!(third["error"], "too_many_topics");
    app.stop().await.unwrap();
}

#[tokio::test]
async fn sockets_are_counted_and_told_when_the_app_stops() {
    let app = app().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::open(&app.remote).await);
    }
    let open = |count: f64| move |s: &crate::support::Scrape| s.sum("websocket_connections", &[]) == count;
    let full = app.remote.scrape_until(open(3.0)).await;
    assert_eq!(full.sum("websocket_connections_opened_total", &[]), 3.0);
    assert_eq!(full.sum("http_requests_total", &["status=\"101\"", "route=\"/ws\""]), 3.0);
    drop(clients.pop());
    app.remote.scrape_until(open(2.0)).await;
    app.stop().await.unwrap();
    for mut client in clients {
        assert_eq!(client.hear().await, json!({"closed": 1001}));
    }
}
