//! Jobs: what became of an order that was taken to be placed later.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::input::Id;
use crate::app::App;
use crate::store::JobStatus;

/// One job. The last completed and failed ones are kept, so many of each.
#[utoipa::path(get, path = "/api/jobs/{id}", params(("id" = u32, Path)), responses(
    (status = 200, body = JobStatus), (status = 400, body = Problem), (status = 404, body = Problem),
))]
pub(crate) async fn one(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<JobStatus>, Problem> {
    let known = app.queue.as_ref().map(|queue| queue.status(id)).transpose()?.flatten();
    known.map(Json).ok_or_else(|| Problem::not_found("job", id))
}
