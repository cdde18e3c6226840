//! What one iteration asks of the servers of the database, of which each has a pool.

use super::Visits;
use crate::demand::Operation;
use crate::profile::{Dials, WriteConcern};
use crate::store::Topology;

impl Visits {
    /// How long one iteration holds a connection to each server, in seconds. Of a real MongoDB no dial tells.
    pub(super) fn pools_s(&self, dials: &Dials) -> Vec<(String, f64)> {
        let topology = Topology::of(&dials.mongodb);
        let mut demands = vec![0.0; topology.servers()];
        if !self.real_mongodb {
            let wanted = |op: Operation| !dials.cached(op);
            for (operation, times, scan_s) in self.operations(dials, wanted) {
                let hold_s = times * (dials.hold_s(operation) + scan_s + confirmation_s(dials, operation));
                let preference = dials.mongodb.replica_set.read_preference;
                let visits = topology.visits(operation, preference, dials.store.users);
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

    /// How long the users themselves wait for servers that nobody else uses. Several that are asked at once take as long as one.
    pub(super) fn awaited_store_s(&self, dials: &Dials) -> f64 {
        if self.real_mongodb {
            return 0.0;
        }
        let wanted = |op: Operation| !dials.cached(op) && !dials.queued(op);
        self.operations(dials, wanted)
            .map(|(op, times, scan_s)| times * (dials.hold_s(op) + scan_s + confirmation_s(dials, op)))
            .fold(0.0, |sum, held_s| sum + held_s)
    }

    /// The operations of one iteration that are wanted, how often each is, and what it scans each time.
    fn operations(
        &self,
        dials: &Dials,
        wanted: impl Fn(Operation) -> bool,
    ) -> impl Iterator<Item = (Operation, f64, f64)> {
        self.requests.iter().flat_map(move |visit| {
            let operations = visit.route.operations.iter().copied().filter(|op| wanted(*op));
            let operations: Vec<_> = operations.flat_map(|op| with_what_goes_before(dials, op)).collect();
            let scan_s =
                |op| if visit.of_all && op == Operation::ProductsList { 0.0 } else { dials.scan_s(op) };
            operations.into_iter().map(move |op| (op, visit.times, scan_s(op)))
        })
    }
}

/// Of several shards none knows whether another has a user's email already: all are asked before one is added.
fn with_what_goes_before(dials: &Dials, operation: Operation) -> impl Iterator<Item = Operation> {
    let looks = operation == Operation::UserInsert && dials.mongodb.shards > 1;
    looks.then_some(Operation::UserByEmail).into_iter().chain([operation])
}

/// How long a write waits until a majority has it.
fn confirmation_s(dials: &Dials, operation: Operation) -> f64 {
    let set = &dials.mongodb.replica_set;
    let waits = operation.writes() && set.write_concern == WriteConcern::Majority && set.members > 1;
    if waits { set.lag_ms as f64 / 1e3 } else { 0.0 }
}
