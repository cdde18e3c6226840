//! A MongoDB by the names of Percona's mongodb_exporter: its connections, and the tickets of WiredTiger that operations hold while they run.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Resource};
use crate::promql::Selector;

const CONNECTIONS: &str = "mongodb_ss_connections";
const TICKETS_OUT: &str = "mongodb_ss_wt_concurrentTransactions_out";
const TICKETS: &str = "mongodb_ss_wt_concurrentTransactions_totalTickets";
/// Their names from MongoDB 8 on, for each direction.
const QUEUES: &str = "mongodb_ss_queues_execution";
/// The label that tells reading from writing, newest first. From MongoDB 7 on the exporter has none, and both are one figure.
const DIRECTION: [&str; 2] = ["txn_rw_type", "txn_rw"];

pub(super) fn resources(scrape: &Scrape) -> Vec<Resource> {
    let mut found = Vec::new();
    let connections = |state: &str| Selector::new(CONNECTIONS, &[("conn_type", state)]);
    if scrape.count(&connections("current")).is_some() {
        // The server tells how many more it would take.
        let limit = ["current", "available"].map(|state| (connections(state), 1.0));
        found.push(Resource {
            used: Some(Figure::sum(connections("current"))),
            limit: Some(Figure::Sum(limit.into())),
            ..Resource::empty("mongodb.connections", Kind::Pool)
        });
    }
    // From MongoDB 7 on the server adapts how many there are to what they are worth: a number that moves is no limit.
    let pool = |name: &str, (out, total): (&str, &str), labels: &[(&str, &str)]| Resource {
        used: there(scrape, out, labels),
        limit: scrape.has(total).then(|| Figure::Steady(Selector::new(total, labels))),
        ..Resource::empty(name, Kind::Pool)
    };
    let tickets = |name: &str, labels: &[(&str, &str)]| pool(name, (TICKETS_OUT, TICKETS), labels);
    for direction in ["read", "write"] {
        let names = ["out", "totalTickets"].map(|part| format!("{QUEUES}_{direction}_{part}"));
        if scrape.has(&names[0]) {
            found.push(pool(&format!("mongodb.{direction}_tickets"), (&names[0], &names[1]), &[]));
        }
    }
    let split = DIRECTION.iter().find(|label| !scrape.label_values(TICKETS_OUT, label).is_empty());
    match split {
        Some(label) => found.extend(
            scrape
                .label_values(TICKETS_OUT, label)
                .iter()
                .map(|direction| tickets(&format!("mongodb.{direction}_tickets"), &[(label, direction)])),
        ),
        None if scrape.has(TICKETS_OUT) => found.push(tickets("mongodb.tickets", &[])),
        None => {}
    }
    found
}
