//! WebSockets. A client says `{"type":"subscribe","channel":"stock","id":"42"}` (channels: product, stock, order) and is
//! told `subscribed`, then gets ticks until `unsubscribe`; `{"type":"ping", ...}` comes back as `pong` with all its fields
//! and the server's time `at_ms`. What is not understood is answered with `{"type":"error", ...}`; the socket stays open.

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseCode, CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tungstenite::error::ProtocolError;

use crate::app::{App, Connection};
use crate::clock;
use crate::feed::{self, OUTBOX_MAX, Topic};
use crate::heap::Litter;
use crate::routes::Problem;

/// A socket's read buffer; the library's own default of 128 KiB would make an idle socket cost six times as much.
const READ_BUFFER_BYTES: usize = 2 * 1024;
/// Largest message taken.
const MESSAGE_MAX_BYTES: usize = 16 * 1024;
/// Bytes that may wait for a slow client before its socket is given up.
const WRITE_BUFFER_MAX_BYTES: usize = 64 * 1024;

/// How long a client that broke the protocol is given to take its goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// What it is told, by the kind of breach.
pub(crate) const BREACHES: [CloseCode; 3] = [close_code::PROTOCOL, close_code::INVALID, close_code::SIZE];

/// Opens a socket.
#[utoipa::path(get, path = "/ws", responses(
    (status = 101, description = "a WebSocket; its messages stand in README.md"),
    (status = 400, body = Problem), (status = 426, body = Problem),
))]
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_MAX_BYTES)
            .max_message_size(MESSAGE_MAX_BYTES)
            .max_frame_size(MESSAGE_MAX_BYTES)
            .on_upgrade(move |socket| Box::pin(Session::start(app).serve(socket))),
        Err(rejection) => {
            let (status, detail) = (rejection.status(), rejection.body_text());
            let status = if status.is_client_error() { status } else { StatusCode::BAD_REQUEST };
            Problem::new(status, "not_a_websocket", detail).into_response()
        }
    }
}

/// One open socket, from upgrade to close; dropping it undoes all it holds.
struct Session {
    app: Arc<App>,
    number: u64,
    topics: Vec<Topic>,
    outbox: mpsc::Sender<Utf8Bytes>,
    inbox: mpsc::Receiver<Utf8Bytes>,
    /// What a Node service keeps for a socket.
    memory: Vec<u8>,
    _connection: Connection,
}

impl Session {
    fn start(app: Arc<App>) -> Self {
        let (outbox, inbox) = mpsc::channel(OUTBOX_MAX);
        app.metrics.websockets.inc();
        app.metrics.websockets_opened.inc();
        Self {
            number: feed::listener_number(),
            topics: Vec::new(),
            outbox,
            inbox,
            memory: app.heap.session_of_a_socket(),
            _connection: Connection::counted(&app),
            app,
        }
    }

