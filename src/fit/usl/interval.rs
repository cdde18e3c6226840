//! Confidence intervals of the coefficients.

use super::Point;
use super::descent::{Coefficients, Found, HIGHEST, descend, normal};
use crate::fit::matrix::inverse;

/// How often a step outward doubles before the interval counts as without end, and how often the place of its end is halved.
const DOUBLINGS_MAX: u32 = 60;
const HALVINGS: u32 = 45;

/// Covariance s²·(JᵀJ)⁻¹ of the coefficients that are not `fixed`, with s² the residual variance; 0 for those that are. `None` where the points cannot
/// tell the coefficients apart.
pub(super) fn covariance(
    points: &[Point],
    at: Coefficients,
    fixed: [bool; 3],
    variance: f64,
) -> Option<[[f64; 3]; 3]> {
    let (gram, _) = normal(points, at);
    let free: Vec<usize> = (0..3).filter(|&i| !fixed[i]).collect();
    let part: Vec<Vec<f64>> = free.iter().map(|&i| free.iter().map(|&j| gram[i][j]).collect()).collect();
    let inverse = inverse(&part)?;
    let mut covariance = [[0.0; 3]; 3];
    for (row, &i) in free.iter().enumerate() {
        for (column, &j) in free.iter().enumerate() {
            covariance[i][j] = variance * inverse[row][column];
        }
    }
    Some(covariance)
}

/// Profile likelihood (Bates and Watts, "Nonlinear Regression Analysis and Its Applications", 1988, section 6.1): the values of coefficient `which` for
/// which the squares, with the other two at their best within their bounds, stay below `squares_max`.
pub(super) fn profile(points: &[Point], best: Found, which: usize, squares_max: f64) -> [f64; 2] {
    let largest = points.iter().map(|point| point.n).fold(1.0, f64::max);
    let unit = [0.01 / largest, 0.01 / (largest * largest), 0.01 * best.at[2]][which];
    let end = |outward: f64| {
        let mut fixed = [false; 3];
        fixed[which] = true;
        let bound = if outward < 0.0 { 0.0 } else { HIGHEST[which] };
        let mut inside = best.at;
        let mut step = unit.max(best.at[which] * 0.01);
        for _ in 0..DOUBLINGS_MAX {
            let mut tried = inside;
            tried[which] = (best.at[which] + outward * step).clamp(0.0, HIGHEST[which]);
            let found = descend(points, tried, fixed);
            if found.squares > squares_max {
                return halve(points, inside, tried[which], which, squares_max);
            }
            inside = found.at;
            if tried[which] == bound {
                return bound;
            }
            step *= 2.0;
        }
        if outward < 0.0 { 0.0 } else { HIGHEST[which] }
    };
    [end(-1.0), end(1.0)]
}

/// The end of the interval between a value inside it and one outside.
fn halve(
    points: &[Point],
    mut inside: Coefficients,
    mut outside: f64,
    which: usize,
    squares_max: f64,
) -> f64 {
    let mut fixed = [false; 3];
    fixed[which] = true;
    for _ in 0..HALVINGS {
        let mut tried = inside;
        tried[which] = f64::midpoint(inside[which], outside);
        let found = descend(points, tried, fixed);
        if found.squares > squares_max {
            outside = tried[which];
        } else {
            inside = found.at;
        }
    }
    inside[which]
}
