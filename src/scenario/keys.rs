//! The keys of the language: what each mapping may hold, what it will hold in a later version, and what people who come from
//! other tools write instead. Readers, "did you mean" and the JSON Schema all draw on these tables.

/// The keys of one kind of mapping.
#[derive(Debug)]
pub struct Section {
    /// As messages call it: "a request step".
    pub what: &'static str,
    pub keys: &'static [&'static str],
    /// In the language, but not in this version.
    pub later: &'static [&'static str],
    /// Words of other tools, with what to write here.
    pub foreign: &'static [(&'static str, &'static str)],
}

pub static TOP: Section = Section {
    what: "a scenario file",
    keys: &[
        "plimsoll",
        "name",
        "seed",
        "include",
        "target",
        "safety",
        "vars",
        "secrets",
        "data",
        "scenarios",
        "load",
        "profiles",
        "observe",
        "thresholds",
        "cost",
        "baseline",
        "swarm",
        "report",
    ],
    later: &["faults"],
    foreign: &[
        ("config", "there is no `config`: `target`, `load` and `thresholds` stand at the top"),
        ("options", "there is no `options`: `load` and `thresholds` stand at the top"),
        ("stages", "stages belong to a part of `load`"),
        ("phases", "phases are the stages of a part of `load`: stages: [{phase: peak, hold: 5m}]"),
        ("variables", "write `vars`"),
        ("env", "write ${env.NAME} where the value is used"),
        ("checks", "write `expect` at the step, and `thresholds` for the run"),
    ],
};

/// Sections that are read and set aside.
pub const SET_ASIDE: [&str; 3] = ["cost", "baseline", "report"];

pub static PROFILE: Section = Section {
    what: "a profile",
    keys: &["target", "safety", "vars", "load", "observe", "thresholds", "seed", "swarm"],
    later: &["faults"],
    foreign: &[],
};

pub static TARGET: Section = Section {
    what: "`target`",
    keys: &[
        "http",
        "ws",
        "bundled",
        "replicas",
        "dials",
        "timeout",
        "connect_timeout",
        "connect_to",
        "connections",
        "headers",
        "tls",
        "http_version",
    ],
    later: &[],
    foreign: &[
        ("url", "write `http: http://host:port`"),
        ("baseUrl", "write `http: http://host:port`"),
        ("host", "write `http: http://host:port`"),
    ],
};

pub static TLS: Section = Section {
    what: "`tls`",
    keys: &[
        "verify",
        "ca",
        "client_cert",
        "client_key",
        "server_name",
        "min_version",
        "max_version",
        "resumption",
    ],
    later: &[],
    foreign: &[
        ("cert", "write `client_cert`"),
        ("key", "write `client_key`"),
        ("cacert", "write `ca`"),
        ("sni", "write `server_name`"),
        ("insecure", "write `verify: false`"),
        ("insecureSkipTLSVerify", "write `verify: false`"),
    ],
};

pub static SAFETY: Section = Section {
    what: "`safety`",
    keys: &["allow_hosts", "max_users", "max_rate", "abort_when", "generator"],
    later: &[],
    foreign: &[],
};

pub static GENERATOR: Section = Section {
    what: "`generator`",
    keys: &["dispatch_lag_p99", "read_error_p99", "cpu", "run_queue"],
    later: &[],
    foreign: &[],
};

pub static SWARM: Section = Section {
    what: "`swarm`",
    keys: &["agents", "source_ips"],
    later: &["quorum", "on_agent_loss", "rejoin"],
    foreign: &[("workers", "write `agents`"), ("localips", "write `source_ips`")],
};

pub static SECRET: Section = Section { what: "a secret", keys: &["env"], later: &["file"], foreign: &[] };

pub static TABLE: Section = Section {
    what: "a data table",
    keys: &["file", "values", "rows", "take", "at_end"],
    later: &[],
    foreign: &[
        ("path", "write `file`"),
        ("fields", "the first line of the file names the columns"),
        ("order", "write `take: random`"),
    ],
};

