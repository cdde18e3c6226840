//! What the process that leads a crew uses itself: CPU time and memory, told with each second. With agents in processes of their own the
//! coordinator's share comes on top of theirs.

use crate::clock;
use crate::measure::snapshot::Snapshot;
use crate::probe::process;

/// Reading its memory makes the kernel walk all of it, so it is done once in so many seconds.
const MEMORY_EVERY_S: u64 = 5;

/// What this process has used so far.
#[derive(Debug, Default)]
pub(super) struct Usage {
    cpu_ns: u64,
    pss_bytes: u64,
    pss_read_s: Option<u64>,
}

impl Usage {
    pub(super) fn tell(&mut self, second: &mut Snapshot) {
        let cpu_ns = clock::process_cpu_ns();
        second.process_cpu_ns += cpu_ns.saturating_sub(std::mem::replace(&mut self.cpu_ns, cpu_ns));
        if self.pss_read_s.is_none_or(|at_s| second.end_s >= at_s + MEMORY_EVERY_S) {
            self.pss_bytes = process::pss_bytes();
            self.pss_read_s = Some(second.end_s);
        }
        second.pss_bytes += self.pss_bytes;
    }
}
