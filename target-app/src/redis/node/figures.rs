//! The metrics of a node, under the names of the usual exporter (redis_exporter), each with the number of the node.

use std::collections::HashMap;
use std::sync::Mutex;

use prometheus::{Counter, CounterVec, Gauge, GaugeVec, Opts, Registry, TextEncoder};

use super::keyspace::Keyspace;
use super::thread::Account;
use crate::lock::lock;
use crate::metrics::{Maker, raise};

pub(super) struct Figures {
    registry: Registry,
    /// Read when asked for; behind a lock, so that two scrapes at once do not count anything twice.
    states: Mutex<States>,
}

struct States {
    up: Gauge,
    clients: Gauge,
    processed: Counter,
    commands: CounterVec,
    durations: CounterVec,
    waits: Counter,
    pending: Gauge,
    memory_used: Gauge,
    memory_max: Gauge,
    keys: GaugeVec,
    hits: Counter,
    misses: Counter,
    expired: Counter,
    evicted: Counter,
}

impl Figures {
    pub(super) fn of_node(number: u32) -> Result<Self, prometheus::Error> {
        let labels = HashMap::from([("node".to_owned(), number.to_string())]);
        let registry = Registry::new_custom(None, Some(labels))?;
        let make = Maker { registry: &registry };
        let by_command = |name, help| make.registered(CounterVec::new(Opts::new(name, help), &["cmd"])?);
        let states = States {
            up: make.gauge("redis_up", "One for a node that answers, which is one thread that serves.")?,
            clients: make.gauge("redis_connected_clients", "Clients connected.")?,
            processed: make.sum("redis_commands_processed_total", "Commands answered.")?,
            commands: by_command("redis_commands_total", "Commands answered.")?,
            durations: by_command(
                "redis_commands_duration_seconds_total",
                "Time the thread spent on commands: its rate is the share of the time it is busy.",
            )?,
            waits: make.sum(
                "redis_commands_wait_seconds_total",
                "Time commands waited for the thread to come to them.",
            )?,
            pending: make.gauge("redis_commands_pending", "Commands that have come and are not answered.")?,
            memory_used: make.gauge("redis_memory_used_bytes", "Memory of the keys.")?,
            memory_max: make.gauge("redis_memory_max_bytes", "Memory above which the longest unused go.")?,
            keys: make.gauges("redis_db_keys", "Keys there are.", &["db"])?,
            hits: make.sum("redis_keyspace_hits_total", "Reads of a key that was there.")?,
            misses: make.sum("redis_keyspace_misses_total", "Reads of a key that was not.")?,
            expired: make.sum("redis_expired_keys_total", "Keys whose time was over.")?,
            evicted: make.sum("redis_evicted_keys_total", "Keys that had to make room.")?,
        };
        Ok(Self { registry, states: Mutex::new(states) })
    }

    pub(super) fn text(&self, account: &Account, keyspace: &Keyspace, clients: usize) -> String {
        let states = lock(&self.states);
        states.up.set(1.0);
        states.clients.set(clients as f64);
        let mut processed = 0;
        for (name, served) in &account.by_command {
            processed += served.count;
            raise(&states.commands.with_label_values(&[name]), served.count as f64);
            raise(&states.durations.with_label_values(&[name]), served.took.as_secs_f64());
        }
        raise(&states.processed, processed as f64);
        raise(&states.waits, account.waited.as_secs_f64());
        states.pending.set(account.pending as f64);
        states.memory_used.set(keyspace.used_bytes() as f64);
        states.memory_max.set(keyspace.max_bytes() as f64);
        states.keys.with_label_values(&["db0"]).set(keyspace.len() as f64);
        raise(&states.hits, keyspace.figures.hits as f64);
        raise(&states.misses, keyspace.figures.misses as f64);
        raise(&states.expired, keyspace.figures.expired as f64);
        raise(&states.evicted, keyspace.figures.evicted as f64);
        // It fails only where a metric has no name.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}
