//! `safety.generator`: what is read, what is put in where nothing is said, and what is refused.

use super::super::plan::Plan;
use super::plan_of;
use crate::scenario::generator_limits::GeneratorLimits;
use std::time::Duration;

fn scenario(generator: &str, load: &str, thresholds: &str) -> String {
    format!(
        "plimsoll: 1\ntarget: {{http: \"http://127.0.0.1:8080\"}}\nsafety:\n  generator: {generator}\nscenarios:\n  a: {{steps: [{{get: /x}}]}}\nload:\n  - {load}\nthresholds: {thresholds}\n"
    )
}

const CLOSED: &str = "{run: a, executor: closed, stages: [{to: 1, over: 0s}, {hold: 1s}]}";

fn limits(generator: &str) -> GeneratorLimits {
    plan_of(&scenario(generator, CLOSED, "[]")).expect("valid").safety.generator
}

#[test]
fn each_limit_is_read_and_the_rest_stays_as_it_is() {
    let ms = |ms| Some(Duration::from_millis(ms));
    let unless_written = GeneratorLimits::default();
    assert_eq!(limits("{}"), unless_written);
    assert_eq!(
        limits("{dispatch_lag_p99: 3ms, cpu: 70%}"),
        GeneratorLimits { dispatch_lag_p99: ms(3), cpu_ratio: 0.7, ..unless_written }
    );
    assert_eq!(
        limits("{read_error_p99: 2ms, run_queue: 20%}"),
        GeneratorLimits { read_error_p99: ms(2), run_queue_ratio: 0.2, ..unless_written }
    );
}

#[test]
fn lateness_is_allowed_up_to_a_twentieth_of_the_tightest_percentile() {
    let allowed = |load: &str, thresholds: &str| {
        let plan: Plan = plan_of(&scenario("{}", load, thresholds)).expect("valid");
        plan.lateness_allowed().as_millis()
    };
    assert_eq!(allowed(CLOSED, "[]"), 5);
    assert_eq!(allowed(CLOSED, "[\"p99(http) < 40ms\"]"), 5, "no less than a scheduler costs");
    assert_eq!(allowed(CLOSED, "[\"p99(http) < 2s\", \"p50(http) < 400ms\", \"error_rate < 1%\"]"), 20);
    let search = "{run: a, executor: breakpoint, of: users, from: 1, to: 10, window: 4s, fail_when: [p99(http) > 300ms]}";
    assert_eq!(allowed(search, "[]"), 15);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let text = scenario("{dispatch_lag: 5ms, read_error_p99: 5, cpu: 120%, run_queue: 0%}", CLOSED, "[]");
    let problems = plan_of(&text).expect_err("four mistakes");
    insta::assert_snapshot!(problems.lines().join("\n"), @"dir/test.yaml:4:15: error: `generator` has no key `dispatch_lag` (did you mean `dispatch_lag_p99`?)
dir/test.yaml:4:50: error: `5` has no unit (durations have a unit: 250ms, 10s, 1m30s, 2h)
dir/test.yaml:4:58: error: `cpu` lies above 0% and up to 100% (write a share such as 5%)
dir/test.yaml:4:75: error: `run_queue` lies above 0% and up to 100% (write a share such as 5%)");
}
