//! Throughput and response time against the load, with the load line between the last good and the first bad level: the picture
//! of the answer. Good levels are discs, bad ones crosses.

use super::axis::Axis;
use super::plot::{Frame, Plot, picture};
use super::{Key, Picture, Role, Shape};
use crate::record::summary::{Latency, Level};
use crate::report::numbers::{ms, percent, quantity, tick};
use crate::report::{Report, ReportError, wording};

const WIDTH_PX: u32 = 540;
const HEIGHT_PX: u32 = 300;
const TOP_PX: u32 = 40;

/// Throughput against load; `None` without levels.
///
/// # Errors
/// [`ReportError::Chart`], here and below.
pub fn throughput(report: &Report<'_>) -> Result<Option<Picture>, ReportError> {
    let levels = sorted(report);
    let Some(lowest) = levels.first() else { return Ok(None) };
    let of = wording::level_of(report);
    let x = levels_axis(report);
    let points: Vec<(f64, f64)> = levels.iter().map(|l| (l.level, l.throughput_per_s)).collect();
    let y =
        Axis::linear(points.iter().map(|p| p.1).filter(|v| v.is_finite()).fold(0.0, f64::max) * 1.05, tick);
    let slope = lowest.throughput_per_s / lowest.level;
    let drawn = picture("throughput", WIDTH_PX, &[HEIGHT_PX], |areas| {
        let frame = Frame {
            x: &x,
            y: &y,
            caption: "requests per second",
            x_caption: Some(wording::unit(of)),
            top_px: TOP_PX,
        };
        let mut plot = Plot::new("throughput", &areas[0], &frame)?;
        mark_load_line(&mut plot, report, true)?;
        // Proportional growth, until it leaves the panel.
        let end = levels.last().map_or(0.0, |l| l.level).min(y.ticks.last().copied().unwrap_or(0.0) / slope);
        let ideal: Vec<(f64, f64)> = (1..=64)
            .map(|i| lowest.level + (end - lowest.level) * f64::from(i) / 64.0)
            .map(|n| (n, n * slope))
            .collect();
        plot.line(&ideal, Role::Ideal, 1.5)?;
        plot.line(&points, Role::Response, 2.0)?;
        mark_levels(&mut plot, &levels, |level| level.throughput_per_s)
    })?;
    let most = levels.iter().map(|l| l.throughput_per_s).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let description = format!(
        "Throughput at {} levels from {} to {}; the most was {} requests per second. {}",
        levels.len(),
        quantity(lowest.level),
        wording::load(of, levels.last().map_or(0.0, |l| l.level)),
        quantity(most),
        told(report)
    );
    let mut legend = level_keys(report);
    legend.push(Key::new(Role::Ideal, Shape::Line, "in proportion to the lowest level"));
    Ok(Some(drawn.told("Throughput", description, legend)))
}

/// Response time against load, at the percentile that the goal asks about; `None` without levels.
///
/// # Errors
/// As [`throughput`].
pub fn response(report: &Report<'_>) -> Result<Option<Picture>, ReportError> {
    let levels = sorted(report);
    if levels.is_empty() {
        return Ok(None);
    }
    let goal = latency_goal(report);
    let stat = goal.as_ref().map_or("p99", |goal| goal.stat);
    let judged = |level: &Level| value(&level.response_ms, stat);
    let of = wording::level_of(report);
    let x = levels_axis(report);
    let median = levels.iter().map(|l| (l.level, l.response_ms.p50));
    let limit = goal.as_ref().map(|goal| goal.limit_ms);
    let y = Axis::fitting(
        levels.iter().flat_map(|l| [judged(l), l.response_ms.p50]).filter(|v| *v > 0.0).chain(limit),
        ms,
    );
    let drawn = picture("response time", WIDTH_PX, &[HEIGHT_PX], |areas| {
        let caption = format!("{stat} and p50");
        let frame =
            Frame { x: &x, y: &y, caption: &caption, x_caption: Some(wording::unit(of)), top_px: TOP_PX };
        let mut plot = Plot::new("response time", &areas[0], &frame)?;
        mark_load_line(&mut plot, report, true)?;
        if let Some(goal) = &goal {
            plot.horizontal(goal.limit_ms, Role::Limit, &format!("limit {}", ms(goal.limit_ms)))?;
        }
        plot.line(&median.collect::<Vec<_>>(), Role::Service, 1.5)?;
        plot.line(&levels.iter().map(|l| (l.level, judged(l))).collect::<Vec<_>>(), Role::Response, 2.0)?;
        mark_levels(&mut plot, &levels, judged)
    })?;
    let ends = levels.first().zip(levels.last());
    let description = ends.map_or_else(String::new, |(low, high)| {
        format!(
            "{stat} of the response time grows from {} at {} to {} at {}. {}",
            ms(judged(low)),
            wording::load(of, low.level),
            ms(judged(high)),
            wording::load(of, high.level),
            told(report)
        )
    });
    let mut legend = level_keys(report);
    legend.insert(0, Key::new(Role::Response, Shape::Line, stat));
    legend.insert(1, Key::new(Role::Service, Shape::Line, "p50"));
    if let Some(goal) = goal {
        legend.push(Key::new(Role::Limit, Shape::Line, format!("limit: {stat} {}", ms(goal.limit_ms))));
    }
    Ok(Some(drawn.told("Response time", description, legend)))
}

