//! The words of a prediction: what is changed, where the load line would be, what it rests on, and what a second search made of it.

use super::numbers::{about, percent, quantity};
use super::{plain, wording};
use crate::record::what_if::{Changed, Confirmed, WhatIf};
use crate::units::three_figures;

fn three(value: f64) -> String {
    quantity(three_figures(value))
}

/// Rows of a label and its text, in order, as the terminal shows them.
pub fn lines(what_if: &WhatIf) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("what if", changes(what_if)),
        ("predicted", format!("{}  {}     {}", mark(what_if), interval(what_if), gain(what_if))),
    ];
    if let Some(then) = then(what_if) {
        lines.push(("then", then));
    }
    if let Some(confirmed) = &what_if.confirmed {
        lines.push(("observed", observed(confirmed, &what_if.load_line.of)));
    }
    lines
}

/// `mongodb.pool 10 → 100`.
pub fn changes(what_if: &WhatIf) -> String {
    what_if.changes.iter().map(change).collect::<Vec<_>>().join(", ")
}

fn change(change: &Changed) -> String {
    let Changed { resource, from, to } = change;
    let name = plain::name(resource);
    if change.is_relative() {
        return format!("{name} {}x", quantity(to / from));
    }
    format!("{name} {} → {}", quantity(*from), quantity(*to))
}

/// `about 4,300 users`.
pub fn mark(what_if: &WhatIf) -> String {
    let line = &what_if.load_line;
    format!("about {} {}", three(line.typical), wording::unit(&line.of))
}

/// `[90 % interval 3,928 to 4,782]`.
pub fn interval(what_if: &WhatIf) -> String {
    let line = &what_if.load_line;
    let [low, high] = line.interval;
    format!("[{} interval {} to {}]", percent(line.confidence), three(low), three(high))
}

/// `8.2x, extrapolated 10x`: no prediction is printed without its class.
pub fn gain(what_if: &WhatIf) -> String {
    let class = match what_if.evidence.as_str() {
        "extrapolated" => format!("extrapolated {}x", about(what_if.factor)),
        other => plain::name(other),
    };
    format!("{}x, {class}", quantity(what_if.gain))
}

/// What limits then, and what would after it.
pub fn then(what_if: &WhatIf) -> Option<String> {
    let limited_by = plain::name(what_if.limited_by.as_deref()?);
    let next = what_if.next.first().map_or_else(String::new, |next| {
        let unit = wording::unit(&what_if.load_line.of);
        format!("; next {} at about {} {unit}", plain::name(&next.resource), three(next.at))
    });
    Some(format!("{limited_by} gives way{next}"))
}

/// `4,080 users [last good 4,000, first bad 4,160]     0.94x of what was predicted   app.cpu gave way   reports/x`.
pub fn observed(confirmed: &Confirmed, of: &str) -> String {
    let end = |end: Option<f64>| end.map_or_else(|| "none".to_owned(), quantity);
    let gave_way = confirmed
        .bottleneck
        .as_deref()
        .map_or_else(String::new, |name| format!("   {} gave way", plain::name(name)));
    format!(
        "{}  [last good {}, first bad {}]     {}x of what was predicted{gave_way}   {}",
        wording::load(of, confirmed.typical),
        end(confirmed.interval[0]),
        end(confirmed.interval[1]),
        quantity(confirmed.observed_over_predicted),
        plain::block(&confirmed.run)
    )
}
