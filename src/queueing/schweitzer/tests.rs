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
