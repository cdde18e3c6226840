//! What the app says about itself, in Prometheus text under OpenTelemetry's names. Counters and histograms are bumped as
//! things happen; everything that is a state is read when it is asked for.

mod process;

use std::sync::Mutex;
use std::time::Duration;

use axum::http::StatusCode;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, Opts, Registry, TextEncoder,
};

use crate::lock::lock;
use crate::route::Route;
use crate::socket::BREACHES;
use crate::store::Pooled;
use crate::{audit, breaker, cache, cpu, graphql, guard, limiter, queue, redis, store, tls};

/// Upper bounds of the histograms, in seconds: dense where the pool's hold and the usual objectives lie.
pub(crate) const BUCKETS_S: [f64; 18] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];

/// How late the event loop is: no amount, so of a fleet it is that of the worst replica.
pub(crate) const EVENT_LOOP_LAG: &str = "nodejs_eventloop_lag_p99_seconds";

/// All metrics of one app.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    pub(crate) websockets: IntGauge,
    pub(crate) websockets_opened: IntCounter,
    pub(crate) websocket_protocol_errors: IntCounterVec,
    pub(crate) event_streams: IntGauge,
    pub(crate) event_streams_opened: IntCounter,
    pub(crate) ticks: IntCounter,
    pub(crate) ticks_dropped: IntCounter,
    pub(crate) store: store::Figures,
    pub(crate) cpu_wait_time: Histogram,
    pub(crate) collections: Histogram,
    pub(crate) breaker: breaker::Figures,
    pub(crate) cache: cache::Figures,
    pub(crate) queue: queue::Figures,
    pub(crate) redis: redis::ClientFigures,
    pub(crate) rate_limiter: limiter::Figures,
    pub(crate) guard: guard::Figures,
    pub(crate) audit: audit::Figures,
    pub(crate) tls: tls::Figures,
    pub(crate) graphql: graphql::Figures,
    /// Connections closed because their client had nothing more to ask.
    pub(crate) idle_timeouts: IntCounter,
    accept_pauses: IntCounterVec,
    pub(crate) http_protocol_errors: IntCounterVec,
    states: Mutex<States>,
}

/// What is read when asked for; behind a lock, so that two scrapes at once do not count anything twice.
struct States {
    connections: GaugeVec,
    connections_max: GaugeVec,
    pending: GaugeVec,
    timeouts: CounterVec,
    created: CounterVec,
    closed: CounterVec,
    used_seconds: CounterVec,
    pending_seconds: CounterVec,
    cpu_seconds: Counter,
    scans_cpu_seconds: Counter,
    cores: Gauge,
    cpu_pending: Gauge,
    heap_used: Gauge,
    heap_total: Gauge,
    heap_limit: Gauge,
    event_loop_lag: Gauge,
    resident: Gauge,
    descriptors: Gauge,
    descriptors_max: Gauge,
    http_connections: Gauge,
    http_connections_max: Gauge,
    rate_limiter_users: Gauge,
}

/// The states of one scrape.
pub(crate) struct Readings {
    pub(crate) pools: Vec<Pooled>,
    pub(crate) cpu: cpu::Snapshot,
    pub(crate) heap_used_bytes: u64,
    pub(crate) heap_limit_bytes: u64,
    pub(crate) event_loop_lag_p99_s: f64,
    pub(crate) http_connections: usize,
    pub(crate) http_connections_max: usize,
    pub(crate) rate_limiter_users: usize,
}

