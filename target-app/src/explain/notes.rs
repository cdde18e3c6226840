//! What bounds the load but is no ceiling of it, in words.

use super::Visits;
use crate::demand::{Operation, Plan};
use crate::profile::{Dials, Profile, WriteConcern};

/// What bounds the load but is no ceiling of it, a sentence each.
///
/// The gateway closes connections that wait for their users before it refuses anyone, which bounds nothing and costs a connection a request.
/// The rate limiter bounds each user and not their number: a load of any size passes whose users stay below their points,
/// and one user alone does not who asks for more. So it has no N* to be listed among the ceilings by.
///
/// Nor has the circuit breaker: it gives way to a store that is too slow, which the pool's queue alone can make it.
///
/// Of a real MongoDB no dial tells how long it holds a connection, so its pool has a law here and no number.
pub fn notes(profile: &Profile, replicas: u32, visits: &Visits) -> Vec<String> {
    let dials = profile.dials();
    let pool = pool_note(dials, replicas, visits);
    pool.into_iter()
        .chain(gateway_note(profile, visits))
        .chain(limiter_note(dials, replicas, visits))
        .chain(breaker_note(dials, replicas, visits))
        .chain(scan_note(dials, visits))
        .chain(replica_set_note(dials, visits))
        .chain(shards_note(dials, visits))
        .chain(batch_note(dials, visits))
        .collect()
}

/// At the pool's ceiling X a user waits N / X - (Z + R0) for its connections, which makes operations last the timeout at
/// N = X (Z + R0 + operations x timeout - holds), by the same law as N*.
fn breaker_note(dials: &Dials, replicas: u32, visits: &Visits) -> Option<String> {
    let breaker = &dials.breaker;
    // Of several servers the one that gives way first.
    let pool_s = visits.pools_s(dials).into_iter().fold(0.0, |most, (_, demand_s)| f64::max(most, demand_s));
    if breaker.timeout_ms == 0 || pool_s == 0.0 {
        return None;
    }
    let timeout_s = breaker.timeout_ms.min(dials.mongodb.wait_queue_timeout_ms) as f64 / 1e3;
    let operations = visits.sum(|route| {
        let awaited = route.operations.iter().filter(|op| !dials.cached(**op) && !dials.queued(**op));
        awaited.count() as f64
    });
    let iterations_per_s = f64::from(replicas) * dials.mongodb.max_pool_size as f64 / pool_s;
    let unhurried_s = visits.think_s + visits.cpu_s(dials);
    Some(format!(
        "circuit breaker: an operation that takes longer than {} s, the wait for a connection included, has failed; where the \
         pool is what gives way, about {:.0} users of this load make it that long. It then opens, for {} s at a time.",
        breaker.timeout_ms as f64 / 1e3,
        iterations_per_s * (unhurried_s + operations * timeout_s),
        breaker.reset_timeout_ms as f64 / 1e3,
    ))
}

/// Of what grows, or what the routes alone do not tell, where collections are scanned.
fn scan_note(dials: &Dials, visits: &Visits) -> Option<String> {
    let visited = |op: Operation| visits.requests.iter().any(|visit| visit.route.operations.contains(&op));
    let scans = |op: &Operation| dials.plan(*op) == Plan::CollScan && visited(*op);
    let scanned: Vec<_> = Operation::ALL.into_iter().filter(scans).map(Operation::name).collect();
    (!scanned.is_empty()).then(|| {
        format!(
            "no indexes: whole collections are gone through by {}, {} us a document, of the store as it begins (a list of products is taken to \
             be of a category): leads and users that are added make it more.",
            scanned.join(", "),
            dials.mongodb.scan_us_per_document
        )
    })
}

/// What the loss of a primary costs, which is no matter of load.
fn replica_set_note(dials: &Dials, visits: &Visits) -> Option<String> {
    let set = &dials.mongodb.replica_set;
    if set.members == 1 || visits.in_store(dials, |_| 1.0) == 0.0 {
        return None;
    }
    let seconds = |ms: u64| format!("{} s", ms as f64 / 1e3);
    let timeout_ms = dials.mongodb.server_selection_timeout_ms;
    let voters = set.members + set.arbiters;
    let left = voters - 1;
    let elects = left > voters / 2;
    let missing = match elects {
        true => format!("for {}, until another is elected", seconds(set.election_ms)),
        false => format!("until it is back, since {left} of {voters} voters is no majority"),
    };
    let refused = match elects && set.election_ms < timeout_ms {
        true => "waits for it".to_owned(),
        false => format!("is refused after {}", seconds(timeout_ms)),
    };
    let outcome = match set.write_concern {
        _ if !elects => String::new(),
        WriteConcern::One => {
            format!(" What was written in the last {} ms is lost then, acknowledged or not.", set.lag_ms)
        }
        // A majority of the voters, or all that have documents, where arbiters make that fewer.
        WriteConcern::Majority if set.members - 1 < (voters / 2 + 1).min(set.members) => {
            " No acknowledged write is lost then; but none is confirmed until it is back, since an arbiter keeps nothing."
                .to_owned()
        }
        WriteConcern::Majority => " No acknowledged write is lost then.".to_owned(),
    };
    Some(format!(
        "replica set: a primary that dies is missing {missing}; whoever needs one {refused}.{outcome}"
    ))
}

