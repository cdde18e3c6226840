//! The dials, typed: what the rest of the app reads. Their names, ranges and units stand in `dial.rs`.

use serde::{Deserialize, Serialize};

use super::mongodb::{Indexes, Mongodb, ReadPreference, ReplicaSet, WriteConcern};
use crate::demand::{CpuClass, Operation, Plan};

/// Every dial of a profile.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Dials {
    pub app: App,
    pub autoscaler: Autoscaler,
    pub audit_log: AuditLog,
    pub breaker: Breaker,
    pub cache: Cache,
    pub gateway: Gateway,
    pub graphql: Graphql,
    pub heap: Heap,
    pub http: Http,
    pub mongodb: Mongodb,
    pub queue: Queue,
    pub rate_limiter: RateLimiter,
    pub redis: Redis,
    pub request_signing: RequestSigning,
    pub security: Security,
    pub session: Session,
    pub store: Store,
    pub tls: Tls,
    pub websocket: Websocket,
}

/// The app process: its CPU and its end.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// CPU quota, in cores; may be below one.
    pub cores: f64,
    /// How long requests in flight may take to finish once the app is told to stop.
    pub drain_ms: u64,
    pub cpu_us_per_request: CpuUsPerRequest,
}

/// Whole CPU time of one request by class, in microseconds.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CpuUsPerRequest {
    pub read: f64,
    pub list: f64,
    pub search: f64,
    pub write: f64,
    pub login: f64,
    pub graphql: f64,
    #[serde(rename = "static")]
    pub static_file: f64,
    pub upgrade: f64,
    /// A request that the rate limiter rejects, whatever its route.
    pub rejected: f64,
}

/// The autoscaler of the replicas, by target tracking of their CPU.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Autoscaler {
    /// Zero for no autoscaler.
    pub max_replicas: u32,
    pub min_replicas: u32,
    /// The share of their CPU that the replicas should use.
    pub target_ratio: f64,
    /// Least time between two steps outwards.
    pub out_cooldown_ms: u64,
    /// Least time between a step and one inwards.
    pub in_cooldown_ms: u64,
    /// Over how long their use is averaged.
    pub period_ms: u64,
}

/// The circuit breaker around the store. What opossum calls them stands beside the dials.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// How long an operation may take, the wait for a connection included (`timeout`); zero for no breaker.
    pub timeout_ms: u64,
    /// It opens when more than this share of the operations asked for has failed (`errorThresholdPercentage`), in percent.
    pub error_threshold_percent: f64,
    /// How long it stays open before it lets one try (`resetTimeout`).
    pub reset_timeout_ms: u64,
    /// Operations asked for in the window below which it does not open (`volumeThreshold`).
    pub volume_threshold: u64,
    /// How far back it counts, in ten buckets (`rollingCountTimeout`).
    pub rolling_window_ms: u64,
    /// Documents and pages of the catalog kept to answer with while the store does not.
    pub fallback_max_entries: u64,
}

/// The caches in front of the catalog: in the app's own process (L1) and in Redis (L2).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// How long a document is kept; zero for no cache.
    pub l1_ttl_ms: u64,
    /// Memory of what is kept, at each replica.
    pub l1_max_bytes: u64,
    /// How long Redis keeps it for all replicas; zero for no second tier.
    pub l2_ttl_ms: u64,
}

/// The reverse proxy in front of the replicas, a process of its own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Connections it may have, those of clients and those to replicas together, as nginx counts them; zero for no gateway.
    pub worker_connections: usize,
    /// Connections to replicas that are kept open for the next request.
    pub upstream_keepalive: usize,
    /// How long the head of a request may take, counted from the end of the answer before it.
    pub client_timeout_ms: u64,
    /// How long a replica may take until the head of its answer, a new connection included.
    pub upstream_timeout_ms: u64,
    /// Size of the answers kept at the edge; zero for no edge cache.
    pub edge_max_bytes: u64,
}

/// What a GraphQL request may ask.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Graphql {
    /// Levels of fields within fields. A query for the schema itself, as tools send it, has 13.
    pub max_depth: usize,
    /// Fields, those of a list times what it may have.
    pub max_complexity: usize,
    /// Whether the schema can be asked for.
    pub introspection: Switch,
}

/// The process heap.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Heap {
    pub limit_bytes: u64,
    /// Memory of each open WebSocket as a whole; what the library does not need is held as a Node service's session objects are.
    pub bytes_per_socket: u64,
    /// What a request leaves behind that only a full collection clears away.
    pub garbage_bytes_per_request: u64,
    /// The same of a message sent on a WebSocket or an event stream.
    pub garbage_bytes_per_message: u64,
    /// How fast a collection goes through what is live, in bytes a second.
    pub mark_bytes_per_s: f64,
}

