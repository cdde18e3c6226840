//! The simulation against the formulas, both ways: within one percent where they are exact, and how far decomposition is off where not.

use super::super::answer::Method;
use super::super::erlang::Waiting;
use super::super::model::Load;
use super::super::simulate::{Hold, Options, simulate};
use super::{Answer, Network, network};
use rand::SeedableRng as _;
use rand_pcg::Pcg64Mcg;

fn run(network: &Network, options: &Options, seed: u64) -> Answer {
    let users = match &network.load {
        Load::Closed { users, .. } => Some(users.all()[0]),
        Load::Open { .. } | Load::Classes(_) => None,
    };
    simulate(network, users, options, seed, &mut Pcg64Mcg::seed_from_u64(seed))
}

fn exponential(text: &str, requests: u64) -> (Answer, Answer) {
    let network = network(text);
    let simulated = run(&network, &Options::of(&network, requests), 7);
    (simulated, super::answer(text))
}

#[track_caller]
fn within(simulated: f64, exact: f64, ratio: f64) {
    assert!((simulated - exact).abs() <= exact.abs() * ratio + 1e-9, "{simulated} is not {exact}");
}

#[track_caller]
fn agree(simulated: &Answer, exact: &Answer, ratio: f64) {
    within(simulated.throughput_per_s.unwrap(), exact.throughput_per_s.unwrap(), ratio);
    within(simulated.response_s.unwrap(), exact.response_s.unwrap(), ratio);
    for (left, right) in simulated.stations.iter().zip(&exact.stations) {
        within(left.queue.unwrap(), right.queue.unwrap(), 2.0 * ratio);
        within(left.utilization.unwrap_or(1.0), right.utilization.unwrap_or(1.0), ratio);
    }
    for (left, right) in simulated.pools.iter().zip(&exact.pools) {
        within(left.busy.unwrap(), right.busy.unwrap(), ratio);
        within(left.p_all_busy.unwrap(), right.p_all_busy.unwrap(), 5.0 * ratio);
    }
}

#[test]
fn a_closed_network_within_a_percent() {
    let (simulated, exact) = exponential(
        r#"{"users":40,"think_s":1,"stations":[{"name":"cpu","demand_s":0.02,"servers":2},{"name":"disk","demand_s":0.02},
            {"name":"db","demand_s":0.1,"servers":"delay"}],"pools":[{"name":"p","slots":4,"guards":["db"]}]}"#,
        150_000,
    );
    agree(&simulated, &exact, 0.01);
}

#[test]
fn an_open_network_within_a_percent() {
    let (simulated, exact) = exponential(
        r#"{"open":{"rate_per_s":300},"stations":[{"name":"cpu","demand_s":0.005,"servers":2},{"name":"db","demand_s":0.02,"servers":"delay"}],
            "pools":[{"name":"p","slots":10,"guards":["db"]}]}"#,
        150_000,
    );
    agree(&simulated, &exact, 0.01);
}

#[test]
fn a_timeout_in_an_open_network() {
    let (simulated, exact) = exponential(
        r#"{"open":{"rate_per_s":520},"stations":[{"name":"db","demand_s":0.02,"servers":"delay"}],
            "pools":[{"name":"p","slots":10,"guards":["db"],"timeout_s":0.1}]}"#,
        150_000,
    );
    agree(&simulated, &exact, 0.01);
    within(simulated.pools[0].timeout_ratio.unwrap(), exact.pools[0].timeout_ratio.unwrap(), 0.05);
    within(simulated.pools[0].waiting.unwrap(), exact.pools[0].waiting.unwrap(), 0.03);
}

/// Pools around several stations and inside each other are decomposed: throughput is within a percent, response time within a tenth.
#[test]
fn decomposition_is_near() {
    let nested = |load: &str| {
        format!(
            r#"{{{load},"stations":[{{"name":"cpu","demand_s":0.01,"servers":2}},{{"name":"db","demand_s":0.03,"servers":"delay"}},
                {{"name":"lock","demand_s":0.004}}],
               "pools":[{{"name":"inner","slots":5,"guards":["db","lock"]}},{{"name":"outer","slots":12,"guards":["cpu","db","lock"]}}]}}"#
        )
    };
    for load in [r#""users":150,"think_s":1"#, r#""users":400,"think_s":1"#, r#""open":{"rate_per_s":100}"#] {
        let (simulated, near) = exponential(&nested(load), 150_000);
        assert_eq!(near.method, Method::Decomposition);
        within(simulated.throughput_per_s.unwrap(), near.throughput_per_s.unwrap(), 0.01);
        within(simulated.response_s.unwrap(), near.response_s.unwrap(), 0.1);
    }
}

