//! Measurements that others have published together with the coefficients they fitted, from the tables in `tests/published`.

use super::Point;
use crate::fit::table::{self, Columns};

fn points(text: &str) -> Vec<Point> {
    table::points(text.as_bytes(), Columns::default()).expect("a table")
}

/// SPEC SDM91 on a SPARCcenter 2000: `data/specsdm91.rda` of the R package `usl` (github.com/smoeding/usl).
pub(super) fn specsdm91() -> Vec<Point> {
    points(include_str!("../../../tests/published/specsdm91.csv"))
}

/// A ray tracer on a NUMA machine, from Gunther's book: `data/raytracer.rda` of the R package `usl`.
pub(super) fn raytracer() -> Vec<Point> {
    points(include_str!("../../../tests/published/raytracer.csv"))
}

/// Throughput of MySQL on a Cisco server, from Schwartz, "Practical Scalability Analysis with the Universal Scalability Law", 2015; as in
/// `ModelTest.java` of usl4j (github.com/codahale/usl4j).
pub(super) fn cisco() -> Vec<Point> {
    points(include_str!("../../../tests/published/cisco.csv"))
}

/// Points of α = β = 0.02, γ = 1 rounded to four decimals: `tests/coef.R` of the R package `usl`.
pub(super) fn rounded() -> Vec<Point> {
    points(include_str!("../../../tests/published/rounded.csv"))
}
