//! The app's OpenAPI document, made from the handlers themselves.

use std::sync::OnceLock;

use utoipa::OpenApi;

use crate::routes::{events, health, leads, orders, products, statics, users};
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
        statics::asset,
        socket::open,
        events::open,
        health::metrics,
        health::live,
        health::ready,
        document
    )
)]
struct Api;

/// This document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1")))]
pub(crate) async fn document() -> Document {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| serde_json::to_string(&Api::openapi()).unwrap_or_default());
    Document(text.clone())
}
