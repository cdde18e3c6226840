//! The sentences that every format says alike: the load line, what gives way, what comes next, the verdict. Kept in one place so
//! that the terminal, the page and the pull request never tell different stories about one run.

use super::numbers::{about, bytes, count, percent, quantity};
use super::plain;
use super::{Report, numbers};
use crate::fit::evidence::{EXTRAPOLATED, INTERPOLATED_MAX};
use crate::record::rows::End;
use crate::record::summary::{
    Bottleneck, BottleneckStatus, Candidate, Check, Counts, LoadLine, NextWall, RequestCounts, Rung, Verdict,
};

/// The load line in three pieces: `520 users`, `[last good 512, first bad 537]`, `limited by p99(http) > 100ms`.
pub struct LoadLineWords {
    pub mark: String,
    pub interval: String,
    pub limit: String,
}

/// What gives way: who, in which state, and how much of the trouble it explains.
pub struct GivesWayWords {
    pub who: String,
    pub state: String,
    pub share: String,
}

/// `520 users` or `1,250 iterations/s`, as the run's levels are counted.
pub fn load(of: &str, value: f64) -> String {
    format!("{} {}", quantity(value), unit(of))
}

/// What a level counts.
pub fn unit(of: &str) -> &'static str {
    if of == "rate" { "iterations/s" } else { "users" }
}

/// The unit of the levels of a report, `users` where nothing says otherwise.
pub fn level_of<'a>(report: &Report<'a>) -> &'a str {
    match (&report.summary.load_line, &report.manifest.level_unit) {
        (Some(line), _) => &line.of,
        (None, Some(unit)) => unit,
        (None, None) => "users",
    }
}

/// `finished` tells a search that found no bad level from one that was stopped before it could.
pub fn load_line(line: &LoadLine, finished: bool) -> LoadLineWords {
    let of = line.of.as_str();
    let mark = match (line.typical, line.interval) {
        (Some(typical), [_, None]) => format!("at least {}", load(of, typical)),
        (Some(typical), _) => load(of, typical),
        (None, [_, Some(bad)]) => format!("below {}", load(of, bad)),
        (None, _) => "not found".into(),
    };
    let interval = match (line.interval, line.confidence) {
        ([Some(low), Some(high)], Some(confidence)) => {
            format!("[{} interval {} to {}]", percent(confidence), quantity(low), quantity(high))
        }
        ([Some(good), Some(bad)], None) => {
            format!("[last good {}, first bad {}]", quantity(good), quantity(bad))
        }
        ([Some(good), None], _) => format!("[last good {}, none bad]", quantity(good)),
        ([None, Some(bad)], _) => format!("[no good level, first bad {}]", quantity(bad)),
        ([None, None], _) => "[no level finished]".into(),
    };
    let limit = match (&line.limited_by, line.interval) {
        (Some(condition), _) => format!("limited by {}", plain::name(condition)),
        (None, [Some(_), None]) if finished => "never bad up to the end of the search".into(),
        (None, [Some(_), None]) => "the search was stopped before a level was bad".into(),
        (None, _) => "nothing was judged".into(),
    };
    LoadLineWords { mark, interval, limit }
}

/// `488 users, noise gap 1.04`; what became of the soaks where none lasted, and `None` without any.
pub fn guaranteed(line: &LoadLine) -> Option<String> {
    match (line.guaranteed, line.noise_gap, line.soaks.len()) {
        (Some(guaranteed), Some(gap), _) => {
            Some(format!("{}, noise gap {gap:.2}", load(&line.of, guaranteed)))
        }
        (Some(guaranteed), None, _) => Some(load(&line.of, guaranteed)),
        (None, _, 0) => None,
        (None, _, soaks) => {
            Some(format!("none: {} and not one lasted", numbers::counted(soaks as u64, "soak")))
        }
    }
}