    async fn serve(mut self, mut socket: WebSocket) {
        let mut stopping = self.app.stopping.clone();
        let mut drops = self.app.faults.drops();
        loop {
            let answer = tokio::select! {
                message = socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => Some(Utf8Bytes::from(self.answer(&text))),
                    Some(Ok(Message::Binary(_))) => Some(Utf8Bytes::from(error("not_text", "messages are JSON text"))),
                    // The library answers protocol pings itself.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                    Some(Err(error)) => {
                        if let Some(code) = breach(error) {
                            // Boxed, or every socket would have room for it.
                            Box::pin(self.refuse(&mut socket, code)).await;
                        }
                        break;
                    }
                    Some(Ok(Message::Close(_))) | None => break,
                },
                tick = self.inbox.recv() => tick,
                _ = drops.changed() => break,
                _ = stopping.changed() => {
                    let away = CloseFrame { code: close_code::AWAY, reason: Utf8Bytes::from_static("stopping") };
                    // The client may be gone already.
                    let _ = socket.send(Message::Close(Some(away))).await;
                    break;
                }
            };
            if let Some(text) = answer {
                self.app.heap.litter(Litter::Message);
                let sent = tokio::select! {
                    sent = socket.send(Message::Text(text)) => sent.is_ok(),
                    // A client that reads nothing may not hold its socket open.
                    _ = drops.changed() => false,
                    _ = stopping.changed() => false,
                };
                if !sent {
                    break;
                }
            }
        }
        black_box(&self.memory);
    }

    /// Tells a client that broke the protocol why its socket ends (RFC 6455, 7.1.7), and counts it.
    async fn refuse(&self, socket: &mut WebSocket, code: CloseCode) {
        self.app.metrics.websocket_protocol_errors.with_label_values(&[&code.to_string()]).inc();
        let goodbye = CloseFrame { code, reason: Utf8Bytes::default() };
        // Who sends rubbish need not read either.
        let _ = timeout(GOODBYE, socket.send(Message::Close(Some(goodbye)))).await;
    }

    fn answer(&mut self, text: &str) -> String {
        let mut message: Map<String, Value> = match serde_json::from_str(text) {
            Ok(message) => message,
            Err(e) => return error("malformed_json", &e.to_string()),
        };
        match message.get("type").and_then(Value::as_str) {
            Some("ping") => {
                message.insert("type".to_owned(), Value::from("pong"));
                message.insert("at_ms".to_owned(), Value::from(clock::unix_ms()));
                Value::Object(message).to_string()
            }
            Some("subscribe") => match topic(&message) {
                Ok(topic) => self.subscribe(topic),
                Err(detail) => error("unknown_topic", detail),
            },
            Some("unsubscribe") => match topic(&message) {
                Ok(topic) => self.unsubscribe(&topic),
                Err(detail) => error("unknown_topic", detail),
            },
            _ => error("unknown_type", "type is one of subscribe, unsubscribe, ping"),
        }
    }

    fn subscribe(&mut self, topic: Topic) -> String {
        if !self.topics.contains(&topic) {
            let max = self.app.dials.websocket.max_subscriptions;
            if self.topics.len() >= max {
                return error("too_many_topics", &format!("a socket has at most {max} subscriptions"));
            }
            self.app.hub.subscribe(topic.clone(), self.number, self.outbox.clone());
            self.topics.push(topic.clone());
        }
        json!({"type": "subscribed", "channel": topic.channel, "id": topic.id}).to_string()
    }

    fn unsubscribe(&mut self, topic: &Topic) -> String {
        self.topics.retain(|other| other != topic);
        self.app.hub.unsubscribe(topic, self.number);
        json!({"type": "unsubscribed", "channel": topic.channel, "id": topic.id}).to_string()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for topic in &self.topics {
            self.app.hub.unsubscribe(topic, self.number);
        }
        self.app.metrics.websockets.dec();
    }
}

/// The code for what a client did wrong; none where it only went away.
fn breach(error: axum::Error) -> Option<CloseCode> {
    match error.into_inner().downcast_ref()? {
        tungstenite::Error::Utf8(_) => Some(close_code::INVALID),
        tungstenite::Error::Capacity(_) => Some(close_code::SIZE),
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some(close_code::PROTOCOL),
        _ => None,
    }
}

/// The topic of a message. A number for an id is taken as its text.
fn topic(message: &Map<String, Value>) -> Result<Topic, &'static str> {
    let channel = message.get("channel").and_then(Value::as_str).unwrap_or_default();
    let id = match message.get("id") {
        Some(Value::String(id)) => Cow::Borrowed(id.as_str()),
        Some(Value::Number(id)) => Cow::Owned(id.to_string()),
        _ => return Err("id is a string or a number"),
    };
    Topic::new(channel, &id)
}

fn error(error: &str, detail: &str) -> String {
    json!({"type": "error", "error": error, "detail": detail}).to_string()
}
