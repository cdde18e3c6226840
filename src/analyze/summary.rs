//! From a record to its summary: the one way, right after a run and a year later.

use super::findings::findings;
use super::predict::{Before, answer};
use super::wall::Unit;
use super::{Input, LevelInput, steady};
use crate::measure::histogram::Histogram;
use crate::record::recorded::Recorded;
use crate::record::rows::{End, EndpointEntry, LevelMark, Manifest};
use crate::record::span::{RecordedSpan, latency};
use crate::record::summary::{
    Counts, EndpointResult, LoadLine, RequestCounts, SUMMARY_SCHEMA, Soak, Summary, ThresholdResult, Verdict,
    Warning,
};
use crate::scenario::plan::LoadUnit;
use crate::threshold::{self, Stat, Stats, Verdict as Judged, Which};

/// Quantiles of the percentile curve: evenly spaced in the number of nines, which is how tails are read.
const CURVE: &[f64] = &[
    0.0, 0.1, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999,
    0.9995, 0.9999, 0.99999, 1.0,
];

/// What `run::levels` warns of where a system does not come out of a level.
const NON_RECOVERING: &str = "non_recovering";

/// Computes the summary of a recorded run.
pub fn summarize(recorded: &Recorded) -> Summary {
    let manifest = &recorded.manifest;
    let progress = &manifest.progress;
    let marks = &manifest.levels;
    let levels: Vec<LevelInput> = stays(marks).iter().map(|mark| level(recorded, mark)).collect();
    let soaks: Vec<Soak> = marks.iter().filter(|mark| mark.soak).map(|mark| soak(recorded, mark)).collect();
    let unit =
        if manifest.level_unit.as_deref() == Some("rate") { LoadUnit::RatePerS } else { LoadUnit::Users };
    let found = findings(&Input {
        unit,
        think_s: manifest.think_s,
        requests_per_iteration: manifest.requests_per_iteration,
        judged: !manifest.goals.is_empty(),
        levels: &levels,
        soaks: &soaks,
        search: manifest.search.as_ref(),
        readings: &recorded.saturation,
    });
    let thresholds: Vec<ThresholdResult> =
        manifest.thresholds.iter().map(|text| judge(recorded, text)).collect();
    let counts = counts(manifest);
    let mut warnings = progress.warnings.clone();
    warnings.extend(found.warnings);
    warnings.extend(steady::soak_warning(&soaks));
    warnings.extend(super::omission::closed_loop(recorded));
    warnings.extend(super::clocks::differ(&progress.requests.streams));
    warnings.extend(interrupted_iterations(manifest));
    warnings.extend(broken_identity(&counts));
    let load_line = if manifest.level_unit.is_some() { found.load_line } else { None };
    let what_if = manifest.what_if.as_ref().map(|asked| {
        let before = Before {
            levels: &found.levels,
            left_out: &found.left_out,
            load_line: load_line.as_ref(),
            bottleneck: found.bottleneck.as_ref(),
            goals: &manifest.goals,
            unit: Unit {
                of: unit,
                think_s: manifest.think_s,
                requests_per_iteration: manifest.requests_per_iteration,
            },
            think_variation: manifest.think_variation,
            seed: manifest.seed,
        };
        answer(asked, &before)
    });
    let what_if = what_if.and_then(|answered| answered.map_err(|refused| warnings.push(refused)).ok());
    let (verdict, exit_code, reason) = verdict(recorded, &thresholds, load_line.as_ref());
    Summary {
        schema: SUMMARY_SCHEMA,
        scenario: manifest.scenario.clone(),
        verdict,
        exit_code,
        reason,
        counts,
        requests: progress.requests,
        clock_offset_ms: super::clocks::offset(&progress.requests.streams),
        interrupted_age_ms: (progress.interrupted_age_ms.max > 0.0).then_some(progress.interrupted_age_ms),
        load_line,
        bottleneck: found.bottleneck,
        ladder: found.ladder,
        checks: found.checks,
        what_if,
        levels: found.levels,
        endpoints: manifest.endpoints.iter().map(|entry| endpoint(recorded, entry)).collect(),
        thresholds,
        generator: progress.generator.clone(),
        failures: progress.failures.clone(),
        warnings,
    }
}

