//! Which of the four verdicts, on published and on simulated points.

use super::super::published::{cisco, raytracer, rounded, specsdm91};
use super::super::{Law, fit};
use super::*;
use crate::seed::{Purpose, stream};
use proptest::prelude::{prop_assert, proptest};
use rand_distr::{Distribution as _, StandardNormal};

fn of(points: &[Point]) -> Shape {
    shape(points, &fit(points).unwrap())
}

#[test]
fn published_points() {
    assert_eq!(of(&cisco()).verdict, Verdict::Peak);
    assert_eq!(of(&specsdm91()).verdict, Verdict::Peak, "it falls past its peak");
    assert_eq!(of(&rounded()).verdict, Verdict::Peak);
    assert_eq!(of(&raytracer()).verdict, Verdict::NoPeak);
}

/// The first 10, 12 and 20 points of the Cisco server would put its peak, which is at 35.6, at 46.9, 22.8 and 24.4.
#[test]
fn a_peak_far_beyond_the_loads_is_not_told() {
    for (count, peak) in [(10, 46.9), (12, 22.8), (20, 24.4)] {
        let points = &cisco()[..count];
        let fitted = fit(points).unwrap();
        assert!((fitted.law().peak_n().unwrap() - peak).abs() < 0.05, "{fitted:?}");
        let verdict = shape(points, &fitted).verdict;
        let told = peak <= 1.25 * count as f64;
        assert_eq!(verdict, if told { Verdict::Peak } else { Verdict::Unidentified }, "{count}");
    }
}

/// Throughput of a pool of 10 whose connections are held for 20 ms, with users who think for 1.01 s: N/1.03 up to 515 users, then 500.
fn pool(n: f64) -> f64 {
    (n / 1.03).min(500.0)
}

const USERS: [f64; 10] = [50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 800.0, 1000.0, 1200.0];

#[test]
fn a_pool_is_a_hard_limit() {
    let points: Vec<Point> = USERS.map(|n| Point { n, x: pool(n) }).into();
    let found = of(&points);
    assert_eq!(found.verdict, Verdict::HardLimit, "{found:?}");
    let limit = found.hard_limit.unwrap();
    assert!((limit.x - 500.0).abs() < 1.0 && (limit.from_n - 515.0).abs() < 5.0, "{limit:?}");
    assert!((limit.load_for(100.0).unwrap() - 103.0).abs() < 3.0 && limit.load_for(510.0).is_none());
    let below: Vec<Point> = points[..5].to_vec();
    assert_eq!(of(&below).verdict, Verdict::NoPeak, "nothing is known of a limit that no load came near");
}

/// Share of 200 noisy curves that have this verdict.
fn share(verdict: Verdict, loads: &[f64], x: impl Fn(f64) -> f64, noise: f64) -> f64 {
    let verdicts = (0..200).map(|id| {
        let mut random = stream(11, Purpose::Bootstrap, 1, id);
        let mut off = || -> f64 { StandardNormal.sample(&mut random) };
        let points: Vec<Point> =
            loads.iter().map(|&n| Point { n, x: x(n) * (1.0 + noise * off()) }).collect();
        of(&points).verdict
    });
    verdicts.filter(|found| *found == verdict).count() as f64 / 200.0
}

#[test]
fn noise_hides_neither_shape() {
    let hard = share(Verdict::HardLimit, &USERS, pool, 0.02);
    assert!(hard >= 0.95, "{hard} of the pools");
    let loads = [1.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 40.0, 48.0, 64.0];
    let law = Law { alpha: 0.05, beta: 5e-4, gamma: 100.0 };
    let soft = share(Verdict::HardLimit, &loads, |n| law.throughput(n), 0.03);
    assert!(soft <= 0.02, "{soft} of the laws with a peak");
    let amdahl = Law { beta: 0.0, ..law };
    let amdahl = share(Verdict::HardLimit, &loads, |n| amdahl.throughput(n), 0.03);
    assert!(amdahl <= 0.02, "{amdahl} of the laws without one");
}

proptest! {
    /// Whatever a table may hold.
    #[test]
    fn no_points_are_beyond_telling(
        points in proptest::collection::vec((0.0..9.0_f64, -30.0..15.0_f64), 4..12)
    ) {
        let points: Vec<Point> =
            points.into_iter().map(|(n, x)| Point { n: 10_f64.powf(n), x: 10_f64.powf(x) }).collect();
        let fitted = fit(&points).unwrap();
        prop_assert!((0.0..=1.0).contains(&fitted.alpha.value) && (0.0..=1.0).contains(&fitted.beta.value));
        prop_assert!(fitted.gamma.value >= 0.0 && fitted.rse.is_finite(), "{fitted:?}");
        for estimate in [fitted.alpha, fitted.beta, fitted.gamma] {
            prop_assert!(estimate.ci95[0] <= estimate.value && estimate.value <= estimate.ci95[1], "{fitted:?}");
        }
        let _ = shape(&points, &fitted);
    }
}

#[test]
fn a_line_that_comes_to_a_throughput_below_no_load_at_all_yields_it_nowhere() {
    let limit = HardLimit { x: 600.0, from_n: 515.0, per_n: 0.97 };
    assert_eq!(limit.load_for(600.1), None);
    assert_eq!(limit.load_for(20.0), None, "the line is 100 at a load of nothing");
    assert!(limit.load_for(120.0).is_some_and(|n| n > 0.0));
}
