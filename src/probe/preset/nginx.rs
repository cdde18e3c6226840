//! The connections of an nginx by the names of nginx-prometheus-exporter (0.11, and `collector/nginx.go` of its main branch).

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Kind, Resource};

/// The exporter knows neither the limit nor the connections to the servers behind, which nginx counts towards it; where the target-app tells both,
/// they are what is judged.
pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let of = |name: &str| there(scrape, name, &[]);
    let Some(active) = of("nginx_connections_active") else { return Vec::new() };
    vec![Resource {
        used: of("nginx_worker_connections").or(Some(active)),
        limit: of("nginx_worker_connections_max"),
        errors: of("nginx_connections_refused_total"),
        ..Resource::empty("gateway.connections", Kind::Pool)
    }]
}
