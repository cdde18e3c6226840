//! What each preset makes of two scrapes of the exporter it is for: names as these have them, figures made up, but where a page says who wrote it. What
//! redis_exporter, node_exporter and nginx-prometheus-exporter truly write is read by `tests/e2e_sources.rs`.

use super::*;
use crate::probe::resource::Reading;
use crate::record::rows::SaturationRow;

const SCRAPES: [(&str, &str); 13] = [
    ("db_client", include_str!("scrapes/db_client.txt")),
    ("http_server", include_str!("scrapes/http_server.txt")),
    ("hikaricp", include_str!("scrapes/hikaricp.txt")),
    ("jvm", include_str!("scrapes/jvm.txt")),
    ("mongodb", include_str!("scrapes/mongodb.txt")),
    ("redis", include_str!("scrapes/redis.txt")),
    ("nginx", include_str!("scrapes/nginx.txt")),
    ("nodejs", include_str!("scrapes/nodejs.txt")),
    ("otel_node", include_str!("scrapes/otel_node.txt")),
    ("prom_client", include_str!("scrapes/prom_client.txt")),
    ("node_exporter", include_str!("scrapes/node_exporter.txt")),
    ("go", include_str!("scrapes/go.txt")),
    ("jmx_agent", include_str!("scrapes/jmx_agent.txt")),
];

fn rows(preset: &str, before: &Scrape, now: &Scrape) -> Vec<SaturationRow> {
    let found = discover(preset, now).expect("a preset");
    let read = found.iter().filter_map(|resource| match resource.reading((before, 0.0), (now, 2.0)) {
        Reading::Row(row) => Some(row),
        Reading::Nothing | Reading::AsBefore | Reading::Reset => None,
    });
    read.collect()
}

fn scrape(text: &str) -> Scrape {
    Scrape::parse(text).expect("parses")
}

#[test]
fn the_usual_exporters_are_read() {
    let mut told = String::new();
    for (name, text) in SCRAPES {
        let (before, now) = text.split_once("--- two seconds later\n").expect("two scrapes");
        let (before, now) = (scrape(before), scrape(now));
        told.push_str(&format!("{name}\n"));
        for row in rows("auto", &before, &now) {
            let shown = |figure: Option<f64>| figure.map_or("-".to_owned(), |f| format!("{f:.6}"));
            let figures = [row.limit, row.waiting, row.errors, row.visits, row.wait_s, row.hold_s].map(shown);
            told.push_str(&format!(
                "  {} {} {:.6} / {}\n",
                row.resource,
                row.kind,
                row.used,
                figures.join(" ")
            ));
        }
    }
    insta::assert_snapshot!(told.replace(".000000", ""));
}

#[test]
fn each_preset_finds_its_own_and_nothing_in_a_page_of_others() {
    let stranger = scrape("x 1\n");
    for name in names() {
        assert!(discover(name, &stranger).expect("a preset").is_empty(), "{name}");
    }
    let refused = discover("prometheus-everything", &stranger).expect_err("there is none");
    assert!(refused.contains("node-exporter"), "{refused}");
    let both = SCRAPES.iter().find(|(name, _)| *name == "nodejs").expect("a scrape").1;
    let (_, both) = both.split_once("--- two seconds later\n").expect("two scrapes");
    let names = |preset: &str| {
        let found = discover(preset, &scrape(both)).expect("a preset");
        found.into_iter().map(|resource| resource.name).collect::<Vec<_>>()
    };
    assert_eq!(names("process"), ["app.cpu", "app.descriptors"]);
    assert_eq!(names("nodejs"), ["app.heap", "app.event_loop"]);
}

