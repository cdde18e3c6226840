//! The job queue: with it an order is taken at once and placed later, by workers in every replica, as BullMQ does it for the shop. What is waiting, being
//! done and done stands in the store (see [`Jobs`]); here is who does it.
//!
//! A worker does one job at a time and there are `queue.concurrency` of them, so no more are placed than concurrency / (time of a job) a second,
//! however many are asked for; those wait, up to the bound on the depth.

mod figures;
mod worker;

pub(crate) use self::figures::{Figures, JOB_COUNT};
pub(crate) use self::worker::Crew;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::Notify;

use crate::clock;
use crate::profile;
use crate::routes::Problem;
use crate::store::{JobStatus, Jobs, NewOrder, Store, StoreError};

/// When a place may be free again, of a queue that is full: each worker ends its job within a moment.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// The queue of orders.
pub(crate) struct Queue {
    shared: Arc<Shared>,
    concurrency: usize,
    max_depth: u32,
}

/// What the queue and its workers share.
struct Shared {
    jobs: Jobs,
    store: Arc<dyn Store>,
    figures: Figures,
    /// Somebody could take a job.
    ready: Notify,
    /// What a job takes besides placing its order.
    work: Duration,
    lease: Duration,
}

impl Queue {
    pub(crate) fn new(jobs: Jobs, store: Arc<dyn Store>, dials: &profile::Queue, figures: Figures) -> Self {
        figures.set_workers_max(dials.concurrency);
        let shared = Shared {
            jobs,
            store,
            figures,
            ready: Notify::new(),
            work: Duration::from_secs_f64(dials.job_ms / 1e3),
            lease: Duration::from_millis(dials.lease_ms),
        };
        Self { shared: Arc::new(shared), concurrency: dials.concurrency, max_depth: dials.max_depth }
    }

    /// Takes an order; the number of its job. From then on it is placed, whatever becomes of this process.
    pub(crate) fn add(&self, order: &NewOrder) -> Result<u32, Problem> {
        let figures = &self.shared.figures;
        let Some(job) = self.shared.jobs.add(order, clock::unix_ms())? else {
            figures.rejected.inc();
            let detail = format!("{} orders wait to be placed, as many as may", self.max_depth);
            let full = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue_full", detail);
            return Err(full.retry_after(FULL_RETRY));
        };
        figures.added.inc();
        self.shared.ready.notify_one();
        Ok(job)
    }

    /// What became of a job, whichever replica took it.
    pub(crate) fn status(&self, job: u32) -> Result<Option<JobStatus>, StoreError> {
        self.shared.jobs.status(job)
    }

    /// Brings the gauges up to what the store says.
    pub(crate) fn read(&self) {
        // The store may be busy; then they stay as they were.
        if let Ok(counts) = self.shared.jobs.counts() {
            self.shared.figures.set_counts(counts);
        }
    }

    /// Starts the workers. Fails when the process is out of descriptors.
    pub(crate) fn start(&self) -> io::Result<Crew> {
        Crew::start(&self.shared, self.concurrency)
    }
}

#[cfg(test)]
mod tests;
