//! The jobs that place orders, as BullMQ has them in Redis, in a table beside the orders, so that any replica of a fleet can tell of any job
//! and goes on with those of one that died.
//!
//! | from | to | when |
//! |---|---|---|
//! | | waiting | it was added; the caller is told so once that is written |
//! | waiting | active | a worker took it, for the time of a lease, which the worker renews |
//! | active | completed | its order is placed |
//! | active | delayed | it failed and may be tried again, after its backoff |
//! | active | delayed | it was put off, since the store is left alone for a while: no attempt was made |
//! | active | failed | it failed for the last time, or for a reason that stays, and there is no order of it |
//! | active | waiting | its lease ended: whoever had it is dead; or its worker gave it back |
//! | delayed | waiting | its backoff is over |
//!
//! A lease may end while its worker still lives, and then two work on one job. What a worker says of a job counts only while nobody
//! has taken it since, and an order is placed once a job whoever asks for it: so each job has one end and one order.

mod sql;

pub(super) use self::sql::TABLES;

use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use utoipa::ToSchema;

use super::StoreError;
use super::documents::NewOrder;
use crate::lock::lock;
use crate::profile;

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobState {
    Waiting,
    /// It failed, or could not be tried, and waits until it is tried again.
    Delayed,
    Active,
    Completed,
    Failed,
}

impl JobState {
    pub(crate) const ALL: [Self; 5] =
        [Self::Waiting, Self::Delayed, Self::Active, Self::Completed, Self::Failed];

    /// As it stands in the table, in the metrics and in answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// One taking of a job; when it is taken again that is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) job: u32,
    number: u32,
}

/// A job that was taken, with what is to be done.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) claim: Claim,
    pub(crate) order: NewOrder,
    /// From when it could be taken until it was, in milliseconds.
    pub(crate) waited_ms: u64,
}

/// What is told of a job.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct JobStatus {
    job_id: u32,
    status: JobState,
    /// Tries that have come to an end, good or bad.
    attempts_made: u32,
    /// The order it placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<u32>,
    /// Why it failed the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What became of a job that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is tried again.
    Delayed,
    Failed,
    /// It has not: an operation that had been given up placed its order all the same.
    Placed,
    /// It is somebody else's by now, who will see to it.
    Lost,
}

/// What a look at the clock came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tended {
    /// Jobs that wait, counted up to as many as were asked for.
    pub(crate) waiting: usize,
    /// Jobs whose lease had ended.
    pub(crate) stalled: usize,
}

/// The table. All instants are milliseconds since 1970, which the replicas of a fleet read off one clock.
pub(crate) struct Jobs {
    connection: Mutex<Connection>,
    terms: profile::Queue,
}

impl Jobs {
    pub(super) fn over(connection: Connection, terms: &profile::Queue) -> Self {
        Self { connection: Mutex::new(connection), terms: terms.clone() }
    }

    /// Adds a job, unless there are as many as there may be. Once this returns a number the job outlives this process.
    pub(crate) fn add(&self, order: &NewOrder, now_ms: u64) -> Result<Option<u32>, StoreError> {
        let db = self.connection();
        let mut statement = db.prepare_cached(sql::ADD)?;
        let values = params![
            int(now_ms),
            order.product_id,
            order.quantity,
            int(order.created_at_ms),
            self.terms.max_depth
        ];
        Ok(statement.query_row(values, |row| row.get(0)).optional()?)
    }

    /// Takes the job that has waited longest.
    pub(crate) fn take(&self, now_ms: u64) -> Result<Option<Job>, StoreError> {
        let db = self.connection();
        loop {
            let mut first = db.prepare_cached(sql::FIRST_WAITING)?;
            let Some((job, since)) = first.query_row([], |row| Ok((taken(row)?, row.get(5)?))).optional()?
            else {
                return Ok(None);
            };
            let lease_end_ms = now_ms.saturating_add(self.terms.lease_ms);
            let Claim { job: id, number } = job.claim;
            let mut take = db.prepare_cached(sql::TAKE)?;
            if take.execute(params![id, number, int(lease_end_ms)])? == 1 {
                let since: i64 = since;
                return Ok(Some(Job {
                    waited_ms: now_ms.saturating_sub(since.max(0).unsigned_abs()),
                    ..job
                }));
            }
            // Another replica was quicker: there may be a next one.
        }
    }

    /// Lengthens the lease of a job that is still being worked on.
    pub(crate) fn renew(&self, claim: Claim, now_ms: u64) -> Result<bool, StoreError> {
        let end_ms = int(now_ms.saturating_add(self.terms.lease_ms));
        self.settle(sql::RENEW, claim, &[&end_ms])
    }

    /// The order is placed. False when the job is somebody else's by now.
    pub(crate) fn complete(&self, claim: Claim, order_id: u32, now_ms: u64) -> Result<bool, StoreError> {
        let done = self.settle(sql::COMPLETE, claim, &[&int(now_ms), &order_id])?;
        if done {
            self.trim(JobState::Completed, self.terms.remove_on_complete);
        }
        Ok(done)
    }

