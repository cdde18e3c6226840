//! The heap: what the allocator says is in use, what each WebSocket adds to it, and the limit. The figures need the
//! binary's global allocator to be jemalloc; with another one they are zero.

use tikv_jemalloc_ctl::{epoch, stats};

use crate::profile;

/// The heap's dials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap {
    pub(crate) limit_bytes: u64,
    bytes_per_socket: usize,
}

/// The allocator's figures at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    /// In live allocations.
    pub(crate) used_bytes: u64,
    /// Mapped in memory for them.
    pub(crate) total_bytes: u64,
}

impl Heap {
    pub(crate) fn new(dials: &profile::Heap) -> Self {
        let bytes_per_socket = usize::try_from(dials.bytes_per_socket).unwrap_or(usize::MAX);
        Self { limit_bytes: dials.limit_bytes, bytes_per_socket }
    }

    /// What one WebSocket holds as long as it is open. Written to, so that it is memory and not only address space.
    pub(crate) fn session_of_a_socket(self) -> Vec<u8> {
        vec![1; self.bytes_per_socket]
    }

    pub(crate) fn snapshot() -> Snapshot {
        // The statistics are cached until the epoch moves on; a build without them reads as zero.
        let _ = epoch::advance();
        Snapshot {
            used_bytes: stats::allocated::read().unwrap_or(0) as u64,
            total_bytes: stats::resident::read().unwrap_or(0) as u64,
        }
    }
}
