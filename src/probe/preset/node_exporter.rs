//! A machine by the names of node_exporter (1.5): cores, memory, descriptors, and the network where the speed of a card is told.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Resource};
use crate::promql::Selector;

const CPU: &str = "node_cpu_seconds_total";
/// A core that waits for a disk is idle; a guest's time is in that of users already (proc_stat(5)).
const IDLE: [&str; 4] = ["idle", "iowait", "guest", "guest_nice"];
const SPEED: &str = "node_network_speed_bytes";
/// Cards that are none: what these tell as their speed is made up, and what they carry does not wait for it. The host's sides of containers are `veth…`, of
/// Calico `cali…`, of Cilium `lxc…`, of AWS' `eni…`, of Azure's `azv…`; those of virtual machines are `vnet…`.
const VIRTUAL: [&str; 12] =
    ["veth", "docker", "br-", "cni", "tun", "tap", "virbr", "cali", "lxc", "vnet", "azv", "eni"];

pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let mut found = Vec::new();
    if scrape.has(CPU) {
        found.push(Resource {
            used_seconds: Some(Figure::sum(Selector::new(CPU, &[]).without("mode", &IDLE))),
            limit: Some(Figure::Count(Selector::new(CPU, &[("mode", "idle")]))),
            ..Resource::empty("node.cpu", Kind::Cpu)
        });
    }
    let of = |name: &str| there(scrape, name, &[]);
    if let Some(total) = of("node_memory_MemTotal_bytes") {
        let term = |name: &str, factor: f64| (Selector::new(name, &[]), factor);
        let used = [term("node_memory_MemTotal_bytes", 1.0), term("node_memory_MemAvailable_bytes", -1.0)];
        found.push(Resource {
            used: Some(Figure::Sum(used.into())),
            limit: Some(total),
            ..Resource::empty("node.memory", Kind::Memory)
        });
    }
    if let Some(used) = of("node_filefd_allocated") {
        found.push(Resource {
            used: Some(used),
            limit: of("node_filefd_maximum"),
            ..Resource::empty("node.descriptors", Kind::Queue)
        });
    }
    let cards = scrape.label_values(SPEED, "device").into_iter();
    let real = cards.filter(|card| !VIRTUAL.iter().any(|kind| card.starts_with(kind)));
    found.extend(real.flat_map(|card| network(scrape, &card)));
    found
}

/// Both directions of a card, each of which may have its whole speed. A card without a cable has the speed -1.
fn network(scrape: &Scrape, card: &str) -> Vec<Resource> {
    let speed = Selector::new(SPEED, &[("device", card)]);
    if scrape.get(&speed).is_none_or(|speed| speed <= 0.0) {
        return Vec::new();
    }
    let direction = |name: &str, counter: &str| Resource {
        used_seconds: there(scrape, counter, &[("device", card)]),
        limit: Some(Figure::sum(speed.clone())),
        ..Resource::empty(&format!("node.{card}_{name}"), Kind::Queue)
    };
    vec![
        direction("in", "node_network_receive_bytes_total"),
        direction("out", "node_network_transmit_bytes_total"),
    ]
}
