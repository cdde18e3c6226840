//! Node.js by the names of prom-client, and what OpenTelemetry has of its event loop. How late the loop is says nothing of how full it is: that is a
//! signal for a threshold (`signals: {loop_lag_s: nodejs_eventloop_lag_p99_seconds}`), and no resource.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Resource};

/// `nodejs_heap_size_total_bytes` is what the heap has taken by now, not what it may take.
pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let of = |name: &str| there(scrape, name, &[]);
    let mut found = Vec::new();
    if let Some(used) = of("nodejs_heap_size_used_bytes") {
        found.push(Resource {
            used: Some(used),
            limit: of("nodejs_heap_size_limit_bytes"),
            ..Resource::empty("app.heap", Kind::Memory)
        });
    }
    let busy = of("nodejs_eventloop_utilization").or_else(|| of("nodejs_eventloop_utilization_ratio"));
    if let Some(busy) = busy {
        found.push(Resource {
            used: Some(busy),
            limit: Some(Figure::Is(1.0)),
            ..Resource::empty("app.event_loop", Kind::Cpu)
        });
    }
    found
}
