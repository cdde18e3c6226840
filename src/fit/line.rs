//! Least squares for the two shapes the analysis needs: a straight line, and a hinge (flat, then straight).

/// y = intercept + slope·x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    pub intercept: f64,
    pub slope: f64,
    /// Standard error of the slope; 0 for two points, which any line fits.
    pub slope_error: f64,
}

/// The line through `points` (x, y) with an intercept of at least 0 (nothing uses less than none when idle). `None` for fewer than two
/// different x.
pub fn line(points: &[(f64, f64)]) -> Option<Line> {
    let free = any_line(points)?;
    if free.intercept >= 0.0 {
        return Some(free);
    }
    let around: f64 = points.iter().map(|(x, _)| x * x).sum();
    let slope = points.iter().map(|(x, y)| x * y).sum::<f64>() / around;
    Some(with_error(points, 0.0, slope, around, 1.0))
}

/// The same with an intercept of any sign.
pub(super) fn any_line(points: &[(f64, f64)]) -> Option<Line> {
    let (intercept, slope) = straight(points)?;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / points.len() as f64;
    let around: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    Some(with_error(points, intercept, slope, around, 2.0))
}

/// With the standard error of a slope whose x spread by `around`, of a fit of so many coefficients.
fn with_error(points: &[(f64, f64)], intercept: f64, slope: f64, around: f64, coefficients: f64) -> Line {
    let squares: f64 = points.iter().map(|(x, y)| (y - intercept - slope * x).powi(2)).sum();
    let free = points.len() as f64 - coefficients;
    let slope_error = if free > 0.0 { (squares / free / around).sqrt() } else { 0.0 };
    Line { intercept, slope, slope_error }
}

/// y = base up to `onset`, then base + slope·(x − onset).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hinge {
    pub onset: f64,
    pub base: f64,
    pub slope: f64,
}

/// The hinge with a rising arm that leaves the least squares, `points` in order of x. Points at two places at least must lie on the arm, or its slope
/// and place could be traded for each other: `None` otherwise.
///
/// The least squares are at a point, or where the mean of the points before meets the line through those behind, between the two: with the points
/// divided in this way nothing else fits better (Hudson, J. Am. Stat. Assoc. 61, 1966). So these places are all that is tried.
pub fn hinge(points: &[(f64, f64)]) -> Option<Hinge> {
    let mut xs: Vec<f64> = points.iter().map(|(x, _)| *x).collect();
    xs.dedup();
    // The last two places are the arm at least.
    let places = &xs[..xs.len().checked_sub(2)?];
    let crossings = xs.windows(2).take(places.len()).filter_map(|between| {
        let behind = points.partition_point(|(x, _)| *x <= between[0]);
        let (flat, arm) = points.split_at(behind);
        let base = (flat.iter().map(|(_, y)| y).sum::<f64>() / flat.len() as f64).max(0.0);
        let (intercept, slope) = straight(arm)?;
        let onset = (base - intercept) / slope;
        (between[0]..=between[1]).contains(&onset).then_some(onset)
    });
    let mut best: Option<(f64, Hinge)> = None;
    for onset in places.iter().copied().chain(crossings) {
        let arm: Vec<(f64, f64)> = points.iter().map(|&(x, y)| ((x - onset).max(0.0), y)).collect();
        let Some(fitted) = line(&arm) else { continue };
        let squares: f64 = arm.iter().map(|(x, y)| (y - fitted.intercept - fitted.slope * x).powi(2)).sum();
        if fitted.slope > 0.0 && best.is_none_or(|(least, _)| squares < least) {
            best = Some((squares, Hinge { onset, base: fitted.intercept, slope: fitted.slope }));
        }
    }
    best.map(|(_, hinge)| hinge)
}

/// Intercept, of any sign, and slope of the line through points; `None` for fewer than two different x.
fn straight(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = points.len() as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / n;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / n;
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let slope = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread;
    (points.len() >= 2 && spread > 0.0).then_some((mean_y - slope * mean_x, slope))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn a_line_with_its_error() {
        // Anscombe's first set: y = 3.00 + 0.500 x, standard error of the slope 0.118.
        let xs = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let ys = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        let points: Vec<_> = xs.into_iter().zip(ys).collect();
        let fitted = line(&points).unwrap();
        assert!((fitted.intercept - 3.00).abs() < 0.005 && (fitted.slope - 0.500).abs() < 0.0005);
        assert!((fitted.slope_error - 0.118).abs() < 0.0005);
        assert_eq!(line(&[(1.0, 2.0), (1.0, 3.0)]), None);
        let through_zero = line(&[(1.0, 0.0), (2.0, 3.0)]).unwrap();
        assert_eq!((through_zero.intercept, through_zero.slope), (0.0, 1.2));
    }

    proptest! {
        #[test]
        fn a_hinge_is_found(onset in 120.0..700.0_f64, base in 0.0..5.0_f64, slope in 0.1..10.0_f64) {
            let points: Vec<_> = (1..=8)
                .map(|k| f64::from(k) * 110.0)
                .map(|x| (x, base + slope * (x - onset).max(0.0)))
                .collect();
            let found = hinge(&points).unwrap();
            prop_assert!((found.onset - onset).abs() <= 1e-6, "{} for {onset}", found.onset);
            prop_assert!((found.base - base).abs() < 1e-6 * slope);
        }

        /// No place of a fine grid fits better.
        #[test]
        fn nothing_fits_better(ys in proptest::collection::vec(-3.0..9.0_f64, 8), steps in proptest::collection::vec(0.1..3.0_f64, 8)) {
            let mut x = 0.0;
            let points: Vec<_> = ys.iter().zip(&steps).enumerate().map(|(k, (y, step))| {
                x += step;
                (x, y + if k > 4 { 4.0 * k as f64 } else { 0.0 })
            }).collect();
            let squares = |onset: f64| {
                let arm: Vec<_> = points.iter().map(|&(x, y)| ((x - onset).max(0.0), y)).collect();
                let fitted = line(&arm).unwrap();
                let left: f64 = arm.iter().map(|(x, y)| (y - fitted.intercept - fitted.slope * x).powi(2)).sum();
                (fitted.slope > 0.0).then_some(left)
            };
            let Some(found) = hinge(&points) else { return Ok(()) };
            let least = squares(found.onset).unwrap();
            for place in 0..1000 {
                let onset = points[0].0 + (points[6].0 - points[0].0) * f64::from(place) / 1000.0;
                prop_assert!(squares(onset).is_none_or(|other| other >= least * (1.0 - 1e-9)), "{onset} {found:?}");
            }
        }
    }

    #[test]
    fn one_point_on_the_arm_is_no_hinge() {
        assert_eq!(hinge(&[(1.0, 0.0)]), None);
        let found = hinge(&[(100.0, 0.0), (200.0, 0.0), (300.0, 0.0), (400.0, 50.0)]).unwrap();
        assert!(found.onset <= 300.0);
        let one_place = [(-64.0, 0.0), (-8.0, 0.0), (-1.0, 40.0), (-1.0, 41.0)];
        assert!(hinge(&one_place).is_none_or(|found| found.onset <= -8.0));
    }

    #[test]
    fn a_hinge_is_found_among_loads_of_many_magnitudes() {
        let points: Vec<_> =
            [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6].map(|n| (n, 2.0 * f64::max(0.0, n - 300.0))).into();
        let found = hinge(&points).unwrap();
        assert!((found.onset / 300.0 - 1.0).abs() < 1e-9, "{found:?}");
    }
}
