//! What the target's resources did as the load rose: utilization above, the queue before each below, and the load at which the
//! first of them began to queue.

use super::axis::Axis;
use super::load::{levels_axis, mark_load_line, sorted};
use super::plot::{Frame, Plot, picture};
use super::{Key, Picture, Role, SERIES_MAX, Shape};
use crate::record::summary::{Level, LevelResource};
use crate::report::numbers::{quantity, tick};
use crate::report::{Report, ReportError, plain, wording};
use std::collections::BTreeMap;

const WIDTH_PX: u32 = 540;
const HEIGHT_PX: u32 = 300;
const TOP_PX: u32 = 40;

/// Utilization and waiting against load, as far as any was observed.
///
/// # Errors
/// [`ReportError::Chart`].
pub fn against_load(report: &Report<'_>) -> Result<Vec<Picture>, ReportError> {
    let levels = sorted(report);
    let names = most_used(report);
    let of = wording::level_of(report);
    let mut pictures = Vec::new();
    let used = series(&levels, &names, |r| r.utilization);
    if used.iter().any(|(_, points)| !points.is_empty()) {
        let caption = "share of the limit in use";
        let drawn = draw(report, &used, &Axis::share(), caption)?;
        let description = format!(
            "Utilization against load. At {}: {}.",
            wording::load(of, levels.last().map_or(0.0, |l| l.level)),
            names
                .iter()
                .filter_map(|name| levels.last()?.resources.get(*name).map(|r| (name, r)))
                .map(|(name, r)| format!(
                    "{} {}",
                    plain::name(name),
                    wording::in_use(Some(&r.kind), r.used, r.limit)
                ))
                .collect::<Vec<_>>()
                .join(", ")
        );
        pictures.push(drawn.told("Use of each resource", description, legend(report, &used)));
    }
    let waiting = series(&levels, &names, |r| r.waiting);
    if waiting.iter().any(|(_, points)| !points.is_empty()) {
        let most = waiting.iter().flat_map(|(_, points)| points.iter().map(|p| p.1)).fold(0.0, f64::max);
        let drawn = draw(report, &waiting, &Axis::linear(most, tick), "requests waiting")?;
        let description =
            format!("Requests waiting for a resource, against load; the most was {}.", quantity(most));
        pictures.push(drawn.told("Waiting for each resource", description, legend(report, &waiting)));
    }
    Ok(pictures)
}

type Series<'a> = (&'a str, Vec<(f64, f64)>);

fn draw(report: &Report<'_>, all: &[Series<'_>], y: &Axis, caption: &str) -> Result<Picture, ReportError> {
    let x = levels_axis(report);
    let of = wording::level_of(report);
    picture("resources", WIDTH_PX, &[HEIGHT_PX], |areas| {
        let frame = Frame { x: &x, y, caption, x_caption: Some(wording::unit(of)), top_px: TOP_PX };
        let mut plot = Plot::new("resources", &areas[0], &frame)?;
        match report.summary.bottleneck.as_ref().and_then(|b| b.onset.map(|onset| (onset, b.onset_interval)))
        {
            Some((onset, interval)) => {
                if let Some([low, high]) = interval {
                    plot.band(low, high, Role::Bracket)?;
                }
                plot.vertical(
                    onset,
                    Role::Onset,
                    2.0,
                    &format!("queues from {}", wording::load(of, onset.round())),
                )?;
            }
            None => mark_load_line(&mut plot, report, true)?,
        }
        for (i, (_, points)) in all.iter().enumerate() {
            plot.line(points, Role::Series(i), 2.0)?;
            plot.marks(points, Role::Series(i), Shape::of_series(i))?;
        }
        Ok(())
    })
}

/// The resources that came closest to their limits in any reading, as many as can be told apart: one order for all charts, so
/// that a resource has one color and shape wherever it is drawn.
pub fn most_used<'a>(report: &Report<'a>) -> Vec<&'a str> {
    let at_levels = report.summary.levels.iter().flat_map(|level| &level.resources);
    let read = report.saturation.iter().map(|row| (row.resource.as_str(), row.utilization));
    let mut most: BTreeMap<&str, f64> = BTreeMap::new();
    for (name, used) in at_levels.map(|(name, r)| (name.as_str(), r.utilization)).chain(read) {
        let highest = most.entry(name).or_insert(0.0);
        *highest = highest.max(used.filter(|used| used.is_finite()).unwrap_or(0.0));
    }
    let mut all: Vec<(&str, f64)> = most.into_iter().collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.into_iter().take(SERIES_MAX).map(|(name, _)| name).collect()
}

/// Every name keeps its place, with or without points.
fn series<'a>(
    levels: &[&Level],
    names: &[&'a str],
    value: impl Fn(&LevelResource) -> Option<f64>,
) -> Vec<Series<'a>> {
    let points = |name: &str| {
        let read = |level: &&Level| Some((level.level, value(level.resources.get(name)?)?));
        levels.iter().filter_map(read).filter(|point| point.1.is_finite()).collect()
    };
    names.iter().map(|name| (*name, points(name))).collect()
}

fn legend(report: &Report<'_>, all: &[Series<'_>]) -> Vec<Key> {
    let mut keys: Vec<Key> = all
        .iter()
        .enumerate()
        .filter(|(_, (_, points))| !points.is_empty())
        .map(|(i, (name, _))| Key::new(Role::Series(i), Shape::of_series(i), plain::name(name)))
        .collect();
    if let Some(bottleneck) = report.summary.bottleneck.as_ref().filter(|b| b.onset.is_some()) {
        keys.push(Key::new(Role::Onset, Shape::Line, "onset of queueing"));
        if bottleneck.onset_interval.is_some() {
            keys.push(Key::new(Role::Bracket, Shape::Square, "interval of the onset"));
        }
    }
    keys
}
