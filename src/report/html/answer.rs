//! The top of the page: the answer in a sentence, what gives way and why, what comes next, and everything that makes the answer
//! worth less than it seems.

use crate::record::summary::{Bottleneck, BottleneckStatus, Level, LoadLine, Rung, Verdict};
use crate::record::what_if::WhatIf;
use crate::report::numbers::{count, ms, percent, quantity, rate};
use crate::report::{Report, plain, what_if, wording};
use maud::{Markup, html};

pub(super) fn all(report: &Report<'_>) -> Markup {
    let summary = report.summary;
    html! {
        @if let Some(caution) = wording::caution(report) {
            div.banner role="alert" {
                strong { (if summary.generator.valid { wording::verdict(summary.verdict) } else { "INVALID" }) ": " }
                (caution) "."
            }
        }
        section.answer {
            h1 { (headline(report)) }
            @if let Some(line) = &summary.load_line { (bracket(line, report)) }
            @if says_more(report) { p.reason { (plain::line(&summary.reason, 400)) } }
            (key_figures(report))
        }
        @if let Some(bottleneck) = &summary.bottleneck { (gives_way(bottleneck, report)) }
        @if let Some(what_if) = &summary.what_if { (prediction(what_if)) }
        @if !summary.ladder.is_empty() { (ladder(&summary.ladder)) }
        @if !summary.warnings.is_empty() { (warnings(report)) }
    }
}

fn headline(report: &Report<'_>) -> Markup {
    let summary = report.summary;
    if !summary.generator.valid || summary.verdict == Verdict::Invalid {
        return html! { "Not a valid measurement of this system" };
    }
    match &summary.load_line {
        Some(line) => line_sentence(line, report),
        None => run_sentence(report),
    }
}

fn line_sentence(line: &LoadLine, report: &Report<'_>) -> Markup {
    let mark = wording::load_line(line, wording::finished(report)).mark;
    match (line.typical, line.interval) {
        (Some(_), _) => html! { "This system carries " em { (mark) } " within its goals" },
        (None, [_, Some(bad)]) => {
            html! { "This system does not carry even " em { (wording::load(&line.of, bad)) } " within its goals" }
        }
        (None, _) => html! { "No load line was found: no level came to its end" },
    }
}

/// A found load line is its own reason; any other end says why.
fn says_more(report: &Report<'_>) -> bool {
    let summary = report.summary;
    !summary.reason.is_empty() && (summary.load_line.is_none() || summary.verdict != Verdict::Pass)
}

fn run_sentence(report: &Report<'_>) -> Markup {
    let summary = report.summary;
    let failed = summary.thresholds.iter().filter(|t| t.result == "fail").count();
    match (summary.verdict, summary.thresholds.len()) {
        (Verdict::Pass | Verdict::Fail, all) if all > 0 && failed > 0 => {
            html! { em { (failed) " of " (all) } " thresholds failed" }
        }
        (Verdict::Pass, 0) => {
            html! { "The run came to its end: " em { (count(summary.requests.sent)) } " requests sent" }
        }
        (Verdict::Pass, all) => html! { "No threshold of " em { (all) } " failed" },
        (verdict, _) => html! { "The run ended early or undecided: " em { (wording::verdict(verdict)) } },
    }
}

fn bracket(line: &LoadLine, report: &Report<'_>) -> Markup {
    let words = wording::load_line(line, wording::finished(report));
    html! {
        p.bracket {
            span.nowrap { (words.interval) } " " span.nowrap { (words.limit) }
            @if let Some(guaranteed) = wording::guaranteed(line) { " – guaranteed " strong { (guaranteed) } }
        }
    }
}

fn key_figures(report: &Report<'_>) -> Markup {
    let summary = report.summary;
    let last_good: Option<&Level> =
        summary.levels.iter().filter(|l| l.good).max_by(|a, b| a.level.total_cmp(&b.level));
    let of = wording::level_of(report);
    let requests = &summary.requests;
    html! {
        dl.figures {
            @if let Some(level) = last_good {
                div { dt { "throughput at " (wording::load(of, level.level)) } dd { (rate(level.throughput_per_s)) } }
                div { dt { "p99 at " (wording::load(of, level.level)) } dd { (ms(level.response_ms.p99)) } }
            }
            div { dt { "requests sent" } dd { (count(requests.sent)) } }
            div { dt { "requests failed" } dd { (count(requests.failed)) } }
            div {
                dt { "load generator" }
                dd { @if summary.generator.valid { "kept up" } @else { "did not keep up" } }
            }
        }
    }
}

