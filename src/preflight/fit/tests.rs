//! Fits of made-up needs into made-up machines: what is known beforehand, and what must hold for all of them.

use super::*;
use crate::preflight::costs::ENDPOINT_BYTES;
use crate::preflight::needs::{Destination, PerUser};
use crate::scenario::plan::Agents;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

pub(crate) fn machine() -> Machine {
    Machine {
        descriptors_soft: Some(20_000),
        descriptors_hard: Some(20_000),
        descriptors_ceiling: Some(1_048_576),
        open_files_max: Some(2_466_193),
        open_files_used: Some(484),
        local_port_first: Some(32_768),
        local_port_last: Some(60_999),
        local_ports_reserved: Some(0),
        tcp_tw_reuse: Some(2),
        memory_available_bytes: Some(24_000_000_000),
        cores: Some(2),
        threads_max: Some(192_731),
        ..Machine::default()
    }
}

fn needs(users: u64) -> Needs {
    Needs {
        users,
        users_bound: users,
        users_active_bound: users,
        requests_per_s_max: None,
        per_user: PerUser { http_connections: 1.0, requests_per_s: 0.1, ..PerUser::default() },
        open_parts: 0,
        shards_max: None,
        endpoints: 1,
        connections_closed_per_s_max: None,
        destinations: vec![Destination {
            name: "target".into(),
            loopback: true,
            sources: 250,
            peers: 1,
            connections_per_user: 1.0,
            closes: true,
        }],
        target_is_here: true,
        target_processes: None,
        assumptions: Vec::new(),
    }
}

fn limit(fit: &Fit, resource: Resource) -> &Limit {
    fit.limits.iter().find(|limit| limit.resource == resource).expect("the machine tells of it")
}

#[test]
fn a_hundred_thousand_users_under_a_limit_of_20_000_take_six_agents_and_nine_addresses() {
    let fit = fit(&needs(100_000), &machine(), Agents::Auto);
    assert_eq!((fit.agents, fit.source_addresses), (6, 9));
    assert_eq!(fit.refusing().count() + fit.warning().count(), 0, "{fit:#?}");
    assert_eq!(limit(&fit, Resource::Descriptors).users_max, Some(256 * (20_000 - 128 - 8)));
}

#[test]
fn one_agent_is_refused_what_six_carry_and_told_so() {
    let fit = fit(&needs(100_000), &machine(), Agents::Fixed(1));
    let refusing: Vec<&Limit> = fit.refusing().collect();
    assert_eq!(refusing.len(), 1);
    assert_eq!(refusing[0].users_max, Some(19_856));
    assert_eq!((refusing[0].needed, refusing[0].available), (100_144, 20_000));
    assert_eq!(
        refusing[0].lift,
        "--agents 6, or as root: ulimit -n 100144 (or LimitNOFILE= of systemd, --ulimit nofile= of docker)"
    );
    let mine = Machine { descriptors_hard: Some(200_000), ..machine() };
    let fit = super::fit(&needs(100_000), &mine, Agents::Fixed(1));
    assert_eq!(limit(&fit, Resource::Descriptors).lift, "--agents 6, or ulimit -n 100144");
}