/// Each level once, with its last judgment, in which all that was seen of it counts; its span, and whether it had settled, are of the stay of which most counts, one that had
/// settled before any other. A look that is continued is one stay.
fn stays(marks: &[LevelMark]) -> Vec<LevelMark> {
    let mut stays: Vec<LevelMark> = Vec::new();
    let mut levels: Vec<LevelMark> = Vec::new();
    for mark in marks.iter().filter(|mark| !mark.soak) {
        match stays.iter_mut().find(|stay| stay.level == mark.level && stay.to_s == mark.from_s) {
            Some(stay) => *stay = LevelMark { from_s: stay.from_s, ..mark.clone() },
            None => stays.push(mark.clone()),
        }
    }
    for stay in stays {
        match levels.iter_mut().find(|level| level.level == stay.level) {
            Some(level) => {
                let worth = |mark: &LevelMark| {
                    let [from_s, to_s] = mark.counted_s();
                    (mark.counts_from_s.is_some() && mark.unsettled_ratio.is_none(), to_s - from_s)
                };
                let best = if worth(&stay) > worth(level) { &stay } else { &*level };
                let LevelMark { from_s, to_s, counts_from_s, unsettled_ratio, .. } = *best;
                *level = LevelMark { from_s, to_s, counts_from_s, unsettled_ratio, ..stay };
            }
            None => levels.push(stay),
        }
    }
    levels
}

fn level(recorded: &Recorded, mark: &LevelMark) -> LevelInput {
    let span = RecordedSpan::new(recorded, mark.counted_s());
    let seconds = span.seconds().max(f64::EPSILON);
    let (requests, failed) = span.requests(None, None);
    LevelInput {
        mark: mark.clone(),
        users: span.users(),
        offered_per_s: span.iterations().0 as f64 / seconds,
        requests,
        failed,
        response_ms: latency(&span.histogram(Which::Response, None, None)),
        service_ms: latency(&span.histogram(Which::Service, None, None)),
    }
}

fn soak(recorded: &Recorded, mark: &LevelMark) -> Soak {
    Soak {
        level: mark.level,
        // A few requests guarantee nothing.
        good: mark.good && mark.enough,
        failed_by: mark.failed_by.clone(),
        bad_ratio: mark.bad_ratio,
        span_s: [mark.from_s, mark.to_s],
        drift: steady::drift(recorded, [mark.from_s, mark.to_s]),
    }
}

fn endpoint(recorded: &Recorded, entry: &EndpointEntry) -> EndpointResult {
    let of = |clock: Which| recorded.histogram(clock, recorded.whole_span(), |key| key == entry.key());
    let (response, service): (Histogram, Histogram) = (of(Which::Response), of(Which::Service));
    let rows = || recorded.timeline.iter().filter(|row| row.endpoint == entry.key());
    let failed = rows().map(|row| row.failed).sum();
    let curve = if response.is_empty() {
        Vec::new()
    } else {
        let ms = |histogram: &Histogram, q: f64| histogram.quantile_ns(q) as f64 / 1e6;
        CURVE.iter().map(|&q| [q, ms(&response, q), ms(&service, q)]).collect()
    };
    EndpointResult {
        name: entry.name.clone(),
        protocol: entry.protocol.clone(),
        count: rows().map(|row| row.completed + row.failed).sum(),
        failed,
        response_ms: latency(&response),
        service_ms: latency(&service),
        curve,
    }
}

/// The whole seconds inside a span, as the record is kept in such: counts and percentiles are then of the same span. One without any stays.
fn whole_seconds(span_s: [f64; 2]) -> [f64; 2] {
    let inside = [span_s[0].ceil(), span_s[1].floor()];
    if inside[0] < inside[1] { inside } else { span_s }
}

