//! What the end-to-end tests stand on: the executable driven as a user drives it, servers that misbehave on purpose, and the one
//! statement of what a run folder must be.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

pub(crate) mod folder;
pub(crate) mod invocation;
pub(crate) mod processes;
pub(crate) mod served;
pub(crate) mod served_exporters;
pub(crate) mod served_prometheus;
pub(crate) mod servers;

use std::io::Write as _;
use std::path::PathBuf;

/// The executable under test: `PLIMSOLL_BIN`, or the one cargo built for this test.
pub(crate) fn executable() -> PathBuf {
    std::env::var_os("PLIMSOLL_BIN").map_or_else(|| env!("CARGO_BIN_EXE_plimsoll").into(), PathBuf::from)
}

/// Whether the executable under test is optimized. The target's dials of CPU time hold only then.
pub(crate) fn optimized() -> bool {
    std::env::var_os("PLIMSOLL_BIN").is_some() || !cfg!(debug_assertions)
}

/// Tells the reader of the test's output something, also when the test passes: past the capture of the test harness.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A folder of its own for one test, gone with the value.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("plimsoll-e2e-").tempdir().unwrap()
}
