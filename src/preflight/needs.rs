//! What a plan asks of the machine it runs on. Everything is a function of the number of users, so that a limit can be turned round
//! into the number of users at which it bites.

use super::costs::{
    AGENT_BYTES, ENDPOINT_BYTES, EVENT_STREAM_BYTES, HTTP2_BYTES, KERNEL_SOCKET_BYTES, LOOPBACK_SOURCES_MAX,
    RESPONSE_USUAL_S, RESPONSE_WORST_S, TARGET_CONNECTION_BYTES, TLS_BYTES, USER_BYTES, WEBSOCKET_BYTES,
};
use crate::endpoint::Protocol;
use crate::limits::HTTP2_STREAMS_EXPECTED;
use crate::load::curve::Curve;
use crate::scenario::expectation::Expectation;
use crate::scenario::plan::{
    BaseUrl, Connections, Executor, HttpVersion, Journey, JourneyId, Lifetime, LoadPart, LoadUnit, Plan,
    Sources, TargetKind,
};
use crate::threshold::{Op, Selector, Stat, Threshold};
use schemars::JsonSchema;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What a plan needs at the moment at which most sockets are open.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Needs {
    /// Users and open iterations at once that the plan will have whatever the target does: of a search, its first level; of open
    /// arrivals, those in flight by Little's law.
    pub users: u64,
    /// Those it may come to have: of a search, its last level; of open arrivals that find a slow target, all slots.
    pub users_bound: u64,
    /// Of these, the ones that send requests: slots that wait for a slow target do not.
    pub users_active_bound: u64,
    /// The most requests a second that the plan can ask for at any time; absent where that depends on how fast the target answers.
    pub requests_per_s_max: Option<f64>,
    pub per_user: PerUser,
    /// Parts whose users arrive at a rate, for each of which every shard has a timer.
    pub open_parts: u64,
    /// Threads of all processes together that have slots enough for what arrives; absent where nothing does.
    pub shards_max: Option<u32>,
    /// Of each of them every shard keeps the latencies of a second.
    pub endpoints: u64,
    /// The most connections closed in a second by however many users: slots that wait for a slow target close no more than what arrives;
    /// absent where everyone closes their own.
    pub connections_closed_per_s_max: Option<f64>,
    /// Where connections go; each has ports of its own.
    pub destinations: Vec<Destination>,
    /// The target's connections take this machine's memory and descriptors too.
    pub target_is_here: bool,
    /// Processes of the target-app that the run starts, whose memory is known; `None` for a target that is there already.
    pub target_processes: Option<u64>,
    /// What the numbers rest on, in sentences.
    pub assumptions: Vec<String>,
}

/// Means over the users at that moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct PerUser {
    pub http_connections: f64,
    /// Of these, the ones that speak HTTP/2.
    pub http2_connections: f64,
    pub websockets: f64,
    pub event_streams: f64,
    pub tls_connections: f64,
    pub requests_per_s: f64,
    /// Connections that a user closes, each of which keeps its port for a while.
    pub connections_closed_per_s: f64,
}

/// One address and port of the target.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Destination {
    pub name: String,
    pub loopback: bool,
    /// Addresses of this machine that connections can be opened from, and of the target that they can be opened to.
    pub sources: u32,
    pub peers: u32,
    pub connections_per_user: f64,
    /// The connections that are closed were to this one.
    pub closes: bool,
}

impl Destination {
    /// Pairs of an address to send from and one to send to, each with ports of its own.
    pub fn lanes(&self) -> u64 {
        u64::from(self.sources.max(1)).saturating_mul(self.peers.max(1).into())
    }
}

impl PerUser {
    /// Connections at once, each with a socket, a descriptor and a port of its own.
    pub fn connections(&self) -> f64 {
        self.http_connections + self.websockets + self.event_streams
    }
}

impl Needs {
    /// Sockets of the generator with `users` users.
    pub fn sockets(&self, users: u64) -> u64 {
        scaled(users, self.per_user.connections())
    }

