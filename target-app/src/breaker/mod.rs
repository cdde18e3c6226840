//! The circuit breaker around the store, as the shop has opossum's: an operation that takes too long or fails is a failure, and when too many of
//! the last ones are, the store is left alone for a while and nobody waits for it. What is left of the catalog then is what was read last.
//!
//! As in opossum an operation that timed out is not called off: it keeps its place in the line for a connection, or the connection, for as long
//! as it would have. Each replica has a breaker of its own.

mod circuit;
mod fallback;
mod guarded;

pub(crate) use self::fallback::{Catalog, Fallback};
pub(crate) use self::guarded::Guarded;

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use prometheus::{GaugeVec, IntCounter};

use self::circuit::{Circuit, Pass};
use crate::clock;
use crate::lock::lock;
use crate::metrics::Maker;
use crate::profile;
use crate::store::{Answer, StoreError};

/// What the breaker counts.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// One for the state it is in and zero for the others: of a fleet, how many are in each.
    state: GaugeVec,
    opened: IntCounter,
    failures: IntCounter,
    timeouts: IntCounter,
    rejected: IntCounter,
    fallback: IntCounter,
}

impl Figures {
    pub(crate) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            state: make.gauges("circuit_breaker_state", "Breakers in each state.", &["state"])?,
            opened: make.count("circuit_breaker_opened_total", "Times the breaker opened.")?,
            failures: make
                .count("circuit_breaker_failures_total", "Operations that failed, in time or not.")?,
            timeouts: make.count("circuit_breaker_timeouts_total", "Operations that took too long.")?,
            rejected: make.count("circuit_breaker_rejected_total", "Operations that were not begun.")?,
            fallback: make.count(
                "circuit_breaker_fallback_total",
                "Reads of the catalog answered by what was read before, since the store did not.",
            )?,
        })
    }
}

/// Judges the operations of one store.
struct Breaker {
    circuit: Mutex<Circuit>,
    timeout: Duration,
    figures: Figures,
}

impl Breaker {
    fn new(dials: &profile::Breaker, figures: Figures) -> Self {
        let circuit = Mutex::new(Circuit::closed(dials, clock::now()));
        Self { circuit, timeout: Duration::from_millis(dials.timeout_ms), figures }
    }

    fn admit(&self, now: Instant) -> Result<Pass, StoreError> {
        self.circuit().admit(now).map_err(|retry_after| {
            self.figures.rejected.inc();
            StoreError::CircuitOpen { retry_after }
        })
    }

    /// What came of an operation that had been let pass, once it has: its answer, or that it took too long.
    async fn watch<T>(&self, pass: Pass, answer: Answer<T>) -> Result<T, StoreError> {
        let timeout = self.timeout;
        let answer = tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
            self.figures.timeouts.inc();
            Err(StoreError::TooLong { timeout })
        });
        let failed = answer.as_ref().is_err_and(StoreError::is_failure);
        self.figures.failures.inc_by(u64::from(failed));
        self.figures.opened.inc_by(u64::from(self.circuit().ended(pass, failed, clock::now())));
        answer
    }

    /// Brings the gauge up to this instant.
    fn read(&self, now: Instant) {
        let current = self.circuit().state(now).name();
        for name in circuit::NAMES {
            self.figures.state.with_label_values(&[name]).set(f64::from(u8::from(name == current)));
        }
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        lock(&self.circuit)
    }
}
