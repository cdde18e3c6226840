//! The ceiling of every resource, computed from the dials alone by the operational laws: the ground truth that a
//! measured load line is held against. Nothing here knows how the app is built, only what one visit demands.

mod notes;
mod servers;

pub use self::notes::notes;

use serde::Serialize;

use crate::demand::Operation;
use crate::profile::{Dials, Profile};
use crate::redis::node_of;
use crate::route::{ROUTES, Route};
use crate::routes::products::product_key;

/// What the rate limiter sends Redis for a request: see `limiter/shared.rs`.
const LIMITER_COMMANDS: f64 = 3.0;

/// What one iteration of a scenario asks of the app, in expectation.
#[derive(Clone, Debug, Default)]
pub struct Visits {
    /// Mean think time of one iteration, all its pauses added, in seconds.
    pub think_s: f64,
    /// WebSockets one user holds open.
    pub sockets_per_user: f64,
    /// Whether a real MongoDB answers them: then no dial tells how long it takes.
    pub real_mongodb: bool,
    requests: Vec<Visit>,
}

/// How often a route is visited.
#[derive(Clone, Copy, Debug)]
struct Visit {
    route: &'static Route,
    times: f64,
    /// A list that is said to be of no category, which there is an index for in any case.
    of_all: bool,
}

/// A request that reaches no route of the app.
#[derive(Debug, thiserror::Error)]
#[error("no route {name:?}; there is: {}", ROUTES.iter().map(Route::name).collect::<Vec<_>>().join(", "))]
pub struct UnknownRoute {
    pub name: String,
}

impl Visits {
    /// Visits of users who pause this long an iteration, in seconds.
    pub fn thinking(think_s: f64) -> Self {
        Self { think_s, ..Self::default() }
    }

    /// Adds the expected number of visits an iteration makes to a route. `name` is a method and a template or a
    /// concrete path: `GET /api/products/{id}` and `GET /api/products/17?x=1` are the same route.
    pub fn add(&mut self, name: &str, times: f64) -> Result<(), UnknownRoute> {
        let route = name.split_once(' ').and_then(|(method, path)| Route::matching(method, path.trim()));
        let Some(route) = route else {
            return Err(UnknownRoute { name: name.to_owned() });
        };
        let of_all = name.contains('?') && !name.contains("category=");
        self.requests.push(Visit { route, times, of_all });
        Ok(())
    }

    /// Requests of one iteration.
    pub fn requests_per_iteration(&self) -> f64 {
        self.sum(|_| 1.0)
    }

    /// What each request asks of something, added up over one iteration.
    fn sum(&self, of: impl Fn(&Route) -> f64) -> f64 {
        // From zero, since the sum of nothing is -0.
        self.requests.iter().fold(0.0, |sum, visit| sum + visit.times * of(visit.route))
    }

    /// Operations of one iteration that no cache answers, each as much as `of` says.
    fn in_store(&self, dials: &Dials, of: impl Fn(Operation) -> f64) -> f64 {
        self.sum(|route| {
            let in_store = route.operations.iter().filter(|operation| !dials.cached(**operation));
            in_store.map(|operation| of(*operation)).sum()
        })
    }

    fn cpu_s(&self, dials: &Dials) -> f64 {
        self.sum(|route| if dials.at_the_edge(route.cpu) { 0.0 } else { dials.cpu_s(route.cpu) })
    }

    /// Connections of the gateway that one user cannot do without, in the mean: two for each socket, and two for a request that is
    /// answered, one to the client and one to the app. One that waits for its user's next request is no need: it is closed for another.
    fn gateway_connections(&self, dials: &Dials) -> f64 {
        let iteration_s = self.iteration_s(dials);
        let answered_s = iteration_s - self.think_s;
        let in_flight = if answered_s > 0.0 { answered_s / iteration_s } else { 0.0 };
        2.0 * (self.sockets_per_user + in_flight)
    }

    /// Commands of one iteration to each node of Redis.
    ///
    /// Products are taken to be asked for evenly, so a node has the share of the reads of them that it has of their keys. All other keys are
    /// taken to be spread evenly.
    fn redis_commands(&self, dials: &Dials) -> Vec<f64> {
        let nodes = dials.redis.nodes;
        let one_of_them = |op| matches!(op, Operation::ProductById | Operation::ProductsByIds);
        let products = self.sum(|route| reads_from_redis(dials, route, one_of_them));
        let pages = self.sum(|route| reads_from_redis(dials, route, |op| !one_of_them(op)));
        let limiter = if dials.limits_in_redis() { LIMITER_COMMANDS } else { 0.0 };
        let limited = limiter * self.sum(|route| f64::from(u8::from(route.limited())));
        let mut kept = vec![0.0; nodes as usize];
        for id in 1..=dials.store.products {
            kept[node_of(&product_key(id), nodes) as usize] += 1.0 / f64::from(dials.store.products);
        }
        kept.into_iter().map(|share| products * share + (pages + limited) / f64::from(nodes)).collect()
    }