#[test]
fn a_target_elsewhere_has_the_ports_of_one_address() {
    let mut needs = needs(60_000);
    needs.destinations[0] = Destination { loopback: false, sources: 1, ..needs.destinations[0].clone() };
    let ports = fit(&needs, &machine(), Agents::Auto);
    let ports = limit(&ports, Resource::Ports);
    assert_eq!((ports.available, ports.users_max), (26_820, Some(26_820)));
    assert!(!ports.fits());
    assert_eq!(ports.lift, "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"");
    needs.users_bound = 70_000;
    let more = fit(&needs, &machine(), Agents::Auto);
    assert_eq!(
        limit(&more, Resource::Ports).lift,
        "3 addresses to send from: swarm.source_ips: [ADDRESS, …]",
        "no range of ports is wide enough"
    );
}

#[test]
fn few_connections_from_one_address_run_out_before_many_from_many() {
    let mut needs = needs(40_000);
    needs.per_user = PerUser { websockets: 2.0, ..needs.per_user };
    let here = Destination { connections_per_user: 2.0, closes: false, ..needs.destinations[0].clone() };
    let there = Destination { loopback: false, sources: 1, ..needs.destinations[0].clone() };
    needs.destinations = vec![there, here];
    let fit = fit(&needs, &machine(), Agents::Auto);
    let ports = limit(&fit, Resource::Ports);
    assert_eq!((ports.needed, ports.available, ports.users_max), (40_000, 26_820, Some(26_820)));
    assert_eq!(needs.destinations[1].lanes(), 250);
}

#[test]
fn what_is_closed_keeps_ports_only_where_it_went() {
    let mut needs = needs(1_000);
    needs.per_user.connections_closed_per_s = 2.0;
    let sockets = Destination { loopback: false, sources: 1, closes: false, ..needs.destinations[0].clone() };
    needs.destinations.push(sockets);
    let no_reuse = Machine { tcp_tw_reuse: Some(0), ..machine() };
    assert_eq!(limit(&fit(&needs, &no_reuse, Agents::Auto), Resource::Ports).needed, 1_000);
    needs.destinations[0].sources = 1;
    assert_eq!(limit(&fit(&needs, &no_reuse, Agents::Auto), Resource::Ports).needed, 121_000);
}

#[test]
fn closed_connections_keep_their_ports_for_a_minute() {
    let mut needs = needs(1_000);
    needs.destinations[0].loopback = false;
    needs.per_user.connections_closed_per_s = 2.0;
    let held = fit(&needs, &machine(), Agents::Auto);
    assert_eq!(limit(&held, Resource::Ports).needed, 1_000 + 2 * 60 * 1_000);
    let tracked = Machine { conntrack_max: Some(100_000), conntrack_used: Some(10), ..machine() };
    let tracked = fit(&needs, &tracked, Agents::Auto);
    let tracked = limit(&tracked, Resource::TrackedConnections);
    assert_eq!((tracked.needed, tracked.available), (1_000 + 2 * 120 * 1_000, 99_990));
    let reused = fit(&needs, &Machine { tcp_tw_reuse: Some(1), ..machine() }, Agents::Auto);
    assert_eq!(limit(&reused, Resource::Ports).needed, 1_000 + 2 * 1_000);
}

#[test]
fn processes_share_the_cores_and_so_their_threads() {
    let needs = needs(100_000);
    let eight = Machine { cores: Some(8), ..machine() };
    let threads = |spread: Spread| {
        let fit = fit(&needs, &eight, spread);
        (fit.agents, fit.shards, limit(&fit, Resource::Threads).needed)
    };
    assert_eq!(threads(Agents::Auto.into()), (6, 1, 8 + 6 * 4), "4 processes have all 8 cores");
    assert_eq!(threads(Agents::Fixed(8).into()), (8, 1, 8 * (1 + 4)));
    assert_eq!(threads(Agents::Fixed(1).into()), (1, 8, 8 + 4));
    let asked = Spread { agents: Agents::Fixed(8), shards: Some(3) };
    assert_eq!(threads(asked), (8, 3, 8 * (3 + 4)), "as many as were asked for");
}

#[test]
fn threads_that_are_there_already_count_against_every_limit() {
    let one = Spread { agents: Agents::Fixed(1), shards: Some(6) };
    let threads = |machine: &Machine| {
        let fit = fit(&needs(10), machine, one);
        let threads = limit(&fit, Resource::Threads);
        (threads.available, threads.fits(), threads.lift.clone())
    };
    let system = Machine { threads_max: Some(30), threads_used: Some(25), ..machine() };
    assert_eq!(threads(&system), (5, false, "sysctl -w kernel.threads-max=35".into()));
    let user = Machine { user_threads_max: Some(12), user_threads_used: Some(4), ..machine() };
    assert_eq!(threads(&user), (8, false, "as root: ulimit -u 14".into()));
    let group = Machine { pids_free: Some(7), ..user };
    assert_eq!(threads(&group).2, "let the control group have 10 more threads (pids.max)");
}

#[test]
fn reuse_of_ports_is_named_only_where_it_helps() {
    let lift = |users, closed_per_s| {
        let mut needs = needs(users);
        needs.destinations[0] = Destination { loopback: false, sources: 1, ..needs.destinations[0].clone() };
        needs.per_user.connections_closed_per_s = closed_per_s;
        limit(&fit(&needs, &machine(), Agents::Auto), Resource::Ports).lift.clone()
    };
    assert!(lift(1_000, 2.0).starts_with("sysctl -w net.ipv4.tcp_tw_reuse=1, or connections that are kept"));
    assert!(lift(30_000, 0.1).starts_with("8 addresses to send from"), "{}", lift(30_000, 0.1));
    assert!(lift(10_000, 0.0).starts_with("sysctl -w net.ipv4.ip_local_port_range"));
}

#[test]
fn a_machine_that_tells_nothing_refuses_nothing() {
    let fit = fit(&needs(10_000_000), &Machine::default(), Agents::Auto);
    assert_eq!((fit.agents, fit.source_addresses, fit.limits.len()), (1, 1, 0));
}

#[test]
fn the_smaller_of_memory_and_its_group_counts() {
    let grouped = Machine { memory_cgroup_bytes: Some(1_000_000_000), ..machine() };
    let fit = fit(&needs(200_000), &grouped, Agents::Auto);
    let memory = limit(&fit, Resource::MemoryBytes);
    assert_eq!(memory.available, 900_000_000);
    assert!(!memory.fits());
    assert!(memory.lift.starts_with("let the control group have"), "{}", memory.lift);
}

#[test]
fn every_shard_takes_descriptors_and_every_open_part_one_of_each() {
    let large = Machine { cores: Some(96), ..machine() };
    let needed = |open_parts, agents| {
        let needs = Needs { open_parts, ..needs(1_000) };
        let fit = fit(&needs, &large, Agents::Fixed(agents));
        (limit(&fit, Resource::Descriptors).needed, limit(&fit, Resource::OpenFiles).needed)
    };
    assert_eq!(needed(0, 1), (1_000 + 128 + 96 * 8, 2_000 + 128 + 96 * 8));
    assert_eq!(needed(2, 4), (250 + 128 + 24 * 10, 2_000 + 4 * 128 + 96 * 10));
    let tight = Machine { descriptors_soft: Some(1_000), ..large };
    assert_eq!(
        fit(&needs(1_000), &tight, Agents::Auto).agents,
        3,
        "48 shards in each of two leave room for 488 users"
    );
}

#[test]
fn many_endpoints_take_memory_in_every_shard() {
    let large = Machine { cores: Some(32), ..machine() };
    let needed = |endpoints, spread: Spread| {
        let needs = Needs { endpoints, ..needs(1_000) };
        limit(&fit(&needs, &large, spread), Resource::MemoryBytes).needed
    };
    let shards = Spread { agents: Agents::Fixed(2), shards: Some(5) };
    assert_eq!(needed(60, shards) - needed(2, shards), 10 * 58 * ENDPOINT_BYTES);
    let all_cores = Agents::Fixed(1).into();
    assert_eq!(needed(60, all_cores) - needed(2, all_cores), 32 * 58 * ENDPOINT_BYTES);
}

#[test]
fn no_more_shards_than_have_slots_are_counted() {
    let large = Machine { cores: Some(32), ..machine() };
    let of = |shards_max, agents| {
        let needs = Needs { shards_max, endpoints: 100, ..needs(1_000) };
        let fit = fit(&needs, &large, Agents::Fixed(agents));
        (fit.shards, limit(&fit, Resource::MemoryBytes).needed)
    };
    let ((all, most), (few, less)) = (of(None, 1), of(Some(4), 1));
    assert_eq!((all, few, most - less), (32, 4, 28 * 100 * ENDPOINT_BYTES));
    assert_eq!((of(Some(4), 2).0, of(Some(4), 9).0), (2, 1));
}

#[test]
fn a_limit_too_small_for_a_process_itself_is_not_met_with_many_of_them() {
    let small = Machine { descriptors_soft: Some(100), ..machine() };
    let fit = fit(&needs(400), &small, Agents::Auto);
    assert_eq!((fit.agents, limit(&fit, Resource::Descriptors).users_max), (1, Some(0)));
    assert!(!limit(&fit, Resource::Descriptors).fits());
}

#[test]
fn numbers_are_grouped() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
}

