//! Presets: resources recognized by the metric names of the OpenTelemetry conventions and of the usual exporters, so that a service
//! that follows them needs no list of its own.

use super::prometheus::{MetricSelector, Scrape};
use super::resource::{Kind, Resource};

/// Names that `observe: [{preset: …}]` takes.
pub const PRESETS: &[&str] = &["auto", "opentelemetry-db-client", "process", "nodejs"];

/// Every resource that `preset` finds in a scrape; `auto` tries all.
///
/// # Errors
/// A sentence with the known names.
pub fn discover(preset: &str, scrape: &Scrape) -> Result<Vec<Resource>, String> {
    match preset {
        "auto" => Ok([db_client(scrape), process(scrape), nodejs(scrape)].concat()),
        "opentelemetry-db-client" => Ok(db_client(scrape)),
        "process" => Ok(process(scrape)),
        "nodejs" => Ok(nodejs(scrape)),
        other => Err(format!("there is no preset `{other}`; there are {}", PRESETS.join(", "))),
    }
}

/// One pool per `pool_name`, as the database client conventions have it; the integrals are the target-app's addition.
fn db_client(scrape: &Scrape) -> Vec<Resource> {
    let pools = scrape.label_values("db_client_connection_count", "pool_name");
    pools
        .into_iter()
        .map(|pool| {
            let of = |name: &str| Some(MetricSelector::new(name, &[("pool_name", &pool)]));
            let if_there = |name: &str| scrape.has(name).then(|| of(name)).flatten();
            Resource {
                used: Some(MetricSelector::new(
                    "db_client_connection_count",
                    &[("pool_name", &pool), ("state", "used")],
                )),
                used_seconds: if_there("db_client_connection_used_seconds_total"),
                limit: of("db_client_connection_max"),
                waiting: of("db_client_connection_pending_requests"),
                waiting_seconds: if_there("db_client_connection_pending_seconds_total"),
                errors: of("db_client_connection_timeouts_total"),
                visits: of("db_client_connection_use_time_seconds_count"),
                wait_seconds: of("db_client_connection_wait_time_seconds_sum"),
                hold_seconds: of("db_client_connection_use_time_seconds_sum"),
                ..Resource::empty(&format!("{pool}.pool"), Kind::Pool)
            }
        })
        .collect()
}

fn process(scrape: &Scrape) -> Vec<Resource> {
    let of = |name: &str| scrape.has(name).then(|| MetricSelector::new(name, &[]));
    let Some(cpu) = of("process_cpu_seconds_total") else { return Vec::new() };
    vec![Resource {
        used_seconds: Some(cpu),
        limit: of("process_cpu_cores_limit"),
        waiting: of("app_cpu_pending_requests"),
        visits: of("app_cpu_wait_time_seconds_count"),
        wait_seconds: of("app_cpu_wait_time_seconds_sum"),
        ..Resource::empty("app.cpu", Kind::Cpu)
    }]
}

fn nodejs(scrape: &Scrape) -> Vec<Resource> {
    let of = |name: &str| scrape.has(name).then(|| MetricSelector::new(name, &[]));
    let Some(used) = of("nodejs_heap_size_used_bytes") else { return Vec::new() };
    vec![Resource {
        used: Some(used),
        limit: of("nodejs_heap_size_limit_bytes").or_else(|| of("nodejs_heap_size_total_bytes")),
        ..Resource::empty("app.heap", Kind::Memory)
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_found_by_the_names_of_the_conventions() {
        let text = "# TYPE db_client_connection_count gauge\ndb_client_connection_count{pool_name=\"mongodb\",state=\"used\"} 10\n\
            db_client_connection_count{pool_name=\"mongodb\",state=\"idle\"} 0\n# TYPE db_client_connection_max gauge\n\
            db_client_connection_max{pool_name=\"mongodb\"} 10\n# TYPE db_client_connection_pending_requests gauge\n\
            db_client_connection_pending_requests{pool_name=\"mongodb\"} 21\n";
        let scrape = Scrape::parse(text).expect("parses");
        let found = discover("auto", &scrape).expect("a preset");
        assert_eq!(found.len(), 1);
        let row = found[0].reading((&scrape, 0.0), (&scrape, 1.0)).expect("a reading");
        assert_eq!((row.resource.as_str(), row.used, row.waiting), ("mongodb.pool", 10.0, Some(21.0)));
        assert!(discover("prometheus-everything", &scrape).is_err());
    }
}
