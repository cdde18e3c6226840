//! Static files, served by the app process itself, as the shop did before it had an edge.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Problem;
use super::input::Segment;

/// Every asset as (name, type, bytes).
const ASSETS: [(&str, &str, &[u8]); 3] = [
    ("app.css", "text/css; charset=utf-8", include_bytes!("../../static/app.css")),
    ("app.js", "text/javascript; charset=utf-8", include_bytes!("../../static/app.js")),
    ("bottle.svg", "image/svg+xml", include_bytes!("../../static/bottle.svg")),
];

/// One asset.
#[utoipa::path(get, path = "/static/{asset}", params(("asset" = String, Path)), responses(
    (status = 200, description = "the file"), (status = 400, body = Problem), (status = 404, body = Problem),
))]
pub(crate) async fn asset(Segment(name): Segment) -> Result<Response, Problem> {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, bytes)) => {
            let headers = [(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "public, max-age=600")];
            Ok((headers, *bytes).into_response())
        }
        None => Err(Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no asset {name:?}"))),
    }
}