fn judge(recorded: &Recorded, text: &str) -> ThresholdResult {
    let not = |note: String| ThresholdResult {
        text: text.to_owned(),
        value: None,
        samples: 0,
        result: "not_evaluated".into(),
        note: Some(note),
    };
    let parsed = match threshold::parse(text) {
        Ok(parsed) => parsed,
        // The record was checked when it was made, so this is a record of another version.
        Err(error) => return not(error.to_string()),
    };
    let span_s = match &parsed.phase {
        None => Some(recorded.whole_span()),
        Some(phase) => {
            let mark = recorded.manifest.phases.iter().find(|mark| &mark.name == phase);
            let reached = mark.filter(|mark| mark.from_s < recorded.manifest.duration_s);
            reached.map(|mark| whole_seconds([mark.from_s, mark.to_s.min(recorded.manifest.duration_s)]))
        }
    };
    let span = span_s.map(|span_s| RecordedSpan::new(recorded, span_s));
    let windows = match (span, parsed.window()) {
        (Some(span), Some(window)) => span.windows(window.as_secs_f64()),
        _ => Vec::new(),
    };
    let windows: Vec<&dyn Stats> = windows.iter().map(|window| window as &dyn Stats).collect();
    let judged = threshold::judge(&parsed, span.as_ref().map(|span| span as &dyn Stats), &windows);
    let (result, note) = match judged.result {
        Judged::Pass => ("pass", None),
        Judged::Fail => ("fail", None),
        Judged::NotEvaluated { why } => ("not_evaluated", Some(why)),
    };
    let in_ms = matches!(parsed.stat, Stat::Percentile(_) | Stat::Max | Stat::Mean);
    ThresholdResult {
        text: text.to_owned(),
        value: judged.value.map(|value| if in_ms { value / 1e6 } else { value }),
        samples: judged.samples,
        result: result.to_owned(),
        note,
    }
}

/// One word, the published exit code, and the reason. What cut the run short comes first, then whether its numbers can be trusted,
/// then what they say.
fn verdict(
    recorded: &Recorded,
    thresholds: &[ThresholdResult],
    load_line: Option<&LoadLine>,
) -> (Verdict, u8, String) {
    let manifest = &recorded.manifest;
    let progress = &manifest.progress;
    let Some(ended) = &manifest.ended else {
        let reason = "the run was cut off; the record holds what was measured until then".to_owned();
        return (Verdict::Interrupted, 130, reason);
    };
    match ended.how {
        End::Error => return (Verdict::Error, 9, ended.reason.clone()),
        End::AgentLost => return (Verdict::QuorumLost, 5, ended.reason.clone()),
        End::TargetLost => return (Verdict::TargetLost, 8, ended.reason.clone()),
        End::Aborted => return (Verdict::Aborted, 4, ended.reason.clone()),
        End::Interrupted => return (Verdict::Interrupted, 130, ended.reason.clone()),
        End::Completed => {}
    }
    if let Some(warning) = broken_identity(&progress.counts) {
        return (Verdict::Error, 9, warning.text);
    }
    if !progress.generator.valid {
        let why = progress.warnings.iter().find(|warning| warning.code.starts_with("generator_"));
        let reason =
            why.map_or_else(|| "the generator was the limit".to_owned(), |warning| warning.text.clone());
        return (Verdict::Invalid, 3, reason);
    }
    let RequestCounts { ok, sent, unsent, failed, .. } = progress.requests;
    if ok == 0 && sent + unsent + failed > 0 {
        let why = progress.failures.first();
        let most =
            why.map_or_else(String::new, |failure| format!(": `{}`: {}", failure.endpoint, failure.text));
        return (Verdict::Fail, 1, format!("not one request succeeded{most}"));
    }
    let failed = thresholds.iter().find(|threshold| threshold.result != "pass");
    if let Some(threshold) = failed {
        let reason = match &threshold.note {
            Some(note) => format!("threshold `{}` could not be evaluated: {note}", threshold.text),
            None => format!("threshold `{}` was not met", threshold.text),
        };
        return (Verdict::Fail, 1, reason);
    }
    let stuck = progress.warnings.iter().find(|warning| warning.code == NON_RECOVERING);
    if let (Some(warning), true) = (stuck, manifest.search.is_some()) {
        return (Verdict::Fail, 1, warning.text.clone());
    }
    match load_line {
        Some(LoadLine { typical: None, limited_by, .. }) => {
            let by = limited_by.as_deref().unwrap_or("the conditions of the search");
            (Verdict::Fail, 1, format!("no level was good: even the lowest was limited by {by}"))
        }
        Some(LoadLine { guaranteed: None, soaks, .. }) if !soaks.is_empty() => {
            (Verdict::Fail, 1, "the load line was found, and no load was carried for a whole soak".to_owned())
        }
        Some(_) => (Verdict::Pass, 0, "the load line was found".to_owned()),
        None if thresholds.is_empty() => {
            (Verdict::Pass, 0, "the load was carried; there were no thresholds".to_owned())
        }
        None => (Verdict::Pass, 0, "every threshold was met".to_owned()),
    }
}

/// Share of the planned iterations that may be cut off at the end of a drain without a word about it.
const INTERRUPTED_RATIO_MAX: f64 = 0.01;

