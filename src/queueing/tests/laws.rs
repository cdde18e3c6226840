//! What holds for every network: Little's law, the bounds, that more users bring no less, that the order of a list means nothing.

use super::super::answer::Answer;
use super::super::laws::{Center, balanced_bounds_per_s, throughput_bound_per_s};
use super::super::model::{Model, Network, Pool, Populations, Servers, Station};
use super::super::solve;
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};
use proptest::{collection, prop_assert, prop_assert_eq};

fn servers() -> impl Strategy<Value = Servers> {
    prop_oneof![
        3 => Just(Servers::Count(1)),
        3 => (2usize..9).prop_map(Servers::Count),
        1 => Just(Servers::Delay),
    ]
}

/// Stations `s0`, `s1`, …; pools guard the first of them, each inner one fewer, and one stands alone on the last.
fn models() -> impl Strategy<Value = Model> {
    let stations = collection::vec((1e-3f64..0.5, servers()), 2..6);
    let pools = collection::vec(1usize..12, 0..4);
    let users = collection::vec(1u64..80, 3);
    let think = prop_oneof![Just(0.0), 0.01f64..5.0];
    (stations, pools, users, think).prop_map(|(stations, slots, users, think_s)| {
        let stations: Vec<Station> = stations
            .into_iter()
            .enumerate()
            .map(|(index, (demand_s, servers))| Station {
                name: format!("s{index}"),
                demand_s,
                servers,
                ..Station::default()
            })
            .collect();
        let last = stations.len() - 1;
        let pools = slots.into_iter().enumerate().map(|(index, slots)| Pool {
            name: format!("p{index}"),
            slots,
            guards: match index {
                0 => vec![format!("s{last}")],
                _ => {
                    (0..last.saturating_sub(index - 1).max(1)).map(|station| format!("s{station}")).collect()
                }
            },
            ..Pool::default()
        });
        Model {
            pools: pools.collect(),
            users: Some(Populations::Several(users)),
            think_s: Some(think_s),
            open: None,
            classes: None,
            stations,
        }
    })
}

fn checked(model: &Model) -> Network {
    model.clone().check().unwrap_or_else(|faults| panic!("{model:?}: {faults:?}"))
}

fn solved(model: &Model) -> Vec<Answer> {
    solve(&checked(model)).unwrap_or_else(|faults| panic!("{model:?}: {faults:?}"))
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-8 * a.abs().max(b.abs()).max(1.0)
}

