//! A Redis by the names of redis_exporter (1.45): the one thread on which it serves all its commands, its clients and its memory.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Resource};
use crate::promql::Selector;

const BUSY: &str = "redis_commands_duration_seconds_total";
const WAITED: &str = "redis_commands_wait_seconds_total";
const THREAD: [&str; 2] =
    ["redis_cpu_user_main_thread_seconds_total", "redis_cpu_sys_main_thread_seconds_total"];
const EVICTED: &str = "redis_evicted_keys_total";

/// One thread of each node where there are several, which the target-app tells apart by a label.
pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let nodes = scrape.label_values("redis_up", "node");
    let mut found = match nodes.as_slice() {
        [] | [_] => Vec::from_iter(thread(scrape, "redis.main_thread", &[])),
        nodes => nodes
            .iter()
            .filter_map(|node| thread(scrape, &format!("redis-{node}.main_thread"), &[("node", node)]))
            .collect(),
    };
    let of = |name: &str| there(scrape, name, &[]);
    if let (Some(used), Some(limit)) = (of("redis_connected_clients"), of("redis_config_maxclients")) {
        found.push(Resource {
            used: Some(used),
            limit: Some(limit),
            errors: of("redis_rejected_connections_total"),
            ..Resource::empty("redis.connections", Kind::Pool)
        });
    }
    // One that evicts is a cache and full by intention.
    let evicts = scrape.get(&Selector::new(EVICTED, &[])).is_some_and(|evicted| evicted > 0.0);
    if let Some(used) = of("redis_memory_used_bytes") {
        found.push(Resource {
            used: Some(used),
            limit: of("redis_memory_max_bytes").filter(|_| !evicts),
            ..Resource::empty("redis.memory", Kind::Memory)
        });
    }
    found
}

/// The kernel's count of the thread's CPU time is of all it does, and one core is all it can have. Where only the time of commands is told, that
/// leaves out what the thread spends on sockets, which is most of it for small commands: it has a limit only beside the wait for the thread, as
/// the target-app tells it.
fn thread(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> Option<Resource> {
    let of = |name: &str| there(scrape, name, labels);
    let cpu = THREAD.map(|name| (Selector::new(name, labels), 1.0));
    if !scrape.has(WAITED) && THREAD.iter().all(|name| scrape.has(name)) {
        return Some(Resource {
            used_seconds: Some(Figure::Sum(cpu.into())),
            limit: Some(Figure::Count(Selector::new(THREAD[0], labels))),
            visits: of("redis_commands_processed_total"),
            ..Resource::empty(name, Kind::Cpu)
        });
    }
    scrape.has(BUSY).then(|| Resource {
        used_seconds: of(BUSY),
        limit: of("redis_up").filter(|_| scrape.has(WAITED)),
        waiting: of("redis_commands_pending"),
        visits: of("redis_commands_processed_total"),
        wait_seconds: of(WAITED),
        hold_seconds: of(BUSY),
        ..Resource::empty(name, Kind::Cpu)
    })
}
