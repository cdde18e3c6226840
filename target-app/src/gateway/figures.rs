//! What the gateway tells of itself, under the names of nginx's exporter (nginx-prometheus-exporter) as far as that has
//! them; what is refused, and the slots of the worker, nginx itself only writes into its log. No name is one that the app
//! has too, or the figures of a fleet would add the two up.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use super::slots::{Census, Slots};
use crate::metrics::Maker;

/// Everything the gateway counts.
pub(super) struct Figures {
    registry: Registry,
    pub(super) accepted: IntCounter,
    pub(super) handled: IntCounter,
    pub(super) refused: IntCounter,
    pub(super) reused: IntCounter,
    pub(super) accept_pauses: IntCounter,
    pub(super) requests: IntCounter,
    /// Requests that no replica answered, by reason.
    failures: IntCounterVec,
    pub(super) upstream_opened: IntCounter,
    pub(super) edge: EdgeFigures,
    states: States,
}

/// What the edge cache counts.
#[derive(Clone)]
pub(super) struct EdgeFigures {
    pub(super) hits: IntCounter,
    pub(super) misses: IntCounter,
    pub(super) revalidated: IntCounter,
    pub(super) bypassed: IntCounter,
    pub(super) evicted: IntCounter,
}

struct States {
    active: IntGauge,
    reading: IntGauge,
    writing: IntGauge,
    waiting: IntGauge,
    upstream: IntGauge,
    slots: IntGauge,
    slots_max: IntGauge,
    edge_bytes: IntGauge,
    edge_bytes_max: IntGauge,
}

/// What is read when asked for, beside the slots.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EdgeReadings {
    pub(super) bytes: u64,
    pub(super) bytes_max: u64,
}

impl Figures {
    /// Fails only when two metrics have one name.
    pub(super) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let make = Maker::of(&registry);
        let gauge = |name, help| make.registered(IntGauge::new(name, help)?);
        Ok(Self {
            accepted: make.count("nginx_connections_accepted", "Client connections accepted.")?,
            handled: make.count("nginx_connections_handled", "Those of them that got a slot.")?,
            refused: make.count(
                "nginx_connections_refused_total",
                "Client connections closed when accepted, because no slot was free.",
            )?,
            reused: make.count(
                "nginx_connections_reused_total",
                "Client connections closed between two requests, to give their slots to others.",
            )?,
            accept_pauses: make.count(
                "nginx_accept_pauses_total",
                "Times the listener was left alone, because the kernel gave no connection.",
            )?,
            requests: make.count("nginx_http_requests_total", "Client requests.")?,
            failures: make.registered(IntCounterVec::new(
                Opts::new(
                    "nginx_upstream_failures_total",
                    "Requests that got no answer from a replica: no slot for a connection (500), no connection or none that \
                     lasted (502), no answer in time (504).",
                ),
                &["reason"],
            )?)?,
            upstream_opened: make
                .count("nginx_upstream_connections_opened_total", "Connections opened to replicas.")?,
            edge: EdgeFigures {
                hits: make.count("edge_cache_hits_total", "Requests answered from the edge cache.")?,
                misses: make
                    .count("edge_cache_misses_total", "Requests whose answer was fetched and kept.")?,
                revalidated: make.count(
                    "edge_cache_revalidated_total",
                    "Requests answered from the edge cache after the app had said that nothing changed.",
                )?,
                bypassed: make.count(
                    "edge_cache_bypassed_total",
                    "Requests that had nothing to do with the edge cache: they or their answers may not be kept.",
                )?,
                evicted: make
                    .count("edge_cache_evicted_total", "Answers that made room for others before their time.")?,
            },
            states: States {
                active: gauge("nginx_connections_active", "Client connections open.")?,
                reading: gauge("nginx_connections_reading", "Those whose request is arriving.")?,
                writing: gauge("nginx_connections_writing", "Those whose request is answered.")?,
                waiting: gauge("nginx_connections_waiting", "Those between two requests.")?,
                upstream: gauge("nginx_upstream_connections", "Connections open to replicas.")?,
                slots: gauge("nginx_worker_connections", "Slots taken, by connections of both sides.")?,
                slots_max: gauge("nginx_worker_connections_max", "Slots there are.")?,
                edge_bytes: gauge("edge_cache_bytes", "Size of what the edge cache keeps.")?,
                edge_bytes_max: gauge("edge_cache_max_bytes", "Size it may come to.")?,
            },
            registry,
        })
    }

    /// Counts a request that no replica answered.
    pub(super) fn failed(&self, reason: &str) {
        self.failures.with_label_values(&[reason]).inc();
    }

    /// Everything as Prometheus text.
    pub(super) fn render(&self, slots: &Slots, edge: EdgeReadings) -> prometheus::Result<String> {
        let census = slots.census();
        let Census { waiting, reading, writing, upstream } = census;
        let states = &self.states;
        let in_all = census.clients() + upstream;
        for (gauge, value) in [
            (&states.active, census.clients()),
            (&states.reading, reading),
            (&states.writing, writing),
            (&states.waiting, waiting),
            (&states.upstream, upstream),
            (&states.slots, in_all),
            (&states.slots_max, slots.max()),
        ] {
            gauge.set(value as i64);
        }
        states.edge_bytes.set(edge.bytes as i64);
        states.edge_bytes_max.set(edge.bytes_max as i64);
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
