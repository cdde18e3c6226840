//! Node.js by the names of prom-client, and of OpenTelemetry's instrumentation of its runtime. How late the loop is says nothing of how full it is: that is a
//! signal for a threshold (`signals: {loop_lag_s: nodejs_eventloop_lag_p99_seconds}`), and no resource.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Resource};
use crate::promql::Selector;

/// prom-client observes the share of the time in which the loop was busy (`lib/metrics/eventLoopUtilization.js` in its repository), as either of these; its
/// release 15.1.3 does not yet, and tells only how late the loop is.
const UTILIZATION: [&str; 2] =
    ["nodejs_eventloop_utilization_summary", "nodejs_eventloop_utilization_histogram"];
/// OpenTelemetry's counter of the time in which the loop was busy, and its gauge of the share; each with its unit and as its exporter for Node.js
/// writes it, which leaves units out.
const BUSY: [&str; 2] = ["nodejs_eventloop_time_seconds_total", "nodejs_eventloop_time_total"];
const UTILIZATION_RATIO: [&str; 2] = ["nodejs_eventloop_utilization_ratio", "nodejs_eventloop_utilization"];
/// What is used of the heap; the last two are sums over its spaces.
const HEAP: [&str; 3] =
    ["nodejs_heap_size_used_bytes", "v8js_memory_heap_used_bytes", "v8js_memory_heap_used"];

/// `nodejs_heap_size_total_bytes` is what the heap has taken by now, not what it may take. A limit is the target-app's addition.
pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let of = |name: &str| there(scrape, name, &[]);
    let mut found = Vec::new();
    if let Some(used) = HEAP.into_iter().find_map(of) {
        found.push(Resource {
            used: Some(used),
            limit: of("nodejs_heap_size_limit_bytes"),
            ..Resource::empty("app.heap", Kind::Memory)
        });
    }
    found.extend(event_loop(scrape));
    found
}

/// Each process or thread on the page has a loop of its own.
fn event_loop(scrape: &Scrape) -> Option<Resource> {
    let loops = |series: Selector| Resource {
        limit: Some(Figure::Count(series)),
        ..Resource::empty("app.event_loop", Kind::Cpu)
    };
    if let Some(name) = UTILIZATION.into_iter().find(|name| scrape.has(&format!("{name}_count"))) {
        let series = Selector::new(&format!("{name}_count"), &[]);
        let used = Some(Figure::Observed { name: name.to_owned(), series: series.clone() });
        return Some(Resource { used, ..loops(series) });
    }
    if let Some(name) = BUSY.into_iter().find(|name| scrape.has(name)) {
        let active = Selector::new(name, &[("nodejs_eventloop_state", "active")]);
        return Some(Resource { used_seconds: Some(Figure::sum(active.clone())), ..loops(active) });
    }
    let name = UTILIZATION_RATIO.into_iter().find(|name| scrape.has(name))?;
    let series = Selector::new(name, &[]);
    Some(Resource { used: Some(Figure::sum(series.clone())), ..loops(series) })
}
