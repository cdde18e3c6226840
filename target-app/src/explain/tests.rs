//! The ceilings of the shipped profiles, and what the notes say, as they were worked out by hand.

use super::{Ceiling, Visits, explain, notes};
use crate::profile::Profile;

fn with(dials: &[&str], visits: &[(&str, f64)], think_s: f64) -> Vec<Ceiling> {
    let profile = Profile::named("baseline").unwrap().with_dials(dials).unwrap();
    let mut all = Visits::thinking(think_s);
    for (name, times) in visits {
        all.add(name, *times).unwrap();
    }
    explain(&profile, 1, &all)
}

const ONE: [(&str, f64); 1] = [("GET /api/products/{id}", 1.0)];

#[test]
fn one_pooled_get_a_second_meets_the_pool_first_and_the_cpu_next() {
    let ceilings = with(&[], &ONE, 1.0);
    let names: Vec<_> = ceilings.iter().map(|c| c.resource.as_str()).collect();
    assert_eq!(names, ["mongodb.pool", "app.cpu"]);
    assert_eq!(ceilings[0].rate_per_s.round(), 500.0);
    assert_eq!(ceilings[0].users.round(), 510.0);
    assert_eq!(ceilings[1].users.round(), 4081.0);
}

#[test]
fn the_wall_moves_with_the_pool() {
    for (size, rate_per_s, users) in [(7, 350.0, 357.0), (10, 500.0, 510.0), (20, 1000.0, 1020.0)] {
        let dial = format!("mongodb.max_pool_size={size}");
        let first = with(&[dial.as_str()], &ONE, 1.0).swap_remove(0);
        assert_eq!((first.rate_per_s.round(), first.users.round()), (rate_per_s, users), "pool of {size}");
    }
}

#[test]
fn a_wide_pool_leaves_the_cpu_as_the_first_wall() {
    let first = with(&["mongodb.max_pool_size=100", "app.cores=0.5"], &ONE, 1.0).swap_remove(0);
    assert_eq!(first.resource, "app.cpu");
    assert_eq!(first.rate_per_s.round(), 2000.0);
}

#[test]
fn demands_add_over_the_visits_of_an_iteration() {
    // 0.02 (1 + 2 x 1.5) = 0.08 s of pool an iteration: 125 iterations and 3 + 1 requests each.
    let visits =
        [("GET /api/products/{id}", 1.0), ("GET /api/products?page=1", 2.0), ("GET /static/app.css", 1.0)];
    let first = with(&["mongodb.service_time_factor.products_list=1.5"], &visits, 2.0).swap_remove(0);
    assert_eq!(first.iterations_per_s.round(), 125.0);
    assert_eq!(first.rate_per_s.round(), 500.0);
    let r0_s = 0.08 + (250.0 + 700.0 + 80.0) / 1e6;
    assert!((first.users - 125.0 * (2.0 + r0_s)).abs() < 1e-9);
}

#[test]
fn orders_of_a_queue_meet_its_workers_and_their_callers_do_not_wait() {
    let order = [("POST /api/orders", 1.0)];
    let row = |c: &Ceiling| (c.resource.clone(), c.rate_per_s.round(), c.users.round());
    let of = |dials: &[&str]| with(dials, &order, 1.0).iter().map(row).collect::<Vec<_>>();
    let name = |name: &str, rate_per_s, users| (name.to_owned(), rate_per_s, users);
    assert_eq!(of(&[]), [name("mongodb.pool", 500.0, 510.0), name("app.cpu", 3333.0, 3401.0)]);
    // 50 / (0.1 + 0.02), and R0 is the 300 us of a write.
    let workers = name("queue.workers", 417.0, 417.0);
    let queued = of(&["queue.concurrency=50", "queue.job_ms=100"]);
    assert_eq!(queued, [workers, name("mongodb.pool", 500.0, 500.0), name("app.cpu", 3333.0, 3334.0)]);
    let profile = Profile::named("queued").unwrap();
    let mut visits = Visits::thinking(1.0);
    visits.add(order[0].0, 1.0).unwrap();
    let four = explain(&profile, 4, &visits).swap_remove(0);
    assert_eq!(row(&four), name("queue.workers", 1667.0, 1667.0));
    // What places no orders has no use for them.
    let read = with(&["queue.concurrency=50"], &ONE, 1.0);
    assert!(read.iter().all(|c| c.resource != "queue.workers"), "{read:?}");
}

