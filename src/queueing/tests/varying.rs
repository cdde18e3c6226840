//! Holds that are not exponential, and pools that lose requests: against formulas where these are exact, and against the simulation where not.

use super::super::answer::Method;
use super::super::simulate::{Options, simulate};
use super::super::solve;
use super::{Answer, answer, network};
use rand::SeedableRng as _;
use rand_pcg::Pcg64Mcg;

/// A pool of `slots` around stages that take 20 ms together.
fn stages(load: &str, slots: usize, stages: usize, service: &str, pool: &str) -> String {
    let delay = |index: usize| {
        let demand_s = 0.02 / stages as f64;
        format!(r#"{{"name":"d{index}","demand_s":{demand_s},"servers":"delay","service":"{service}"}}"#)
    };
    let delays: Vec<String> = (0..stages).map(delay).collect();
    let guards: Vec<String> = (0..stages).map(|index| format!(r#""d{index}""#)).collect();
    let (delays, guards) = (delays.join(","), guards.join(","));
    format!(
        r#"{{{load},"stations":[{delays}],"pools":[{{"name":"p","slots":{slots},"guards":[{guards}]{pool}}}]}}"#
    )
}

fn open(rate_per_s: f64) -> String {
    format!(r#""open":{{"rate_per_s":{rate_per_s}}}"#)
}

fn closed(users: u64, think_s: f64) -> String {
    format!(r#""users":{users},"think_s":{think_s}"#)
}

fn simulated(text: &str, users: Option<u64>) -> Answer {
    let network = network(text);
    simulate(&network, users, &Options::of(&network, 150_000), 7, &mut Pcg64Mcg::seed_from_u64(7))
}

#[track_caller]
fn near(value: f64, expected: f64, ratio: f64) {
    assert!((value - expected).abs() <= expected.abs() * ratio, "{value} is not {expected}");
}

/// One slot is M/G/1: Pollaczek and Khinchine's wait is λ·H²·(1 + C²)/(2(1 − ρ)), with C² = 1/5 for five equal stages.
#[test]
fn one_slot_waits_as_pollaczek_and_khinchine_have_it() {
    for (count, service, cv2) in [(5, "exponential", 0.2), (2, "exponential", 0.5), (1, "constant", 0.0)] {
        for rate in [20.0, 45.0] {
            let solved = answer(&stages(&open(rate), 1, count, service, ""));
            let wait_s = rate * 0.02 * 0.02 * (1.0 + cv2) / (2.0 * (1.0 - rate * 0.02));
            near(solved.response_s.unwrap(), wait_s + 0.02, 1e-9);
            assert_eq!(solved.method, Method::Decomposition);
        }
    }
    // A server that takes the same time always is M/D/1.
    let station = r#""stations":[{"name":"a","demand_s":0.02,"service":"constant"}]"#;
    let solved = answer(&format!("{{{},{station}}}", open(45.0)));
    near(solved.response_s.unwrap(), 45.0 * 0.02 * 0.02 / 2.0 / 0.1 + 0.02, 1e-9);
}

/// Taken for one exponential hold the response time would be a fifth too long.
#[test]
fn a_pool_around_several_stages_waits_as_long_as_they_vary() {
    for (slots, rate, count, service) in
        [(2, 70.0, 5, "exponential"), (10, 450.0, 5, "exponential"), (2, 70.0, 1, "constant")]
    {
        let text = stages(&open(rate), slots, count, service, "");
        let (told, seen) = (answer(&text), simulated(&text, None));
        near(told.response_s.unwrap(), seen.response_s.unwrap(), 0.03);
        near(told.pools[0].waiting.unwrap(), seen.pools[0].waiting.unwrap(), 0.08);
    }
    for (slots, users, count, service) in
        [(2, 20, 5, "exponential"), (10, 110, 5, "exponential"), (2, 20, 1, "constant")]
    {
        let text = stages(&closed(users, 0.2), slots, count, service, "");
        let (told, seen) = (answer(&text), simulated(&text, Some(users)));
        near(told.throughput_per_s.unwrap(), seen.throughput_per_s.unwrap(), 0.01);
        near(told.response_s.unwrap(), seen.response_s.unwrap(), 0.03);
        near(told.throughput_per_s.unwrap() * (told.response_s.unwrap() + 0.2), users as f64, 1e-9);
    }
}

/// Beside another station, and around another pool.
#[test]
fn steady_holds_in_larger_networks() {
    let text = |load: &str| {
        format!(
            r#"{{{load},"stations":[{{"name":"cpu","demand_s":0.002}},{{"name":"a","demand_s":0.01,"servers":"delay"}},
                {{"name":"b","demand_s":0.01,"servers":"delay"}},{{"name":"c","demand_s":0.01,"servers":"delay"}}],
               "pools":[{{"name":"outer","slots":3,"guards":["a","b","c"]}},{{"name":"inner","slots":2,"guards":["c"]}}]}}"#
        )
    };
    for (load, users) in [(closed(30, 0.3), Some(30)), (open(75.0), None)] {
        let (told, seen) = (answer(&text(&load)), simulated(&text(&load), users));
        near(told.throughput_per_s.unwrap(), seen.throughput_per_s.unwrap(), 0.015);
        near(told.response_s.unwrap(), seen.response_s.unwrap(), 0.05);
    }
}

/// Exact for one pool and users who do nothing else but think (Movaghar 1998); the CPU beside it makes it an approximation.
#[test]
fn a_timeout_in_a_closed_model() {
    for (slots, users, timeout_s, think_s) in
        [(10, 600, 0.05, 1.0), (1, 16, 0.05, 0.3), (10, 208, 0.005, 0.3), (2, 10, 0.2, 0.05)]
    {
        let pool = format!(r#","timeout_s":{timeout_s}"#);
        let text = stages(&closed(users, think_s), slots, 1, "exponential", &pool);
        let (told, seen) = (answer(&text), simulated(&text, Some(users)));
        assert_eq!(told.method, Method::Exact);
        near(told.throughput_per_s.unwrap(), seen.throughput_per_s.unwrap(), 0.01);
        near(told.response_s.unwrap(), seen.response_s.unwrap(), 0.02);
        let ratios = [&told, &seen].map(|answer| answer.pools[0].timeout_ratio.unwrap());
        assert!((ratios[0] - ratios[1]).abs() < 0.01, "{ratios:?}");
        // Everybody is somewhere: thinking after an answer or a timeout, waiting, or served.
        let asked = told.throughput_per_s.unwrap() / (1.0 - ratios[0]);
        let pool = &told.pools[0];
        near(asked * think_s + pool.busy.unwrap() + pool.waiting.unwrap(), users as f64, 1e-9);
    }
    let text = r#"{"users":600,"think_s":1,"stations":[{"name":"cpu","demand_s":0.0015},{"name":"db","demand_s":0.02,"servers":"delay"}],
        "pools":[{"name":"p","slots":10,"guards":["db"],"timeout_s":0.01,"queue_max":8}]}"#;
    let (told, seen) = (answer(text), simulated(text, Some(600)));
    assert_eq!(told.method, Method::Decomposition);
    near(told.throughput_per_s.unwrap(), seen.throughput_per_s.unwrap(), 0.01);
    near(told.response_s.unwrap(), seen.response_s.unwrap(), 0.03);
    for (left, right) in [
        (told.pools[0].timeout_ratio, seen.pools[0].timeout_ratio),
        (told.pools[0].rejected_ratio, seen.pools[0].rejected_ratio),
    ] {
        assert!((left.unwrap() - right.unwrap()).abs() < 0.01, "{left:?} {right:?}");
    }
}

/// Without a timeout to speak of the closed model is the one without any, and with ever fewer users nobody gives up.
#[test]
fn a_long_timeout_is_none() {
    for users in [5, 12, 300, 600] {
        let of = |pool: &str| answer(&stages(&closed(users, 1.0), 10, 1, "exponential", pool));
        let (patient, ever) = (of(r#","timeout_s":1000"#), of(""));
        near(patient.throughput_per_s.unwrap(), ever.throughput_per_s.unwrap(), 1e-9);
        near(patient.response_s.unwrap(), ever.response_s.unwrap(), 1e-9);
        assert!(patient.pools[0].timeout_ratio.unwrap() < 1e-9);
        let roomy = of(r#","queue_max":100000"#);
        near(roomy.throughput_per_s.unwrap(), ever.throughput_per_s.unwrap(), 1e-9);
        assert_eq!(roomy.pools[0].rejected_ratio, Some(0.0));
    }
}

/// M/M/c/K, as `erlang::bounded` has it, and Erlang's B whatever the holds where nobody may wait.
#[test]
fn a_bounded_line() {
    use super::super::erlang::{bounded, erlang_b};
    for (slots, queue_max, rate) in [(3, 4, 140.0), (10, 10, 600.0), (1, 0, 50.0)] {
        let pool = format!(r#","queue_max":{queue_max}"#);
        let solved = answer(&stages(&open(rate), slots, 1, "exponential", &pool));
        let formula = bounded(slots, slots + queue_max, rate, 0.02);
        assert_eq!(solved.method, Method::Exact);
        near(solved.pools[0].rejected_ratio.unwrap(), formula.p_lost, 1e-9);
        near(solved.throughput_per_s.unwrap(), rate * (1.0 - formula.p_lost), 1e-9);
        near(solved.response_s.unwrap(), formula.wait_s + 0.02, 1e-9);
        assert!(solved.stability.unwrap().stable);
    }
    let loss = answer(&stages(&open(500.0), 10, 5, "exponential", r#","queue_max":0"#));
    near(loss.pools[0].rejected_ratio.unwrap(), erlang_b(10, 10.0), 1e-9);
    let text = stages(&closed(208, 0.3), 10, 5, "exponential", r#","queue_max":0"#);
    let (told, seen) = (answer(&text), simulated(&text, Some(208)));
    near(told.throughput_per_s.unwrap(), seen.throughput_per_s.unwrap(), 0.01);
}

/// 10 slots of 20 ms, a timeout of 100 ms and three retries: metastable from 375 requests a second on.
#[test]
fn retries_of_an_open_pool() {
    let of = |rate: f64, retries: &str| {
        let pool = format!(r#","timeout_s":0.1,"retry_ratio":{retries}"#);
        answer(&stages(&open(rate), 10, 1, "exponential", &pool))
    };
    let good = of(400.0, "3");
    let retries = good.pools[0].retries.unwrap();
    let metastable = retries.metastable.unwrap();
    near(metastable.above_per_s, 375.0, 1e-3);
    assert!((400.0..500.0).contains(&metastable.lost_per_s), "{metastable:?}");
    near(retries.attempts_per_s, 400.0, 1e-3);
    near(retries.stuck_attempts_per_s.unwrap(), 1000.0, 1e-3);
    near(good.throughput_per_s.unwrap(), 400.0, 1e-3);
    assert_eq!(of(300.0, "3").pools[0].retries.unwrap().stuck_attempts_per_s, None);
    let once = of(480.0, "1").pools[0].retries.unwrap();
    assert!(once.metastable.is_none() && once.attempts_per_s > 480.0, "{once:?}");
    assert_eq!(of(480.0, "0").pools[0].retries, None);
    // The simulation sends again at once; away from the fold that makes no difference.
    let text = stages(&open(400.0), 10, 1, "exponential", r#","timeout_s":0.05,"retry_ratio":1.5"#);
    let (told, seen) = (answer(&text), simulated(&text, None));
    near(told.throughput_per_s.unwrap(), seen.throughput_per_s.unwrap(), 0.01);
    near(told.response_s.unwrap(), seen.response_s.unwrap(), 0.03);
}

/// Who is sent again after a timeout has waited for that long already.
#[test]
fn a_retried_request_has_waited_before() {
    for (rate, off) in [(550.0, 0.09), (700.0, 0.05)] {
        let text = stages(&open(rate), 10, 1, "exponential", r#","timeout_s":0.1,"retry_ratio":1"#);
        let (told, seen) = (answer(&text), simulated(&text, None));
        near(told.response_s.unwrap(), seen.response_s.unwrap(), off);
    }
}

/// What comes before a pool that loses requests is asked for as much as what it serves after retries takes: at the end of stability the pool behind is full.
#[test]
fn a_pool_behind_retries_is_full_at_the_end_of_stability() {
    for retries in [0.5, 3.0] {
        let text = |rate: f64| {
            format!(
                r#"{{"open":{{"rate_per_s":{rate}}},"stations":[{{"name":"a","demand_s":0.02,"servers":"delay"}},{{"name":"b","demand_s":0.02,"servers":"delay"}}],
                    "pools":[{{"name":"first","slots":10,"guards":["a"],"timeout_s":0.1,"retry_ratio":{retries}}},{{"name":"second","slots":9,"guards":["b"]}}]}}"#
            )
        };
        let end = answer(&text(100.0)).stability.unwrap().unstable_from_per_s.unwrap();
        let below = answer(&text(end * (1.0 - 1e-6)));
        near(below.throughput_per_s.unwrap(), 450.0, 1e-4);
    }
}

/// A line that cannot fill, and a timeout that nobody lives to see, lose nobody.
#[test]
fn what_loses_nobody_is_solved_as_if_it_could_not() {
    fn beside(pool: &str) -> String {
        format!(
            r#"{{"users":21,"think_s":0.3,"stations":[{{"name":"cpu","demand_s":0.004}},{{"name":"db","demand_s":0.02,"servers":"delay","service":"constant"}}],
                "pools":[{{"name":"p","slots":1,"guards":["db"]{pool}}}]}}"#
        )
    }
    fn alone(pool: &str) -> String {
        stages(&closed(21, 0.3), 1, 1, "constant", pool)
    }
    let response_s = |text: &str| answer(text).response_s.unwrap();
    for bound in [r#","queue_max":1000"#, r#","queue_max":20"#] {
        near(response_s(&alone(bound)), response_s(&alone("")), 1e-9);
        near(response_s(&beside(bound)), response_s(&beside("")), 1e-9);
        assert_eq!(answer(&alone(bound)).pools[0].rejected_ratio, Some(0.0));
    }
    for text in [alone, beside] {
        near(response_s(&text(r#","timeout_s":1000"#)), response_s(&text("")), 1e-9);
    }
}

/// Users who come back within a microsecond keep a line full though they are turned away at once.
#[test]
fn a_line_stays_full_however_fast_users_come_back() {
    for think_s in [1e-6, 1e-3, 1.0] {
        let text = format!(
            r#"{{"users":100,"think_s":{think_s},"stations":[{{"name":"db","demand_s":1000,"servers":"delay"}}],
                "pools":[{{"name":"p","slots":1,"guards":["db"],"queue_max":10}}]}}"#
        );
        let solved = answer(&text);
        near(solved.pools[0].waiting.unwrap(), 10.0, 1e-3);
        near(solved.pools[0].busy.unwrap(), 1.0, 1e-3);
        near(solved.throughput_per_s.unwrap(), 1e-3, 1e-3);
    }
}

/// Just below the rate from which on it is unstable every number is one, or it is said to be unstable.
#[test]
fn at_the_end_of_stability_no_number_is_missing() {
    for slots in [9, 3] {
        let text = |rate: f64| {
            format!(
                r#"{{"open":{{"rate_per_s":{rate}}},"stations":[{{"name":"a","demand_s":0.02,"servers":"delay"}},{{"name":"b","demand_s":0.02,"servers":"delay"}},{{"name":"c","demand_s":0.003}}],
                    "pools":[{{"name":"first","slots":10,"guards":["a"],"timeout_s":0.01}},{{"name":"second","slots":{slots},"guards":["b"]}}]}}"#
            )
        };
        let mut rate = answer(&text(100.0)).stability.unwrap().unstable_from_per_s.unwrap();
        for _ in 0..40 {
            rate = rate.next_down();
            let solved = answer(&text(rate));
            let stability = solved.stability.unwrap();
            assert_eq!(stability.stable, solved.response_s.is_some_and(f64::is_finite), "{rate}");
            assert_eq!(stability.stable, rate < stability.unstable_from_per_s.unwrap());
        }
    }
}

#[test]
fn what_no_formula_tells_is_refused_with_its_place() {
    let refused = |text: &str| solve(&network(text)).unwrap_err().remove(0).path;
    let steady = stages(&closed(21, 0.3), 1, 1, "constant", r#","timeout_s":0.05"#);
    assert_eq!(refused(&steady), "pools[0].timeout_s");
    let stations = r#""stations":[{"name":"a","demand_s":0.1},{"name":"b","demand_s":0.1}]"#;
    let before = format!(
        r#"{{"users":9,"think_s":1,{stations},"pools":[{{"name":"p","slots":2,"guards":["a"],"queue_max":3}},{{"name":"q","slots":2,"guards":["b"]}}]}}"#
    );
    assert_eq!(refused(&before), "pools[0].queue_max");
    let within = format!(
        r#"{{"users":9,"think_s":1,{stations},"pools":[{{"name":"p","slots":2,"guards":["a","b"]}},{{"name":"q","slots":1,"guards":["b"],"timeout_s":1}}]}}"#
    );
    assert_eq!(refused(&within), "pools[1].timeout_s");
}

/// A class takes its own demand where it has one, and the station's where not; what is busy is the sum.
#[test]
fn classes_of_users() {
    let solved = answer(
        r#"{"classes":[{"name":"x","users":1,"demands_s":{"a":1,"b":3}},{"name":"y","users":1,"demands_s":{"a":2}}],
            "stations":[{"name":"a","demand_s":1},{"name":"b","demand_s":4}]}"#,
    );
    assert_eq!((solved.method, solved.users), (Method::Schweitzer, Some(2)));
    let flows: Vec<f64> = solved.classes.unwrap().iter().map(|class| class.throughput_per_s).collect();
    near(solved.throughput_per_s.unwrap(), flows[0] + flows[1], 1e-9);
    near(solved.stations[0].utilization.unwrap(), flows[0] + 2.0 * flows[1], 1e-9);
    near(solved.stations[1].utilization.unwrap(), 3.0 * flows[0] + 4.0 * flows[1], 1e-9);
    near(solved.throughput_per_s.unwrap() * solved.response_s.unwrap(), 2.0, 1e-9);
}
