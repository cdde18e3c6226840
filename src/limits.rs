//! Every bound of the tool with its reason. A queue, buffer or loop that could grow without end names its bound here.

use std::time::Duration;

/// Head of a response. Servers send 1–4 KB; nginx itself refuses to emit more than 32 KB of headers from an upstream by default.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;

/// Header fields in one response; httparse needs the array beforehand.
pub const RESPONSE_HEADERS_MAX: usize = 100;

/// Body of one response that is kept (for a check or an extract). A body that is only counted has no bound but the next.
pub const RESPONSE_BODY_KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Body of one response that is only counted.
pub const RESPONSE_BODY_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// The line before a chunk of a body: a size of at most 16 digits and extensions that nobody uses.
pub const CHUNK_LINE_BYTES_MAX: usize = 4096;

/// Room taken for a kept body before its bytes are there, so that a server that announces much and sends little costs little.
pub const RESPONSE_BODY_RESERVED_BYTES_MAX: usize = 64 * 1024;

/// Interim (1xx) responses before the final one; more is a server that never answers.
pub const INTERIM_RESPONSES_MAX: u32 = 16;

/// Cookies a user keeps and bytes of one of them (RFC 6265 section 6.1 asks user agents for at least 50 of 4,096 bytes a domain).
pub const COOKIES_PER_USER_MAX: usize = 64;
pub const COOKIE_BYTES_MAX: usize = 4096;

/// The buffer that all connections of a shard read into: one response head and body of usual size in a single system call.
pub const SHARD_READ_BUFFER_BYTES: usize = 64 * 1024;

/// The wait for a host name's addresses: two attempts of a usual resolver.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of one host name that are tried before a run, and the wait for each of them to accept: a kernel whose first packet was lost
/// sends another after a second.
pub const ADDRESSES_TRIED_MAX: usize = 64;
pub const ADDRESS_TRIAL: Duration = Duration::from_secs(3);

/// TLS 1.3 tickets a shard keeps for resumption, each good for one connection. A server gives one to four a handshake, so users who
/// reconnect a thousand at a time find one each; with its certificate chain a ticket is 1–4 KB.
pub const TLS_TICKETS_PER_SHARD_MAX: usize = 1024;

/// A file of certificates or a key; a bundle of all public roots is 220 KB.
pub const PEM_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Fields in a request that is sent over HTTP/2; httparse needs the array beforehand.
pub const REQUEST_HEADERS_MAX: usize = 100;

/// Windows for what comes in over HTTP/2. The protocol's own 64 KB would make a body of a megabyte wait sixteen round trips; browsers
/// grant 1–6 MB a stream.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Response head over HTTP/2, as the peer is told; [`RESPONSE_HEAD_BYTES_MAX`] in the terms of RFC 9113 section 6.5.2.
pub const HTTP2_HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;

/// Streams given up by the client whose late answers are still recognized as such: as many as usual servers allow at once, times eight.
pub const HTTP2_RESET_STREAMS_MAX: usize = 1024;

/// Streams a server is taken to allow until the first connection to it has been told; RFC 9113 section 6.5.2 recommends 100 at least.
pub const HTTP2_STREAMS_EXPECTED: usize = 100;

/// Shared HTTP/2 connections of a shard; at 100 streams each, 100,000 requests under way.
pub const HTTP2_SHARED_CONNECTIONS_MAX: usize = 1000;

/// A WebSocket message kept for matching; tungstenite's own default is 64 MiB, which 10,000 sockets cannot afford.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// What a WebSocket keeps for reading: a message of usual size. System calls read into the shard's buffer whatever this is, so a small
/// one costs copies of long messages and nothing else; the crate's default would be 128 KB a user.
pub const WEBSOCKET_READ_BUFFER_BYTES: usize = 128;

/// Messages or events that came while their user was busy and wait for the step that asks for them, and what they hold together (one may be
/// larger). Past either the oldest make room and are counted: a connection that is not read answers no ping and hides its end.
pub const INBOX_MESSAGES_MAX: usize = 256;
pub const INBOX_BYTES_MAX: usize = 1024 * 1024;

/// Different messages a user sends again after a reconnect: subscriptions, of which a session has a few. Of more the newest.
pub const RESENT_MESSAGES_MAX: usize = 64;

/// A line, and the data, of one server-sent event; as large as a WebSocket message may be.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// The id of an event, which a user keeps for the next `last-event-id`; a longer one is passed over, as one with a NUL is.
pub const EVENT_ID_BYTES_MAX: usize = 1024;

/// The longest wait before it connects again that a server may ask of a user with `retry:`; more is a mistake, or a way to be rid of it.
pub const EVENT_RETRY_MAX: Duration = Duration::from_secs(3600);

/// How much of a value from the wire is shown in a message.
pub const SHOWN_VALUE_BYTES_MAX: usize = 100;

/// How far some members of a crew must be past a second for its row to be written without those that have not told of it. What these have
/// to tell is added to a later row, and neither row is judged in a search.
pub const SNAPSHOT_WAIT: Duration = Duration::from_secs(3);

/// Snapshots under way between a shard and the coordinator; past it a shard merges seconds instead of queueing them.
pub const SNAPSHOT_QUEUE_MAX: usize = 8;

/// Distinct texts that are kept of the failures of one endpoint and kind.
pub const FAILURE_TEXTS_MAX: usize = 20;

/// One scrape of a probe, body and time.
pub const SCRAPE_BYTES_MAX: usize = 8 * 1024 * 1024;
pub const SCRAPE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the bundled target-app may take from its start to its first healthy answer.
pub const TARGET_START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long it may take to end: the five seconds it has for what is in flight, and a little more.
pub const TARGET_END_TIMEOUT: Duration = Duration::from_secs(7);

