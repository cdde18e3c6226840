//! Least squares whose coefficients may not be negative.

use super::matrix::solve;

/// Gradients this small, against the size of the column and of the right side, are none.
const GRADIENT_MIN: f64 = 1e-11;

/// The x ≥ 0 that leaves the least |A·x − b|², given AᵀA and Aᵀb (weights go into both). Lawson and Hanson, "Solving Least Squares Problems",
/// 1974, chapter 23, algorithm NNLS, in the form on normal equations of Bro and de Jong, J. Chemometrics 11, 1997. A column that is nothing
/// but a combination of others that are already in keeps a coefficient of 0.
pub fn nnls(gram: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let size = right.len();
    let mut x = vec![0.0; size];
    let mut passive: Vec<usize> = Vec::new();
    let mut dependent = vec![false; size];
    // Each round ends with a smaller residual than the one before, so none comes back; the bound is against rounding.
    for _ in 0..3 * size {
        let slope = |column: usize| {
            let taken: f64 = (0..size).map(|k| gram[column][k] * x[k]).sum();
            right[column] - taken
        };
        let steepest = (0..size)
            .filter(|column| !passive.contains(column) && !dependent[*column])
            .map(|column| (column, slope(column) / gram[column][column].sqrt().max(f64::MIN_POSITIVE)))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let scale = (0..size)
            .map(|column| right[column].abs() / gram[column][column].sqrt().max(f64::MIN_POSITIVE))
            .fold(0.0, f64::max);
        let Some((column, _)) = steepest.filter(|(_, slope)| *slope > GRADIENT_MIN * scale) else { break };
        passive.push(column);
        if !settle(gram, right, &mut x, &mut passive) {
            passive.retain(|&other| other != column);
            dependent[column] = true;
        }
    }
    x
}

/// Solves for the passive columns, and as long as one of them comes out negative goes only as far as the first reaches 0, which leaves.
/// False where the columns depend on each other.
fn settle(gram: &[Vec<f64>], right: &[f64], x: &mut [f64], passive: &mut Vec<usize>) -> bool {
    loop {
        let part: Vec<Vec<f64>> =
            passive.iter().map(|&i| passive.iter().map(|&j| gram[i][j]).collect()).collect();
        let wanted: Vec<f64> = passive.iter().map(|&i| right[i]).collect();
        let Some(solved) = solve(&part, &wanted) else { return false };
        if solved.iter().all(|&value| value > 0.0) {
            for (&column, value) in passive.iter().zip(solved) {
                x[column] = value;
            }
            return true;
        }
        let towards: Vec<(usize, f64)> = passive.iter().copied().zip(solved).collect();
        let far = towards
            .iter()
            .filter(|(_, value)| *value <= 0.0)
            .map(|&(column, value)| x[column] / (x[column] - value))
            .fold(1.0, f64::min);
        for (column, value) in towards {
            x[column] += far * (value - x[column]);
            if value <= 0.0 && x[column] <= 1e-12 * value.abs() {
                x[column] = 0.0;
            }
        }
        let before = passive.len();
        passive.retain(|&column| x[column] > 0.0);
        if passive.len() == before || passive.is_empty() {
            // Rounding kept the one that should have left, or nothing is left to solve for.
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    fn normal(rows: &[Vec<f64>], right: &[f64]) -> (Vec<Vec<f64>>, Vec<f64>) {
        let size = rows[0].len();
        let dot = |i: usize, j: usize| rows.iter().map(|row| row[i] * row[j]).sum();
        let gram = (0..size).map(|i| (0..size).map(|j| dot(i, j)).collect()).collect();
        let right = (0..size).map(|i| rows.iter().zip(right).map(|(row, b)| row[i] * b).sum()).collect();
        (gram, right)
    }

    #[test]
    fn a_negative_coefficient_is_held_at_zero() {
        // Unconstrained: y = −1 + 2·x. With b ≥ 0 the line goes through the origin: Σxy/Σx² = 22/14.
        let rows: Vec<Vec<f64>> = [1.0, 2.0, 3.0].map(|x| vec![1.0, x]).into();
        let (gram, right) = normal(&rows, &[1.0, 3.0, 5.0]);
        let found = nnls(&gram, &right);
        assert!(found[0] == 0.0 && (found[1] - 22.0 / 14.0).abs() < 1e-12, "{found:?}");
        assert_eq!(nnls(&gram, &[-1.0, -2.0]), [0.0, 0.0], "nothing but zero");
    }

    #[test]
    fn a_copy_of_a_column_gets_nothing() {
        let rows: Vec<Vec<f64>> = [1.0, 2.0, 3.0].map(|x| vec![x, x]).into();
        let (gram, right) = normal(&rows, &[2.0, 4.0, 6.0]);
        let found = nnls(&gram, &right);
        assert!((found[0] + found[1] - 2.0).abs() < 1e-9 && found.contains(&0.0), "{found:?}");
    }

    proptest! {
        /// The conditions of Kuhn and Tucker, which only the solution meets: no gradient where x > 0, none that would lower the residual at 0.
        #[test]
        fn the_conditions_of_optimality_hold(
            cells in proptest::collection::vec(-3.0..3.0_f64, 24),
            right in proptest::collection::vec(-3.0..3.0_f64, 6),
        ) {
            let rows: Vec<Vec<f64>> = cells.chunks(4).map(<[f64]>::to_vec).collect();
            let (gram, right) = normal(&rows, &right);
            let found = nnls(&gram, &right);
            for column in 0..4 {
                let slope = right[column] - (0..4).map(|k| gram[column][k] * found[k]).sum::<f64>();
                prop_assert!(found[column] >= 0.0 && slope < 1e-6);
                prop_assert!(found[column] == 0.0 || slope.abs() < 1e-6, "{found:?} {slope}");
            }
        }
    }
}
