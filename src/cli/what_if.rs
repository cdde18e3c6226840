//! `plimsoll find --what-if` and `plimsoll predict`: what a changed system would carry, and, with `--confirm`, what it does carry.

mod apply;

use super::args::{FindArgs, PredictArgs, RunArgs};
use super::run::{Purpose, carry, conclude, sought};
use super::{Process, exit, report};
use crate::analyze::predict::Refusal;
use crate::analyze::predict::change::Change;
use crate::analyze::summary::summarize;
use crate::record::amend::amend;
use crate::record::recorded::Recorded;
use crate::record::rows::Event;
use crate::record::store::{MANIFEST, StoreError};
use crate::record::summary::{LoadLine, Summary};
use crate::record::what_if::{Asked, Observed, WhatIf};
use crate::report::what_if::lines;
use apply::Way;
use std::path::{Path, PathBuf};

/// A search; with `--what-if` its record answers that too, and with `--confirm` a second search of the changed system holds the answer against
/// what is.
pub(super) fn find(process: &mut Process<'_>, args: &FindArgs) -> u8 {
    if args.what_if.is_empty() {
        return match search(process, args, &args.run, None) {
            Ok(dir) => conclude(process, &args.run, &dir),
            Err(code) => code,
        };
    }
    let changes = match Change::read_all(&args.what_if) {
        Ok(changes) => changes,
        Err(refusal) => return refuse(process, &refusal.text, &refusal.remedy),
    };
    let way = if args.confirm {
        match vacant(process, args.run.out.as_deref()).and_then(|()| Way::of(process, args, &changes)) {
            Ok(way) => Some(way),
            Err(code) => return code,
        }
    } else {
        None
    };
    let asked = Asked { changes: changes.into_iter().map(|change| change.text).collect(), observed: None };
    let dir = match search(process, args, &args.run, Some(asked)) {
        Ok(dir) => dir,
        Err(code) => return code,
    };
    if let Some(way) = way
        && let Err(code) = confirm(process, args, &way, &dir)
    {
        conclude(process, &args.run, &dir);
        return code;
    }
    conclude(process, &args.run, &dir)
}

/// One search, as thorough as `args` ask, of the scenario and into the folder of `run`.
fn search(
    process: &mut Process<'_>,
    args: &FindArgs,
    run: &RunArgs,
    asked: Option<Asked>,
) -> Result<PathBuf, u8> {
    let plan = sought(process, run, args)?;
    carry(process, plan, run, Purpose::Find, asked)
}

/// Changes the system, searches again, and amends the first record. What keeps the second search from an answer is said, and its exit code yielded.
fn confirm(process: &mut Process<'_>, args: &FindArgs, way: &Way, dir: &Path) -> Result<(), u8> {
    let fail = |process: &mut Process<'_>, error: &StoreError| {
        process.complain(&format!("plimsoll: {error}\n  {}", error.remedy()));
        exit::IO
    };
    let mut recorded = Recorded::open(dir).map_err(|error| fail(process, &error))?;
    let summary = summarize(&recorded);
    let predicted = confirmable(process, &summary)?;
    let again = RunArgs { out: Some(beside(dir)), ..args.run.clone() };
    let (again, told) = way.make(process, again, predicted)?;
    let second = search(process, args, &again, None)?;
    let second_record = Recorded::open(&second).map_err(|error| fail(process, &error))?;
    let found = summarize(&second_record);
    if let Err(error) = report::write(&second_record, &found, report::AFTER_A_RUN) {
        return Err(report::complain(process, &error));
    }
    let Some(observed) = observed(&found, &second) else {
        process.complain(&format!(
            "plimsoll: the changed system has no load line to hold the prediction against: {}\n  see {}",
            found.reason,
            second.display()
        ));
        return Err(found.exit_code);
    };
    let mut fields = told;
    fields.insert("run".to_owned(), second.display().to_string().into());
    let event = Event {
        t_s: recorded.manifest.duration_s,
        kind: "what_if".to_owned(),
        text: "the change was made, and the load line searched again".to_owned(),
        fields,
    };
    if let Some(asked) = &mut recorded.manifest.what_if {
        asked.observed = Some(observed);
    }
    amend(dir, &recorded.manifest, &event).map_err(|error| fail(process, &error))
}

