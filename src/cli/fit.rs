//! `plimsoll fit`: laws fitted to measurements, anybody's or those of a run.

mod demand;
mod usl;

use super::args::FitCommand;
use super::{Process, exit};
use crate::record::summary::Warning;

pub(super) fn fit(process: &mut Process<'_>, command: &FitCommand) -> u8 {
    match command {
        FitCommand::Usl(args) => usl::usl(process, args),
        FitCommand::Demand(args) => demand::demand(process, args),
    }
}

/// A line of the text: its label, and what it says.
pub(super) fn line(out: &mut String, label: &str, text: &str) {
    const LABEL_WIDTH: usize = 13;
    out.push_str(format!("{label:<LABEL_WIDTH$}{text}").trim_end());
    out.push('\n');
}

/// Warnings as every text of ours shows them: what is the matter, then what to do.
fn warnings(out: &mut String, warnings: &[Warning]) {
    for warning in warnings {
        line(out, "warning", &warning.text);
        line(out, "", &format!("→ {}", warning.remedy));
    }
}

#[cfg(test)]
mod tests;
