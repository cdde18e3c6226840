//! The requests inside an HTTP server by the OpenTelemetry conventions (`docs/http/http-metrics.md`). They say how many are under way and how long they take; how many there
//! could be they do not say, so there is no limit.

use super::{there, timed};
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Kind, Resource};

/// In seconds since 1.22, and in milliseconds as what it was called before.
const DURATIONS: [(&str, &str); 2] =
    [("http_server_request_duration", "seconds"), ("http_server_duration", "milliseconds")];

/// By Little's law the mean number under way is what their durations grew by in a second. A duration is told when it ends, so where requests take longer than a
/// span is the gauge is nearer.
pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let duration =
        |part: &str| DURATIONS.iter().find_map(|(name, unit)| timed(scrape, name, unit, part, &[]));
    let seconds = duration("sum");
    let active = there(scrape, "http_server_active_requests", &[]);
    if seconds.is_none() && active.is_none() {
        return Vec::new();
    }
    vec![Resource {
        used_seconds: seconds.filter(|_| active.is_none()),
        used: active,
        visits: duration("count"),
        ..Resource::empty("http.requests", Kind::Queue)
    }]
}
