//! The table of states, walked on instants that the tests make up.

use std::time::{Duration, Instant};

use super::window::Window;
use super::{Circuit, Pass, State};
use crate::clock;
use crate::profile::Profile;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The shop's own terms, as the profile has them.
fn circuit(start: Instant) -> Circuit {
    Circuit::closed(&Profile::named("breaker").unwrap().dials().breaker, start)
}

impl Circuit {
    fn passes(&mut self, now: Instant) -> Pass {
        self.admit(now).expect("it should pass")
    }

    /// One that is asked for and ends at this instant; whether the breaker opened over it.
    fn sees(&mut self, failed: bool, now: Instant) -> bool {
        let pass = self.passes(now);
        self.ended(pass, failed, now)
    }

    /// Opens it with ten failures.
    fn opened(start: Instant) -> Self {
        let mut circuit = circuit(start);
        assert_eq!((0..10).map(|_| circuit.sees(true, start)).filter(|opened| *opened).count(), 1);
        circuit
    }
}

#[test]
fn it_opens_once_there_are_enough_and_more_than_half_have_failed() {
    let now = clock::now();
    let mut few = circuit(now);
    assert!((0..9).all(|_| !few.sees(true, now)), "nine are too few to tell");
    assert!(few.sees(true, now));
    assert_eq!(few.state(now), State::Open { until: now + 30 * SECOND });
    let mut half = circuit(now);
    for _ in 0..50 {
        assert!(!half.sees(false, now) && !half.sees(true, now), "half of them is not more than half");
    }
    assert!(half.sees(true, now));
}

#[test]
fn a_success_opens_nothing_however_many_have_failed() {
    let now = clock::now();
    let mut circuit = circuit(now);
    (0..9).for_each(|_| assert!(!circuit.sees(true, now)));
    assert!(!circuit.sees(false, now));
    assert_eq!(circuit.state(now), State::Closed);
}

#[test]
fn open_it_rejects_everything_until_its_time_is_over() {
    let start = clock::now();
    let mut circuit = Circuit::opened(start);
    for (after, left) in [(0, 30_000), (1, 29_999), (29_999, 1)] {
        assert_eq!(circuit.admit(start + after * MS).unwrap_err(), left * MS);
    }
    assert_eq!(circuit.state(start + 30 * SECOND), State::HalfOpen { trial: false });
}

#[test]
fn half_open_it_lets_one_pass_which_decides() {
    let start = clock::now();
    for failed in [false, true] {
        let mut circuit = Circuit::opened(start);
        let then = start + 31 * SECOND;
        let trial = circuit.passes(then);
        assert_eq!(circuit.admit(then).unwrap_err(), 3 * SECOND, "the trial may take so long");
        assert_eq!(circuit.state(then), State::HalfOpen { trial: true });
        assert_eq!(circuit.ended(trial, failed, then + SECOND), failed);
        let next = if failed { State::Open { until: then + 31 * SECOND } } else { State::Closed };
        assert_eq!(circuit.state(then + SECOND), next);
    }
}

#[test]
fn what_passed_before_it_opened_decides_nothing_when_it_ends_late() {
    let start = clock::now();
    let mut circuit = circuit(start);
    let [late_success, late_failure] = [circuit.passes(start), circuit.passes(start)];
    assert_eq!((0..8).filter(|_| circuit.sees(true, start)).count(), 1);
    assert_eq!(circuit.state(start).name(), "open");
    let then = start + 30 * SECOND;
    let trial = circuit.passes(then);
    assert!(!circuit.ended(late_success, false, then) && !circuit.ended(late_failure, true, then));
    assert_eq!(circuit.state(then), State::HalfOpen { trial: true });
    assert!(!circuit.ended(trial, false, then));
    assert_eq!(circuit.state(then), State::Closed);
}

#[test]
fn failures_are_forgotten_bucket_by_bucket() {
    let start = clock::now();
    let mut circuit = circuit(start);
    (0..9).for_each(|_| assert!(!circuit.sees(true, start)));
    // Nine of twelve have failed, but a success does not open it, and after ten seconds they are gone.
    (0..3).for_each(|n| assert!(!circuit.sees(false, start + n * SECOND)));
    assert!(!circuit.sees(true, start + 10 * SECOND));
    assert_eq!(circuit.window.totals(start + 10 * SECOND), (3, 1), "of the ten seconds before");
    assert_eq!(circuit.window.totals(start + 100 * SECOND), (0, 0));
}

#[test]
fn rejected_ones_count_as_asked_for() {
    let start = clock::now();
    let mut circuit = Circuit::opened(start);
    (0..7).for_each(|_| assert!(circuit.admit(start).is_err()));
    assert_eq!(circuit.window.totals(start), (17, 10));
}

proptest::proptest! {
    #[test]
    fn the_window_is_what_came_in_its_last_ten_buckets(
        length_ms in 10_u64..5_000, events in proptest::collection::vec((proptest::bool::ANY, 0_u64..1_500), 1..100),
    ) {
        let start = clock::now();
        let mut window = Window::starting(start, Duration::from_millis(length_ms));
        let bucket_ns = u128::from(length_ms) * 1_000_000 / 10;
        let mut seen: Vec<(u128, bool)> = Vec::new();
        let mut now = start;
        for (failed, later_ms) in events {
            now += Duration::from_millis(later_ms);
            window.asked(now);
            if failed {
                window.failed(now);
            }
            let number = now.duration_since(start).as_nanos() / bucket_ns;
            seen.push((number, failed));
            let held = seen.iter().filter(|(of, _)| of + 10 > number);
            let failures = held.clone().filter(|(_, failed)| *failed).count() as u64;
            proptest::prop_assert_eq!(window.totals(now), (held.count() as u64, failures));
        }
    }
}
