//! What a store counts, made by whoever owns the registry: its pool's figures, how long operations take, and what they go through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, Opts};

use crate::demand::{Operation, Plan};
use crate::metrics::{Maker, histogram};
use crate::pool;

/// The figures of a store.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) pool: pool::Figures,
    /// From asking for a connection to having the answer, in seconds, by collection, operation and plan.
    durations: HistogramVec,
    scanned: IntCounterVec,
    pub(crate) scans_cpu: ScansCpu,
}

/// CPU time of scans so far. The embedded store is in this process, but its scans are the work of the shop's database on a machine of its own: they are no
/// part of what the app may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScansCpu(Arc<AtomicU64>);

impl Figures {
    pub(crate) fn new(make: &Maker<'_>, pool: pool::Figures) -> prometheus::Result<Self> {
        Ok(Self {
            pool,
            durations: make.registered(HistogramVec::new(
                histogram(
                    "db_client_operation_duration_seconds",
                    "Time from asking for a connection to having the answer, by how its documents are found.",
                ),
                &["collection", "operation", "plan"],
            )?)?,
            scanned: make.registered(IntCounterVec::new(
                Opts::new(
                    "db_client_documents_scanned_total",
                    "Documents gone through one after the other, for want of an index.",
                ),
                &["collection"],
            )?)?,
            scans_cpu: ScansCpu::default(),
        })
    }

    /// Counts one operation, however it ended.
    pub(super) fn ended(&self, operation: Operation, plan: Plan, took: Duration) {
        let labels = [operation.collection(), operation.name(), plan.name()];
        self.durations.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// Counts one scan, of so many documents.
    pub(super) fn scanned(&self, operation: Operation, documents: u64, cpu: Duration) {
        self.scanned.with_label_values(&[operation.collection()]).inc_by(documents);
        let cpu_ns = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        self.scans_cpu.0.fetch_add(cpu_ns, Ordering::Relaxed);
    }
}

impl ScansCpu {
    pub(crate) fn so_far(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
