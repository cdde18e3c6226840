//! `report.html`: one page that opens anywhere and years later. Style and charts are inside it, nothing is loaded, no script runs;
//! what goes into depth is folded with `<details>`. The answer stands first, then the pictures, then every number.

mod answer;
mod figures;
mod method;
mod tables;

use super::numbers::span;
use super::{Format, Report, ReportError, plain, wording};
use crate::record::summary::Verdict;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
/// Even if a name slipped through unescaped, the page may load nothing and run nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

pub struct Html;

impl Format for Html {
    fn render(&self, report: &Report<'_>) -> Result<Vec<u8>, ReportError> {
        Ok(page(report)?.into_string().into_bytes())
    }
}

fn page(report: &Report<'_>) -> Result<Markup, ReportError> {
    let summary = report.summary;
    let scenario = plain::name(&summary.scenario);
    let charts = figures::all(report)?;
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (scenario) ": " (wording::verdict(summary.verdict)) " – Plimsoll" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { (masthead(report, &scenario)) }
                main {
                    (answer::all(report))
                    (charts)
                    (tables::all(report))
                    (method::all(report))
                }
                footer {
                    p { "Plimsoll " (plain::name(&report.manifest.tool_version)) ", record schema " (report.manifest.schema) "." }
                }
            }
        }
    })
}

fn masthead(report: &Report<'_>, scenario: &str) -> Markup {
    let (manifest, verdict) = (report.manifest, report.summary.verdict);
    let tone = match verdict {
        Verdict::Pass => "good",
        Verdict::CannotTell | Verdict::Interrupted => "unsure",
        _ => "bad",
    };
    html! {
        div.masthead {
            svg.mark viewBox="0 0 32 32" aria-hidden="true" {
                circle cx="16" cy="16" r="10" fill="none" stroke="currentColor" stroke-width="3" {}
                line x1="1" y1="16" x2="31" y2="16" stroke="currentColor" stroke-width="3" {}
            }
            div {
                p.scenario { (scenario) }
                p.when {
                    (plain::name(&manifest.command)) " against " span.mono { (plain::name(&manifest.target)) } ", "
                    time datetime=(plain::name(&manifest.started_utc)) { (wording::instant(&manifest.started_utc)) } ", " (span(manifest.duration_s))
                }
            }
            p class={ "verdict " (tone) } { (wording::verdict(verdict)) }
        }
    }
}
