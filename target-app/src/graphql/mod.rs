//! The shop in GraphQL: the same documents by one route, of which a client asks for what it wants and in one request. What
//! is asked for by id is read by a loader (`loader`), so that it costs as many store operations as it has levels and not as
//! it has things: N orders with their products are two, and not N + 1. A page of products or of leads and an order that is
//! placed are an operation each, however often one request names them, so these weigh as much as a hundred fields.
//!
//! The language is `async-graphql`'s; what comes and goes over HTTP is in `routes::graphql`.

mod figures;
mod loader;
mod mutation;
mod nesting;
mod query;
mod types;

pub(crate) use figures::Figures;
pub(crate) use nesting::is_too_nested;

use std::sync::Arc;

use async_graphql::dataloader::DataLoader;
use async_graphql::{EmptySubscription, Error, ErrorExtensions, Request, Response, Schema, ServerError};

use self::loader::Documents;
use self::mutation::Mutation;
use self::query::Query;
use crate::app::App;
use crate::limiter::Peer;
use crate::profile::{self, Switch};
use crate::routes::Problem;

/// The extension of an error that has its word.
const CODE: &str = "code";
/// What a field weighs that is a store operation of its own, in fields: within the thousand of `graphql.max_complexity` there are nine of them.
const OPERATION_COMPLEXITY: usize = 100;
/// The word of a request that was never carried out.
const INVALID: &str = "invalid_request";

/// The schema, with the limits of the profile.
pub(crate) struct Graph {
    schema: Schema<Query, Mutation, EmptySubscription>,
    figures: Figures,
}

impl Graph {
    pub(crate) fn new(dials: &profile::Graphql, figures: Figures) -> Self {
        let mut schema = Schema::build(Query, Mutation, EmptySubscription)
            .limit_depth(dials.max_depth)
            .limit_complexity(dials.max_complexity);
        if dials.introspection == Switch::Off {
            // Suggestions would spell the schema out, a typing error at a time.
            schema = schema.disable_introspection().disable_suggestions();
        }
        Self { schema: schema.finish(), figures }
    }

    /// Carries a request out. The loaders are its own: nothing that one client has read is kept for another.
    pub(crate) async fn execute(&self, app: &Arc<App>, request: Request, peer: Option<Peer>) -> Response {
        let response = if is_too_nested(&request.query) {
            Response::from_errors(vec![ServerError::new(
                "Query is nested too deep, or a string does not end.",
                None,
            )])
        } else {
            let documents = DataLoader::new(Documents(Arc::clone(app)), tokio::spawn);
            self.schema.execute(request.data(Arc::clone(app)).data(documents).data(peer)).await
        };
        for error in &response.errors {
            let code = error.extensions.as_ref().and_then(|extensions| extensions.get(CODE));
            match code {
                Some(async_graphql::Value::String(word)) => self.figures.failed(word),
                _ => self.figures.failed(INVALID),
            }
        }
        response
    }
}

/// The same problem as an error of a field, its word in `extensions.code`.
fn failed(problem: Problem) -> Error {
    let word = problem.error();
    Error::new(problem.into_detail()).extend_with(|_, extensions| extensions.set(CODE, word))
}