    /// Connections that `users` users close in a second.
    pub fn closed_per_s(&self, users: u64) -> f64 {
        let closed_per_s = users as f64 * self.per_user.connections_closed_per_s;
        closed_per_s.min(self.connections_closed_per_s_max.unwrap_or(f64::INFINITY))
    }

    /// Ports to the busiest destination, those of closed connections included, which stay taken for `wait_s`.
    pub fn ports(&self, users: u64, wait_s: impl Fn(&Destination) -> u64) -> u64 {
        self.busiest(&wait_s).map_or(0, |busiest| {
            let closed_per_s = if busiest.closes { self.closed_per_s(users) } else { 0.0 };
            let closed = closed_per_s * wait_s(busiest) as f64;
            scaled(1, users as f64 * busiest.connections_per_user + closed)
        })
    }

    /// The destination whose ports are used up first: many connections from many addresses may leave more of them than few from one.
    pub fn busiest(&self, wait_s: impl Fn(&Destination) -> u64) -> Option<&Destination> {
        let in_a_lane = |destination: &Destination| {
            let closed_per_s = if destination.closes { self.per_user.connections_closed_per_s } else { 0.0 };
            let ports = destination.connections_per_user + closed_per_s * wait_s(destination) as f64;
            ports / destination.lanes() as f64
        };
        self.destinations.iter().max_by(|a, b| in_a_lane(a).total_cmp(&in_a_lane(b)))
    }

    /// Memory of a generator of so many processes with so many shards in all, of its sockets in the kernel, and of the other ends where they are
    /// on this machine.
    pub fn memory_bytes(&self, users: u64, agents: u64, shards: u64) -> u64 {
        let one = &self.per_user;
        let connections = one.connections();
        let ends = if self.target_is_here { 2.0 } else { 1.0 };
        let mut bytes = USER_BYTES as f64
            + one.http2_connections * HTTP2_BYTES as f64
            + one.tls_connections * TLS_BYTES as f64
            + one.websockets * WEBSOCKET_BYTES as f64
            + one.event_streams * EVENT_STREAM_BYTES as f64
            + connections * ends * KERNEL_SOCKET_BYTES as f64;
        if self.target_processes.is_some() {
            bytes += connections * TARGET_CONNECTION_BYTES as f64;
        }
        agents * AGENT_BYTES + shards * self.endpoints * ENDPOINT_BYTES + scaled(users, bytes)
    }

    /// CPU the generator uses for the requests, in thousandths of a core.
    pub fn cpu_millicores(&self, users: u64, agents: u64) -> u64 {
        let requests_per_s = users as f64 * self.per_user.requests_per_s;
        scaled(1, super::cpu::cores(requests_per_s, agents.max(1) as f64) * 1e3)
    }
}

fn target_processes(kind: &TargetKind) -> Option<u64> {
    let TargetKind::Bundled { profile, replicas, .. } = kind else { return None };
    let own = || target_app::profile::Profile::named(profile).map_or(1, |profile| profile.replicas);
    Some(replicas.unwrap_or_else(own).max(1).into())
}

/// `amount` a user for so many users, whole and rounded up; what rounding errors added to a whole number does not count.
fn scaled(users: u64, amount: f64) -> u64 {
    (users as f64 * amount * (1.0 - f64::EPSILON)).ceil() as u64
}

/// One load part in the terms of needs.
pub(super) struct Part<'a> {
    pub(super) load: &'a LoadPart,
    pub(super) expectation: Expectation,
    /// One iteration, from its start to the start of the next one of the same user, while answers come as they usually do.
    pub(super) iteration_s: f64,
    /// How long an arrival stays when answers take as long as they may.
    stay_s: f64,
    /// HTTP connections of one user.
    http_connections: f64,
    /// Requests of one user in a second, and connections that it closes. One that arrives has them over its stay, which is what the number of
    /// users at once is counted by.
    requests_per_s: f64,
    pub(super) closed_per_s: f64,
}

/// What an answer is taken to need: usually, and at the worst that the scenario still allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Responses {
    usual_s: f64,
    worst_s: f64,
}

