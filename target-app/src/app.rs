//! The app as one value, the router over it, and what happens around every request: it is counted, timed, and made to
//! pay for its CPU.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Notify, watch};

use crate::audit::Audit;
use crate::breaker::{Fallback, Guarded};
use crate::cache::Cache;
use crate::clock;
use crate::cpu::Cpu;
use crate::demand::CpuClass;
use crate::event_loop::Lag;
use crate::faults::{Faults, Resource};
use crate::feed::Hub;
use crate::fleet::Membership;
use crate::graphql::Graph;
use crate::guard::{self, Guard, Reason};
use crate::heap::{self, Heap, Litter};
use crate::limiter::{Limiter, User};
use crate::metrics::{Metrics, Readings};
use crate::profile::{Dials, TlsVersion};
use crate::protections::Protections;
use crate::queue::Queue;
use crate::redis::Redis;
use crate::route::{Route, UNMATCHED};
use crate::routes::{Problem, events, graphql, health, jobs, leads, orders, products, statics, users};
use crate::session::Tokens;
use crate::store::{Backend, Store, Topology};
use crate::tls::{Identity, IdentityError, Tls};
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
    pub(crate) graph: Graph,
    pub(crate) fallback: Fallback,
    /// Places orders, where it is not their callers who wait for that.
    pub(crate) queue: Option<Queue>,
    pub(crate) tokens: Tokens,
    pub(crate) heap: Heap,
    pub(crate) event_loop: Lag,
    pub(crate) faults: Arc<Faults>,
    pub(crate) hub: Hub,
    pub(crate) metrics: Metrics,
    pub(crate) connections: Connections,
    pub(crate) limiter: Limiter,
    pub(crate) guard: Guard,
    /// None where clients speak in clear text.
    pub(crate) tls: Option<Tls>,
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
        protections: &Protections,
        listen: IpAddr,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, ServeError> {
        let metrics = Metrics::new().map_err(|e| ServeError::Setup(e.to_string()))?;
        let redis = match dials.use_redis() {
            true => Some(Redis::connect(redis, &dials.redis, metrics.redis.clone()).await?),
            false => None,
        };
        let faults = Arc::new(Faults::new(dials.heap.limit_bytes));
        let (figures, slowed) = (metrics.store.clone(), Arc::clone(&faults));
        let mut store: Arc<dyn Store> = store
            .open(membership.as_ref(), dials, figures, slowed)
            .await
            .map_err(|e| ServeError::Setup(e.to_string()))?;
        let jobs = (dials.queue.concurrency > 0).then(|| store.jobs(&dials.queue)).transpose();
        let jobs = jobs.map_err(|e| ServeError::Setup(e.to_string()))?;
        if dials.breaker.timeout_ms > 0 {
            store = Arc::new(Guarded::new(store, &dials.breaker, metrics.breaker.clone()));
        }
        let queue =
            jobs.map(|jobs| Queue::new(jobs, Arc::clone(&store), &dials.queue, metrics.queue.clone()));
        let audit_file = protections.audit_file(membership.as_ref());
        let audit = Audit::open(&dials.audit_log, audit_file.as_deref(), metrics.audit.clone())
            .map_err(|e| ServeError::Setup(format!("no audit log: {e}")))?;
        let tls = match dials.tls.version {
            TlsVersion::Off => None,
            TlsVersion::Tls13 => {
                let identity = identity(membership.as_ref(), protections, listen);
                let tls = identity.and_then(|identity| Tls::new(&identity, &dials.tls, metrics.tls.clone()));
                Some(tls.map_err(|e| ServeError::Setup(format!("no TLS: {e}")))?)
            }
        };
        Ok(Self {
            guard: Guard::new(dials, &protections.allow_origins, audit, metrics.guard.clone()),
            tls,
            dials: dials.clone(),
            graph: Graph::new(&dials.graphql, metrics.graphql.clone()),
            queue,
            store,
            fallback: Fallback::new(&dials.breaker, metrics.breaker.clone()),
            cache: Cache::new(dials, redis.clone(), metrics.cache.clone()),
            tokens: Tokens::seeded(dials.store.seed, Duration::from_secs(dials.session.token_ttl_s)),
            heap: Heap::new(&dials.heap, metrics.collections.clone()),
            event_loop: Lag::default(),
            faults,
            hub: Hub::default(),
            cpu: Cpu::new(dials.app.cores, metrics.cpu_wait_time.clone(), metrics.store.scans_cpu.clone()),
            limiter: Limiter::new(&dials.rate_limiter, redis, metrics.rate_limiter.clone()),
            metrics,
            connections: Connections::at_most(descriptors::connections_max(
                dials.mongodb.max_pool_size * Topology::of(&dials.mongodb).servers(),
                dials.queue.concurrency,
            )),
            membership,
            stopping,
        })
    }

    /// The state of every resource at this instant.
    pub(crate) fn readings(&self) -> Readings {
        Readings {
            pools: self.store.pools(),
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
        if let Some(queue) = &self.queue {
            queue.read();
        }
        self.metrics.render(&self.readings()).map_err(|e| e.to_string())
    }
}

