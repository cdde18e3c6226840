//! A load curve drawn with block characters: one column a span of time, as high as the curve is in it at its most.

use crate::preflight::explain::{ExplainedPart, Point};

/// Columns and rows of the drawing; with its labels it fits into the 80 columns of the smallest terminal.
const COLUMNS: usize = 64;
const ROWS: usize = 8;
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The sum of the parts that count in `unit`, with its phases below; empty where no part does.
pub(super) fn chart(parts: &[ExplainedPart], unit: &str) -> String {
    let curves: Vec<&[Point]> =
        parts.iter().filter(|part| part.unit == unit).map(|part| part.curve.as_slice()).collect();
    // All drawings of a scenario have one axis of time.
    let ends = parts.iter().filter_map(|part| part.curve.last());
    let end_s = ends.fold(0.0_f64, |end, point| end.max(point.t_s));
    if end_s <= 0.0 || curves.is_empty() {
        return String::new();
    }
    let column_s = end_s / COLUMNS as f64;
    let heights: Vec<f64> = (0..COLUMNS)
        .map(|column| highest(&curves, column as f64 * column_s, (column + 1) as f64 * column_s))
        .collect();
    let top = heights.iter().copied().fold(0.0, f64::max);
    let mut text = format!("{unit}\n");
    for row in (0..ROWS).rev() {
        let label = match row {
            _ if row + 1 == ROWS => number(top),
            _ if row + 1 == ROWS / 2 => number(top / 2.0),
            _ => String::new(),
        };
        let cells: String = heights.iter().map(|height| cell(height / top, row)).collect();
        text.push_str(&format!("{label:>9} │{}\n", cells.trim_end()));
    }
    text.push_str(&format!("{:>9} └{}\n", "0", "─".repeat(COLUMNS)));
    let end = time(end_s);
    let room = COLUMNS - end.chars().count();
    text.push_str(&format!("{:>11}{:<room$}{end}\n", "", "0s"));
    for row in phases(parts, unit, end_s) {
        text.push_str(&format!("{:>11}{row}\n", ""));
    }
    text
}

/// One character of a column that is filled up to `share`.
fn cell(share: f64, row: usize) -> char {
    let eighths = (share * (ROWS * 8) as f64).round();
    // What is there at all is seen.
    let eighths = if share > 0.0 { eighths.max(1.0) } else { 0.0 } as usize;
    BLOCKS[eighths.saturating_sub(row * 8).min(8)]
}

/// The most that the curves come to together between two instants.
fn highest(curves: &[&[Point]], from_s: f64, to_s: f64) -> f64 {
    let corners = curves.iter().flat_map(|curve| curve.iter()).map(|point| point.t_s);
    let instants = corners.filter(|t_s| (from_s..to_s).contains(t_s)).chain([from_s, to_s]);
    let sum = |t_s: f64, side: fn(&[Point], f64) -> f64| -> f64 {
        curves.iter().map(|curve| side(curve, t_s)).sum()
    };
    let both = |t_s: f64| {
        let before = if t_s > from_s { sum(t_s, value_before) } else { 0.0 };
        let after = if t_s < to_s { sum(t_s, value_after) } else { 0.0 };
        before.max(after)
    };
    instants.map(both).fold(0.0, f64::max)
}

/// The value that a curve comes to `t_s` with, and the one it goes on from there with: at a jump they differ.
fn value_before(curve: &[Point], t_s: f64) -> f64 {
    between(curve, curve.partition_point(|point| point.t_s < t_s), t_s)
}

fn value_after(curve: &[Point], t_s: f64) -> f64 {
    between(curve, curve.partition_point(|point| point.t_s <= t_s), t_s)
}

/// On the line to the corner `next` from the one before it.
fn between(curve: &[Point], next: usize, t_s: f64) -> f64 {
    let (Some(to), Some(from)) = (curve.get(next), next.checked_sub(1).and_then(|last| curve.get(last)))
    else {
        return 0.0;
    };
    if to.t_s <= from.t_s {
        return to.value;
    }
    from.value + (to.value - from.value) * (t_s - from.t_s) / (to.t_s - from.t_s)
}

