//! Every number of the result as tables with captions and headed rows: levels, endpoints, thresholds, failures, the generator's
//! own health, the accounting, events.

use crate::record::summary::{GoalLine, Lag, Latency, LoadLine, ReadError};
use crate::report::numbers::{
    NO_NUMBER, bytes, count, counted, deviation, ms, percent, quantity, rate, span,
};
use crate::report::{Report, plain, watch, wording};
use maud::{Markup, html};

/// Rows of one table; a page stays openable whatever the run was.
const ROWS_MAX: usize = 500;
const LATENCY_HEADS: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

pub(super) fn all(report: &Report<'_>) -> Markup {
    html! {
        section {
            h2 { "Numbers" }
            @if !report.summary.thresholds.is_empty() { (thresholds(report)) }
            @if let Some(line) = &report.summary.load_line {
                @if line.goals.len() > 1 { (goals(line)) }
                @if !line.soaks.is_empty() { (soaks(line)) }
            }
            @if !report.summary.levels.is_empty() { (levels(report)) (level_resources(report)) }
            @if !report.summary.checks.is_empty() { (checks(report)) }
            @if !report.summary.endpoints.is_empty() { (endpoints(report)) }
            @if !report.summary.failures.is_empty() { (failures(report)) }
            (generator(report))
            (accounting(report))
            @if !report.events.is_empty() { (events(report)) }
        }
    }
}

fn table(caption: &str, head: &Markup, body: &Markup) -> Markup {
    html! {
        div.card.scroll tabindex="0" role="region" aria-label=(caption) {
            table { caption { (caption) } thead { (head) } tbody { (body) } }
        }
    }
}

fn rest(all: usize) -> Markup {
    html! { @if all > ROWS_MAX { tr { td colspan="4" { "… and " (count((all - ROWS_MAX) as u64)) " more, in summary.json" } } } }
}

fn thresholds(report: &Report<'_>) -> Markup {
    let all = &report.summary.thresholds;
    let head = html! { tr {
        th scope="col" { "result" } th scope="col" { "threshold" } th.n scope="col" { "value" } th.n scope="col" { "samples" } th scope="col" { "note" }
    } };
    let body = html! {
        @for t in all.iter().take(ROWS_MAX) {
            tr {
                td class=(tone(&t.result)) { (wording::threshold_mark(&t.result)) " " (plain::name(&t.result).replace('_', " ")) }
                th.mono scope="row" { (plain::name(&t.text)) }
                td.n { (wording::threshold_value(&t.text, t.value)) }
                td.n { (count(t.samples)) }
                td { (plain::name(t.note.as_deref().unwrap_or_default())) }
            }
        }
        (rest(all.len()))
    };
    table("Thresholds", &head, &body)
}

fn tone(result: &str) -> &'static str {
    match result {
        "pass" => "good",
        "fail" => "bad",
        _ => "unsure",
    }
}

fn goals(line: &LoadLine) -> Markup {
    let head = html! { tr {
        th scope="col" { "condition" } th.n scope="col" { "line" } th.n scope="col" { "last good" } th.n scope="col" { "first bad" }
    } };
    let [good, bad] = [0, 1].map(|end| move |goal: &GoalLine| or_dash(goal.interval[end], quantity));
    let body = html! {
        @for goal in line.goals.iter().take(ROWS_MAX) {
            tr {
                th.mono scope="row" { (plain::name(&goal.text)) }
                td.n {
                    @if let (Some(typical), None) = (goal.typical, goal.interval[1]) { "at least " (quantity(typical)) }
                    @else { (or_dash(goal.typical, quantity)) }
                }
                td.n { (good(goal)) } td.n { (bad(goal)) }
            }
        }
        (rest(line.goals.len()))
    };
    table(
        "The line of each condition; the least is the load line, and only that one is narrowed down",
        &head,
        &body,
    )
}

fn soaks(line: &LoadLine) -> Markup {
    let head = html! { tr {
        th.n scope="col" { (wording::unit(&line.of)) } th scope="col" { "judged" } th.n scope="col" { "bad requests" }
        th.n scope="col" { "held for" } th scope="col" { "drift" } th scope="col" { "failed by" }
    } };
    let body = html! {
        @for soak in line.soaks.iter().take(ROWS_MAX) {
            tr {
                th.n scope="row" { (quantity(soak.level)) }
                td class=(if soak.good { "good" } else { "bad" }) { (if soak.good { "✓ lasted" } else { "✗ bad" }) }
                td.n { (percent(soak.bad_ratio)) }
                td.n { (span(soak.span_s[1] - soak.span_s[0])) }
                td { @for drift in &soak.drift { div { (plain::name(&drift.of)) " " (deviation(drift.change_ratio)) } } }
                td { (plain::name(soak.failed_by.as_deref().unwrap_or_default())) }
            }
        }
    };
    table("Soaks, in order of time", &head, &body)
}

