//! The app as one value, the router over it, and what happens around every request: it is counted, timed, and made to
//! pay for its CPU.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Notify, watch};

use crate::cache::Cache;
use crate::clock;
use crate::cpu::Cpu;
use crate::demand::CpuClass;
use crate::event_loop::Lag;
use crate::faults::{Faults, Resource};
use crate::feed::Hub;
use crate::fleet::Membership;
use crate::heap::{self, Heap, Litter};
use crate::limiter::{Limiter, User};
use crate::metrics::{Metrics, Readings};
use crate::profile::Dials;
use crate::queue::{Inline, Queue};
use crate::redis::Redis;
use crate::route::{Route, UNMATCHED};
use crate::routes::{events, health, leads, orders, products, statics, users};
use crate::session::Tokens;
use crate::store::{Backend, Store};
use crate::{ServeError, descriptors, openapi, socket};

/// Largest request body taken, in bytes.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// What a request is counted as whose client went away before the answer, as NGINX does.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Everything the routes share.
pub(crate) struct App {
    pub(crate) dials: Dials,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Cache,
    pub(crate) queue: Box<dyn Queue>,
    pub(crate) tokens: Tokens,
    pub(crate) heap: Heap,
    pub(crate) event_loop: Lag,
    pub(crate) faults: Arc<Faults>,
    pub(crate) hub: Hub,
    pub(crate) metrics: Metrics,
    pub(crate) connections: Connections,
    pub(crate) limiter: Limiter,
    /// The fleet this app is a replica of, if it is one.
    pub(crate) membership: Option<Membership>,
    /// Turns true when the app is to stop.
    pub(crate) stopping: watch::Receiver<bool>,
    cpu: Cpu,
}

impl App {
    /// Sets up all resources of a profile. Redis is asked at the addresses given, if the profile has it asked at all. Needs a runtime.
    pub(crate) async fn new(
        dials: &Dials,
        store: &Backend,
        membership: Option<Membership>,
        redis: &[String],
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, ServeError> {
        let metrics = Metrics::new().map_err(|e| ServeError::Setup(e.to_string()))?;
        let redis = match dials.use_redis() {
            true => Some(Redis::connect(redis, &dials.redis, metrics.redis.clone()).await?),
            false => None,
        };
        let faults = Arc::new(Faults::new(dials.heap.limit_bytes));
        let (figures, slowed) = (metrics.store.clone(), Arc::clone(&faults));
        let store = store.open(membership.as_ref(), dials, figures, slowed).await;
        let store = store.map_err(|e| ServeError::Setup(e.to_string()))?;
        Ok(Self {
            dials: dials.clone(),
            queue: Box::new(Inline { store: Arc::clone(&store) }),
            store,
            cache: Cache::new(&dials.cache, redis.clone(), metrics.cache.clone()),
            tokens: Tokens::seeded(dials.store.seed),
            heap: Heap::new(&dials.heap, metrics.collections.clone()),
            event_loop: Lag::default(),
            faults,
            hub: Hub::default(),
            cpu: Cpu::new(dials.app.cores, metrics.cpu_wait_time.clone()),
            limiter: Limiter::new(&dials.rate_limiter, redis, metrics.rate_limiter.clone()),
            metrics,
            connections: Connections::at_most(descriptors::connections_max(dials.mongodb.max_pool_size)),
            membership,
            stopping,
        })
    }

    /// The state of every resource at this instant.
    pub(crate) fn readings(&self) -> Readings {
        Readings {
            pool: self.store.pool(),
            cpu: self.cpu.snapshot(),
            heap_used_bytes: heap::used_bytes(),
            heap_limit_bytes: self.heap.limit_bytes,
            event_loop_lag_p99_s: self.event_loop.p99_s(),
            http_connections: self.connections.open(),
            http_connections_max: self.connections.max,
            rate_limiter_users: self.limiter.users(),
        }
    }

    /// Whether nobody but the gateway of the same fleet can reach this app.
    pub(crate) fn behind_gateway(&self) -> bool {
        self.membership.is_some() && self.dials.gateway.worker_connections > 0
    }

    /// This app's own metrics, in Prometheus text.
    pub(crate) fn figures(&self) -> Result<String, String> {
        self.metrics.render(&self.readings()).map_err(|e| e.to_string())
    }
}

/// All routes of the table in `route.rs`.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/api/products", get(products::list))
        .route("/api/products/search", get(products::search))
        .route("/api/products/{id}", get(products::one))
        .route("/api/users", post(users::register))
        .route("/api/login", post(users::login))
        .route("/api/me", get(users::me))
        .route("/api/leads", get(leads::list).post(leads::add))
        .route("/api/orders", post(orders::place))
        .route("/api/orders/{id}", get(orders::one))
        .route("/static/{asset}", get(statics::asset))
        .route("/ws", get(socket::open))
        .route("/events", get(events::open))
        .route("/metrics", get(health::metrics))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(openapi::document))
        .fallback(health::no_such_route)
        .method_not_allowed_fallback(health::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), account))
        .with_state(app)
}

