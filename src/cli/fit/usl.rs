//! `plimsoll fit usl`: the Universal Scalability Law of a table.

use super::super::args::UslArgs;
use super::super::input;
use super::{Process, exit, line, warnings};
use crate::analyze::usl::{Scaling, scaling};
use crate::fit::table::{self, Columns};
use crate::fit::usl::{Estimate, IntervalKind, Verdict};
use crate::report::numbers::{coefficient, counted, quantity};

/// A table of 100,000 rows, far more than a fit by eye or otherwise makes use of.
const TABLE_BYTES_MAX: u64 = 4 * 1024 * 1024;

pub(super) fn usl(process: &mut Process<'_>, args: &UslArgs) -> u8 {
    let name = input::name(&args.data);
    let text = match input::read(&args.data, TABLE_BYTES_MAX) {
        Ok(text) => text,
        Err(error) => {
            process.complain(&format!("plimsoll: cannot read {name}: {error}"));
            return exit::USAGE;
        }
    };
    let points = match table::points(&text, columns(args)) {
        Ok(points) => points,
        Err(flaws) => {
            let lines: Vec<String> = flaws.iter().map(|flaw| format!("{name}:{flaw}")).collect();
            process.complain(&lines.join("\n"));
            return exit::USAGE;
        }
    };
    match scaling(&points, args.throughput) {
        Ok(found) if args.json => process.print_json(&found),
        Ok(found) => process.print(&shown(&found)),
        Err(error) => {
            process.complain(&format!("plimsoll: {name}: {error}"));
            exit::USAGE
        }
    }
}

/// The names given, or those that a table has if nobody says otherwise.
fn columns(args: &UslArgs) -> Columns<'_> {
    args.columns.as_ref().map_or_else(Columns::default, |(n, x)| Columns { n, x })
}

fn shown(found: &Scaling) -> String {
    let mut out = String::new();
    let (points, loads) = (counted(found.points as u64, "point"), counted(found.loads as u64, "load"));
    line(
        &mut out,
        "points",
        &format!("{points} at {loads} from {} to {}", quantity(found.n_min), quantity(found.n_max)),
    );
    line(&mut out, "law", "X(N) = gamma N / (1 + alpha (N − 1) + beta N (N − 1))");
    estimate(&mut out, "alpha", &found.alpha, "contention");
    estimate(&mut out, "beta", &found.beta, "coherency");
    estimate(&mut out, "gamma", &found.gamma, "throughput of a load of one");
    let kind = match found.interval_kind {
        IntervalKind::Wald => "t(0.975) × standard error",
        IntervalKind::Profile => "profile likelihood, as a coefficient is at its bound",
    };
    let free = counted(found.points as u64 - 3, "degree");
    line(
        &mut out,
        "residuals",
        &format!("standard error {} on {free} of freedom; intervals: {kind}", coefficient(found.rse)),
    );
    verdict(&mut out, found);
    if let Some(wanted) = &found.load_for {
        let text = match (wanted.n, &wanted.evidence) {
            (Some(n), Some(evidence)) => {
                format!("throughput {} at load {} ({evidence})", quantity(wanted.throughput), coefficient(n))
            }
            _ => format!("throughput {} at no load", quantity(wanted.throughput)),
        };
        line(&mut out, "wanted", &text);
    }
    warnings(&mut out, &found.warnings);
    out
}

fn estimate(out: &mut String, label: &str, estimate: &Estimate, what: &str) {
    let error = estimate.se.map_or_else(|| "at its bound".to_owned(), |se| format!("± {}", coefficient(se)));
    let [low, high] = estimate.ci95.map(coefficient);
    let text = format!("{:<11} {error:<13} 95 % [{low} .. {high}]", coefficient(estimate.value));
    line(out, label, &format!("{text:<54} {what}"));
}

fn verdict(out: &mut String, found: &Scaling) {
    match (found.verdict, found.hard_limit, found.peak_n.zip(found.peak_x)) {
        (Verdict::HardLimit, Some(limit), _) => {
            let text = format!(
                "throughput {} from load {} on: a hard limit, not contention",
                coefficient(limit.x),
                coefficient(limit.from_n)
            );
            line(out, "limit", &text);
            return;
        }
        (Verdict::Peak, _, Some((n, x))) => {
            let evidence = found.evidence.as_deref().unwrap_or_default();
            let text = format!("throughput {} at load {} ({evidence})", coefficient(x), coefficient(n));
            line(out, "peak", &text);
            if let (Some([n_low, n_high]), Some([x_low, x_high])) = (found.peak_n_ci95, found.peak_x_ci95) {
                let [n_low, n_high, x_low, x_high] = [n_low, n_high, x_low, x_high].map(coefficient);
                line(
                    out,
                    "",
                    &format!("95 %: throughput [{x_low} .. {x_high}] at load [{n_low} .. {n_high}]"),
                );
            }
        }
        (Verdict::Unidentified, ..) => line(out, "peak", "unidentified: beyond what these loads tell"),
        _ => line(out, "peak", "no peak: throughput never falls (beta is 0)"),
    }
    if let (Some(n), Some(x)) = (found.optimal_n, found.limit_x) {
        line(
            out,
            "contention",
            &format!(
                "alone would allow {} at most, and about half of it at load {}",
                coefficient(x),
                coefficient(n)
            ),
        );
    }
}
