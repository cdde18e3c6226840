//! Classes of requests that a regression cannot tell apart, because their rates rise and fall together.

use super::matrix::{Matrix, inverse};

/// Variance inflation past which classes are put together (Belsley, Kuh and Welsch, "Regression Diagnostics", 1980, name 10 as the usual bound).
pub const VIF_MAX: f64 = 10.0;
/// Windows for each coefficient of a class: with fewer, a regression describes the windows and not the classes.
pub const WINDOWS_EACH: usize = 5;
/// Standard deviation over mean below which a rate is as good as constant, and cannot be told apart from what is used without any request.
pub const VARIES_MIN: f64 = 0.1;
/// Keeps a correlation matrix invertible where columns are copies of each other, whose inflation then comes out as a thousand million.
const RIDGE: f64 = 1e-9;

/// Classes whose demand is estimated as one, by their places.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub classes: Vec<usize>,
    /// Variance inflation factor of the group beside the others: 1/(1 − R²) of its rate against theirs.
    pub vif: f64,
}

/// Puts classes together until no group's factor is above [`VIF_MAX`] and there is a group for [`WINDOWS_EACH`] windows at most: the most inflated one goes
/// to the group whose rate is most like its own. `rates` has a row a window and a column a class. A class of constant rate goes to the largest other one.
pub fn groups(rates: &[Vec<f64>]) -> Vec<Group> {
    let classes = rates.first().map_or(0, Vec::len);
    let mut members: Vec<Vec<usize>> = (0..classes).map(|class| vec![class]).collect();
    loop {
        let columns: Vec<Vec<f64>> = members.iter().map(|classes| summed(rates, classes)).collect();
        let correlations = correlations(&columns);
        let vif = inflation(&columns, &correlations);
        let worst = (0..members.len()).max_by(|&a, &b| vif[a].total_cmp(&vif[b]));
        let too_many = members.len() * WINDOWS_EACH > rates.len();
        let Some(worst) = worst.filter(|&worst| members.len() > 1 && (too_many || vif[worst] > VIF_MAX))
        else {
            return members.into_iter().zip(vif).map(|(classes, vif)| Group { classes, vif }).collect();
        };
        let constant = varies(&columns[worst]) < VARIES_MIN;
        let likeness =
            |other: usize| if constant { mean(&columns[other]) } else { correlations[worst][other].abs() };
        let nearest = (0..members.len())
            .filter(|&other| other != worst)
            .max_by(|&a, &b| likeness(a).total_cmp(&likeness(b)));
        let Some(nearest) = nearest else { continue };
        let (into, from) = (worst.min(nearest), worst.max(nearest));
        let moved = members.remove(from);
        members[into].extend(moved);
        members[into].sort_unstable();
    }
}

/// Rate of these classes together, window by window.
pub fn summed(rates: &[Vec<f64>], classes: &[usize]) -> Vec<f64> {
    rates.iter().map(|row| classes.iter().map(|&class| row[class]).sum()).collect()
}

/// Standard deviation over mean; 0 for what is always 0.
pub fn varies(column: &[f64]) -> f64 {
    let mean = mean(column);
    if mean <= 0.0 {
        return 0.0;
    }
    let variance = column.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / column.len() as f64;
    variance.sqrt() / mean
}

fn mean(column: &[f64]) -> f64 {
    column.iter().sum::<f64>() / column.len().max(1) as f64
}

/// Correlation of each column with each; 0 with one that never changes.
fn correlations(columns: &[Vec<f64>]) -> Matrix {
    let centered: Vec<Vec<f64>> = columns
        .iter()
        .map(|column| {
            let mean = mean(column);
            column.iter().map(|value| value - mean).collect()
        })
        .collect();
    let dot = |a: usize, b: usize| centered[a].iter().zip(&centered[b]).map(|(a, b)| a * b).sum::<f64>();
    let places = 0..columns.len();
    let of = |i: usize, j: usize| {
        let lengths = (dot(i, i) * dot(j, j)).sqrt();
        if i == j {
            1.0
        } else if lengths > 0.0 {
            dot(i, j) / lengths
        } else {
            0.0
        }
    };
    places.clone().map(|i| places.clone().map(|j| of(i, j)).collect()).collect()
}

/// Variance inflation factors: the diagonal of the inverse of the correlations. Infinite for a rate that is as good as constant beside others.
fn inflation(columns: &[Vec<f64>], correlations: &Matrix) -> Vec<f64> {
    let mut ridged = correlations.clone();
    for (place, row) in ridged.iter_mut().enumerate() {
        row[place] += RIDGE;
    }
    let inverse = inverse(&ridged);
    let factor =
        |place: usize| inverse.as_ref().map_or(f64::INFINITY, |inverse| inverse[place][place].max(1.0));
    let constant = |place: usize| columns.len() > 1 && varies(&columns[place]) < VARIES_MIN;
    (0..columns.len()).map(|place| if constant(place) { f64::INFINITY } else { factor(place) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(groups: &[Group]) -> Vec<Vec<usize>> {
        groups.iter().map(|group| group.classes.clone()).collect()
    }

    #[test]
    fn what_rises_together_is_one() {
        // 0 and 2 always three to one, 1 on its own.
        let rates: Vec<Vec<f64>> =
            (1..=12).map(f64::from).map(|k| vec![3.0 * k, 10.0 + (k * 7.0) % 5.0 * 9.0, k]).collect();
        let found = groups(&rates);
        assert_eq!(places(&found), [vec![0, 2], vec![1]]);
        assert!(found.iter().all(|group| group.vif < 2.0), "{found:?}");
    }

    #[test]
    fn factors_are_those_of_the_definition() {
        // Two columns with correlation r have the factor 1/(1 − r²) each: here r = 0.8.
        let rates: Vec<Vec<f64>> =
            [(1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (4.0, 3.0), (5.0, 5.0)].map(|(a, b)| vec![a, b]).into();
        let rates: Vec<Vec<f64>> = rates.iter().chain(&rates).cloned().collect();
        let found = groups(&rates);
        assert_eq!(groups(&rates[..5]).len(), 1, "five windows are too few for two");
        assert_eq!(found.len(), 2);
        assert!((found[0].vif - 1.0 / (1.0 - 0.64)).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn a_constant_rate_goes_to_the_largest_other() {
        let rates: Vec<Vec<f64>> = (0..10)
            .map(f64::from)
            .map(|k| vec![5.0, 10.0 + k * k, 100.0 + (k * 13.0) % 7.0 * 20.0])
            .collect();
        assert_eq!(places(&groups(&rates)), [vec![0, 2], vec![1]]);
        let alone: Vec<Vec<f64>> = vec![vec![5.0]; 4];
        assert_eq!(places(&groups(&alone)), [vec![0]]);
        assert!(groups(&[]).is_empty());
    }
}
