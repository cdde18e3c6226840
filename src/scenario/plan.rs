//! The Plan: a scenario that has passed every check, with names resolved to indices. Only a Plan reaches the engine; it is valid
//! by construction, so nothing that runs it has to ask again.

use super::effort::Effort;
use super::extract::{Check, Condition, Extract, Pick};
use super::generator_limits::GeneratorLimits;
use super::problem::Problems;
use super::recipe::Recipe;
use super::template::Template;
use crate::endpoint::{Endpoint, EndpointId};
use crate::load::{arrivals::Arrivals, curve::Curve};
use crate::promql::Query;
use crate::search::Goal;
use crate::threshold::Threshold;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Index into [`Plan::journeys`].
pub type JourneyId = u16;
/// Index of a captured variable among a user's variables; see [`Plan::slots`].
pub type SlotId = u16;
/// Index of a WebSocket among a user's sockets; see [`Plan::sockets`].
pub type SocketId = u8;
/// Index of an event stream among a user's streams; see [`Plan::streams`].
pub type StreamId = u8;

#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    /// What it was made of: goes into the run record, and to agents that have to make the same plan.
    pub recipe: Recipe,
    pub seed: u64,
    pub target: Target,
    pub safety: Safety,
    pub swarm: Swarm,
    pub endpoints: Vec<Endpoint>,
    pub journeys: Vec<Journey>,
    pub load: Vec<LoadPart>,
    pub data: Vec<DataTable>,
    pub observe: Observe,
    pub thresholds: Vec<Threshold>,
    /// Names of the variables a user can hold, by [`SlotId`].
    pub slots: Vec<String>,
    /// Names of the WebSockets a user can hold, by [`SocketId`].
    pub sockets: Vec<String>,
    /// Names of the event streams a user can hold, by [`StreamId`].
    pub streams: Vec<String>,
    /// Values of `secrets`: they must be replaced by `***` in everything that is written.
    pub redact: Vec<String>,
    /// What `check` has to say although the scenario can run.
    pub warnings: Problems,
}

#[derive(Clone, Debug)]
pub struct Target {
    pub kind: TargetKind,
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// Addresses to connect to in turn, in place of what the host of the URL resolves to; empty when it is asked.
    pub connect_to: Vec<SocketAddr>,
    pub connections: Connections,
    /// Sent with every request, before the step's own.
    pub headers: Vec<(String, Template)>,
    pub http_version: HttpVersion,
    pub tls: TlsRules,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// What the server chooses over TLS; 1.1 in clear text.
    Auto,
    Http1,
    /// In clear text without asking (prior knowledge).
    Http2,
}

/// `target.tls`, its files read.
#[derive(Clone, Debug)]
pub struct TlsRules {
    /// False: accept any server certificate.
    pub verify: bool,
    /// Trusted instead of what the machine trusts.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    pub client: Option<Arc<ClientCertificate>>,
    /// At least one of the two.
    pub tls12: bool,
    pub tls13: bool,
    pub server_name: Option<String>,
    pub resumption: bool,
}

/// A certificate, with those that lead to its issuer after it, and its key.
#[derive(Debug)]
pub struct ClientCertificate {
    pub certificates: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

#[derive(Clone, Debug)]
pub enum TargetKind {
    /// `http`: and `ws:` base URLs; at least one is there.
    External { http: Option<BaseUrl>, ws: Option<BaseUrl> },
    /// The bundled target-app, started for this run; without `replicas`, as many processes as its profile says.
    Bundled { profile: String, replicas: Option<u32>, dials: Vec<(String, String)> },
}

/// `scheme://host[:port][/prefix]`, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseUrl {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// Path prefix without a trailing slash; often empty.
    pub prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// A user keeps its own connection (an open arrival takes over the one of the slot it runs on).
    PerUser,
    /// A new connection for every request.
    Fresh,
    /// The users of a shard share: HTTP/1.1 takes an idle connection or opens one, HTTP/2 opens a stream.
    Shared,
}

#[derive(Clone, Debug)]
pub struct Safety {
    /// Host patterns (`*.staging.example`) that may be addressed besides loopback.
    pub allow_hosts: Vec<String>,
    pub max_users: Option<u32>,
    pub max_rate_per_s: Option<f64>,
    pub abort_when: Vec<Threshold>,
    pub generator: GeneratorLimits,
}

/// How the load is spread over processes and over addresses to send from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    pub agents: Agents,
    pub sources: Sources,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agents {
    /// As many as the limits of one process make necessary.
    Auto,
    Fixed(u32),
}

