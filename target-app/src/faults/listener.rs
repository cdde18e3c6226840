//! The listener for orders, `POST /admin/faults`, on an address of its own: whoever may use the shop may not break it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Faults, Order, Resource, tell};
use crate::clock;
use crate::routes::Problem;
use crate::store::{StoreError, keep_outage};

/// Who is told.
#[derive(Clone)]
pub(crate) enum Subjects {
    /// This process.
    Own(Arc<Faults>),
    /// The replicas of a fleet and the nodes of its embedded Redis, by the sockets they obey on if they are there.
    Fleet { replicas: Vec<PathBuf>, redis: Vec<PathBuf> },
}

/// What befalls the servers of a fleet does so a little later than it is written down: by then it can be read by every process.
const NOTICE_MS: u64 = 50;
/// Primaries that can be killed before the app is started anew: each is remembered.
const KILLED_MAX: usize = 1_000;

/// What of the store can be told.
#[derive(Clone)]
pub(crate) enum Telling {
    /// The embedded one does as ordered, with so many shards. What befalls it is also kept in this file, where several processes have it in common.
    Embedded { shards: u32, kept_in: Option<PathBuf> },
    /// Nothing: it is a database elsewhere.
    #[cfg_attr(not(feature = "mongodb"), expect(dead_code, reason = "there is no other store"))]
    Nothing,
}

impl Telling {
    /// Why an order does not fit, if it does not.
    fn refuses(&self, order: &Order) -> Option<String> {
        match (self, order) {
            (Self::Nothing, Order::Slow { resource: Resource::Mongodb, .. } | Order::KillPrimary { .. }) => {
                Some("a real MongoDB does as it does: only the embedded store can be told".to_owned())
            }
            (Self::Embedded { shards, .. }, Order::KillPrimary { shard, .. }) if shard >= shards => {
                Some(format!("shard is from 0 to {}, not {shard}", shards - 1))
            }
            _ => None,
        }
    }

    fn notice_ms(&self) -> u64 {
        match self {
            Self::Embedded { kept_in: Some(_), .. } => NOTICE_MS,
            _ => 0,
        }
    }

    /// Writes it down for the processes that are not told, since they are not there yet or are too busy to listen.
    fn keep(&self, order: Order, at_ms: u64) -> Result<(), StoreError> {
        match (self, order.outage(at_ms)) {
            (Self::Embedded { kept_in: Some(file), .. }, Some(outage)) => keep_outage(file, outage),
            _ => Ok(()),
        }
    }
}

/// Takes orders for ever.
pub(crate) async fn serve(
    listener: TcpListener,
    subjects: Subjects,
    telling: Telling,
) -> std::io::Result<()> {
    let killed = Arc::new(AtomicUsize::new(0));
    let order = post(move |subjects, headers, text| order(subjects, headers, text, telling, killed));
    let routes = Router::new().route("/admin/faults", get(ask).merge(order)).with_state(subjects);
    axum::serve(listener, routes).await
}

/// What is on.
async fn ask(State(subjects): State<Subjects>) -> Response {
    answer(&subjects, None, "", clock::unix_ms()).await
}

/// Has all of them do as ordered. A page in a browser, which says where it comes from, has no business here.
async fn order(
    State(subjects): State<Subjects>,
    headers: HeaderMap,
    text: String,
    telling: Telling,
    killed: Arc<AtomicUsize>,
) -> Result<Response, Problem> {
    let unfit = |why: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unfit_fault", why);
    if headers.contains_key(header::ORIGIN) {
        let detail = "faults are not ordered by pages in a browser";
        return Err(Problem::new(StatusCode::FORBIDDEN, "foreign_origin", detail));
    }
    let order = Order::parse(&text).map_err(unfit)?;
    if let Some(why) = telling.refuses(&order) {
        return Err(unfit(why));
    }
    if !order.is_for_replicas() && !subjects.has_redis() {
        return Err(unfit(
            "there is no embedded Redis here: a profile that asks Redis for something, served without --redis, has one"
                .to_owned(),
        ));
    }
    let kills = matches!(order, Order::KillPrimary { .. });
    if kills && killed.fetch_add(1, Ordering::Relaxed) >= KILLED_MAX {
        return Err(unfit(format!("{KILLED_MAX} primaries have been killed: start the app anew")));
    }
    let at_ms = clock::unix_ms() + telling.notice_ms();
    telling.keep(order, at_ms)?;
    if let Subjects::Own(faults) = &subjects {
        faults.order(&order, clock::now(), at_ms);
    }
    Ok(answer(&subjects, Some(order), &text, at_ms).await)
}

impl Subjects {
    fn has_redis(&self) -> bool {
        matches!(self, Self::Fleet { redis, .. } if !redis.is_empty())
    }
}

/// `{"replicas": [...]}`, and beside it `"redis"` where there are nodes: of each what is on, or why it could not be told. A fleet is told by asking;
/// whom the order does not concern is only asked.
async fn answer(subjects: &Subjects, order: Option<Order>, text: &str, at_ms: u64) -> Response {
    let mut whole = true;
    let answer = match subjects {
        Subjects::Own(faults) => json!({"replicas": [faults.told(clock::now(), at_ms)]}),
        Subjects::Fleet { replicas, redis } => {
            let words =
                |concerned: fn(Order) -> bool| order.filter(|order| concerned(*order)).map_or("", |_| text);
            let replicas = tell_all(replicas, words(Order::is_for_replicas), at_ms, &mut whole).await;
            let mut answer = json!({"replicas": replicas});
            if !redis.is_empty() {
                answer["redis"] = tell_all(redis, words(Order::is_for_redis), at_ms, &mut whole).await;
            }
            answer
        }
    };
    let status = if whole { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    (status, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

/// What each says; not whole where one says nothing.
async fn tell_all(sockets: &[PathBuf], order: &str, at_ms: u64, whole: &mut bool) -> Value {
    // Those that the autoscaler does not want now have none.
    let there = sockets.iter().filter(|socket| socket.exists());
    let told = futures_util::future::join_all(there.map(|socket| tell(socket, order, at_ms))).await;
    let said = told.into_iter().map(|told| match told {
        Ok(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
        Err(e) => {
            *whole = false;
            json!({"error": e.to_string()})
        }
    });
    said.collect()
}
