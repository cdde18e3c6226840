//! Pools of a database client by the OpenTelemetry conventions (1.30, `docs/database/database-metrics.md`), and by what they were called before 1.26, which is what
//! older instrumentations tell unless told otherwise.

use super::{there, timed};
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Kind, Resource};

/// The label with the name of a pool, and the one with the state of its connections: as they are from 1.27 on, in the plural as 1.26 had them, and short as
/// they were before that, and as the target-app has them (`schemas/1.27.0`).
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
            let labels = [(pool_label, pool.as_str())];
            let of = |name: &str| there(scrape, name, &labels);
            let time = |name: &str, part: &str| timed(scrape, name, "seconds", part, &labels);
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
                visits: time("db_client_connection_use_time", "count"),
                wait_seconds: time("db_client_connection_wait_time", "sum"),
                hold_seconds: time("db_client_connection_use_time", "sum"),
                ..Resource::empty(&format!("{pool}.pool"), Kind::Pool)
            });
        }
        // Before 1.26 names were in the plural, and times in milliseconds.
        for pool in scrape.label_values("db_client_connections_usage", pool_label) {
            let labels = [(pool_label, pool.as_str())];
            let of = |name: &str| there(scrape, name, &labels);
            let time = |name: &str, part: &str| timed(scrape, name, "milliseconds", part, &labels);
            let used = &[(pool_label, pool.as_str()), (state_label, "used")];
            found.push(Resource {
                used: there(scrape, "db_client_connections_usage", used),
                limit: of("db_client_connections_max"),
                waiting: of("db_client_connections_pending_requests"),
                errors: of("db_client_connections_timeouts_total"),
                visits: time("db_client_connections_use_time", "count"),
                wait_seconds: time("db_client_connections_wait_time", "sum"),
                hold_seconds: time("db_client_connections_use_time", "sum"),
                ..Resource::empty(&format!("{pool}.pool"), Kind::Pool)
            });
        }
    }
    found
}
