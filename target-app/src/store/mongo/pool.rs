//! The driver's pool as the app sees it: a wait queue in front of it, and its figures from what it tells of itself (CMAP, the
//! drivers' specification of connection monitoring and pooling).
//!
//! The Rust driver has no `waitQueueTimeoutMS`, and a command that is given up while it waits in the driver's own queue stays
//! there: each such place costs one turn of the pool, and an idle pool takes one turn in 500 ms. So callers wait here, first
//! come, first served, and no more than `maxPoolSize` commands are with the driver at a time.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{ClientOptions, ServerAddress};
use mongodb::{ServerInfo, ServerType};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::clock;
use crate::pool::{Figures, PoolError, Snapshot, Tally, WAITING_MAX};
use crate::profile;
use crate::store::StoreError;

tokio::task_local! {
    /// When the command of this task asked for a connection, until it has one. The driver tells of a checkout in the task of
    /// the command.
    static ASKED: Cell<Option<Instant>>;
}

/// The pool of one client; clones share it.
#[derive(Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    max: usize,
    wait_queue_timeout: Duration,
    turns: Semaphore,
    /// Whether the driver knows a server that answers.
    reachable: AtomicBool,
    figures: Figures,
    state: Mutex<State>,
}

struct State {
    tally: Tally,
    /// Each server has a pool of its own, and each pool numbers from one.
    connections: HashMap<(ServerAddress, u32), Connection>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Connection {
    Opening,
    Idle,
    Used { since: Instant },
}

impl Pool {
    /// Sets the driver's options by the dials, and listens to what it tells.
    pub(super) fn of(options: &mut ClientOptions, dials: &profile::Mongodb, figures: Figures) -> Self {
        let size = |connections| Some(u32::try_from(connections).unwrap_or(u32::MAX));
        options.max_pool_size = size(dials.max_pool_size);
        options.min_pool_size = size(dials.min_pool_size);
        options.max_idle_time = Some(Duration::from_millis(dials.max_idle_time_ms));
        let tally = Tally::starting(clock::now());
        let shared = Arc::new(Shared {
            max: dials.max_pool_size,
            wait_queue_timeout: Duration::from_millis(dials.wait_queue_timeout_ms),
            turns: Semaphore::new(dials.max_pool_size),
            reachable: AtomicBool::new(true),
            figures,
            state: Mutex::new(State { tally, connections: HashMap::new() }),
        });
        let (pooled, monitored) = (Arc::clone(&shared), Arc::clone(&shared));
        options.cmap_event_handler = Some(EventHandler::callback(move |event| pooled.happened(event)));
        options.sdam_event_handler = Some(EventHandler::callback(move |event| monitored.watched(&event)));
        Self { shared }
    }

    /// Has the driver carry out one command, once it is this caller's turn. Needs a task of its own, so that it is not dropped half-way.
    pub(super) async fn turn<T>(
        &self,
        command: impl Future<Output = mongodb::error::Result<T>>,
    ) -> Result<T, StoreError> {
        let asked = clock::now();
        let turn = self.shared.wait(asked).await?;
        let answer = ASKED.scope(Cell::new(Some(asked)), command).await;
        drop(turn);
        Ok(answer?)
    }

    /// The state of this instant.
    pub(super) fn snapshot(&self, now: Instant) -> Snapshot {
        let mut state = self.shared.state();
        state.tally.advance(now);
        let idle = state.connections.values().filter(|connection| **connection == Connection::Idle).count();
        state.tally.snapshot(self.shared.max, idle)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change, so a poisoned lock guards a sound state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self, asked: Instant) -> Result<SemaphorePermit<'_>, StoreError> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(turn);
        }
        let _place = Place::taken(self, asked)?;
        match timeout(self.wait_queue_timeout, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(closed)) => Err(StoreError::Backend(closed.to_string())),
            Err(_) => {
                self.state().tally.timeouts += 1;
                Err(self.too_long())
            }
        }
    }

    /// Who waits behind commands that themselves wait for a server has not met a pool that is too small.
    fn too_long(&self) -> StoreError {
        let timeout = self.wait_queue_timeout;
        if self.reachable.load(Ordering::Relaxed) {
            PoolError::WaitQueueTimeout { timeout, max: self.max }.into()
        } else {
            StoreError::Unavailable(format!("no server answered within {} ms", timeout.as_millis()))
        }
    }

    fn watched(&self, event: &SdamEvent) {
        if let SdamEvent::TopologyDescriptionChanged(changed) = event {
            let answers = |server: ServerInfo<'_>| server.server_type() != ServerType::Unknown;
            let reachable = changed.new_description.servers().into_values().any(answers);
            self.reachable.store(reachable, Ordering::Relaxed);
        }
    }

    fn happened(&self, event: CmapEvent) {
        let now = clock::now();
        let mut state = self.state();
        let State { tally, connections } = &mut *state;
        tally.advance(now);
        match event {
            CmapEvent::ConnectionCheckoutStarted(_) => tally.pending += 1,
            CmapEvent::ConnectionCheckoutFailed(_) => tally.pending = tally.pending.saturating_sub(1),
            CmapEvent::ConnectionCheckedOut(event) => {
                tally.pending = tally.pending.saturating_sub(1);
                tally.used += 1;
                connections.insert((event.address, event.connection_id), Connection::Used { since: now });
                // A command that is tried again has asked anew.
                let asked = ASKED.try_with(Cell::take).ok().flatten();
                let waited = asked.map_or(event.duration, |asked| now.saturating_duration_since(asked));
                self.figures.wait_time.observe(waited.as_secs_f64());
            }
            CmapEvent::ConnectionCheckedIn(event) => {
                let connection = connections.get_mut(&(event.address, event.connection_id));
                if let Some(connection) = connection {
                    self.released(tally, std::mem::replace(connection, Connection::Idle), now);
                }
            }
            CmapEvent::ConnectionCreated(event) => {
                tally.opened += 1;
                connections.insert((event.address, event.connection_id), Connection::Opening);
            }
            CmapEvent::ConnectionReady(event) => {
                connections.insert((event.address, event.connection_id), Connection::Idle);
            }
            CmapEvent::ConnectionClosed(event) => {
                tally.closed += 1;
                if let Some(connection) = connections.remove(&(event.address, event.connection_id)) {
                    self.released(tally, connection, now);
                }
            }
            _ => {}
        }
    }

    /// Ends a use, if it was one.
    fn released(&self, tally: &mut Tally, connection: Connection, now: Instant) {
        if let Connection::Used { since } = connection {
            tally.used -= 1;
            self.figures.use_time.observe(now.saturating_duration_since(since).as_secs_f64());
        }
    }
}

/// A place in line, left however the wait ends.
struct Place<'a> {
    shared: &'a Shared,
}

impl<'a> Place<'a> {
    fn taken(shared: &'a Shared, now: Instant) -> Result<Self, PoolError> {
        let mut state = shared.state();
        if state.tally.pending >= WAITING_MAX {
            return Err(PoolError::WaitQueueFull { max: shared.max });
        }
        state.tally.advance(now);
        state.tally.pending += 1;
        Ok(Self { shared })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.tally.advance(clock::now());
        state.tally.pending = state.tally.pending.saturating_sub(1);
    }
}
