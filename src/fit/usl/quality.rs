//! Whether the points follow the law at all, whatever its coefficients.

use super::{Fitted, Point};
use crate::fit::student::t_quantile;
use statrs::distribution::{ContinuousCDF as _, Normal};

/// Share of the variance of throughput that a law which describes anything explains.
const R_SQUARED_MIN: f64 = 0.9;
/// As rare as this by chance, residuals of one sign that stand side by side are a shape that the law lacks.
const RUNS_CHANCE_MAX: f64 = 0.01;
/// Loads up to which runs are counted exactly.
const EXACT_RUNS_MAX: usize = 50;
/// By how much throughput for each unit of load must grow to be said to.
const SUPERLINEAR_MIN: f64 = 0.02;

/// What speaks against the law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Misfit {
    /// Throughput for each unit of load grows with the load, which no α and β of 0 or more allow.
    Superlinear,
    /// Little of the variance is explained.
    Scattered,
    /// Residuals lie above the law and below it in stretches.
    Bent,
}

/// R² = 1 − SSE/Σ(x − mean)²; `None` where throughput is everywhere the same.
pub fn r_squared(points: &[Point], fitted: &Fitted) -> Option<f64> {
    let mean = points.iter().map(|point| point.x).sum::<f64>() / points.len() as f64;
    let spread: f64 = points.iter().map(|point| (point.x - mean).powi(2)).sum();
    (spread > 0.0).then(|| 1.0 - fitted.squares / spread)
}

/// What speaks most against the law; `None` where nothing does.
pub fn misfit(points: &[Point], fitted: &Fitted) -> Option<Misfit> {
    if is_superlinear(points) {
        Some(Misfit::Superlinear)
    } else if r_squared(points, fitted).is_some_and(|r_squared| r_squared < R_SQUARED_MIN) {
        Some(Misfit::Scattered)
    } else if p_runs(&residuals(points, fitted)) < RUNS_CHANCE_MAX {
        Some(Misfit::Bent)
    } else {
        None
    }
}

/// The line through x/n over ln n rises, by a t-test at 2.5 %, and by more than next to nothing.
fn is_superlinear(points: &[Point]) -> bool {
    let n = points.len() as f64;
    let mean = |of: &dyn Fn(&Point) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (mean_load, mean_each) = (mean(&|point| point.n.ln()), mean(&|point| point.x / point.n));
    let spread: f64 = points.iter().map(|point| (point.n.ln() - mean_load).powi(2)).sum();
    let slope =
        points.iter().map(|point| (point.n.ln() - mean_load) * point.x / point.n).sum::<f64>() / spread;
    let squares: f64 = points
        .iter()
        .map(|point| (point.x / point.n - mean_each - slope * (point.n.ln() - mean_load)).powi(2))
        .sum();
    let error = (squares / (n - 2.0) / spread).sqrt();
    let ends = points
        .iter()
        .fold((f64::INFINITY, 0.0f64), |(low, high), point| (low.min(point.n), high.max(point.n)));
    let rise = slope * (ends.1 / ends.0).ln();
    slope - t_quantile(0.975, n - 2.0) * error > 0.0 && rise > SUPERLINEAR_MIN * mean_each
}