impl<'a> Part<'a> {
    pub(super) fn new(plan: &Plan, load: &'a LoadPart, responses: Responses) -> Self {
        let expectation = plan.expect_part(load);
        let arrives = matches!(model(&load.executor), LoadUnit::RatePerS);
        let mut requests = expectation.requests();
        let mut think_s = expectation.think.as_secs_f64();
        if arrives {
            // Every arrival is a new user, who begins with what users do once.
            requests += expectation.once_per_user.values().sum::<f64>();
            think_s += expectation.think_once.as_secs_f64();
        }
        let busy_s = think_s + requests * responses.usual_s;
        let pacing_s = expectation.pacing.map_or(0.0, |pacing| pacing.as_secs_f64());
        let iteration_s = if arrives { busy_s } else { busy_s.max(pacing_s) };
        let waits_s = requests * responses.worst_s;
        let stay_s = think_s + waits_s;
        let cycle_s = if arrives { stay_s } else { iteration_s };
        let over_cycle = |amount: f64| if cycle_s > 0.0 { amount / cycle_s } else { 0.0 };
        let requests_per_s = over_cycle(requests);
        let in_request_ratio = over_cycle(waits_s).min(1.0);
        let http_connections =
            http_share(plan, load, |_| true) * connections_per_speaker(plan, in_request_ratio);
        let closed_per_s = match plan.target.connections {
            Connections::Fresh => requests_per_s,
            // The user ends with its iteration, and its connection with it. One that arrives leaves it to the next.
            Connections::PerUser if !arrives => {
                let once = |journey: &&Journey| journey.lifetime == Lifetime::Once;
                // Whoever follows keeps the pace of the place; the fastest counts for all.
                let journeys = load.mix.iter().map(|(id, _)| &plan.journeys[usize::from(*id)]).filter(once);
                let paced_s =
                    journeys.map(|journey| journey.pacing.map_or(0.0, |pacing| pacing.as_secs_f64()));
                let each_s = busy_s.max(paced_s.reduce(f64::min).unwrap_or(0.0));
                if each_s > 0.0 { http_share(plan, load, |journey| once(&journey)) / each_s } else { 0.0 }
            }
            _ => 0.0,
        };
        Self { http_connections, requests_per_s, closed_per_s, load, expectation, iteration_s, stay_s }
    }

    fn arrives(&self) -> bool {
        matches!(model(&self.load.executor), LoadUnit::RatePerS)
    }

    /// Users at `ns` of the run: (those that will be there, those that may be).
    pub(super) fn users_at(&self, ns: u64) -> (f64, f64) {
        let start_ns = nanos(self.load.start);
        let Some(elapsed_ns) = ns.checked_sub(start_ns) else { return (0.0, 0.0) };
        let rated = |rate: f64, slots: u32| (rate * self.stay_s).min(f64::from(slots));
        let over = |curve: &Curve| elapsed_ns >= curve.end_ns();
        match &self.load.executor {
            Executor::Closed { curve, .. } | Executor::Open { curve, .. } if over(curve) => (0.0, 0.0),
            Executor::Closed { curve, .. } => {
                let users = curve.users_at(elapsed_ns) as f64;
                (users, users)
            }
            Executor::Open { curve, open, .. } => {
                (rated(curve.value_at(elapsed_ns), open.max_in_flight), f64::from(open.max_in_flight))
            }
            Executor::Step { of, levels, open, .. } => {
                let top = levels.iter().copied().fold(0.0, f64::max);
                match of {
                    LoadUnit::Users => (top, top),
                    LoadUnit::RatePerS => (rated(top, open.max_in_flight), f64::from(open.max_in_flight)),
                }
            }
            Executor::Breakpoint { of, search, open, .. } => match of {
                LoadUnit::Users => (search.from, search.to),
                LoadUnit::RatePerS => {
                    (rated(search.from, open.max_in_flight), rated(search.to, open.max_in_flight))
                }
            },
        }
    }

