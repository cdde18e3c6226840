//! How the workers end: having done what was taken on, or leaving it for others.

use std::sync::Arc;

use super::Queue;
use crate::clock;
use crate::faults::Faults;
use crate::metrics::Metrics;
use crate::profile::Profile;
use crate::store::{Embedded, Files, NewOrder, Store};

fn queue(dials: &[&str]) -> Queue {
    queue_in(&Files::default(), dials)
}

fn queue_in(files: &Files, dials: &[&str]) -> Queue {
    let profile = Profile::named("queued").unwrap().with_dials(dials).unwrap();
    let metrics = Metrics::new().unwrap();
    let faults = Arc::new(Faults::new(0));
    let store = Embedded::new(files, profile.dials(), metrics.store.clone(), faults).unwrap();
    let jobs = store.jobs(&profile.dials().queue).unwrap();
    Queue::new(jobs, Arc::new(store), &profile.dials().queue, metrics.queue.clone())
}

impl Queue {
    fn add_some(&self, orders: u32) {
        for product_id in 1..=orders {
            let order = NewOrder { product_id, quantity: 1, created_at_ms: clock::unix_ms(), job_id: None };
            assert_eq!(self.add(&order).unwrap(), product_id);
        }
    }

    /// Waiting, delayed, active, completed, failed.
    fn counts(&self) -> [u32; 5] {
        self.shared.jobs.counts().unwrap()
    }
}

#[tokio::test]
async fn told_to_leave_the_workers_do_what_waits_first() {
    let queue = queue(&["queue.concurrency=3", "queue.job_ms=5", "mongodb.service_time_ms=2"]);
    let mut crew = queue.start().unwrap();
    queue.add_some(30);
    assert!(queue.counts()[3] < 30, "too early to tell");
    crew.finish().await;
    assert_eq!(queue.counts(), [0, 0, 0, 30, 0]);
    assert_eq!(queue.shared.figures.completed.get(), 30);
    assert_eq!(queue.shared.figures.workers_busy.get(), 0.0);
}

#[tokio::test]
async fn workers_that_are_stopped_leave_everything_for_others() {
    let queue = queue(&["queue.concurrency=3", "queue.job_ms=60000"]);
    let crew = queue.start().unwrap();
    queue.add_some(5);
    while queue.counts()[2] < 3 {
        tokio::task::yield_now().await;
    }
    drop(crew);
    while queue.counts()[2] > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(queue.counts(), [5, 0, 0, 0, 0]);
    assert_eq!(queue.shared.figures.workers_busy.get(), 0.0);
}

#[tokio::test]
async fn a_long_job_stays_its_worker_s_by_renewing_the_lease() {
    let queue = queue(&[
        "queue.concurrency=2",
        "queue.job_ms=1500",
        "queue.lease_ms=400",
        "mongodb.service_time_ms=1",
    ]);
    let mut crew = queue.start().unwrap();
    queue.add_some(1);
    crew.finish().await;
    assert_eq!(queue.counts(), [0, 0, 0, 1, 0]);
    let figures = &queue.shared.figures;
    assert_eq!((figures.completed.get(), figures.wait.get_sample_count()), (1, 1), "taken once");
}

#[tokio::test]
async fn what_waits_in_a_store_that_stays_is_done_when_it_is_served_again() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files { directory: Some(directory.path().to_owned()), restored_from: None };
    let before = queue_in(&files, &["queue.job_ms=60000", "queue.concurrency=2"]);
    let crew = before.start().unwrap();
    before.add_some(5);
    while before.counts()[2] < 2 {
        tokio::task::yield_now().await;
    }
    drop(crew);
    while before.counts()[2] > 0 {
        tokio::task::yield_now().await;
    }
    drop(before);
    let after = queue_in(&files, &["queue.job_ms=1", "mongodb.service_time_ms=1"]);
    after.start().unwrap().finish().await;
    assert_eq!(after.counts(), [0, 0, 0, 5, 0]);
}
