//! The listener for orders, `POST /admin/faults`, on an address of its own: whoever may use the shop may not break it.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Faults, Order, Resource, tell};
use crate::clock;
use crate::routes::Problem;

/// Who is told.
#[derive(Clone)]
pub(crate) enum Subjects {
    /// This process.
    Own(Arc<Faults>),
    /// The replicas of a fleet, by the sockets they obey on if they are there.
    Fleet(Vec<PathBuf>),
}

/// What of the store can be told.
#[derive(Clone, Copy)]
pub(crate) enum Telling {
    /// The embedded one does as ordered, with so many shards.
    Embedded { shards: u32 },
    /// Nothing: it is a database elsewhere.
    Nothing,
}

impl Telling {
    /// Why an order does not fit, if it does not.
    fn refuses(self, order: &Order) -> Option<String> {
        match (self, order) {
            (Self::Nothing, Order::Slow { resource: Resource::Mongodb, .. } | Order::KillPrimary { .. }) => {
                Some("a real MongoDB does as it does: only the embedded store can be told".to_owned())
            }
            (Self::Embedded { shards }, Order::KillPrimary { shard, .. }) if *shard >= shards => {
                Some(format!("shard is from 0 to {}, not {shard}", shards - 1))
            }
            _ => None,
        }
    }
}

/// Takes orders for ever.
pub(crate) async fn serve(
    listener: TcpListener,
    subjects: Subjects,
    telling: Telling,
) -> std::io::Result<()> {
    let order = post(move |subjects, text| order(subjects, text, telling));
    let routes = Router::new().route("/admin/faults", get(ask).merge(order)).with_state(subjects);
    axum::serve(listener, routes).await
}

/// What is on.
async fn ask(State(subjects): State<Subjects>) -> Response {
    answer(&subjects, "").await
}

/// Has all of them do as ordered.
async fn order(
    State(subjects): State<Subjects>,
    text: String,
    telling: Telling,
) -> Result<Response, Problem> {
    let unfit = |why: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unfit_fault", why);
    let order = Order::parse(&text).map_err(unfit)?;
    if let Some(why) = telling.refuses(&order) {
        return Err(unfit(why));
    }
    if let Subjects::Own(faults) = &subjects {
        faults.order(&order, clock::now(), clock::unix_ms());
    }
    Ok(answer(&subjects, &text).await)
}

/// `{"replicas": [...]}`: of each what is on, or why it could not be told. A fleet is told by asking.
async fn answer(subjects: &Subjects, order: &str) -> Response {
    let (mut replicas, mut status) = (Vec::new(), StatusCode::OK);
    let now_ms = clock::unix_ms();
    match subjects {
        Subjects::Own(faults) => replicas.push(faults.told(clock::now(), now_ms)),
        Subjects::Fleet(sockets) => {
            // Those that the autoscaler does not want now have none.
            let there = sockets.iter().filter(|socket| socket.exists());
            let told = there.map(|socket| tell(socket, order, now_ms));
            for told in futures_util::future::join_all(told).await {
                replicas.push(match told {
                    Ok(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
                    Err(e) => {
                        status = StatusCode::BAD_GATEWAY;
                        json!({"error": e.to_string()})
                    }
                });
            }
        }
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, json!({"replicas": replicas}).to_string()).into_response()
}
