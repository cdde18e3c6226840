//! The formulas against each other; published values are in `tests/published.rs`.

use super::*;

fn near(value: f64, published: f64, unit: f64) {
    assert!((value - published).abs() <= unit, "{value} is not {published}");
}

/// Ten thousand slots: no overflow, and in heavy traffic about √(2/(πc)).
#[test]
fn erlang_b_of_none_and_of_many() {
    assert_eq!(erlang_b(0, 3.0), 1.0);
    near(erlang_b(10_000, 10_000.0), (2.0 / (std::f64::consts::PI * 10_000.0)).sqrt(), 1e-4);
}

/// Kleinrock's M/M/1: everybody waits who finds the one server busy; and an overload has no answer.
#[test]
fn erlang_c_of_one_server_is_its_utilization() {
    near(erlang_c(1, 0.7).unwrap(), 0.7, 1e-12);
    assert_eq!(erlang_c(4, 4.0), None);
    assert_eq!(Waiting::of(1, 2.0, 0.5), None);
    let one = Waiting::of(1, 8.0, 0.1).unwrap();
    near(one.wait_s, 0.4, 1e-12);
    near(one.p_longer_than(1.0), 0.8 * (-2.0f64).exp(), 1e-12);
}

#[test]
fn bounded_queues_between_erlang_b_and_c() {
    near(bounded(1, 10, 1.0, 1.0).jobs, 5.0, 1e-7);
    // No room to wait is Erlang B; much room is Erlang C.
    near(bounded(20, 20, 12.03, 1.0).p_lost, erlang_b(20, 12.03), 1e-12);
    near(bounded(5, 400, 4.0, 1.0).p_wait, erlang_c(5, 4.0).unwrap(), 1e-9);
}

#[test]
fn erlang_a_between_patience_and_overload() {
    // A long patience is Erlang C, and an overload is served by whoever is there.
    near(erlang_a(50, 48.0, 1.0, 1e7).unwrap().p_wait, erlang_c(50, 48.0).unwrap(), 1e-4);
    near(erlang_a(10, 20.0, 1.0, 1.0).unwrap().utilization, 1.0, 1e-2);
}

/// M/D/1 waits half as long as M/M/1, and M/G/1 as Pollaczek and Khinchine say: exact for one server.
#[test]
fn the_correction_is_exact_for_one_server() {
    let exponential = Waiting::of(1, 8.0, 0.1).unwrap();
    near(exponential.allen_cunneen(1.0, 0.0).wait_s, 0.2, 1e-12);
    let cv2 = 3.0;
    let pollaczek_khinchine = 8.0 * 0.01 * (1.0 + cv2) / (2.0 * (1.0 - 0.8));
    near(exponential.allen_cunneen(1.0, cv2).wait_s, pollaczek_khinchine, 1e-12);
    assert_eq!(exponential.allen_cunneen(0.0, 0.0).wait_s, 0.0);
    assert_eq!(exponential.allen_cunneen(0.0, 0.0).p_longer_than(1.0), 0.0);
}