    /// Of the users that may be there, those that send requests.
    fn active_of(&self, (expected, bound): (f64, f64)) -> f64 {
        match &self.load.executor {
            Executor::Open { .. } | Executor::Step { of: LoadUnit::RatePerS, .. } => expected,
            Executor::Closed { .. } | Executor::Step { .. } | Executor::Breakpoint { .. } => bound,
        }
    }

    /// Instants of the run at which its users may be at their most.
    pub(super) fn instants(&self) -> Vec<u64> {
        let start_ns = nanos(self.load.start);
        let mut instants = vec![start_ns];
        if let Executor::Closed { curve, .. } | Executor::Open { curve, .. } = &self.load.executor {
            for segment in curve.segments() {
                // The last instant before the end belongs to this segment, the end itself to the next.
                instants.extend([start_ns + segment.from_ns, start_ns + segment.to_ns.saturating_sub(1)]);
            }
        }
        instants
    }
}

fn model(executor: &Executor) -> LoadUnit {
    match executor {
        Executor::Closed { .. } => LoadUnit::Users,
        Executor::Open { .. } => LoadUnit::RatePerS,
        Executor::Step { of, .. } | Executor::Breakpoint { of, .. } => *of,
    }
}

/// The share of a part's users whose journey sends HTTP requests, and is one of those asked for.
fn http_share(plan: &Plan, load: &LoadPart, asked: impl Fn(&Journey) -> bool) -> f64 {
    let total: f64 = load.mix.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let speaks_http = |id| {
        let journey = plan.expect_journey(id);
        let mut endpoints = journey.per_iteration.keys().chain(journey.once_per_user.keys());
        endpoints.any(|endpoint| plan.endpoints[usize::from(*endpoint)].protocol == Protocol::Http)
    };
    let counts = |id: JourneyId| plan.journeys.get(usize::from(id)).is_some_and(&asked) && speaks_http(id);
    let http: f64 = load.mix.iter().filter(|(id, _)| counts(*id)).map(|(_, weight)| f64::from(*weight)).sum();
    if total > 0.0 { http / total } else { 0.0 }
}

/// HTTP connections of a user who sends requests. Shared ones are taken over HTTP/1.1 for as long as a request is under way; over HTTP/2
/// they are counted for all users asking at once, one for as many streams as servers usually allow.
fn connections_per_speaker(plan: &Plan, in_request_ratio: f64) -> f64 {
    match (plan.target.connections, plan.target.http_version) {
        (Connections::Shared, HttpVersion::Http2) => 1.0 / HTTP2_STREAMS_EXPECTED as f64,
        (Connections::Shared, _) => in_request_ratio,
        (Connections::PerUser | Connections::Fresh, _) => 1.0,
    }
}

/// What is not known of the target's HTTP before it is asked, or of how many share a connection.
fn protocol_assumptions(plan: &Plan, responses: Responses) -> impl Iterator<Item = String> {
    let tls = bases(&plan.target.kind).0.is_some_and(|base| base.tls);
    let chosen = (plan.target.http_version == HttpVersion::Auto && tls)
        .then(|| format!("the target chooses HTTP/1.1; HTTP/2 takes {HTTP2_BYTES} bytes more a connection"));
    let shared = (plan.target.connections == Connections::Shared).then(|| match plan.target.http_version {
        HttpVersion::Http2 => {
            format!("the target allows {HTTP2_STREAMS_EXPECTED} streams at once on a shared connection")
        }
        _ => format!(
            "a user has a shared connection only while an answer is under way, up to {}",
            seconds(responses.worst_s)
        ),
    });
    chosen.into_iter().chain(shared)
}

fn seconds(seconds: f64) -> String {
    crate::units::show_duration(Duration::from_secs_f64(seconds))
}

