//! What a user costs, as constants. Every figure was measured; `docs/performance.md`, "What preflight counts with", names the command
//! that shows each again.

/// One agent without users: code, runtime, what two shards record of a single endpoint.
pub const AGENT_BYTES: u64 = 12_000_000;

/// What each shard keeps of an endpoint some of whose requests fail: four histograms that have seen a second, and what of them is on its way to
/// the record.
pub const ENDPOINT_BYTES: u64 = 1_080_000;

/// A user of a journey over HTTP/1.1 with its idle connection.
pub const USER_BYTES: u64 = 2_350;

/// What TLS adds to a connection.
pub const TLS_BYTES: u64 = 8_200;

/// What HTTP/2 adds to a connection, its buffers in the `h2` crate for the most part.
pub const HTTP2_BYTES: u64 = 19_700;

/// What each open WebSocket adds to a user.
pub const WEBSOCKET_BYTES: u64 = 6_300;

/// What each open event stream adds to a user.
pub const EVENT_STREAM_BYTES: u64 = 1_800;

/// A connected socket inside the kernel, one end.
pub const KERNEL_SOCKET_BYTES: u64 = 2_800;

/// A connection as the bundled target-app holds it: `cargo bench -p target-app --bench density`.
pub const TARGET_CONNECTION_BYTES: u64 = 13_000;

/// CPU of one request over the whole tool, where its threads are always busy.
pub const REQUEST_CPU_NS: f64 = 12_500.0;

/// What is added where a thread sleeps in between and is woken twice for each; and the requests a second on one thread at which half of those
/// wakes are shared with others.
pub const WAKE_CPU_NS: f64 = 42_000.0;
pub const WAKES_JOIN_AT_PER_S: f64 = 5_000.0;

/// Descriptors a process needs for anything but users and shards: standard streams, the record, probes, and the few that connections leave
/// free.
pub const DESCRIPTORS_RESERVED: u64 = 128;

/// Descriptors of one shard: four of its runtime, its timer, the precise one of paced users, its run queue, and the socket whose stamps it
/// knows; and one more for each part whose users arrive.
pub const SHARD_DESCRIPTORS: u64 = 8;
pub const SHARD_DESCRIPTORS_OPEN_PART: u64 = 1;

/// What the fullest of several processes on one address may hold, of an even share.
pub const TARGET_SPREAD_PERCENT: u64 = 115;

/// Threads of an agent besides its shards: the main one, the resolver's, the runtime's.
pub const THREADS_BESIDE_SHARDS: u64 = 4;

/// Addresses of 127.0.0.0/8 that are used as sources at most; more than any machine's memory has users for.
pub const LOOPBACK_SOURCES_MAX: u32 = 250;

/// Share of the ports, in hundredths, that may be filled: the kernel looks for the last free ones ever longer.
pub const PORTS_FILLED_PERCENT: u64 = 95;

/// Share of the ports, in hundredths, that one source address is given where there are more addresses to take. Linux gives outgoing
/// connections every second port first; once that half is taken, each further connection walks past thousands of taken ports with locks
/// held, and a hundred thousand of them stall the machine for tens of seconds.
pub const PORTS_EASY_PERCENT: u64 = 40;

/// Share of the available memory, in hundredths, that may be filled.
pub const MEMORY_FILLED_PERCENT: u64 = 90;

/// How long Linux keeps a closed connection's port (TCP_TIMEWAIT_LEN), and after what time it takes it again where `tcp_tw_reuse` lets it.
pub const TIME_WAIT_S: u64 = 60;
pub const TIME_WAIT_REUSED_S: u64 = 1;

/// How long the firewall keeps a closed connection: `nf_conntrack_tcp_timeout_time_wait` as it comes.
pub const TRACKED_WAIT_S: u64 = 120;

/// What an answer usually takes, where the scenario does not promise less; and at the worst, where it promises nothing.
pub const RESPONSE_USUAL_S: f64 = 0.02;
pub const RESPONSE_WORST_S: f64 = 0.5;
