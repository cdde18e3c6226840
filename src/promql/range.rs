//! Growth of a counter over a span, as Prometheus reckons it (`extrapolatedRate` and `instantValue` in `promql/functions.go`).

use super::{Function, Point};

/// Beyond this many mean distances of points from the edge of the span, the counter is taken to have begun or ended in it.
const EDGE_DISTANCES_MAX: f64 = 1.1;

/// The value of `function` over the points of the span of `window_s` that ends at `now_s`; `None` with fewer than two.
pub(super) fn value(function: Function, points: &[Point], now_s: f64, window_s: f64) -> Option<f64> {
    match function {
        Function::Irate => of_last_two(points),
        Function::Increase => growth(points, now_s, window_s),
        Function::Rate => Some(growth(points, now_s, window_s)? / window_s),
    }
}

fn of_last_two(points: &[Point]) -> Option<f64> {
    let [.., before, last] = points else { return None };
    let grown = grown(before.value, last.value);
    let span_s = last.t_s - before.t_s;
    (span_s > 0.0).then_some(grown / span_s)
}

/// A counter that fell was reset to zero in between.
fn grown(before: f64, now: f64) -> f64 {
    if now < before { now } else { now - before }
}

/// What the points grew by, carried on to the edges of the span: by the way to the edge where the next point may lie just beyond it, else by half
/// a distance; and never to before the counter was zero.
fn growth(points: &[Point], now_s: f64, window_s: f64) -> Option<f64> {
    let [first, .., last] = points else { return None };
    let grown: f64 = points.windows(2).map(|pair| grown(pair[0].value, pair[1].value)).sum();
    let sampled_s = last.t_s - first.t_s;
    if sampled_s <= 0.0 {
        return None;
    }
    let distance_s = sampled_s / (points.len() - 1) as f64;
    let to_edge = |way_s: f64| {
        if way_s < EDGE_DISTANCES_MAX * distance_s { way_s } else { distance_s / 2.0 }
    };
    let mut to_start_s = to_edge(first.t_s - (now_s - window_s));
    if grown > 0.0 && first.value >= 0.0 {
        to_start_s = to_start_s.min(sampled_s * first.value / grown);
    }
    let to_end_s = to_edge(now_s - last.t_s);
    Some(grown * (sampled_s + to_start_s + to_end_s) / sampled_s)
}
