//! What one iteration asks of the servers of the database, of which each has a pool.

use super::Visits;
use crate::demand::Operation;
use crate::profile::{Dials, ReadPreference};
use crate::store::Topology;

impl Visits {
    /// How long one iteration holds a connection to each server, in seconds. Of a real MongoDB no dial tells.
    pub(super) fn pools_s(&self, dials: &Dials) -> Vec<(String, f64)> {
        let topology = Topology::of(&dials.mongodb);
        let mut demands = vec![0.0; topology.servers()];
        if !self.real_mongodb {
            let wanted = |op: Operation| !dials.cached(op);
            for asked in self.operations(dials, wanted) {
                let visits = topology.visits(asked.operation, asked.from, dials.store.users);
                let hold_s = asked.times * asked.hold_s;
                demands.iter_mut().zip(visits).for_each(|(demand_s, visits)| *demand_s += hold_s * visits);
            }
        }
        let servers =
            (0..topology.shards).flat_map(|shard| (0..topology.members).map(move |member| (shard, member)));
        servers
            .zip(demands)
            .map(|((shard, member), demand_s)| (topology.name(shard, member), demand_s))
            .collect()
    }

    /// How long the users themselves wait for servers that nobody else uses. Several that are asked at once take as long as one, which they do where the
    /// service time is constant.
    pub(super) fn awaited_store_s(&self, dials: &Dials) -> f64 {
        if self.real_mongodb {
            return 0.0;
        }
        let wanted = |op: Operation| !dials.cached(op) && !dials.queued(op);
        self.operations(dials, wanted).fold(0.0, |sum, asked| sum + asked.times * asked.hold_s)
    }

    /// The operations of one iteration that are wanted.
    fn operations(&self, dials: &Dials, wanted: impl Fn(Operation) -> bool) -> impl Iterator<Item = Asked> {
        let from = dials.mongodb.replica_set.read_preference;
        self.requests.iter().flat_map(move |visit| {
            let times = visit.times;
            let asked = |operation| {
                // Those of all products go by their ids.
                let indexed = visit.of_all && operation == Operation::ProductsList;
                let scan_s = if indexed { 0.0 } else { dials.scan_s(operation) };
                let hold_s = dials.hold_s(operation) + scan_s + dials.confirmation_s(operation);
                let first = looks_first(dials, operation, times);
                first.into_iter().chain([Asked { operation, times, hold_s, from }])
            };
            let operations = visit.route.operations.iter().copied().filter(|op| wanted(*op));
            operations.flat_map(asked).collect::<Vec<_>>()
        })
    }
}

/// An operation of one iteration.
struct Asked {
    operation: Operation,
    times: f64,
    hold_s: f64,
    /// Which members are read from.
    from: ReadPreference,
}

/// Of several shards none knows whether another has a user's email already: all primaries are asked before one user is added, and go through all they have.
fn looks_first(dials: &Dials, operation: Operation, times: f64) -> Option<Asked> {
    let looks = operation == Operation::UserInsert && dials.mongodb.shards > 1;
    let hold_s = dials.hold_s(Operation::UserByEmail) + dials.scan_s(operation);
    looks.then_some(Asked { operation: Operation::UserByEmail, times, hold_s, from: ReadPreference::Primary })
}