#[test]
fn each_preset_over_each_page() {
    let mut told = String::new();
    for (page, text) in SCRAPES {
        let (_, now) = text.split_once("--- two seconds later\n").expect("two scrapes");
        for preset in names().filter(|name| *name != "auto") {
            let found = discover(preset, &scrape(now)).expect("a preset");
            let found: Vec<String> = found.into_iter().map(|resource| resource.name).collect();
            if !found.is_empty() {
                told.push_str(&format!("{page}: {preset}: {}\n", found.join(" ")));
            }
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn an_exporter_is_not_taken_for_the_app_and_the_target_app_is() {
    let found = |more: &str| {
        let page = format!("process_cpu_seconds_total 3\nprocess_open_fds 9\nprocess_max_fds 99\n{more}");
        let found = discover("auto", &scrape(&page)).expect("a preset");
        found.iter().any(|resource| resource.name == "app.cpu")
    };
    assert!(found(""));
    let jmx = |name: &str| format!("jmx_exporter_build_info{{name=\"{name}\"}} 1");
    assert!(found(&jmx("jmx_prometheus_javaagent")), "it is in the app");
    let standalone = jmx("jmx_prometheus_standalone");
    for marker in [
        "redis_up 1",
        "mongodb_up 1",
        "nginx_up 1",
        "postgres_exporter_build_info{version=\"1\"} 1",
        &standalone,
    ] {
        assert!(!found(marker), "{marker}");
    }
    assert!(
        found("redis_up{node=\"0\"} 1\napp_cpu_wait_time_seconds_count 7\n"),
        "the bundled target with its Redis"
    );
}

#[test]
fn a_card_that_is_none_has_no_speed() {
    for (card, real) in
        [("eth0", true), ("ens5", true), ("cali1a2b", false), ("lxc9f", false), ("eni3c", false)]
    {
        let page = format!(
            "node_network_speed_bytes{{device=\"{card}\"}} 1.25e+09\nnode_network_receive_bytes_total{{device=\"{card}\"}} 7\n"
        );
        let found = discover("node-exporter", &scrape(&page)).expect("a preset");
        assert_eq!(!found.is_empty(), real, "{card}");
    }
}

#[test]
fn both_generations_of_a_zgc_tell_the_whole_heap() {
    let text = |label: &str, space: &str, limit: &str| {
        let of = |name: &str, bytes: &str| {
            let lines = ["ZGC Young Generation", "ZGC Old Generation"];
            lines.map(|id| format!("{name}{{{label}=\"heap\",{space}=\"{id}\"}} {bytes}\n")).concat()
        };
        of("jvm_memory_used_bytes", "2e+08") + &of(limit, "1e+09")
    };
    for text in [
        text("area", "id", "jvm_memory_max_bytes"),
        text("jvm_memory_type", "jvm_memory_pool_name", "jvm_memory_limit_bytes"),
    ] {
        let heap = rows("jvm", &scrape(&text), &scrape(&text)).remove(0);
        assert_eq!((heap.used, heap.limit), (4e8, Some(1e9)), "{text}");
    }
}

#[test]
fn tickets_that_are_adapted_are_no_limit() {
    let text = |out: u32, total: u32| {
        format!(
            "mongodb_ss_queues_execution_read_out {out}\nmongodb_ss_queues_execution_read_totalTickets {total}\n\
             mongodb_ss_queues_execution_write_out 0\nmongodb_ss_queues_execution_write_totalTickets 128\n"
        )
    };
    let read = |before: &str, now: &str| {
        let read = rows("mongodb", &scrape(before), &scrape(now)).into_iter();
        read.map(|row| (row.resource, row.used, row.limit)).collect::<Vec<_>>()
    };
    let (one, other) = (text(7, 7), text(9, 9));
    let write = ("mongodb.write_tickets".to_owned(), 0.0, Some(128.0));
    assert_eq!(read(&one, &one), [("mongodb.read_tickets".to_owned(), 7.0, Some(7.0)), write.clone()]);
    assert_eq!(read(&one, &other), [("mongodb.read_tickets".to_owned(), 9.0, None), write]);
}

#[test]
fn several_workers_on_a_page_have_a_loop_each() {
    let text = |sums: [f64; 2], count: u32| {
        let worker = |i: usize| {
            let name = "nodejs_eventloop_utilization_histogram";
            format!("{name}_sum{{worker=\"{i}\"}} {}\n{name}_count{{worker=\"{i}\"}} {count}\n", sums[i])
        };
        worker(0) + &worker(1)
    };
    let read = rows("nodejs", &scrape(&text([5.0, 2.0], 10)), &scrape(&text([7.0, 3.0], 12))).remove(0);
    assert_eq!((read.used, read.limit), (1.5, Some(2.0)));
    let ratio = "nodejs_eventloop_utilization_ratio{instance=\"a\"} 0.9\nnodejs_eventloop_utilization_ratio{instance=\"b\"} 0.8\n";
    let read = rows("nodejs", &scrape(ratio), &scrape(ratio)).remove(0);
    assert_eq!(read.limit, Some(2.0));
}

#[test]
fn the_time_in_which_a_loop_was_busy_comes_before_its_share_at_the_look() {
    let text = |active_s: f64, state: &str| {
        format!(
            "nodejs_eventloop_time_seconds_total{{nodejs_eventloop_state=\"{state}\"}} {active_s}\n\
             nodejs_eventloop_time_seconds_total{{nodejs_eventloop_state=\"idle\"}} 50\n\
             nodejs_eventloop_utilization_ratio 0.1\n"
        )
    };
    let read = rows("nodejs", &scrape(&text(3.0, "active")), &scrape(&text(4.5, "active"))).remove(0);
    assert_eq!((read.used, read.limit), (0.75, Some(1.0)));
}

#[test]
fn tickets_that_are_not_told_apart_are_one_pool() {
    let text = "mongodb_ss_wt_concurrentTransactions_out 40\nmongodb_ss_wt_concurrentTransactions_totalTickets 128\n";
    let rows = rows("mongodb", &scrape(text), &scrape(text));
    assert_eq!((rows.len(), rows[0].resource.as_str(), rows[0].limit), (1, "mongodb.tickets", Some(128.0)));
}

#[test]
fn a_redis_that_evicts_is_full_by_intention() {
    let text = |evicted: u32| {
        format!(
            "redis_memory_used_bytes 99\nredis_memory_max_bytes 100\nredis_evicted_keys_total {evicted}\n"
        )
    };
    let limit = |text: &str| rows("redis", &scrape(text), &scrape(text))[0].limit;
    assert_eq!((limit(&text(0)), limit(&text(5))), (Some(100.0), None));
}

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
        assert_eq!((found.len(), found[0].kind), (1, crate::probe::resource::Kind::Pool));
        rows("nginx", &before, &now).remove(0)
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
    let row = rows("auto", &scrape, &scrape).remove(0);
    assert_eq!((row.resource.as_str(), row.used, row.waiting), ("mongodb.pool", 10.0, Some(21.0)));
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
    let row = rows("auto", &before, &now).remove(0);
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
    text.push_str("# TYPE redis_commands_wait_seconds_total counter\nredis_commands_wait_seconds_total 0\n");
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
    let used = |before: &[f64], now: &[f64]| {
        let read = rows("redis", &redis_text(before), &redis_text(now)).into_iter();
        read.map(|row| (row.resource, row.utilization)).collect::<Vec<_>>()
    };
    assert_eq!(used(&[4.0], &[5.0]), [("redis.main_thread".to_owned(), Some(0.5))]);
    let cluster = used(&[4.0, 4.0], &[6.0, 4.5]);
    let wanted = [("redis-0.main_thread", Some(1.0)), ("redis-1.main_thread", Some(0.25))];
    assert_eq!(cluster, wanted.map(|(name, used)| (name.to_owned(), used)));
    let real = Scrape::parse("# TYPE redis_up gauge\nredis_up 1\n# TYPE redis_commands_duration_seconds_total counter\nredis_commands_duration_seconds_total{cmd=\"get\"} 1\n").expect("parses");
    assert!(discover("redis", &real).expect("a preset")[0].limit.is_none(), "its thread is full long before");
    assert!(
        discover("auto", &Scrape::parse("# TYPE a gauge\na 1\n").expect("parses"))
            .expect("a preset")
            .is_empty()
    );
}