#[test]
fn without_indexes_what_goes_through_a_collection_holds_its_connection_longer() {
    let first = |dials: &[&str], visit: &str| {
        let dials = [&["mongodb.indexes=off"], dials].concat();
        let first = with(&dials, &[(visit, 1.0)], 1.0).swap_remove(0);
        (first.resource, first.rate_per_s.round())
    };
    let pool = |rate_per_s| ("mongodb.pool".to_owned(), rate_per_s);
    // 10 / (0.02 + 1,000 x 5 us), 10 / (0.02 + 100.5 x 5 us), 10 / (0.02 + 200 x 5 us).
    for list in ["GET /api/products", "GET /api/products?category=lids", "GET /api/products/search?q=a"] {
        assert_eq!(first(&[], list), pool(400.0), "{list}");
    }
    assert_eq!((first(&[], "POST /api/login"), first(&[], "POST /api/users")), (pool(488.0), pool(476.0)));
    for seek in ["GET /api/products?page=2", "GET /api/products/7", "POST /api/leads", "GET /api/me"] {
        assert_eq!(first(&[], seek), pool(500.0), "{seek}");
    }
    assert_eq!(first(&["store.products=100000"], "GET /api/products"), pool(19.0));
    let mut visits = Visits::thinking(1.0);
    visits.add("GET /api/leads", 1.0).unwrap();
    insta::assert_snapshot!(notes(&Profile::named("unindexed").unwrap(), 1, &visits).join(" "), @"no indexes: whole collections are gone through by leads_list, 5 us a document, of the store as it begins (a list of products is taken to be of a category): leads and users that are added make it more.");
    assert!(notes(&Profile::named("baseline").unwrap(), 1, &visits).is_empty());
}

#[test]
fn sockets_meet_the_heap() {
    let profile = Profile::named("baseline").unwrap();
    let mut visits = Visits::thinking(60.0);
    visits.add("GET /ws", 1.0).unwrap();
    visits.sockets_per_user = 2.0;
    let first = explain(&profile, 1, &visits).swap_remove(0);
    assert_eq!((first.resource.as_str(), first.users), ("app.heap", 16384.0));
}

#[test]
fn replicas_multiply_every_ceiling_and_a_cached_read_asks_nothing_of_the_pool() {
    let profile = Profile::named("baseline").unwrap();
    let mut visits = Visits::thinking(1.0);
    visits.add("GET /api/products/{id}", 1.0).unwrap();
    for (one, four) in explain(&profile, 1, &visits).iter().zip(explain(&profile, 4, &visits)) {
        assert_eq!((one.resource.as_str(), one.users * 4.0), (four.resource.as_str(), four.users));
    }
    let cached = profile.with_dial("cache.l1_ttl_ms=1000").unwrap();
    let names: Vec<_> = explain(&cached, 1, &visits).into_iter().map(|c| c.resource).collect();
    assert_eq!(names, ["app.cpu"]);
}

/// The ceilings of a profile for users who read one product a second.
fn of(name: &str) -> Vec<(String, f64, f64)> {
    let mut visits = Visits::thinking(1.0);
    visits.add(ONE[0].0, 1.0).unwrap();
    let ceilings = explain(&Profile::named(name).unwrap(), 1, &visits);
    ceilings.into_iter().map(|c| (c.resource, c.rate_per_s.round(), c.users.round())).collect()
}

#[test]
fn both_cures_of_baseline_meet_the_wall_that_it_has_next() {
    let row = |name: &str, rate_per_s, users| (name.to_owned(), rate_per_s, users);
    assert_eq!(of("baseline"), [row("mongodb.pool", 500.0, 510.0), row("app.cpu", 4000.0, 4081.0)]);
    assert_eq!(of("pool-100"), [row("app.cpu", 4000.0, 4081.0), row("mongodb.pool", 5000.0, 5101.0)]);
    // 4,000 (1 + 0.00025): a hit does not wait for the pool.
    assert_eq!(of("cached"), [row("app.cpu", 4000.0, 4001.0)]);
    assert_eq!(of("limited"), of("baseline"), "of users who stay below their points");
}

#[test]
fn both_cures_of_redis_move_its_wall() {
    let row = |name: &str, rate_per_s, users| (name.to_owned(), rate_per_s, users);
    assert_eq!(
        of("redis-single"),
        [row("redis.main_thread", 1_000.0, 1_001.0), row("app.cpu", 4_000.0, 4_005.0)]
    );
    // The most of the thousand products that a node has are 340.
    let cluster = of("redis-cluster");
    assert_eq!(cluster[0], row("redis-0.main_thread", 2_941.0, 2_945.0));
    assert!(cluster[1].0.starts_with("redis-") && cluster[2].0.starts_with("redis-"));
    assert_eq!(of("l1-cache"), [row("app.cpu", 4_000.0, 4_001.0)]);
}