    fn redis_s(&self, dials: &Dials) -> f64 {
        self.redis_commands(dials).iter().sum::<f64>() * dials.redis.command_s()
    }

    /// What the workers of the job queue have to do for it, while nobody waits.
    fn jobs_s(&self, dials: &Dials) -> f64 {
        let jobs = self.sum(|route| route.operations.iter().filter(|op| dials.queued(**op)).count() as f64);
        // A real MongoDB has no table of jobs.
        if self.real_mongodb { 0.0 } else { jobs * dials.job_s() }
    }

    /// How long one iteration takes that never waits for anything, thinking included.
    fn iteration_s(&self, dials: &Dials) -> f64 {
        self.think_s + self.awaited_store_s(dials) + self.cpu_s(dials) + self.redis_s(dials)
    }
}

/// Reads of one request to a route that are answered by Redis.
fn reads_from_redis(dials: &Dials, route: &Route, wanted: impl Fn(Operation) -> bool) -> f64 {
    route.operations.iter().filter(|op| dials.read_from_redis(**op) && wanted(**op)).count() as f64
}

/// The most one resource carries before it gives way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ceiling {
    /// `system.part`, for example `mongodb.pool`.
    pub resource: String,
    /// Requests per second of this mix of routes.
    pub rate_per_s: f64,
    /// Iterations per second of the scenario.
    pub iterations_per_s: f64,
    /// Users at which the resource is fully busy, N*.
    pub users: f64,
}

/// The ceiling of each resource the iteration visits, first to give way first.
///
/// With m_k servers and the demand D_k = sum over routes of visits x demand, X_k = m_k / D_k iterations per second, and
/// N*_k = X_k (Z + R0), where Z is the think time and R0 the response time of an iteration that never waits, the sum of
/// all D (saturation point of the asymptotic bounds: Denning and Buzen, "The Operational Analysis of Queueing Network
/// Models", ACM Computing Surveys 10:3, 1978). A resource the iteration does not visit has no ceiling and is left out.
///
/// The gateway and the nodes of Redis are there for all replicas; all other resources are those of one replica, and there are `replicas` of each.
/// A cached read is taken to be a hit: a document is read from the store once per time to live and replica, so more load means no more work for the pool. What the kernel
/// deals out unevenly among the replicas (it hashes addresses) is not in here; with connections in the thousands it is a few
/// per cent.
///
/// Each server of the database has a pool of its own in each replica. Reads go to its members by the read preference, evenly where there are several.
///
/// With a job queue an order keeps a worker, who keeps a connection for a part of that; its caller waits for neither, so both count in the
/// demands and not in R0. Above the workers' ceiling nobody waits longer either: the queue grows, and once it is full orders are refused.
pub fn explain(profile: &Profile, replicas: u32, visits: &Visits) -> Vec<Ceiling> {
    let dials = profile.dials();
    let replicas = f64::from(replicas);
    let cpu_s = visits.cpu_s(dials);
    let iteration_s = visits.iteration_s(dials);
    let requests = visits.requests_per_iteration();

    let shared = |resource: &str, servers: f64, demand_s: f64| {
        let iterations_per_s = servers / demand_s;
        Ceiling {
            resource: resource.to_owned(),
            rate_per_s: iterations_per_s * requests,
            iterations_per_s,
            users: iterations_per_s * iteration_s,
        }
    };
    let served = |resource: &str, servers: f64, demand_s: f64| shared(resource, replicas * servers, demand_s);
    let held = |resource: &str, limit: f64, per_user: f64| {
        let users = limit / per_user;
        let iterations_per_s = users / iteration_s;
        Ceiling {
            resource: resource.to_owned(),
            rate_per_s: iterations_per_s * requests,
            iterations_per_s,
            users,
        }
    };
    let socket_bytes = visits.sockets_per_user * dials.heap.bytes_per_socket as f64;
    let mut ceilings = vec![
        served("queue.workers", dials.queue.concurrency as f64, visits.jobs_s(dials)),
        served("app.cpu", dials.app.cores, cpu_s),
        held("app.heap", replicas * dials.heap.limit_bytes as f64, socket_bytes),
    ];
    for (server, demand_s) in visits.pools_s(dials) {
        ceilings.push(served(&format!("{server}.pool"), dials.mongodb.max_pool_size as f64, demand_s));
    }
    let commands = visits.redis_commands(dials);
    let name = |node: usize| match commands.len() {
        1 => "redis.main_thread".to_owned(),
        _ => format!("redis-{node}.main_thread"),
    };
    for (node, commands) in commands.iter().enumerate() {
        ceilings.push(shared(&name(node), 1.0, commands * dials.redis.command_s()));
    }
    if profile.has_gateway() {
        let connections = dials.gateway.worker_connections as f64;
        ceilings.push(held("gateway.connections", connections, visits.gateway_connections(dials)));
    }
    ceilings.retain(|ceiling| ceiling.users.is_finite() && ceiling.rate_per_s.is_finite());
    ceilings.sort_by(|a, b| a.users.total_cmp(&b.users));
    ceilings
}

#[cfg(test)]
mod tests;
