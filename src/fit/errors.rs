//! How far coefficients of a regression over time may be off, where what made one window differ makes the next one differ as well.
//!
//! The errors of the windows are taken for a stationary process of the first order, e(t) = φ·e(t − 1) + fresh: R(φ) are its correlations. With Z the
//! columns and r the residuals, each times the root of its weight, the covariance of the coefficients is s²·(ZᵀZ)⁻¹ZᵀRZ(ZᵀZ)⁻¹, and
//! s² = rᵀr/tr((I − H)R) with H = Z(ZᵀZ)⁻¹Zᵀ, since residuals are smaller than errors by what the coefficients took.
//!
//! Source: Judge et al., "The Theory and Practice of Econometrics", 2nd ed. 1985, section 8.2 (least squares under such errors); Kendall, Biometrika 41,
//! 1954 (by how much φ is seen too small).

use super::matrix::{Matrix, inverse};
use super::student::t_quantile;
use crate::seed::Stream;
use rand_distr::{Distribution as _, StandardNormal};

/// Past this a record is too short to tell a memory from a trend.
const PHI_MAX: f64 = 0.9;
/// Degrees of freedom below which an interval says nothing.
const FREE_MIN: f64 = 2.0;

#[derive(Clone, Debug)]
pub(super) struct Errors {
    /// φ.
    pub(super) phi: f64,
    /// s, of a window of weight one.
    pub(super) deviation: f64,
    /// Coefficients that no bound holds, and their standard errors.
    loose: Vec<f64>,
    standard: Vec<f64>,
    t: f64,
}

impl Errors {
    /// Of the columns `scaled` and right side `right`, both times the roots of the weights. `None` where the columns depend on each other, or no more windows
    /// than columns are there.
    pub(super) fn of(scaled: &[Vec<f64>], right: &[f64]) -> Option<Self> {
        let (windows, columns) = (right.len() as f64, scaled.len() as f64);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let gram: Matrix = scaled.iter().map(|a| scaled.iter().map(|b| dot(a, b)).collect()).collect();
        let inverse = inverse(&gram)?;
        let times = |matrix: &Matrix, vector: &[f64]| -> Vec<f64> {
            matrix.iter().map(|row| dot(row, vector)).collect()
        };
        let loose = times(&inverse, &scaled.iter().map(|column| dot(column, right)).collect::<Vec<f64>>());
        let fitted =
            |row: usize| scaled.iter().zip(&loose).map(|(column, value)| column[row] * value).sum::<f64>();
        let residuals: Vec<f64> = right.iter().enumerate().map(|(row, right)| right - fitted(row)).collect();
        let squares = dot(&residuals, &residuals);
        let seen = if squares > 0.0 {
            dot(&residuals[1..], &residuals[..residuals.len() - 1]) / squares
        } else {
            0.0
        };
        // Each coefficient, and the estimate of φ itself, take out of the residuals a part of what they have in common: of a mean, whose only column is
        // ones, E r = φ − (1 + 3φ)/n (Kendall, Biometrika 41, 1954).
        let phi = ((seen * windows + columns) / (windows - columns - 2.0).max(1.0)).clamp(0.0, PHI_MAX);
        let middle = correlated(scaled, phi);
        let around: Matrix = inverse.iter().map(|row| times(&middle, row)).collect();
        let trace: f64 = (0..scaled.len()).map(|i| around[i][i]).sum();
        let free = windows - columns;
        if free < 1.0 {
            return None;
        }
        let variance = squares / (windows - trace).max(1.0);
        let standard = (0..scaled.len()).map(|i| (variance * dot(&around[i], &inverse[i])).max(0.0).sqrt());
        // As many independent windows as tell the mean as well.
        let alike = (1.0 - phi) / (1.0 + phi);
        let t = t_quantile(0.975, (free * alike).max(FREE_MIN));
        Some(Self { phi, deviation: variance.sqrt(), standard: standard.collect(), loose, t })
    }

    /// The interval of 95 % of a coefficient that is at least 0 and was estimated as `value` under that bound.
    pub(super) fn interval(&self, column: usize, value: f64) -> [f64; 2] {
        let off = self.t * self.standard[column];
        [(self.loose[column] - off).max(0.0).min(value), (self.loose[column] + off).max(value)]
    }

    /// Errors of so many windows of weight one, as these might have come out.
    pub(super) fn draw(&self, windows: usize, random: &mut Stream) -> Vec<f64> {
        let fresh = (1.0 - self.phi * self.phi).sqrt();
        let mut error: f64 = StandardNormal.sample(random);
        let next = |_| {
            let now = error;
            let drawn: f64 = StandardNormal.sample(random);
            error = self.phi * error + fresh * drawn;
            self.deviation * now
        };
        (0..windows).map(next).collect()
    }
}

/// ZᵀRZ, by S(t) = φ·(S(t − 1) + z(t − 1)), the sum of all earlier rows with their correlations.
fn correlated(scaled: &[Vec<f64>], phi: f64) -> Matrix {
    let size = scaled.len();
    let mut sum = vec![vec![0.0; size]; size];
    let mut earlier = vec![0.0; size];
    for row in 0..scaled.first().map_or(0, Vec::len) {
        for i in 0..size {
            for j in 0..size {
                sum[i][j] += scaled[i][row] * scaled[j][row]
                    + scaled[i][row] * earlier[j]
                    + earlier[i] * scaled[j][row];
            }
        }
        for (earlier, column) in earlier.iter_mut().zip(scaled) {
            *earlier = phi * (*earlier + column[row]);
        }
    }
    sum
}
