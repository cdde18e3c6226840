//! Against an exact solution; the published fixed point is in `tests/published.rs`.

use super::*;

fn class(users: f64, think_s: f64, demands_s: &[f64]) -> Class {
    Class { users, think_s, demands_s: demands_s.to_vec() }
}

/// Schwetman's example in the same package (qncmmva.m): exact are 14.323 and 0.314 a second.
#[test]
fn near_the_exact_solution_of_many_users() {
    let answers = approximate(&[class(15.0, 1.0, &[0.025]), class(5.0, 15.0, &[0.5])], &[false]).unwrap();
    for (answer, exact) in answers.iter().zip([14.323, 0.314]) {
        assert!((answer.throughput_per_s / exact - 1.0).abs() < 0.02, "{}", answer.throughput_per_s);
    }
}

#[test]
fn a_delay_has_no_queue() {
    let answers = approximate(&[class(3.0, 1.0, &[2.0])], &[true]).unwrap();
    assert!((answers[0].throughput_per_s - 1.0).abs() < 1e-9);
    assert_eq!(approximate(&[class(3.0, 0.0, &[0.0])], &[false]), None);
    assert_eq!(approximate(&[class(3.0, 0.0, &[1.0, 1.0])], &[false]), None);
}

/// Queues of two stations that differ by a ten thousandth move by a millionth of themselves a round. Once still, each station has as many as its demand
/// and those there account for.
#[test]
fn nearly_balanced_stations_are_solved() {
    for classes in [
        vec![class(100_000.0, 0.0, &[0.010, 0.009_999])],
        vec![class(60_000.0, 0.0, &[0.010, 0.010_001]), class(40_000.0, 1.0, &[0.009_999, 0.010])],
    ] {
        let delays = [false, false];
        let answers = approximate(&classes, &delays).unwrap();
        for (class, answer) in classes.iter().zip(&answers) {
            let thinking = answer.throughput_per_s * class.think_s;
            assert!(((answer.queues.iter().sum::<f64>() + thinking) / class.users - 1.0).abs() < 1e-6);
            for (s, queue) in answer.queues.iter().enumerate() {
                let there: f64 = answers.iter().map(|answer| answer.queues[s]).sum();
                let residence_s = class.demands_s[s] * (1.0 + there - queue / class.users);
                assert!((answer.throughput_per_s * residence_s / queue - 1.0).abs() < 1e-4, "{answers:?}");
            }
        }
    }
}