pub fn gives_way(bottleneck: &Bottleneck, of: &str) -> GivesWayWords {
    let (who, state, share) = match bottleneck.status {
        BottleneckStatus::Named => (
            plain::name(bottleneck.resource.as_deref().unwrap_or("a resource without a name")),
            state(bottleneck, of),
            explains(bottleneck),
        ),
        BottleneckStatus::Set => (
            format!("one of {}", candidates(bottleneck)),
            "the measurements do not tell them apart".into(),
            String::new(),
        ),
        BottleneckStatus::Uninstrumented => (
            "unknown".into(),
            "no observed resource explains the added latency".into(),
            "observe more of the target to name it".into(),
        ),
        BottleneckStatus::None => {
            ("nothing".into(), "no resource was saturated at any level".into(), String::new())
        }
    };
    GivesWayWords { who, state, share }
}

/// `explains 93 % of the added latency, P = 0.97`.
fn explains(bottleneck: &Bottleneck) -> String {
    let share = bottleneck
        .share_of_added_latency
        .map(|share| format!("explains {} of the added latency", percent(share)));
    let sure = bottleneck.probability.filter(|p| p.is_finite()).map(|p| format!("P = {p:.2}"));
    share.into_iter().chain(sure).collect::<Vec<_>>().join(", ")
}

/// `app.cpu at about 4,100 users (extrapolated 8x)`: no prediction is printed without its class.
pub fn next_wall(wall: &NextWall, of: &str) -> String {
    let class = evidence_class(&wall.evidence, Some(wall.extrapolated));
    format!("{} at about {} {} ({class})", plain::name(&wall.resource), about(wall.at), unit(of))
}

/// One of a set, with what speaks for it: the probability that it was first, or else what it explains.
pub fn candidate(candidate: &Candidate) -> String {
    let name = plain::name(&candidate.resource);
    match (candidate.probability, candidate.share_of_added_latency) {
        (Some(probability), _) => format!("{name} ({} likely)", percent(probability)),
        (None, Some(share)) => format!("{name} ({} of the added latency)", percent(share)),
        (None, None) => name,
    }
}

/// `extrapolated 8x`, or what the figure rests on when it stays near the measured range.
pub fn evidence_class(evidence: &str, factor: Option<f64>) -> String {
    match factor {
        Some(factor) if factor > INTERPOLATED_MAX => format!("{EXTRAPOLATED} {}x", about(factor)),
        _ => plain::name(evidence),
    }
}

/// A rung of the ladder: where the resource gives way (`505 users`, `about 4,100 users`), within what, and on what evidence; or that it cannot be told, and why.
pub struct RungWords {
    pub at: String,
    pub interval: String,
    pub evidence: String,
}

pub fn rung(rung: &Rung) -> RungWords {
    let of = unit(&rung.of);
    let Some(at) = rung.at else {
        let reason = rung.reason.as_deref().map_or_else(String::new, plain::name);
        return RungWords { at: "not told".into(), interval: String::new(), evidence: reason };
    };
    let at = match rung.factor {
        None => format!("{} {of}", quantity(at.round())),
        Some(_) => format!("about {} {of}", about(at)),
    };
    let show = |load: f64| if rung.factor.is_none() { quantity(load.round()) } else { about(load) };
    let interval =
        rung.interval.map_or_else(String::new, |[low, high]| format!("[{} to {}]", show(low), show(high)));
    let mut evidence = evidence_class(rung.evidence.as_deref().unwrap_or_default(), rung.factor);
    if rung.demand_moved.is_some() {
        evidence += ", by a demand that moves with the load";
    }
    RungWords { at, interval, evidence }
}

/// What a law was held against, and what came of it.
pub struct CheckWords {
    pub law: &'static str,
    pub place: String,
    /// `-12 % (bound 10 %)`.
    pub residual: String,
    pub consequence: String,
}

