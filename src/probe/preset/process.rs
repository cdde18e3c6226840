//! A process by the names that all client libraries have in common, and the memory of a Go program that was given a limit.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Resource};
use crate::promql::Selector;

/// Go says so, as the largest number of its kind, when nobody set a limit.
const NO_LIMIT_BYTES: f64 = 9e18;
const GO_LIMIT: &str = "go_gc_gomemlimit_bytes";

/// How many cores a process may have is the target-app's addition; so is the queue for them.
pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let of = |name: &str| there(scrape, name, &[]);
    let mut found = Vec::new();
    if let Some(cpu) = of("process_cpu_seconds_total") {
        found.push(Resource {
            used_seconds: Some(cpu),
            limit: of("process_cpu_cores_limit"),
            waiting: of("app_cpu_pending_requests"),
            visits: of("app_cpu_wait_time_seconds_count"),
            wait_seconds: of("app_cpu_wait_time_seconds_sum"),
            ..Resource::empty("app.cpu", Kind::Cpu)
        });
    }
    if let (Some(used), Some(limit)) = (of("process_open_fds"), of("process_max_fds")) {
        found.push(Resource {
            used: Some(used),
            limit: Some(limit),
            ..Resource::empty("app.descriptors", Kind::Queue)
        });
    }
    let limit = Selector::new(GO_LIMIT, &[]);
    if scrape.get(&limit).is_some_and(|limit| limit < NO_LIMIT_BYTES) {
        // What the limit is about: all memory of the runtime but what it has given back.
        let term = |name: &str, factor: f64| (Selector::new(name, &[]), factor);
        let used = [term("go_memstats_sys_bytes", 1.0), term("go_memstats_heap_released_bytes", -1.0)];
        found.push(Resource {
            used: Some(Figure::Sum(used.into())),
            limit: Some(Figure::sum(limit)),
            ..Resource::empty("app.memory", Kind::Memory)
        });
    }
    found
}
