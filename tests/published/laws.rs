//! The Universal Scalability Law, fitted to measurements that others have published with their coefficients.

use super::{Example, Row};
use plimsoll::analyze::usl::{Scaling, scaling};
use plimsoll::fit::table::{Columns, points};

fn fitted(table: &str, lines: usize) -> Scaling {
    let all = points(table.as_bytes(), Columns::default()).expect("a table");
    scaling(&all[..lines.min(all.len())], None).expect("a fit")
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let found = fitted(include_str!("specsdm91.csv"), usize::MAX);
    let sdm = Example {
        name: "SPEC SDM91 on a SPARCcenter 2000",
        source: "R package `usl` 3.0.3, summary.Rout.save and README",
    };
    rows.extend([
        sdm.row("alpha", "0.0277285", found.alpha.value),
        sdm.row("beta", "0.0001044", found.beta.value),
        sdm.row("gamma", "89.99523", found.gamma.value),
        sdm.row("standard error of alpha", "0.0091217", found.alpha.se.expect("an error")),
        sdm.row("standard error of beta", "1.988e-5", found.beta.se.expect("an error")),
        sdm.row("standard error of gamma", "14.2135", found.gamma.se.expect("an error")),
        sdm.row("residual standard error", "82.85", found.rse),
        sdm.row("load of the peak", "96.51956", found.peak_n.expect("a peak")),
        sdm.row("throughput at the peak", "1884", found.peak_x.expect("a peak")),
        sdm.row("optimal load", "36.06401", found.optimal_n.expect("contention")),
        sdm.row("limit of throughput", "3245.589", found.limit_x.expect("contention")),
    ]);
    let found = fitted(include_str!("raytracer.csv"), 6);
    let ray = Example { name: "ray tracer, first six loads", source: "R package `usl`, confint.Rout.save" };
    rows.extend([
        ray.row("alpha", "0.02444", found.alpha.value),
        ray.row("beta", "0.00163", found.beta.value),
        ray.row("gamma", "20.85605", found.gamma.value),
    ]);
    let found = fitted(include_str!("raytracer.csv"), usize::MAX);
    let ray =
        Example { name: "ray tracer", source: "R package `usl`, confint.Rout.save of an earlier version" };
    rows.extend([
        ray.row("alpha", "0.0578", found.alpha.value),
        ray.row("beta", "0.0000", found.beta.value),
        ray.row("gamma", "21.8488", found.gamma.value),
    ]);
    let found = fitted(include_str!("cisco.csv"), usize::MAX);
    let cisco =
        Example { name: "MySQL on a Cisco server", source: "Schwartz 2015, as in usl4j's ModelTest.java" };
    rows.extend([
        cisco.row("sigma (alpha)", "0.02671591", found.alpha.value).to(6),
        cisco.row("kappa (beta)", "7.690945e-4", found.beta.value).to(5),
        cisco.row("lambda (gamma)", "995.6486", found.gamma.value).to(6),
        cisco.row("load of the peak", "35.6", found.peak_n.expect("a peak")),
    ]);
    let found = fitted(include_str!("rounded.csv"), usize::MAX);
    let rounded =
        Example { name: "points rounded to four decimals", source: "R package `usl`, coef.Rout.save" };
    rows.extend([
        rounded.row("alpha", "0.02", found.alpha.value),
        rounded.row("beta", "0.02", found.beta.value),
        rounded.row("gamma", "1.00", found.gamma.value),
    ]);
    rows
}
