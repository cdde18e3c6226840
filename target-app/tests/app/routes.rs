//! Every route: what it answers, what it refuses, and that it asks of the pool what the table says. The cases hold whatever
//! database answers: the topic `mongodb` has them again.

use axum::http::Method;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use target_app::route::ROUTES;

use crate::support::{Remote, Running};

/// A case over a running app whose store has just been filled.
pub(crate) type Case = for<'a> fn(&'a Remote) -> BoxFuture<'a, ()>;

/// What holds over any store.
pub(crate) const CASES: [Case; 4] = [
    |remote| the_catalog_lists_filters_and_finds(remote).boxed(),
    |remote| a_user_registers_logs_in_and_is_known_by_the_token(remote).boxed(),
    |remote| leads_and_orders_can_be_read_back(remote).boxed(),
    |remote| every_refusal_has_its_status_and_word(remote).boxed(),
];

#[tokio::test]
async fn all_of_it_holds_over_the_embedded_store() {
    for case in CASES {
        let app = Running::quick().await;
        case(&app.remote).await;
        app.stop().await.unwrap();
    }
}

async fn the_catalog_lists_filters_and_finds(remote: &Remote) {
    let items = |answer: Value| answer["items"].as_array().unwrap().clone();

    let first = items(remote.get("/api/products").await.json());
    let second = items(remote.get("/api/products?page=2").await.json());
    assert_eq!((first.len(), second.len()), (20, 20));
    assert_ne!(first, second);
    assert_eq!(items(remote.get("/api/products?page=51").await.json()), Vec::<Value>::new());

    let flasks = items(remote.get("/api/products?category=flasks&max_price=30").await.json());
    let prices: Vec<f64> = flasks.iter().map(|product| product["price"].as_f64().unwrap()).collect();
    assert!(
        !flasks.is_empty() && prices.is_sorted() && prices.iter().all(|price| *price <= 30.0),
        "{prices:?}"
    );
    assert!(flasks.iter().all(|product| product["category"] == "flasks"));
    let cheap = items(remote.get("/api/products?max_price=10").await.json());
    assert!(!cheap.is_empty() && cheap.iter().all(|product| product["price"].as_f64().unwrap() <= 10.0));

    let one = remote.get("/api/products/17").await;
    assert_eq!((one.status.as_u16(), &one.json()["id"]), (200, &json!(17)));

    let found = items(remote.get("/api/products/search?q=steel+trail").await.json());
    let has = |product: &Value, word: &str| product.to_string().contains(word);
    assert!(!found.is_empty() && found.iter().all(|product| has(product, "steel") && has(product, "trail")));
    // What means something to the query language is only text.
    for hostile in ["%22", "a%22+OR+%22b", "*", "name:x", "NEAR(", "a%00b"] {
        let answer = remote.get(&format!("/api/products/search?q={hostile}")).await;
        assert_eq!(answer.status.as_u16(), 200, "{hostile}: {}", answer.text);
    }
}

async fn a_user_registers_logs_in_and_is_known_by_the_token(remote: &Remote) {
    let me = json!({"email": "ada@shop.example", "password": "x", "name": "Ada"});
    let added = remote.post("/api/users", &me).await;
    assert_eq!((added.status.as_u16(), &added.json()["email"]), (201, &me["email"]));
    assert!(!added.text.contains("password"), "{}", added.text);
    let again = remote.post("/api/users", &me).await;
    assert_eq!((again.status.as_u16(), again.error().as_str()), (409, "email_taken"));

    let session = remote.post("/api/login", &me).await.json();
    let bearer = format!("Bearer {}", session["token"].as_str().unwrap());
    let known = remote.send(Method::GET, "/api/me", &[("authorization", &bearer)], "").await.json();
    assert_eq!((&known["name"], &known["id"]), (&json!("Ada"), &session["user_id"]));

    let seeded = json!({"email": "user200@shop.example", "password": "correct-horse"});
    assert_eq!(remote.post("/api/login", &seeded).await.json()["user_id"], 200);
}

async fn leads_and_orders_can_be_read_back(remote: &Remote) {
    for name in ["Ada", "Bob"] {
        let lead = remote.post("/api/leads", &json!({"email": "a@shop.example", "name": name})).await;
        assert_eq!((lead.status.as_u16(), &lead.json()["status"]), (201, &json!("new")));
    }
    let leads = remote.get("/api/leads?status=new").await.json();
    assert_eq!(leads["items"].as_array().unwrap().len(), 2);
    assert_eq!(remote.get("/api/leads?status=won").await.json()["items"], json!([]));

    let price = remote.get("/api/products/5").await.json()["price"].as_f64().unwrap();
    let order = remote.post("/api/orders", &json!({"product_id": 5, "quantity": 3})).await;
    assert_eq!(order.status.as_u16(), 201);
    let order = order.json();
    assert!((order["total"].as_f64().unwrap() - 3.0 * price).abs() < 1e-9);
    assert_eq!(remote.get(&format!("/api/orders/{}", order["id"])).await.json(), order);
}

