//! The foot of the page: what was run, where, and how each number came about, so that a reader years later need not guess.

use crate::report::numbers::{bytes, counted, percent, quantity};
use crate::report::{Report, plain};
use maud::{Markup, html};

/// What a number means and where it comes from.
const NOTES: [(&str, &str); 9] = [
    (
        "Response time",
        "From when a request was due to the end of its answer. Under open or paced load the due time is the schedule's, so a \
         request that had to wait to be sent is charged for the wait. A user who only thinks between steps is due when it sends.",
    ),
    ("Service time", "From the first byte sent to the end of the answer."),
    (
        "Percentiles",
        "Read from HDR histograms of every request in integer nanoseconds, three significant digits; histograms are merged, \
         percentiles never. The timeline shows, for each second, the endpoint that was slowest in it.",
    ),
    (
        "Throughput",
        "Requests ended per second of the judged span of a level, after its settling time was left out.",
    ),
    (
        "Load line",
        "A search grows the load until a level is bad, then halves the bracket on a logarithmic scale, looking closely (by all windows) at \
         the two ends only. A bracket is the last good and the first bad level; it carries no confidence. Between them the line is where the \
         share of bad requests crosses its bound, taken of the windows' own vote.",
    ),
    (
        "Good and bad levels",
        "A request is bad when it failed, was never sent or took longer than the goal. A window is bad when its share of bad requests \
         is above what the goal's percentile allows; a level by its windows, as soon as those still missing could not change it. Where the response time was settling \
         at first, that is left out (MSER-5 on means of one second) and held longer instead; a soak is judged whole.",
    ),
    (
        "What gives way",
        "A resource counts as saturated when it is full and something waits for it. It is named when its wait explains at least half \
         of the latency that was added between the lowest level and the knee; an error text alone names nothing.",
    ),
    (
        "What comes next",
        "m/D: the servers of a resource over the service demand of one request, times think and response time where load is users. \
         A prediction beyond 1.25 times the measured use is marked as extrapolated.",
    ),
    (
        "Law residual",
        "N/(X(R+Z)) − 1, the interactive response time law. Far from zero, the users of a level did not do what the scenario says \
         and its numbers cannot be trusted.",
    ),
];

pub(super) fn all(report: &Report<'_>) -> Markup {
    let manifest = report.manifest;
    let host = &manifest.host;
    html! {
        section {
            h2 { "What was run, and how it was measured" }
            details {
                summary { "Machine and settings" }
                dl.facts.card {
                    dt { "scenario file" } dd.mono { (plain::name(&manifest.scenario_path)) }
                    dt { "SHA-256 of it" } dd.mono { (plain::name(&manifest.scenario_sha256)) }
                    dt { "seed" } dd { (manifest.seed) }
                    dt { "target" } dd.mono { (plain::name(&manifest.target)) }
                    dt { "load sent from" }
                    dd {
                        (plain::name(&host.os)) ", " (plain::name(&host.cpu)) ", " (counted(host.cores.into(), "core")) ", "
                        (bytes(host.memory_bytes as f64))
                    }
                    @if let Some(think_s) = manifest.think_s { dt { "think time" } dd { (quantity(think_s)) " s a request" } }
                    dt { "requests an iteration" } dd { (quantity(manifest.requests_per_iteration)) }
                    @if let Some(search) = &manifest.search {
                        dt { "searched by" }
                        dd {
                            @if let Some(effort) = &search.effort { "--effort " (plain::name(effort)) ": " }
                            (counted(search.windows.into(), "window")) " of " (quantity(search.window_s)) " s, " (percent(search.exceed))
                            " of which may be bad; precision " (percent(search.precision))
                            @if let Some(soak_s) = search.soak_s { "; soaks of " (quantity(soak_s)) " s" }
                        }
                    }
                    @if !manifest.goals.is_empty() {
                        dt { "a level is bad when" }
                        dd { @for goal in &manifest.goals { div.mono { (plain::name(goal)) } } }
                    }
                }
            }
            details { summary { "The scenario" } pre.card tabindex="0" { (plain::block(&manifest.scenario_text)) } }
            details {
                summary { "How each number was computed" }
                dl.notes.card { @for (name, text) in NOTES { dt { (name) } dd { (text) } } }
            }
        }
    }
}