/// Rows of `├ name ┤`; a phase that overlaps those of a row begins another.
fn phases(parts: &[ExplainedPart], unit: &str, end_s: f64) -> Vec<String> {
    let mut rows: Vec<Vec<char>> = Vec::new();
    let mut drawn: Vec<(&str, usize, usize)> = Vec::new();
    for phase in parts.iter().filter(|part| part.unit == unit).flat_map(|part| &part.phases) {
        let column = |s: f64| ((s / end_s * COLUMNS as f64).round() as usize).min(COLUMNS);
        let (from, to) = (column(phase.from_s), column(phase.to_s));
        // A phase of two parts is one phase, and one of no width has no room for a name.
        if to < from + 2 || drawn.contains(&(phase.name.as_str(), from, to)) {
            continue;
        }
        drawn.push((&phase.name, from, to));
        let width = to - from;
        let name: String = phase.name.chars().take(width.saturating_sub(2)).collect();
        let label = format!("├{name:─^room$}┤", room = width - 2);
        let free = |row: &Vec<char>| row[from..to].iter().all(|c| *c == ' ');
        let place = rows.iter().position(free).unwrap_or_else(|| {
            rows.push(vec![' '; COLUMNS]);
            rows.len() - 1
        });
        for (slot, c) in rows[place][from..to].iter_mut().zip(label.chars()) {
            *slot = c;
        }
    }
    rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect()
}

/// `12,345`, or with a fraction where the number is small.
pub(super) fn number(value: f64) -> String {
    if value < 100.0 && value.fract() != 0.0 {
        let text = format!("{value:.2}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    crate::preflight::fit::grouped(value.round() as u64)
}

/// Seconds as people say them, fractions only where they are the point.
pub(super) fn time(seconds: f64) -> String {
    let rounded = if seconds >= 10.0 { seconds.round() } else { (seconds * 1000.0).round() / 1000.0 };
    crate::units::show_duration(std::time::Duration::from_secs_f64(rounded.max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::explain::Span;

    fn part(unit: &str, corners: &[(f64, f64)], phases: &[(&str, f64, f64)]) -> ExplainedPart {
        ExplainedPart {
            name: "part".into(),
            executor: "closed".into(),
            unit: unit.into(),
            start_s: 0.0,
            duration_s: None,
            journeys: Vec::new(),
            curve: corners.iter().map(|(t_s, value)| Point { t_s: *t_s, value: *value }).collect(),
            phases: phases
                .iter()
                .map(|(name, from_s, to_s)| Span { name: (*name).into(), from_s: *from_s, to_s: *to_s })
                .collect(),
            peak: 0.0,
            iterations: None,
            iteration_s: 0.0,
            think_s: 0.0,
            requests_per_iteration: 0.0,
            in_flight_max: None,
        }
    }

    #[test]
    fn a_ramp_a_hold_and_a_jump() {
        let corners = [(0.0, 0.0), (16.0, 400.0), (48.0, 400.0), (48.0, 100.0), (64.0, 100.0)];
        let phases = [("warm-up", 0.0, 16.0), ("steady", 16.0, 48.0), ("whole", 0.0, 64.0)];
        insta::assert_snapshot!(chart(&[part("users", &corners, &phases)], "users"));
    }

    #[test]
    fn parts_add_up_and_other_units_are_left_out() {
        let parts = [
            part("users", &[(0.0, 10.0), (32.0, 10.0)], &[]),
            part("users", &[(16.0, 30.0), (64.0, 30.0)], &[]),
            part("iterations/s", &[(0.0, 500.0), (90.0, 500.0)], &[]),
        ];
        insta::assert_snapshot!(chart(&parts, "users"));
        assert_eq!(chart(&parts[..2], "iterations/s"), "");
        let tops = highest(&[&parts[0].curve, &parts[1].curve], 16.0, 17.0);
        assert_eq!(tops, 40.0);
    }

    #[test]
    fn a_spike_narrower_than_a_column_is_seen() {
        let curve = [(0.0, 1.0), (100.0, 1.0), (100.0, 90.0), (100.1, 90.0), (100.1, 1.0), (6400.0, 1.0)]
            .map(|(t_s, value)| Point { t_s, value });
        assert_eq!(highest(&[&curve], 100.0, 200.0), 90.0);
        assert_eq!(highest(&[&curve], 0.0, 100.0), 1.0, "the jump belongs to what follows");
    }
}
