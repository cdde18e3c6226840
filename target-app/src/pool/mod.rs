//! A bounded, fair connection pool, as the MongoDB driver has one: at most `max` connections, callers served first come
//! first served, a limit on how long they wait, idle connections closed after a while.
//!
//! A connection that is returned while callers wait passes to the first of them in the same instant: its next hold starts
//! where the last one ended, however late the caller's task is scheduled. So a full pool serves exactly size / hold.
//!
//! Invariant: while anyone waits, no connection is idle and `max` are in use.

mod figures;
mod hold;

pub(crate) use figures::{Figures, Tally};
pub(crate) use hold::Lease;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::hold::Slot;
use crate::clock;
use crate::lock::lock;

/// Callers that may wait at a time; beyond it they are refused at once, so memory stays bounded under any overload.
pub(crate) const WAITING_MAX: usize = 100_000;

/// The pool's limits, named as the driver names them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub max: usize,
    pub min: usize,
    pub max_idle: Duration,
    pub wait_queue_timeout: Duration,
}

/// Why no connection could be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    #[error("no connection became free within {} ms: all {max} are in use", .timeout.as_millis())]
    WaitQueueTimeout { timeout: Duration, max: usize },
    #[error("{WAITING_MAX} callers already wait for one of {max} connections")]
    WaitQueueFull { max: usize },
    #[error("a connection could not be opened: {0}")]
    Open(#[source] io::Error),
}

/// What the pool holds at one instant, and what it has done so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Snapshot {
    pub max: usize,
    pub used: usize,
    pub idle: usize,
    pub pending: usize,
    pub opened: u64,
    pub closed: u64,
    pub timeouts: u64,
    /// Integrals over time, in connection-seconds and caller-seconds.
    pub used_s: f64,
    pub pending_s: f64,
}

type Opener<C> = Box<dyn Fn() -> io::Result<C> + Send + Sync>;

/// A pool of connections of type `C`; clones share it.
pub(crate) struct Pool<C> {
    shared: Arc<Shared<C>>,
}

struct Shared<C> {
    limits: Limits,
    open: Opener<C>,
    figures: Figures,
    state: Mutex<State<C>>,
}

struct State<C> {
    /// The most recently used last: it is taken first, so that spare connections grow old and close.
    idle: Vec<(Slot<C>, Instant)>,
    waiting: VecDeque<oneshot::Sender<Lease<C>>>,
    tally: Tally,
}

impl<C> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C: Send + 'static> Pool<C> {
    /// A pool that opens connections with `open`, with the first `limits.min` of them open at once. Needs a runtime.
    pub(crate) fn new(
        limits: Limits,
        figures: Figures,
        open: impl Fn() -> io::Result<C> + Send + Sync + 'static,
    ) -> Result<Self, PoolError> {
        let now = clock::now();
        let state = State { idle: Vec::new(), waiting: VecDeque::new(), tally: Tally::starting(now) };
        let pool = Self {
            shared: Arc::new(Shared { limits, open: Box::new(open), figures, state: Mutex::new(state) }),
        };
        {
            let mut state = pool.shared.state();
            for _ in 0..limits.min {
                let slot = pool.shared.open_slot(&mut state)?;
                state.idle.push((slot, now));
            }
        }
        Ok(pool)
    }

    /// Takes a connection, waiting in line for at most the wait queue timeout.
    pub(crate) async fn checkout(&self) -> Result<Lease<C>, PoolError> {
        let asked = clock::now();
        let ticket = match self.shared.take_or_queue(asked)? {
            Admission::Now(lease) => {
                self.shared.figures.wait_time.observe(0.0);
                return Ok(lease);
            }
            Admission::Queued(receiver) => receiver,
        };
        let mut ticket = Ticket { receiver: ticket, shared: Arc::clone(&self.shared), settled: false };
        let timeout = self.shared.limits.wait_queue_timeout;
        let lease = match tokio::time::timeout(timeout, &mut ticket.receiver).await {
            Ok(Ok(lease)) => {
                ticket.settled = true;
                Some(lease)
            }
            Ok(Err(_)) | Err(_) => ticket.leave(true),
        };
        let Some(lease) = lease else {
            return Err(PoolError::WaitQueueTimeout { timeout, max: self.shared.limits.max });
        };
        self.shared.figures.wait_time.observe(lease.since().duration_since(asked).as_secs_f64());
        Ok(lease)
    }

    /// Closes connections that have been idle for too long, down to the minimum.
    pub(crate) fn close_idle(&self, now: Instant) {
        let Limits { min, max_idle, .. } = self.shared.limits;
        let mut state = self.shared.state();
        let spare = (state.idle.len() + state.tally.used).saturating_sub(min).min(state.idle.len());
        let old = state
            .idle
            .iter()
            .take(spare)
            .take_while(|(_, since)| now.duration_since(*since) >= max_idle)
            .count();
        let closed: Vec<_> = state.idle.drain(..old).collect();
        state.tally.closed += closed.len() as u64;
        drop(state);
        // Closing a connection does file work: not under the lock.
        drop(closed);
    }

    /// The state of this instant, consistent in itself.
    pub(crate) fn snapshot(&self, now: Instant) -> Snapshot {
        let mut state = self.shared.state();
        state.tally.advance(now);
        let idle = state.idle.len();
        state.tally.snapshot(self.shared.limits.max, idle)
    }
}

