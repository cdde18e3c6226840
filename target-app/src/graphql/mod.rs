//! The shop in GraphQL: the same documents by one route, of which a client asks for what it wants and in one request. What
//! belongs to many things at once is read by a loader (`loader`), so that a query costs as many store operations as it has
//! levels and not as it has things: N orders with their products are two, and not N + 1.
//!
//! The language is `async-graphql`'s; what comes and goes over HTTP is in `routes::graphql`.

mod figures;
mod loader;
mod mutation;
mod query;
mod types;

pub(crate) use figures::Figures;

use std::sync::Arc;

use async_graphql::dataloader::DataLoader;
use async_graphql::{EmptySubscription, Error, ErrorExtensions, Request, Response, Schema};

use self::loader::Documents;
use self::mutation::Mutation;
use self::query::Query;
use crate::app::App;
use crate::limiter::Peer;
use crate::profile::{self, Switch};
use crate::routes::Problem;

/// The extension of an error that has its word.
const CODE: &str = "code";
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
        let documents = DataLoader::new(Documents::of(app), tokio::spawn);
        let response = self.schema.execute(request.data(Arc::clone(app)).data(documents).data(peer)).await;
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
