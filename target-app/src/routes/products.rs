//! The catalog: a page of a category, one product, a text search. Where there is a circuit breaker, what was read last stands in for a store that
//! does not answer.

#![allow(unused_qualifications, reason = "the code that utoipa writes for query parameters is so qualified")]

use std::future::Future;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Problem;
use super::input::{Id, Parameters};
use super::reply::items;
use crate::app::App;
use crate::breaker::Catalog;
use crate::store::{Document, ProductFilter};

/// Words of one search; more make a query no index answers quickly.
const WORDS_MAX: usize = 8;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    category: Option<String>,
    max_price: Option<f64>,
    /// Counted from one.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 4_294_967_295_u64)]
    page: Option<u32>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchQuery {
    /// Words that all have to occur in the name or description.
    #[param(pattern = r"[^\s\x00-\x1f\x7f-\x9f]")]
    q: String,
}

/// A page of products, cheapest first within a category.
#[utoipa::path(get, path = "/api/products", params(ListQuery), responses(
    (status = 200, description = "`{items: [product]}`; with `X-Fallback: stale` it was read before, since the store does not answer"), (status = 400, body = Problem), (status = 503, body = Problem),
))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Catalog, Problem> {
    let page = query.page.unwrap_or(1);
    if page == 0 {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_query", "page is counted from 1"));
    }
    let filter = ProductFilter { category: query.category, max_price: query.max_price, page };
    let key = || {
        // A category may contain anything but stands last, so no two queries have one key.
        let category = filter.category.as_deref();
        format!(
            "list:{page}:{}:{}",
            filter.max_price.map_or_else(String::new, |p| p.to_string()),
            category.map_or_else(String::new, |c| format!("={c}"))
        )
    };
    let read = async { Ok(items(&app.store.products(filter.clone()).await?)) };
    answered(&app, key, read).await
}

/// Products that match a text, best first.
#[utoipa::path(get, path = "/api/products/search", params(SearchQuery), responses(
    (status = 200, description = "`{items: [product]}`; with `X-Fallback: stale` it was read before, since the store does not answer"), (status = 400, body = Problem), (status = 503, body = Problem),
))]
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<SearchQuery>,
) -> Result<Catalog, Problem> {
    let words: Vec<_> =
        query.q.split(separates).filter(|word| !word.is_empty()).take(WORDS_MAX).map(str::to_owned).collect();
    if words.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "empty_search", "q has no word to search for"));
    }
    let read = async { Ok(items(&app.store.search(words.clone()).await?)) };
    if !app.fallback.is_on() {
        return read.await.map(Catalog::fresh);
    }
    let key = format!("search:{}", words.join(" "));
    let answer = app.fallback.remember(&key, read).await;
    app.fallback.or_stale(&key, answer).await
}

/// One product.
#[utoipa::path(get, path = "/api/products/{id}", params(("id" = u32, Path)), responses(
    (status = 200, description = "the product; with `X-Fallback: stale` it was read before, since the store does not answer"), (status = 400, body = Problem), (status = 404, body = Problem),
    (status = 503, body = Problem),
))]
pub(crate) async fn one(State(app): State<Arc<App>>, Id(id): Id) -> Result<Catalog, Problem> {
    let read = async { app.store.product(id).await?.ok_or_else(|| Problem::not_found("product", id)) };
    answered(&app, || product_key(id), read).await
}

/// From the cache, from the store, or what the store said last.
async fn answered(
    app: &App,
    key: impl FnOnce() -> String,
    read: impl Future<Output = Result<Document, Problem>>,
) -> Result<Catalog, Problem> {
    if !app.fallback.is_on() {
        return app.cache.get_or(key, read).await.map(Catalog::fresh);
    }
    let key = key();
    // What the second tier of the cache knew stands in later as well as what the store said.
    let answer = app.fallback.remember(&key, app.cache.get_or(|| key.clone(), read)).await;
    app.fallback.or_stale(&key, answer).await
}

/// What a product is cached under.
pub(crate) fn product_key(id: u32) -> String {
    format!("product:{id}")
}

/// Control characters separate words too: a NUL would end the query's text half-way.
fn separates(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control()
}
