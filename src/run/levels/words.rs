//! What the events say of the levels: a sentence for people, and its parts for whoever draws them.

use super::stay::Stay;
use crate::record::rows::LevelMark;
use crate::search::level::{GROWS, GoalResult, LevelResult};
use crate::search::line::Outcome;
use serde_json::{Map, Value, json};

/// One decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub text: String,
    /// `what` was decided (`next`, `judged`, `recovered`, `non_recovering`, `over`), and about what.
    pub fields: Map<String, Value>,
}

fn say(text: String, fields: Value) -> Said {
    let Value::Object(fields) = fields else { return Said { text, fields: Map::new() } };
    Said { text, fields }
}

pub(super) fn next(level: f64, windows: u32, soak: bool, reason: &str) -> Said {
    let what = if soak { "soak at" } else { "level" };
    say(
        format!("{what} {level}: {reason}"),
        json!({"what": "next", "level": level, "windows": windows, "soak": soak, "why": reason}),
    )
}

/// `left_out_s` as of [`Stay::left_out_s`].
pub(super) fn judged(mark: &LevelMark, left_out_s: Option<u32>) -> Said {
    let goals: Vec<Value> = mark
        .goals
        .iter()
        .map(|goal| json!({"text": goal.text, "bound": goal.bound, "bad_ratio": goal.bad_ratio, "windows": goal.windows, "windows_bad": goal.windows_bad}))
        .collect();
    say(
        sentence(mark) + &settling(left_out_s, mark.unsettled_ratio),
        json!({
            "what": "judged",
            "level": mark.level,
            "soak": mark.soak,
            "good": mark.good,
            "by": mark.failed_by,
            "bad_ratio": mark.bad_ratio,
            "bad_ratio_max": mark.bad_ratio_max,
            "windows": mark.windows,
            "windows_bad": mark.windows_bad,
            "windows_asked": mark.asked,
            "left_out_s": left_out_s,
            "unsettled_ratio": mark.unsettled_ratio,
            "goals": goals,
            "bracket": mark.bracket,
        }),
    )
}

pub(super) fn recovered(level: f64, low: f64, since_s: u64) -> Said {
    say(
        format!("the goals are met again at {low}, {since_s} s after level {level}"),
        json!({"what": "recovered", "level": level, "at": low, "after_s": since_s}),
    )
}

pub(super) fn did_not_recover(level: f64, low: f64, since_s: u64) -> Said {
    say(
        format!(
            "the target did not recover from level {level}: {since_s} s later it does not meet the goals at {low}"
        ),
        json!({"what": "non_recovering", "level": level, "at": low, "after_s": since_s}),
    )
}

pub(super) fn over(outcome: &Outcome) -> Said {
    let line = outcome.typical.map_or_else(|| "none".to_owned(), |typical| format!("{typical}"));
    say(
        format!("over after {} levels, load line {line}", outcome.levels),
        json!({
            "what": "over",
            "typical": outcome.typical,
            "bracket": [outcome.last_good, outcome.first_bad],
            "by": outcome.limited_by,
        }),
    )
}

/// The judgment as the record keeps it; the bracket is for whoever knows the other levels.
pub(super) fn mark(result: &LevelResult, [from_s, to_s]: [f64; 2], soak: bool, stay: &Stay) -> LevelMark {
    let truncation = stay.truncation();
    let decider = result.decider();
    LevelMark {
        level: result.level,
        from_s,
        to_s,
        good: result.good,
        failed_by: result.failed_by().map(str::to_owned),
        bad_ratio: decider.map_or(0.0, |goal| goal.bad_ratio),
        bad_ratio_max: decider.map_or(0.0, |goal| goal.bad_ratio_max),
        windows_bad: decider.map_or(0, |goal| goal.windows_bad),
        windows: decider.map_or(0, |goal| goal.windows),
        asked: result.asked,
        enough: result.enough,
        goals: result.goals.clone(),
        bracket: [None, None],
        soak,
        counts_from_s: stay.counts_from_s().map(|from_s| from_s as f64),
        unsettled_ratio: truncation.filter(|found| found.is_unsettled).map(|found| found.shift_ratio),
    }
}

/// What was left out of the judgment, and whether that was enough.
fn settling(left_out_s: Option<u32>, unsettled_ratio: Option<f64>) -> String {
    match (left_out_s.filter(|seconds| *seconds > 0), unsettled_ratio) {
        (Some(seconds), None) => {
            format!("; the first {seconds} s are left out, in which the response time was settling")
        }
        (Some(seconds), Some(ratio)) => format!(
            "; the response time has not settled: the first {seconds} s, which are left out, lie {:+.0} % from the rest",
            ratio * 100.0
        ),
        (None, _) => String::new(),
    }
}

fn sentence(mark: &LevelMark) -> String {
    let LevelMark { level, windows, windows_bad, .. } = mark;
    let what = if mark.soak { "the soak at" } else { "level" };
    let verdict = if mark.good { "good" } else { "bad" };
    let why = mark.failed_by.as_ref().map_or_else(String::new, |text| format!(", by {text}"));
    if mark.failed_by.as_deref() == Some(GROWS) {
        return format!("{what} {level} is {verdict}{why}");
    }
    let decides = |goal: &&GoalResult| match &mark.failed_by {
        Some(text) => goal.text == *text,
        None => (goal.bad_ratio, goal.bad_ratio_max) == (mark.bad_ratio, mark.bad_ratio_max),
    };
    let requests = mark.goals.iter().find(decides).map_or(0, |goal| goal.requests);
    if !mark.good && requests == 0 {
        return format!("{what} {level} is {verdict}{why}: no request ended in {windows} windows");
    }
    let doubt = if mark.enough { "" } else { "; too few requests to be sure" };
    let votes = if mark.soak {
        String::new()
    } else if mark.asked > *windows {
        format!(", {windows_bad} of {windows} windows bad, which decides {}", mark.asked)
    } else {
        format!(", {windows_bad} of {windows} windows bad")
    };
    format!(
        "{what} {level} is {verdict}{why}: {:.2} % bad requests of {requests} ({:.2} % allowed){votes}{doubt}",
        mark.bad_ratio * 100.0,
        mark.bad_ratio_max * 100.0,
    )
}
