//! The live feed as server-sent events: one topic a stream, first an event `subscribed`, then every tick with its number as its id.

#![allow(unused_qualifications, reason = "the code that utoipa writes for query parameters is so qualified")]

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::Utf8Bytes;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::Problem;
use super::input::Parameters;
use crate::app::App;
use crate::feed::{self, OUTBOX_MAX, Topic};
use crate::heap::Litter;

/// How long a client is asked to wait before it connects again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Query {
    /// One of product, stock and order.
    #[param(pattern = "^(product|stock|order)$")]
    channel: String,
    #[param(min_length = 1, max_length = 64)]
    id: String,
}

/// Opens an event stream on one topic.
#[utoipa::path(get, path = "/events", params(Query), responses(
    (status = 200, description = "`text/event-stream` of the events `subscribed` and `tick`"),
    (status = 400, body = Problem),
))]
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<Query>,
) -> Result<impl IntoResponse, Problem> {
    let unknown = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "unknown_topic", detail);
    let topic = Topic::new(&query.channel, &query.id).map_err(unknown)?;
    let hello = json!({"type": "subscribed", "channel": topic.channel, "id": topic.id}).to_string();
    let hello = Event::default().event("subscribed").retry(RETRY).data(hello);
    let listener = Listener::subscribe(app, topic);
    let events = stream::unfold((Some(hello), listener), |(hello, mut listener)| async move {
        let event = match hello {
            Some(hello) => hello,
            None => listener.next().await?,
        };
        Some((Ok::<_, Infallible>(event), (None, listener)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// One open stream; dropping it undoes all it holds.
struct Listener {
    app: Arc<App>,
    number: u64,
    topic: Topic,
    inbox: mpsc::Receiver<Utf8Bytes>,
    /// What a Node service keeps for a stream, which is what it keeps for a socket.
    memory: Vec<u8>,
}

impl Listener {
    fn subscribe(app: Arc<App>, topic: Topic) -> Self {
        let (outbox, inbox) = mpsc::channel(OUTBOX_MAX);
        let number = feed::listener_number();
        app.hub.subscribe(topic.clone(), number, outbox);
        app.metrics.event_streams.inc();
        app.metrics.event_streams_opened.inc();
        Self { number, topic, inbox, memory: app.heap.session_of_a_socket(), app }
    }

    /// The next tick; `None` when the app stops.
    async fn next(&mut self) -> Option<Event> {
        let mut stopping = self.app.stopping.clone();
        let tick = tokio::select! {
            tick = self.inbox.recv() => tick?,
            _ = stopping.changed() => return None,
        };
        self.app.heap.litter(Litter::Message);
        let number = serde_json::from_str::<Value>(&tick).ok().and_then(|tick| tick["seq"].as_u64());
        Some(Event::default().event("tick").id(number.unwrap_or_default().to_string()).data(tick.as_str()))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        black_box(&self.memory);
        self.app.hub.unsubscribe(&self.topic, self.number);
        self.app.metrics.event_streams.dec();
    }
}
