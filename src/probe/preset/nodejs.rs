//! Node.js by the names of prom-client, and what OpenTelemetry has of its event loop. How late the loop is says nothing of how full it is: that is a
//! signal for a threshold (`signals: {loop_lag_s: nodejs_eventloop_lag_p99_seconds}`), and no resource.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Resource};
use crate::promql::Selector;

/// prom-client observes the share of the time in which the loop was busy at each collection, as whichever of these it was told to be.
const UTILIZATION: [&str; 2] =
    ["nodejs_eventloop_utilization_summary", "nodejs_eventloop_utilization_histogram"];
/// OpenTelemetry's gauge of the same.
const UTILIZATION_RATIO: &str = "nodejs_eventloop_utilization_ratio";

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
    // Each process or thread on the page has a loop of its own.
    let loops = |used: Figure, series: Selector| Resource {
        used: Some(used),
        limit: Some(Figure::Count(series)),
        ..Resource::empty("app.event_loop", Kind::Cpu)
    };
    let observed = UTILIZATION.into_iter().find(|name| scrape.has(&format!("{name}_count")));
    if let Some(name) = observed {
        let series = Selector::new(&format!("{name}_count"), &[]);
        found.push(loops(Figure::Observed { name: name.to_owned(), series: series.clone() }, series));
    } else if scrape.has(UTILIZATION_RATIO) {
        let series = Selector::new(UTILIZATION_RATIO, &[]);
        found.push(loops(Figure::sum(series.clone()), series));
    }
    found
}
