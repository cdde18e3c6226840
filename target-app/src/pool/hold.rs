//! A connection in use, and how long it is held. The hold is dialled as a whole: whatever a late timer or a busy machine adds
//! to one hold is taken off the connection's next one, so the mean over time is the intended mean. Whoever holds the connection
//! intends no less than its own work takes (see `store::embedded`), so that work is never taken off anything.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use crate::clock;
use crate::timer::Timer;

/// Most that one hold may owe to the next: a store that is slower than its dial cannot run up an endless debt.
const DEBT_MAX_S: f64 = 1.0;

/// One open connection of the pool.
pub(super) struct Slot<C> {
    connection: C,
    timer: Timer,
    /// By how much its holds have been longer than intended so far.
    pub(super) debt_s: f64,
}

impl<C> Slot<C> {
    pub(super) fn new(connection: C) -> io::Result<Self> {
        Ok(Self { connection, timer: Timer::new()?, debt_s: 0.0 })
    }
}

/// A connection taken from the pool; dropping it gives it back.
pub(crate) struct Lease<C> {
    slot: Option<Slot<C>>,
    since: Instant,
    shared: Arc<Shared<C>>,
}

impl<C> Lease<C> {
    pub(super) fn starting(slot: Slot<C>, since: Instant, shared: Arc<Shared<C>>) -> Self {
        Self { slot: Some(slot), since, shared }
    }

    /// When the hold started.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Works with the connection.
    pub(crate) fn with<T>(&mut self, work: impl FnOnce(&mut C) -> T) -> T {
        let slot = self.slot.as_mut().expect("the slot is only taken by what ends the lease");
        work(&mut slot.connection)
    }

    /// Keeps the connection until it has been held for `intended`, then gives it back.
    pub(crate) async fn finish(mut self, intended: Duration) {
        let intended_s = intended.as_secs_f64();
        if let Some(slot) = self.slot.as_mut() {
            let hold_s = (intended_s - slot.debt_s).max(0.0);
            // A timer that cannot be set ends the hold early; the debt then lengthens the next one.
            let _ = slot.timer.until(self.since + Duration::from_secs_f64(hold_s)).await;
        }
        let Some(mut slot) = self.slot.take() else { return };
        let now = clock::now();
        let held_s = now.duration_since(self.since).as_secs_f64();
        slot.debt_s = (slot.debt_s + held_s - intended_s).clamp(-DEBT_MAX_S, DEBT_MAX_S);
        self.give_back(slot, now);
    }

    fn give_back(&self, slot: Slot<C>, now: Instant) {
        let held = now.duration_since(self.since);
        self.shared.figures.use_time.observe(held.as_secs_f64());
        self.shared.give_back(slot, now);
    }

    /// Takes the lease apart without giving anything back.
    pub(super) fn into_slot(mut self) -> Option<Slot<C>> {
        self.slot.take()
    }
}

impl<C> Drop for Lease<C> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.give_back(slot, clock::now());
        }
    }
}
