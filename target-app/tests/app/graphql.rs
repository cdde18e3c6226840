//! GraphQL over HTTP: what queries and mutations answer, how many store operations they cost, and what is refused and how.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use target_app::explain::{Visits, explain, notes};
use target_app::profile::Profile;

use crate::faults::Breakable;
use crate::support::{Answer, Remote, Running};

const RESPONSE_JSON: &str = "application/graphql-response+json";

async fn ask(remote: &Remote, query: &str) -> Value {
    let answer = remote.post("/graphql", &json!({ "query": query })).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    answer.json()
}

/// The words of the errors in an answer.
fn codes(answer: &Value) -> Vec<&str> {
    let errors = answer["errors"].as_array().unwrap();
    errors.iter().map(|error| error["extensions"]["code"].as_str().unwrap_or("-")).collect()
}

async fn checkouts(remote: &Remote) -> f64 {
    remote.scrape().await.sum("db_client_connection_use_time_seconds_count", &[])
}

/// An app in which orders 1 to `count` are of products 1 to 3 in turn.
async fn with_orders(count: u32, dials: &[&str]) -> Running {
    let dials: Vec<_> = ["mongodb.service_time_ms=1"].into_iter().chain(dials.iter().copied()).collect();
    let app = Running::with(&dials).await;
    for number in 1..=count {
        let order = json!({"product_id": 1 + number % 3, "quantity": number});
        assert_eq!(app.remote.post("/api/orders", &order).await.status, StatusCode::CREATED);
    }
    app
}

#[tokio::test]
async fn orders_with_their_products_cost_two_operations_however_many_they_are() {
    let app = with_orders(12, &[]).await;
    let cost = async |query: &str, expected: f64| {
        let before = checkouts(&app.remote).await;
        let answer = ask(&app.remote, query).await;
        assert_eq!(answer["errors"], Value::Null, "{query}");
        assert_eq!(checkouts(&app.remote).await - before, expected, "{query}");
        answer
    };
    let all = "{ orders(ids: [12,11,10,9,8,7,6,5,4,3,2,1]) { id quantity product { id name } } }";
    let answer = cost(all, 2.0).await;
    for (place, order) in answer["data"]["orders"].as_array().unwrap().iter().enumerate() {
        let number = 12 - place as u64;
        assert_eq!((&order["id"], &order["quantity"]), (&json!(number), &json!(number)));
        assert_eq!(order["product"]["id"], json!(1 + number % 3));
        assert!(order["product"]["name"].as_str().is_some_and(|name| !name.is_empty()));
    }
    cost("{ orders(ids: [1,2]) { total } }", 1.0).await;
    cost("{ a: order(id: 1) { product { id } } b: order(id: 2) { product { id } } }", 2.0).await;
    cost("{ a: product(id: 1) { id } b: product(id: 2) { id } c: product(id: 1) { id } }", 1.0).await;
    cost("{ products(category: \"flasks\", maxPrice: 50, page: 1) { id } }", 1.0).await;
    cost("{ leads { email } }", 1.0).await;
    cost("{ __typename }", 0.0).await;
    app.stop().await.unwrap();
}

#[tokio::test]
async fn products_that_a_cache_has_are_not_read_again_by_whichever_route() {
    let app = with_orders(6, &["cache.l1_ttl_ms=3600000"]).await;
    let cost = async |ask: &str, operation: &str| {
        let count = async || {
            let operation = format!("operation=\"{operation}\"");
            app.remote.scrape().await.sum("db_client_operation_duration_seconds_count", &[&operation])
        };
        let (before, all) = (count().await, checkouts(&app.remote).await);
        let answer = match ask.strip_prefix('/') {
            Some(_) => app.remote.get(ask).await,
            None => app.remote.post("/graphql", &json!({ "query": ask })).await,
        };
        assert!(answer.status.is_success() && answer.json()["errors"].is_null(), "{ask}: {answer:?}");
        (count().await - before, checkouts(&app.remote).await - all)
    };
    // Products 1 to 3, read at once and kept for both.
    let orders = "{ orders(ids: [1,2,3,4,5,6]) { product { id name } } }";
    assert_eq!(cost(orders, "products_by_ids").await, (1.0, 2.0));
    assert_eq!(cost(orders, "products_by_ids").await, (0.0, 1.0), "the orders alone");
    assert_eq!(cost("/api/products/2", "product_by_id").await, (0.0, 0.0));
    assert_eq!(cost("/api/products/7", "product_by_id").await, (1.0, 1.0));
    let some = "{ a: product(id: 1) { id } b: product(id: 7) { id } c: product(id: 8) { id name } }";
    assert_eq!(cost(some, "products_by_ids").await, (1.0, 1.0));
    assert_eq!(cost(some, "products_by_ids").await, (0.0, 0.0));
    // One that there is not is not kept, and takes nothing else with it.
    let absent = "{ a: product(id: 8) { id } b: product(id: 5000) { id } }";
    assert_eq!(cost(absent, "products_by_ids").await, (1.0, 1.0));
    assert_eq!(cost(absent, "products_by_ids").await, (1.0, 1.0));
    let scrape = app.remote.scrape().await;
    let tier = |name: &str| scrape.sum(name, &["tier=\"l1\""]);
    assert_eq!((tier("cache_hits_total"), tier("cache_misses_total")), (11.0, 7.0));
    app.stop().await.unwrap();
}