/// The prediction of a search whose load line can be trusted; without one nothing is changed, which is said.
fn confirmable<'s>(process: &mut Process<'_>, summary: &'s Summary) -> Result<&'s WhatIf, u8> {
    let (why, code) = match &summary.what_if {
        Some(predicted) if summary.exit_code == exit::OK => return Ok(predicted),
        _ if summary.exit_code != exit::OK => (summary.reason.as_str(), summary.exit_code),
        _ => (refusal(summary).0, exit::FAILED),
    };
    process.complain(&format!(
        "plimsoll: the change was not made, for there is no prediction to confirm: {why}\n  the report of the first search says what to do"
    ));
    Err(code)
}

/// Why nothing is predicted, and what to do.
fn refusal(summary: &Summary) -> (&str, &str) {
    let refused = summary.warnings.iter().find(|warning| Refusal::is_one(&warning.code));
    refused.map_or(("nothing can be told", ""), |warning| (&warning.text, &warning.remedy))
}

/// `reports/shop-what-if` for `reports/shop`.
fn beside(dir: &Path) -> PathBuf {
    let whole = if dir.file_name().is_some() { None } else { dir.canonicalize().ok() };
    let dir = whole.as_deref().unwrap_or(dir);
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push("-what-if");
    dir.with_file_name(name)
}

/// Said and refused where the second record would overwrite another.
fn vacant(process: &mut Process<'_>, out: Option<&Path>) -> Result<(), u8> {
    match out.map(beside).filter(|second| second.join(MANIFEST).exists()) {
        Some(second) => {
            let text =
                format!("{} has a record already, where the second search has its own", second.display());
            Err(refuse(process, &text, "move that away, or give another --out"))
        }
        None => Ok(()),
    }
}

/// The load line of a search that can be trusted.
fn observed(found: &Summary, dir: &Path) -> Option<Observed> {
    let LoadLine { typical, interval, .. } = found.load_line.as_ref()?;
    let sound = found.generator.valid && found.exit_code == exit::OK;
    let bottleneck = found.bottleneck.as_ref().and_then(|bottleneck| bottleneck.resource.clone());
    typical.filter(|_| sound).map(|typical| Observed {
        typical,
        interval: *interval,
        run: dir.display().to_string(),
        bottleneck,
    })
}

/// `plimsoll predict`: from a record, which is left as it is.
pub(super) fn predict(process: &mut Process<'_>, args: &PredictArgs) -> u8 {
    let mut recorded = match Recorded::open(&args.run) {
        Ok(recorded) => recorded,
        Err(error) => return refuse(process, &error.to_string(), error.remedy()),
    };
    recorded.manifest.what_if = Some(Asked { changes: args.what_if.clone(), observed: None });
    let summary = summarize(&recorded);
    let Some(predicted) = &summary.what_if else {
        let (text, remedy) = refusal(&summary);
        return refuse(process, text, remedy);
    };
    if args.json {
        return process.print_json(predicted);
    }
    let text = shown(predicted);
    process.print(&text)
}

fn shown(predicted: &WhatIf) -> String {
    let mut text = String::new();
    for (label, words) in lines(predicted) {
        super::fit::line(&mut text, label, &words);
    }
    text + "\n" + &predicted.explanation + "\n"
}

fn refuse(process: &mut Process<'_>, text: &str, remedy: &str) -> u8 {
    process.complain(&format!("plimsoll: {text}\n  {remedy}"));
    exit::USAGE
}

#[cfg(test)]
mod tests;
