//! File descriptors: every connection is one, so they are what bounds the connections of a process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::RawFd;

/// Kept back for files, timers and the links of a fleet, so that the app can still do its work and tell its figures when
/// clients have taken all the others.
const KEPT_BACK: u64 = 100;
/// A pooled connection of the store: the file, its log, the index of the log, and a timer.
const PER_POOLED: u64 = 4;
/// A worker of the job queue: a timer.
const PER_WORKER: u64 = 1;

/// The kernel's table of descriptors has room for so many from the beginning. It doubles whenever it is full, and once there are several threads
/// whoever accepts a connection waits meanwhile: for a tenth of a second at the 4,097th.
const RESERVED_MAX: u64 = 1 << 17;

/// Takes all the descriptors the machine allows. Where it cannot, the app makes do with what there is.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let last = limit.maximum.unwrap_or(RESERVED_MAX).min(RESERVED_MAX).saturating_sub(1);
    let _ = RawFd::try_from(last).map(|last| rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), last));
}

/// Client connections this process can have open beside a pool of this size and so many workers.
pub(crate) fn connections_max(pool_size: usize, workers: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(for_clients(limit, pool_size as u64, workers as u64)).unwrap_or(usize::MAX)
}

/// At least half of them are the clients', however wide the pool and many the workers.
fn for_clients(limit: u64, pool_size: u64, workers: u64) -> u64 {
    limit.saturating_sub(KEPT_BACK + PER_POOLED * pool_size + PER_WORKER * workers).max(limit / 2)
}

#[cfg(test)]
mod tests {
    use super::for_clients;

    #[test]
    fn clients_get_what_the_app_does_not_need_itself() {
        assert_eq!(for_clients(20_000, 100, 0), 19_500);
        assert_eq!(for_clients(1_024, 10, 50), 834);
        assert_eq!(for_clients(1_024, 10_000, 0), 512);
    }
}
