//! Published values, and the formulas against each other.

use super::*;

fn near(value: f64, published: f64, unit: f64) {
    assert!((value - published).abs() <= unit, "{value} is not {published}");
}

/// The usual table of Erlang B at 1 % blocking: 12.03 erlangs on 20 trunks, 84.06 on 100 (in Cooper, "Introduction to Queueing Theory",
/// 1981, and elsewhere).
#[test]
fn the_table_of_erlang_b() {
    near(erlang_b(20, 12.03), 0.01, 1e-5);
    near(erlang_b(100, 84.06), 0.01, 1e-5);
    assert_eq!(erlang_b(0, 3.0), 1.0);
    // Ten thousand slots: no overflow, and in heavy traffic about √(2/(πc)).
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

/// M/M/m/K of the tests of the Octave package `queueing` (qsmmmk.m), given there with six digits.
#[test]
fn bounded_queues_of_the_octave_package() {
    let a = bounded(3, 7, 40.0, 1.0 / 30.0);
    near(a.jobs / (40.0 * (1.0 - a.p_lost)), 0.036517, 1e-6);
    near(bounded(4, 6, 50.0, 0.1).p_lost, 0.293543, 1e-6);
    let c = bounded(2, 5, 3.0, 0.5);
    near(c.p_lost, 0.085113, 1e-6);
    near(c.jobs, 2.00595, 1e-5);
    near(c.wait_s, 0.230857, 1e-6);
    near(bounded(1, 10, 1.0, 1.0).jobs, 5.0, 1e-7);
    // No room to wait is Erlang B; much room is Erlang C.
    near(bounded(20, 20, 12.03, 1.0).p_lost, erlang_b(20, 12.03), 1e-12);
    near(bounded(5, 400, 4.0, 1.0).p_wait, erlang_c(5, 4.0).unwrap(), 1e-9);
}

/// The call center by which Mandelbaum and Zeltyn, "The Palm/Erlang-A Queue, with Applications to Call Centers", 2005, show what leaving
/// changes: 48 calls a minute of a minute each, 50 agents, a patience of two minutes: 3.1 % leave and the wait is 3.7 s, where Erlang C has
/// 20.8 s.
#[test]
fn the_call_center_of_erlang_a() {
    let patient = erlang_a(50, 48.0, 1.0, 2.0).unwrap();
    near(patient.p_lost, 0.0309, 5e-5);
    near(patient.wait_s * 60.0, 3.71, 5e-3);
    near(patient.utilization, 0.930, 5e-4);
    near(Waiting::of(50, 48.0, 1.0).unwrap().wait_s * 60.0, 20.83, 5e-3);
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