pub fn check(check: &Check, of: &str) -> CheckWords {
    let law = match check.law.as_str() {
        "interactive" => "N = X(R + Z)",
        "little_in_use" => "in use = X·V·H",
        "little_waiting" => "waiting = X·V·W",
        "utilization" => "in use = b + X·D",
        "forced_flow" => "V the same at all loads",
        "bound" => "in use ≤ limit",
        _ => "a law of another version",
    };
    let level = check.level.map_or_else(|| "all levels".to_owned(), |level| load(of, level));
    let place = match &check.resource {
        Some(resource) => format!("{} at {level}", plain::name(resource)),
        None => level,
    };
    CheckWords {
        law,
        place,
        residual: format!("{} (bound {})", numbers::deviation(check.residual), percent(check.bound)),
        consequence: plain::line(&check.consequence, plain::FOREIGN_CHARS_MAX),
    }
}

/// `10/10 in use` with the unit of the kind of resource.
pub fn in_use(kind: Option<&str>, used: f64, limit: Option<f64>) -> String {
    // A mean of 9.98 connections of 10 is a full pool to a reader: counts of things stand to one decimal.
    let show = |value: f64| {
        if kind == Some("memory") { bytes(value) } else { quantity((value * 10.0).round() / 10.0) }
    };
    let of_limit = limit.map_or_else(String::new, |limit| format!("/{}", show(limit)));
    let what = match kind {
        Some("cpu") => "cores busy",
        Some("queue") => "queued",
        _ => "in use",
    };
    format!("{}{of_limit} {what}", show(used))
}

/// What follows the number of connections where some had TLS; nothing otherwise.
pub fn handshakes(requests: &RequestCounts) -> String {
    match requests.tls_handshakes {
        0 => String::new(),
        all => format!(" ({} TLS handshakes, {} resumed)", count(all), count(requests.tls_resumed)),
    }
}

/// An instant in UTC to the second; as it stands if it is none.
pub fn instant(utc: &str) -> String {
    let parsed = utc.parse::<jiff::Timestamp>();
    parsed.map_or_else(|_| plain::name(utc), |instant| instant.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// Completed with what went otherwise: `planned 100 = completed 97 + failed 1 + …`, and whether that is true.
pub fn identity(counts: &Counts) -> (String, bool) {
    let Counts { planned, completed, failed, dropped, interrupted, lost } = *counts;
    let ended =
        [completed, failed, dropped, interrupted, lost].iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    let text = format!(
        "planned {} {} completed {} + failed {} + dropped {} + interrupted {} + lost {}",
        count(planned),
        if ended == planned { "=" } else { "≠" },
        count(completed),
        count(failed),
        count(dropped),
        count(interrupted),
        count(lost)
    );
    (text, ended == planned)
}

/// The verdict as a word a person would use.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Invalid => "INVALID",
        Verdict::Aborted => "aborted",
        Verdict::QuorumLost => "quorum lost",
        Verdict::Regression => "regression",
        Verdict::CannotTell => "cannot tell",
        Verdict::TargetLost => "target lost",
        Verdict::Error => "error",
        Verdict::Interrupted => "interrupted",
    }
}