fn gives_way(bottleneck: &Bottleneck, report: &Report<'_>) -> Markup {
    let of = wording::level_of(report);
    let words = wording::gives_way(bottleneck, of);
    html! {
        section {
            h2 { "What gives way first" }
            div.card.gives-way {
                div {
                    p.who { (words.who) }
                    p.state { (words.state) }
                    @if let (Some(used), Some(limit)) = (bottleneck.used, bottleneck.limit) { (fill(used, limit)) }
                    @if !bottleneck.explanation.is_empty() { p { (plain::line(&bottleneck.explanation, 600)) } }
                    @if bottleneck.status == BottleneckStatus::Uninstrumented { p { (words.share) "." } }
                }
                (evidence(bottleneck, of))
            }
        }
    }
}

/// A part of a whole as a bar; the numbers stand beside it in words.
fn fill(used: f64, limit: f64) -> Markup {
    let share = if limit > 0.0 && used.is_finite() { (used / limit).clamp(0.0, 1.0) } else { 0.0 };
    html! {
        svg.fill viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect.f-grid width="100" height="6" {}
            rect.f-bad width=(format!("{:.1}", 100.0 * share)) height="6" {}
        }
    }
}

fn evidence(bottleneck: &Bottleneck, of: &str) -> Markup {
    html! {
        dl.facts {
            @if let Some(onset) = bottleneck.onset {
                dt { "queues from" }
                dd {
                    (wording::load(of, onset.round()))
                    @if let Some([low, high]) = bottleneck.onset_interval { " [" (quantity(low.round())) " to " (quantity(high.round())) "]" }
                }
            }
            @if let Some(knee) = bottleneck.latency_knee {
                dt { "latency rises from" }
                dd {
                    (wording::load(of, knee.round()))
                    @if let Some([low, high]) = bottleneck.latency_knee_interval { " [" (quantity(low.round())) " to " (quantity(high.round())) "]" }
                }
            }
            @if let Some(share) = bottleneck.share_of_added_latency {
                dt { "share of the added latency" } dd { (percent(share)) }
            }
            dt { "evidence" } dd { (plain::name(&bottleneck.evidence)) }
            @if let Some(probability) = bottleneck.probability {
                dt { "probability that it is the first" } dd { (percent(probability)) }
            }
            @if bottleneck.candidates.len() > 1 {
                dt { "candidates" }
                dd { @for c in &bottleneck.candidates { div { (wording::candidate(c)) } } }
            }
        }
    }
}

/// Every resource with the load at which it gives way, the loads drawn beside each other.
fn ladder(ladder: &[Rung]) -> Markup {
    let most = ladder.iter().filter_map(|rung| rung.at).filter(|at| at.is_finite()).fold(0.0, f64::max);
    html! {
        section {
            h2 { "Where each resource gives way" }
            div.card.scroll tabindex="0" role="region" aria-label="Where each resource gives way" {
                table {
                    caption { "The ladder of ceilings, soonest first" }
                    thead { tr {
                        th scope="col" { "resource" } th.n scope="col" { "gives way at" } th scope="col" { "interval" }
                        th scope="col" { "evidence" } th scope="col" { "beside the others" }
                    } }
                    tbody {
                        @for rung in ladder {
                            @let words = wording::rung(rung);
                            tr {
                                th scope="row" { (plain::name(&rung.resource)) }
                                td.n { (words.at) }
                                td { (words.interval) }
                                td { (words.evidence) }
                                td { @if let Some(at) = rung.at { (fill(at, most)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn prediction(what_if: &WhatIf) -> Markup {
    html! {
        section {
            h2 { "What a changed system would carry" }
            div.card {
                dl.facts {
                    @for (label, words) in what_if::lines(what_if) { dt { (label) } dd { (words) } }
                }
                p { (plain::line(&what_if.explanation, 1000)) }
            }
        }
    }
}

fn warnings(report: &Report<'_>) -> Markup {
    html! {
        section {
            h2 { "Warnings" }
            ul.warnings {
                @for warning in &report.summary.warnings {
                    li.card {
                        p { (plain::line(&warning.text, 400)) }
                        @if !warning.remedy.is_empty() { p.remedy { "→ " (plain::line(&warning.remedy, 400)) } }
                    }
                }
            }
        }
    }
}
