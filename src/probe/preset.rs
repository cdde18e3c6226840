//! Presets: resources recognized by the metric names of the OpenTelemetry conventions and of the usual exporters, so that a service
//! that follows them needs no list of its own.

use super::prometheus::{MetricSelector, Scrape};
use super::resource::{Kind, Resource};

/// Names that `observe: [{preset: …}]` takes.
pub const PRESETS: &[&str] =
    &["auto", "opentelemetry-db-client", "process", "nodejs", "redis", "nginx", "bullmq"];

/// Every resource that `preset` finds in a scrape; `auto` tries all.
///
/// # Errors
/// A sentence with the known names.
pub fn discover(preset: &str, scrape: &Scrape) -> Result<Vec<Resource>, String> {
    match preset {
        "auto" => {
            let all = [
                db_client(scrape),
                process(scrape),
                nodejs(scrape),
                redis(scrape),
                nginx(scrape),
                bullmq(scrape),
            ];
            Ok(all.concat())
        }
        "opentelemetry-db-client" => Ok(db_client(scrape)),
        "process" => Ok(process(scrape)),
        "nodejs" => Ok(nodejs(scrape)),
        "redis" => Ok(redis(scrape)),
        "bullmq" => Ok(bullmq(scrape)),
        "nginx" => Ok(nginx(scrape)),
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

/// The one thread on which a Redis serves all its commands, by the names of redis_exporter; one of each node where there are several, which
/// the target-app tells apart by a label. The time of a real Redis' commands leaves out what its thread spends on sockets, which is most of it
/// for small commands. So only where the wait for the thread is told as well, as the target-app does, is there a limit to hold it against.
fn redis(scrape: &Scrape) -> Vec<Resource> {
    const BUSY: &str = "redis_commands_duration_seconds_total";
    const WAITED: &str = "redis_commands_wait_seconds_total";
    let nodes = scrape.label_values("redis_up", "node");
    let thread = |name: &str, labels: &[(&str, &str)]| {
        let of = |name: &str| scrape.has(name).then(|| MetricSelector::new(name, labels));
        Resource {
            used_seconds: of(BUSY),
            limit: of("redis_up").filter(|_| scrape.has(WAITED)),
            waiting: of("redis_commands_pending"),
            visits: of("redis_commands_processed_total"),
            wait_seconds: of(WAITED),
            hold_seconds: of(BUSY),
            ..Resource::empty(name, Kind::Cpu)
        }
    };
    match nodes.as_slice() {
        _ if !scrape.has(BUSY) => Vec::new(),
        [] | [_] => vec![thread("redis.main_thread", &[])],
        nodes => {
            nodes.iter().map(|node| thread(&format!("redis-{node}.main_thread"), &[("node", node)])).collect()
        }
    }
}

/// The workers of a job queue by BullMQ's names; how many there are and how many of them are busy is the target-app's addition. A job's wait is no
/// wait of a request, so it is left out: it would be held against the latency of answers that had long been given.
fn bullmq(scrape: &Scrape) -> Vec<Resource> {
    let of = |name: &str| scrape.has(name).then(|| MetricSelector::new(name, &[]));
    let Some(limit) = of("bullmq_worker_concurrency") else { return Vec::new() };
    let busy = Some(MetricSelector::new("bullmq_job_duration_seconds_sum", &[]));
    vec![Resource {
        used: of("bullmq_worker_active"),
        used_seconds: busy.clone(),
        limit: Some(limit),
        errors: of("bullmq_jobs_rejected_total"),
        visits: Some(MetricSelector::new("bullmq_job_duration_seconds_count", &[])),
        hold_seconds: busy,
        ..Resource::empty("queue.workers", Kind::Pool)
    }]
}

/// The connections of an nginx, as its exporter tells them. That knows neither the limit nor the connections to the servers behind, which
/// nginx counts towards it; where the target-app tells both, they are what is judged.
fn nginx(scrape: &Scrape) -> Vec<Resource> {
    let of = |name: &str| scrape.has(name).then(|| MetricSelector::new(name, &[]));
    let Some(active) = of("nginx_connections_active") else { return Vec::new() };
    vec![Resource {
        used: of("nginx_worker_connections").or(Some(active)),
        limit: of("nginx_worker_connections_max"),
        errors: of("nginx_connections_refused_total"),
        ..Resource::empty("gateway.connections", Kind::Pool)
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connections_of_an_nginx_are_held_against_their_limit_where_that_is_told() {
        let exporter = |accepted: u32| {
            format!(
                "# TYPE nginx_connections_active gauge\nnginx_connections_active 300\n# TYPE nginx_connections_accepted counter\n\
                 nginx_connections_accepted {accepted}\n# TYPE nginx_connections_handled counter\nnginx_connections_handled 900\n"
            )
        };
        let ours = |refused: u32| {
            exporter(900 + refused)
                + &format!(
                    "# TYPE nginx_worker_connections gauge\nnginx_worker_connections 1000\n# TYPE nginx_worker_connections_max gauge\n\
                     nginx_worker_connections_max 1024\n# TYPE nginx_connections_refused_total counter\n\
                     nginx_connections_refused_total {refused}\n"
                )
        };
        let row = |before: &str, now: &str| {
            let (before, now) = (Scrape::parse(before).expect("parses"), Scrape::parse(now).expect("parses"));
            let found = discover("nginx", &now).expect("a preset");
            assert_eq!((found.len(), found[0].kind), (1, Kind::Pool));
            found[0].reading((&before, 0.0), (&now, 1.0)).expect("a reading")
        };
        let full = row(&ours(2), &ours(7));
        assert_eq!(
            (full.resource.as_str(), full.used, full.limit),
            ("gateway.connections", 1_000.0, Some(1_024.0))
        );
        assert_eq!(full.errors, Some(5.0));
        let unlimited = row(&exporter(900), &exporter(900));
        assert_eq!((unlimited.used, unlimited.limit, unlimited.utilization), (300.0, None, None));
        let nothing = Scrape::parse("# TYPE x gauge\nx 1\n").expect("parses");
        assert!(discover("nginx", &nothing).expect("a preset").is_empty());
    }

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

    #[test]
    fn workers_are_as_busy_as_their_jobs_took_and_there_are_none_without_a_queue() {
        let text = |busy_s: f64, jobs: u32| {
            let text = format!(
                "# TYPE bullmq_worker_concurrency gauge\nbullmq_worker_concurrency{{queue=\"orders\"}} 50\n\
                 # TYPE bullmq_worker_active gauge\nbullmq_worker_active{{queue=\"orders\"}} 40\n\
                 # TYPE bullmq_job_duration_seconds histogram\n\
                 bullmq_job_duration_seconds_bucket{{queue=\"orders\",le=\"+Inf\"}} {jobs}\n\
                 bullmq_job_duration_seconds_sum{{queue=\"orders\"}} {busy_s}\n\
                 bullmq_job_duration_seconds_count{{queue=\"orders\"}} {jobs}\n"
            );
            Scrape::parse(&text).expect("parses")
        };
        let (before, now) = (text(10.0, 100), text(60.0, 500));
        let found = discover("auto", &now).expect("a preset");
        let row = found[0].reading((&before, 0.0), (&now, 2.0)).expect("a reading");
        assert_eq!((found.len(), row.resource.as_str(), row.utilization), (1, "queue.workers", Some(0.5)));
        let idle =
            "# TYPE bullmq_jobs_completed_total counter\nbullmq_jobs_completed_total{queue=\"orders\"} 0\n";
        assert!(discover("bullmq", &Scrape::parse(idle).expect("parses")).expect("a preset").is_empty());
    }

    /// What nodes say that have been busy for so many seconds.
    fn redis_text(busy_s: &[f64]) -> Scrape {
        let mut text = String::from("# TYPE redis_up gauge\n");
        for node in 0..busy_s.len() {
            text.push_str(&format!("redis_up{{node=\"{node}\"}} 1\n"));
        }
        text.push_str(
            "# TYPE redis_commands_wait_seconds_total counter\nredis_commands_wait_seconds_total 0\n",
        );
        text.push_str("# TYPE redis_commands_duration_seconds_total counter\n");
        for (node, busy_s) in busy_s.iter().enumerate() {
            for cmd in ["get", "set"] {
                let half_s = busy_s / 2.0;
                text.push_str(&format!(
                    "redis_commands_duration_seconds_total{{cmd=\"{cmd}\",node=\"{node}\"}} {half_s}\n"
                ));
            }
        }
        Scrape::parse(&text).expect("parses")
    }

    #[test]
    fn a_redis_is_as_busy_as_its_thread_and_each_node_of_a_cluster_has_its_own() {
        let rows = |before: &[f64], now: &[f64]| {
            let (before, now) = (redis_text(before), redis_text(now));
            let found = discover("redis", &now).expect("a preset");
            let rows = found.iter().filter_map(|resource| resource.reading((&before, 0.0), (&now, 2.0)));
            rows.map(|row| (row.resource, row.utilization)).collect::<Vec<_>>()
        };
        assert_eq!(rows(&[4.0], &[5.0]), [("redis.main_thread".to_owned(), Some(0.5))]);
        let cluster = rows(&[4.0, 4.0], &[6.0, 4.5]);
        let wanted = [("redis-0.main_thread", Some(1.0)), ("redis-1.main_thread", Some(0.25))];
        assert_eq!(cluster, wanted.map(|(name, used)| (name.to_owned(), used)));
        let real = Scrape::parse("# TYPE redis_up gauge\nredis_up 1\n# TYPE redis_commands_duration_seconds_total counter\nredis_commands_duration_seconds_total{cmd=\"get\"} 1\n").expect("parses");
        assert!(
            discover("redis", &real).expect("a preset")[0].limit.is_none(),
            "its thread is full long before"
        );
        assert!(
            discover("auto", &Scrape::parse("# TYPE a gauge\na 1\n").expect("parses"))
                .expect("a preset")
                .is_empty()
        );
    }
}