/// What a shard key does not spread.
fn shards_note(dials: &Dials, visits: &Visits) -> Option<String> {
    let shards = dials.mongodb.shards;
    let visited =
        |wanted: &Operation| visits.requests.iter().any(|visit| visit.route.operations.contains(wanted));
    let named = |wanted: &[Operation]| -> Vec<_> {
        wanted.iter().filter(|op| visited(op)).map(|op| op.name()).collect()
    };
    let of_all = named(&[Operation::UserByEmail, Operation::UserInsert, Operation::LeadsList]);
    let of_last = named(&[Operation::LeadInsert]);
    let clauses = [(of_all, "all of them are asked for"), (of_last, "the last one alone is asked for")];
    let clauses: Vec<_> = clauses
        .into_iter()
        .filter(|(operations, _)| shards > 1 && !operations.is_empty())
        .map(|(operations, who)| format!("{who} {}", operations.join(", ")))
        .collect();
    (!clauses.is_empty()).then(|| format!("{shards} shards: {}, whatever their number.", clauses.join("; ")))
}

/// Of reads by many ids, of which the routes do not tell how many.
fn batch_note(dials: &Dials, visits: &Visits) -> Option<String> {
    let batch = Operation::ProductsByIds;
    let visited = visits.requests.iter().any(|visit| visit.route.operations.contains(&batch));
    (visited && dials.read_from_redis(batch)).then(|| {
        "redis: a GraphQL request asks it for each of its products, a command each; the ceilings take it to have one.".to_owned()
    })
}

fn gateway_note(profile: &Profile, visits: &Visits) -> Option<String> {
    let dials = profile.dials();
    if !profile.has_gateway() || visits.requests_per_iteration() == 0.0 {
        return None;
    }
    let connections = dials.gateway.worker_connections;
    let needed = visits.gateway_connections(dials);
    // Nobody's request is under way on the connection that waits.
    let waiting = 1.0 - (needed / 2.0 - visits.sockets_per_user);
    let users = (connections - connections / 16) as f64 / (needed + waiting);
    Some(format!(
        "gateway: from about {users:.0} users on, who keep a connection each, those that wait for the next request are closed for others, \
         and their users open new ones."
    ))
}

fn pool_note(dials: &Dials, replicas: u32, visits: &Visits) -> Option<String> {
    let operations = visits.in_store(dials, |_| 1.0);
    (visits.real_mongodb && operations > 0.0).then(|| {
        let connections = dials.mongodb.max_pool_size * replicas as usize;
        format!(
            "mongodb.pool: its ceiling is not computed, since no dial tells how long a real MongoDB holds a connection. \
             {connections} connections carry {connections} / (mean of db_client_connection_use_time_seconds) commands a second; \
             the users of the other ceilings leave out what an iteration waits for it."
        )
    })
}

fn limiter_note(dials: &Dials, replicas: u32, visits: &Visits) -> Option<String> {
    let limiter = &dials.rate_limiter;
    let limited = visits.sum(|route| f64::from(u8::from(route.limited())));
    if limiter.points == 0 || limited == 0.0 {
        return None;
    }
    let points = f64::from(limiter.points);
    let (window_s, block_s) = (limiter.window_ms as f64 / 1e3, limiter.block_ms as f64 / 1e3);
    let asked_per_s = limited / visits.iteration_s(dials);
    let spent_s = points / asked_per_s;
    let outcome = if spent_s >= window_s {
        "not rejected".to_owned()
    } else if limiter.block_ms > 0 {
        format!("rejected after about {spent_s:.0} s, for {block_s} s")
    } else {
        format!("rejected after about {spent_s:.0} s, for the rest of the {window_s} s")
    };
    let each = if replicas > 1 && !dials.limits_in_redis() {
        format!(" at each of {replicas} replicas")
    } else {
        String::new()
    };
    let nodes = dials.redis.nodes;
    let one_key = if dials.limits_in_redis() && nodes > 1 {
        format!(
            ", whose points are all at one of the {nodes} nodes of Redis and not spread as the ceilings take them to be"
        )
    } else {
        String::new()
    };
    Some(format!(
        "rate limiter: {points} requests in {window_s} s a user{each}, {:.3} a second; one user of this load makes \
         {asked_per_s:.3} a second and is {outcome}. Without logins, all users of one address are one user{one_key}.",
        points / window_s
    ))
}