pub static JOURNEY: Section = Section {
    what: "a scenario",
    keys: &["steps", "once_per_user", "pacing", "lifetime"],
    later: &[],
    foreign: &[
        ("flow", "write `steps`"),
        ("weight", "weights stand in `load`: run: {browse: 70, buy: 30}"),
        ("tasks", "write `steps`"),
    ],
};

pub static PACING: Section = Section { what: "`pacing`", keys: &["every"], later: &[], foreign: &[] };

/// Verbs of steps, each with the section of its keys.
pub static STEPS: [(&str, &Section); 22] = [
    ("get", &REQUEST),
    ("post", &REQUEST),
    ("put", &REQUEST),
    ("patch", &REQUEST),
    ("delete", &REQUEST),
    ("head", &REQUEST),
    ("think", &THINK),
    ("set", &SET),
    ("if", &IF),
    ("repeat", &REPEAT),
    ("choose", &CHOOSE),
    ("call", &CALL),
    ("stop_user", &STOP_USER),
    ("ws_open", &WS_OPEN),
    ("ws_send", &WS_SEND),
    ("ws_expect", &WS_EXPECT),
    ("ws_listen", &WS_LISTEN),
    ("ws_close", &WS_CLOSE),
    ("sse_open", &SSE_OPEN),
    ("sse_expect", &SSE_EXPECT),
    ("sse_listen", &SSE_LISTEN),
    ("sse_close", &SSE_CLOSE),
];

/// Verbs of the language that this version does not run.
pub const STEPS_LATER: [&str; 5] = ["group", "parallel", "rendezvous", "for_each", "log"];

pub const STEPS_FOREIGN: [(&str, &str); 9] = [
    ("request", "write the method as the verb: `get: /path`"),
    ("url", "write the method as the verb: `get: /path`"),
    ("http", "write the method as the verb: `get: /path`"),
    ("sleep", "write `think: 1s..4s`"),
    ("wait", "write `think: 1s..4s`"),
    ("pause", "write `think: 1s..4s`"),
    ("loop", "write `repeat: {max: 5}` with `steps`"),
    ("capture", "write `extract` inside the request step"),
    ("connect", "write `ws_open: /path`"),
];

pub static REQUEST: Section = Section {
    what: "a request step",
    keys: &[
        "get", "post", "put", "patch", "delete", "head", "name", "headers", "json", "form", "body", "expect",
        "extract", "timeout",
    ],
    later: &["multipart", "compress"],
    foreign: &[
        ("capture", "write `extract: {token: $.token}`"),
        ("check", "write `expect: {status: 200}`"),
        ("checks", "write `expect: {status: 200}`"),
        ("assert", "write `expect: {status: 200}`"),
        ("tags", "write `name`"),
        ("query", "write the query into the path: `get: /search?q=${data.terms}`"),
        ("params", "write the query into the path: `get: /search?q=${data.terms}`"),
    ],
};

pub static EXPECT: Section = Section {
    what: "`expect`",
    keys: &["status", "body", "header", "within"],
    later: &[],
    foreign: &[("headers", "write `header: {name: value}`"), ("json", "write `body: $.items is not empty`")],
};

pub static THINK: Section = Section { what: "a think step", keys: &["think"], later: &[], foreign: &[] };
pub static SET: Section = Section { what: "a set step", keys: &["set"], later: &[], foreign: &[] };
pub static IF: Section = Section {
    what: "an if step",
    keys: &["if", "then", "else"],
    later: &[],
    foreign: &[("steps", "write `then`")],
};
pub static REPEAT: Section =
    Section { what: "a repeat step", keys: &["repeat", "steps"], later: &[], foreign: &[] };
pub static REPEAT_RULES: Section = Section {
    what: "`repeat`",
    keys: &["max", "until", "every"],
    later: &[],
    foreign: &[("while", "write `until` with the opposite condition")],
};
pub static CHOOSE: Section = Section { what: "a choose step", keys: &["choose"], later: &[], foreign: &[] };
pub static BRANCH: Section =
    Section { what: "a branch of `choose`", keys: &["weight", "steps"], later: &[], foreign: &[] };
pub static CALL: Section = Section { what: "a call step", keys: &["call"], later: &[], foreign: &[] };
pub static STOP_USER: Section =
    Section { what: "a stop_user step", keys: &["stop_user"], later: &[], foreign: &[] };
