//! The tail held against Erlang and against simulations.

use super::*;
use crate::queueing::erlang::Waiting;
use crate::queueing::model::{Load, Model, Network, Pool, Populations, Servers, Service, Station};
use crate::queueing::simulate::{Hold, Options, simulate};
use rand::SeedableRng as _;

fn constant(seconds: f64) -> Alone {
    Alone::new(&[(0.5, seconds)])
}

/// Erlang: P(W > t) = C·e^(−(c/H − λ)t) of a queue with exponential service.
#[test]
fn an_open_queue_has_erlang_s_tail() {
    for (servers, rate_per_s, hold_s) in [(1, 30.0, 0.02), (10, 450.0, 0.02), (4, 190.0, 0.02)] {
        let node = Node::servers(servers, hold_s, 1.0);
        let truth = Waiting::of(servers, rate_per_s, hold_s).unwrap();
        let p = p_longer(&[node], Source::Rate { per_s: rate_per_s }, &constant(hold_s), hold_s + 0.05);
        // The last of the departures waited for is spread normally, not exponentially.
        assert!((p / truth.p_longer_than(0.05) - 1.0).abs() < 0.15, "{p} {}", truth.p_longer_than(0.05));
    }
    let full = Node::servers(2, 0.1, 1.0);
    assert_eq!(p_longer(&[full], Source::Rate { per_s: 20.0 }, &constant(0.1), 1.0), 1.0);
}

#[test]
fn times_alone_keep_their_shape() {
    let alone = Alone::new(&[(0.0, 0.01), (0.5, 0.02), (1.0, 0.05)]);
    assert!((alone.mean_s() - (0.5 * 0.015 + 0.5 * 0.035)).abs() < 1e-12);
    assert!((alone.p_longer(0.02) - 0.5).abs() < 1e-12 && (alone.p_longer(0.035) - 0.25).abs() < 1e-12);
    assert_eq!((alone.p_longer(0.005), alone.p_longer(0.06)), (1.0, 0.0));
    let doubled = alone.with_mean(0.05);
    assert!((doubled.p_longer(0.07) - 0.25).abs() < 1e-12);
    assert!((doubled.variation() - alone.variation()).abs() < 1e-12);
    assert!((Alone::new(&[(0.0, 0.0), (1.0, 1.0)]).variation() - 1.0 / 3.0).abs() < 1e-12, "uniform");
}

/// One request in five visits a pool, and takes 20 ms there where others take one: of all requests a fifth of those are late that would be if there were
/// no others, whose time is then a part of thinking.
#[test]
fn a_node_that_few_visit_delays_few() {
    let (hold_s, other_s, limit_s) = (0.02, 0.001, 0.1);
    let some = [Node { visits: 0.2, ..Node::servers(10, hold_s, 0.0) }];
    let all = [Node::servers(10, hold_s, 0.0)];
    let mixed = Alone::new(&[(0.8, other_s), (0.8, hold_s)]);
    for (per_page, per_visit) in [
        (Source::Rate { per_s: 2450.0 }, Source::Rate { per_s: 490.0 }),
        (
            Source::Users { users: 520, think_s: 0.2, spread: 0.5 },
            Source::Users { users: 520, think_s: 1.0 + 4.0 * other_s, spread: 0.5 },
        ),
    ] {
        let p = p_longer(&some, per_page, &mixed, limit_s);
        let of_visits = p_longer(&all, per_visit, &constant(hold_s), limit_s);
        assert!(of_visits > 1e-4 && (p / (0.2 * of_visits) - 1.0).abs() < 1e-9, "{p} {of_visits}");
    }
    assert!((some[0].fastest_per_s() - 2500.0).abs() < 1e-9);
}

/// The largest number of users within p99 ≤ `limit_s`, simulated.
fn simulated(network: &Network, hold: &Hold, think: &Hold, limit_s: f64, from: u64) -> u64 {
    let mut options = Options::of(network, 40_000);
    options.settling = 10_000;
    options.holds = vec![hold.clone(); network.stations.len()];
    options.think = think.clone();
    let is_good = |users: u64| {
        let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(users);
        let answer = simulate(network, Some(users), &options, 1, &mut random);
        answer.simulation.and_then(|said| said.response_p99_s).is_some_and(|p99| p99 <= limit_s)
    };
    let (mut low, mut high) = (from / 2, from * 2);
    while high - low > from / 100 + 1 {
        let middle = u64::midpoint(low, high);
        if is_good(middle) { low = middle } else { high = middle }
    }
    u64::midpoint(low, high)
}

/// The load within a p99 is that of a simulation, for one pool and for a pool after a processor, constant and exponential.
#[test]
fn the_load_within_a_percentile_is_the_simulated_one() {
    for (slots, hold_s, cores, cpu_s, limit_s, variation, spread) in [
        (10, 0.02, 4, 0.002, 0.1, 0.0, 1.0),
        (10, 0.02, 1, 0.0019, 0.15, 0.0, 1.0),
        (4, 0.02, 2, 0.002, 0.25, 1.0, 1.0),
        (12, 0.03, 1, 0.002, 0.3, 1.0, 1.0),
        (10, 0.02, 4, 0.0005, 0.1, 0.0, 1.0 / 3.0),
        (4, 0.05, 1, 0.0005, 0.25, 0.0, 1.0 / 3.0),
        (4, 0.05, 1, 0.0005, 0.25, 0.0, 0.0),
        (2, 0.05, 1, 0.0005, 0.25, 0.0, 1.0 / 3.0),
        (4, 0.05, 1, 0.0005, 0.6, 1.0, 1.0 / 3.0),
    ] {
        let think_s = 1.0;
        let station = |name: &str, demand_s, servers| Station {
            name: name.into(),
            demand_s,
            servers,
            service: Service::Exponential,
        };
        let network = Model {
            users: Some(Populations::One(1)),
            think_s: Some(think_s),
            open: None,
            classes: None,
            stations: vec![
                station("app", cpu_s, Servers::Count(cores)),
                station("db", hold_s, Servers::Delay),
            ],
            pools: vec![Pool {
                name: "pool".into(),
                slots,
                guards: vec!["db".into()],
                timeout_s: None,
                queue_max: None,
                retry_ratio: None,
            }],
        }
        .check()
        .unwrap();
        assert!(matches!(network.load, Load::Closed { .. }));
        let hold = if variation == 0.0 { Hold::Constant } else { Hold::Exponential };
        let alone = if variation == 0.0 {
            constant(hold_s + cpu_s)
        } else {
            let points: Vec<(f64, f64)> = (0..1000)
                .map(|i| (f64::from(i) / 1000.0, -hold_s * (1.0 - f64::from(i) / 1000.0).ln()))
                .collect();
            Alone::new(&points).with_mean(hold_s + cpu_s)
        };
        let nodes = [Node::servers(cores, cpu_s, variation), Node::servers(slots, hold_s, variation)];
        let is_good =
            |users| p_longer(&nodes, Source::Users { users, think_s, spread }, &alone, limit_s) <= 0.01;
        let line = (1..5000).take_while(|users| is_good(*users)).last().unwrap();
        // Uniform from 0.5 to 1.5: two of them differ by a third on average.
        let think = match spread {
            1.0 => Hold::Exponential,
            0.0 => Hold::Constant,
            _ => Hold::Empirical((0..1000).map(|i| 0.5 + f64::from(i) / 999.0).collect()),
        };
        let truth = simulated(&network, &hold, &think, limit_s, line);
        assert!(
            (line as f64 / truth as f64 - 1.0).abs() < 0.05,
            "{slots} slots, {cores} cores: {line} for {truth}"
        );
    }
}
