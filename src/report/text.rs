//! The closing text on the terminal. A search ends in a few lines (load line, gives way, next, the ladder, report) when all went well; a run
//! in its table of endpoints. Whatever makes the numbers less than they seem stands above them.

use super::numbers::{count, ms, rate, span};
use super::{Format, Report, ReportError, plain, watch, what_if, wording};
use crate::record::summary::{EndpointResult, Generator, Latency, LoadLine, Rung, ThresholdResult, Verdict};
use std::fmt::Write as _;

/// Endpoints and failures shown; the rest is counted, and stands in full in the other formats.
const ENDPOINT_ROWS_MAX: usize = 40;
const FAILURE_ROWS_MAX: usize = 10;
/// Longest endpoint name in the table, in characters: with it a row fits 120 columns.
const NAME_CHARS_MAX: usize = 28;
const LABEL_WIDTH: usize = 13;

#[derive(Clone, Debug, Default)]
pub struct Text {
    /// ANSI colors; decided by whoever knows where the text goes.
    pub color: bool,
    /// Where the page was written, for the last line.
    pub report_path: Option<String>,
}

impl Format for Text {
    fn render(&self, report: &Report<'_>) -> Result<Vec<u8>, ReportError> {
        let mut page = Page { out: String::new(), color: self.color };
        let summary = report.summary;
        if let Some(caution) = wording::caution(report) {
            let label = if summary.generator.valid { wording::verdict(summary.verdict) } else { "INVALID" };
            page.line(label, Paint::Red, caution);
        }
        let found = summary.load_line.as_ref();
        if found.is_none() {
            page.run(report);
        }
        if found.is_none() || summary.verdict != Verdict::Pass {
            page.verdict(report);
        }
        page.warnings(report);
        if let Some(line) = found {
            page.load_line(line, report);
        }
        for (label, words) in summary.what_if.iter().flat_map(what_if::lines) {
            page.line(label, Paint::Dim, &words);
        }
        page.ladder(&summary.ladder);
        page.checks(report);
        page.generator(&summary.generator);
        if let Some(path) = &self.report_path {
            page.line("report", Paint::Dim, &plain::block(path));
        }
        Ok(page.out.into_bytes())
    }
}

#[derive(Clone, Copy)]
enum Paint {
    Dim,
    Bold,
    Red,
    Green,
    Yellow,
}

struct Page {
    out: String,
    color: bool,
}