    /// The job failed this time. `lasting`: and would every time.
    pub(crate) fn fail(
        &self,
        claim: Claim,
        reason: &str,
        lasting: bool,
        now_ms: u64,
    ) -> Result<Fate, StoreError> {
        let made: Option<u32> = {
            let db = self.connection();
            let mut statement = db.prepare_cached(sql::ATTEMPTS_MADE)?;
            statement.query_row(params![claim.job, claim.number], |row| row.get(0)).optional()?
        };
        let Some(made) = made else { return Ok(Fate::Lost) };
        if lasting || made + 1 >= self.terms.attempts {
            if self.settle(sql::FAIL, claim, &[&int(now_ms), &reason])? {
                self.trim(JobState::Failed, self.terms.remove_on_fail);
                return Ok(Fate::Failed);
            }
            return Ok(match self.order_of(claim.job)? {
                Some(order) if self.complete(claim, order, now_ms)? => Fate::Placed,
                Some(_) | None => Fate::Lost,
            });
        }
        let due_ms = int(now_ms.saturating_add(backoff_ms(self.terms.backoff_ms, made + 1)));
        let delayed = self.settle(sql::DELAY, claim, &[&due_ms, &reason])?;
        Ok(if delayed { Fate::Delayed } else { Fate::Lost })
    }

    /// Has it wait until then, since it could not even be tried: no attempt was made.
    pub(crate) fn put_off(&self, claim: Claim, reason: &str, due_ms: u64) -> Result<bool, StoreError> {
        self.settle(sql::PUT_OFF, claim, &[&int(due_ms), &reason])
    }

    /// Lets somebody else take it at once; no attempt was made.
    pub(crate) fn give_back(&self, claim: Claim, now_ms: u64) -> Result<bool, StoreError> {
        self.settle(sql::GIVE_BACK, claim, &[&int(now_ms)])
    }

    /// Has jobs wait again whose backoff or whose lease is over, and tells of up to `most` that wait.
    pub(crate) fn tend(&self, now_ms: u64, most: usize) -> Result<Tended, StoreError> {
        let db = self.connection();
        let now_ms = int(now_ms);
        let (mut stalled, due): (usize, bool) =
            (0, db.prepare_cached(sql::ANY_DUE)?.query_row([now_ms], |row| row.get(0))?);
        // Whoever only reads stands in nobody's way.
        if due {
            db.prepare_cached(sql::PROMOTE)?.execute([now_ms])?;
            stalled = db.prepare_cached(sql::PUT_BACK_STALLED)?.execute([now_ms])?;
        }
        let waiting =
            db.prepare_cached(sql::WAITING)?.query_row([int(most as u64)], |row| row.get::<_, u32>(0))?;
        Ok(Tended { waiting: waiting as usize, stalled })
    }

    /// What is known of a job; none of one that never was or is no longer kept.
    pub(crate) fn status(&self, id: u32) -> Result<Option<JobStatus>, StoreError> {
        let db = self.connection();
        let mut statement = db.prepare_cached(sql::STATUS)?;
        Ok(statement.query_row([id], |row| status(id, row)).optional()?)
    }

    /// How many there are of each state, in the order of [`JobState::ALL`].
    pub(crate) fn counts(&self) -> Result<[u32; 5], StoreError> {
        let db = self.connection();
        let mut statement = db.prepare_cached(sql::COUNT)?;
        let mut counts = [0; 5];
        for (count, state) in counts.iter_mut().zip(JobState::ALL) {
            *count = statement.query_row([state.name()], |row| row.get(0))?;
        }
        Ok(counts)
    }

    fn order_of(&self, job: u32) -> Result<Option<u32>, StoreError> {
        let db = self.connection();
        let mut statement = db.prepare_cached(sql::ORDER_ID)?;
        Ok(statement.query_row([job], |row| row.get(0)).optional()?)
    }

    /// Forgets the oldest of that state beyond so many.
    fn trim(&self, state: JobState, kept: u32) {
        let db = self.connection();
        // Where it fails, because the table is busy, the next job that ends takes those away too; this one has ended either way.
        let _ = db.prepare_cached(sql::TRIM).and_then(|mut trim| trim.execute(params![state.name(), kept]));
    }

    /// Says something of a job: of no avail once somebody else has taken it.
    fn settle(&self, sql: &str, claim: Claim, more: &[&dyn rusqlite::ToSql]) -> Result<bool, StoreError> {
        let db = self.connection();
        let values: Vec<&dyn rusqlite::ToSql> = [&claim.job as &dyn rusqlite::ToSql, &claim.number]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        Ok(db.prepare_cached(sql)?.execute(values.as_slice())? == 1)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // Each statement is whole or was not.
        lock(&self.connection)
    }
}

/// After the n-th failure, 2^(n-1) times the first wait, as BullMQ's exponential backoff.
fn backoff_ms(first_ms: u64, failures: u32) -> u64 {
    first_ms.saturating_mul(2_u64.saturating_pow(failures.saturating_sub(1)))
}

/// SQLite's integers have a sign; an instant beyond them is as good as never.
fn int(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn taken(row: &Row<'_>) -> rusqlite::Result<Job> {
    let id = row.get(0)?;
    let created_at_ms: i64 = row.get(4)?;
    let order = NewOrder {
        product_id: row.get(2)?,
        quantity: row.get(3)?,
        created_at_ms: created_at_ms.max(0).unsigned_abs(),
        job_id: Some(id),
    };
    Ok(Job { claim: Claim { job: id, number: row.get::<_, u32>(1)? + 1 }, order, waited_ms: 0 })
}

fn status(id: u32, row: &Row<'_>) -> rusqlite::Result<JobStatus> {
    let name: String = row.get(0)?;
    let state = JobState::ALL.into_iter().find(|state| state.name() == name);
    Ok(JobStatus {
        job_id: id,
        status: state.ok_or(rusqlite::Error::InvalidQuery)?,
        attempts_made: row.get(1)?,
        order_id: row.get(2)?,
        reason: row.get(3)?,
    })
}

#[cfg(test)]
mod tests;
