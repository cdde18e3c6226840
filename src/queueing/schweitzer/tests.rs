//! A published fixed point, and exact solutions where there is one class.

use super::*;

fn class(users: f64, think_s: f64, demands_s: &[f64]) -> Class {
    Class { users, think_s, demands_s: demands_s.to_vec() }
}

/// Two classes of one user each at two stations, from the tests of the Octave package `queueing` (qncmmvabs.m).
#[test]
fn the_example_of_the_octave_package() {
    let answers =
        approximate(&[class(1.0, 0.0, &[1.0, 3.0]), class(1.0, 0.0, &[2.0, 4.0])], &[false, false]).unwrap();
    let near = |value: f64, published: f64, unit: f64| {
        assert!((value - published).abs() <= unit, "{value} is not {published}");
    };
    for (answer, queues) in answers.iter().zip([[0.192, 0.808], [0.248, 0.752]]) {
        near(answer.queues[0], queues[0], 1e-3);
        near(answer.queues[1], queues[1], 1e-3);
    }
    near(answers[0].throughput_per_s, 0.154, 1e-3);
    near(answers[1].throughput_per_s, 0.104, 1e-3);
    near(answers[0].response_s, 6.508, 5e-3);
    near(answers[1].response_s, 9.614, 5e-3);
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
