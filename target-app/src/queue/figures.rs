//! What the queue counts, under the names that BullMQ gives its own figures: `bullmq_job_count` is what its `exportPrometheusMetrics` writes, the others are
//! those of its telemetry, with the suffixes that Prometheus wants. `bullmq_worker_concurrency` and all below it are ours.

use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, Opts};

use crate::metrics::{BUCKETS_S, Maker};
use crate::store::JobState;

/// The value of the `queue` label, as the shop calls it.
const QUEUE: &str = "orders";
/// How many jobs there are of each state: all replicas see the same, so of a fleet it is no sum.
pub(crate) const JOB_COUNT: &str = "bullmq_job_count";

/// Made where the registry is.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    counts: GaugeVec,
    pub(super) completed: IntCounter,
    pub(super) failed: IntCounter,
    pub(super) retried: IntCounter,
    pub(super) put_off: IntCounter,
    pub(super) duration: Histogram,
    pub(super) wait: Histogram,
    workers_max: GaugeVec,
    pub(super) workers_busy: Gauge,
    pub(super) added: IntCounter,
    pub(super) rejected: IntCounter,
    pub(super) stalled: IntCounter,
    pub(super) lost: IntCounter,
    pub(super) store_errors: IntCounter,
}

impl Figures {
    pub(crate) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let named = |name: &str, help: &str| Opts::new(name, help).const_label("queue", QUEUE);
        let count = |name: &str, help: &str| make.registered(IntCounter::with_opts(named(name, help))?);
        let gauge = |name: &str, help: &str| make.registered(Gauge::with_opts(named(name, help))?);
        let histogram = |name: &str, help: &str| {
            let buckets = HistogramOpts::new(name, help).buckets(BUCKETS_S.to_vec());
            make.registered(Histogram::with_opts(buckets.const_label("queue", QUEUE))?)
        };
        let figures = Self {
            counts: make
                .registered(GaugeVec::new(named(JOB_COUNT, "Jobs in the queue by state; of a fleet, whose replicas all count the same ones, the highest of what they read."), &["state"])?)?,
            completed: count("bullmq_jobs_completed_total", "Jobs whose order was placed.")?,
            failed: count("bullmq_jobs_failed_total", "Jobs that failed for the last time.")?,
            retried: count("bullmq_jobs_retried_total", "Failures after which a job is tried again.")?,
            put_off: count(
                "bullmq_jobs_put_off_total",
                "Jobs that could not be tried since the breaker was open, and wait until it may not be.",
            )?,
            duration: histogram(
                "bullmq_job_duration_seconds",
                "Time a worker was busy with a job, however it ended.",
            )?,
            wait: histogram(
                "bullmq_job_wait_seconds",
                "Time from when a job could be taken to when it was.",
            )?,
            workers_max: make.gauges(
                "bullmq_worker_concurrency",
                "Jobs that can be worked on at a time; there only where there is a queue.",
                &["queue"],
            )?,
            workers_busy: gauge("bullmq_worker_active", "Jobs worked on at this instant.")?,
            added: count("bullmq_jobs_added_total", "Jobs taken on.")?,
            rejected: count("bullmq_jobs_rejected_total", "Orders refused because the queue was full.")?,
            stalled: count("bullmq_jobs_stalled_total", "Jobs taken from workers whose lease had ended.")?,
            lost: count(
                "bullmq_jobs_lost_total",
                "Jobs whose worker came to the end of them when they were another's.",
            )?,
            store_errors: count("bullmq_store_errors_total", "Times the table of jobs could not be used.")?,
        };
        figures.set_counts([0; 5]);
        Ok(figures)
    }

    pub(super) fn set_workers_max(&self, workers: usize) {
        self.workers_max.with_label_values(&[QUEUE]).set(workers as f64);
    }

    pub(super) fn set_counts(&self, counts: [u32; 5]) {
        for (state, count) in JobState::ALL.into_iter().zip(counts) {
            self.counts.with_label_values(&[state.name()]).set(f64::from(count));
        }
    }
}
