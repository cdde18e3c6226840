//! Measurements that others have published together with the coefficients they fitted.

use super::Point;

fn points(pairs: &[(f64, f64)]) -> Vec<Point> {
    pairs.iter().map(|&(n, x)| Point { n, x }).collect()
}

/// SPEC SDM91 on a SPARCcenter 2000: `data/specsdm91.rda` of the R package `usl` (github.com/smoeding/usl).
pub(super) fn specsdm91() -> Vec<Point> {
    points(&[
        (1.0, 64.9),
        (18.0, 995.9),
        (36.0, 1652.4),
        (72.0, 1853.2),
        (108.0, 1828.9),
        (144.0, 1775.0),
        (216.0, 1702.2),
    ])
}

/// A ray tracer on a NUMA machine, from Gunther's book: `data/raytracer.rda` of the R package `usl`.
pub(super) fn raytracer() -> Vec<Point> {
    points(&[
        (1.0, 20.0),
        (4.0, 78.0),
        (8.0, 130.0),
        (12.0, 170.0),
        (16.0, 190.0),
        (20.0, 200.0),
        (24.0, 210.0),
        (28.0, 230.0),
        (32.0, 260.0),
        (48.0, 280.0),
        (64.0, 310.0),
    ])
}

/// Throughput of MySQL on a Cisco server, from Schwartz, "Practical Scalability Analysis with the Universal Scalability Law", 2015; as in
/// `ModelTest.java` of usl4j (github.com/codahale/usl4j).
pub(super) fn cisco() -> Vec<Point> {
    const X: [f64; 32] = [
        955.16, 1878.91, 2688.01, 3548.68, 4315.54, 5130.43, 5931.37, 6531.08, 7219.8, 7867.61, 8278.71,
        8646.7, 9047.84, 9426.55, 9645.37, 9897.24, 10097.6, 10240.5, 10532.39, 10798.52, 11151.43, 11518.63,
        11806.0, 12089.37, 12075.41, 12177.29, 12211.41, 12158.93, 12155.27, 12118.04, 12140.4, 12074.39,
    ];
    X.into_iter().zip(1..).map(|(x, n)| Point { n: f64::from(n), x }).collect()
}

/// Points of α = β = 0.02, γ = 1 rounded to four decimals: `tests/coef.R` of the R package `usl`.
pub(super) fn rounded() -> Vec<Point> {
    points(&[(1.0, 1.0), (2.0, 1.8868), (4.0, 3.0769), (6.0, 3.5294), (8.0, 3.5398), (10.0, 3.3557)])
}