enum Admission<C> {
    Now(Lease<C>),
    Queued(oneshot::Receiver<Lease<C>>),
}

impl<C> Shared<C> {
    fn state(&self) -> MutexGuard<'_, State<C>> {
        lock(&self.state)
    }

    fn open_slot(&self, state: &mut State<C>) -> Result<Slot<C>, PoolError> {
        let connection = (self.open)().map_err(PoolError::Open)?;
        let slot = Slot::new(connection).map_err(PoolError::Open)?;
        state.tally.opened += 1;
        Ok(slot)
    }

    fn take_or_queue(self: &Arc<Self>, now: Instant) -> Result<Admission<C>, PoolError> {
        let mut state = self.state();
        let max = self.limits.max;
        let slot = match state.idle.pop() {
            Some((slot, _)) => Some(slot),
            // Opened under the lock: it is rare, and no one else can then think the place is free.
            None if state.tally.used < max => Some(self.open_slot(&mut state)?),
            None => None,
        };
        if let Some(slot) = slot {
            state.tally.advance(now);
            state.tally.used += 1;
            return Ok(Admission::Now(Lease::starting(slot, now, Arc::clone(self))));
        }
        // Those who gave up leave their place behind; the ones at the front are cleared here, the others when reached.
        while state.waiting.front().is_some_and(oneshot::Sender::is_closed) {
            state.waiting.pop_front();
        }
        if state.waiting.len() >= WAITING_MAX {
            return Err(PoolError::WaitQueueFull { max });
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push_back(sender);
        state.tally.advance(now);
        state.tally.pending += 1;
        Ok(Admission::Queued(receiver))
    }

    /// Takes a connection back: to the first who waits, in this very instant, or to the idle ones.
    fn give_back(self: &Arc<Self>, slot: Slot<C>, now: Instant) {
        let mut state = self.state();
        state.tally.advance(now);
        let mut lease = Lease::starting(slot, now, Arc::clone(self));
        while let Some(waiter) = state.waiting.pop_front() {
            match waiter.send(lease) {
                Ok(()) => {
                    state.tally.pending -= 1;
                    return;
                }
                Err(refused) => lease = refused,
            }
        }
        state.tally.used -= 1;
        if let Some(slot) = lease.into_slot() {
            state.idle.push((slot, now));
        }
    }
}

/// A place in line. Leaving it, by timeout or because the caller is gone, takes it out of the count exactly once.
struct Ticket<C> {
    receiver: oneshot::Receiver<Lease<C>>,
    shared: Arc<Shared<C>>,
    settled: bool,
}

impl<C> Ticket<C> {
    /// The connection, if it was handed over in the last moment.
    fn leave(&mut self, timed_out: bool) -> Option<Lease<C>> {
        self.settled = true;
        self.receiver.close();
        if let Ok(lease) = self.receiver.try_recv() {
            return Some(lease);
        }
        let mut state = self.shared.state();
        state.tally.advance(clock::now());
        state.tally.pending -= 1;
        state.tally.timeouts += u64::from(timed_out);
        None
    }
}

impl<C> Drop for Ticket<C> {
    fn drop(&mut self) {
        if !self.settled {
            drop(self.leave(false));
        }
    }
}

#[cfg(test)]
mod tests;
