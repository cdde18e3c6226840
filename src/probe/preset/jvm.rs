//! A JVM: its heap by Micrometer's names or by those of the OpenTelemetry conventions; by Micrometer's alone the pauses of its collector, which
//! `jvm_gc_duration_seconds` does not tell from what a collector does beside the program; and Tomcat's threads. As Micrometer's `JvmMemoryMetrics`, `JvmGcMetrics` and `TomcatMetrics` have them, and
//! `docs/runtime/jvm-metrics.md` of the conventions.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Resource};
use crate::promql::Selector;

/// Used, limit, the label that tells the heap from what is none, and the one with the name of a space. A collector's spaces each have a limit of their own, or
/// `-1`; of G1 the old generation's is the whole heap's.
const HEAPS: [(&str, &str, &str, &str); 2] = [
    ("jvm_memory_used_bytes", "jvm_memory_max_bytes", "area", "id"),
    ("jvm_memory_used_bytes", "jvm_memory_limit_bytes", "jvm_memory_type", "jvm_memory_pool_name"),
];
/// Both generations of this collector tell the maximum of the whole heap.
const WHOLE_EACH: &str = "ZGC";

pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let mut found = Vec::new();
    for (used, limit, label, space) in HEAPS {
        let heap = |name: &str| Selector::new(name, &[(label, "heap")]);
        if scrape.count(&heap(used)).is_some() {
            let whole = scrape.label_values(limit, space).iter().any(|space| space.starts_with(WHOLE_EACH));
            found.push(Resource {
                used: Some(Figure::sum(heap(used))),
                limit: Some(if whole { Figure::Largest(heap(limit)) } else { Figure::Told(heap(limit)) }),
                ..Resource::empty("jvm.heap", Kind::Memory)
            });
        }
    }
    // While the collector pauses, nothing else runs: its share of the time is bounded by one.
    if let Some(paused) = there(scrape, "jvm_gc_pause_seconds_sum", &[]) {
        found.push(Resource {
            used_seconds: Some(paused),
            limit: Some(Figure::Is(1.0)),
            visits: there(scrape, "jvm_gc_pause_seconds_count", &[]),
            ..Resource::empty("jvm.gc", Kind::Cpu)
        });
    }
    let connectors = scrape.label_values("tomcat_threads_busy_threads", "name");
    found.extend(connectors.into_iter().map(|connector| {
        let of = |name: &str| there(scrape, name, &[("name", &connector)]);
        Resource {
            used: of("tomcat_threads_busy_threads"),
            limit: of("tomcat_threads_config_max_threads"),
            ..Resource::empty(&format!("{connector}.threads"), Kind::Pool)
        }
    }));
    found
}