fn any_needs() -> impl Strategy<Value = Needs> {
    let per_user = (0.0..2.0_f64, 0.0..3.0_f64, 0.0..2.0_f64, 0.0..1.0_f64, 0.0..20.0_f64, 0.0..5.0_f64);
    (0..3_000_000_u64, 0..3_000_000_u64, per_user, 1..300_u32, proptest::bool::ANY).prop_map(
        |(users, more, (http, ws, sse, tls, rate, closed), sources, here)| Needs {
            users,
            users_bound: users + more,
            users_active_bound: users + more,
            requests_per_s_max: None,
            per_user: PerUser {
                http_connections: http,
                http2_connections: http,
                websockets: ws,
                event_streams: sse,
                tls_connections: tls,
                requests_per_s: rate,
                connections_closed_per_s: closed,
            },
            open_parts: u64::from(sources % 5),
            shards_max: (sources % 3 > 0).then_some(sources),
            endpoints: u64::from(sources % 70),
            connections_closed_per_s_max: (sources % 2 == 0).then_some(closed * users as f64),
            destinations: vec![Destination {
                name: "target".into(),
                loopback: here,
                sources,
                peers: 1 + sources % 3,
                connections_per_user: http + ws + sse,
                closes: true,
            }],
            target_is_here: here,
            target_processes: here.then_some(1 + u64::from(sources % 12)),
            assumptions: Vec::new(),
        },
    )
}

