//! The OpenAPI document against the table of routes and against what the app really answers.

use std::collections::BTreeSet;

use axum::http::Method;
use target_app::route::{ROUTES, Route};

use crate::support::Running;

#[tokio::test]
async fn the_document_and_the_app_agree() {
    let app = Running::quick().await;
    let document = app.remote.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut documented = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            documented.insert(format!("{method} {path}"));
            let concrete = path.replace("{id}", "1").replace("{asset}", "app.css");
            let headers = [("content-type", "application/json")];
            let answer = app.remote.send(method.clone(), &concrete, &headers, "{}").await;
            let status = answer.status.as_str();
            let allowed = operation["responses"].as_object().unwrap();
            for (status, response) in allowed.iter().filter(|(status, _)| status.as_str() >= "400") {
                let kinds = response["content"].as_object().unwrap().keys();
                // An answer of GraphQL that has no data says so in its status, where the client understands that.
                let kinds: Vec<_> =
                    kinds.filter(|kind| *kind != "application/graphql-response+json").collect();
                assert_eq!(kinds, ["application/problem+json"], "{method} {path} {status}");
            }
            assert!(allowed.contains_key(status), "{method} {path} answered {status}");
            let counted = app.remote.scrape().await;
            let labels = [format!("method=\"{method}\""), format!("route=\"{path}\"")];
            assert!(counted.sum("http_requests_total", &labels.each_ref().map(String::as_str)) >= 1.0);
        }
    }
    assert_eq!(documented, ROUTES.iter().map(Route::name).collect());
    app.stop().await.unwrap();
}