/// M/D/1 waits half as long as M/M/1 (Pollaczek and Khinchine), and so do holds that are drawn from one value.
#[test]
fn holds_that_are_not_exponential() {
    let network = network(r#"{"open":{"rate_per_s":5},"stations":[{"name":"a","demand_s":0.1}]}"#);
    let waiting = Waiting::of(1, 5.0, 0.1).unwrap().allen_cunneen(1.0, 0.0);
    for hold in [Hold::Constant, Hold::Empirical(vec![0.1])] {
        let options = Options { holds: vec![hold], ..Options::of(&network, 200_000) };
        within(run(&network, &options, 3).response_s.unwrap(), waiting.wait_s + 0.1, 0.02);
    }
    // The response time of M/M/1 is exponential, which is all that percentiles need.
    let simulated = run(&network, &Options::of(&network, 200_000), 3).simulation.unwrap();
    within(simulated.response_p50_s.unwrap(), 0.2 * 2f64.ln(), 0.02);
    within(simulated.response_p99_s.unwrap(), 0.2 * 100f64.ln(), 0.03);
}

/// What no formula tells: who gives up in a closed model thinks again. All users are somewhere, and Little's law holds.
#[test]
fn a_timeout_in_a_closed_network() {
    let network = network(
        r#"{"users":600,"think_s":1,"stations":[{"name":"db","demand_s":0.02,"servers":"delay"}],
            "pools":[{"name":"p","slots":10,"guards":["db"],"timeout_s":0.05}]}"#,
    );
    let simulated = run(&network, &Options::of(&network, 150_000), 5);
    let pool = &simulated.pools[0];
    let throughput = simulated.throughput_per_s.unwrap();
    within(pool.busy.unwrap(), throughput * 0.02, 0.01);
    let asked = throughput / (1.0 - pool.timeout_ratio.unwrap());
    within(600.0, asked * 1.0 + pool.busy.unwrap() + pool.waiting.unwrap(), 0.01);
    assert!(throughput < 500.0 && pool.timeout_ratio.unwrap() > 0.1, "{simulated:?}");
    assert!(simulated.response_s.unwrap() < 0.05 + 0.02 * 1.05);
}

/// Who gives up inside gives back what it held outside: otherwise the outer pool fills up and nothing moves.
#[test]
fn a_timeout_inside_another_pool() {
    let network = network(
        r#"{"users":300,"think_s":1,"stations":[{"name":"cpu","demand_s":0.002},{"name":"db","demand_s":0.03,"servers":"delay"}],
            "pools":[{"name":"outer","slots":20,"guards":["cpu","db"]},{"name":"inner","slots":5,"guards":["db"],"timeout_s":0.02}]}"#,
    );
    let simulated = run(&network, &Options::of(&network, 100_000), 11);
    let inside: f64 = simulated.stations.iter().map(|station| station.queue.unwrap()).sum();
    let [outer, inner] = [&simulated.pools[0], &simulated.pools[1]];
    within(outer.busy.unwrap(), inside + inner.waiting.unwrap(), 1e-9);
    within(simulated.throughput_per_s.unwrap(), inner.busy.unwrap() / 0.03, 0.01);
    assert!(inner.timeout_ratio.unwrap() > 0.2 && outer.timeout_ratio.is_none(), "{simulated:?}");
    assert!(simulated.throughput_per_s.unwrap() > 120.0, "{simulated:?}");
}

/// A timeout that was not needed does not end a later wait.
#[test]
fn a_timeout_ends_its_own_wait() {
    let network = network(
        r#"{"users":3,"think_s":0.01,"stations":[{"name":"db","demand_s":0.1}],"pools":[{"name":"p","slots":1,"guards":["db"],"timeout_s":100}]}"#,
    );
    let simulated = run(&network, &Options::of(&network, 20_000), 2);
    assert_eq!(simulated.pools[0].timeout_ratio, Some(0.0));
}

#[test]
fn the_seed_decides() {
    let network = network(r#"{"users":5,"think_s":1,"stations":[{"name":"a","demand_s":0.1}]}"#);
    let options = Options::of(&network, 2000);
    assert_eq!(run(&network, &options, 1), run(&network, &options, 1));
    assert_ne!(run(&network, &options, 1), run(&network, &options, 2));
}

/// Nobody answers within a nanosecond while the one slot is taken for a day: no mean, and no number that stands for it.
#[test]
fn nothing_answered_has_no_time() {
    let network = network(
        r#"{"users":100,"think_s":1,"stations":[{"name":"a","demand_s":1000000}],"pools":[{"name":"p","slots":1,"guards":["a"],"timeout_s":1e-9}]}"#,
    );
    let answer = run(&network, &Options::of(&network, 2000), 1);
    let simulation = answer.simulation.unwrap();
    assert_eq!((answer.throughput_per_s, answer.response_s), (Some(0.0), None));
    assert_eq!((simulation.response_p50_s, simulation.response_half_width_s), (None, None));
}
