//! What requests cost in CPU, the most of them a plan can ask for, and how many threads that is worth.

use super::costs::{REQUEST_CPU_NS, WAKE_CPU_NS, WAKES_JOIN_AT_PER_S};
use super::needs::Part;
use crate::scenario::plan::{Executor, LoadUnit};

/// Up to this share of a core one thread carries a load best: it wakes once for what two would wake twice for, and is still idle for half of the
/// time, so that nothing waits long for it.
const THREAD_FILLED_RATIO: f64 = 0.5;

/// Cores that `requests_per_s` take on `threads` threads. A thread that is always busy pays for the request alone; one that sleeps in between
/// pays to be woken for it and for its answer, and the more come at once the more of them share a wake.
pub(super) fn cores(requests_per_s: f64, threads: f64) -> f64 {
    let each = requests_per_s / threads;
    let request_ns = REQUEST_CPU_NS + WAKE_CPU_NS / (1.0 + each / WAKES_JOIN_AT_PER_S);
    requests_per_s * request_ns / 1e9
}

/// The most requests a second that these parts can ask for, whatever the target does. `None` where that depends on the target: users who do not
/// think ask as often as they are answered, and what is open may be pushed to. Nor where connections are opened all the time, which costs more
/// than the requests do.
pub(super) fn requests_per_s_max(parts: &[Part<'_>]) -> Option<f64> {
    parts.iter().map(of_part).sum()
}

fn of_part(part: &Part<'_>) -> Option<f64> {
    if part.expectation.held.all() > 0.0 || part.closed_per_s > 0.0 {
        return None;
    }
    let most_users = || part.instants().into_iter().map(|ns| part.users_at(ns).1).fold(0.0, f64::max);
    let arrivals_per_s = match &part.load.executor {
        Executor::Open { curve, .. } => Some(curve.peak()),
        Executor::Step { of: LoadUnit::RatePerS, levels, .. } => {
            Some(levels.iter().copied().fold(0.0, f64::max))
        }
        Executor::Breakpoint { of: LoadUnit::RatePerS, search, .. } => Some(search.to),
        Executor::Closed { .. } | Executor::Step { .. } | Executor::Breakpoint { .. } => None,
    };
    let iterations_per_s = match arrivals_per_s {
        Some(arrivals_per_s) => arrivals_per_s,
        None => {
            let pacing_s = part.expectation.pacing.map_or(0.0, |pacing| pacing.as_secs_f64());
            let between_s = part.expectation.think.as_secs_f64().max(pacing_s);
            (between_s > 0.0).then(|| most_users() / between_s)?
        }
    };
    let once: f64 = part.expectation.once_per_user.values().sum();
    Some(iterations_per_s * (part.expectation.requests() + once))
}

/// Threads for each of `agents` processes on so many cores.
pub(super) fn shards(requests_per_s_max: Option<f64>, agents: u32, cores_there: u32) -> u32 {
    let most = (cores_there / agents.max(1)).max(1);
    let Some(requests_per_s) = requests_per_s_max else { return most };
    let each = requests_per_s / f64::from(agents.max(1));
    (1..most)
        .find(|&shards| cores(each, f64::from(shards)) <= THREAD_FILLED_RATIO * f64::from(shards))
        .unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_costs_more_where_a_thread_has_to_be_woken_for_it() {
        let us = |requests_per_s: f64, threads: f64| cores(requests_per_s, threads) / requests_per_s * 1e6;
        assert!((us(1_250.0, 1.0) - 46.0).abs() < 1.0, "{}", us(1_250.0, 1.0));
        assert!((us(18_000.0, 1.0) - 21.6).abs() < 1.0, "{}", us(18_000.0, 1.0));
        assert!(us(1e7, 1.0) < 13.0);
        assert!(us(1_250.0, 2.0) > us(1_250.0, 1.0));
    }

    #[test]
    fn as_many_threads_as_the_load_is_worth() {
        assert_eq!(shards(Some(1_250.0), 1, 8), 1);
        assert_eq!(shards(Some(20_000.0), 1, 8), 1);
        assert_eq!(shards(Some(60_000.0), 1, 8), 3);
        assert_eq!(shards(Some(1e7), 1, 8), 8);
        assert_eq!(shards(None, 1, 8), 8, "who can tell");
        assert_eq!(shards(None, 3, 8), 2);
        assert_eq!(shards(Some(1_250.0), 16, 8), 1);
    }
}
