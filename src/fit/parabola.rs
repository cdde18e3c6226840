//! The parabola u = b + Dx + cx² through points, by least squares: whether what looks like a line bends, and what is off a curve that goes through its points.

use super::matrix::inverse;
use super::student::t_quantile;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parabola {
    /// The greatest x; coefficients are of x over it.
    most: f64,
    coefficients: [f64; 3],
    /// Standard error of the last of them.
    bend_error: f64,
    /// Degrees of freedom, n − 3.
    free: f64,
}

impl Parabola {
    /// `None` for fewer than three different x.
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let most = points.iter().map(|point| point.0).fold(f64::MIN_POSITIVE, f64::max);
        let rows: Vec<[f64; 3]> = points.iter().map(|(x, _)| powers(x / most)).collect();
        let sum = |of: &dyn Fn(usize) -> f64| (0..points.len()).map(of).sum::<f64>();
        let gram: Vec<Vec<f64>> =
            (0..3).map(|a| (0..3).map(|b| sum(&|row| rows[row][a] * rows[row][b])).collect()).collect();
        let inverse = inverse(&gram)?;
        let right = [0, 1, 2].map(|a| sum(&|row| rows[row][a] * points[row].1));
        let coefficients = [0, 1, 2].map(|a| inverse[a].iter().zip(&right).map(|(a, b)| a * b).sum());
        let free = points.len() as f64 - 3.0;
        let mut found = Self { most, coefficients, bend_error: 0.0, free };
        let squares: f64 = points.iter().map(|(x, u)| (u - found.at(*x)).powi(2)).sum();
        found.bend_error = (squares / free * inverse[2][2]).sqrt();
        Some(found)
    }

    /// u(x).
    pub fn at(&self, x: f64) -> f64 {
        powers(x / self.most).iter().zip(&self.coefficients).map(|(a, b)| a * b).sum()
    }

    /// Whether it has a c that chance does not make: Student's t on n − 3 degrees of freedom.
    pub fn bends(&self) -> bool {
        self.free > 0.0 && self.coefficients[2].abs() > t_quantile(0.975, self.free) * self.bend_error
    }
}

fn powers(x: f64) -> [f64; 3] {
    [1.0, x, x * x]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_is_found_and_a_line_does_not_bend() {
        let points = |used: &dyn Fn(f64) -> f64| -> Vec<(f64, f64)> {
            (1..=6).map(|k| f64::from(k) * 80.0).map(|x| (x, used(x))).collect()
        };
        let truth = |x: f64| 0.05 + 1e-3 * x + 2e-6 * x * x;
        let found = Parabola::through(&points(&truth)).unwrap();
        assert!(found.bends() && (found.at(700.0) - truth(700.0)).abs() < 1e-9, "{found:?}");
        let noisy = |x: f64| 1e-3 * x + if x > 200.0 && x < 300.0 { 0.01 } else { 0.0 };
        assert!(!Parabola::through(&points(&noisy)).unwrap().bends());
        assert_eq!(Parabola::through(&[(1.0, 1.0), (2.0, 2.0), (2.0, 3.0)]), None);
    }
}
