//! The names, ranges and units of the dials, and the reading of `NAME=VALUE`. One table serves the profile files, the
//! command line and the messages, so an error can always say what would have been right.

use std::fmt;

/// What a dial accepts. Ranges include both ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Integer { min: i64, max: i64 },
    Number { min: f64, max: f64 },
    OneOf(&'static [&'static str]),
}

/// Why `NAME=VALUE` was refused.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("dial {text:?} is not of the form NAME=VALUE, for example mongodb.max_pool_size=20")]
    Form { text: String },
    #[error("unknown dial {name:?}{}; there is: {}", did_you_mean(*.suggestion), alternatives(.name))]
    Unknown { name: String, suggestion: Option<&'static str> },
    #[error("dial {name} cannot be {value:?}: expected {expected}")]
    Value { name: &'static str, value: String, expected: String },
    #[error("{assignment} does not fit the other dials: {reason}")]
    Conflict { assignment: String, reason: String },
}

/// The dotted names of all dials.
pub fn dial_names() -> impl Iterator<Item = &'static str> {
    DIALS.iter().map(|dial| dial.name)
}

struct Dial {
    name: &'static str,
    kind: Kind,
    unit: &'static str,
}

const fn integer(name: &'static str, min: i64, max: i64, unit: &'static str) -> Dial {
    Dial { name, kind: Kind::Integer { min, max }, unit }
}

const fn number(name: &'static str, min: f64, max: f64, unit: &'static str) -> Dial {
    Dial { name, kind: Kind::Number { min, max }, unit }
}

const fn switch(name: &'static str) -> Dial {
    Dial { name, kind: Kind::OneOf(&["off", "on"]), unit: "" }
}

const CPU_US_MAX: f64 = 1e6;
const FACTOR_MAX: f64 = 1_000.0;
const HOUR_MS: i64 = 3_600_000;