impl Metrics {
    /// Fails only when two metrics have one name.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let make = Maker::of(&registry);
        let request_labels = ["method", "route", "status"];
        let requests =
            IntCounterVec::new(Opts::new("http_requests_total", "Requests answered."), &request_labels)?;
        let durations = HistogramVec::new(
            histogram("http_request_duration_seconds", "Time from a request's head to its response's."),
            &["method", "route"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        let websockets = IntGauge::new("websocket_connections", "WebSockets open.")?;
        registry.register(Box::new(websockets.clone()))?;
        let event_streams = IntGauge::new("sse_connections", "Event streams open.")?;
        registry.register(Box::new(event_streams.clone()))?;
        Ok(Self {
            requests,
            durations,
            websockets,
            websockets_opened: make.count("websocket_connections_opened_total", "WebSockets opened.")?,
            websocket_protocol_errors: make.breaches()?,
            event_streams,
            event_streams_opened: make.count("sse_connections_opened_total", "Event streams opened.")?,
            ticks: make
                .count("websocket_ticks_sent_total", "Ticks handed to a socket or an event stream.")?,
            ticks_dropped: make
                .count("websocket_ticks_dropped_total", "Ticks a slow socket had no room for.")?,
            store: store::Figures::new(&make)?,
            cpu_wait_time: make.histogram(
                "app_cpu_wait_time_seconds",
                "Time a request waited for its turn on the CPU and for quota.",
            )?,
            collections: make.registered(Histogram::with_opts(
                histogram("nodejs_gc_duration_seconds", "Pauses of full garbage collections.")
                    .const_label("kind", "major"),
            )?)?,
            breaker: breaker::Figures::new(&make)?,
            cache: cache::Figures::made_by(&make)?,
            queue: queue::Figures::new(&make)?,
            redis: redis::ClientFigures::made_by(&make)?,
            rate_limiter: limiter::Figures {
                allowed: make
                    .count("rate_limiter_allowed_total", "Requests that the rate limiter let pass.")?,
                rejected: make.count("rate_limiter_rejected_total", "Requests that it rejected.")?,
                forgotten: make.count(
                    "rate_limiter_forgotten_total",
                    "Users it forgot before their time, to make room for others.",
                )?,
                unjudged: make.count(
                    "rate_limiter_unjudged_total",
                    "Requests that passed because Redis did not answer.",
                )?,
            },
            guard: guard::Figures::new(&make)?,
            audit: audit::Figures::new(&make)?,
            tls: tls::Figures::new(&make)?,
            graphql: graphql::Figures::new(&make)?,
            idle_timeouts: make.count(
                "http_server_idle_timeouts_total",
                "Connections closed whose client had its answer and asked nothing more for too long.",
            )?,
            accept_pauses: make.counters(
                "http_server_accept_pauses_total",
                "Times the listener was left alone, because no connection could be taken.",
                &["reason"],
            )?,
            http_protocol_errors: make.counters(
                "http_server_protocol_errors_total",
                "Connections ended because what came was no request.",
                &["reason"],
            )?,
            states: Mutex::new(States::new(&make)?),
            registry,
        })
    }

    /// Counts one answered request.
    pub(crate) fn answered(&self, route: &Route, status: StatusCode, took: Duration) {
        self.requests.with_label_values(&[route.method, route.template, status.as_str()]).inc();
        self.durations.with_label_values(&[route.method, route.template]).observe(took.as_secs_f64());
    }

    /// Counts one time that the listener was left alone.
    pub(crate) fn accept_paused(&self, reason: &str) {
        self.accept_pauses.with_label_values(&[reason]).inc();
    }

    /// Everything as Prometheus text.
    pub(crate) fn render(&self, readings: &Readings) -> prometheus::Result<String> {
        let states = lock(&self.states);
        states.set(readings);
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl States {
    fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            connections: make.gauges(
                "db_client_connection_count",
                "Connections open, by what they do.",
                &["pool_name", "state"],
            )?,
            connections_max: make.pool_gauge("db_client_connection_max", "Connections that may be open.")?,
            pending: make.pool_gauge(
                "db_client_connection_pending_requests",
                "Callers that wait for a connection at this instant.",
            )?,
            timeouts: make.pool_counter(
                "db_client_connection_timeouts_total",
                "Callers that waited too long and got none.",
            )?,
            created: make.pool_counter("db_client_connection_created_total", "Connections opened.")?,
            closed: make.pool_counter("db_client_connection_closed_total", "Connections closed.")?,
            used_seconds: make.pool_counter(
                "db_client_connection_used_seconds_total",
                "Connections in use, integrated over time: its rate is the exact mean number in use.",
            )?,
            pending_seconds: make.pool_counter(
                "db_client_connection_pending_seconds_total",
                "Callers waiting, integrated over time: its rate is the exact mean number waiting.",
            )?,
            cpu_seconds: make.sum(
                "process_cpu_seconds_total",
                "CPU time used, user and system, but for the scans of the store, which a database would do elsewhere.",
            )?,
            scans_cpu_seconds: make
                .sum("db_scan_cpu_seconds_total", "CPU time of the scans of the store in this process.")?,
            cores: make.gauge("process_cpu_cores_limit", "CPU quota in cores.")?,
            cpu_pending: make.gauge("app_cpu_pending_requests", "Requests that wait for the CPU now.")?,
            heap_used: make.gauge("nodejs_heap_size_used_bytes", "Heap in live allocations.")?,
            heap_total: make
                .gauge("nodejs_heap_size_total_bytes", "Memory of this process that is no file's.")?,
            heap_limit: make.gauge("nodejs_heap_size_limit_bytes", "Heap above which the app dies.")?,
            event_loop_lag: make
                .gauge(EVENT_LOOP_LAG, "How late the event loop was at p99 of the last ten seconds.")?,
            resident: make.gauge("process_resident_memory_bytes", "Resident memory.")?,
            descriptors: make.gauge("process_open_fds", "Open file descriptors.")?,
            descriptors_max: make.gauge("process_max_fds", "File descriptors there may be.")?,
            http_connections: make.gauge("http_server_connections", "Client connections open.")?,
            http_connections_max: make.gauge(
                "http_server_connections_max",
                "Client connections there may be; more wait to be accepted.",
            )?,
            rate_limiter_users: make.gauge("rate_limiter_users", "Users the rate limiter remembers.")?,
        })
    }