/// A run that came to its planned end but cut off what still ran then: the slow ones. Of their requests those under way are in the percentiles
/// with the age they had reached, the least they would have taken (ADR 0009); what they would have gone on to ask is in none.
fn interrupted_iterations(manifest: &Manifest) -> Option<Warning> {
    let Counts { planned, interrupted, .. } = manifest.progress.counts;
    let ended_as_planned = manifest.ended.as_ref().is_some_and(|ended| ended.how == End::Completed);
    if !ended_as_planned || interrupted as f64 <= INTERRUPTED_RATIO_MAX * planned as f64 {
        return None;
    }
    let age = manifest.progress.interrupted_age_ms;
    let ages = if age.max > 0.0 {
        format!(
            "; half of them had run for {:.1} s or longer, the oldest for {:.1} s",
            age.p50 / 1e3,
            age.max / 1e3
        )
    } else {
        String::new()
    };
    Some(Warning {
        code: "interrupted_iterations".to_owned(),
        text: format!(
            "{interrupted} of {planned} iterations were cut off at the end of the drain; requests they had under way count with the age they had reached{ages}"
        ),
        remedy: "give them a longer `graceful_stop`, or look at what hangs".to_owned(),
    })
}

/// A record that was cut off could not say what became of the iterations under way in its last second: they were interrupted.
fn counts(manifest: &Manifest) -> Counts {
    let mut counts = manifest.progress.counts;
    if manifest.ended.is_none() {
        counts.interrupted += counts.planned.saturating_sub(counts.ended());
    }
    counts
}