fn any_machine() -> impl Strategy<Value = Machine> {
    let files = (300..2_000_000_u64, 1_000..5_000_000_u64);
    let ports = (1_024..30_000_u16, 30_000..65_535_u16, 0..2_u64);
    let rest = (100_000_000..64_000_000_000_u64, 1..64_u32, 50..200_000_u64, 1_000..1_000_000_u64);
    (files, ports, rest).prop_map(
        |((soft, all), (first, last, reuse), (memory, cores, threads, conntrack))| Machine {
            descriptors_soft: Some(soft),
            descriptors_ceiling: Some(1 << 20),
            open_files_max: Some(all),
            local_port_first: Some(first),
            local_port_last: Some(last),
            tcp_tw_reuse: Some(reuse),
            memory_available_bytes: Some(memory),
            cores: Some(cores),
            threads_max: Some(threads),
            conntrack_max: Some(conntrack),
            ..Machine::default()
        },
    )
}

fn any_spread() -> impl Strategy<Value = Spread> {
    (0..100_u32, 0..20_u32).prop_map(|(count, shards)| Spread {
        agents: if count < 50 { Agents::Auto } else { Agents::Fixed(count - 49) },
        shards: (shards > 10).then_some(shards),
    })
}

proptest! {
    #[test]
    fn every_limit_bites_where_it_says(needs in any_needs(), machine in any_machine(), spread in any_spread()) {
        for limit in fit(&needs, &machine, spread).limits {
            let at = |users| {
                let needs = Needs { users, users_bound: users, ..needs.clone() };
                let again = fit(&needs, &machine, spread);
                let fits = again.limits.iter().find(|other| other.resource == limit.resource).map(Limit::fits);
                fits.expect("the same machine has the same limits")
            };
            match limit.users_max {
                // A machine may be too small for nobody at all.
                Some(users) => prop_assert!((at(users) || users == 0) && !at(users + 1), "{limit:?}"),
                None => prop_assert!(at(needs.users_bound) && at(1 << 39), "{limit:?}"),
            }
            prop_assert_eq!(limit.fits(), limit.users_max.is_none_or(|max| needs.users <= max && at(needs.users)));
        }
    }

    #[test]
    fn more_users_never_take_fewer_agents_or_addresses(
        needs in any_needs(), machine in any_machine(), spread in any_spread(), more in 0..1_000_000_u64,
    ) {
        let few = fit(&needs, &machine, spread);
        let many = Needs { users: needs.users + more, users_bound: needs.users_bound + more, ..needs };
        let many = fit(&many, &machine, spread);
        prop_assert!(many.agents >= few.agents && many.source_addresses >= few.source_addresses);
        prop_assert!(few.agents >= 1 && few.source_addresses >= 1);
    }

    #[test]
    fn the_ladder_goes_up(needs in any_needs(), machine in any_machine(), spread in any_spread()) {
        let steps: Vec<u64> =
            fit(&needs, &machine, spread).limits.iter().map(|limit| limit.users_max.unwrap_or(u64::MAX)).collect();
        prop_assert!(steps.is_sorted());
    }
}