#[test]
fn points_that_are_kept_in_redis_are_three_commands_a_request() {
    let dials = ["rate_limiter.points=100", "rate_limiter.backend=redis", "redis.command_us=1000"];
    let ceilings = with(&dials, &[("GET /static/app.css", 1.0), ("GET /healthz", 5.0)], 1.0);
    let redis = ceilings.iter().find(|ceiling| ceiling.resource == "redis.main_thread").unwrap();
    assert_eq!(redis.iterations_per_s.round(), 333.0);
}

#[test]
fn both_cures_of_the_heap_move_its_wall() {
    let mut visits = Visits::thinking(60.0);
    visits.sockets_per_user = 1.0;
    for (name, users) in [("websocket-heap", 1_536.0), ("lean-sockets", 12_288.0), ("replicas-4", 6_144.0)] {
        let profile = Profile::named(name).unwrap();
        let first = explain(&profile, profile.replicas, &visits).swap_remove(0);
        assert_eq!((first.resource.as_str(), first.users), ("app.heap", users), "{name}");
        assert!(first.rate_per_s.is_sign_positive(), "sockets ask for nothing: 0 requests, not -0");
    }
}

#[test]
fn sockets_meet_the_gateway_and_its_cure_moves_that() {
    let mut visits = Visits::thinking(1.0);
    visits.sockets_per_user = 1.0;
    for (name, users) in [("gateway-single", 512.0), ("gateway-wide", 8_192.0)] {
        let profile = Profile::named(name).unwrap();
        for replicas in [1, 4] {
            let first = explain(&profile, replicas, &visits).swap_remove(0);
            assert_eq!((first.resource.as_str(), first.users), ("gateway.connections", users), "{name}");
        }
    }
    assert_eq!(notes(&Profile::named("gateway-single").unwrap(), 1, &visits), [""; 0]);
}

#[test]
fn a_request_takes_two_connections_of_the_gateway_while_it_is_answered() {
    // 20.25 ms of 1,020.25 each second, twice: 25,192 users on 1,000 connections.
    let profile =
        Profile::named("gateway-single").unwrap().with_dial("gateway.worker_connections=1000").unwrap();
    let mut visits = Visits::thinking(1.0);
    visits.add(ONE[0].0, 1.0).unwrap();
    let last = explain(&profile, 1, &visits).pop().unwrap();
    assert_eq!((last.resource.as_str(), last.users.round()), ("gateway.connections", 25_191.0));
    insta::assert_snapshot!(notes(&profile, 1, &visits).join("\n"), @"gateway: from about 920 users on, who keep a connection each, those that wait for the next request are closed for others, and their users open new ones.");
}

#[test]
fn files_from_the_edge_cost_the_app_nothing() {
    let mut visits = Visits::thinking(1.0);
    visits.add("GET /static/app.css", 4.0).unwrap();
    visits.add("GET /api/products/7", 1.0).unwrap();
    let first = |name: &str| {
        let first = explain(&Profile::named(name).unwrap(), 1, &visits).swap_remove(0);
        (first.resource, first.users.round())
    };
    // (4 x 0.5 ms + 0.25 ms) / 0.5 cores: 222 pages a second, of users who take 1.02 s for one.
    assert_eq!(first("static-from-app"), ("app.cpu".to_owned(), 227.0));
    assert_eq!(first("edge-cache"), ("mongodb.pool".to_owned(), 510.0));
}

