//! When a resource counts as saturated: it is full, and work waits for it or is refused. Errors alone never suffice.

use crate::record::summary::{Level, LevelResource};

/// In use over limit below which nothing is exhausted, whatever a log says: few slots are all taken at moments while most are free on the mean.
pub const EXHAUSTED_MIN: f64 = 0.9;
/// Share of a level's readings in which the resource must be full.
const FULL_READINGS: f64 = 0.2;
/// Mean utilization that counts as full even if single readings do not.
const BUSY: f64 = 0.95;
/// Wait over hold above which there is a queue worth the name.
const WAIT_PER_HOLD: f64 = 0.1;
/// Growth of the mean response time that stands in for a queue nobody counts (a run queue, a device).
pub const LATENCY_GROWTH: f64 = 1.5;

/// Whether `resource` is saturated at `level`; `base` is the lowest level, the reference for latency.
pub fn saturated(resource: &LevelResource, level: &Level, base: Option<&Level>) -> bool {
    let utilization = resource.utilization.unwrap_or(0.0);
    // Collectors thrash and allocators fail in the last tenth, and nobody queues for it.
    if resource.kind == "memory" {
        return utilization >= EXHAUSTED_MIN;
    }
    let full = resource.full_ratio >= FULL_READINGS || utilization >= BUSY;
    full && utilization >= EXHAUSTED_MIN && queued(resource, level, base)
}

fn queued(resource: &LevelResource, level: &Level, base: Option<&Level>) -> bool {
    let visits_per_s = resource.visits.unwrap_or(0.0) * level.throughput_per_s;
    // Where no hold is told, the utilization law gives it: in use over visits a second.
    let hold_ms =
        resource.hold_ms.or_else(|| (visits_per_s > 0.0).then(|| resource.used / visits_per_s * 1e3));
    match (resource.waiting, resource.wait_ms, hold_ms) {
        // Who is refused would have waited.
        _ if resource.errors_per_s.is_some_and(|errors| errors > 0.0) => true,
        (Some(waiting), ..) if waiting > 0.0 => true,
        (_, Some(wait_ms), Some(hold_ms)) => wait_ms > WAIT_PER_HOLD * hold_ms,
        (Some(_), ..) => false,
        _ => base.is_none_or(|base| level.response_ms.mean >= LATENCY_GROWTH * base.response_ms.mean),
    }
}

/// The resources of all levels, each once, in order.
pub(super) fn names(levels: &[Level]) -> impl Iterator<Item = &str> {
    let all: std::collections::BTreeSet<&str> =
        levels.iter().flat_map(|level| level.resources.keys().map(String::as_str)).collect();
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::testbed::{level, pool};

    #[test]
    fn full_and_waiting_is_saturated() {
        let base = level(100.0, 25.0, []);
        let at = level(500.0, 60.0, []);
        let check = |resource: &LevelResource| saturated(resource, &at, Some(&base));
        let full = pool(10.0, 10.0, 3.0, 0.02);
        assert!(check(&full));
        assert!(
            !check(&LevelResource { waiting: Some(0.0), wait_ms: Some(0.1), ..full.clone() }),
            "full, but nothing waits"
        );
        assert!(
            !check(&LevelResource { used: 7.0, utilization: Some(0.7), full_ratio: 0.0, ..full.clone() }),
            "a queue at 70 % is chance"
        );
        let bursts = |mean: f64| LevelResource { utilization: Some(mean), full_ratio: 0.25, ..full.clone() };
        assert!(check(&bursts(0.92)) && !check(&bursts(0.8)), "all of few slots are taken now and then");
    }

    #[test]
    fn a_queue_nobody_counts_shows_in_the_latency() {
        let cpu = LevelResource {
            kind: "cpu".to_owned(),
            waiting: None,
            wait_ms: None,
            hold_ms: None,
            visits: None,
            ..pool(2.0, 1.95, 0.0, 0.0)
        };
        let base = level(100.0, 25.0, []);
        assert!(saturated(&cpu, &level(500.0, 60.0, []), Some(&base)));
        assert!(!saturated(&cpu, &level(500.0, 26.0, []), Some(&base)), "busy with other work, nobody waits");
        let clocked = |wait_ms| LevelResource { visits: Some(1.0), wait_ms: Some(wait_ms), ..cpu.clone() };
        let check = |wait_ms| saturated(&clocked(wait_ms), &level(500.0, 26.0, []), Some(&base));
        assert!(check(0.5) && !check(0.3), "500 visits a second keep 1.95 cores busy for 3.9 ms each");
        let heap = LevelResource { kind: "memory".to_owned(), utilization: Some(0.91), ..cpu };
        assert!(saturated(&heap, &level(500.0, 26.0, []), Some(&base)));
    }
}
