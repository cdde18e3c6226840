//! Pools of HikariCP, the usual pool of database connections on a JVM: by Micrometer's names
//! (`MicrometerMetricsTracker.java`), and by those of its own tracker for Prometheus (`PrometheusMetricsTracker.java`).

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Resource};
use crate::promql::Selector;

pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let by_micrometer = scrape.label_values("hikaricp_connections_active", "pool").into_iter().map(|pool| {
        let of = |name: &str| there(scrape, name, &[("pool", &pool)]);
        Resource {
            used: of("hikaricp_connections_active"),
            limit: of("hikaricp_connections_max"),
            waiting: of("hikaricp_connections_pending"),
            errors: of("hikaricp_connections_timeout_total"),
            visits: of("hikaricp_connections_usage_seconds_count"),
            wait_seconds: of("hikaricp_connections_acquire_seconds_sum"),
            hold_seconds: of("hikaricp_connections_usage_seconds_sum"),
            ..Resource::empty(&format!("{pool}.pool"), Kind::Pool)
        }
    });
    let by_itself = scrape.label_values("hikaricp_active_connections", "pool").into_iter().map(|pool| {
        let labels = [("pool", pool.as_str())];
        let of = |name: &str| there(scrape, name, &labels);
        let scaled = |name: &str, factor: f64| {
            scrape.has(name).then(|| Figure::Sum(vec![(Selector::new(name, &labels), factor)]))
        };
        Resource {
            used: of("hikaricp_active_connections"),
            limit: of("hikaricp_max_connections"),
            waiting: of("hikaricp_pending_threads"),
            errors: of("hikaricp_connection_timeout_total"),
            visits: of("hikaricp_connection_usage_millis_count"),
            wait_seconds: scaled("hikaricp_connection_acquired_nanos_sum", 1e-9),
            hold_seconds: scaled("hikaricp_connection_usage_millis_sum", 1e-3),
            ..Resource::empty(&format!("{pool}.pool"), Kind::Pool)
        }
    });
    by_micrometer.chain(by_itself).collect()
}