#[tokio::test]
async fn the_documents_are_those_of_the_other_routes() {
    let app = with_orders(1, &[]).await;
    let rest = app.remote.get("/api/products/7").await.json();
    let fields = "id name category description price stock";
    let graph = ask(&app.remote, &format!("{{ product(id: 7) {{ {fields} }} }}")).await;
    assert_eq!(graph["data"]["product"], rest);
    let page = app.remote.get("/api/products?category=flasks&max_price=30&page=2").await.json();
    let query = format!("{{ products(category: \"flasks\", maxPrice: 30, page: 2) {{ {fields} }} }}");
    assert_eq!(ask(&app.remote, &query).await["data"]["products"], page["items"]);
    app.remote.post("/api/leads", &json!({"email": "a@shop.example", "message": "hello"})).await;
    let leads = ask(&app.remote, "{ leads { email message status } }").await;
    assert_eq!(
        leads["data"]["leads"],
        json!([{"email": "a@shop.example", "message": "hello", "status": "new"}])
    );
    let order = app.remote.get("/api/orders/1").await.json();
    let graph = ask(&app.remote, "{ order(id: 1) { id productId quantity total status createdAtMs } }").await;
    assert_eq!(graph["data"]["order"]["total"], order["total"]);
    assert_eq!(graph["data"]["order"]["createdAtMs"].as_f64(), order["created_at_ms"].as_f64());
    let nothing =
        ask(&app.remote, "{ product(id: 5000) { id } order(id: 9) { id } orders(ids: [9, 1]) { id } }").await;
    assert_eq!(nothing["data"], json!({"product": null, "order": null, "orders": [null, {"id": 1}]}));
    app.stop().await.unwrap();
}