static DIALS: &[Dial] = &[
    number("app.cores", 0.05, 64.0, "cores"),
    integer("app.drain_ms", 0, HOUR_MS, "ms"),
    number("app.cpu_us_per_request.read", 0.0, CPU_US_MAX, "us"),
    number("app.cpu_us_per_request.list", 0.0, CPU_US_MAX, "us"),
    number("app.cpu_us_per_request.search", 0.0, CPU_US_MAX, "us"),
    number("app.cpu_us_per_request.write", 0.0, CPU_US_MAX, "us"),
    number("app.cpu_us_per_request.login", 0.0, CPU_US_MAX, "us"),
    number("app.cpu_us_per_request.graphql", 0.0, CPU_US_MAX, "us"),
    number("app.cpu_us_per_request.static", 0.0, CPU_US_MAX, "us"),
    number("app.cpu_us_per_request.upgrade", 0.0, CPU_US_MAX, "us"),
    number("app.cpu_us_per_request.rejected", 0.0, CPU_US_MAX, "us"),
    switch("audit_log.enabled"),
    integer("audit_log.max_bytes", 4_096, 1 << 40, "bytes"),
    integer("audit_log.max_queue", 1, 1_000_000, "events"),
    integer("autoscaler.max_replicas", 0, 64, "replicas"),
    integer("autoscaler.min_replicas", 1, 64, "replicas"),
    number("autoscaler.target_ratio", 0.01, 1.0, "(ratio)"),
    integer("autoscaler.out_cooldown_ms", 0, HOUR_MS, "ms"),
    integer("autoscaler.in_cooldown_ms", 0, HOUR_MS, "ms"),
    integer("autoscaler.period_ms", 100, HOUR_MS, "ms"),
    integer("breaker.timeout_ms", 0, HOUR_MS, "ms"),
    number("breaker.error_threshold_percent", 0.0, 100.0, "%"),
    integer("breaker.reset_timeout_ms", 1, HOUR_MS, "ms"),
    integer("breaker.volume_threshold", 0, 1_000_000, "operations"),
    integer("breaker.rolling_window_ms", 10, HOUR_MS, "ms"),
    integer("breaker.fallback_max_entries", 1, 1_000_000, "documents"),
    integer("cache.l1_ttl_ms", 0, HOUR_MS, "ms"),
    integer("cache.l1_max_bytes", 1 << 16, 1 << 40, "bytes"),
    integer("cache.l2_ttl_ms", 0, HOUR_MS, "ms"),
    integer("gateway.worker_connections", 0, 1_000_000, "connections"),
    integer("gateway.upstream_keepalive", 0, 100_000, "connections"),
    integer("gateway.client_timeout_ms", 1, HOUR_MS, "ms"),
    integer("gateway.upstream_timeout_ms", 1, HOUR_MS, "ms"),
    integer("gateway.edge_max_bytes", 0, 1 << 40, "bytes"),
    integer("graphql.max_depth", 1, 100, "levels"),
    integer("graphql.max_complexity", 1, 1_000_000, "fields"),
    switch("graphql.introspection"),
    integer("heap.limit_bytes", 16 << 20, 1 << 40, "bytes"),
    integer("heap.bytes_per_socket", 0, 1 << 30, "bytes"),
    integer("heap.garbage_bytes_per_request", 0, 1 << 30, "bytes"),
    integer("heap.garbage_bytes_per_message", 0, 1 << 30, "bytes"),
    number("heap.mark_bytes_per_s", 1e6, 1e12, "bytes/s"),
    integer("http.header_read_timeout_ms", 0, HOUR_MS, "ms"),
    integer("http.body_read_timeout_ms", 0, HOUR_MS, "ms"),
    integer("mongodb.max_pool_size", 1, 10_000, "connections"),
    integer("mongodb.min_pool_size", 0, 10_000, "connections"),
    integer("mongodb.max_idle_time_ms", 1, HOUR_MS, "ms"),
    integer("mongodb.wait_queue_timeout_ms", 1, HOUR_MS, "ms"),
    integer("mongodb.server_selection_timeout_ms", 1, HOUR_MS, "ms"),
    integer("mongodb.shards", 1, 16, "shards"),
    integer("mongodb.replica_set.members", 1, 7, "members"),
    integer("mongodb.replica_set.arbiters", 0, 1, "arbiters"),
    integer("mongodb.replica_set.election_ms", 1, HOUR_MS, "ms"),
    integer("mongodb.replica_set.lag_ms", 0, HOUR_MS, "ms"),
    Dial { name: "mongodb.replica_set.write_concern", kind: Kind::OneOf(&["1", "majority"]), unit: "" },
    integer("mongodb.replica_set.write_timeout_ms", 1, HOUR_MS, "ms"),
    Dial {
        name: "mongodb.replica_set.read_preference",
        kind: Kind::OneOf(&["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"]),
        unit: "",
    },
    number("mongodb.service_time_ms", 0.0, 60_000.0, "ms"),
    Dial {
        name: "mongodb.service_time_distribution",
        kind: Kind::OneOf(&["constant", "exponential", "lognormal"]),
        unit: "",
    },
    number("mongodb.service_time_cv_ratio", 0.01, 10.0, "(ratio)"),
    number("mongodb.service_time_factor.products_list", 0.0, FACTOR_MAX, "(factor)"),
    number("mongodb.service_time_factor.product_by_id", 0.0, FACTOR_MAX, "(factor)"),
    number("mongodb.service_time_factor.products_by_ids", 0.0, FACTOR_MAX, "(factor)"),
    number("mongodb.service_time_factor.products_search", 0.0, FACTOR_MAX, "(factor)"),
    number("mongodb.service_time_factor.user_insert", 0.0, FACTOR_MAX, "(factor)"),
    number("mongodb.service_time_factor.user_by_email", 0.0, FACTOR_MAX, "(factor)"),
    number("mongodb.service_time_factor.user_by_id", 0.0, FACTOR_MAX, "(factor)"),
    number("mongodb.service_time_factor.lead_insert", 0.0, FACTOR_MAX, "(factor)"),
    number("mongodb.service_time_factor.leads_list", 0.0, FACTOR_MAX, "(factor)"),
    number("mongodb.service_time_factor.order_insert", 0.0, FACTOR_MAX, "(factor)"),
    number("mongodb.service_time_factor.order_by_id", 0.0, FACTOR_MAX, "(factor)"),
    number("mongodb.service_time_factor.orders_by_ids", 0.0, FACTOR_MAX, "(factor)"),
    Dial { name: "mongodb.indexes", kind: Kind::OneOf(&["on", "off"]), unit: "" },
    number("mongodb.scan_us_per_document", 0.0, 1_000.0, "us"),
    integer("queue.concurrency", 0, 10_000, "jobs"),
    integer("queue.attempts", 1, 20, "attempts"),
    integer("queue.backoff_ms", 1, HOUR_MS, "ms"),
    integer("queue.remove_on_complete", 0, 100_000, "jobs"),
    integer("queue.remove_on_fail", 0, 100_000, "jobs"),
    integer("queue.lease_ms", 100, HOUR_MS, "ms"),
    integer("queue.max_depth", 1, 1_000_000, "jobs"),
    number("queue.job_ms", 0.0, 60_000.0, "ms"),
    integer("rate_limiter.points", 0, 1_000_000, "requests"),
    integer("rate_limiter.window_ms", 1, 24 * HOUR_MS, "ms"),
    integer("rate_limiter.block_ms", 0, 24 * HOUR_MS, "ms"),
    integer("rate_limiter.max_users", 1, 1_000_000, "users"),
    Dial { name: "rate_limiter.backend", kind: Kind::OneOf(&["memory", "redis"]), unit: "" },
    integer("redis.nodes", 1, 64, "nodes"),
    number("redis.command_us", 0.0, 1e6, "us"),
    integer("redis.max_memory_bytes", 1 << 20, 1 << 40, "bytes"),
    integer("redis.timeout_ms", 1, HOUR_MS, "ms"),
    switch("request_signing.required"),
    integer("request_signing.window_s", 1, 86_400, "s"),
    integer("request_signing.max_remembered", 1, 10_000_000, "signatures"),
    Dial { name: "security.cors", kind: Kind::OneOf(&["off", "strict"]), unit: "" },
    switch("security.headers"),
    integer("session.token_ttl_s", 1, 30 * 86_400, "s"),
    integer("store.products", 1, 1_000_000, "documents"),
    integer("store.users", 0, 1_000_000, "documents"),
    integer("store.seed", 0, i64::MAX, "(seed)"),
    Dial { name: "tls.version", kind: Kind::OneOf(&["off", "1.3"]), unit: "" },
    integer("tls.handshake_timeout_ms", 1, HOUR_MS, "ms"),
    integer("websocket.tick_interval_ms", 10, HOUR_MS, "ms"),
    integer("websocket.max_subscriptions", 1, 10_000, "channels"),
];

