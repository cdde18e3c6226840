//! What else a search can come to: the same one asked for more, or ended otherwise.

use super::Record;
use super::find::{GOAL, SETTLE_S, candidate, found, search};
use plimsoll::record::rows::{End, Ended, LevelMark};
use plimsoll::record::summary::{Bottleneck, BottleneckStatus, Drift, Soak, Verdict, Warning};
use plimsoll::record::what_if::{Changed, Confirmed, NextAt, Predicted, WhatIf};

/// The same search, asked for a pool of 100, and with the second search that was made of it.
pub(crate) fn predicted() -> Record {
    let mut record = found();
    let changes = vec![Changed { resource: "mongodb.pool".into(), from: 10.0, to: 100.0 }];
    record.summary.what_if = Some(WhatIf {
        changes,
        load_line: Predicted {
            of: "users".into(),
            typical: 4180.0,
            interval: [3905.0, 4471.0],
            confidence: 0.9,
        },
        gain: 7.87,
        limited_by: Some("app.cpu".into()),
        evidence: "extrapolated".into(),
        factor: 7.6,
        calibration: 1.02,
        next: vec![NextAt { resource: "mongodb.pool".into(), at: 5270.0 }],
        explanation: "The load line would be at 4180 users; app.cpu limits it there.".into(),
        confirmed: None,
    });
    record
}

pub(crate) fn confirmed() -> Record {
    let mut record = predicted();
    if let Some(what_if) = &mut record.summary.what_if {
        what_if.evidence = "confirmed".into();
        what_if.confirmed = Some(Confirmed {
            typical: 4090.0,
            interval: [Some(4012.0), Some(4207.0)],
            observed_over_predicted: 0.978,
            run: "reports/x-what-if".into(),
            bottleneck: Some("app.cpu".into()),
        });
    }
    record
}

/// The same search with a soak that was bad, and a lower one that lasted and yet drifted.
pub(crate) fn guaranteed() -> Record {
    let mut record = found();
    let [good, bad] = record.summary.load_line.as_ref().map_or([None, None], |line| line.interval);
    if let Some(search) = &mut record.manifest.search {
        (search.effort, search.soak_s) = (Some("full".into()), Some(60.0));
    }
    let begin_s = record.manifest.duration_s;
    let mut soaks = Vec::new();
    for (i, (level, lasted)) in [(519.0, false), (494.0, true)].into_iter().enumerate() {
        let from_s = begin_s + SETTLE_S + i as f64 * 64.0;
        let drift = Drift { of: "app.heap".into(), change_ratio: 0.31, p_value: 0.0004 };
        let bad_ratio = if lasted { 0.0042 } else { 0.0131 };
        record.manifest.levels.push(LevelMark {
            level,
            from_s,
            to_s: from_s + 60.0,
            good: lasted,
            failed_by: (!lasted).then(|| GOAL.into()),
            bad_ratio,
            bad_ratio_max: 0.01,
            bracket: [good, bad],
            soak: true,
            ..LevelMark::default()
        });
        soaks.push(Soak {
            level,
            good: lasted,
            failed_by: (!lasted).then(|| GOAL.into()),
            bad_ratio,
            span_s: [from_s, from_s + 60.0],
            drift: if lasted { vec![drift] } else { vec![] },
        });
    }
    record.manifest.duration_s = begin_s + 2.0 * 64.0;
    if let Some(line) = &mut record.summary.load_line {
        (line.guaranteed, line.noise_gap) = (Some(494.0), line.typical.map(|typical| typical / 494.0));
        line.soaks = soaks;
    }
    record
}

pub(crate) fn uninstrumented() -> Record {
    let mut record = found();
    record.saturation.clear();
    for level in &mut record.summary.levels {
        level.resources.clear();
    }
    record.summary.bottleneck = Some(unnamed(BottleneckStatus::Uninstrumented));
    record.summary.ladder.clear();
    record.summary.checks.truncate(1);
    record.summary.warnings.push(Warning {
        code: "uninstrumented".into(),
        text: "no resource of the target is observed, so what gives way cannot be named".into(),
        remedy: "add an `observe` section with the target's metrics".into(),
    });
    record
}

fn unnamed(status: BottleneckStatus) -> Bottleneck {
    Bottleneck { status, ..Bottleneck::none(String::new()) }
}

/// Two resources whose onsets cannot be told apart.
pub(crate) fn undecided() -> Record {
    let mut record = found();
    let mut set = unnamed(BottleneckStatus::Set);
    set.candidates =
        vec![candidate("mongodb.pool", Some(0.62), None), candidate("app.cpu", None, Some(0.31))];
    record.summary.bottleneck = Some(set);
    record
}

pub(crate) fn no_good_level() -> Record {
    let mut record = search(&[800]);
    record.summary.verdict = Verdict::Fail;
    record.summary.exit_code = 1;
    record.summary.reason = "the first level, 800 users, is bad already: start lower with `from`".into();
    record
}

pub(crate) fn never_bad() -> Record {
    let mut record = search(&[50, 100, 200, 400]);
    record.summary.bottleneck = Some(unnamed(BottleneckStatus::None));
    record.summary.ladder.remove(0);
    record.summary.reason = "every level up to the search's own limit was good".into();
    record.summary.warnings.push(Warning {
        code: "search_limit".into(),
        text: "the search ended at its upper limit of 400 users, so the load line lies above it".into(),
        remedy: "raise `to` in the breakpoint executor".into(),
    });
    record
}

pub(crate) fn invalid() -> Record {
    let mut record = found();
    let summary = &mut record.summary;
    summary.verdict = Verdict::Invalid;
    summary.exit_code = 3;
    summary.reason = "dispatch lag p99 was 38 ms at 800 users, more than 5 ms".into();
    summary.generator.valid = false;
    summary.generator.cpu_ratio = 0.97;
    summary.generator.dispatch_lag_ms.p99 = 38.0;
    summary.generator.dispatch_lag_ms.max = 212.0;
    summary.warnings.push(Warning {
        code: "dispatch_lag".into(),
        text: "requests left 38 ms late at the 99th percentile because the shards were busy".into(),
        remedy: "use more shards or agents, or a machine of its own for the load".into(),
    });
    record
}

/// Stopped by hand in the third level, which is therefore not judged.
pub(crate) fn interrupted() -> Record {
    let mut record = search(&[100, 200]);
    record.manifest.finished = false;
    record.manifest.ended = Some(Ended { how: End::Interrupted, reason: "stopped by ctrl-C".into() });
    record.summary.verdict = Verdict::Interrupted;
    record.summary.exit_code = 8;
    record.summary.reason = "stopped by ctrl-C at 400 users".into();
    record.summary.bottleneck = Some(unnamed(BottleneckStatus::None));
    record
}