/// What the plan needs at the moment at which it opens most sockets.
pub fn needs(plan: &Plan) -> Needs {
    let mut assumptions = Vec::new();
    let responses = responses(plan);
    assumptions.push(format!(
        "an answer takes {}, and while arrivals are in flight up to {}",
        seconds(responses.usual_s),
        seconds(responses.worst_s)
    ));
    let parts: Vec<Part<'_>> = plan.load.iter().map(|load| Part::new(plan, load, responses)).collect();
    assumptions.extend(parts.iter().flat_map(|part| part.expectation.notes.iter().cloned()));
    assumptions.extend(protocol_assumptions(plan, responses));
    assumptions.dedup();

    let sockets = |part: &Part<'_>| part.http_connections + part.expectation.held.all();
    let sockets_at = |ns: u64, users: fn((f64, f64)) -> f64| -> f64 {
        parts.iter().map(|part| users(part.users_at(ns)) * sockets(part)).sum()
    };
    let instants = parts.iter().flat_map(Part::instants);
    // The slots of an open part are the same at any time: what is expected then tells.
    let more = |a: &u64, b: &u64| {
        let bound = |ns: &u64| sockets_at(*ns, |(_, bound)| bound);
        let expected = |ns: &u64| sockets_at(*ns, |(expected, _)| expected);
        bound(a).total_cmp(&bound(b)).then_with(|| expected(a).total_cmp(&expected(b)))
    };
    let peak_ns = instants.max_by(more).unwrap_or(0);

    let at_peak: Vec<(&Part<'_>, (f64, f64))> =
        parts.iter().map(|part| (part, part.users_at(peak_ns))).collect();
    let bound: f64 = at_peak.iter().map(|(_, (_, bound))| bound).sum();
    let active_bound: f64 = at_peak.iter().map(|(part, users)| part.active_of(*users)).sum();
    let expected: f64 = at_peak.iter().map(|(_, (users, _))| users).sum();
    let mean = |of: &dyn Fn(&Part<'_>) -> f64| -> f64 {
        let sum: f64 = at_peak.iter().map(|(part, (_, bound))| bound * of(part)).sum();
        if bound > 0.0 { sum / bound } else { 0.0 }
    };
    let (http, ws) = bases(&plan.target.kind);
    let tls = |base: Option<&BaseUrl>| f64::from(u8::from(base.is_some_and(|base| base.tls)));
    let http_connections = mean(&|part| part.http_connections);
    let speaks_http2 = plan.target.http_version == HttpVersion::Http2;
    let websockets = mean(&|part| part.expectation.held.sockets);
    let event_streams = mean(&|part| part.expectation.held.event_streams);
    // Event streams are answers of the HTTP address, on connections of their own.
    let to_http = http_connections + event_streams;
    // Slots that wait for a slow target send nothing: requests are a matter of the users expected.
    let mean_of_expected = |of: &dyn Fn(&Part<'_>) -> f64| -> f64 {
        let sum: f64 = at_peak.iter().map(|(part, (users, _))| users * of(part)).sum();
        if expected > 0.0 { sum / expected } else { 0.0 }
    };
    // Fewer are active than may be there only where the others are slots of what arrives.
    let closed_per_s_max = (active_bound < bound)
        .then(|| at_peak.iter().map(|(part, users)| part.active_of(*users) * part.closed_per_s).sum());
    let target_processes = target_processes(&plan.target.kind);
    let destinations = destinations(plan, to_http, websockets);
    Needs {
        users: expected.ceil() as u64,
        users_bound: bound.ceil() as u64,
        users_active_bound: active_bound.ceil() as u64,
        requests_per_s_max: super::cpu::requests_per_s_max(&parts),
        per_user: PerUser {
            http_connections,
            http2_connections: if speaks_http2 { http_connections } else { 0.0 },
            websockets,
            event_streams,
            tls_connections: to_http * tls(http.as_ref()) + websockets * tls(ws.as_ref()),
            requests_per_s: mean_of_expected(&|part| part.requests_per_s),
            connections_closed_per_s: mean_of_expected(&|part| part.closed_per_s),
        },
        endpoints: plan.endpoints.len() as u64,
        shards_max: super::spread::shards_max(plan),
        open_parts: parts.iter().filter(|part| part.arrives()).count() as u64,
        connections_closed_per_s_max: closed_per_s_max,
        target_is_here: target_processes.is_some()
            || destinations.iter().any(|destination| destination.loopback),
        target_processes,
        destinations,
        assumptions,
    }
}

/// The tightest promise the scenario makes of its answers is the worst they may be; usually they are faster.
pub(super) fn responses(plan: &Plan) -> Responses {
    let goals = plan.load.iter().flat_map(|part| match &part.executor {
        Executor::Step { fail_when, .. } => fail_when.as_slice(),
        Executor::Breakpoint { search, .. } => &search.fail_when,
        Executor::Closed { .. } | Executor::Open { .. } => &[],
    });
    let thresholds = plan.thresholds.iter().chain(goals.map(|goal| &goal.threshold));
    let bounds =
        thresholds.filter(|threshold| bounds_latency(threshold)).map(|threshold| threshold.value / 1e9);
    let worst_s = bounds.min_by(f64::total_cmp).unwrap_or(RESPONSE_WORST_S);
    Responses { usual_s: RESPONSE_USUAL_S.min(worst_s), worst_s }
}

fn bounds_latency(threshold: &Threshold) -> bool {
    matches!(threshold.stat, Stat::Percentile(_) | Stat::Max | Stat::Mean)
        && matches!(threshold.selector, Selector::Requests { .. })
        && !matches!(threshold.op, Op::Equal | Op::NotEqual)
        && threshold.value > 0.0
}

fn bases(kind: &TargetKind) -> (Option<BaseUrl>, Option<BaseUrl>) {
    match kind {
        TargetKind::External { http, ws } => (http.clone(), ws.clone()),
        TargetKind::Bundled { .. } => {
            let base = BaseUrl { tls: false, host: "127.0.0.1".into(), port: 0, prefix: String::new() };
            (Some(base.clone()), Some(base))
        }
    }
}

/// HTTP and WebSockets to the same address share its ports.
fn destinations(plan: &Plan, to_http: f64, websockets: f64) -> Vec<Destination> {
    let mut destinations: Vec<Destination> = Vec::new();
    let (http, ws) = bases(&plan.target.kind);
    // Sockets stay open as long as their user: what is closed are connections of requests.
    for (base, connections, closes) in [(http, to_http, true), (ws, websockets, false)] {
        let Some(base) = base.filter(|_| connections > 0.0) else { continue };
        let name = match &plan.target.kind {
            TargetKind::Bundled { profile, .. } => format!("bundled {profile}"),
            TargetKind::External { .. } => format!("{}:{}", base.host, base.port),
        };
        match destinations.iter_mut().find(|destination| destination.name == name) {
            Some(same) => same.connections_per_user += connections,
            None => {
                let (loopback, sources) = reach(plan, &base.host);
                let peers = u32::try_from(plan.target.connect_to.len()).unwrap_or(u32::MAX).max(1);
                destinations.push(Destination {
                    name,
                    loopback,
                    sources,
                    peers,
                    connections_per_user: connections,
                    closes,
                });
            }
        }
    }
    destinations
}

/// Whether a host is this machine, and how many addresses it is sent to from. All of 127.0.0.0/8 is this machine; `::1` is alone.
fn reach(plan: &Plan, host: &str) -> (bool, u32) {
    let named = host.trim_matches(['[', ']']).parse().ok();
    let named =
        named.or_else(|| host.eq_ignore_ascii_case("localhost").then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let peers: Vec<IpAddr> = match plan.target.connect_to.as_slice() {
        [] => named.into_iter().collect(),
        list => list.iter().map(|peer| peer.ip()).collect(),
    };
    let loopback = !peers.is_empty() && peers.iter().all(|ip| ip.is_loopback());
    let sources = match &plan.swarm.sources {
        Sources::List(list) => u32::try_from(list.len()).unwrap_or(u32::MAX).max(1),
        Sources::Auto if loopback && peers.iter().all(IpAddr::is_ipv4) => LOOPBACK_SOURCES_MAX,
        Sources::Auto => 1,
    };
    (loopback, sources)
}

pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
