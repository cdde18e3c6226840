//! Pools of a database client by the OpenTelemetry conventions, and by what they were called before 1.27.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Resource};
use crate::promql::Selector;

/// The label with the name of a pool, and the one with the state of its connections: in full as the conventions have them, in the plural as 1.26 had
/// them, short as they were before that, and as the target-app has them.
const LABELS: [(&str, &str); 3] = [
    ("db_client_connection_pool_name", "db_client_connection_state"),
    ("db_client_connections_pool_name", "db_client_connections_state"),
    ("pool_name", "state"),
];

/// The integrals are the target-app's addition.
pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let mut found = Vec::new();
    for (pool_label, state_label) in LABELS {
        for pool in scrape.label_values("db_client_connection_count", pool_label) {
            let of = |name: &str| there(scrape, name, &[(pool_label, &pool)]);
            found.push(Resource {
                used: there(
                    scrape,
                    "db_client_connection_count",
                    &[(pool_label, &pool), (state_label, "used")],
                ),
                used_seconds: of("db_client_connection_used_seconds_total"),
                limit: of("db_client_connection_max"),
                waiting: of("db_client_connection_pending_requests"),
                waiting_seconds: of("db_client_connection_pending_seconds_total"),
                errors: of("db_client_connection_timeouts_total"),
                visits: of("db_client_connection_use_time_seconds_count"),
                wait_seconds: of("db_client_connection_wait_time_seconds_sum"),
                hold_seconds: of("db_client_connection_use_time_seconds_sum"),
                ..Resource::empty(&format!("{pool}.pool"), Kind::Pool)
            });
        }
        // Before 1.27 names were in the plural, and times in milliseconds.
        for pool in scrape.label_values("db_client_connections_usage", pool_label) {
            let of = |name: &str| there(scrape, name, &[(pool_label, &pool)]);
            let milliseconds = |name: &str| {
                let selector = Selector::new(name, &[(pool_label, &pool)]);
                scrape.has(name).then(|| Figure::Sum(vec![(selector, 1e-3)]))
            };
            let used = &[(pool_label, pool.as_str()), (state_label, "used")];
            found.push(Resource {
                used: there(scrape, "db_client_connections_usage", used),
                limit: of("db_client_connections_max"),
                waiting: of("db_client_connections_pending_requests"),
                errors: of("db_client_connections_timeouts_total"),
                visits: of("db_client_connections_use_time_milliseconds_count"),
                wait_seconds: milliseconds("db_client_connections_wait_time_milliseconds_sum"),
                hold_seconds: milliseconds("db_client_connections_use_time_milliseconds_sum"),
                ..Resource::empty(&format!("{pool}.pool"), Kind::Pool)
            });
        }
    }
    found
}
