//! The workers of a job queue by BullMQ's names.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Kind, Resource};

/// How many workers there are and how many of them are busy is the target-app's addition. A job's wait is no wait of a request, so it is left out:
/// it would be held against the latency of answers that had long been given.
pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let of = |name: &str| there(scrape, name, &[]);
    let Some(limit) = of("bullmq_worker_concurrency") else { return Vec::new() };
    let busy = of("bullmq_job_duration_seconds_sum");
    vec![Resource {
        used: of("bullmq_worker_active"),
        used_seconds: busy.clone(),
        limit: Some(limit),
        errors: of("bullmq_jobs_rejected_total"),
        visits: of("bullmq_job_duration_seconds_count"),
        hold_seconds: busy,
        ..Resource::empty("queue.workers", Kind::Pool)
    }]
}
