//! The requests inside an HTTP server by the OpenTelemetry conventions. They say how many are under way and how long they take; how many there
//! could be they do not say, so there is no limit.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Kind, Resource};

/// By Little's law the mean number under way is what their durations grew by in a second. A duration is told when it ends, so where requests take longer than a
/// span is the gauge is nearer.
pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let of = |name: &str| there(scrape, name, &[]);
    let seconds = of("http_server_request_duration_seconds_sum");
    let active = of("http_server_active_requests");
    if seconds.is_none() && active.is_none() {
        return Vec::new();
    }
    vec![Resource {
        used_seconds: seconds.filter(|_| active.is_none()),
        used: active,
        visits: of("http_server_request_duration_seconds_count"),
        ..Resource::empty("http.requests", Kind::Queue)
    }]
}
