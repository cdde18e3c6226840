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

/// Takes orders for ever. Whoever's holds of connections are not dialled is not told to lengthen them.
pub(crate) async fn serve(
    listener: TcpListener,
    subjects: Subjects,
    dialled_holds: bool,
) -> std::io::Result<()> {
    let order = post(move |subjects, text| order(subjects, text, dialled_holds));
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
    dialled_holds: bool,
) -> Result<Response, Problem> {
    let unfit = |why: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unfit_fault", why);
    let order = Order::parse(&text).map_err(unfit)?;
    if matches!(order, Order::Slow { resource: Resource::Mongodb, .. }) && !dialled_holds {
        return Err(unfit(
            "a real MongoDB is as slow as it is: only the embedded store can be told".to_owned(),
        ));
    }
    if let Subjects::Own(faults) = &subjects {
        faults.order(&order, clock::now());
    }
    Ok(answer(&subjects, &text).await)
}

/// `{"replicas": [...]}`: of each what is on, or why it could not be told. A fleet is told by asking.
async fn answer(subjects: &Subjects, order: &str) -> Response {
    let (mut replicas, mut status) = (Vec::new(), StatusCode::OK);
    match subjects {
        Subjects::Own(faults) => replicas.push(faults.told(clock::now())),
        Subjects::Fleet(sockets) => {
            // Those that the autoscaler does not want now have none.
            let there = sockets.iter().filter(|socket| socket.exists());
            let told = there.map(|socket| tell(socket, order));
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