/// What the verdict takes away from the numbers beneath it; `None` where they can be taken as they are.
pub fn caution(report: &Report<'_>) -> Option<&'static str> {
    Some(match report.summary.verdict {
        Verdict::Pass | Verdict::Fail | Verdict::Regression | Verdict::CannotTell => {
            if report.summary.generator.valid {
                return unfinished(report);
            }
            GENERATOR
        }
        Verdict::Invalid => GENERATOR,
        Verdict::Interrupted => "the run was stopped from outside: the numbers cover what ran until then",
        Verdict::Aborted => "the run was stopped by its own rule: the numbers cover what ran until then",
        Verdict::TargetLost => "the target stopped answering: the numbers cover what ran until then",
        Verdict::QuorumLost => "too many agents were lost: the load that was planned was not sent",
        Verdict::Error => "the tool could not go on: the numbers cover what ran until then",
    })
}

const GENERATOR: &str =
    "the load generator was the bottleneck: the numbers below describe it, not the target";

/// A record whose run never came to its end says so whatever its verdict is.
fn unfinished(report: &Report<'_>) -> Option<&'static str> {
    let message = "the record ends before the run did: the numbers cover what was written until then";
    (!finished(report)).then_some(message)
}

/// Whether the run came to its own end.
pub fn finished(report: &Report<'_>) -> bool {
    report.manifest.ended.as_ref().map_or(report.manifest.finished, |ended| ended.how == End::Completed)
}

/// `✓`, `✗` or `–` for a threshold's result.
pub fn threshold_mark(result: &str) -> &'static str {
    match result {
        "pass" => "✓",
        "fail" => "✗",
        _ => "–",
    }
}

/// The value of a threshold in the unit its text is written in.
pub fn threshold_value(text: &str, value: Option<f64>) -> String {
    let Some(value) = value else { return numbers::NO_NUMBER.into() };
    let stat = text.trim_start();
    // What follows may be a share of windows.
    let compared = text.split_once(" for ").map_or(text, |(compared, _)| compared);
    let is_latency =
        stat.strip_prefix('p').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            || ["max", "mean"].iter().any(|name| stat.starts_with(name));
    if is_latency {
        numbers::ms(value)
    } else if stat.starts_with("error_rate") || compared.contains('%') {
        percent(value)
    } else if stat.starts_with("rate") {
        numbers::rate(value)
    } else {
        quantity(value)
    }
}

fn candidates(bottleneck: &Bottleneck) -> String {
    let all: Vec<String> = bottleneck.candidates.iter().map(candidate).collect();
    if all.is_empty() { "several resources".into() } else { all.join(", ") }
}

fn state(bottleneck: &Bottleneck, of: &str) -> String {
    let mut parts = Vec::new();
    if let Some(used) = bottleneck.used {
        parts.push(in_use(bottleneck.kind.as_deref(), used, bottleneck.limit));
    }
    if let Some(waiting) = bottleneck.waiting {
        parts.push(format!("{} waiting", quantity(waiting.round())));
    }
    if let Some(onset) = bottleneck.onset {
        let interval = bottleneck.onset_interval.map_or_else(String::new, |[low, high]| {
            format!(" [{} to {}]", quantity(low.round()), quantity(high.round()))
        });
        parts.push(format!("from {}{interval}", load(of, onset.round())));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{guaranteed, identity, in_use, load_line, next_wall, threshold_value};
    use crate::record::summary::{Counts, LoadLine, NextWall, Rung, Soak};

    fn line(typical: Option<f64>, interval: [Option<f64>; 2], limited_by: Option<&str>) -> String {
        let line = LoadLine {
            of: "rate".into(),
            typical,
            guaranteed: None,
            noise_gap: None,
            interval,
            interval_kind: "bracket".into(),
            confidence: None,
            limited_by: limited_by.map(Into::into),
            goals: vec![],
            soaks: vec![],
        };
        let words = load_line(&line, true);
        format!("{} {} {}", words.mark, words.interval, words.limit)
    }

    #[test]
    fn the_load_line_says_what_was_not_found() {
        assert_eq!(
            line(Some(520.0), [Some(512.0), Some(537.0)], Some("error_rate > 1%")),
            "520 iterations/s [last good 512, first bad 537] limited by error_rate > 1%"
        );
        assert_eq!(
            line(Some(20_000.0), [Some(20_000.0), None], None),
            "at least 20,000 iterations/s [last good 20,000, none bad] never bad up to the end of the search"
        );
        assert_eq!(
            line(None, [None, Some(100.0)], Some("dropped > 0")),
            "below 100 iterations/s [no good level, first bad 100] limited by dropped > 0"
        );
        assert_eq!(line(None, [None, None], None), "not found [no level finished] nothing was judged");
    }

    #[test]
    fn the_guaranteed_line_tells_its_gap() {
        let soak = Soak {
            level: 500.0,
            good: false,
            failed_by: None,
            bad_ratio: 0.02,
            span_s: [0.0, 600.0],
            drift: vec![],
        };
        let line = |guaranteed: Option<f64>, soaks| LoadLine {
            of: "users".into(),
            typical: Some(520.0),
            guaranteed,
            noise_gap: guaranteed.map(|guaranteed: f64| 520.0 / guaranteed),
            interval: [Some(512.0), Some(537.0)],
            interval_kind: "bracket".into(),
            confidence: None,
            limited_by: None,
            goals: vec![],
            soaks,
        };
        assert_eq!(guaranteed(&line(None, vec![])), None);
        assert_eq!(guaranteed(&line(Some(500.0), vec![])).as_deref(), Some("500 users, noise gap 1.04"));
        let none = guaranteed(&line(None, vec![soak]));
        assert_eq!(none.as_deref(), Some("none: 1 soak and not one lasted"));
    }

    #[test]
    fn a_prediction_carries_its_class() {
        let wall = |extrapolated, evidence: &str| NextWall {
            resource: "app.cpu".into(),
            at: 4087.0,
            extrapolated,
            evidence: evidence.into(),
        };
        assert_eq!(
            next_wall(&wall(8.03, "extrapolated"), "users"),
            "app.cpu at about 4,100 users (extrapolated 8x)"
        );
        assert_eq!(
            next_wall(&wall(1.1, "interpolated"), "rate"),
            "app.cpu at about 4,100 iterations/s (interpolated)"
        );
    }

    #[test]
    fn a_rung_says_where_or_why_not() {
        let base = Rung {
            resource: "app.cpu".into(),
            kind: "cpu".into(),
            of: "users".into(),
            at: Some(1032.4),
            interval: Some([980.2, 1090.0]),
            confidence: Some(0.95),
            evidence: Some("measured".into()),
            factor: None,
            demand_moved: None,
            reason: None,
        };
        let text = |rung: &Rung| {
            let words = super::rung(rung);
            format!("{} {} {}", words.at, words.interval, words.evidence)
        };
        assert_eq!(text(&base), "1,032 users [980 to 1,090] measured");
        let ahead = Rung { factor: Some(2.1), evidence: Some("extrapolated".into()), ..base.clone() };
        assert_eq!(text(&ahead), "about 1,000 users [980 to 1,100] extrapolated 2.1x");
        let moving = Rung { demand_moved: Some(1.3), ..ahead };
        assert!(text(&moving).ends_with("extrapolated 2.1x, by a demand that moves with the load"));
        let untold = Rung { at: None, reason: Some("no limit is told".into()), ..base };
        assert_eq!(text(&untold), "not told  no limit is told");
    }

    #[test]
    fn counts_that_do_not_add_up_are_not_written_as_equal() {
        let mut counts = Counts { planned: 10, completed: 7, failed: 1, dropped: 2, interrupted: 0, lost: 0 };
        assert!(identity(&counts).1);
        counts.completed = u64::MAX;
        assert!(identity(&counts).0.contains('≠'));
    }

    #[test]
    fn values_stand_in_the_unit_of_their_text() {
        assert_eq!(threshold_value("p99.9(http) < 1s", Some(1234.0)), "1.23 s");
        assert_eq!(threshold_value("error_rate < 1%", Some(0.0042)), "0.42 %");
        assert_eq!(threshold_value("rate(http) > 100/s", Some(512.0)), "512/s");
        assert_eq!(threshold_value("dropped == 0", Some(3.0)), "3");
        assert_eq!(threshold_value("value(x) > 5 for 75% of 2s windows", Some(56.0)), "56");
        assert_eq!(in_use(Some("memory"), 536_870_912.0, Some(1_073_741_824.0)), "512 MiB/1 GiB in use");
        assert_eq!(in_use(Some("cpu"), 3.9, Some(4.0)), "3.9/4 cores busy");
    }
}