/// Mean residual at each load, in order of load.
fn residuals(points: &[Point], fitted: &Fitted) -> Vec<f64> {
    let law = fitted.law();
    let mut all: Vec<(f64, f64)> =
        points.iter().map(|point| (point.n, point.x - law.throughput(point.n))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let same = all.chunk_by(|a, b| a.0 == b.0);
    same.map(|load| load.iter().map(|(_, residual)| residual).sum::<f64>() / load.len() as f64).collect()
}

/// The probability of as few runs of one sign or fewer, if signs came in random order (Wald and Wolfowitz, Annals of Mathematical Statistics 11, 1940):
/// with a of one sign and b of the other, 2k runs are C(a−1, k−1)·C(b−1, k−1)·2 of the C(a+b, a) orders, 2k + 1 runs
/// C(a−1, k)·C(b−1, k−1) + C(a−1, k−1)·C(b−1, k). Beyond 50 loads they are normal, with mean 1 + 2ab/n and variance 2ab(2ab − n)/(n²(n − 1)), for the
/// numbers of orders are soon larger than any other.
fn p_runs(residuals: &[f64]) -> f64 {
    let signs: Vec<bool> = residuals.iter().map(|residual| *residual > 0.0).collect();
    let above = signs.iter().filter(|sign| **sign).count();
    let below = signs.len() - above;
    if above == 0 || below == 0 {
        return 1.0;
    }
    let seen = 1 + signs.windows(2).filter(|pair| pair[0] != pair[1]).count();
    if signs.len() > EXACT_RUNS_MAX {
        let (n, both) = (signs.len() as f64, 2.0 * above as f64 * below as f64);
        let deviation = (both * (both - n) / (n * n * (n - 1.0))).sqrt();
        return Normal::standard().cdf((seen as f64 + 0.5 - 1.0 - both / n) / deviation);
    }
    let orders = |runs: usize| {
        let k = runs / 2;
        if runs.is_multiple_of(2) {
            2.0 * choose(above - 1, k - 1) * choose(below - 1, k - 1)
        } else {
            choose(above - 1, k) * choose(below - 1, k - 1) + choose(above - 1, k - 1) * choose(below - 1, k)
        }
    };
    (2..=seen).map(orders).sum::<f64>() / choose(above + below, above)
}

fn choose(n: usize, k: usize) -> f64 {
    if k > n {
        return 0.0;
    }
    (0..k).fold(1.0, |ways, i| ways * (n - i) as f64 / (i + 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::super::published::{cisco, raytracer, rounded, specsdm91};
    use super::super::{Law, fit};
    use super::*;
    use crate::seed::{Purpose, stream};
    use rand_distr::{Distribution as _, StandardNormal};

    fn of(points: &[Point]) -> Option<Misfit> {
        misfit(points, &fit(points).unwrap())
    }

    #[test]
    fn published_points_follow_the_law_but_for_one_server() {
        for points in [specsdm91(), raytracer(), rounded()] {
            assert_eq!(of(&points), None);
        }
        // 32 neighboring loads of one machine: its residuals swing slowly around the law.
        assert_eq!(of(&cisco()), Some(Misfit::Bent));
        let fitted = fit(&specsdm91()).unwrap();
        // Squares of 27,454 around the law and of 2,630,041 around the mean.
        assert!((r_squared(&specsdm91(), &fitted).unwrap() - 0.98956).abs() < 5e-5, "{fitted:?}");
    }

    /// X = N^1.2, as of a cache that more machines fit into.
    #[test]
    fn superlinear_points_do_not() {
        let points: Vec<Point> =
            [1.0f64, 2.0, 4.0, 8.0, 12.0, 16.0].map(|n| Point { n, x: 10.0 * n.powf(1.2) }).into();
        assert_eq!(of(&points), Some(Misfit::Superlinear));
        let line: Vec<Point> = [1.0, 2.0, 4.0, 8.0, 16.0].map(|n| Point { n, x: 10.0 * n }).into();
        assert_eq!(of(&line), None, "perfect scaling is the law with α and β of 0");
        let scattered: Vec<Point> =
            [(1.0, 50.0), (2.0, 10.0), (4.0, 90.0), (8.0, 20.0), (16.0, 60.0), (32.0, 15.0)]
                .map(|(n, x)| Point { n, x })
                .into();
        assert_eq!(of(&scattered), Some(Misfit::Scattered));
    }

    #[test]
    fn noise_is_no_misfit() {
        let law = Law { alpha: 0.05, beta: 5e-4, gamma: 100.0 };
        let loads = [1.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 40.0, 48.0, 64.0];
        let told = (0..400).filter(|&id| {
            let mut random = stream(17, Purpose::Bootstrap, 1, id);
            let mut off = || -> f64 { StandardNormal.sample(&mut random) };
            let points: Vec<Point> =
                loads.iter().map(|&n| Point { n, x: law.throughput(n) * (1.0 + 0.03 * off()) }).collect();
            of(&points).is_some()
        });
        assert!(told.count() <= 8);
    }

    /// The chance of 2 runs of 5 and 5 is 2 of 252 orders, of 3 or fewer 10, of 4 or fewer 42.
    #[test]
    fn runs_are_counted() {
        let of = |signs: &str| {
            p_runs(&signs.chars().map(|c| if c == '+' { 1.0 } else { -1.0 }).collect::<Vec<_>>())
        };
        assert!((of("+++++-----") - 2.0 / 252.0).abs() < 1e-12);
        assert!((of("+++-----++") - 10.0 / 252.0).abs() < 1e-12);
        assert!((of("+++--++---") - 42.0 / 252.0).abs() < 1e-12);
        assert!((of("+-+-+-+-+-") - 1.0).abs() < 1e-12);
        assert_eq!(of("+++"), 1.0);
        // On both sides of where they are counted no longer, and far beyond it.
        let (exact, normal) = (of(&"+++---".repeat(8)), of(&("+++---".repeat(8) + "+++")));
        assert!((exact.ln() - normal.ln()).abs() < 0.7, "{exact} {normal}");
        assert!(of(&"++---".repeat(1000)) < 1e-3 && of(&"+--+".repeat(1000)) > 0.4);
    }
}