/// As it is written.
impl std::fmt::Display for Agents {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => out.write_str("auto"),
            Self::Fixed(count) => count.fmt(out),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// Whatever the kernel chooses; on loopback as many addresses as the ports of one are too few.
    Auto,
    List(Vec<IpAddr>),
}

#[derive(Clone, Debug)]
pub struct Journey {
    pub name: String,
    pub once_per_user: Vec<Step>,
    pub steps: Vec<Step>,
    /// Interval between starts of consecutive iterations of one user.
    pub pacing: Option<Duration>,
    pub lifetime: Lifetime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// The user starts over until the load takes it away.
    Loop,
    /// The user ends with its first iteration; in a closed load a fresh one (a new id) replaces it.
    Once,
}

#[derive(Clone, Debug)]
pub enum Step {
    Request(Box<Request>),
    Think(Think),
    Set { slot: SlotId, value: Template },
    If { condition: Condition, then: Vec<Step>, otherwise: Vec<Step> },
    Repeat { max: u32, until: Option<Condition>, every: Option<Duration>, steps: Vec<Step> },
    Choose { weights: Vec<u32>, branches: Vec<Vec<Step>> },
    StopUser,
    WsOpen(Box<WsOpen>),
    WsSend(Box<WsSend>),
    WsExpect(Box<WsExpect>),
    WsListen(Box<WsListen>),
    WsClose { socket: SocketId },
    SseOpen(Box<SseOpen>),
    SseExpect(Box<SseExpect>),
    SseListen(Box<SseListen>),
    SseClose { stream: StreamId },
}

#[derive(Clone, Debug)]
pub struct Request {
    pub endpoint: EndpointId,
    pub method: Method,
    /// Path and query, starting with `/`; the target's prefix comes before it.
    pub path: Template,
    pub headers: Vec<(String, Template)>,
    /// Rendered body; its `content-type` stands among `headers`.
    pub body: Option<Template>,
    pub checks: Vec<Check>,
    pub extracts: Vec<Extract>,
    pub timeout: Duration,
    /// A check, an extract or a following `until` reads the body; else it is only counted.
    pub keeps_body: bool,
    /// A check or an extract reads a header.
    pub keeps_head: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Head,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Think {
    Constant(Duration),
    Uniform {
        low: Duration,
        high: Duration,
    },
    /// `median` and `p95` as written; mu = ln median, sigma = ln(p95/median)/1.6449.
    Lognormal {
        mu_ln_s: f64,
        sigma: f64,
    },
    Exponential {
        mean: Duration,
    },
}

#[derive(Clone, Debug)]
pub struct WsOpen {
    /// Latency of the opening handshake is recorded here.
    pub endpoint: EndpointId,
    pub socket: SocketId,
    pub path: Template,
    pub headers: Vec<(String, Template)>,
    pub subprotocol: Option<String>,
    pub within: Duration,
    pub reconnect: Option<Reconnect>,
}

/// What a user does when a connection that should stay open ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// Attempts in a row, without a message in between.
    pub max: u32,
    /// Wait before the first attempt, doubled for each that follows, up to `wait_max`.
    pub wait_min: Duration,
    pub wait_max: Duration,
}

#[derive(Clone, Debug)]
pub struct WsSend {
    pub socket: SocketId,
    pub message: Template,
    pub binary: bool,
    /// Sent again after a reconnect.
    pub resend: bool,
}

#[derive(Clone, Debug)]
pub struct WsExpect {
    /// Latency from the socket's last send to this message is recorded here.
    pub endpoint: EndpointId,
    pub socket: SocketId,
    /// JSON members (templates rendered at run time) that the message must carry; others are passed over.
    pub matches: Vec<(String, Template)>,
    pub within: Duration,
    pub extracts: Vec<Extract>,
}

#[derive(Clone, Debug)]
pub struct WsListen {
    pub socket: SocketId,
    pub for_time: Think,
    pub matches: Vec<(String, Template)>,
    pub pushed: Pushed,
    /// Keep-alive message while listening.
    pub every: Option<(Duration, Template)>,
}

/// What is measured of every message or event that a listening step hears.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Where push-to-receipt lag is recorded, and the JSONPath to the sending time in Unix milliseconds.
    pub lag: Option<(EndpointId, Pick)>,
    /// JSONPath of a number that must grow by one with every matching message.
    pub sequence: Option<Pick>,
}

#[derive(Clone, Debug)]
pub struct SseOpen {
    pub stream: StreamId,
    /// The GET that opens it; its time-out is that of the opening, and its endpoint where the opening is recorded.
    pub request: Request,
    pub reconnect: Option<Reconnect>,
}

