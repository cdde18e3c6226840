//! The formula against its own integral, its limits, and sizes at which a plain e^x ends.

use super::super::erlang::{Waiting, erlang_b};
use super::*;

fn near(value: f64, expected: f64, relative: f64) {
    assert!((value - expected).abs() <= expected.abs() * relative, "{value} is not {expected}");
}

/// 10 slots of 20 ms, 490 arrivals a second, 100 ms: 1.026 %; a simulation of four million arrivals had 1.047 %.
#[test]
fn the_reference_case() {
    let waits = timed_pool(10, 490.0, 0.02, 0.1);
    near(waits.p_timeout, 0.01026, 5e-4);
    near(waits.p_served, 1.0 - waits.p_timeout, 1e-14);
}

/// From the density of the wait that a patient arrival would have had, λ·π·e^(θt) up to the timeout, summed by Simpson's rule.
#[test]
fn the_integrals_are_those_of_the_density() {
    for (slots, rate, hold, timeout) in [
        (10, 490.0, 0.02, 0.1),
        (10, 500.0, 0.02, 0.05),
        (3, 200.0, 0.02, 0.07),
        (1, 1.0, 0.5, 2.0),
        (4, 210.0, 0.02, 0.011),
    ] {
        let full = slots as f64 / hold;
        let theta = rate - full;
        let steps = 20_000;
        let width = timeout / f64::from(steps);
        let (mut j1, mut waited) = (0.0, 0.0);
        for step in 0..=steps {
            let t = f64::from(step) * width;
            let weight = if step == 0 || step == steps {
                1.0
            } else if step % 2 == 1 {
                4.0
            } else {
                2.0
            };
            j1 += weight * (theta * t).exp() * width / 3.0;
            waited += weight * t * (theta * t).exp() * width / 3.0;
        }
        let j2 = (theta * timeout).exp() / full;
        let blocked = erlang_b(slots - 1, rate * hold);
        let last = blocked / (1.0 + blocked * rate * (j1 + j2));
        let waits = timed_pool(slots, rate, hold, timeout);
        near(waits.p_wait, last * rate * (j1 + j2), 1e-9);
        near(waits.p_timeout, last * rate * j2, 1e-9);
        near(waits.wait_s, last * rate * waited + timeout * waits.p_timeout, 1e-9);
    }
}

#[test]
fn no_patience_is_erlang_b_and_all_of_it_erlang_c() {
    near(timed_pool(10, 490.0, 0.02, 1e-9).p_timeout, erlang_b(10, 9.8), 1e-5);
    let patient = timed_pool(10, 400.0, 0.02, 1e5);
    let forever = Waiting::of(10, 400.0, 0.02).unwrap();
    near(patient.p_wait, forever.p_wait, 1e-9);
    near(patient.wait_s, forever.wait_s, 1e-9);
    assert!(patient.p_timeout < 1e-300);
}

/// P(j − 1)/P(≥ j), summed plainly.
#[test]
fn who_waits_leaves_as_a_poisson_distribution_has_it() {
    let (full, timeout) = (500.0, 0.05);
    let mean: f64 = full * timeout;
    let mut p = vec![(-mean).exp()];
    for j in 1..400 {
        p.push(p[j - 1] * mean / j as f64);
    }
    let leaving = leaving_per_s(full, timeout, 100);
    for j in 1..=100 {
        let beyond: f64 = p[j..].iter().sum();
        near(leaving[j - 1], full * p[j - 1] / beyond, 1e-9);
    }
    // Under a constant rate of arrivals it is M/M/c+D again: the shares of those in line are λ/(ν + a) apart.
    let rate = 520.0;
    let blocked = erlang_b(9, rate / 50.0);
    let mut shares = vec![1.0, blocked * rate / full];
    let mut last = shares[1];
    let mut gave_up = 0.0;
    for leaving in leaving_per_s(full, timeout, 300) {
        last *= rate / (full + leaving);
        shares.push(last);
        gave_up += last * leaving;
    }
    // Of the states below c − 1 only B's share is needed: all of them together are 1.
    let all: f64 = shares.iter().sum();
    near(gave_up / all / rate, timed_pool(10, rate, 0.02, timeout).p_timeout, 1e-9);
    assert_eq!(leaving_per_s(1e6, 1e6, 3), [0.0; 3]);
    assert!(leaving_per_s(1e-6, 1e-9, 1000).iter().all(|leaving| leaving.is_finite()));
}

/// What is served is what the slots can do, however hopeless the overload.
#[test]
fn nothing_overflows() {
    for (slots, rate, hold, timeout) in
        [(10_000, 1e6, 0.02, 30.0), (10_000, 1e9, 1.0, 1e6), (1, 1e9, 1e6, 1e6), (10_000, 5e5, 0.02, 60.0)]
    {
        let waits = timed_pool(slots, rate, hold, timeout);
        near(rate * waits.p_served, slots as f64 / hold, 1e-3);
        assert!(waits.wait_s <= timeout && waits.p_wait <= 1.0, "{waits:?}");
    }
    let idle = timed_pool(10_000, 1.0, 1e-3, 1e-3);
    assert!(idle.p_wait == 0.0 && idle.p_timeout == 0.0 && idle.p_served == 1.0, "{idle:?}");
}

/// The shares of a pool do not jump where a series takes over from a difference.
#[test]
fn no_seam_around_the_ceiling() {
    let at = |rate: f64| timed_pool(10, rate, 0.02, 0.1);
    for (low, high) in [(500.0 - 0.1000001, 500.0 - 0.0999999), (500.0 + 0.0999999, 500.0 + 0.1000001)] {
        near(at(low).wait_s, at(high).wait_s, 1e-7);
    }
    for rate in [499.999_999, 500.0, 500.000_001] {
        near(at(rate).wait_s, at(500.0).wait_s, 1e-7);
    }
}
