//! The page on a made-up machine.

use super::*;
use crate::preflight::fit::tests::machine;
use crate::probe::selfcheck::WakeError;

fn checks(p99_us: f64) -> SelfChecks {
    SelfChecks {
        wake_error: WakeError { sleeps: 200, p50_us: 60.0, p99_us, max_us: 2_000.0 },
        loopback_sources: true,
    }
}

#[test]
fn limits_walls_and_what_was_asked_for() {
    insta::assert_snapshot!(text(&examine(machine(), checks(150.0), Some(100_000))));
}

#[test]
fn what_makes_times_doubtful_is_said() {
    let doubtful = Machine {
        clock_source: Some("hpet".into()),
        cpu_governor: Some("powersave".into()),
        timer_slack_ns: Some(50_000),
        ..Machine::default()
    };
    let examination = examine(doubtful, SelfChecks { loopback_sources: false, ..checks(5_000.0) }, None);
    assert_eq!(examination.doubts.len(), 4);
    assert_eq!(examination.fits, None);
    insta::assert_snapshot!(text(&examination));
}