/// Which events of a stream are meant; others are passed over.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The name of the event.
    pub event: Option<Template>,
    /// The data hold this text.
    pub text: Option<Template>,
    /// JSON members the data must carry.
    pub members: Vec<(String, Template)>,
}

#[derive(Clone, Debug)]
pub struct SseExpect {
    /// Latency from the opening of the stream, or from the user's last request if that came later, is recorded here.
    pub endpoint: EndpointId,
    pub stream: StreamId,
    pub wanted: Wanted,
    pub within: Duration,
    pub extracts: Vec<Extract>,
}

#[derive(Clone, Debug)]
pub struct SseListen {
    pub stream: StreamId,
    pub for_time: Think,
    pub wanted: Wanted,
    pub pushed: Pushed,
}

#[derive(Clone, Debug)]
pub struct LoadPart {
    pub name: String,
    /// Journeys and their weights; one entry with weight 1 for a single journey.
    pub mix: Vec<(JourneyId, u32)>,
    /// Delay from the start of the run.
    pub start: Duration,
    pub graceful_stop: Duration,
    pub executor: Executor,
}

#[derive(Clone, Debug)]
pub enum Executor {
    /// `curve` is in users.
    Closed { curve: Curve, phases: Vec<Phase> },
    /// `curve` is in iterations per second.
    Open { curve: Curve, phases: Vec<Phase>, open: OpenRules },
    /// A known list of levels, each judged on its own.
    Step { of: LoadUnit, levels: Vec<f64>, timing: LevelTiming, open: OpenRules, fail_when: Vec<Goal> },
    /// A search for the load line.
    Breakpoint { of: LoadUnit, search: SearchRules, timing: LevelTiming, open: OpenRules },
}

/// A named span of a part, nanoseconds from the part's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    pub name: String,
    pub from_ns: u64,
    pub to_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadUnit {
    Users,
    RatePerS,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenRules {
    pub arrivals: Arrivals,
    pub max_in_flight: u32,
    pub late: Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Runs as soon as a slot is free; response time counts from the intended instant.
    Queue,
    /// Not run, counted as dropped.
    Drop,
}

/// One level: ramp and settle are excluded from the judgment, then `windows` trials of `window` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelTiming {
    pub ramp: Duration,
    pub settle: Duration,
    pub window: Duration,
    pub windows: u32,
    pub cooldown: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SearchRules {
    pub from: f64,
    pub to: f64,
    /// Factor between levels while growing, > 1.
    pub grow: f64,
    /// Relative width (first bad / last good − 1) at which the bisection ends.
    pub precision: f64,
    /// Share of windows, 0..1, that may be bad before the level is.
    pub exceed: f64,
    pub fail_when: Vec<Goal>,
    /// What took the place of the scenario's `window`, `windows`, `exceed` and `precision`.
    pub effort: Option<Effort>,
    /// Whether soaks look for a guaranteed line, and how long each is.
    pub guarantee: bool,
    pub soak: Duration,
}

#[derive(Clone, Debug)]
pub struct DataTable {
    pub name: String,
    pub columns: Vec<String>,
    pub rows: Vec<Box<[Box<str>]>>,
    pub take: Take,
    pub at_end: AtEnd,
    /// Of a `take: unique` table, the row of each load part's first user.
    pub first_rows: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Each row to one user only: user u of a load part takes its [`DataTable::first_rows`] + u.
    Unique,
    /// User u's iteration i takes row u + i, wrapping as `at_end` says.
    Sequential,
    Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    Recycle,
    StopUser,
    Fail,
}

#[derive(Clone, Debug)]
pub struct Observe {
    /// `observe:` was absent: the bundled target brings its own preset, an external target has none.
    pub defaulted: bool,
    pub sources: Vec<ObserveSource>,
}

#[derive(Clone, Debug)]
pub struct ObserveSource {
    pub name: String,
    pub whence: Whence,
    pub every: Duration,
    pub preset: Option<String>,
    /// Resource name → role (`used`, `limit`, `waiting`, …, of [`keys::ROLES`](super::keys::ROLES)) → what tells it.
    pub resources: BTreeMap<String, BTreeMap<String, Query>>,
    /// Name → what is its value.
    pub signals: BTreeMap<String, Query>,
}

/// Where a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whence {
    /// `/metrics` of the bundled target.
    Bundled,
    /// A page in Prometheus' text format, by its URL.
    Scrape(String),
    /// The API of a Prometheus server, by the URL it is below.
    Prometheus(String),
}

impl ObserveSource {
    /// Everything that is asked of it besides the resources of its preset.
    pub fn queries(&self) -> impl Iterator<Item = &Query> {
        self.resources.values().flat_map(BTreeMap::values).chain(self.signals.values())
    }
}