#[tokio::test]
async fn an_order_is_placed_by_a_mutation_and_what_is_wrong_with_one_has_its_word() {
    let app = Running::quick().await;
    let query = "mutation place($id: Int!) { placeOrder(productId: $id, quantity: 2) { id total product { price } } }";
    let body = json!({"query": query, "variables": {"id": 7}, "operationName": "place"});
    let placed = app.remote.post("/graphql", &body).await.json();
    let order = &placed["data"]["placeOrder"];
    assert_eq!(order["total"].as_f64().unwrap(), order["product"]["price"].as_f64().unwrap() * 2.0);
    assert_eq!(app.remote.get(&format!("/api/orders/{}", order["id"])).await.status, StatusCode::OK);
    for (arguments, word) in [
        ("productId: 5000", "unknown_product"),
        ("productId: 1, quantity: 0", "invalid_quantity"),
        ("productId: 1, quantity: 1001", "invalid_quantity"),
    ] {
        let refused = ask(&app.remote, &format!("mutation {{ placeOrder({arguments}) {{ id }} }}")).await;
        assert_eq!((codes(&refused), &refused["data"]), (vec![word], &Value::Null));
    }
    ask(&app.remote, "{ nonsense }").await;
    let scrape = app.remote.scrape().await;
    let counted = |code: &str| scrape.sum("graphql_errors_total", &[&format!("code=\"{code}\"")]);
    let words = ["unknown_product", "invalid_quantity", "invalid_request"];
    assert_eq!(words.map(counted), [1.0, 2.0, 1.0]);
    assert_eq!(scrape.sum("http_requests_total", &["method=\"POST\"", "route=\"/graphql\"", "200"]), 5.0);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_pool_that_is_full_is_an_error_of_the_field_that_waited() {
    let dials = ["mongodb.max_pool_size=1", "mongodb.wait_queue_timeout_ms=5", "mongodb.service_time_ms=400"];
    let app = Running::with(&dials).await;
    // Fields of one request are read side by side; the page and the leads want a connection each.
    let answer = ask(&app.remote, "{ leads { id } products { id } }").await;
    assert_eq!(codes(&answer), ["pool_wait_queue_timeout"]);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn over_http_the_status_tells_as_much_as_the_client_understands() {
    let app = Running::quick().await;
    let query = "%7Bproduct(id:7)%7Bid%7D%7D";
    let got = app.remote.get(&format!("/graphql?query={query}")).await;
    assert_eq!((got.status, got.json()), (StatusCode::OK, json!({"data": {"product": {"id": 7}}})));
    let variables = "%7B%22id%22:7%7D";
    let path = format!(
        "/graphql?query=query%20a($id:Int!)%7Bproduct(id:$id)%7Bid%7D%7D&variables={variables}&operationName=a"
    );
    assert_eq!(app.remote.get(&path).await.json(), got.json());

    let mutation = app.remote.get("/graphql?query=mutation%7BplaceOrder(productId:1)%7Bid%7D%7D").await;
    assert_eq!((mutation.status.as_u16(), mutation.error().as_str()), (405, "mutation_by_get"));
    assert_eq!(mutation.headers["allow"], "POST");
    let checkouts = checkouts(&app.remote).await;
    assert_eq!(checkouts, 2.0, "nothing was placed");

    let headers = [("content-type", "application/json"), ("accept", RESPONSE_JSON)];
    let telling = async |query: &str| -> Answer {
        let body = json!({ "query": query }).to_string();
        let answer = app.remote.send(Method::POST, "/graphql", &headers, &body).await;
        assert_eq!(answer.headers["content-type"], RESPONSE_JSON);
        answer
    };
    assert_eq!(telling("{ product(id: 1) { id } }").await.status.as_u16(), 200);
    for wrong in ["{ nonsense }", "{", "query a { __typename } query b { __typename }"] {
        assert_eq!(telling(wrong).await.status.as_u16(), 400, "{wrong}");
        assert_eq!(codes(&ask(&app.remote, wrong).await), ["-"], "and 200 for who only knows JSON");
    }

    let post = async |body: &str| {
        let kind = [("content-type", "application/json")];
        app.remote.send(Method::POST, "/graphql", &kind, body).await
    };
    for (body, status, word) in [
        ("{", 400, "malformed_json"),
        ("{\"qeury\": \"{ a }\"}", 422, "unfit_json"),
        ("[{\"query\": \"{ __typename }\"}]", 422, "unfit_json"),
        (&json!({"query": "x".repeat(70_000)}).to_string(), 413, "body_too_large"),
    ] {
        let answer = post(body).await;
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (status, word));
    }
    for path in ["/graphql", "/graphql?query=%7B__typename%7D&variables=1"] {
        assert_eq!(app.remote.get(path).await.error(), "invalid_query");
    }
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_query_that_asks_too_much_is_refused_before_it_costs_anything() {
    let app = with_orders(1, &["graphql.max_depth=2", "graphql.max_complexity=150"]).await;
    let before = checkouts(&app.remote).await;
    let ids = |count: u32| (1..=count).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let refused = [
        ("{ orders(ids: [1]) { product { id } } }".to_owned(), "too deep", "-"),
        (
            "{ products { id name category description price stock a: id b: id } }".to_owned(),
            "too complex",
            "-",
        ),
        (format!("{{ orders(ids: [{}]) {{ id quantity }} }}", ids(80)), "too complex", "-"),
        (format!("{{ orders(ids: [{}]) {{ id }} }}", ids(101)), "at most 100 ids", "too_many_ids"),
    ];
    for (query, why, code) in refused {
        let answer = ask(&app.remote, &query).await;
        assert_eq!(codes(&answer), [code], "{answer}");
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains(why), "{answer}");
    }
    assert_eq!(checkouts(&app.remote).await, before);
    let kept = ask(&app.remote, "{ orders(ids: [1]) { id } products { id name } }").await;
    assert_eq!(kept["errors"], Value::Null);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_an_operation_of_its_own_cannot_be_asked_for_dozens_of_times_in_one_request() {
    let app = Running::quick().await;
    for (kind, field) in [
        ("mutation", "placeOrder(productId: 1) { id }"),
        ("query", "products { id }"),
        ("query", "leads { id }"),
    ] {
        let aliases = |count: u32| (1..=count).map(|n| format!("a{n}: {field} ")).collect::<String>();
        let answer = ask(&app.remote, &format!("{kind} {{ {} }}", aliases(50))).await;
        assert_eq!((codes(&answer), &answer["data"]), (vec!["-"], &Value::Null), "{answer}");
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains("too complex"), "{answer}");
        assert_eq!(checkouts(&app.remote).await, 0.0, "{field}");
    }
    let few = ask(&app.remote, "{ a: products { id } b: products { id } leads { id } }").await;
    assert_eq!(few["errors"], Value::Null);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn nesting_without_end_is_refused_and_nothing_dies_of_it() {
    // A process of its own, whose first thread has the stack that the app is served on.
    let shop = Breakable::serving(&[]);
    let app = &shop.app;
    let limit = "Query is nested too deep, or a string does not end.";
    for (deep, open, close) in
        [(30_000, "[", "]"), (1_700, "[", "]"), (1_700, "{a:", "}"), (1_700, "{a", "}")]
    {
        for ends in [String::new(), format!("{}){{id}}}}", close.repeat(deep))] {
            let query = format!("{{product(id:{}{ends}", open.repeat(deep));
            let answer = ask(app, &query).await;
            assert_eq!((codes(&answer), &answer["errors"][0]["message"]), (vec!["-"], &json!(limit)));
            if open == "[" && deep < 30_000 {
                let got = app.get(&format!("/graphql?query={query}")).await;
                assert_eq!(got.json()["errors"][0]["message"], limit);
            }
        }
    }
    // As deep as is let pass.
    let nested = format!("{{ product(id: {}1{}) {{ id }} }}", "[".repeat(126), "]".repeat(126));
    assert!(ask(app, &nested).await["errors"][0]["message"].as_str().unwrap().contains("Int"));
    assert_eq!(ask(app, "{ product(id: 1) { id } }").await["data"]["product"]["id"], 1);
}

#[tokio::test]
async fn the_schema_can_be_asked_for_except_where_all_is_hardened() {
    // As tools send it: the deepest and widest query there is.
    let whole = "query { __schema { queryType { name } types { name kind fields(includeDeprecated: true) { name args { name type { ...T } } type { ...T } } } } }
        fragment T on __Type { name kind ofType { name kind ofType { name kind ofType { name kind ofType { name kind ofType { name kind ofType { name kind ofType { name } } } } } } } }";
    let app = Running::quick().await;
    let schema = ask(&app.remote, whole).await;
    assert_eq!(schema["errors"], Value::Null);
    let types: Vec<_> =
        schema["data"]["__schema"]["types"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
    for name in ["Product", "Order", "Lead"] {
        assert!(types.contains(&&json!(name)), "{types:?}");
    }
    app.stop().await.unwrap();
    let app = Running::of("hardened", &["tls.version=off", "request_signing.required=off"]).await;
    let hidden = ask(&app.remote, "{ __schema { queryType { name } } }").await;
    assert_eq!(hidden["data"]["__schema"], Value::Null, "{hidden}");
    let typo = ask(&app.remote, "{ prodct(id: 1) { id } }").await;
    assert!(!typo.to_string().contains("product"), "{typo}");
    assert_eq!(ask(&app.remote, "{ product(id: 1) { id } }").await["data"]["product"]["id"], 1);
    app.stop().await.unwrap();
}

#[test]
fn explain_counts_both_levels_of_a_query() {
    let mut visits = Visits::thinking(1.0);
    visits.add("POST /graphql", 1.0).unwrap();
    let first = explain(&Profile::named("baseline").unwrap(), 1, &visits).swap_remove(0);
    assert_eq!((first.resource.as_str(), first.rate_per_s.round()), ("mongodb.pool", 250.0));
    // Of the two that of the products is left to a cache, and a command of Redis where that is all there is.
    let of = |profile: &str, resource: &str| {
        let ceilings = explain(&Profile::named(profile).unwrap(), 1, &visits);
        let found = ceilings.into_iter().find(|ceiling| ceiling.resource == resource);
        found.map(|ceiling| ceiling.rate_per_s.round())
    };
    assert_eq!(of("cached", "mongodb.pool"), Some(500.0));
    assert_eq!(of("redis-single", "redis.main_thread"), Some(1_000.0));
    assert_eq!(of("l1-cache", "redis.main_thread"), None);
    let noted = |profile| notes(&Profile::named(profile).unwrap(), 1, &visits).join("\n");
    assert!(
        noted("redis-single").contains("each of its products") && !noted("l1-cache").contains("products")
    );
}
