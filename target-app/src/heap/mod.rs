//! The heap: what is in live allocations, what each WebSocket adds to it, the pauses of its collector, and the limit. Only the executable can say
//! what is allocated, because the allocator is the whole program's; where none does, the figure is zero and the limit is never met. What the
//! embedded store holds is SQLite's, from C's `malloc`, and no part of the figure.

mod collector;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::Histogram;
use tokio::sync::Notify;

use self::collector::{Collector, Verdict};
use crate::clock;
use crate::profile;

/// What a socket costs anyway, its connection and all: near 6 KB where nobody is subscribed to much. The dial is the whole.
const SOCKET_OWN_BYTES: usize = 6_000;

static LIVE_BYTES: OnceLock<fn() -> usize> = OnceLock::new();

/// Tells where the bytes in live allocations of this process are counted. The first word stands.
pub fn counted_by(live_bytes: fn() -> usize) {
    LIVE_BYTES.get_or_init(|| live_bytes);
}

/// Bytes in live allocations.
pub(crate) fn used_bytes() -> u64 {
    LIVE_BYTES.get().map_or(0, |live_bytes| live_bytes() as u64)
}

/// What leaves garbage behind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Litter {
    /// A request answered.
    Request,
    /// A message of a WebSocket or an event stream sent.
    Message,
}

/// What a process dies of.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "heap out of memory: {used_bytes} bytes in use, the limit is {limit_bytes} (dial heap.limit_bytes){}",
    near(self)
)]
pub struct Exhausted {
    used_bytes: u64,
    limit_bytes: u64,
}

fn near(exhausted: &Exhausted) -> &'static str {
    if exhausted.used_bytes > exhausted.limit_bytes {
        ""
    } else {
        ", and collecting is all that is left to do"
    }
}

/// The heap of this process.
pub(crate) struct Heap {
    pub(crate) limit_bytes: u64,
    bytes_per_socket: usize,
    garbage_bytes_per_request: u64,
    garbage_bytes_per_message: u64,
    collector: Collector,
    gave_up: AtomicBool,
    full: Notify,
}

impl Heap {
    /// `pauses` gets the length of each collection's pause, in seconds.
    pub(crate) fn new(dials: &profile::Heap, pauses: Histogram) -> Self {
        let bytes_per_socket = usize::try_from(dials.bytes_per_socket).unwrap_or(usize::MAX);
        Self {
            limit_bytes: dials.limit_bytes,
            bytes_per_socket,
            garbage_bytes_per_request: dials.garbage_bytes_per_request,
            garbage_bytes_per_message: dials.garbage_bytes_per_message,
            collector: Collector::new(dials.limit_bytes, dials.mark_bytes_per_s, pauses),
            gave_up: AtomicBool::new(false),
            full: Notify::new(),
        }
    }

    /// What one WebSocket holds as long as it is open, beside what it costs anyway. Written to, so that it is memory and not only address space.
    pub(crate) fn session_of_a_socket(&self) -> Vec<u8> {
        let session = vec![1; self.bytes_per_socket.saturating_sub(SOCKET_OWN_BYTES)];
        if self.is_full() {
            self.full.notify_one();
        }
        session
    }

    /// Leaves garbage, and blocks the thread while the collector stops the world.
    pub(crate) fn litter(&self, litter: Litter) {
        let bytes = match litter {
            Litter::Request => self.garbage_bytes_per_request,
            Litter::Message => self.garbage_bytes_per_message,
        };
        match self.collector.litter(bytes, used_bytes(), clock::now()) {
            Verdict::GoesOn => {}
            // The event loop of a Node process does nothing else meanwhile either. Slept and not worked, since a collector that kept a core busy
            // would take it from the generator on the same machine.
            Verdict::StandsStill(pause) => std::thread::sleep(pause),
            Verdict::GivesUp => {
                self.gave_up.store(true, Ordering::Relaxed);
                self.full.notify_one();
            }
        }
    }

    /// What is live is more than there may be.
    fn is_full(&self) -> bool {
        used_bytes() > self.limit_bytes
    }

    /// Of what the process dies now, if it does.
    pub(crate) fn exhausted(&self) -> Option<Exhausted> {
        let exhausted = self.is_full() || self.gave_up.load(Ordering::Relaxed);
        exhausted.then(|| Exhausted { used_bytes: used_bytes(), limit_bytes: self.limit_bytes })
    }

    /// Waits for a reason to look whether it is exhausted.
    pub(crate) async fn filled(&self) {
        self.full.notified().await;
    }
}
