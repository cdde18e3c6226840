//! The run second by second: users, throughput, response time and the use of resources below each other on one time axis, with
//! the phases and levels shaded. A second's percentile is that of its slowest endpoint: percentiles of several are never merged.

use super::axis::Axis;
use super::plot::{Area, Frame, Plot, picture};
use super::resources::most_used;
use super::{Key, Picture, Role, Shape};
use crate::report::numbers::{ms, quantity, span, tick};
use crate::report::{Report, ReportError, plain};
use std::collections::BTreeMap;

/// Points drawn of one line; a longer run is drawn in spans of several seconds, each with its highest value, so no peak is lost.
const POINTS_MAX: usize = 600;
const WIDTH_PX: u32 = 1120;
const PANEL_PX: u32 = 132;
const FIRST_TOP_PX: u32 = 44;
const TOP_PX: u32 = 28;
const X_LABELS_PX: u32 = 40;
/// Events with a mark of their own; the table of events has the others.
const MARKED_KINDS: [&str; 4] = ["abort", "target", "fault", "agent"];
const MARKS_MAX: usize = 20;

type Line = (Role, Vec<(f64, f64)>);

/// One second of the whole run.
#[derive(Clone, Copy, Default)]
struct Second {
    users: f64,
    completed: f64,
    failed: f64,
    dropped: f64,
    p50: f64,
    p99: f64,
}

/// The whole run; `None` when not even one second was recorded.
///
/// # Errors
/// [`ReportError::Chart`].
pub fn whole_run(report: &Report<'_>) -> Result<Option<Picture>, ReportError> {
    let seconds = seconds(report);
    if seconds.is_empty() {
        return Ok(None);
    }
    let utilization = utilization(report);
    let end_s = seconds.last().map_or(0.0, |last| last.0).max(report.manifest.duration_s);
    let x = Axis::time(end_s);
    let mut panels = vec![PANEL_PX + FIRST_TOP_PX - TOP_PX, PANEL_PX, PANEL_PX];
    if !utilization.is_empty() {
        panels.push(PANEL_PX);
    }
    if let Some(last) = panels.last_mut() {
        *last += X_LABELS_PX;
    }
    let last = panels.len() - 1;
    let drawn = picture("timeline", WIDTH_PX, &panels, |areas| {
        let of = |value: fn(&Second) -> f64| thinned(seconds.iter().map(|(t, s)| (*t, value(s))).collect());
        let lines: [&[Line]; 3] = [
            &[(Role::Axis, of(|s| s.users))],
            &[
                (Role::Series(4), of(|s| s.completed)),
                (Role::Bad, of(|s| s.failed + s.dropped).into_iter().filter(|p| p.1 > 0.0).collect()),
            ],
            &[(Role::Service, of(|s| s.p50)), (Role::Response, of(|s| s.p99))],
        ];
        for (i, lines) in lines.into_iter().enumerate() {
            let values = lines.iter().flat_map(|(_, points)| points.iter().map(|p| p.1));
            let y = match i {
                2 => Axis::fitting(values.filter(|v| *v > 0.0), ms),
                _ => Axis::linear(values.filter(|v| v.is_finite()).fold(0.0, f64::max), tick),
            };
            let caption = ["users", "requests per second", "response time, p50 and p99"][i];
            let mut plot = panel(report, &areas[i], &x, &y, caption, i == 0, i == last)?;
            for (role, points) in lines {
                if *role == Role::Bad {
                    plot.marks(points, *role, Shape::Cross)?;
                } else {
                    plot.line(points, *role, 1.5)?;
                }
            }
        }
        if let Some(area) = areas.get(3) {
            let y = Axis::share();
            let mut plot = panel(report, area, &x, &y, "share of the limit in use", false, true)?;
            for (i, (_, points)) in utilization.iter().enumerate() {
                plot.line(points, Role::Series(i), 1.5)?;
            }
        }
        Ok(())
    })?;
    let most = seconds.iter().map(|(_, s)| s.users).fold(0.0, f64::max);
    let description = format!(
        "The run over {}: up to {} users; the charts above say what came of it.",
        span(end_s),
        quantity(most)
    );
    Ok(Some(drawn.told("Timeline", description, legend(report, &seconds, &utilization))))
}