proptest! {
    #[test]
    fn everybody_is_somewhere(model in models()) {
        for answer in solved(&model) {
            let throughput = answer.throughput_per_s.unwrap();
            let at_stations: f64 = answer.stations.iter().map(|station| station.queue.unwrap()).sum();
            let waiting: f64 = answer.pools.iter().map(|pool| pool.waiting.unwrap()).sum();
            let users = answer.users.unwrap() as f64;
            let think_s = model.think_s.unwrap();
            prop_assert!(near(at_stations + waiting + throughput * think_s, users), "{answer:?}");
            prop_assert!(near(throughput * (answer.response_s.unwrap() + think_s), users), "{answer:?}");
            for (station, described) in answer.stations.iter().zip(&model.stations) {
                if let Servers::Count(servers) = described.servers {
                    let busy = station.utilization.unwrap() * servers as f64;
                    prop_assert!(near(busy, throughput * described.demand_s));
                    prop_assert!(station.queue.unwrap() >= busy - 1e-8);
                }
            }
            for (pool, described) in answer.pools.iter().zip(&model.pools) {
                prop_assert!(pool.busy.unwrap() <= described.slots as f64 + 1e-8);
                prop_assert!((0.0..=1.0 + 1e-9).contains(&pool.p_all_busy.unwrap()));
                prop_assert!(pool.waiting.unwrap() >= 0.0);
            }
        }
    }

    /// Who has a slot is at what it guards, or waits for a pool inside.
    #[test]
    fn a_slot_is_held_somewhere(model in models()) {
        for answer in solved(&model) {
            for (outer, pool) in model.pools.iter().enumerate() {
                let at = |name: &String| answer.stations.iter().find(|station| station.name == *name).unwrap().queue.unwrap();
                let inside: f64 = pool.guards.iter().map(at).sum();
                let inner = model.pools.iter().enumerate().filter(|(index, other)| {
                    let smaller = other.guards.len() < pool.guards.len();
                    let later = other.guards.len() == pool.guards.len() && *index > outer;
                    other.guards.iter().all(|name| pool.guards.contains(name)) && (smaller || later)
                });
                let waiting: f64 = inner.map(|(index, _)| answer.pools[index].waiting.unwrap()).sum();
                prop_assert!(near(inside + waiting, answer.pools[outer].busy.unwrap()), "{pool:?} {answer:?}");
            }
        }
    }

    #[test]
    fn more_users_bring_no_less_and_no_more_than_the_bounds(mut model in models()) {
        model.users = Some(Populations::Several((1..40).collect()));
        let think_s = model.think_s.unwrap();
        let total: f64 = model.stations.iter().map(|station| station.demand_s).sum();
        let centers: Vec<Center> = model.stations.iter().map(|station| Center {
            demand_s: station.demand_s,
            servers: match station.servers { Servers::Count(count) => count as f64, Servers::Delay => f64::INFINITY },
        }).collect();
        let answers = solved(&model);
        prop_assert!(near(answers[0].throughput_per_s.unwrap(), 1.0 / (think_s + total)));
        let mut before = 0.0;
        for answer in answers {
            let throughput = answer.throughput_per_s.unwrap();
            let bound = throughput_bound_per_s(&centers, answer.users.unwrap() as f64, think_s);
            prop_assert!(throughput >= before * (1.0 - 1e-9));
            prop_assert!(throughput > 0.0 && throughput <= bound * (1.0 + 1e-9), "{throughput} {bound}");
            before = throughput;
        }
    }

    #[test]
    fn single_servers_lie_within_the_balanced_bounds(mut model in models()) {
        model.pools.clear();
        model.stations.iter_mut().for_each(|station| station.servers = Servers::Count(1));
        let demands: Vec<f64> = model.stations.iter().map(|station| station.demand_s).collect();
        for answer in solved(&model) {
            let (low, high) = balanced_bounds_per_s(&demands, answer.users.unwrap() as f64, model.think_s.unwrap());
            let throughput = answer.throughput_per_s.unwrap();
            prop_assert!(low * (1.0 - 1e-9) <= throughput && throughput <= high * (1.0 + 1e-9));
        }
    }

    #[test]
    fn the_order_of_stations_means_nothing(model in models(), turned in 1usize..5) {
        let mut other = model.clone();
        let by = turned % model.stations.len();
        other.stations.rotate_left(by);
        for (left, right) in solved(&model).iter().zip(solved(&other)) {
            prop_assert!(near(left.throughput_per_s.unwrap(), right.throughput_per_s.unwrap()));
            for station in &left.stations {
                let same = right.stations.iter().find(|other| other.name == station.name).unwrap();
                prop_assert!(near(station.queue.unwrap(), same.queue.unwrap()));
            }
        }
    }

    /// As many servers, or slots, as there are users are as good as none to wait for.
    #[test]
    fn room_for_all_is_a_delay(model in models()) {
        let (mut wide, mut delays) = (model.clone(), model);
        wide.stations.iter_mut().for_each(|station| station.servers = Servers::Count(80));
        wide.pools.iter_mut().for_each(|pool| pool.slots = 80);
        delays.stations.iter_mut().for_each(|station| station.servers = Servers::Delay);
        delays.pools.clear();
        for (left, right) in solved(&wide).iter().zip(solved(&delays)) {
            prop_assert!(near(left.throughput_per_s.unwrap(), right.throughput_per_s.unwrap()));
            for (left, right) in left.stations.iter().zip(&right.stations) {
                prop_assert!(near(left.queue.unwrap(), right.queue.unwrap()));
            }
            prop_assert_eq!(left.pools.iter().map(|pool| pool.waiting.unwrap()).fold(0.0, f64::max) < 1e-9, true);
        }
    }
}

/// The same for sizes at which a plain product of weights would overflow and a sum over all states would not end.
#[test]
fn large_networks_add_up() {
    let station = |name: &str, demand_s: f64, servers: Servers| Station {
        name: name.into(),
        demand_s,
        servers,
        ..Station::default()
    };
    let pool = |name: &str, slots: usize, guards: &[&str]| Pool {
        name: name.into(),
        slots,
        guards: guards.iter().map(|guarded| (*guarded).into()).collect(),
        ..Pool::default()
    };
    for (think_s, slots) in [(0.0, 500), (0.7, 4000), (0.7, 900), (30.0, 900)] {
        let model = Model {
            users: Some(Populations::Several(vec![100, 3900, 20_000])),
            think_s: Some(think_s),
            open: None,
            classes: None,
            stations: vec![
                station("cpu", 0.05, Servers::Count(900)),
                station("db", 0.1, Servers::Count(700)),
                station("wait", 0.1, Servers::Delay),
                station("cache", 0.03, Servers::Delay),
                station("disk", 1e-4, Servers::Count(1)),
            ],
            pools: vec![
                pool("outer", slots, &["cpu", "db", "wait"]),
                pool("inner", 800, &["db"]),
                pool("redis", 300, &["cache"]),
            ],
        };
        for answer in solved(&model) {
            let there: f64 = answer.stations.iter().map(|station| station.queue.unwrap()).sum();
            let waiting: f64 = answer.pools.iter().map(|pool| pool.waiting.unwrap()).sum();
            let users = answer.users.unwrap() as f64;
            let everybody = there + waiting + answer.throughput_per_s.unwrap() * think_s;
            assert!((everybody / users - 1.0).abs() < 1e-9, "{everybody} of {users}: {answer:?}");
        }
    }
}