/// Of a fleet the one that its supervisor has put there for all.
fn identity(
    membership: Option<&Membership>,
    protections: &Protections,
    listen: IpAddr,
) -> Result<Identity, IdentityError> {
    match membership {
        Some(fleet) => {
            let (certificates, key) = fleet.identity_files();
            Identity::load(&certificates, &key)
        }
        None => protections.identity(listen),
    }
}

/// All routes of the table in `route.rs`.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new()
        .route("/api/products", get(products::list))
        .route("/api/products/search", get(products::search))
        .route("/api/products/{id}", get(products::one))
        .route("/api/users", post(users::register))
        .route("/api/login", post(users::login))
        .route("/api/me", get(users::me))
        .route("/api/leads", get(leads::list).post(leads::add))
        .route("/api/orders", post(orders::place))
        .route("/api/orders/{id}", get(orders::one))
        .route("/graphql", get(graphql::get).post(graphql::post))
        .route("/api/jobs/{id}", get(jobs::one))
        .route("/static/{asset}", get(statics::asset))
        .route("/ws", get(socket::open))
        .route("/events", get(events::open))
        .route("/metrics", get(health::metrics))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(openapi::document))
        .fallback(health::no_such_route)
        .method_not_allowed_fallback(health::no_such_method);
    // The last one is the outermost.
    if app.guard.asks_for_signatures() {
        router = router.layer(middleware::from_fn_with_state(Arc::clone(&app), guard::signed));
    }
    router = router.layer(DefaultBodyLimit::max(BODY_MAX_BYTES));
    if let Some(cors) = app.guard.cors() {
        router = router.layer(cors);
    }
    router.layer(middleware::from_fn_with_state(Arc::clone(&app), account)).with_state(app)
}

async fn account(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = route_of(&request);
    let mut exchange = Exchange { app: &app, route, began: clock::now(), answered: false };
    // Judged on arrival, before anything is spent on it, so that a user's points go in the order of the requests whatever the
    // CPU is busy with. A rejection then waits for its turn as every answer does, since the same process writes it within
    // the same quota, but it pays only for HTTP, and takes up neither a connection nor a handler; what is read of its body is thrown away.
    let judged = route.limited() && app.limiter.is_on();
    let wait = match judged.then(|| User::of(&request, &app.tokens, clock::unix_ms())) {
        Some(user) => app.limiter.rejects(user, exchange.began).await,
        None => None,
    };
    let refused = refusal(&app, &request, route, wait);
    let cpu = if refused.is_some() { CpuClass::Rejected } else { route.cpu };
    let mut befallen = Ok(());
    if cpu != CpuClass::Operational {
        befallen = app.faults.befall().await;
        let factor = app.faults.slows(Resource::Cpu, clock::now());
        app.cpu.work(app.dials.cpu_s(cpu) * factor).await;
    }
    let mut response = match (befallen, refused) {
        (Err(problem), _) | (Ok(()), Some(problem)) => problem.into_response(),
        (Ok(()), None) => next.run(request).await,
    };
    app.guard.dress(response.headers_mut());
    exchange.end(response.status());
    if cpu != CpuClass::Operational {
        app.heap.litter(Litter::Request);
    }
    response
}

/// Why a request goes no further, if it does not: its user has to wait, or it comes from where nobody may ask.
fn refusal(app: &App, request: &Request, route: &Route, wait: Option<Duration>) -> Option<Problem> {
    match wait {
        Some(wait) => {
            app.guard.rejected(Reason::RateLimited, guard::peer(request), route);
            Some(app.limiter.problem(wait))
        }
        None => app.guard.refuses(request, route),
    }
}

pub(crate) fn route_of(request: &Request) -> &'static Route {
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
