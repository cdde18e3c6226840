//! A run: the target is made ready, agents carry the load, the coordinator merges their seconds, steers levels, writes the record and
//! ends it. A local run is a swarm of one: one coordinator, as many agents as the load needs, the same messages.

mod coordinator;
mod flight;
mod generator;
mod guards;
mod levels;
mod lost;
mod manifest;
mod observe;
mod silence;
mod sources;
mod strain;
mod target;
mod trace;

use crate::record::rows::{Ended, Event, SaturationRow};
use crate::record::store::{Store, StoreError};
use crate::record::summary::{Counts, Warning};
use crate::record::what_if::Asked;
use crate::scenario::plan::Plan;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

pub use crate::engine::{Content, Event as TraceEvent, TRACE_SCHEMA, Told, Trace};
pub use levels::LevelRun;
pub use target::TargetError;
pub use trace::{TraceOptions, trace};

/// What a run needs besides its plan.
pub struct Options {
    pub dir: PathBuf,
    /// `run` or `find`, for the manifest.
    pub command: &'static str,
    /// Processes that carry the load: with one, the run's own; with more, as many children.
    pub agents: u32,
    /// Threads of each agent that carry users.
    pub shards: u32,
    /// Addresses of this machine that the connections need, for their ports.
    pub source_addresses: u32,
    /// The executable that serves the bundled target (`EXE target serve PROFILE …`) and that agents are (`EXE agent`).
    pub executable: PathBuf,
    /// One message each time the user asks to stop: the first drains, the second cuts off.
    pub interrupts: mpsc::UnboundedReceiver<()>,
    /// What was to be said before the run began, for its record.
    pub warnings: Vec<Warning>,
    /// What is asked about a changed system, for the record: its prediction is computed from there.
    pub what_if: Option<Asked>,
}

/// Whoever watches a run while it goes on.
pub trait Watcher {
    /// The target is ready and the record is open.
    fn started(&mut self, target: &str, dir: &Path);
    /// A second has been merged.
    fn second(&mut self, tick: &Tick<'_>);
    fn event(&mut self, event: &Event);
}

/// One second of a run as live views show it.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    pub t_s: u64,
    /// When the plan says the load ends, where that is known.
    pub end_s: Option<u64>,
    /// The level of a search or staircase and whether it is being judged.
    pub level: Option<(f64, bool)>,
    pub users: u64,
    pub completed_per_s: f64,
    pub failed_per_s: f64,
    /// Response time of the requests that ended in this second.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub counts: &'a Counts,
    /// The latest reading of each resource.
    pub readings: &'a [SaturationRow],
}

/// Why no record could be made, or none could be finished. Everything else that goes wrong is in the record.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder could not be made: what stands in it, if anything, is of another run.
    #[error(transparent)]
    Create(StoreError),
    /// The record was begun but could not be carried on.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs a plan to its end and leaves a finished record in `options.dir`.
///
/// # Errors
/// [`RunError`] when the record cannot be written; whatever happens to the target or the load is told by the returned [`Ended`] and in
/// the record.
pub async fn execute(
    plan: Arc<Plan>,
    options: Options,
    watcher: &mut dyn Watcher,
) -> Result<Ended, RunError> {
    let manifest = manifest::begin(&plan, &options);
    let mut store = Store::create(&options.dir, manifest).map_err(RunError::Create)?;
    let coordinator = coordinator::Coordinator::new(plan, options, watcher);
    let ended = match coordinator.run(&mut store).await {
        Ok(ended) => ended,
        Err(coordinator::Stop::Store(error)) => {
            // The disk is full or gone: say so in the manifest if that much can still be written, and to the caller in any case.
            store.manifest.ended =
                Some(Ended { how: crate::record::rows::End::Error, reason: error.to_string() });
            let _ = store.write_manifest();
            return Err(error.into());
        }
        Err(coordinator::Stop::Ended(ended)) => ended,
    };
    store.manifest.ended = Some(ended.clone());
    store.manifest.finished = true;
    store.write_manifest()?;
    Ok(ended)
}