impl fmt::Display for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Integer { min, max } => write!(f, "a whole number from {min} to {max} {}", self.unit),
            Kind::Number { min, max } => write!(f, "a number from {min} to {max} {}", self.unit),
            Kind::OneOf(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

impl Dial {
    fn read(&self, text: &str) -> Result<toml::Value, DialError> {
        let value = match self.kind {
            Kind::Integer { .. } => text.parse().ok().map(toml::Value::Integer),
            Kind::Number { .. } => text.parse().ok().map(toml::Value::Float),
            Kind::OneOf(_) => Some(toml::Value::String(text.to_owned())),
        };
        value.filter(|value| self.accepts(value)).ok_or_else(|| self.refusal(text))
    }

    fn accepts(&self, value: &toml::Value) -> bool {
        match (self.kind, value) {
            (Kind::Integer { min, max }, toml::Value::Integer(n)) => (min..=max).contains(n),
            (Kind::Number { min, max }, toml::Value::Float(x)) => (min..=max).contains(x),
            (Kind::Number { min, max }, toml::Value::Integer(n)) => (min..=max).contains(&(*n as f64)),
            (Kind::OneOf(words), toml::Value::String(word)) => words.contains(&word.as_str()),
            _ => false,
        }
    }

    fn refusal(&self, value: &str) -> DialError {
        DialError::Value { name: self.name, value: value.to_owned(), expected: self.to_string() }
    }
}

/// Sets one dial of a profile's table from `NAME=VALUE`.
pub(super) fn assign(table: &mut toml::Table, assignment: &str) -> Result<(), DialError> {
    let Some((name, text)) = assignment.split_once('=') else {
        return Err(DialError::Form { text: assignment.to_owned() });
    };
    let (name, text) = (name.trim(), text.trim());
    let Some(dial) = DIALS.iter().find(|dial| dial.name == name) else {
        let suggestion = nearest(name, dial_names());
        return Err(DialError::Unknown { name: name.to_owned(), suggestion });
    };
    let value = dial.read(text)?;
    let (sections, leaf) = name.rsplit_once('.').unwrap_or(("", name));
    let mut place = table;
    for section in sections.split('.') {
        let next =
            place.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new())).as_table_mut();
        let Some(next) = next else {
            return Err(dial.refusal(text));
        };
        place = next;
    }
    place.insert(leaf.to_owned(), value);
    Ok(())
}

/// Holds every value of a profile file against its dial's range.
pub(super) fn check_all(table: &toml::Table) -> Result<(), DialError> {
    for dial in DIALS {
        let mut parts = dial.name.split('.');
        let first = parts.next().and_then(|part| table.get(part));
        let value = parts.fold(first, |value, part| value.and_then(|v| v.get(part)));
        if let Some(value) = value.filter(|value| !dial.accepts(value)) {
            return Err(dial.refusal(&value.to_string()));
        }
    }
    Ok(())
}

/// The known word a mistyped one most likely stood for.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this likeness a suggestion would be a guess.
    const LIKENESS_MIN: f64 = 0.7;
    known
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

pub(super) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

/// The dials of the section a mistyped name was meant for, or all.
fn alternatives(name: &str) -> String {
    let section = |name: &str| name.split('.').next().map(str::to_owned);
    let mut names: Vec<_> = dial_names().filter(|known| section(known) == section(name)).collect();
    if names.is_empty() {
        names = dial_names().collect();
    }
    names.join(", ")
}
