//! Expectations that can be counted by hand.

use super::*;
use crate::preflight::fit::tests::machine;
use crate::preflight::preflight;
use crate::preflight::verdict::tests::plan;
use crate::scenario::plan::Agents;

fn explained(load: &str) -> Explanation {
    let plan = plan(load);
    let machine = machine();
    explain(&plan, &machine, &preflight(&plan, &machine, Agents::Auto))
}

#[test]
fn open_iterations_are_the_area_under_the_curve() {
    let explanation = explained(
        "load:\n  - {name: a, run: read, executor: open, stages: [{to: 100/s, over: 10s, phase: ramp}, {hold: 20s, phase: steady}]}\nthresholds: [\"p99(http) < 300ms in ramp\", \"p99(http) < 300ms in steady\", \"p99.9(http) < 300ms\", \"p50(http) < 1s for 95% of 10s windows\"]\n",
    );
    assert_eq!((explanation.iterations, explanation.requests), (Some(2500.0), Some(2500.0)));
    assert_eq!(explanation.duration_s, Some(30.0));
    let found: Vec<_> = explanation
        .thresholds
        .iter()
        .map(|threshold| (threshold.samples.map(f64::round), threshold.samples_needed, threshold.evaluable))
        .collect();
    assert_eq!(
        found,
        [
            (Some(500.0), 1000, false),
            (Some(2000.0), 1000, true),
            (Some(2500.0), 10_000, false),
            (Some(833.0), 1, true),
        ]
    );
}

#[test]
fn closed_iterations_are_user_seconds_over_the_length_of_one() {
    let explanation = explained(
        "load:\n  - {name: a, run: read, executor: closed, stages: [{to: 100, over: 0s}, {hold: 100s}]}\n",
    );
    let expected = 100.0 * 100.0 / (10.0 + super::super::costs::RESPONSE_USUAL_S);
    assert!(explanation.iterations.is_some_and(|count| (count - expected).abs() < 1e-6), "{explanation:#?}");
    assert_eq!(explanation.endpoints.len(), 1);
    assert_eq!(explanation.endpoints[0].share_ratio, 1.0);
}

#[test]
fn a_search_has_a_curve_but_no_end() {
    let explanation = explained(
        "load:\n  - {name: line, run: read, executor: breakpoint, of: users, from: 100, to: 1000, grow: 3x, ramp: 0s, settle: 1s, window: 2s, windows: 2, fail_when: [\"p99(http) > 100ms\"]}\n",
    );
    assert_eq!((explanation.duration_s, explanation.iterations, explanation.requests), (None, None, None));
    let part = &explanation.parts[0];
    let levels: Vec<f64> = part.curve.iter().map(|point| point.value).collect();
    assert_eq!(levels, [100.0, 100.0, 300.0, 300.0, 900.0, 900.0, 1000.0, 1000.0]);
    assert_eq!(part.curve.last().map(|point| point.t_s), Some(20.0));
}
