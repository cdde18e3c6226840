//! `junit.xml`: what a CI server shows as tests. One case a threshold, one for the load line of a search, and one that says whether
//! the run can be trusted at all, so that an INVALID run is an error there and never a quiet pass.

use super::numbers::count;
use super::{Format, Report, ReportError, plain, wording};
use crate::record::summary::{Level, LoadLine, Summary, ThresholdResult, Verdict};
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

pub struct JUnit;

/// A run of 300 years has a broken clock, not a duration.
const DURATION_S_MAX: f64 = 1e10;
/// Kinds of failed requests told in the suite's output.
const FAILURES_MAX: usize = 50;

impl Format for JUnit {
    fn render(&self, report: &Report<'_>) -> Result<Vec<u8>, ReportError> {
        let summary = report.summary;
        let mut suite = TestSuite::new(plain::name(&summary.scenario));
        let duration_s = report.manifest.duration_s;
        let duration_s = if duration_s.is_finite() { duration_s.clamp(0.0, DURATION_S_MAX) } else { 0.0 };
        suite.set_time(Duration::from_secs_f64(duration_s));
        properties(&mut suite, report);
        suite.add_test_case(trust(report));
        if let Some(line) = &summary.load_line {
            suite.add_test_case(found(line, report));
        }
        for threshold in &summary.thresholds {
            suite.add_test_case(judged(threshold));
        }
        if !summary.failures.is_empty() {
            suite.set_system_out(failures(summary));
        }
        let mut document = quick_junit::Report::new("plimsoll");
        document.add_test_suite(suite);
        let mut out = Vec::new();
        document.serialize(&mut out)?;
        Ok(out)
    }
}

fn properties(suite: &mut TestSuite, report: &Report<'_>) {
    let (manifest, summary) = (report.manifest, report.summary);
    let mut add = |name: &str, value: String| {
        suite.add_property(Property::new(name, value));
    };
    add("verdict", wording::verdict(summary.verdict).into());
    add("seed", manifest.seed.to_string());
    add("target", plain::name(&manifest.target));
    add("tool_version", plain::name(&manifest.tool_version));
    add("iterations", wording::identity(&summary.counts).0);
    if let Some(line) = &summary.load_line {
        add("load_line.of", plain::name(&line.of));
        add("load_line.typical", number(line.typical));
        add("load_line.last_good", number(line.interval[0]));
        add("load_line.first_bad", number(line.interval[1]));
    }
    if let Some(bottleneck) = &summary.bottleneck {
        let words = wording::gives_way(bottleneck, wording::level_of(report));
        let sentence = [words.who, words.state, words.share].join(" ");
        add("gives_way", sentence.trim_end().to_owned());
    }
    for level in &summary.levels {
        add(&format!("level.{}", number(Some(level.level))), level_text(level));
    }
    for warning in &summary.warnings {
        add(&format!("warning.{}", plain::name(&warning.code)), plain::block(&warning.text));
    }
}

/// Whether the numbers can be taken as they are.
fn trust(report: &Report<'_>) -> TestCase {
    let summary = report.summary;
    let status = match wording::caution(report) {
        Some(caution) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type(wording::verdict(summary.verdict)).set_message(caution);
            status.set_description(plain::block(&summary.reason));
            status
        }
        // A verdict that no other case tells must not pass for the lack of one.
        None if summary.verdict != Verdict::Pass && !told_elsewhere(summary) => failure(
            "verdict",
            &format!("{}: {}", wording::verdict(summary.verdict), plain::name(&summary.reason)),
        ),
        None => TestCaseStatus::success(),
    };
    case("the run is valid", "run", status)
}

fn told_elsewhere(summary: &Summary) -> bool {
    let no_line = summary.load_line.as_ref().is_some_and(|line| line.typical.is_none());
    no_line || summary.thresholds.iter().any(|t| t.result == "fail")
}

/// The requests that failed, a line each, as the suite's output.
fn failures(summary: &Summary) -> String {
    let lines = summary.failures.iter().take(FAILURES_MAX).map(|f| {
        let (endpoint, kind) = (plain::name(&f.endpoint), plain::name(&f.kind));
        format!("{} × {endpoint}: {kind}: {}\n", count(f.count), plain::name(&f.text))
    });
    lines.collect()
}

fn found(line: &LoadLine, report: &Report<'_>) -> TestCase {
    let words = wording::load_line(line, wording::finished(report));
    let sentence = format!("{} {} {}", words.mark, words.interval, words.limit);
    let status = if line.typical.is_some() {
        TestCaseStatus::success()
    } else {
        let mut status = failure("no_load_line", &sentence);
        status.set_description(plain::block(&report.summary.reason));
        status
    };
    let mut case = case("load line found", "find", status);
    case.set_system_out(sentence);
    case
}

fn judged(threshold: &ThresholdResult) -> TestCase {
    let value = wording::threshold_value(&threshold.text, threshold.value);
    let status = match threshold.result.as_str() {
        "pass" => TestCaseStatus::success(),
        "fail" => {
            let told = format!(
                "was {value} over {} samples; the threshold is {}",
                count(threshold.samples),
                plain::name(&threshold.text)
            );
            failure("threshold", &told)
        }
        _ => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(plain::name(threshold.note.as_deref().unwrap_or("not evaluated")));
            status
        }
    };
    case(&plain::name(&threshold.text), "threshold", status)
}

fn case(name: &str, class: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(class);
    case
}

fn failure(kind: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(kind).set_message(message);
    status
}

fn level_text(level: &Level) -> String {
    format!(
        "{}, {}, p99 {}{}",
        if level.good { "good" } else { "bad" },
        super::numbers::rate(level.throughput_per_s),
        super::numbers::ms(level.response_ms.p99),
        level.failed_by.as_deref().map_or_else(String::new, |by| format!(", failed by {}", plain::name(by)))
    )
}

fn number(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or_else(|| "none".into(), |value| value.to_string())
}
