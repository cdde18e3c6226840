//! GraphQL over HTTP, by the specification of that name (graphql.github.io/graphql-over-http): what is wrong with the transport is
//! a problem, what is wrong with the request stands in its answer. A client that accepts `application/graphql-response+json`
//! gets 400 with an answer that has no data; one that only knows `application/json` gets 200 whatever became of it.

#![allow(unused_qualifications, reason = "the code that utoipa writes for query parameters is so qualified")]

use std::sync::Arc;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Variables};
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use super::input::{Body, Parameters};
use crate::app::App;
use crate::graphql::is_too_nested;
use crate::limiter::Peer;

/// The media type of an answer whose status says something.
pub(crate) const RESPONSE_JSON: &str = "application/graphql-response+json";
const JSON: &str = "application/json";

/// A request in a body.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    query: String,
    /// Which of several operations of the query is meant.
    operation_name: Option<String>,
    #[schema(value_type = Option<Object>)]
    variables: Option<Map<String, Value>>,
}

/// A request in a query string.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct GraphqlQuery {
    query: String,
    operation_name: Option<String>,
    /// A JSON object.
    #[param(pattern = r"^\{\}$")]
    variables: Option<String>,
}

/// Carries out a query or a mutation.
#[utoipa::path(post, path = "/graphql", request_body = Asked, responses(
    (status = 200, content(
        (Object = "application/graphql-response+json"), (Object = "application/json"),
    ), description = "`{data, errors}`"),
    (status = 400, content(
        (Object = "application/graphql-response+json"), (Problem = "application/problem+json"),
    ), description = "`{errors}` for who accepts application/graphql-response+json, or the body is no JSON"),
))]
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Body(asked): Body<Asked>,
) -> Response {
    answer(&app, asked, &headers, peer.map(|peer| peer.0)).await
}

/// Carries out a query.
#[utoipa::path(get, path = "/graphql", params(GraphqlQuery), responses(
    (status = 200, content(
        (Object = "application/graphql-response+json"), (Object = "application/json"),
    ), description = "`{data, errors}`"),
    (status = 400, content(
        (Object = "application/graphql-response+json"), (Problem = "application/problem+json"),
    ), description = "`{errors}` for who accepts application/graphql-response+json, or the parameters do not fit"),
    (status = 405, body = Problem, description = "the query is a mutation"),
))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Parameters(query): Parameters<GraphqlQuery>,
) -> Result<Response, Problem> {
    let GraphqlQuery { query, operation_name, variables } = query;
    let variables = variables.map(|text| serde_json::from_str(&text)).transpose().map_err(|e| {
        let detail = format!("variables is no JSON object: {e}");
        Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
    })?;
    let asked = Asked { query, operation_name, variables };
    if changes(&asked) {
        let detail = "a mutation is asked for by POST";
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "mutation_by_get", detail);
        return Ok(([(header::ALLOW, "POST")], problem).into_response());
    }
    Ok(answer(&app, asked, &headers, peer.map(|peer| peer.0)).await)
}

async fn answer(app: &Arc<App>, asked: Asked, headers: &HeaderMap, peer: Option<Peer>) -> Response {
    let mut request = Request::new(asked.query);
    if let Some(name) = asked.operation_name {
        request = request.operation_name(name);
    }
    if let Some(variables) = asked.variables {
        request = request.variables(Variables::from_json(Value::Object(variables)));
    }
    let response = app.graph.execute(app, request, peer).await;
    let telling = accepts(headers, RESPONSE_JSON);
    let carried_out = response.is_ok() || response.data != async_graphql::Value::Null;
    let status = if carried_out || !telling { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let kind = if telling { RESPONSE_JSON } else { JSON };
    // Text, numbers and lists of them have no way to fail.
    let text = serde_json::to_string(&response).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
}

/// Whether the operation that is meant is a mutation; a query that cannot be read is not, and says so itself.
fn changes(asked: &Asked) -> bool {
    !is_too_nested(&asked.query)
        && parse_query(&asked.query).is_ok_and(|document| {
            document.operations.iter().any(|(name, operation)| {
                let meant = match &asked.operation_name {
                    Some(wanted) => name.is_some_and(|name| name.as_str() == wanted),
                    None => true,
                };
                meant && operation.node.ty == OperationType::Mutation
            })
        })
}

/// Whether a media type is named among those that are accepted; a weight of zero excludes it.
fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case(kind))
            && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{Asked, RESPONSE_JSON, accepts, changes};

    #[test]
    fn a_media_type_is_accepted_by_its_name() {
        let accepted = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(value).unwrap());
            accepts(&headers, RESPONSE_JSON)
        };
        for right in
            [RESPONSE_JSON, "application/json;q=0.9, Application/GraphQL-Response+JSON; charset=utf-8"]
        {
            assert!(accepted(right), "{right}");
        }
        for wrong in ["", "*/*", "application/json", "application/graphql-response+json;q=0"] {
            assert!(!accepted(wrong), "{wrong}");
        }
        assert!(!accepts(&HeaderMap::new(), RESPONSE_JSON));
    }

    #[test]
    fn the_operation_that_is_meant_decides() {
        let both = "query a { product(id: 1) { id } } mutation b { placeOrder(productId: 1) { id } }";
        let asked = |query: &str, name: Option<&str>| {
            let operation_name = name.map(str::to_owned);
            changes(&Asked { query: query.to_owned(), operation_name, variables: None })
        };
        assert!(!asked(both, Some("a")) && asked(both, Some("b")));
        assert!(asked("mutation { placeOrder(productId: 1) { id } }", None));
        assert!(!asked("{ product(id: 1) { id } }", None) && !asked("mutation {", None));
    }
}
