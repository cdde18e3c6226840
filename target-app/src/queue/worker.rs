//! The workers: each takes a job, does it, says what became of it, and takes the next.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Shared;
use crate::clock;
use crate::store::{Claim, Fate, Job, StoreError};
use crate::timer::Timer;

/// How often to look for jobs that others have added and for those that are due again.
const LOOK: Duration = Duration::from_millis(20);
/// Most that one job may owe to the worker's next.
const DEBT_MAX_S: f64 = 1.0;

/// All workers of this process. Dropping it stops them where they are; what they had begun is given back.
pub(crate) struct Crew {
    workers: JoinSet<()>,
    /// Turns true when they are to leave once nothing waits.
    closing: watch::Sender<bool>,
    _tender: JoinSet<()>,
}

impl Crew {
    pub(super) fn start(shared: &Arc<Shared>, concurrency: usize) -> io::Result<Self> {
        let closing = watch::Sender::new(false);
        let mut workers = JoinSet::new();
        for _ in 0..concurrency {
            let worker = Worker {
                shared: Arc::clone(shared),
                timer: Timer::new()?,
                debt_s: 0.0,
                closing: closing.subscribe(),
            };
            workers.spawn(worker.work());
        }
        let mut tender = JoinSet::new();
        tender.spawn(tend(Arc::clone(shared), concurrency));
        Ok(Self { workers, closing, _tender: tender })
    }

    /// Has the workers do what waits, and no more; resolves when the last one has left.
    pub(crate) async fn finish(&mut self) {
        self.closing.send_replace(true);
        while self.workers.join_next().await.is_some() {}
    }
}

/// Looks after the jobs that no worker has, for ever.
async fn tend(shared: Arc<Shared>, concurrency: usize) {
    loop {
        match shared.jobs.tend(clock::unix_ms(), concurrency) {
            Ok(tended) => {
                shared.figures.stalled.inc_by(tended.stalled as u64);
                (0..tended.waiting).for_each(|_| shared.ready.notify_one());
            }
            Err(_) => shared.figures.store_errors.inc(),
        }
        tokio::time::sleep(LOOK).await;
    }
}

struct Worker {
    shared: Arc<Shared>,
    timer: Timer,
    /// By how much its jobs have taken longer than dialled so far.
    debt_s: f64,
    closing: watch::Receiver<bool>,
}

impl Worker {
    async fn work(mut self) {
        loop {
            match self.shared.jobs.take(clock::unix_ms()) {
                Ok(Some(job)) => self.process(job).await,
                Ok(None) if *self.closing.borrow() => return,
                Ok(None) => {
                    let shared = Arc::clone(&self.shared);
                    tokio::select! {
                        () = shared.ready.notified() => {}
                        // The crew is there as long as its workers.
                        _ = self.closing.changed() => {}
                    }
                }
                Err(_) => {
                    self.shared.figures.store_errors.inc();
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    async fn process(&mut self, job: Job) {
        let began = clock::now();
        let shared = Arc::clone(&self.shared);
        shared.figures.wait.observe(job.waited_ms as f64 / 1e3);
        shared.figures.workers_busy.inc();
        let mut taken = Taken { shared: &shared, claim: job.claim, ended: false };
        let done = {
            let mut work = std::pin::pin!(self.perform(&job));
            loop {
                tokio::select! {
                    done = &mut work => break done,
                    () = tokio::time::sleep(shared.lease / 2) => taken.renew(),
                }
            }
        };
        taken.end(done);
        drop(taken);
        shared.figures.duration.observe(clock::now().duration_since(began).as_secs_f64());
    }

    /// The work, and then the order; its number.
    async fn perform(&mut self, job: &Job) -> Result<u32, StoreError> {
        if !self.shared.work.is_zero() {
            let (began, work_s) = (clock::now(), self.shared.work.as_secs_f64());
            let rest_s = (work_s - self.debt_s).max(0.0);
            // A timer that cannot be set ends the work early; the debt then lengthens the next.
            let _ = self.timer.until(began + Duration::from_secs_f64(rest_s)).await;
            let took_s = clock::now().duration_since(began).as_secs_f64();
            self.debt_s = (self.debt_s + took_s - work_s).clamp(-DEBT_MAX_S, DEBT_MAX_S);
        }
        let order = self.shared.store.add_order(job.order.clone()).await?;
        let placed: Placed =
            serde_json::from_str(&order.0).map_err(|e| StoreError::Backend(format!("no order: {e}")))?;
        Ok(placed.id)
    }
}

/// An order that was placed.
#[derive(Deserialize)]
struct Placed {
    id: u32,
}

/// A job in a worker's hands. Dropped before its end, because the process stops, it is given back.
struct Taken<'a> {
    shared: &'a Shared,
    claim: Claim,
    ended: bool,
}

impl Taken<'_> {
    fn renew(&self) {
        // Where it is another's by now, there is still only one order of it.
        if self.shared.jobs.renew(self.claim, clock::unix_ms()).is_err() {
            self.shared.figures.store_errors.inc();
        }
    }

    /// Says what became of it. Where that cannot be said, the lease ends by and by and somebody does it again.
    fn end(&mut self, done: Result<u32, StoreError>) {
        self.ended = true;
        let (jobs, figures, now_ms) = (&self.shared.jobs, &self.shared.figures, clock::unix_ms());
        let counted = match done {
            Ok(order) => jobs
                .complete(self.claim, order, now_ms)
                .map(|ours| if ours { &figures.completed } else { &figures.lost }),
            // Nothing was tried, and nothing can be before then. (What a breaker lets pass as its trial was tried, and may yet place its order.)
            Err(e @ StoreError::CircuitOpen { retry_after }) => {
                let wait_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
                jobs.put_off(self.claim, &e.to_string(), now_ms.saturating_add(wait_ms))
                    .map(|ours| if ours { &figures.put_off } else { &figures.lost })
            }
            Err(e) => {
                // There will not be such a product the next time either.
                let lasting = matches!(e, StoreError::Missing { .. });
                jobs.fail(self.claim, &e.to_string(), lasting, now_ms).map(|fate| match fate {
                    Fate::Delayed => &figures.retried,
                    Fate::Failed => &figures.failed,
                    Fate::Placed => &figures.completed,
                    Fate::Lost => &figures.lost,
                })
            }
        };
        counted.unwrap_or(&figures.store_errors).inc();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.shared.figures.workers_busy.dec();
        if !self.ended {
            // Where it cannot be said, the lease ends.
            let _ = self.shared.jobs.give_back(self.claim, clock::unix_ms());
        }
    }
}