fn levels(report: &Report<'_>) -> Markup {
    let all = &report.summary.levels;
    let of = wording::level_of(report);
    // Closed users offer what they get answered: there the column would repeat the throughput.
    let (unit, open) = (wording::unit(of), of == "rate");
    let head = html! { tr {
        th.n scope="col" { (unit) } th scope="col" { "judged" } @if open { th.n scope="col" { "offered" } } th.n scope="col" { "throughput" } th.n scope="col" { "errors" }
        @for name in ["p50", "p90", "p99", "max"] { th.n scope="col" { "response " (name) } }
        th.n scope="col" { "service p99" } th.n scope="col" { "law residual" } th.n scope="col" { "span" } th scope="col" { "failed by" }
    } };
    let body = html! {
        @for level in all.iter().take(ROWS_MAX) {
            tr {
                th.n scope="row" { (quantity(level.level)) }
                td class=(if level.good { "good" } else { "bad" }) { (if level.good { "✓ good" } else { "✗ bad" }) }
                @if open { td.n { (rate(level.offered_per_s)) } }
                td.n { (rate(level.throughput_per_s)) }
                td.n { (percent(level.error_ratio)) }
                @let l = &level.response_ms;
                @for value in [l.p50, l.p90, l.p99, l.max] { td.n { (ms(value)) } }
                td.n { (ms(level.service_ms.p99)) }
                td.n { (or_dash(level.residual_ratio, deviation)) }
                td.n { (quantity(level.span_s[0])) "–" (quantity(level.span_s[1])) " s" (left_out(level.truncated_s)) }
                td { (plain::name(level.failed_by.as_deref().unwrap_or_default())) }
            }
        }
        (rest(all.len()))
    };
    table("Levels, in order of load", &head, &body)
}

/// What the span of a level is without.
fn left_out(truncated_s: Option<f64>) -> String {
    truncated_s
        .filter(|s| *s > 0.0)
        .map_or_else(String::new, |s| format!(", without {} s before", quantity(s)))
}

fn level_resources(report: &Report<'_>) -> Markup {
    let levels = &report.summary.levels;
    let head = html! { tr {
        th.n scope="col" { (wording::unit(wording::level_of(report))) } th scope="col" { "resource" } th.n scope="col" { "state" }
        th.n scope="col" { "utilization" } th.n scope="col" { "full" } th.n scope="col" { "waiting" }
        th.n scope="col" { "wait a visit" } th.n scope="col" { "hold a visit" } th.n scope="col" { "visits a request" }
    } };
    let rows =
        levels.iter().flat_map(|level| level.resources.iter().map(move |(name, r)| (level.level, name, r)));
    let body = html! {
        @for (level, name, r) in rows.take(ROWS_MAX) {
            tr {
                th.n scope="row" { (quantity(level)) }
                td { (plain::name(name)) }
                td.n { (wording::in_use(Some(&r.kind), r.used, r.limit)) }
                td.n { (or_dash(r.utilization, percent)) }
                td.n { (percent(r.full_ratio)) }
                td.n { (or_dash(r.waiting, quantity)) }
                td.n { (or_dash(r.wait_ms, ms)) }
                td.n { (or_dash(r.hold_ms, ms)) }
                td.n { (or_dash(r.visits, quantity)) }
            }
        }
    };
    if levels.iter().all(|level| level.resources.is_empty()) {
        return html! {};
    }
    html! { details { summary { "Resources at each level" } (table("Resources at each level", &head, &body)) } }
}

fn checks(report: &Report<'_>) -> Markup {
    let all = &report.summary.checks;
    let head = html! { tr {
        th scope="col" { "result" } th scope="col" { "law" } th scope="col" { "held against" } th.n scope="col" { "residual" } th scope="col" { "so" }
    } };
    let body = html! {
        @for check in all.iter().take(ROWS_MAX) {
            @let words = wording::check(check, wording::level_of(report));
            tr {
                td class=(if check.holds { "good" } else { "bad" }) { (if check.holds { "✓ holds" } else { "✗ does not hold" }) }
                th.mono scope="row" { (words.law) }
                td { (words.place) }
                td.n { (words.residual) }
                td { (words.consequence) }
            }
        }
        (rest(all.len()))
    };
    let failing = all.iter().filter(|check| !check.holds).count();
    let caption = format!("Operational laws: {failing} of {} checks do not hold", all.len());
    html! { details open[failing > 0] { summary { (caption) } (table(&caption, &head, &body)) } }
}

fn or_dash(value: Option<f64>, show: fn(f64) -> String) -> String {
    value.map_or_else(|| NO_NUMBER.into(), show)
}