pub static WS_OPEN: Section = Section {
    what: "a ws_open step",
    keys: &["ws_open", "as", "name", "headers", "subprotocol", "expect", "reconnect"],
    later: &[],
    foreign: &[("socket", "name the socket with `as`")],
};
pub static WS_OPEN_EXPECT: Section =
    Section { what: "`expect` of a ws_open step", keys: &["within"], later: &[], foreign: &[] };
pub static RECONNECT: Section = Section {
    what: "`reconnect`",
    keys: &["max", "backoff"],
    later: &[],
    foreign: &[("retries", "write `max`"), ("delay", "write `backoff: 1s..10s`")],
};
pub static WS_SEND: Section = Section {
    what: "a ws_send step",
    keys: &["ws_send", "socket", "binary", "resend"],
    later: &[],
    foreign: &[],
};
pub static WS_EXPECT: Section = Section {
    what: "a ws_expect step",
    keys: &["ws_expect", "socket", "within", "name", "extract"],
    later: &[],
    foreign: &[],
};
pub static WS_LISTEN: Section = Section {
    what: "a ws_listen step",
    keys: &["ws_listen", "socket", "match", "name", "lag", "sequence", "every", "send"],
    later: &[],
    foreign: &[],
};
pub static WS_CLOSE: Section =
    Section { what: "a ws_close step", keys: &["ws_close"], later: &[], foreign: &[] };
pub static SSE_OPEN: Section = Section {
    what: "an sse_open step",
    keys: &["sse_open", "as", "name", "headers", "expect", "reconnect"],
    later: &[],
    foreign: &[("stream", "name the stream with `as`")],
};
pub static SSE_OPEN_EXPECT: Section =
    Section { what: "`expect` of an sse_open step", keys: &["within"], later: &[], foreign: &[] };
pub static SSE_EXPECT: Section = Section {
    what: "an sse_expect step",
    keys: &["sse_expect", "stream", "event", "text", "within", "name", "extract"],
    later: &[],
    foreign: &[
        ("match", "write the members after the verb: sse_expect: {type: ready}"),
        ("socket", "write `stream`"),
    ],
};
pub static SSE_LISTEN: Section = Section {
    what: "an sse_listen step",
    keys: &["sse_listen", "stream", "event", "match", "text", "name", "lag", "sequence"],
    later: &[],
    foreign: &[
        ("every", "an event stream goes one way: nothing can be sent on it"),
        ("send", "an event stream goes one way: nothing can be sent on it"),
        ("socket", "write `stream`"),
    ],
};
pub static SSE_CLOSE: Section =
    Section { what: "an sse_close step", keys: &["sse_close"], later: &[], foreign: &[] };

const FOREIGN_LOAD: &[(&str, &str)] = &[
    ("vus", "write `stages: [{to: 50, over: 0s}, {hold: 5m}]`"),
    ("users", "write `stages: [{to: 50, over: 0s}, {hold: 5m}]`"),
    ("rate", "write `stages: [{to: 200/s, over: 0s}, {hold: 5m}]`"),
    ("duration", "durations stand in the stages: `stages: [{to: 50, over: 0s}, {hold: 5m}]`"),
    ("startTime", "write `start`"),
    ("gracefulStop", "write `graceful_stop`"),
    ("gracefulRampDown", "write `graceful_stop`"),
    ("exec", "write `run: SCENARIO`"),
    ("scenario", "write `run: SCENARIO`"),
    ("preAllocatedVUs", "write `max_in_flight`; nothing needs to be allocated beforehand"),
    ("maxVUs", "write `max_in_flight`"),
    ("maxVusers", "write `max_in_flight`"),
    ("timeUnit", "the unit is part of the rate: 200/s, 30/m"),
];

