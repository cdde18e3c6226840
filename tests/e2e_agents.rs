//! Runs that several processes carry: the same load as one would give, nothing lost while all of them live, and a number for what goes
//! with one that does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod e2e;

use e2e::folder::{Folder, sound};
use e2e::invocation::{Invocation, Running, plimsoll, run, run_at};
use e2e::served::Served;
use e2e::{processes, scratch, servers, tell};
use plimsoll::record::recorded::Recorded;
use plimsoll::record::summary::Verdict;
use rustix::process::Signal;
use std::path::Path;

fn seconds_recorded(dir: &Path) -> u64 {
    Recorded::open(dir).map_or(0, |recorded| recorded.manifest.duration_s as u64)
}

/// Starts a run and waits until its agents have reported twice.
fn under_way(dir: &Path, run: Invocation, agents: usize) -> (Running, Vec<i32>) {
    let run = run.arg("--agents").arg(agents.to_string()).out(dir).start();
    run.await_until("second in the record", || seconds_recorded(dir) >= 2);
    let found = processes::agents(run.pid());
    assert_eq!(found.len(), agents);
    (run, found)
}

fn await_end(pid: i32) {
    for _ in 0..500 {
        if !processes::lives(pid) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("agent {pid} is left behind");
}

#[test]
fn four_processes_send_the_load_that_one_would() {
    let carried = |agents: &str| -> Folder {
        let dir = scratch();
        let run = plimsoll(["run", "scenarios/steady-open.yaml", "--agents", agents]).out(dir.path());
        let run =
            run.on_a_busy_machine().set("load.0.stages.1.hold", "4s").set("thresholds", "[error_rate < 1%]");
        run.run().exits(0);
        sound(dir.path())
    };
    let (one, four) = (carried("1"), carried("4"));
    assert_eq!((one.summary.generator.agents, four.summary.generator.agents), (1, 4));
    assert!(one.summary.counts.planned > 500, "{:?}", one.summary.counts);
    assert_eq!(
        one.summary.counts.planned, four.summary.counts.planned,
        "the same arrivals, whoever carries them"
    );
    for name in ["list-products", "product"] {
        assert_eq!(one.endpoint(name).count, four.endpoint(name).count, "{name}");
    }
    assert_eq!(four.summary.counts.lost, 0);
}

/// 1,500 users who are all there for three seconds and ask for less than the target can do.
fn crowd(run: Invocation) -> Invocation {
    run.set("load.0.stages", "[{to: 1500, over: 5s}, {hold: 3s}]")
        .set("scenarios.look.steps", "[{get: /healthz, expect: {status: 200}}, {think: 10s}]")
        .on_a_busy_machine()
}

/// A call whose processes may each have `count` descriptors, which is not to be raised.
fn with_descriptors(run: Invocation, count: u32) -> Invocation {
    run.under("sh", &["-c", &format!("ulimit -n {count}; exec \"$0\" \"$@\"")])
}

/// Nobody says how many: it takes as many processes as their descriptors make necessary.
#[test]
fn users_beyond_the_descriptors_of_one_process_get_another() {
    let (dir, target) = (scratch(), Served::start("baseline", &[]));
    let run = run("readers.yaml").set("target", format!("{{http: 'http://{}'}}", target.addr));
    with_descriptors(crowd(run).out(dir.path()), 1000).run().exits(0);
    let summary = sound(dir.path()).summary;
    assert_eq!((summary.generator.agents, summary.requests.failed), (2, 0));
    assert_eq!((summary.requests.connections_opened, summary.generator.sockets_max), (1500, 1500));
}

/// A machine with a thousand ports has them once for each of its addresses, and on loopback it has as many of those as it takes.
#[test]
fn users_beyond_the_ports_of_one_address_get_another() {
    let thousand = "ip link set lo up && echo 40000 40999 > /proc/sys/net/ipv4/ip_local_port_range";
    let own_network = |then: &str| {
        ["-rn", "sh", "-c"].map(str::to_owned).into_iter().chain([format!("{thousand} && {then}")])
    };
    if !std::process::Command::new("unshare").args(own_network("true")).status().is_ok_and(|it| it.success())
    {
        tell("skipped: no network namespace of one's own on this machine");
        return;
    }
    let dir = scratch();
    let run = crowd(run("readers.yaml")).out(dir.path());
    let own_network: Vec<String> = own_network("exec \"$0\" \"$@\"").collect();
    let own_network: Vec<&str> = own_network.iter().map(String::as_str).collect();
    run.under("unshare", &own_network).run().exits(0);
    let summary = sound(dir.path()).summary;
    assert_eq!((summary.generator.agents, summary.requests.failed), (1, 0));
    assert_eq!((summary.requests.connections_opened, summary.generator.sockets_max), (1500, 1500));
}

#[test]
fn levels_are_steered_in_all_processes_alike() {
    let dir = scratch();
    run("stairs.yaml").arg("--agents").arg("3").out(dir.path()).run();
    let folder = sound(dir.path());
    assert!(folder.summary.levels.len() >= 2, "{:?}", folder.summary.levels);
    for level in &folder.summary.levels {
        assert_eq!(level.users, level.level, "the users of the level, over all agents");
    }
}

#[test]
fn an_agent_that_is_shot_is_named_and_what_it_had_is_counted() {
    let dir = scratch();
    let (run, agents) = under_way(dir.path(), run("readers.yaml"), 3);
    processes::signal(agents[1], Signal::KILL);
    run.finish().exits(5).says("is lost");
    let folder = sound(dir.path());
    assert_eq!((folder.summary.verdict, folder.summary.exit_code), (Verdict::QuorumLost, 5));
    assert!(folder.events().contains("agent: agent "), "{}", folder.events());
    assert!(folder.events().contains("signal: 9"), "{}", folder.events());
    assert!(folder.summary.counts.completed > 0);
    agents.into_iter().for_each(await_end);
}

#[test]
fn an_agent_that_hangs_is_lost_after_ten_seconds_and_does_not_hold_up_the_run() {
    let dir = scratch();
    let (run, agents) = under_way(dir.path(), run("readers.yaml"), 2);
    processes::signal(agents[0], Signal::STOP);
    run.finish().exits(5).says("said nothing for 10 s");
    let folder = sound(dir.path());
    assert_eq!(folder.summary.verdict, Verdict::QuorumLost);
    assert!(folder.summary.counts.lost > 0, "the iterations its users were in: {:?}", folder.summary.counts);
    agents.into_iter().for_each(await_end);
}

/// Whoever watches over the target does not wait for the agent that is silent.
#[test]
fn a_safety_rule_is_met_while_an_agent_hangs() {
    let dir = scratch();
    let guarded = run("readers.yaml").set("safety.abort_when", "[\"count(http) > 0 for 6s\"]");
    let (run, agents) = under_way(dir.path(), guarded, 2);
    processes::signal(agents[0], Signal::STOP);
    run.finish().exits(5).says("said nothing for 10 s");
    let folder = sound(dir.path());
    let told = folder.events();
    assert!(told.contains("late: a shard or an agent is silent"), "{told}");
    let (taken_down, lost) =
        (told.find("`count(http) > 0 for 6s` was met"), told.find("said nothing for 10 s"));
    assert!(taken_down.is_some() && taken_down < lost, "{told}");
    agents.into_iter().for_each(await_end);
}

#[test]
fn arrivals_of_an_agent_that_hangs_are_lost_not_forgotten() {
    let dir = scratch();
    let open = run("readers.yaml")
        .set("load.0.executor", "open")
        .set("load.0.stages", "[{to: 40/s, over: 0s}, {hold: 60s}]");
    let (run, agents) = under_way(dir.path(), open, 2);
    processes::signal(agents[0], Signal::STOP);
    run.finish().exits(5).says("said nothing for 10 s");
    let folder = sound(dir.path());
    let counts = folder.summary.counts;
    // Ten seconds of its half of forty a second, and what it had under way.
    assert!((190..=240).contains(&counts.lost), "{counts:?}");
    let planned = 40.0 * folder.recorded.manifest.duration_s;
    assert!((counts.planned as f64 - planned).abs() <= 0.1 * planned, "{counts:?}, by the curve {planned}");
    agents.into_iter().for_each(await_end);
}

#[test]
fn agents_end_with_their_coordinator() {
    let dir = scratch();
    let (run, agents) = under_way(dir.path(), run("readers.yaml"), 3);
    run.signal(Signal::KILL);
    run.finish();
    agents.into_iter().for_each(await_end);
}

#[test]
fn ctrl_c_reaches_the_users_of_every_process() {
    let dir = scratch();
    let (run, agents) = under_way(dir.path(), run("readers.yaml"), 3);
    run.signal(Signal::INT);
    run.finish().exits(130);
    let counts = sound(dir.path()).summary.counts;
    assert_eq!((counts.interrupted, counts.failed, counts.lost), (0, 0, 0), "{counts:?}");
    agents.into_iter().for_each(await_end);
}

#[test]
fn connections_come_from_every_source_address() {
    let (addr, peers) = servers::noting_peers();
    let dir = scratch();
    let run = run_at("crowd.yaml", addr)
        .set("target.connections", "fresh")
        .set("swarm.source_ips", "[127.0.0.41, 127.0.0.42, 127.0.0.43]");
    run.arg("--agents").arg("2").out(dir.path()).run();
    let folder = sound(dir.path());
    let peers = peers.lock().unwrap();
    // The coordinator's own first connection is one of them.
    assert_eq!(peers.values().sum::<u64>(), folder.summary.requests.connections_opened + 1);
    let counts: Vec<u64> =
        (41..=43).map(|n| peers.get(&[127, 0, 0, n].into()).copied().unwrap_or(0)).collect();
    assert_eq!(counts.iter().sum::<u64>(), peers.values().sum::<u64>(), "from nowhere else: {peers:?}");
    let most = counts.iter().max().unwrap();
    assert!(counts.iter().all(|count| most - count <= most / 4 + 2), "evenly: {counts:?}");
}

#[test]
fn connections_go_to_every_address_of_the_service() {
    let (one, there) = servers::noting_peers();
    let (other, also_there) = servers::noting_peers();
    let dir = scratch();
    run_at("crowd.yaml", one)
        .set("target.connections", "fresh")
        .set("target.connect_to", format!("[\"{one}\", \"{other}\"]"))
        .out(dir.path())
        .run();
    let folder = sound(dir.path());
    let count = |peers: &servers::Peers| peers.lock().unwrap().values().sum::<u64>();
    let (one, other) = (count(&there), count(&also_there));
    assert_eq!(
        one + other,
        folder.summary.requests.connections_opened + 2,
        "each was tried once before the run"
    );
    assert!(one.abs_diff(other) <= one / 4 + 2, "{one} and {other}");
}

#[test]
fn an_address_of_another_machine_is_refused_before_the_first_user() {
    let (addr, peers) = servers::noting_peers();
    let dir = scratch();
    let run = run_at("crowd.yaml", addr).set("swarm.source_ips", "[192.0.2.77]").out(dir.path());
    run.run().exits(8).says("this machine cannot send from 192.0.2.77");
    assert!(peers.lock().unwrap().is_empty());
}

#[test]
fn what_an_agent_cannot_take_is_refused() {
    plimsoll(["run", "scenarios/smoke.yaml", "--agents", "0"]).run().exits(2).says("a number from 1 to");
    plimsoll(["agent"]).run().exits(9).says("not by hand");
}
