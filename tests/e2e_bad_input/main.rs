//! Runs that go badly, end to end: whatever is wrong with the scenario, the target, the disk or the user's patience, the run ends with
//! its published exit code, a message that says where and what to do, and a folder that holds all that was measured.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../e2e/mod.rs"]
mod e2e;

mod disk;
mod endings;
mod generator;
mod scenario;
mod target;
mod verdicts;

use plimsoll::record::recorded::Recorded;
use std::path::Path;

/// Seconds of the run that are in its record by now; 0 before there is one.
fn seconds_recorded(run: &Path) -> u64 {
    Recorded::open(run).map_or(0, |recorded| recorded.manifest.duration_s as u64)
}