#[test]
fn a_limit_a_user_is_noted_and_says_when_it_is_met() {
    let limited = Profile::named("limited").unwrap();
    let note = |profile: &Profile, think_s: f64, replicas| {
        let mut visits = Visits::thinking(think_s);
        visits.add("GET /api/products/{id}", 1.0).unwrap();
        visits.add("GET /healthz", 5.0).unwrap();
        notes(profile, replicas, &visits).join(" ")
    };
    let unblocked = limited.clone().with_dial("rate_limiter.block_ms=0").unwrap();
    let shared = limited.clone().with_dials(&["rate_limiter.backend=redis", "redis.nodes=3"]).unwrap();
    let all =
        [note(&limited, 1.0, 1), note(&limited, 10.0, 4), note(&unblocked, 2.0, 1), note(&shared, 10.0, 4)];
    insta::assert_snapshot!(all.join("\n"), @r"
    rate limiter: 100 requests in 900 s a user, 0.111 a second; one user of this load makes 0.980 a second and is rejected after about 102 s, for 900 s. Without logins, all users of one address are one user.
    rate limiter: 100 requests in 900 s a user at each of 4 replicas, 0.111 a second; one user of this load makes 0.100 a second and is not rejected. Without logins, all users of one address are one user.
    rate limiter: 100 requests in 900 s a user, 0.111 a second; one user of this load makes 0.495 a second and is rejected after about 202 s, for the rest of the 900 s. Without logins, all users of one address are one user.
    rate limiter: 100 requests in 900 s a user, 0.111 a second; one user of this load makes 0.100 a second and is not rejected. Without logins, all users of one address are one user, whose points are all at one of the 3 nodes of Redis and not spread as the ceilings take them to be.
    ");
    assert_eq!(note(&Profile::named("baseline").unwrap(), 1.0, 1), "");
    assert!(notes(&limited, 1, &Visits::default()).is_empty(), "who asks nothing is not limited");
}

#[test]
fn a_breaker_is_noted_with_the_users_whose_queue_opens_it() {
    let profile = Profile::named("breaker").unwrap();
    let mut visits = Visits::thinking(1.0);
    visits.add("GET /api/products/{id}", 1.0).unwrap();
    // 500 (1 + 0.00025 + 3).
    insta::assert_snapshot!(notes(&profile, 1, &visits).join(" "), @"circuit breaker: an operation that takes longer than 3 s, the wait for a connection included, has failed; where the pool is what gives way, about 2000 users of this load make it that long. It then opens, for 30 s at a time.");
    assert!(notes(&profile, 1, &Visits::thinking(1.0)).is_empty(), "who asks nothing of the store");
}

#[test]
fn of_a_real_mongodb_the_pool_has_a_law_and_no_number() {
    let profile = Profile::named("baseline").unwrap();
    let mut visits = Visits { real_mongodb: true, ..Visits::thinking(1.0) };
    visits.add("GET /api/products/{id}", 1.0).unwrap();
    let resources: Vec<_> = explain(&profile, 2, &visits).into_iter().map(|c| c.resource).collect();
    assert_eq!(resources, ["app.cpu"]);
    insta::assert_snapshot!(notes(&profile, 2, &visits).join("\n"), @"mongodb.pool: its ceiling is not computed, since no dial tells how long a real MongoDB holds a connection. 20 connections carry 20 / (mean of db_client_connection_use_time_seconds) commands a second; the users of the other ceilings leave out what an iteration waits for it.");
    let mut files = Visits { real_mongodb: true, ..Visits::thinking(1.0) };
    files.add("GET /static/app.css", 1.0).unwrap();
    assert!(notes(&profile, 2, &files).is_empty(), "files ask nothing of it");
}

#[test]
fn nothing_of_eco_100k_gives_way_below_a_hundred_thousand_users() {
    let profile = Profile::named("eco-100k").unwrap();
    let mut visits = Visits::thinking(20.0);
    visits.add("GET /api/products", 1.0).unwrap();
    visits.add("GET /api/products/{id}", 1.0).unwrap();
    visits.sockets_per_user = 1.0;
    let ceilings = explain(&profile, profile.replicas, &visits);
    assert!(ceilings.len() >= 2 && ceilings.iter().all(|c| c.users > 200_000.0), "{ceilings:?}");
    // Whose every act is an order.
    let mut visits = Visits::thinking(10.0);
    visits.add("POST /api/orders", 1.0).unwrap();
    let ceilings = explain(&profile, profile.replicas, &visits);
    assert!(ceilings.iter().any(|c| c.resource == "queue.workers"), "{ceilings:?}");
    assert!(ceilings.iter().all(|c| c.users > 110_000.0), "{ceilings:?}");
}

#[test]
fn what_is_not_visited_has_no_ceiling() {
    assert_eq!(with(&[], &[("GET /healthz", 1.0)], 1.0), []);
    assert_eq!(with(&[], &[], 1.0), []);
}

#[test]
fn an_unknown_route_is_refused_by_name() {
    let mut visits = Visits::default();
    assert!(
        visits.add("GET /nowhere", 1.0).unwrap_err().to_string().starts_with("no route \"GET /nowhere\"")
    );
    assert!(visits.add("/api/products", 1.0).is_err());
}

#[test]
fn secondaries_take_the_reads_and_the_primary_is_left_with_the_writes() {
    let visits = [("GET /api/products/{id}", 3.0), ("POST /api/orders", 1.0)];
    let of = |dials: &[&str]| {
        let rows = with(dials, &visits, 4.0);
        let row = |c: &Ceiling| (c.resource.clone(), c.iterations_per_s.round());
        rows.iter().filter(|c| c.resource.starts_with("mongodb")).map(row).collect::<Vec<_>>()
    };
    let members = "mongodb.replica_set.members=3";
    let preference = |mode: &str| format!("mongodb.replica_set.read_preference={mode}");
    let name = |name: &str, rate_per_s: f64| (name.to_owned(), rate_per_s);
    // 10 connections of 20 ms are 500 operations a second: of the primary 4 an iteration.
    assert_eq!(of(&[members]), [name("mongodb-0.pool", 125.0)]);
    // Three reads on two secondaries are 1.5 each, and one write is the primary's.
    assert_eq!(
        of(&[members, &preference("secondaryPreferred")]),
        [name("mongodb-1.pool", 333.0), name("mongodb-2.pool", 333.0), name("mongodb-0.pool", 500.0)]
    );
    // One read each and the write.
    assert_eq!(of(&[members, &preference("nearest")])[0], name("mongodb-0.pool", 250.0));
    // A write that a majority has to have holds its connection for 50 ms more.
    let majority = "mongodb.replica_set.write_concern=majority";
    let dials = [members, majority, &preference("secondaryPreferred")];
    assert_eq!(of(&dials)[0], name("mongodb-0.pool", (10.0 / 0.07_f64).round()));
}

#[test]
fn a_shard_key_that_grows_spreads_nothing() {
    let of = |visits: &[(&str, f64)], dials: &[&str]| {
        let first = with(dials, visits, 1.0).swap_remove(0);
        (first.resource, first.rate_per_s.round())
    };
    let (lead, me, login) = ([("POST /api/leads", 1.0)], [("GET /api/me", 1.0)], [("POST /api/login", 1.0)]);
    let wide = ["app.cores=64", "mongodb.shards=4", "store.users=20000"];
    assert_eq!(of(&lead, &wide), ("mongodb-shard-3.pool".to_owned(), 500.0));
    assert_eq!(of(&login, &wide).1, 500.0, "every shard is asked for an email");
    let rate_per_s = of(&me, &wide).1;
    assert!((1_990.0..=2_000.0).contains(&rate_per_s), "four pools, all but evenly: {rate_per_s}");
    // Whoever registers is looked for on all shards before one has them: 1 and 1/4 operations.
    assert_eq!(of(&[("POST /api/users", 1.0)], &wide).1, 400.0);
}

#[test]
fn what_a_lost_primary_costs_is_said() {
    let words = |dials: &[&str]| {
        let profile = Profile::named("baseline").unwrap().with_dials(dials).unwrap();
        let mut visits = Visits::thinking(1.0);
        visits.add("POST /api/leads", 1.0).unwrap();
        notes(&profile, 1, &visits).join("\n")
    };
    insta::assert_snapshot!(words(&["mongodb.replica_set.members=2", "mongodb.replica_set.arbiters=1", "mongodb.shards=2"]), @r"
    replica set: a primary that dies is missing for 12 s, until another is elected; whoever needs one is refused after 5 s. What was written in the last 50 ms is lost then, acknowledged or not.
    2 shards: the last one alone is asked for lead_insert, whatever their number.
    ");
    insta::assert_snapshot!(words(&["mongodb.replica_set.members=2", "mongodb.replica_set.write_concern=majority"]), @"replica set: a primary that dies is missing until it is back, since 1 of 2 voters is no majority; whoever needs one is refused after 5 s.");
    assert_eq!(words(&[]), "");
    let shop = ["mongodb.replica_set.members=2", "mongodb.replica_set.arbiters=1"];
    let quick =
        [&shop[..], &["mongodb.replica_set.write_concern=majority", "mongodb.replica_set.election_ms=900"]];
    insta::assert_snapshot!(words(&quick.concat()), @"replica set: a primary that dies is missing for 0.9 s, until another is elected; whoever needs one waits for it. No acknowledged write is lost then; but none is confirmed until it is back, since an arbiter keeps nothing.");
}

#[test]
fn a_job_keeps_its_worker_until_a_majority_has_its_order() {
    let set = ["mongodb.replica_set.members=2", "mongodb.replica_set.write_concern=majority"];
    let dials =
        [&set[..], &["queue.concurrency=50", "queue.job_ms=100", "mongodb.max_pool_size=100"]].concat();
    let workers = with(&dials, &[("POST /api/orders", 1.0)], 1.0).swap_remove(0);
    assert_eq!(
        (workers.resource.as_str(), workers.rate_per_s.round()),
        ("queue.workers", (50.0 / 0.17_f64).round())
    );
}