/// The axis that all charts against load share.
pub fn levels_axis(report: &Report<'_>) -> Axis {
    Axis::fitting(report.summary.levels.iter().map(|l| l.level), tick)
}

/// Levels by rising load: a search visits them in another order.
pub fn sorted<'a>(report: &Report<'a>) -> Vec<&'a Level> {
    let mut levels: Vec<&Level> = report.summary.levels.iter().filter(|l| l.level.is_finite()).collect();
    levels.sort_by(|a, b| a.level.total_cmp(&b.level));
    levels
}

/// The load line and its bracket, as they stand in every chart against load.
///
/// # Errors
/// As [`throughput`].
pub fn mark_load_line(
    plot: &mut Plot<'_, '_>,
    report: &Report<'_>,
    labeled: bool,
) -> Result<(), ReportError> {
    let Some(line) = &report.summary.load_line else { return Ok(()) };
    if let [Some(good), Some(bad)] = line.interval {
        plot.band(good, bad, Role::Bracket)?;
    }
    let label = if labeled {
        format!("load line {}", wording::load_line(line, wording::finished(report)).mark)
    } else {
        String::new()
    };
    line.typical.map_or(Ok(()), |typical| plot.vertical(typical, Role::LoadLine, 2.0, &label))
}

fn mark_levels(
    plot: &mut Plot<'_, '_>,
    levels: &[&Level],
    y: impl Fn(&Level) -> f64,
) -> Result<(), ReportError> {
    for (good, role, shape) in [(true, Role::Good, Shape::Circle), (false, Role::Bad, Shape::Cross)] {
        let points: Vec<(f64, f64)> =
            levels.iter().filter(|l| l.good == good).map(|l| (l.level, y(l))).collect();
        plot.marks(&points, role, shape)?;
    }
    Ok(())
}

fn level_keys(report: &Report<'_>) -> Vec<Key> {
    let mut keys = vec![
        Key::new(Role::Good, Shape::Circle, "good level"),
        Key::new(Role::Bad, Shape::Cross, "bad level"),
    ];
    if let Some(line) = &report.summary.load_line {
        if line.typical.is_some() {
            keys.push(Key::new(Role::LoadLine, Shape::Line, "load line"));
        }
        match (line.interval, line.confidence) {
            ([Some(_), Some(_)], Some(confidence)) => {
                let label = format!("{} interval", percent(confidence));
                keys.push(Key::new(Role::Bracket, Shape::Square, label));
            }
            ([Some(_), Some(_)], None) => {
                keys.push(Key::new(Role::Bracket, Shape::Square, "last good to first bad"));
            }
            _ => {}
        }
    }
    keys
}

fn told(report: &Report<'_>) -> String {
    report.summary.load_line.as_ref().map_or_else(String::new, |line| {
        let words = wording::load_line(line, wording::finished(report));
        format!("Load line {} {}.", words.mark, words.interval)
    })
}

/// A limit on latency among the goals: what is drawn as the limit.
struct LatencyGoal {
    stat: &'static str,
    limit_ms: f64,
}

/// The condition that limits the line if it is one on latency, else the first such goal.
fn latency_goal(report: &Report<'_>) -> Option<LatencyGoal> {
    let limited_by = report.summary.load_line.as_ref().and_then(|line| line.limited_by.as_deref());
    let goals = report.manifest.goals.iter().map(String::as_str);
    limited_by.into_iter().chain(goals).find_map(parse_goal)
}

/// Reads `p99(http) > 100ms` as `fail_when` writes it; anything that is not a limit on latency is `None`.
fn parse_goal(text: &str) -> Option<LatencyGoal> {
    let (stat, rest) = text.trim().split_at_checked(text.trim().find(['(', ' ', '>'])?)?;
    let stat =
        ["p50", "p90", "p95", "p99", "p99.9", "max", "mean"].into_iter().find(|known| *known == stat)?;
    let written = rest.split_once('>')?.1.trim_start_matches('=').split_whitespace().next()?;
    let digits = written.find(|c: char| c.is_alphabetic() || c == 'µ')?;
    let (number, unit) = written.split_at_checked(digits)?;
    let factor = match unit {
        "us" | "µs" => 0.001,
        "ms" => 1.0,
        "s" => 1000.0,
        _ => return None,
    };
    Some(LatencyGoal { stat, limit_ms: number.parse::<f64>().ok()? * factor })
}

fn value(latency: &Latency, stat: &str) -> f64 {
    match stat {
        "p50" => latency.p50,
        "p90" => latency.p90,
        "p95" => latency.p95,
        "p99.9" => latency.p99_9,
        "max" => latency.max,
        "mean" => latency.mean,
        _ => latency.p99,
    }
}

#[cfg(test)]
mod tests {
    use super::parse_goal;

    #[test]
    fn the_limit_is_read_from_the_goal() {
        let read = |text| parse_goal(text).map(|goal| (goal.stat, goal.limit_ms));
        assert_eq!(read("p99(http) > 100ms"), Some(("p99", 100.0)));
        assert_eq!(read("p99.9(product) >= 1.5s for 15s"), Some(("p99.9", 1500.0)));
        assert_eq!(read("max > 2s"), Some(("max", 2000.0)));
        for other in ["error_rate > 1%", "dropped > 0", "p99(http) < 100ms", "p99", "", "p99(é"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