fn panel<'a, 't>(
    report: &Report<'_>,
    area: &Area<'a>,
    x: &'t Axis,
    y: &'t Axis,
    caption: &'t str,
    first: bool,
    last: bool,
) -> Result<Plot<'a, 't>, ReportError> {
    let top_px = if first { FIRST_TOP_PX } else { TOP_PX };
    let x_caption = last.then_some("time since the start");
    let mut plot = Plot::new("timeline", area, &Frame { x, y, caption, x_caption, top_px })?;
    if report.manifest.levels.is_empty() {
        for (i, phase) in report.manifest.phases.iter().enumerate() {
            if i % 2 == 0 {
                plot.band(phase.from_s, phase.to_s, Role::PhaseBand)?;
            }
            if first {
                plot.band_label(phase.from_s, phase.to_s, Role::Muted, &plain::line(&phase.name, 24))?;
            }
        }
    }
    for level in &report.manifest.levels {
        let (band, text, mark) =
            if level.good { (Role::GoodBand, Role::Good, "✓") } else { (Role::BadBand, Role::Bad, "✗") };
        let [from_s, to_s] = level.counted_s();
        plot.band(from_s, to_s, band)?;
        if first {
            plot.band_label(level.from_s, level.to_s, text, &format!("{mark} {}", quantity(level.level)))?;
        }
    }
    let marked = report.events.iter().filter(|event| MARKED_KINDS.contains(&event.kind.as_str()));
    for event in marked.take(MARKS_MAX) {
        plot.vertical(event.t_s, Role::Event, 1.5, if first { "▼" } else { "" })?;
    }
    Ok(plot)
}

/// The endpoints of each second put together: counts are summed, percentiles are those of the slowest.
fn seconds(report: &Report<'_>) -> Vec<(f64, Second)> {
    let mut all: BTreeMap<u64, (f64, Second)> = BTreeMap::new();
    for row in report.timeline.iter().filter(|row| row.t_s.is_finite() && row.t_s >= 0.0) {
        let (_, second) =
            all.entry((row.t_s * 1000.0).round() as u64).or_insert((row.t_s, Second::default()));
        second.users = second.users.max(row.users as f64);
        second.completed += row.completed as f64;
        second.failed += row.failed as f64;
        second.dropped = second.dropped.max(row.dropped as f64);
        if row.completed > 0 {
            second.p50 = second.p50.max(row.p50);
            second.p99 = second.p99.max(row.p99);
        }
    }
    all.into_values().collect()
}

fn any_failed(seconds: &[(f64, Second)]) -> bool {
    seconds.iter().any(|(_, s)| s.failed + s.dropped > 0.0)
}

/// Utilization of the resources that came closest to their limits; a place stays empty where a resource has no limit.
fn utilization<'a>(report: &Report<'a>) -> Vec<(&'a str, Vec<(f64, f64)>)> {
    let readings = |name: &str| {
        let rows = report.saturation.iter().filter(|row| row.resource == name);
        rows.filter_map(|row| Some((row.t_s, row.utilization?)))
            .filter(|(t_s, used)| t_s.is_finite() && used.is_finite())
            .collect()
    };
    let all: Vec<_> = most_used(report).into_iter().map(|name| (name, thinned(readings(name)))).collect();
    if all.iter().all(|(_, points)| points.is_empty()) { Vec::new() } else { all }
}

fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(POINTS_MAX).max(1);
    let highest = |span: &[(f64, f64)]| span.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points.chunks(each).filter_map(highest).collect()
}

fn legend(report: &Report<'_>, seconds: &[(f64, Second)], resources: &[(&str, Vec<(f64, f64)>)]) -> Vec<Key> {
    let several = report.summary.endpoints.len() > 1;
    let of = if several { " of the slowest endpoint" } else { "" };
    let mut keys = vec![
        Key::new(Role::Series(4), Shape::Line, "requests completed"),
        Key::new(Role::Response, Shape::Line, format!("response p99{of}")),
        Key::new(Role::Service, Shape::Line, format!("response p50{of}")),
    ];
    if any_failed(seconds) {
        keys.push(Key::new(Role::Bad, Shape::Cross, "failed or dropped"));
    }
    if report.manifest.levels.is_empty() {
        keys.push(Key::new(Role::PhaseBand, Shape::Square, "every other phase"));
    } else {
        keys.push(Key::new(Role::GoodBand, Shape::Square, "✓ judged good"));
        keys.push(Key::new(Role::BadBand, Shape::Square, "✗ judged bad"));
    }
    if report.events.iter().any(|event| MARKED_KINDS.contains(&event.kind.as_str())) {
        keys.push(Key::new(Role::Event, Shape::Line, "▼ event, in the table"));
    }
    let named = resources.iter().enumerate().filter(|(_, (_, points))| !points.is_empty());
    keys.extend(named.map(|(i, (name, _))| {
        Key::new(Role::Series(i), Shape::Line, format!("use of {}", plain::name(name)))
    }));
    keys
}

#[cfg(test)]
mod tests {
    use super::{POINTS_MAX, thinned};

    #[test]
    fn a_long_run_keeps_its_peaks() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        points[7_777].1 = 99.0;
        let thin = thinned(points);
        assert!(thin.len() <= POINTS_MAX);
        assert!(thin.contains(&(7_777.0, 99.0)));
        assert!(thinned(vec![]).is_empty());
    }
}