fn endpoints(report: &Report<'_>) -> Markup {
    let all = &report.summary.endpoints;
    let head = html! {
        tr { td colspan="4" {} th.group scope="colgroup" colspan="5" { "response time" } th.group scope="colgroup" colspan="5" { "service time" } }
        tr {
            th scope="col" { "endpoint" } th scope="col" { "protocol" } th.n scope="col" { "count" } th.n scope="col" { "failed" }
            @for _ in 0..2 { @for name in LATENCY_HEADS { th.n scope="col" { (name) } } }
        }
    };
    let figures = |l: &Latency, samples: u64| {
        [l.p50, l.p90, l.p99, l.p99_9, l.max].map(|v| if samples == 0 { NO_NUMBER.into() } else { ms(v) })
    };
    let body = html! {
        @for endpoint in all.iter().take(ROWS_MAX) {
            tr {
                th scope="row" { (plain::line(&endpoint.name, 60)) }
                td { (plain::name(&endpoint.protocol)) }
                td.n { (count(endpoint.count)) }
                td.n.bad[endpoint.failed > 0] { (count(endpoint.failed)) }
                @for latency in [&endpoint.response_ms, &endpoint.service_ms] {
                    @for value in figures(latency, endpoint.count) { td.n { (value) } }
                }
            }
        }
        (rest(all.len()))
    };
    table("Endpoints, both clocks, over the whole run", &head, &body)
}

fn failures(report: &Report<'_>) -> Markup {
    let all = &report.summary.failures;
    let head = html! { tr {
        th.n scope="col" { "count" } th scope="col" { "endpoint" } th scope="col" { "kind" } th scope="col" { "what was seen" }
    } };
    let body = html! {
        @for failure in all.iter().take(ROWS_MAX) {
            tr {
                td.n.bad { (count(failure.count)) }
                th scope="row" { (plain::line(&failure.endpoint, 60)) }
                td { (plain::name(&failure.kind)) }
                td { (plain::name(&failure.text)) }
            }
        }
        (rest(all.len()))
    };
    table("Failures, most frequent first", &head, &body)
}

fn generator(report: &Report<'_>) -> Markup {
    let generator = &report.summary.generator;
    let head = html! { tr { th scope="col" { "measure" } @for name in ["p50", "p99", "max"] { th.n scope="col" { (name) } } } };
    let lag = |name: &str, lag: &Lag| {
        html! { tr { th scope="row" { (name) } @for value in [lag.p50, lag.p99, lag.max] { td.n { (ms(value)) } } } }
    };
    let body = html! {
        (lag("dispatch lag: a request's release after its due time", &generator.dispatch_lag_ms))
        (lag("loop lag: a shard's timer after its due time", &generator.loop_lag_ms))
        @match &generator.read_error_ms {
            Some(ReadError { count: samples, p50, p99, max }) => {
                (lag(
                    &format!("read error: reading what came after the kernel had it ({} sampled)", count(*samples)),
                    &Lag { p50: *p50, p99: *p99, max: *max },
                ))
            }
            None => tr { th scope="row" { "read error" } td colspan="3" { (watch::NO_STAMPS) } },
        }
        tr {
            th scope="row" { "capacity" }
            td colspan="3" {
                (counted(generator.agents.into(), "agent")) ", " (counted(generator.shards.into(), "shard")) ", busiest "
                (percent(generator.cpu_ratio)) " busy"
                @if let Some(ratio) = generator.run_queue_ratio { " and " (percent(ratio)) " without a core" }
                @if let Some(ratio) = watch::stolen(generator) { ", " (percent(ratio)) " of all cores' time stolen by a hypervisor" }
                ", " (quantity(generator.cores)) " cores in all, at most " (count(generator.sockets_max)) " sockets and "
                (bytes(generator.pss_bytes_max as f64)) " of memory, " (count(generator.socket_errors)) " socket errors"
            }
        }
    };
    let valid = if generator.valid { "kept up: valid" } else { "did NOT keep up: INVALID" };
    table(&format!("The load generator {valid}"), &head, &body)
}

fn accounting(report: &Report<'_>) -> Markup {
    let requests = &report.summary.requests;
    let (identity, holds) = wording::identity(&report.summary.counts);
    html! {
        div.card {
            h3 { "Accounting" }
            p.identity.bad[!holds] { (identity) @if !holds { " – the counts do not add up: the record is incomplete" } }
            p {
                (count(requests.sent)) " requests sent, " (count(requests.ok)) " answered as expected, " (count(requests.failed))
                " failed, " (count(requests.interrupted)) " interrupted; " (count(requests.connections_opened)) " connections opened"
                (wording::handshakes(requests)) "; "
                (bytes(requests.bytes_sent as f64)) " sent, " (bytes(requests.bytes_received as f64)) " received."
                @if let Some(ages) = watch::interrupted_age(report.summary.interrupted_age_ms.as_ref()) { " The " (ages) "." }
            }
            @if let Some(clocks) = watch::clocks(report.summary.clock_offset_ms.as_ref()) { p { (clocks) "." } }
        }
    }
}

fn events(report: &Report<'_>) -> Markup {
    let head = html! { tr { th.n scope="col" { "at" } th scope="col" { "kind" } th scope="col" { "what" } } };
    let body = html! {
        @for event in report.events.iter().take(ROWS_MAX) {
            tr { td.n { (span(event.t_s)) } td { (plain::name(&event.kind)) } td { (plain::line(&event.text, 300)) } }
        }
        (rest(report.events.len()))
    };
    html! { details { summary { "Events (" (count(report.events.len() as u64)) ")" } (table("Events", &head, &body)) } }
}
