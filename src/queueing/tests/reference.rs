//! The cases this solver was written for: a pool that other solvers answer with a negative throughput, and sizes at which they end.

use super::super::closed::Closed;
use super::super::model::Load;
use super::{Answer, answer, answers, network};

const POOL: &str = r#""stations":[{"name":"db","demand_s":0.02,"servers":"delay"}],"pools":[{"name":"mongo","slots":10,"guards":["db"]}]"#;

/// M/M/c//N by its own recurrence, in plain numbers: `users` who think, a pool, a hold.
fn finite_source_per_s(users: usize, slots: usize, hold_s: f64, think_s: f64) -> f64 {
    let mut shares = vec![1.0f64];
    for n in 1..=users {
        let leave_per_s = n.min(slots) as f64 / hold_s;
        let next = shares[n - 1] * (users - n + 1) as f64 / think_s / leave_per_s;
        shares.push(next);
        let most = shares.iter().copied().fold(0.0, f64::max);
        shares.iter_mut().for_each(|share| *share /= most);
    }
    let sum: f64 = shares.iter().sum();
    shares.iter().enumerate().map(|(n, share)| share / sum * n.min(slots) as f64 / hold_s).sum()
}

/// 10 slots of 20 ms, 400 users who think 1.01 s: at most 388 requests a second, and not −222 (PDQ 7.0).
#[test]
fn the_pool_of_ten_at_four_hundred_users() {
    let solved = answer(&format!(r#"{{"users":400,"think_s":1.01,{POOL}}}"#));
    let throughput = solved.throughput_per_s.unwrap();
    assert!(
        (throughput - finite_source_per_s(400, 10, 0.02, 1.01)).abs() < 1e-9 * throughput,
        "{throughput}"
    );
    assert!((387.0..388.35).contains(&throughput), "{throughput}");
    let response = solved.response_s.unwrap();
    assert!((response - (400.0 / throughput - 1.01)).abs() < 1e-9);
    let pool = &solved.pools[0];
    assert!((pool.busy.unwrap() - throughput * 0.02).abs() < 1e-9);
    assert!((pool.waiting.unwrap() - throughput * (response - 0.02)).abs() < 1e-9);
    assert_eq!(pool.timeout_ratio, None);
}

/// N* = 515: from there on 500 a second, and the queue takes all who are added.
#[test]
fn past_its_knee_a_pool_gives_its_ceiling() {
    let solved = answers(&format!(r#"{{"users":[1,300,515,600,1000,100000],"think_s":1.01,{POOL}}}"#));
    let throughput: Vec<f64> = solved.iter().map(|answer| answer.throughput_per_s.unwrap()).collect();
    assert!((throughput[0] - 1.0 / 1.03).abs() < 1e-9);
    assert!((throughput[1] - 300.0 / 1.03).abs() < 0.5);
    assert!((480.0..495.0).contains(&throughput[2]), "{}", throughput[2]);
    for (users, throughput) in [1, 300, 515, 600, 1000].into_iter().zip(&throughput) {
        assert!((throughput - finite_source_per_s(users, 10, 0.02, 1.01)).abs() < 1e-9 * throughput);
    }
    assert!((throughput[5] - 500.0).abs() < 1e-6, "{}", throughput[5]);
    let last = &solved[5].pools[0];
    assert!((last.p_all_busy.unwrap() - 1.0).abs() < 1e-9 && (last.busy.unwrap() - 10.0).abs() < 1e-9);
    assert!((last.waiting.unwrap() - (100_000.0 - 10.0 - 500.0 * 1.01)).abs() < 1e-3);
}

/// Without think time there is nobody outside.
#[test]
fn users_who_never_think() {
    let solved = answer(&format!(r#"{{"users":7,"think_s":0,{POOL}}}"#));
    assert!((solved.throughput_per_s.unwrap() - 350.0).abs() < 1e-9);
    let solved = answer(&format!(r#"{{"users":25,{POOL}}}"#));
    assert!((solved.throughput_per_s.unwrap() - 500.0).abs() < 1e-9);
    assert!((solved.pools[0].waiting.unwrap() - 15.0).abs() < 1e-9);
    assert!((solved.response_s.unwrap() - 0.05).abs() < 1e-12);
}

/// The answer and the terms summed for it.
fn counted(text: &str) -> (Answer, u64) {
    let network = network(text);
    let Load::Closed { users, think_s } = &network.load else { panic!("closed") };
    let most = *users.all().iter().max().unwrap();
    Closed::new(&network, *think_s, most).counted(most)
}

/// 100,000 users and a pool of 10,000 slots: the work is a few passes over the users and the slots, and with a CPU beside the pool a few
/// terms for each. A term is an exponential, some 20 ns, of which 50 ms have room for two and a half million; with two parts side by side most
/// are products, some 1 ns.
#[test]
fn a_hundred_thousand_users_cost_a_few_passes() {
    let large = |think_s: f64, cores: &str| {
        counted(&format!(
            r#"{{"users":100000,"think_s":{think_s},"stations":[{cores}{{"name":"db","demand_s":0.02,"servers":"delay"}}],
                "pools":[{{"name":"p","slots":10000,"guards":["db"]}}]}}"#
        ))
    };
    for think_s in [0.0, 0.1, 0.18, 1.0] {
        let (answer, terms) = large(think_s, "");
        assert!((100_000..1_000_000).contains(&terms), "{terms} terms");
        let throughput = answer.throughput_per_s.unwrap();
        let ceiling = (1e5 / (think_s + 0.02)).min(5e5);
        assert!(
            throughput > ceiling * 0.99 && throughput <= ceiling * (1.0 + 1e-9),
            "{throughput} of {ceiling}"
        );
    }
    let (answer, terms) = large(0.1, r#"{"name":"cpu","demand_s":4e-5,"servers":16},"#);
    assert!(terms < 15_000_000, "{terms} terms");
    let throughput = answer.throughput_per_s.unwrap();
    assert!((throughput - 4e5).abs() < 1.0, "the CPU's ceiling: {throughput}");
    assert!(answer.stations[0].queue.unwrap() > 50_000.0);
    // A CPU that carries just what the pool does, before which some give up: both may have queues of any length.
    let (answer, terms) = counted(
        r#"{"users":100000,"think_s":0.1,"stations":[{"name":"cpu","demand_s":3.2e-5,"servers":16},{"name":"db","demand_s":0.02,"servers":"delay"}],
            "pools":[{"name":"p","slots":10000,"guards":["db"],"timeout_s":0.05}]}"#,
    );
    assert!(terms < 10_000_000, "{terms} terms");
    assert!((answer.throughput_per_s.unwrap() - 499_980.1).abs() < 0.1, "{answer:?}");
}

/// An open pool with a timeout: 10 slots of 20 ms, 490 arrivals a second, 100 ms: 1.026 % give up.
#[test]
fn timeouts_of_an_open_pool() {
    let text = |rate: f64, timeout: &str| {
        format!(
            r#"{{"open":{{"rate_per_s":{rate}}},"stations":[{{"name":"db","demand_s":0.02,"servers":"delay"}}],
                "pools":[{{"name":"p","slots":10,"guards":["db"],"timeout_s":{timeout}}}]}}"#
        )
    };
    let solved = answer(&text(490.0, "0.1"));
    let ratio = solved.pools[0].timeout_ratio.unwrap();
    assert!((ratio - 0.01026).abs() < 5e-6, "{ratio}");
    assert!((solved.throughput_per_s.unwrap() - 490.0 * (1.0 - ratio)).abs() < 1e-9);
    // Past the ceiling too: what is not served gives up.
    let overloaded = answer(&text(1000.0, "0.1"));
    assert!((overloaded.throughput_per_s.unwrap() - 500.0).abs() < 1e-3);
    assert!((overloaded.pools[0].timeout_ratio.unwrap() - 0.5).abs() < 1e-5);
    let hopeless = answer(&text(1e6, "3600"));
    assert!((hopeless.throughput_per_s.unwrap() - 500.0).abs() < 1e-6);
    // Without a timeout it is unstable, and says from where on.
    let unstable = answer(&text(500.0, "null"));
    let stability = unstable.stability.unwrap();
    assert!(!stability.stable && unstable.throughput_per_s.is_none() && unstable.response_s.is_none());
    assert!((stability.unstable_from_per_s.unwrap() - 500.0).abs() < 1e-9);
    assert_eq!(stability.limited_by.as_deref(), Some("p"));
}

/// A pool behind one that lets 500 a second through at most: it can be overloaded, but only if its own ceiling is below that.
#[test]
fn a_pool_with_a_timeout_shields_what_comes_after_it() {
    let text = |rate: f64, slots: u32| {
        format!(
            r#"{{"open":{{"rate_per_s":{rate}}},"stations":[{{"name":"a","demand_s":0.02,"servers":"delay"}},{{"name":"b","demand_s":0.02,"servers":"delay"}}],
                "pools":[{{"name":"first","slots":10,"guards":["a"],"timeout_s":0.01}},{{"name":"second","slots":{slots},"guards":["b"]}}]}}"#
        )
    };
    let shielded = answer(&text(5000.0, 11)).stability.unwrap();
    assert_eq!((shielded.stable, shielded.unstable_from_per_s), (true, None));
    let through = |rate: f64| answer(&text(rate, 11)).throughput_per_s.unwrap();
    let stability = answer(&text(100.0, 9)).stability.unwrap();
    let from = stability.unstable_from_per_s.unwrap();
    assert!(from > 450.0 && (through(from) - 450.0).abs() < 1e-6, "{from}");
    assert!(!answer(&text(from * 1.001, 9)).stability.unwrap().stable);
}
