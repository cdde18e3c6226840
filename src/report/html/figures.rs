//! The charts on the page: each an inline SVG with a title and a description for whoever cannot see it, and its legend beneath
//! as text, so that it wraps on a small screen.

use crate::report::charts::percentiles::CURVES_MAX;
use crate::report::charts::{
    Key, Picture, Role, Shape, UNITS_PER_PX, load, percentiles, resources, search, timeline,
};
use crate::report::{Report, ReportError};
use maud::{Markup, PreEscaped, html};

pub(super) fn all(report: &Report<'_>) -> Result<Markup, ReportError> {
    let against_load: Vec<Picture> =
        load::throughput(report)?.into_iter().chain(load::response(report)?).collect();
    let use_of_resources =
        if against_load.is_empty() { Vec::new() } else { resources::against_load(report)? };
    let searched = search::over_time(report)?;
    let timeline = timeline::whole_run(report)?;
    let curves = percentiles::curves(report)?;
    let left_out = report.summary.endpoints.len().saturating_sub(curves.len());
    let shared_legend = curves.first().map(|first| first.legend.clone()).unwrap_or_default();
    Ok(html! {
        @if !against_load.is_empty() {
            section {
                h2 { "Load and answer" }
                div.pair { @for (i, picture) in against_load.iter().enumerate() { (figure(picture, &format!("load{i}"), true)) } }
            }
        }
        @if let Some(picture) = &searched {
            section { h2 { "How the line was found" } (figure(picture, "search", true)) }
        }
        @if !curves.is_empty() {
            section {
                h2 { "Latency by percentile" }
                p.note {
                    "Each nine takes the same room. Response time counts from when a request was due, service time from when it was sent; "
                    "where they part, requests waited to be sent."
                    @if left_out > 0 && curves.len() == CURVES_MAX { " The " (CURVES_MAX) " endpoints with most requests; " (left_out) " more are in the table." }
                }
                (legend(&shared_legend))
                div.multiples[curves.len() > 1] { @for (i, picture) in curves.iter().enumerate() { (figure(picture, &format!("curve{i}"), false)) } }
            }
        }
        @if !use_of_resources.is_empty() {
            section {
                h2 { "Resources" }
                div.pair { @for (i, picture) in use_of_resources.iter().enumerate() { (figure(picture, &format!("use{i}"), true)) } }
            }
        }
        @if let Some(picture) = &timeline {
            section { h2 { "The run, second by second" } (figure(picture, "timeline", true)) }
        }
    })
}

fn figure(picture: &Picture, id: &str, with_legend: bool) -> Markup {
    let (title_id, description_id) = (format!("{id}-title"), format!("{id}-desc"));
    let frame = format!("0 0 {} {}", picture.width_px * UNITS_PER_PX, picture.height_px * UNITS_PER_PX);
    let wide = picture.width_px > 700;
    html! {
        figure.card {
            figcaption { (picture.title) }
            div.scroll[wide] tabindex=[wide.then_some("0")] {
                svg.chart.wide[wide] viewBox=(frame) role="img" aria-labelledby={ (title_id) " " (description_id) } {
                    title id=(title_id) { (picture.title) }
                    desc id=(description_id) { (picture.description) }
                    (PreEscaped(&picture.elements))
                }
            }
            @if with_legend { (legend(&picture.legend)) }
        }
    }
}

fn legend(keys: &[Key]) -> Markup {
    html! {
        ul.legend { @for key in keys { li { (swatch(key)) (key.label) } } }
    }
}

/// The mark of a series as the chart draws it: a line, a shaded square or a shape on its line.
fn swatch(key: &Key) -> Markup {
    let (fill, stroke) = (format!("f-{}", key.role.class()), format!("s-{}", key.role.class()));
    let shaded = matches!(key.role, Role::Bracket | Role::PhaseBand | Role::GoodBand | Role::BadBand);
    let on_line = matches!(key.role, Role::Series(_)) || key.shape == Shape::Line;
    html! {
        svg viewBox="0 0 24 12" aria-hidden="true" {
            @if on_line { line class=(stroke) x1="0" y1="6" x2="24" y2="6" stroke-width="2" {} }
            @match key.shape {
                Shape::Line => {}
                Shape::Square if shaded => { rect class=(fill) x="2" width="20" height="12" {} }
                Shape::Circle => { circle class=(fill) cx="12" cy="6" r="4" {} }
                Shape::Ring => { circle class=(stroke) fill="none" cx="12" cy="6" r="4" stroke-width="2" {} }
                Shape::Cross => { path class=(stroke) d="M8 2l8 8m0-8l-8 8" fill="none" stroke-width="2.5" {} }
                Shape::Triangle => { path class=(fill) d="M12 2l4 8h-8z" {} }
                Shape::Square => { rect class=(fill) x="8" y="2" width="8" height="8" {} }
                Shape::Diamond => { path class=(fill) d="M12 1.5l4.5 4.5-4.5 4.5-4.5-4.5z" {} }
            }
        }
    }
}