async fn account(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = route_of(&request);
    let mut exchange = Exchange { app: &app, route, began: clock::now(), answered: false };
    // Judged on arrival, before anything is spent on it, so that a user's points go in the order of the requests whatever the
    // CPU is busy with. A rejection then waits for its turn as every answer does, since the same process writes it within
    // the same quota, but it pays only for HTTP, and neither its body is read nor a connection or a handler taken up.
    let judged = route.limited() && app.limiter.is_on();
    let wait = match judged.then(|| User::of(&request, &app.tokens)) {
        Some(user) => app.limiter.rejects(user, exchange.began).await,
        None => None,
    };
    let cpu = if wait.is_some() { CpuClass::Rejected } else { route.cpu };
    let mut befallen = Ok(());
    if cpu != CpuClass::Operational {
        befallen = app.faults.befall().await;
        let factor = app.faults.slows(Resource::Cpu, clock::now());
        app.cpu.work(app.dials.cpu_s(cpu) * factor).await;
    }
    let response = match (befallen, wait) {
        (Err(problem), _) => problem.into_response(),
        (Ok(()), Some(wait)) => app.limiter.problem(wait).into_response(),
        (Ok(()), None) => next.run(request).await,
    };
    exchange.end(response.status());
    if cpu != CpuClass::Operational {
        app.heap.litter(Litter::Request);
    }
    response
}

fn route_of(request: &Request) -> &'static Route {
    // HEAD is served by GET and costs the same.
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let template = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    template.and_then(|template| Route::find(method.as_str(), template)).unwrap_or(&UNMATCHED)
}

/// A request in the app. However it ends, it is counted once.
struct Exchange<'a> {
    app: &'a App,
    route: &'static Route,
    began: Instant,
    answered: bool,
}

impl Exchange<'_> {
    fn end(&mut self, status: StatusCode) {
        self.answered = true;
        let took = clock::now().duration_since(self.began);
        self.app.metrics.answered(self.route, status, took);
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let status = StatusCode::from_u16(CLIENT_CLOSED_REQUEST);
            self.end(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        }
    }
}

/// How many client connections are open, WebSockets among them, so that stopping can wait for the last.
#[derive(Debug)]
pub(crate) struct Connections {
    open: AtomicUsize,
    max: usize,
    closed: Notify,
}

/// One open connection, counted until this is dropped.
pub(crate) struct Connection {
    app: Arc<App>,
}

impl Connection {
    pub(crate) fn counted(app: &Arc<App>) -> Self {
        app.connections.open.fetch_add(1, Ordering::AcqRel);
        Self { app: Arc::clone(app) }
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let connections = &self.app.connections;
        if connections.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            connections.closed.notify_one();
        }
    }
}

impl Connections {
    fn at_most(max: usize) -> Self {
        Self { open: AtomicUsize::new(0), max, closed: Notify::new() }
    }

    /// No more can be taken without starving the app itself of descriptors.
    pub(crate) fn full(&self) -> bool {
        self.open() >= self.max
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Waits until none is open.
    pub(crate) async fn drained(&self) {
        while self.open() > 0 {
            self.closed.notified().await;
        }
    }
}
