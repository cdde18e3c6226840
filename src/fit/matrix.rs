//! Small symmetric positive definite systems, as normal equations of least squares are, by Cholesky's factorization (Golub and Van Loan,
//! "Matrix Computations", 4th edition, algorithm 4.2.1). Rows are scaled to a diagonal of ones first, so that the units of the coefficients
//! do not decide whether a system counts as singular.

/// Row by row.
pub(super) type Matrix = Vec<Vec<f64>>;

/// Least part of a scaled diagonal that a row may keep once the rows before it are taken out: less is rounding.
const PIVOT_MIN: f64 = 1e-13;

/// The solution of `matrix`·x = `right`; `None` where the matrix is singular to working precision.
pub(super) fn solve(matrix: &[Vec<f64>], right: &[f64]) -> Option<Vec<f64>> {
    Some(Factor::of(matrix)?.solve(right))
}

/// `None` where the matrix is singular to working precision.
pub(super) fn inverse(matrix: &[Vec<f64>]) -> Option<Matrix> {
    let factor = Factor::of(matrix)?;
    let unit = |place: usize| -> Vec<f64> {
        (0..matrix.len()).map(|row| f64::from(u8::from(row == place))).collect()
    };
    // Symmetric, so columns are rows.
    Some((0..matrix.len()).map(|place| factor.solve(&unit(place))).collect())
}

/// L of the scaled matrix, and the scales.
struct Factor {
    lower: Matrix,
    scales: Vec<f64>,
}

impl Factor {
    fn of(matrix: &[Vec<f64>]) -> Option<Self> {
        let size = matrix.len();
        let scales: Vec<f64> = (0..size).map(|row| matrix[row][row].sqrt()).collect();
        if scales.iter().any(|scale| !scale.is_finite() || *scale <= 0.0) {
            return None;
        }
        let mut lower = vec![vec![0.0; size]; size];
        for row in 0..size {
            for column in 0..=row {
                let taken: f64 = (0..column).map(|k| lower[row][k] * lower[column][k]).sum();
                let rest = matrix[row][column] / (scales[row] * scales[column]) - taken;
                if row != column {
                    lower[row][column] = rest / lower[column][column];
                } else if rest > PIVOT_MIN {
                    lower[row][row] = rest.sqrt();
                } else {
                    return None;
                }
            }
        }
        Some(Self { lower, scales })
    }

    fn solve(&self, right: &[f64]) -> Vec<f64> {
        let size = right.len();
        let mut x: Vec<f64> = right.iter().zip(&self.scales).map(|(value, scale)| value / scale).collect();
        for row in 0..size {
            let taken: f64 = (0..row).map(|k| self.lower[row][k] * x[k]).sum();
            x[row] = (x[row] - taken) / self.lower[row][row];
        }
        for row in (0..size).rev() {
            let taken: f64 = (row + 1..size).map(|k| self.lower[k][row] * x[k]).sum();
            x[row] = (x[row] - taken) / self.lower[row][row];
        }
        x.iter().zip(&self.scales).map(|(value, scale)| value / scale).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_solved_whatever_their_units() {
        // A = BᵀB for B = [[1, 2, 0], [0, 3, 1], [0, 0, 2]], in units that differ by 1e9.
        let units = [1.0, 1e9, 1e-9];
        let plain = [[1.0, 2.0, 0.0], [2.0, 13.0, 3.0], [0.0, 3.0, 5.0]];
        let matrix: Matrix =
            (0..3).map(|i| (0..3).map(|j| plain[i][j] * units[i] * units[j]).collect()).collect();
        let truth = [3.0, -2e-9, 5e9];
        let right: Vec<f64> =
            matrix.iter().map(|row| row.iter().zip(truth).map(|(a, x)| a * x).sum()).collect();
        let found = solve(&matrix, &right).unwrap();
        for (found, truth) in found.iter().zip(truth) {
            assert!((found / truth - 1.0).abs() < 1e-12, "{found} for {truth}");
        }
        let inverse = inverse(&matrix).unwrap();
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = (0..3).map(|k| matrix[i][k] * inverse[k][j]).sum();
                assert!((product * units[j] / units[i] - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn what_is_singular_has_no_solution() {
        assert_eq!(solve(&[vec![1.0, 2.0], vec![2.0, 4.0]], &[1.0, 2.0]), None);
        assert_eq!(solve(&[vec![0.0]], &[1.0]), None);
        assert_eq!(inverse(&[vec![f64::NAN]]), None);
    }
}