    fn set(&self, readings: &Readings) {
        for Pooled { name, snapshot: pool } in &readings.pools {
            let name = name.as_str();
            self.connections.with_label_values(&[name, "used"]).set(pool.used as f64);
            self.connections.with_label_values(&[name, "idle"]).set(pool.idle as f64);
            self.connections_max.with_label_values(&[name]).set(pool.max as f64);
            self.pending.with_label_values(&[name]).set(pool.pending as f64);
            raise(&self.timeouts.with_label_values(&[name]), pool.timeouts as f64);
            raise(&self.created.with_label_values(&[name]), pool.opened as f64);
            raise(&self.closed.with_label_values(&[name]), pool.closed as f64);
            raise(&self.used_seconds.with_label_values(&[name]), pool.used_s);
            raise(&self.pending_seconds.with_label_values(&[name]), pool.pending_s);
        }
        raise(&self.cpu_seconds, readings.cpu.used_s);
        raise(&self.scans_cpu_seconds, readings.cpu.elsewhere_s);
        self.cores.set(readings.cpu.cores);
        self.cpu_pending.set(readings.cpu.pending as f64);
        self.heap_used.set(readings.heap_used_bytes as f64);
        self.heap_limit.set(readings.heap_limit_bytes as f64);
        self.event_loop_lag.set(readings.event_loop_lag_p99_s);
        let memory = process::Memory::now();
        self.heap_total.set(memory.anonymous_bytes as f64);
        self.resident.set(memory.resident_bytes as f64);
        self.descriptors.set(process::open_descriptors() as f64);
        self.descriptors_max.set(process::descriptors_max() as f64);
        self.http_connections.set(readings.http_connections as f64);
        self.http_connections_max.set(readings.http_connections_max as f64);
        self.rate_limiter_users.set(readings.rate_limiter_users as f64);
    }
}

/// Brings a counter up to a total that is kept elsewhere.
pub(crate) fn raise(counter: &Counter, total: f64) {
    counter.inc_by((total - counter.get()).max(0.0));
}

pub(crate) fn histogram(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(BUCKETS_S.to_vec())
}

/// Makes metrics and registers them.
pub(crate) struct Maker<'a> {
    pub(crate) registry: &'a Registry,
}

impl<'a> Maker<'a> {
    pub(crate) fn of(registry: &'a Registry) -> Self {
        Self { registry }
    }

    pub(crate) fn registered<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: M,
    ) -> prometheus::Result<M> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(crate) fn count(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.registered(IntCounter::new(name, help)?)
    }

    pub(crate) fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.registered(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(crate) fn sum(&self, name: &str, help: &str) -> prometheus::Result<Counter> {
        self.registered(Counter::new(name, help)?)
    }

    pub(crate) fn gauge(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.registered(Gauge::new(name, help)?)
    }

    pub(crate) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        self.registered(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(crate) fn pool_gauge(&self, name: &str, help: &str) -> prometheus::Result<GaugeVec> {
        self.gauges(name, help, &["pool_name"])
    }

    pub(crate) fn pool_counter(&self, name: &str, help: &str) -> prometheus::Result<CounterVec> {
        self.registered(CounterVec::new(Opts::new(name, help), &["pool_name"])?)
    }

    /// By the code of the close that it was answered with; all of them are there from the beginning.
    fn breaches(&self) -> prometheus::Result<IntCounterVec> {
        let opts = Opts::new(
            "websocket_protocol_errors_total",
            "WebSockets ended because the client broke the protocol.",
        );
        let counts = self.registered(IntCounterVec::new(opts, &["code"])?)?;
        for code in BREACHES {
            counts.with_label_values(&[&code.to_string()]);
        }
        Ok(counts)
    }

    pub(crate) fn histogram(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        self.registered(Histogram::with_opts(histogram(name, help))?)
    }
}