/// The queue of jobs, of which each places one order. What BullMQ calls them stands beside the dials.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Jobs that one replica works on at a time (`concurrency` of the Worker); zero for no queue: an order is placed while its caller waits.
    pub concurrency: usize,
    /// How often a job is tried before it has failed (`attempts`).
    pub attempts: u32,
    /// How long after its first failure a job is tried again, and twice as long each time (`backoff.delay`, of type exponential).
    pub backoff_ms: u64,
    /// Completed and failed jobs that can still be asked after (`removeOnComplete`, `removeOnFail`).
    pub remove_on_complete: u32,
    pub remove_on_fail: u32,
    /// How long a job is its worker's without a word from it (`lockDuration`).
    pub lease_ms: u64,
    /// Jobs that may wait or be worked on at a time, of all replicas; BullMQ has no such bound.
    pub max_depth: u32,
    /// What a job takes besides placing its order in the store.
    pub job_ms: f64,
}

/// The rate limiter: requests a user may make in a window of time.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimiter {
    /// Requests in a window; zero for no limiter.
    pub points: u32,
    /// A user's window begins with the first request after the last one ended.
    pub window_ms: u64,
    /// How long a user is shut out who asks for more; zero for as long as the window lasts.
    pub block_ms: u64,
    /// Users remembered at a time; above it the one whose window or block ends first is forgotten.
    pub max_users: usize,
    pub backend: LimiterBackend,
}

/// Where the points of the users are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimiterBackend {
    /// In each replica, for itself.
    Memory,
    /// In Redis, for all replicas together.
    Redis,
}

/// The embedded Redis and the client of it, or of a real one.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Embedded nodes; more than one are a cluster.
    pub nodes: u32,
    /// What the one thread of an embedded node takes for a command.
    pub command_us: f64,
    /// Memory of an embedded node; when it is full, the longest unused go.
    pub max_memory_bytes: u64,
    /// How long the app waits for an answer before it goes on without.
    pub timeout_ms: u64,
}

impl Redis {
    /// The time of one command, in seconds.
    pub fn command_s(&self) -> f64 {
        self.command_us / 1e6
    }
}

/// A mechanism that is there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    Off,
    On,
}

/// The record of what concerns the security of the shop.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuditLog {
    pub enabled: Switch,
    /// Of the file and of the one before it, together.
    pub max_bytes: u64,
    /// Events that may wait to be written; those beyond are lost, and counted.
    pub max_queue: usize,
}

/// How HTTP is listened to.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// How long the head of a request may take, the silence before it included; zero for as long as it likes.
    pub header_read_timeout_ms: u64,
    /// How long the body may take as a whole, from when the app begins to read it; zero for as long as it likes.
    pub body_read_timeout_ms: u64,
}

/// Signatures on the requests that change something.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RequestSigning {
    pub required: Switch,
    /// How far the time of a signature may be from the clock of the app, either way.
    pub window_s: u64,
    /// Signatures kept to know them again.
    pub max_remembered: usize,
}

/// What browsers are told and asked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Security {
    pub cors: Cors,
    /// The headers with which a browser protects its user, on every answer.
    pub headers: Switch,
}

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// How long the token of a login can be used.
    pub token_ttl_s: u64,
}

/// Whether the origin of a request matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cors {
    Off,
    /// Only the app's own origin and those that are listed.
    Strict,
}

/// TLS towards the clients.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub version: TlsVersion,
    /// How long a handshake may take.
    pub handshake_timeout_ms: u64,
}

/// The one version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum TlsVersion {
    #[serde(rename = "off")]
    Off,
    #[serde(rename = "1.3")]
    Tls13,
}

/// What the store is filled with.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    pub products: u32,
    pub users: u32,
    /// Seeds the documents and the drawn service times.
    pub seed: u64,
}

/// The live feed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Websocket {
    pub tick_interval_ms: u64,
    /// Channels one socket may be subscribed to at a time.
    pub max_subscriptions: usize,
}

/// Two dials that contradict each other, or one that is missing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unfit(pub(crate) String);

impl Dials {
    /// CPU time of one request of this class, in seconds.
    pub fn cpu_s(&self, class: CpuClass) -> f64 {
        let by_class = &self.app.cpu_us_per_request;
        let us = match class {
            CpuClass::Read => by_class.read,
            CpuClass::List => by_class.list,
            CpuClass::Search => by_class.search,
            CpuClass::Write => by_class.write,
            CpuClass::Login => by_class.login,
            CpuClass::Graphql => by_class.graphql,
            CpuClass::Static => by_class.static_file,
            CpuClass::Upgrade => by_class.upgrade,
            CpuClass::Rejected => by_class.rejected,
            CpuClass::Operational => 0.0,
        };
        us / 1e6
    }

