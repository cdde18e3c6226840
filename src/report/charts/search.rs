//! The search over time: each level while it was judged and what it was found to be, the bracket closing around the load line, and the soaks.

use super::axis::Axis;
use super::plot::{Frame, Plot, picture};
use super::{Key, Picture, Role, Shape};
use crate::record::rows::LevelMark;
use crate::report::numbers::{counted, quantity, span, tick};
use crate::report::{Report, ReportError, wording};

const WIDTH_PX: u32 = 1120;
const HEIGHT_PX: u32 = 320;
const TOP_PX: u32 = 28;

/// The search; `None` where nothing was searched, or no level came to a verdict.
///
/// # Errors
/// [`ReportError::Chart`].
pub fn over_time(report: &Report<'_>) -> Result<Option<Picture>, ReportError> {
    let manifest = report.manifest;
    let marks: Vec<&LevelMark> = manifest.levels.iter().filter(|mark| mark.level.is_finite()).collect();
    let (Some(_), Some(last)) = (&manifest.search, marks.last()) else { return Ok(None) };
    let of = wording::level_of(report);
    let x = Axis::time(manifest.duration_s.max(last.to_s));
    let y = Axis::fitting(marks.iter().map(|mark| mark.level), tick);
    let drawn = picture("search", WIDTH_PX, &[HEIGHT_PX], |areas| {
        let frame = Frame {
            x: &x,
            y: &y,
            caption: wording::unit(of),
            x_caption: Some("time since the start"),
            top_px: TOP_PX,
        };
        let mut plot = Plot::new("search", &areas[0], &frame)?;
        for (end, role) in [(0, Role::Good), (1, Role::Bad)] {
            plot.line(&bracket(&marks, end, manifest.duration_s), role, 1.0)?;
        }
        if let Some(typical) = report.summary.load_line.as_ref().and_then(|line| line.typical) {
            plot.horizontal(typical, Role::LoadLine, &format!("load line {}", wording::load(of, typical)))?;
        }
        for mark in &marks {
            let [from_s, to_s] = mark.counted_s();
            if from_s > mark.from_s {
                plot.line(&[(mark.from_s, mark.level), (from_s, mark.level)], Role::Axis, 0.5)?;
            }
            plot.line(&[(from_s, mark.level), (to_s, mark.level)], Role::Axis, 2.0)?;
        }
        for (good, soak, role, shape) in [
            (true, false, Role::Good, Shape::Circle),
            (false, false, Role::Bad, Shape::Cross),
            (true, true, Role::Good, Shape::Square),
            (false, true, Role::Bad, Shape::Diamond),
        ] {
            let found = marks.iter().filter(|mark| (mark.good, mark.soak) == (good, soak));
            plot.marks(&found.map(|mark| (mark.to_s, mark.level)).collect::<Vec<_>>(), role, shape)?;
        }
        Ok(())
    })?;
    Ok(Some(drawn.told("The search", told(report, &marks), legend(report, &marks))))
}

/// One end of the bracket as steps in time; it is not drawn before it is known.
fn bracket(marks: &[&LevelMark], end: usize, until_s: f64) -> Vec<(f64, f64)> {
    let mut steps = Vec::with_capacity(2 * marks.len());
    for (i, mark) in marks.iter().enumerate() {
        let level = mark.bracket[end].unwrap_or(f64::NAN);
        let to_s = marks.get(i + 1).map_or(until_s.max(mark.to_s), |next| next.to_s);
        steps.extend([(mark.to_s, level), (to_s, level)]);
    }
    steps
}

fn told(report: &Report<'_>, marks: &[&LevelMark]) -> String {
    let of = wording::level_of(report);
    let soaks: Vec<bool> = marks.iter().filter(|mark| mark.soak).map(|mark| mark.good).collect();
    let judged = marks.len() - soaks.len();
    let (first, last) = (marks.first(), marks.last());
    let mut text = format!(
        "{judged} judgments in {}, from {}",
        span(last.map_or(0.0, |mark| mark.to_s)),
        wording::load(of, first.map_or(0.0, |mark| mark.level))
    );
    if let Some([Some(good), Some(bad)]) = last.map(|mark| mark.bracket) {
        text.push_str(&format!("; the last bracket is {} to {}", quantity(good), quantity(bad)));
    }
    if !soaks.is_empty() {
        let lasted = soaks.iter().filter(|good| **good).count();
        text.push_str(&format!("; {lasted} of {} lasted", counted(soaks.len() as u64, "soak")));
    }
    text + "."
}

fn legend(report: &Report<'_>, marks: &[&LevelMark]) -> Vec<Key> {
    let mut keys = vec![
        Key::new(Role::Axis, Shape::Line, "while it was judged"),
        Key::new(Role::Good, Shape::Circle, "judged good"),
        Key::new(Role::Bad, Shape::Cross, "judged bad"),
        Key::new(Role::Good, Shape::Line, "last good level below the bad ones"),
        Key::new(Role::Bad, Shape::Line, "first bad level"),
    ];
    if marks.iter().any(|mark| mark.counted_s()[0] > mark.from_s) {
        keys.insert(1, Key::new(Role::Axis, Shape::Line, "thin: left out, as it was settling"));
    }
    let soaked = |good: bool| marks.iter().any(|mark| mark.soak && mark.good == good);
    if soaked(true) {
        keys.push(Key::new(Role::Good, Shape::Square, "a soak that lasted"));
    }
    if soaked(false) {
        keys.push(Key::new(Role::Bad, Shape::Diamond, "a soak that was bad"));
    }
    if report.summary.load_line.as_ref().is_some_and(|line| line.typical.is_some()) {
        keys.push(Key::new(Role::LoadLine, Shape::Line, "load line"));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::bracket;
    use crate::record::rows::LevelMark;

    #[test]
    fn the_bracket_is_drawn_from_when_it_is_known() {
        let mark = |to_s: f64, good, bad| LevelMark { to_s, bracket: [good, bad], ..LevelMark::default() };
        let marks = [mark(10.0, Some(100.0), None), mark(20.0, Some(100.0), Some(200.0))];
        let marks: Vec<&LevelMark> = marks.iter().collect();
        assert_eq!(bracket(&marks, 0, 30.0), [(10.0, 100.0), (20.0, 100.0), (20.0, 100.0), (30.0, 100.0)]);
        let upper = bracket(&marks, 1, 30.0);
        assert!(upper[0].1.is_nan() && upper[2] == (20.0, 200.0));
    }
}
