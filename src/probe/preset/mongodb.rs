//! A MongoDB by the names of Percona's mongodb_exporter (0.53, `exporter/metrics.go`): its connections, and the tickets of WiredTiger that operations hold
//! while they run. A name is the path of a figure in the answer to `getDiagnosticData`, with `mongodb_` before it, `ss` for `serverStatus` and `ss_wt` for what is of
//! WiredTiger below that; the last part of some paths is a label.

use super::there;
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Resource};
use crate::promql::Selector;

const CONNECTIONS: &str = "mongodb_ss_connections";
/// The exporter calls them so also where MongoDB 8 has them at `queues.execution`.
const TICKETS_OUT: &str = "mongodb_ss_wt_concurrentTransactions_out";
const TICKETS: &str = "mongodb_ss_wt_concurrentTransactions_totalTickets";
const DIRECTION: &str = "txn_rw";
/// What an exporter before 0.43 makes of that path, for each direction.
const QUEUES: &str = "mongodb_ss_queues_execution";
/// Operations that wait for a lock, of which a ticket is the first.
const QUEUED: &str = "mongodb_ss_globalLock_currentQueue";

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
    let tickets = |direction: &str, (out, total): (&str, &str), labels: &[(&str, &str)]| {
        let (name, queued) = match direction {
            "" => ("mongodb.tickets".to_owned(), "total".to_owned()),
            direction => (format!("mongodb.{direction}_tickets"), format!("{direction}ers")),
        };
        Resource {
            used: there(scrape, out, labels),
            limit: scrape.has(total).then(|| Figure::Steady(Selector::new(total, labels))),
            waiting: there(scrape, QUEUED, &[("count_type", &queued)]),
            ..Resource::empty(&name, Kind::Pool)
        }
    };
    for direction in ["read", "write"] {
        let names = ["out", "totalTickets"].map(|part| format!("{QUEUES}_{direction}_{part}"));
        if scrape.has(&names[0]) {
            found.push(tickets(direction, (&names[0], &names[1]), &[]));
        }
    }
    let directions = scrape.label_values(TICKETS_OUT, DIRECTION);
    if directions.is_empty() && scrape.has(TICKETS_OUT) {
        found.push(tickets("", (TICKETS_OUT, TICKETS), &[]));
    }
    found.extend(
        directions
            .iter()
            .map(|direction| tickets(direction, (TICKETS_OUT, TICKETS), &[(DIRECTION, direction)])),
    );
    found
}
