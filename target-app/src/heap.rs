//! The heap: what is in live allocations, what each WebSocket adds to it, and the limit. Only the executable can say
//! what is allocated, because the allocator is the whole program's; where none does, the figure is zero and the limit is never met. What the
//! embedded store holds is SQLite's, from C's `malloc`, and no part of the figure.

use std::sync::OnceLock;

use crate::profile;

static LIVE_BYTES: OnceLock<fn() -> usize> = OnceLock::new();

/// Tells where the bytes in live allocations of this process are counted. The first word stands.
pub fn counted_by(live_bytes: fn() -> usize) {
    LIVE_BYTES.get_or_init(|| live_bytes);
}

/// Bytes in live allocations.
pub(crate) fn used_bytes() -> u64 {
    LIVE_BYTES.get().map_or(0, |live_bytes| live_bytes() as u64)
}

/// The heap's dials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap {
    pub(crate) limit_bytes: u64,
    bytes_per_socket: usize,
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
}