/// planned = completed + failed + dropped + interrupted + lost, or the tool itself is wrong.
fn broken_identity(counts: &Counts) -> Option<Warning> {
    let ended = counts.ended();
    (ended != counts.planned).then(|| Warning {
        code: "accounting_identity".to_owned(),
        text: format!(
            "{} iterations were planned but {ended} are accounted for: a fault of plimsoll, not of the target",
            counts.planned
        ),
        remedy: "do not trust this run; please report it with its record".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::rows::Ended;
    use crate::record::summary::{Generator, Lag};

    fn recorded(counts: Counts, requests: RequestCounts) -> Recorded {
        let mut manifest = Manifest {
            duration_s: 10.0,
            ended: Some(Ended { how: End::Completed, reason: "the load came to its planned end".into() }),
            ..Manifest::default()
        };
        manifest.progress.counts = counts;
        manifest.progress.requests = requests;
        manifest.progress.generator = Generator { valid: true, ..Generator::default() };
        Recorded {
            dir: std::path::PathBuf::new(),
            manifest,
            timeline: Vec::new(),
            saturation: Vec::new(),
            signals: Vec::new(),
            events: Vec::new(),
            intervals: Vec::new(),
            by_name: Default::default(),
        }
    }

    #[test]
    fn a_target_that_answered_nothing_is_no_pass() {
        let counts = Counts { planned: 50, interrupted: 50, ..Counts::default() };
        let hung = recorded(counts, RequestCounts { sent: 50, interrupted: 50, ..RequestCounts::default() });
        let summary = summarize(&hung);
        assert_eq!((summary.verdict, summary.exit_code), (Verdict::Fail, 1));
        assert_eq!(summary.reason, "not one request succeeded");
        let refused = recorded(
            Counts { planned: 50, failed: 50, ..Counts::default() },
            RequestCounts { failed: 50, ..RequestCounts::default() },
        );
        assert_eq!(summarize(&refused).verdict, Verdict::Fail, "refused before anything was sent");
        let shaking_hands = recorded(
            Counts { planned: 50, interrupted: 50, ..Counts::default() },
            RequestCounts { unsent: 50, interrupted: 50, ..RequestCounts::default() },
        );
        assert_eq!(summarize(&shaking_hands).verdict, Verdict::Fail, "a TLS handshake that never ends");
    }

    #[test]
    fn a_level_stands_once_with_its_last_judgment_and_its_longest_stay() {
        let mark =
            |level, from_s, to_s, good| LevelMark { level, from_s, to_s, good, ..LevelMark::default() };
        let soak = LevelMark { soak: true, ..mark(100.0, 200.0, 800.0, true) };
        let marks = [
            mark(100.0, 4.0, 24.0, true),
            LevelMark { counts_from_s: Some(28.0), ..mark(200.0, 28.0, 48.0, false) },
            mark(100.0, 60.0, 80.0, true),
            LevelMark { counts_from_s: Some(70.0), ..mark(100.0, 80.0, 120.0, false) },
            LevelMark { counts_from_s: Some(130.0), ..mark(200.0, 130.0, 140.0, true) },
            soak,
        ];
        let told: Vec<_> =
            stays(&marks).iter().map(|s| (s.level, s.from_s, s.to_s, s.counted_s()[0], s.good)).collect();
        assert_eq!(told, [(100.0, 60.0, 120.0, 70.0, false), (200.0, 28.0, 48.0, 28.0, true)]);
    }

    #[test]
    fn the_figures_of_a_level_are_of_a_stay_that_had_settled() {
        let stay = |from_s, counts_from_s, to_s, unsettled_ratio| {
            let counts_from_s = Some(counts_from_s);
            LevelMark { level: 100.0, from_s, to_s, counts_from_s, unsettled_ratio, ..LevelMark::default() }
        };
        let kept = |marks: &[LevelMark]| {
            let stays = stays(marks);
            (stays[0].from_s, stays[0].unsettled_ratio)
        };
        let (moved, settled) = (stay(0.0, 50.0, 100.0, Some(0.5)), stay(110.0, 110.0, 130.0, None));
        assert_eq!(kept(&[moved.clone(), settled.clone()]), (110.0, None));
        assert_eq!(kept(&[settled.clone(), stay(200.0, 250.0, 300.0, Some(0.5))]), (110.0, None));
        assert_eq!(kept(&[settled, stay(140.0, 165.0, 175.0, None)]), (110.0, None), "20 s count, and 10");
        let short = LevelMark { counts_from_s: None, ..stay(110.0, 0.0, 120.0, None) };
        assert_eq!(kept(&[moved, short]), (0.0, Some(0.5)), "of ten seconds nobody can tell");
    }

    #[test]
    fn a_search_of_a_target_that_does_not_recover_fails() {
        let counts = Counts { planned: 50, completed: 50, ..Counts::default() };
        let requests = RequestCounts { sent: 50, ok: 50, ..RequestCounts::default() };
        let mut stuck = recorded(counts, requests);
        let text = "the target did not recover from level 20".to_owned();
        let warning = Warning { code: NON_RECOVERING.to_owned(), text: text.clone(), remedy: String::new() };
        stuck.manifest.progress.warnings.push(warning);
        assert_eq!(summarize(&stuck).verdict, Verdict::Pass, "levels that were known beforehand go on");
        stuck.manifest.search = Some(crate::record::rows::SearchSettings::default());
        let summary = summarize(&stuck);
        assert_eq!((summary.verdict, summary.exit_code, summary.reason), (Verdict::Fail, 1, text));
    }

    #[test]
    fn iterations_cut_off_at_the_end_are_told_with_their_age() {
        let requests = RequestCounts { sent: 1000, ok: 1000, ..RequestCounts::default() };
        let cut_off = |interrupted: u64| {
            let counts =
                Counts { planned: 1000, completed: 1000 - interrupted, interrupted, ..Counts::default() };
            let mut run = recorded(counts, requests);
            run.manifest.progress.interrupted_age_ms = Lag { p50: 31_000.0, p99: 39_000.0, max: 40_200.0 };
            run
        };
        assert!(summarize(&cut_off(10)).warnings.is_empty(), "1 % is let pass");
        insta::assert_snapshot!(summarize(&cut_off(11)).warnings[0].text, @"11 of 1000 iterations were cut off at the end of the drain; requests they had under way count with the age they had reached; half of them had run for 31.0 s or longer, the oldest for 40.2 s");
        let mut interrupted = cut_off(500);
        interrupted.manifest.ended = Some(Ended { how: End::Interrupted, reason: "by the user".into() });
        assert!(summarize(&interrupted).warnings.is_empty(), "the user asked for it");
    }

    #[test]
    fn what_was_under_way_when_the_run_was_shot_is_interrupted() {
        let counts = Counts { planned: 740, completed: 730, failed: 5, ..Counts::default() };
        let mut shot = recorded(counts, RequestCounts { sent: 740, ok: 735, ..RequestCounts::default() });
        assert_eq!(
            summarize(&shot).warnings[0].code,
            "accounting_identity",
            "a run that says it ended must add up"
        );
        shot.manifest.ended = None;
        let summary = summarize(&shot);
        assert_eq!((summary.verdict, summary.counts.interrupted), (Verdict::Interrupted, 5));
        assert!(summary.warnings.is_empty());
    }
}