/// Processes of the bundled target-app.
pub const TARGET_REPLICAS_MAX: u32 = target_app::fleet::REPLICAS_MAX;

/// Processes that carry the load of one run on one machine. A million users under a limit of 20,000 descriptors need 55.
pub const AGENTS_MAX: u32 = 256;

/// Addresses of one kind in one scenario, to send from or to connect to.
pub const LANE_ADDRESSES_MAX: usize = 1024;

/// One message between the coordinator and an agent: a snapshot of a thousand endpoints with full histograms stays below it.
pub const FRAME_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Wait for an agent to read its plan and say that it is ready.
pub const AGENT_READY_TIMEOUT: Duration = Duration::from_secs(30);

/// From the word to start to the first second of the run where agents are processes: all of them have their shards ready by then.
pub const AGENTS_START_DELAY: Duration = Duration::from_millis(300);

/// Silence after which an agent counts as lost, and a shard as failed; both report every second, also while they drain. As long does a shard carry
/// load that nobody has room to hear of, once all queues to the coordinator are full.
pub const AGENT_SILENCE_MAX: Duration = Duration::from_secs(10);

/// Last words of an agent's process that are kept to explain its end.
pub const AGENT_STDERR_BYTES_MAX: usize = 4096;

/// Bytes of one request, answer or message that a trace shows, and events it tells of one iteration.
pub const TRACE_CONTENT_BYTES_MAX: usize = 64 * 1024;
pub const TRACE_EVENTS_MAX: usize = 10_000;

/// Seconds without one completed request, while requests fail to connect, after which the target counts as lost.
pub const TARGET_LOST_AFTER: Duration = Duration::from_secs(10);

/// Judgments of levels in one search; a bisection to 1 % over four decades needs fewer than 25, and judging the ends again a few more.
pub const SEARCH_PROBES_MAX: u32 = 60;
/// Soaks of one search, each lower than the one before: with a precision of 2 % the last is held 26 % below the line.
pub const SEARCH_SOAKS_MAX: usize = 5;

/// A scenario file, included files and data tables.
pub const SCENARIO_BYTES_MAX: u64 = 4 * 1024 * 1024;
pub const DATA_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Depth of `call` inside `call`; deeper is a journey that calls itself.
pub const CALL_DEPTH_MAX: usize = 16;

/// Pause of a user whose connection was refused. Without it a user that does not think would spin on a target that is down, and the
/// run would measure nothing but its own loop.
pub const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// Connections a shard keeps for open arrivals to come.
pub const IDLE_CONNECTIONS_MAX: usize = 20_000;

/// Descriptors that connections leave free of what the process may have. A run out of descriptors must still be able to write its record,
/// scrape its probes and say what happened.
pub const DESCRIPTORS_SPARED: u64 = 32;

/// Descriptors for which the kernel's table has room from the beginning, 8 bytes each: more than a process usually may have.
pub const DESCRIPTORS_RESERVED_MAX: u64 = 1 << 17;

/// Buffers for rendered requests a shard keeps; each is a few hundred bytes, one per request under way.
pub const RENTED_BUFFERS_MAX: usize = 20_000;

/// How often a shard looks how late its own timer fires. Each look wakes a thread that may have nothing else to do, and a minute of one shard
/// still has more than a thousand.
pub const LOOP_LAG_INTERVAL: Duration = Duration::from_millis(50);

/// Wait for a server's goodbye when a WebSocket is closed.
pub const WEBSOCKET_CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Last words of the bundled target-app that are kept to explain its end.
pub const TARGET_STDERR_BYTES_MAX: usize = 4096;

/// From the start of the shards' threads to the first second of the run: all of them are ready by then, and a run begins at once.
pub const START_DELAY: Duration = Duration::from_millis(10);

/// Beyond [`SNAPSHOT_WAIT`], for shards to end once they were told to cut off what runs; then the run ends without those that hang.
pub const ABORT_WAIT: Duration = Duration::from_secs(2);

/// From a word that steers the load to the instant it is for: every shard has it by then, so their curves stay the same.
pub const STEER_LEAD: Duration = Duration::from_millis(50);

/// How long after its end a second is usually merged; only past it does the coordinator count as held up.
pub const MERGE_SLACK: Duration = Duration::from_millis(250);

/// Readings under way from the probes to the coordinator; a probe waits when it is full, which costs a reading and nothing else.
pub const READINGS_QUEUE_MAX: usize = 64;

/// How soon after its sending a request must have failed for the blame to be a connection that the server was just closing: a round trip, even
/// to another continent.
pub const STALE_CONNECTION_TOLD_WITHIN: Duration = Duration::from_millis(300);

/// How often a request is sent again that the server says it has not looked at. A server that closes each of its connections after a number of
/// requests says so of all that are on their way to it, and the next connection may be as near its end.
pub const NOT_PROCESSED_REPEATS_MAX: u32 = 8;

/// One PromQL query, and what in it can nest: the parser and the evaluation call themselves for each. An alert rule has a tenth of both.
pub const QUERY_BYTES_MAX: usize = 2_000;
pub const QUERY_OPERATORS_MAX: usize = 200;

/// How far back a query over scrapes may look, and how many points of all its series are kept: 16 bytes each.
pub const QUERY_WINDOW_MAX: Duration = Duration::from_secs(3600);
pub const QUERY_POINTS_MAX: usize = 2_000_000;

/// Of how many series points are kept, and how many that are gone from a page are remembered: some hundred bytes each.
pub const QUERY_SERIES_MAX: usize = 50_000;
pub const SERIES_GONE_MAX: usize = 20_000;
