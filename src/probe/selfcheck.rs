//! Short looks at what a measurement stands on: how late this machine wakes a thread, and whether connections can be opened from other
//! loopback addresses. Each is bounded in time and leaves nothing behind.

use crate::clock::Clock;
use schemars::JsonSchema;
use serde::Serialize;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

/// Sleeps of the timer check, and their length: a fifth of a second in all.
const SLEEPS: usize = 200;
const SLEEP: Duration = Duration::from_millis(1);

/// How late a bare sleep ends. What is late here is late in every tool on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct WakeError {
    pub sleeps: usize,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

/// Sleeps a bounded number of times and looks how late it wakes.
pub fn wake_error() -> WakeError {
    let clock = Clock::start();
    let asked_ns = u64::try_from(SLEEP.as_nanos()).unwrap_or(u64::MAX);
    let late = (0..SLEEPS).map(|_| {
        let before_ns = clock.now();
        std::thread::sleep(SLEEP);
        clock.now().saturating_sub(before_ns).saturating_sub(asked_ns)
    });
    WakeError::of(late.collect())
}

impl WakeError {
    fn of(mut late_ns: Vec<u64>) -> Self {
        late_ns.sort_unstable();
        let at = |quantile: f64| {
            let rank = (quantile * late_ns.len() as f64).ceil() as usize;
            late_ns.get(rank.saturating_sub(1)).map_or(0.0, |ns| *ns as f64 / 1e3)
        };
        Self { sleeps: late_ns.len(), p50_us: at(0.5), p99_us: at(0.99), max_us: at(1.0) }
    }
}

/// Whether this machine lets a socket have an address of 127.0.0.0/8 other than the first; on Linux it does, elsewhere each has to be
/// set up.
pub fn loopback_sources_usable() -> bool {
    TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks() {
        let error = WakeError::of((1..=200).rev().map(|us| us * 1000).collect());
        assert_eq!((error.sleeps, error.p50_us, error.p99_us, error.max_us), (200, 100.0, 198.0, 200.0));
        assert_eq!(WakeError::of(Vec::new()), WakeError::default());
    }
}
