//! What a store counts, made by whoever owns the registry: its pool's figures, how long operations take, and what they go through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{CounterVec, HistogramVec, IntCounterVec, IntGaugeVec, Opts};

use crate::demand::{Operation, Plan};
use crate::metrics::{Maker, histogram, raise};
use crate::pool;

/// All processes of a fleet see the same of these, so the fleet has them once.
pub(crate) const MEMBERS_STATE: &str = "mongodb_rs_members_state";
pub(crate) const ELECTIONS: &str = "mongodb_rs_elections_total";

/// The figures of a store.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    wait_time: HistogramVec,
    use_time: HistogramVec,
    /// From asking for a connection to having the answer, in seconds, by collection, operation, plan and server.
    durations: HistogramVec,
    scanned: IntCounterVec,
    member_states: IntGaugeVec,
    elections: CounterVec,
    rolled_back: IntCounterVec,
    pub(crate) scans_cpu: ScansCpu,
}

/// CPU time of scans so far. The embedded store is in this process, but its scans are the work of the shop's database on a machine of its own: they are no
/// part of what the app may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScansCpu(Arc<AtomicU64>);

impl Figures {
    pub(crate) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let by_pool = |name, help| make.registered(HistogramVec::new(histogram(name, help), &["pool_name"])?);
        Ok(Self {
            wait_time: by_pool(
                "db_client_connection_wait_time_seconds",
                "Time from asking for a connection to getting one.",
            )?,
            use_time: by_pool(
                "db_client_connection_use_time_seconds",
                "Time from getting a connection to giving it back.",
            )?,
            durations: make.registered(HistogramVec::new(
                histogram(
                    "db_client_operation_duration_seconds",
                    "Time from asking for a connection to having the answer, by how its documents are found.",
                ),
                &["collection", "operation", "plan", "server"],
            )?)?,
            scanned: make.registered(IntCounterVec::new(
                Opts::new(
                    "db_client_documents_scanned_total",
                    "Documents gone through one after the other, for want of an index.",
                ),
                &["collection"],
            )?)?,
            member_states: make.registered(IntGaugeVec::new(
                Opts::new(
                    MEMBERS_STATE,
                    "What a member of a replica set is: 1 primary, 2 secondary, 8 down.",
                ),
                &["set", "member_idx"],
            )?)?,
            elections: make.registered(CounterVec::new(
                Opts::new(ELECTIONS, "Elections of a primary that were held."),
                &["set"],
            )?)?,
            rolled_back: make.counters(
                "mongodb_rs_rolled_back_documents_total",
                "Documents that were lost with a primary: acknowledged, and not copied to the next one.",
                &["collection"],
            )?,
            scans_cpu: ScansCpu::default(),
        })
    }

    /// Those of the pool of this name.
    pub(super) fn pool(&self, name: &str) -> pool::Figures {
        pool::Figures {
            wait_time: self.wait_time.with_label_values(&[name]),
            use_time: self.use_time.with_label_values(&[name]),
        }
    }

    /// What a member of a shard's set is, as `replSetGetStatus` numbers it.
    pub(super) fn member_is(&self, shard: usize, server: &str, state: i64) {
        self.member_states.with_label_values(&[&set_name(shard), server]).set(state);
    }

    pub(super) fn elections_so_far(&self, shard: usize, count: u64) {
        raise(&self.elections.with_label_values(&[&set_name(shard)]), count as f64);
    }

    pub(super) fn rolled_back(&self, collection: &str, documents: usize) {
        self.rolled_back.with_label_values(&[collection]).inc_by(documents as u64);
    }

    /// Counts one operation on a server, however it ended.
    pub(super) fn ended(&self, operation: Operation, plan: Plan, server: &str, took: Duration) {
        let labels = [operation.collection(), operation.name(), plan.name(), server];
        self.durations.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// Counts one scan, of so many documents.
    pub(super) fn scanned(&self, operation: Operation, documents: u64, cpu: Duration) {
        self.scanned.with_label_values(&[operation.collection()]).inc_by(documents);
        let cpu_ns = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        self.scans_cpu.0.fetch_add(cpu_ns, Ordering::Relaxed);
    }
}

fn set_name(shard: usize) -> String {
    format!("rs{shard}")
}

impl ScansCpu {
    pub(crate) fn so_far(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
