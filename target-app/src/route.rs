//! The table of routes: what each one is called, and what it asks of the pool and the CPU. The router, the metrics,
//! `explain` and the tests all read this table, so a demand cannot be dialled in one place and predicted in another.

use crate::demand::{CpuClass, Operation};

/// One method and path template, with the demand of one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    pub method: &'static str,
    pub template: &'static str,
    pub cpu: CpuClass,
    /// Store operations of one successful request, each one checkout of a pooled connection of each server that it asks. Where there is a job queue, an order's is its job's.
    pub operations: &'static [Operation],
}

impl Route {
    /// `GET /api/products/{id}`: how scenarios' visits and reports name the route.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }

    /// Whether the rate limiter counts a request to it: all but what tells of the app itself, which has to answer whoever
    /// watches it. What reaches no route is counted too, or somebody who guesses paths would never be stopped.
    pub fn limited(&self) -> bool {
        self.cpu != CpuClass::Operational || self.template == UNMATCHED.template
    }

    /// The route with exactly this method and template.
    pub fn find(method: &str, template: &str) -> Option<&'static Self> {
        ROUTES.iter().find(|route| route.template == template && route.method == method)
    }

    /// The route a request to this path would reach, or none (a 404 or 405). A query string is ignored. A literal
    /// segment wins over a `{parameter}`, as in the router.
    pub fn matching(method: &str, path: &str) -> Option<&'static Self> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        ROUTES
            .iter()
            .filter(|route| route.method == method)
            .filter_map(|route| literal_segments(route.template, path).map(|literals| (literals, route)))
            .max_by_key(|(literals, _)| *literals)
            .map(|(_, route)| route)
    }
}

/// Where requests are counted that reach no route.
pub static UNMATCHED: Route =
    Route { method: "", template: "unmatched", cpu: CpuClass::Operational, operations: &[] };

const fn route(
    method: &'static str,
    template: &'static str,
    cpu: CpuClass,
    operations: &'static [Operation],
) -> Route {
    Route { method, template, cpu, operations }
}

pub static ROUTES: &[Route] = &[
    route("GET", "/api/products", CpuClass::List, &[Operation::ProductsList]),
    route("GET", "/api/products/search", CpuClass::Search, &[Operation::ProductsSearch]),
    route("GET", "/api/products/{id}", CpuClass::Read, &[Operation::ProductById]),
    route("POST", "/api/users", CpuClass::Write, &[Operation::UserInsert]),
    route("POST", "/api/login", CpuClass::Login, &[Operation::UserByEmail]),
    route("GET", "/api/me", CpuClass::Read, &[Operation::UserById]),
    route("POST", "/api/leads", CpuClass::Write, &[Operation::LeadInsert]),
    route("GET", "/api/leads", CpuClass::List, &[Operation::LeadsList]),
    route("POST", "/api/orders", CpuClass::Write, &[Operation::OrderInsert]),
    route("GET", "/api/orders/{id}", CpuClass::Read, &[Operation::OrderById]),
    route("GET", "/api/jobs/{id}", CpuClass::Read, &[]),
    // Of a query for orders with their products; one for a page of products is a single operation.
    route("GET", "/graphql", CpuClass::Graphql, &[Operation::OrdersByIds, Operation::ProductsByIds]),
    route("POST", "/graphql", CpuClass::Graphql, &[Operation::OrdersByIds, Operation::ProductsByIds]),
    route("GET", "/static/{asset}", CpuClass::Static, &[]),
    route("GET", "/ws", CpuClass::Upgrade, &[]),
    route("GET", "/events", CpuClass::Upgrade, &[]),
    route("GET", "/metrics", CpuClass::Operational, &[]),
    route("GET", "/healthz", CpuClass::Operational, &[]),
    route("GET", "/readyz", CpuClass::Operational, &[]),
    route("GET", "/openapi.json", CpuClass::Operational, &[]),
];

/// How many segments agree literally, if the path fits the template at all.
fn literal_segments(template: &str, path: &str) -> Option<usize> {
    let mut wanted = template.split('/');
    let mut given = path.split('/');
    let mut literals = 0;
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(literals),
            (Some(want), Some(got)) if want == got => literals += 1,
            (Some(want), Some(got)) if want.starts_with('{') && !got.is_empty() => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ROUTES, Route, UNMATCHED};

    #[test]
    fn a_path_reaches_the_most_literal_template() {
        let name = |method, path| Route::matching(method, path).map(Route::name);
        assert_eq!(name("GET", "/api/products/17").as_deref(), Some("GET /api/products/{id}"));
        assert_eq!(name("GET", "/api/products/search?q=a").as_deref(), Some("GET /api/products/search"));
        assert_eq!(name("GET", "/api/products/${id}").as_deref(), Some("GET /api/products/{id}"));
        assert_eq!(name("GET", "/api/products?page=2").as_deref(), Some("GET /api/products"));
        assert_eq!(name("GET", "/"), None);
        assert_eq!(name("DELETE", "/api/products/17"), None);
        assert_eq!(name("GET", "/api/products/"), None);
        assert_eq!(name("GET", "/api/products/1/2"), None);
    }

    #[test]
    fn what_tells_of_the_app_itself_is_not_limited() {
        let free: Vec<_> = ROUTES.iter().filter(|route| !route.limited()).map(Route::name).collect();
        assert_eq!(free, ["GET /metrics", "GET /healthz", "GET /readyz", "GET /openapi.json"]);
        assert!(UNMATCHED.limited());
    }

    #[test]
    fn no_route_stands_twice() {
        for (i, route) in ROUTES.iter().enumerate() {
            assert!(!ROUTES[..i].contains(route), "{} stands twice", route.name());
            assert_eq!(Route::find(route.method, route.template), Some(route));
        }
    }
}