pub static CLOSED: Section = Section {
    what: "a closed load",
    keys: &["name", "run", "executor", "start", "stages", "graceful_stop"],
    later: &[],
    foreign: FOREIGN_LOAD,
};
pub static OPEN: Section = Section {
    what: "an open load",
    keys: &[
        "name",
        "run",
        "executor",
        "start",
        "stages",
        "graceful_stop",
        "arrivals",
        "max_in_flight",
        "late",
    ],
    later: &[],
    foreign: FOREIGN_LOAD,
};
pub static STEP: Section = Section {
    what: "a staircase",
    keys: &[
        "name",
        "run",
        "executor",
        "start",
        "graceful_stop",
        "of",
        "from",
        "by",
        "levels",
        "ramp",
        "settle",
        "hold",
        "cooldown",
        "fail_when",
        "arrivals",
        "max_in_flight",
        "late",
    ],
    later: &[],
    foreign: FOREIGN_LOAD,
};
pub static BREAKPOINT: Section = Section {
    what: "a search for the load line",
    keys: &[
        "name",
        "run",
        "executor",
        "start",
        "graceful_stop",
        "of",
        "from",
        "to",
        "grow",
        "ramp",
        "settle",
        "window",
        "windows",
        "exceed",
        "precision",
        "cooldown",
        "fail_when",
        "guarantee",
        "arrivals",
        "max_in_flight",
        "late",
    ],
    later: &["confirm"],
    foreign: FOREIGN_LOAD,
};
pub static GUARANTEE: Section = Section { what: "`guarantee`", keys: &["soak"], later: &[], foreign: &[] };
pub static STAGE: Section = Section {
    what: "a stage",
    keys: &["phase", "to", "over", "hold"],
    later: &[],
    foreign: &[
        ("target", "write `to`"),
        ("duration", "write `over` with `to`, or `hold`"),
        ("name", "write `phase`"),
        ("arrivalRate", "write `to: 20/s`"),
        ("rampTo", "write `to: 20/s`"),
    ],
};

pub static SOURCE: Section = Section {
    what: "a source of `observe`",
    keys: &["name", "scrape", "prometheus", "every", "preset", "resources", "signals"],
    later: &[],
    foreign: &[
        ("url", "write `scrape: http://host:port/metrics`, or `prometheus: http://host:port`"),
        ("query", "write `signals: {NAME: QUERY}`, or `resources: {NAME: {used: QUERY}}`"),
        ("queries", "write `signals: {NAME: QUERY}`"),
    ],
};

/// Roles a metric can play for a resource: gauges, and counters of seconds or of events.
pub const ROLES: [&str; 9] = [
    "used",
    "used_seconds",
    "limit",
    "waiting",
    "waiting_seconds",
    "errors",
    "visits",
    "wait_seconds",
    "hold_seconds",
];

pub const ROLES_FOREIGN: [(&str, &str); 3] = [
    ("lag", "a lag is no use of anything: write it as one of `signals`"),
    ("wait", "write `wait_seconds`, a counter"),
    ("hold", "write `hold_seconds`, a counter"),
];

pub const EXECUTORS: [&str; 4] = ["closed", "open", "step", "breakpoint"];

/// Executors of other tools, with the form to write here.
pub const EXECUTORS_FOREIGN: [(&str, &str); 12] = [
    ("constant-vus", "executor: closed, stages: [{to: 50, over: 0s}, {hold: 5m}]"),
    ("ramping-vus", "executor: closed, stages: [{to: 50, over: 1m}, {hold: 5m}]"),
    ("constant-arrival-rate", "executor: open, stages: [{to: 200/s, over: 0s}, {hold: 5m}]"),
    ("ramping-arrival-rate", "executor: open, stages: [{to: 200/s, over: 1m}, {hold: 5m}]"),
    ("shared-iterations", "executor: iterations, which is not in this version yet"),
    ("per-vu-iterations", "executor: iterations, which is not in this version yet"),
    ("externally-controlled", "executor: closed with stages; a running load is not changed from outside"),
    ("constantUsersPerSec", "executor: open, stages: [{to: 200/s, over: 0s}, {hold: 5m}]"),
    ("rampUsersPerSec", "executor: open, stages: [{to: 200/s, over: 1m}]"),
    ("constantConcurrentUsers", "executor: closed, stages: [{to: 50, over: 0s}, {hold: 5m}]"),
    ("rampConcurrentUsers", "executor: closed, stages: [{to: 50, over: 1m}]"),
    ("incrementUsersPerSec", "executor: step, of: rate, from: 50/s, by: 50/s, levels: 12, hold: 1m"),
];
