//! A JVM by Micrometer's names, or by those of the OpenTelemetry conventions: its heap, the pauses of its collector, Tomcat's threads.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Resource};
use crate::promql::Selector;

/// A collector's spaces each have a limit of their own, or `-1`; of G1 the old generation's is the whole heap's.
const HEAPS: [(&str, &str, &str); 2] = [
    ("jvm_memory_used_bytes", "jvm_memory_max_bytes", "area"),
    ("jvm_memory_used_bytes", "jvm_memory_limit_bytes", "jvm_memory_type"),
];

pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let mut found = Vec::new();
    for (used, limit, label) in HEAPS {
        let heap = |name: &str| Selector::new(name, &[(label, "heap")]);
        if scrape.count(&heap(used)).is_some() {
            found.push(Resource {
                used: Some(Figure::sum(heap(used))),
                limit: Some(Figure::Told(heap(limit))),
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