async fn every_refusal_has_its_status_and_word(remote: &Remote) {
    let long = format!("{{\"email\":\"{}\"}}", "x".repeat(70_000));
    let form = "{\"email\": \"a@b.c\", \"password\": \"x\"}";
    let cases = [
        ("GET", "/nowhere", "", 404, "no_such_route"),
        ("DELETE", "/api/products/1", "", 405, "no_such_method"),
        ("GET", "/api/users", "", 405, "no_such_method"),
        ("GET", "/api/products/x", "", 400, "invalid_id"),
        ("GET", "/api/products/-1", "", 400, "invalid_id"),
        ("GET", "/api/products/4000", "", 404, "not_found"),
        ("GET", "/api/products?page=0", "", 400, "invalid_query"),
        ("GET", "/api/products?max_price=cheap", "", 400, "invalid_query"),
        ("GET", "/api/products/search", "", 400, "invalid_query"),
        ("GET", "/api/products/search?q=+", "", 400, "empty_search"),
        ("GET", "/api/products/search?q=%00", "", 400, "empty_search"),
        ("GET", "/api/orders/1", "", 404, "not_found"),
        ("GET", "/api/me", "", 401, "unauthorized"),
        ("GET", "/static/nothing.js", "", 404, "not_found"),
        ("GET", "/ws", "", 400, "not_a_websocket"),
        ("POST", "/api/users", "{", 400, "malformed_json"),
        ("POST", "/api/users", "{\"email\": 1}", 422, "unfit_json"),
        ("POST", "/api/users", "{\"email\": \"x\", \"password\": \"x\"}", 422, "invalid_email"),
        ("POST", "/api/users", &long, 413, "body_too_large"),
        ("POST", "/api/login", form, 401, "wrong_login"),
        ("POST", "/api/leads", "{\"email\": \"@b.c\"}", 422, "invalid_email"),
        ("POST", "/api/orders", "{\"product_id\": 1, \"quantity\": 0}", 422, "invalid_quantity"),
        ("POST", "/api/orders", "{\"product_id\": 4000}", 422, "unknown_product"),
    ];
    for (method, path, body, status, word) in cases {
        let method: Method = method.parse().unwrap();
        let answer = remote.send(method, path, &[("content-type", "application/json")], body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.error().as_str()),
            (status, word),
            "{path}: {}",
            answer.text
        );
    }
    let untyped = remote.send(Method::POST, "/api/users", &[], form).await;
    assert_eq!((untyped.status.as_u16(), untyped.error().as_str()), (415, "not_json"));
    let head = remote.send(Method::HEAD, "/api/products/1", &[], "").await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    for token in ["Bearer 1.00", "Bearer x", "Basic abc"] {
        let answer = remote.send(Method::GET, "/api/me", &[("authorization", token)], "").await;
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (401, "unauthorized"));
    }
}

/// The query whose demand the table has.
const ORDER_WITH_PRODUCT: &str = "query{orders(ids:[1]){product{id}}}";

/// One request to each route that succeeds, by the route's name.
async fn succeed(remote: &Remote, name: &str) -> u16 {
    let user = json!({"email": "user1@shop.example", "password": "correct-horse"});
    let answer = match name {
        "GET /api/products/{id}" => remote.get("/api/products/1").await,
        "GET /api/products/search" => remote.get("/api/products/search?q=steel").await,
        "POST /api/users" => remote.post("/api/users", &json!({"email": "n@b.c", "password": "x"})).await,
        "POST /api/login" => remote.post("/api/login", &user).await,
        "GET /api/me" => {
            let token = remote.post("/api/login", &user).await.json()["token"].as_str().unwrap().to_owned();
            remote.send(Method::GET, "/api/me", &[("authorization", &format!("Bearer {token}"))], "").await
        }
        "POST /api/leads" => remote.post("/api/leads", &json!({"email": "a@b.c"})).await,
        "POST /api/orders" => remote.post("/api/orders", &json!({"product_id": 1})).await,
        "GET /api/orders/{id}" => remote.get("/api/orders/1").await,
        "GET /graphql" => {
            remote
                .get(&format!(
                    "/graphql?query={}",
                    ORDER_WITH_PRODUCT.replace('{', "%7B").replace('}', "%7D")
                ))
                .await
        }
        "POST /graphql" => remote.post("/graphql", &json!({"query": ORDER_WITH_PRODUCT})).await,
        "GET /static/{asset}" => remote.get("/static/app.css").await,
        other => remote.get(other.split_once(' ').unwrap().1).await,
    };
    answer.status.as_u16()
}

#[tokio::test]
async fn each_route_takes_as_many_connections_as_the_table_says() {
    let app = Running::quick().await;
    let checkouts = "db_client_connection_use_time_seconds_count";
    // A socket and an event stream have no end to wait for, and without a queue there are no jobs.
    let without_end = ["/ws", "/events", "/api/jobs/{id}"];
    for route in ROUTES.iter().filter(|route| !without_end.contains(&route.template)) {
        let before = app.remote.scrape().await.sum(checkouts, &[]);
        let status = succeed(&app.remote, &route.name()).await;
        assert!((200..300).contains(&status), "{}: {status}", route.name());
        let login = if route.template == "/api/me" { 1.0 } else { 0.0 };
        let after = app.remote.scrape().await.sum(checkouts, &[]);
        assert_eq!(after - before - login, route.operations.len() as f64, "{}", route.name());
    }
    app.stop().await.unwrap();
}