    /// Mean time one operation holds a pooled connection, in seconds, besides what it scans.
    pub fn hold_s(&self, operation: Operation) -> f64 {
        let factor = &self.mongodb.service_time_factor;
        let factor = match operation {
            Operation::ProductsList => factor.products_list,
            Operation::ProductById => factor.product_by_id,
            Operation::ProductsByIds => factor.products_by_ids,
            Operation::ProductsSearch => factor.products_search,
            Operation::UserInsert => factor.user_insert,
            Operation::UserByEmail => factor.user_by_email,
            Operation::UserById => factor.user_by_id,
            Operation::LeadInsert => factor.lead_insert,
            Operation::LeadsList => factor.leads_list,
            Operation::OrderInsert => factor.order_insert,
            Operation::OrderById => factor.order_by_id,
            Operation::OrdersByIds => factor.orders_by_ids,
        };
        self.mongodb.service_time_ms * factor / 1e3
    }

    /// How an operation finds its documents.
    pub fn plan(&self, operation: Operation) -> Plan {
        operation.plan(self.mongodb.indexes == Indexes::On)
    }

    /// What scanning adds to a hold, in seconds, in the store as it begins: a search or a list of a category goes through all products, a login
    /// through half of the users on the mean, a registration through all. Leads there are none yet. Each shard goes through its own, and only the one that has
    /// a user stops half-way.
    pub fn scan_s(&self, operation: Operation) -> f64 {
        let shards = f64::from(self.mongodb.shards);
        let users = f64::from(self.store.users) / shards;
        let products = f64::from(self.store.products);
        let documents = match operation {
            _ if self.plan(operation) != Plan::CollScan => 0.0,
            Operation::ProductsList | Operation::ProductsSearch => products,
            Operation::UserByEmail => users - (users - 1.0) / 2.0 / shards,
            Operation::UserInsert => users,
            _ => 0.0,
        };
        documents * self.mongodb.scan_us_per_document / 1e6
    }

    /// Whether the pool sees at most one operation per document and time to live, whatever the load.
    pub fn cached(&self, operation: Operation) -> bool {
        (self.cache.l1_ttl_ms > 0 || self.cache.l2_ttl_ms > 0) && operation.is_of_catalog()
    }

    /// Whether each such operation is a read from Redis.
    pub fn read_from_redis(&self, operation: Operation) -> bool {
        self.cache.l1_ttl_ms == 0 && self.cache.l2_ttl_ms > 0 && operation.is_of_catalog()
    }

    /// Whether the rate limiter keeps its points in Redis.
    pub fn limits_in_redis(&self) -> bool {
        self.rate_limiter.points > 0 && self.rate_limiter.backend == LimiterBackend::Redis
    }

    /// Whether there is anything that the app asks Redis for.
    pub fn use_redis(&self) -> bool {
        self.cache.l2_ttl_ms > 0 || self.limits_in_redis()
    }

    /// Whether this is done by a job and not by the request that asks for it.
    pub fn queued(&self, operation: Operation) -> bool {
        self.queue.concurrency > 0 && operation == Operation::OrderInsert
    }

    /// Mean time one job keeps a worker that waits for nothing, in seconds.
    pub fn job_s(&self) -> f64 {
        let placed = Operation::OrderInsert;
        self.queue.job_ms / 1e3 + self.hold_s(placed) + self.confirmation_s(placed)
    }

    /// How much longer a write holds its connection, until a majority has it, in seconds.
    pub fn confirmation_s(&self, operation: Operation) -> f64 {
        let set = &self.mongodb.replica_set;
        let waits = operation.writes() && set.write_concern == WriteConcern::Majority && set.members > 1;
        if waits { set.lag_ms.min(set.write_timeout_ms) as f64 / 1e3 } else { 0.0 }
    }

    /// Whether the app sees at most one request for a file and hour, whatever the load.
    pub fn at_the_edge(&self, class: CpuClass) -> bool {
        self.gateway.worker_connections > 0 && self.gateway.edge_max_bytes > 0 && class == CpuClass::Static
    }

    /// Judges what no single dial's range can.
    pub(crate) fn fit(&self) -> Result<(), Unfit> {
        let Mongodb { min_pool_size, max_pool_size, .. } = self.mongodb;
        if min_pool_size > max_pool_size {
            return Err(Unfit(format!(
                "mongodb.min_pool_size {min_pool_size} is above mongodb.max_pool_size {max_pool_size}"
            )));
        }
        let ReplicaSet { members, read_preference, .. } = self.mongodb.replica_set;
        if members == 1 && read_preference == ReadPreference::Secondary {
            return Err(Unfit(
                "mongodb.replica_set.read_preference secondary is for a set with secondaries, and mongodb.replica_set.members is 1"
                    .to_owned(),
            ));
        }
        let Autoscaler { min_replicas, max_replicas, .. } = self.autoscaler;
        if max_replicas > 0 && min_replicas > max_replicas {
            return Err(Unfit(format!(
                "autoscaler.min_replicas {min_replicas} is above autoscaler.max_replicas {max_replicas}"
            )));
        }
        if self.tls.version != TlsVersion::Off && self.gateway.worker_connections > 0 {
            return Err(Unfit(
                "gateway.worker_connections is for a gateway, which speaks clear text, and tls.version for TLS"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}
