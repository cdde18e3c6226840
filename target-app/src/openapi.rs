//! The app's OpenAPI document, made from the handlers themselves and, for what happens before them, from the
//! table of routes.

use std::sync::OnceLock;

use utoipa::openapi::header::Header;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::{ContentBuilder, Object, Ref, RefOr, Response, ResponseBuilder, Type};
use utoipa::{Modify, OpenApi};

use crate::route::ROUTES;
use crate::routes::{PROBLEM_JSON, events, graphql, health, jobs, leads, orders, products, statics, users};
use crate::socket;
use crate::store::Document;

#[derive(OpenApi)]
#[openapi(
    info(title = "Eco-bottle shop", description = "The bundled target of Plimsoll."),
    paths(
        products::list,
        products::search,
        products::one,
        users::register,
        users::login,
        users::me,
        leads::add,
        leads::list,
        orders::place,
        orders::one,
        graphql::get,
        graphql::post,
        jobs::one,
        statics::asset,
        socket::open,
        events::open,
        health::metrics,
        health::live,
        health::ready,
        document
    ),
    modifiers(&Limited, &Guarded, &Problems)
)]
struct Api;

/// Adds the rate limiter's answer to every route that it counts, by the same rule that it goes by.
struct Limited;

impl Modify for Limited {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        for route in ROUTES.iter().filter(|route| route.limited()) {
            let path = api.paths.paths.get_mut(route.template);
            if let Some(operation) = path.and_then(|path| operation(path, route.method)) {
                operation.responses.responses.insert("429".to_owned(), rejected().into());
            }
        }
    }
}

fn operation<'a>(path: &'a mut PathItem, method: &str) -> Option<&'a mut Operation> {
    match method {
        "POST" => path.post.as_mut(),
        _ => path.get.as_mut(),
    }
}

/// Adds what the protections of `hardened` ask and answer.
struct Guarded;

/// What a signature consists of. No patterns: where none is asked for, anything is taken.
const SIGNATURE: [(&str, &str); 4] = [
    ("X-Key-Id", "Whose key it is: `shop-web`."),
    ("X-Timestamp", "Seconds since 1970."),
    ("X-Nonce", "1 to 64 characters, new each time."),
    ("X-Signature", "64 digits in hex, as README.md says."),
];

impl Modify for Guarded {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        for route in ROUTES {
            let path = api.paths.paths.get_mut(route.template);
            let Some(operation) = path.and_then(|path| operation(path, route.method)) else { continue };
            let responses = &mut operation.responses.responses;
            let foreign = problem("the Origin is none that may ask; only in profiles with strict CORS");
            responses.insert("403".to_owned(), foreign.build().into());
            if route.method == "POST" {
                let unsigned =
                    problem("the signature is missing or not taken; only in profiles that ask for one");
                responses.entry("401".to_owned()).or_insert_with(|| unsigned.build().into());
                operation
                    .parameters
                    .get_or_insert_default()
                    .extend(SIGNATURE.map(|told| header(told).into()));
            }
        }
    }
}

fn header((name, what): (&str, &str)) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .description(Some(format!("{what} Only in profiles that ask for a signature.")))
        .schema(Some(Object::with_type(Type::String)))
        .build()
}

fn rejected() -> Response {
    problem("the user has made all requests of this window; only in profiles with a rate limiter")
        .header("Retry-After", Header::new(Object::with_type(Type::Integer)))
        .build()
}

fn problem(description: &str) -> ResponseBuilder {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, problem)
}

/// What routes need not say each time: that problems have a media type of their own, and what is wrong with a body that is none.
struct Problems;

/// How a body is refused whatever it is for.
const BODY_REFUSED: [(&str, &str); 5] = [
    ("400", "the body is no JSON"),
    ("408", "the body took too long; only in profiles that limit its time"),
    ("413", "the body is longer than 64 KiB"),
    ("415", "the body is not said to be JSON"),
    ("422", "the JSON does not fit"),
];

impl Modify for Problems {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        for path in api.paths.paths.values_mut() {
            for operation in [&mut path.get, &mut path.post].into_iter().flatten() {
                let responses = &mut operation.responses.responses;
                if operation.request_body.is_some() {
                    for (status, why) in BODY_REFUSED {
                        responses.entry(status.to_owned()).or_insert_with(|| problem(why).build().into());
                    }
                }
                for (status, response) in responses {
                    let failed = status.starts_with(['4', '5']);
                    if let (true, RefOr::T(response)) = (failed, response)
                        && let Some(content) = response.content.shift_remove("application/json")
                    {
                        response.content.insert(PROBLEM_JSON.to_owned(), content);
                    }
                }
            }
        }
    }
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1")))]
pub(crate) async fn document() -> Document {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| serde_json::to_string(&Api::openapi()).unwrap_or_default());
    Document(text.clone())
}
