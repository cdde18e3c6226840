//! `summary.md`: what a pull-request comment shows. The answer first, tables that GitHub and GitLab draw alike, the accounting
//! behind a fold; names from scenarios and targets lose everything Markdown would act on.

use super::numbers::{count, ms, percent, quantity, rate, span};
use super::plain::markdown;
use super::{Format, Report, ReportError, numbers, watch, what_if, wording};
use crate::record::summary::{Latency, Verdict};
use std::fmt::Write as _;

pub struct Markdown;

/// Rows of one table, so that a comment stays under the size that forges accept.
const ROWS_MAX: usize = 50;

impl Format for Markdown {
    fn render(&self, report: &Report<'_>) -> Result<Vec<u8>, ReportError> {
        let mut out = String::new();
        // Writing to a String cannot fail, so the outcome of each write carries no news.
        write(&mut out, report).ok();
        Ok(out.into_bytes())
    }
}

fn write(out: &mut String, report: &Report<'_>) -> std::fmt::Result {
    let summary = report.summary;
    let mark = if summary.verdict == Verdict::Pass { "✓" } else { "✗" };
    writeln!(
        out,
        "## {mark} Plimsoll: {}, {}\n",
        markdown(&summary.scenario),
        wording::verdict(summary.verdict)
    )?;
    if let Some(caution) = wording::caution(report) {
        writeln!(out, "> **{caution}**\n")?;
    }
    if !summary.reason.is_empty() {
        writeln!(out, "{}\n", markdown(&summary.reason))?;
    }
    answer(out, report)?;
    ladder(out, report)?;
    checks(out, report)?;
    thresholds(out, report)?;
    levels(out, report)?;
    endpoints(out, report)?;
    failures(out, report)?;
    if !summary.warnings.is_empty() {
        writeln!(out, "### Warnings\n")?;
        for warning in &summary.warnings {
            writeln!(out, "- {} → {}", markdown(&warning.text), markdown(&warning.remedy))?;
        }
        writeln!(out)?;
    }
    accounting(out, report)
}

fn answer(out: &mut String, report: &Report<'_>) -> std::fmt::Result {
    let summary = report.summary;
    let of = wording::level_of(report);
    if summary.load_line.is_none() && summary.bottleneck.is_none() {
        return Ok(());
    }
    writeln!(out, "| | | |\n|---|---|---|")?;
    if let Some(line) = &summary.load_line {
        let words = wording::load_line(line, wording::finished(report));
        writeln!(
            out,
            "| load line | **{}** {} | {} |",
            words.mark,
            markdown(&words.interval),
            markdown(&words.limit)
        )?;
        if let Some(guaranteed) = wording::guaranteed(line) {
            writeln!(out, "| guaranteed | **{guaranteed}** | |")?;
        }
    }
    if let Some(bottleneck) = &summary.bottleneck {
        let words = wording::gives_way(bottleneck, of);
        writeln!(
            out,
            "| gives way | **{}** {} | {} |",
            markdown(&words.who),
            markdown(&words.state),
            words.share
        )?;
        for wall in bottleneck.next.iter().take(1) {
            writeln!(out, "| next | {} | |", markdown(&wording::next_wall(wall, of)))?;
        }
    }
    if let Some(what_if) = &summary.what_if {
        for (label, words) in what_if::lines(what_if) {
            writeln!(out, "| {label} | {} | |", markdown(&words))?;
        }
    }
    writeln!(out)
}

fn ladder(out: &mut String, report: &Report<'_>) -> std::fmt::Result {
    let all = &report.summary.ladder;
    if all.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "### Where each resource gives way\n\n| resource | at | interval | evidence |\n|---|--:|---|---|"
    )?;
    for rung in all.iter().take(ROWS_MAX) {
        let words = wording::rung(rung);
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            markdown(&rung.resource),
            words.at,
            markdown(&words.interval),
            markdown(&words.evidence)
        )?;
    }
    rest(out, all.len())
}

/// The laws that do not hold.
fn checks(out: &mut String, report: &Report<'_>) -> std::fmt::Result {
    let failing: Vec<_> = report.summary.checks.iter().filter(|check| !check.holds).collect();
    if failing.is_empty() {
        return Ok(());
    }
    writeln!(out, "### Laws that do not hold\n\n| law | where | residual | so |\n|---|---|--:|---|")?;
    for check in failing.iter().take(ROWS_MAX) {
        let words = wording::check(check, wording::level_of(report));
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            words.law,
            markdown(&words.place),
            words.residual,
            markdown(&words.consequence)
        )?;
    }
    rest(out, failing.len())
}

