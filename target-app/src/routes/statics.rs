//! Static files, served by the app process itself, as the shop did before it had an edge.

use std::sync::LazyLock;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use ring::digest::{SHA256, digest};

use super::Problem;
use super::input::Segment;
use crate::session::hex;

/// An edge keeps them for an hour, a browser for ten minutes.
const CACHE_CONTROL: &str = "public, s-maxage=3600, max-age=600";

/// Every asset as (name, type, bytes).
const ASSETS: [(&str, &str, &[u8]); 3] = [
    ("app.css", "text/css; charset=utf-8", include_bytes!("../../static/app.css")),
    ("app.js", "text/javascript; charset=utf-8", include_bytes!("../../static/app.js")),
    ("bottle.svg", "image/svg+xml", include_bytes!("../../static/bottle.svg")),
];

/// The tag of each asset: two that have one are the same, whichever replica they come from.
static TAGS: LazyLock<[String; ASSETS.len()]> = LazyLock::new(|| {
    ASSETS.map(|(.., bytes)| {
        let start = hex(&digest(&SHA256, bytes).as_ref()[..8]);
        format!("\"{start}\"")
    })
});

/// One asset. Who names its tag in `If-None-Match` has it already.
#[utoipa::path(get, path = "/static/{asset}", params(("asset" = String, Path)), responses(
    (status = 200, description = "the file"), (status = 304, description = "it is the one named in If-None-Match"), (status = 400, body = Problem),
    (status = 404, body = Problem),
))]
pub(crate) async fn asset(Segment(name): Segment, headers: HeaderMap) -> Result<Response, Problem> {
    let found = ASSETS.iter().zip(TAGS.iter()).find(|((known, ..), _)| *known == name);
    let Some(((_, kind, bytes), tag)) = found else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no asset {name:?}")));
    };
    let validity = [(header::CACHE_CONTROL, CACHE_CONTROL), (header::ETAG, tag.as_str())];
    if names(&headers, tag) {
        return Ok((StatusCode::NOT_MODIFIED, validity).into_response());
    }
    Ok((validity, [(header::CONTENT_TYPE, *kind)], *bytes).into_response())
}

/// Whether `If-None-Match` names the tag, or any.
fn names(headers: &HeaderMap, tag: &str) -> bool {
    let named = headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    named
        .flat_map(|value| value.split(','))
        .any(|known| known.trim() == "*" || known.trim().trim_start_matches("W/") == tag)
}