impl Page {
    fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Dim => "2",
            Paint::Bold => "1",
            Paint::Red => "1;31",
            Paint::Green => "32",
            Paint::Yellow => "33",
        };
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// `label        text`, the label painted and the text aligned whatever the color.
    fn line(&mut self, label: &str, paint: Paint, text: &str) {
        let pad = " ".repeat(LABEL_WIDTH.saturating_sub(label.chars().count()).max(1));
        self.row(&format!("{}{pad}{text}", self.paint(paint, label)));
    }

    fn row(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn load_line(&mut self, line: &LoadLine, report: &Report<'_>) {
        let words = wording::load_line(line, wording::finished(report));
        let text =
            format!("{}  {}     {}", self.paint(Paint::Bold, &words.mark), words.interval, words.limit);
        self.line("load line", Paint::Dim, &text);
        if let Some(guaranteed) = wording::guaranteed(line) {
            self.line("guaranteed", Paint::Dim, &guaranteed);
        }
        let Some(bottleneck) = &report.summary.bottleneck else { return };
        let words = wording::gives_way(bottleneck, &line.of);
        let gap = if words.share.is_empty() { "" } else { "    " };
        let who = self.paint(Paint::Bold, &words.who);
        self.line("gives way", Paint::Dim, &format!("{who}   {}{gap}{}", words.state, words.share));
        if let Some(wall) = bottleneck.next.first() {
            self.line("next", Paint::Dim, &wording::next_wall(wall, &line.of));
        }
    }

    /// A line for each resource, aligned, soonest first.
    fn ladder(&mut self, ladder: &[Rung]) {
        let shown = &ladder[..ladder.len().min(ENDPOINT_ROWS_MAX)];
        let names: Vec<String> =
            shown.iter().map(|rung| plain::line(&rung.resource, NAME_CHARS_MAX)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        for (place, (rung, name)) in shown.iter().zip(&names).enumerate() {
            let words = wording::rung(rung);
            let gap = if words.interval.is_empty() { "" } else { " " };
            let text = format!("{name:width$}   {}{gap}{}   {}", words.at, words.interval, words.evidence);
            self.line(if place == 0 { "ladder" } else { "" }, Paint::Dim, &text);
        }
        self.rest(ladder.len(), ENDPOINT_ROWS_MAX, "resources");
    }

    /// The laws that do not hold; those that do are in the report.
    fn checks(&mut self, report: &Report<'_>) {
        let failing = || report.summary.checks.iter().filter(|check| !check.holds);
        for (place, check) in failing().take(FAILURE_ROWS_MAX).enumerate() {
            let words = wording::check(check, wording::level_of(report));
            let text = format!("{}   {}: {}; {}", words.place, words.law, words.residual, words.consequence);
            self.line(if place == 0 { "checks" } else { "" }, Paint::Yellow, &text);
        }
        self.rest(failing().count(), FAILURE_ROWS_MAX, "checks that failed");
    }

    fn run(&mut self, report: &Report<'_>) {
        let (manifest, summary) = (report.manifest, report.summary);
        self.row(&format!(
            "{}   {}, seed {}, {}",
            self.paint(Paint::Bold, &plain::name(&summary.scenario)),
            span(manifest.duration_s),
            manifest.seed,
            plain::name(&manifest.target)
        ));
        self.row("");
        if summary.endpoints.is_empty() {
            self.row("no request ended, so there is nothing to measure");
        } else {
            self.endpoints(&summary.endpoints);
        }
        self.row("");
        if !summary.thresholds.is_empty() {
            self.thresholds(&summary.thresholds);
            self.row("");
        }
        if !summary.failures.is_empty() {
            self.failures(report);
            self.row("");
        }
        let (identity, holds) = wording::identity(&summary.counts);
        self.line("iterations", if holds { Paint::Dim } else { Paint::Red }, &identity);
        if let Some(ages) = watch::interrupted_age(summary.interrupted_age_ms.as_ref()) {
            self.line("", Paint::Dim, &ages);
        }
        let requests = &summary.requests;
        let per_s = requests.ok as f64 / manifest.load_s();
        let text = format!(
            "{} sent, {} as expected ({}), {} failed, {} interrupted, {} connections opened{}",
            count(requests.sent),
            count(requests.ok),
            rate(per_s),
            count(requests.failed),
            count(requests.interrupted),
            count(requests.connections_opened),
            wording::handshakes(requests)
        );
        self.line("requests", Paint::Dim, &text);
        if let Some(clocks) = watch::clocks(summary.clock_offset_ms.as_ref()) {
            self.line("clocks", Paint::Dim, &clocks);
        }
        if let Some(bottleneck) = &summary.bottleneck {
            let words = wording::gives_way(bottleneck, wording::level_of(report));
            self.line("gives way", Paint::Dim, &format!("{}   {}", words.who, words.state));
        }
    }

    fn endpoints(&mut self, endpoints: &[EndpointResult]) {
        let shown = &endpoints[..endpoints.len().min(ENDPOINT_ROWS_MAX)];
        let names: Vec<String> = shown.iter().map(|e| plain::line(&e.name, NAME_CHARS_MAX)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("endpoint".len());
        let tail = "p50      p90      p99      max";
        let clocks = format!("{:width$}  {:7}  {:>8}  {:>7}   response{:34}service", "", "", "", "", "");
        let heads = format!(
            "{:width$}  {:7}  {:>8}  {:>7}   {:>35}    {:>35}",
            "endpoint", "", "count", "failed", tail, tail
        );
        self.row(&self.paint(Paint::Dim, clocks.trim_end()));
        self.row(&self.paint(Paint::Dim, &heads));
        for (endpoint, name) in shown.iter().zip(&names) {
            let failed = format!("{:>7}", count(endpoint.failed));
            let failed = if endpoint.failed > 0 { self.paint(Paint::Red, &failed) } else { failed };
            self.row(&format!(
                "{name:width$}  {:7}  {:>8}  {failed}   {}    {}",
                plain::line(&endpoint.protocol, 7),
                count(endpoint.count),
                figures(&endpoint.response_ms, endpoint.count),
                figures(&endpoint.service_ms, endpoint.count)
            ));
        }
        self.rest(endpoints.len(), ENDPOINT_ROWS_MAX, "endpoints");
    }

    fn thresholds(&mut self, thresholds: &[ThresholdResult]) {
        self.row(&self.paint(Paint::Dim, "thresholds"));
        let texts: Vec<String> = thresholds.iter().map(|t| plain::name(&t.text)).collect();
        let width = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        for (threshold, text) in thresholds.iter().zip(&texts) {
            let mark = wording::threshold_mark(&threshold.result);
            let paint = match mark {
                "✓" => Paint::Green,
                "✗" => Paint::Red,
                _ => Paint::Yellow,
            };
            let said = match &threshold.note {
                Some(note) => plain::name(note),
                None => format!("{} samples", count(threshold.samples)),
            };
            let value = wording::threshold_value(&threshold.text, threshold.value);
            self.row(&format!("  {} {text:width$}   {value:>9}   {said}", self.paint(paint, mark)));
        }
    }

    fn failures(&mut self, report: &Report<'_>) {
        let failures = &report.summary.failures;
        self.row(&self.paint(Paint::Dim, "failures"));
        for failure in failures.iter().take(FAILURE_ROWS_MAX) {
            let mut row = format!("  {:>7}  ", count(failure.count));
            let (endpoint, kind) =
                (plain::line(&failure.endpoint, NAME_CHARS_MAX), plain::name(&failure.kind));
            write!(row, "{endpoint}  {kind}: {}", plain::name(&failure.text)).ok();
            self.row(&row);
        }
        self.rest(failures.len(), FAILURE_ROWS_MAX, "kinds of failure");
    }

    fn rest(&mut self, all: usize, shown_max: usize, what: &str) {
        if all > shown_max {
            self.row(&format!("  … and {} more {what}, in the report", count((all - shown_max) as u64)));
        }
    }

    fn warnings(&mut self, report: &Report<'_>) {
        for warning in &report.summary.warnings {
            self.line("warning", Paint::Yellow, &plain::block(&warning.text));
            if !warning.remedy.is_empty() {
                self.line("", Paint::Dim, &format!("→ {}", plain::block(&warning.remedy)));
            }
        }
    }

    fn verdict(&mut self, report: &Report<'_>) {
        let summary = report.summary;
        let paint = if summary.verdict == Verdict::Pass { Paint::Green } else { Paint::Red };
        let word = self.paint(paint, wording::verdict(summary.verdict));
        let reason = plain::line(&summary.reason, 4 * plain::FOREIGN_CHARS_MAX);
        let colon = if reason.is_empty() { "" } else { ": " };
        self.line("verdict", Paint::Dim, &format!("{word} (exit code {}){colon}{reason}", summary.exit_code));
    }

    fn generator(&mut self, generator: &Generator) {
        let paint = if generator.valid { Paint::Dim } else { Paint::Red };
        self.line("generator", paint, &watch::line(generator));
    }
}

/// p50, p90, p99 and max in columns; dashes where nothing was counted.
fn figures(latency: &Latency, samples: u64) -> String {
    let show = |value| if samples == 0 { super::numbers::NO_NUMBER.to_owned() } else { ms(value) };
    let [p50, p90, p99, max] = [latency.p50, latency.p90, latency.p99, latency.max].map(show);
    format!("{p50:>8} {p90:>8} {p99:>8} {max:>8}")
}
