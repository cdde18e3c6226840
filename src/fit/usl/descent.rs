//! The least squares of the law within its bounds, by projected Levenberg-Marquardt from several starts.

use super::{Law, Point};
use crate::fit::matrix::solve;

/// α, β and γ.
pub(super) type Coefficients = [f64; 3];

pub(super) const HIGHEST: Coefficients = [1.0, 1.0, f64::INFINITY];
/// Bounds below are 0 for all three.
pub(super) const ALPHA: usize = 0;
pub(super) const BETA: usize = 1;

/// Steps of one descent, taken or refused. From the starts below a few dozen suffice.
const STEPS_MAX: usize = 300;
const DAMPING_FIRST: f64 = 1e-3;
const DAMPING_LEAST: f64 = 1e-12;
/// A step this short changes nothing that can be told apart.
const DAMPING_MOST: f64 = 1e12;
/// Relative gain in squares, and relative step, at which the descent is over.
const GAIN_MIN: f64 = 1e-15;
const STEP_MIN: f64 = 1e-10;

/// Where a descent ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) at: Coefficients,
    /// Σ(x − X(n))².
    pub(super) squares: f64,
}

pub(super) fn law(at: Coefficients) -> Law {
    Law { alpha: at[0], beta: at[1], gamma: at[2] }
}

pub(super) fn squares(points: &[Point], at: Coefficients) -> f64 {
    let law = law(at);
    points.iter().map(|point| (point.x - law.throughput(point.n)).powi(2)).sum()
}

/// JᵀJ and Jᵀr at `at`: of the gradient and the residuals.
pub(super) fn normal(points: &[Point], at: Coefficients) -> ([[f64; 3]; 3], [f64; 3]) {
    let law = law(at);
    let (mut gram, mut slope) = ([[0.0; 3]; 3], [0.0; 3]);
    for point in points {
        let gradient = law.gradient(point.n);
        let residual = point.x - law.throughput(point.n);
        for i in 0..3 {
            slope[i] += gradient[i] * residual;
            for j in 0..3 {
                gram[i][j] += gradient[i] * gradient[j];
            }
        }
    }
    (gram, slope)
}

/// The best of all starts. A coefficient that is worth nothing is at its bound exactly.
pub(super) fn best(points: &[Point]) -> Found {
    let mut best = starts(points)
        .into_iter()
        .map(|start| descend(points, start, [false; 3]))
        .min_by(|a, b| a.squares.total_cmp(&b.squares))
        .unwrap_or(Found { at: [0.0; 3], squares: f64::INFINITY });
    // A descent nears a bound in ever smaller steps. Where the bound itself is no worse, it is the answer.
    let worth_nothing =
        1e-9 * best.squares + 1e-24 * points.iter().map(|point| point.x * point.x).sum::<f64>();
    for which in [ALPHA, BETA] {
        let mut at = best.at;
        at[which] = 0.0;
        let fixed = [0, 1, 2].map(|coefficient| coefficient == which || best.at[coefficient] == 0.0);
        let without = descend(points, at, fixed);
        if without.squares <= best.squares + worth_nothing {
            best = without;
        }
    }
    best
}

/// Twelve starts: that of the R package `usl` (γ the most throughput a unit of load, α = 0.01, β = 1e-4), then a grid over what contention is usual
/// and over peaks from well within the loads to far beyond them, each with the γ that is best for it.
fn starts(points: &[Point]) -> Vec<Coefficients> {
    let steepest = points.iter().map(|point| point.x / point.n).fold(0.0, f64::max);
    let most = points.iter().map(|point| point.n).fold(1.0, f64::max);
    let mut starts = vec![[0.01, 1e-4, steepest]];
    for alpha in [0.0, 0.01, 0.1, 0.5] {
        for peak in [0.5, 2.0, 20.0] {
            if (alpha, peak) == (0.01, 2.0) {
                continue;
            }
            let beta = ((1.0 - alpha) / (peak * most).powi(2)).min(1.0);
            let unit = Law { alpha, beta, gamma: 1.0 };
            let sum = |of: &dyn Fn(&Point) -> f64| points.iter().map(of).sum::<f64>();
            let gamma = sum(&|point| point.x * unit.throughput(point.n))
                / sum(&|point| unit.throughput(point.n).powi(2));
            starts.push([alpha, beta, gamma]);
        }
    }
    starts
}

/// One descent (Levenberg 1944, Marquardt 1963): steps of damped normal equations, each coefficient damped in its own unit, projected onto the
/// bounds. What is at a bound and would be pushed through it stays out of the step, and so does what is `fixed`.
pub(super) fn descend(points: &[Point], start: Coefficients, fixed: [bool; 3]) -> Found {
    let mut at = start;
    let mut least = squares(points, at);
    let mut damping = DAMPING_FIRST;
    let (mut gram, mut slope) = normal(points, at);
    for _ in 0..STEPS_MAX {
        let free: Vec<usize> = (0..3)
            .filter(|&i| !fixed[i])
            .filter(|&i| (at[i] > 0.0 || slope[i] > 0.0) && (at[i] < HIGHEST[i] || slope[i] < 0.0))
            .collect();
        let damped: Vec<Vec<f64>> = free
            .iter()
            .map(|&i| free.iter().map(|&j| gram[i][j] * if i == j { 1.0 + damping } else { 1.0 }).collect())
            .collect();
        let wanted: Vec<f64> = free.iter().map(|&i| slope[i]).collect();
        if free.is_empty() || damping > DAMPING_MOST {
            break;
        }
        let Some(step) = solve(&damped, &wanted) else {
            damping *= 10.0;
            continue;
        };
        let mut next = at;
        for (&i, step) in free.iter().zip(&step) {
            next[i] = (at[i] + step).clamp(0.0, HIGHEST[i]);
        }
        let after = squares(points, next);
        if after < least {
            let gain = least - after;
            let moved = (0..3).any(|i| (next[i] - at[i]).abs() > STEP_MIN * at[i].abs());
            let over = gain <= GAIN_MIN * least || !moved;
            (at, least) = (next, after);
            if over {
                break;
            }
            (gram, slope) = normal(points, at);
            damping = (damping / 10.0).max(DAMPING_LEAST);
        } else {
            damping *= 10.0;
        }
    }
    Found { at, squares: least }
}