fn thresholds(out: &mut String, report: &Report<'_>) -> std::fmt::Result {
    let all = &report.summary.thresholds;
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "### Thresholds\n\n| | threshold | value | samples |\n|---|---|--:|--:|")?;
    for t in all.iter().take(ROWS_MAX) {
        let note = t.note.as_deref().map_or_else(String::new, |note| format!(" ({})", markdown(note)));
        writeln!(
            out,
            "| {} | {}{note} | {} | {} |",
            wording::threshold_mark(&t.result),
            markdown(&t.text),
            wording::threshold_value(&t.text, t.value),
            count(t.samples)
        )?;
    }
    rest(out, all.len())
}

fn levels(out: &mut String, report: &Report<'_>) -> std::fmt::Result {
    let all = &report.summary.levels;
    if all.is_empty() {
        return Ok(());
    }
    let of = wording::unit(wording::level_of(report));
    writeln!(
        out,
        "### Levels\n\n| {of} | | throughput | errors | response p50 | p99 | max | failed by |\n|--:|---|--:|--:|--:|--:|--:|---|"
    )?;
    for level in all.iter().take(ROWS_MAX) {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            quantity(level.level),
            if level.good { "good" } else { "**bad**" },
            rate(level.throughput_per_s),
            percent(level.error_ratio),
            ms(level.response_ms.p50),
            ms(level.response_ms.p99),
            ms(level.response_ms.max),
            markdown(level.failed_by.as_deref().unwrap_or_default())
        )?;
    }
    rest(out, all.len())
}

fn endpoints(out: &mut String, report: &Report<'_>) -> std::fmt::Result {
    let all = &report.summary.endpoints;
    if all.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "### Endpoints\n\n| endpoint | | count | failed | response p50 | p99 | max | service p50 | p99 | max |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    for endpoint in all.iter().take(ROWS_MAX) {
        let show = |l: &Latency| match endpoint.count {
            0 => [l.p50, l.p99, l.max].map(|_| numbers::NO_NUMBER.to_owned()),
            _ => [l.p50, l.p99, l.max].map(ms),
        };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            markdown(&endpoint.name),
            markdown(&endpoint.protocol),
            count(endpoint.count),
            count(endpoint.failed),
            show(&endpoint.response_ms).join(" | "),
            show(&endpoint.service_ms).join(" | ")
        )?;
    }
    rest(out, all.len())
}

fn failures(out: &mut String, report: &Report<'_>) -> std::fmt::Result {
    let all = &report.summary.failures;
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "### Failures\n\n| count | endpoint | kind | |\n|--:|---|---|---|")?;
    for f in all.iter().take(ROWS_MAX) {
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            count(f.count),
            markdown(&f.endpoint),
            markdown(&f.kind),
            markdown(&f.text)
        )?;
    }
    rest(out, all.len())
}

fn rest(out: &mut String, all: usize) -> std::fmt::Result {
    if all > ROWS_MAX {
        writeln!(out, "\n… and {} more, in the report", count((all - ROWS_MAX) as u64))?;
    }
    writeln!(out)
}

fn accounting(out: &mut String, report: &Report<'_>) -> std::fmt::Result {
    let (manifest, generator) = (report.manifest, &report.summary.generator);
    let valid = if generator.valid { "kept up" } else { "did NOT keep up" };
    let ages = watch::interrupted_age(report.summary.interrupted_age_ms.as_ref());
    writeln!(out, "<details><summary>Accounting</summary>\n")?;
    writeln!(out, "- iterations: {}", wording::identity(&report.summary.counts).0)?;
    if let Some(ages) = ages {
        writeln!(out, "- {ages}")?;
    }
    if let Some(clocks) = watch::clocks(report.summary.clock_offset_ms.as_ref()) {
        writeln!(out, "- {clocks}")?;
    }
    writeln!(out, "- generator {valid}: {}", watch::line(generator))?;
    writeln!(
        out,
        "- {} against {}, seed {}, plimsoll {}\n\n</details>",
        span(manifest.duration_s),
        markdown(&manifest.target),
        manifest.seed,
        markdown(&manifest.tool_version)
    )
}
