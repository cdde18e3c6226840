//! `plimsoll report`, and the writing of reports after a run: both start from the folder alone.

use super::args::ReportArgs;
use super::{Process, exit};
use crate::analyze::summary::summarize;
use crate::record::recorded::Recorded;
use crate::record::store::{self, StoreError};
use crate::record::summary::Summary;
use crate::report::{self, FORMATS, Format, Report};
use std::path::Path;

/// Formats that stand in the folder after every run.
pub(super) const AFTER_A_RUN: &[&str] = &["json", "html", "junit", "md"];

/// What went wrong on the way from a folder to its reports.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenderError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Report(#[from] report::ReportError),
}

pub(super) fn report(process: &mut Process<'_>, args: &ReportArgs) -> u8 {
    let done = (|| {
        let recorded = Recorded::open(&args.run)?;
        let summary = summarize(&recorded);
        let files: Vec<&str> =
            args.format.iter().map(String::as_str).filter(|name| *name != "text").collect();
        write(&recorded, &summary, &files)?;
        if args.json {
            return Ok(json(&summary)?);
        }
        let text = args.format.iter().any(|name| name == "text");
        Ok::<_, RenderError>(if text {
            closing_text(&recorded, &summary, process.color)?
        } else {
            String::new()
        })
    })();
    match done {
        Ok(text) => process.print(&text),
        Err(error) => complain(process, &error),
    }
}

/// The summary as the one document of `--json`.
pub(super) fn json(summary: &Summary) -> Result<String, report::ReportError> {
    Ok(serde_json::to_string_pretty(summary)? + "\n")
}

/// Says what went wrong and what to do; yields the exit code.
pub(super) fn complain(process: &mut Process<'_>, error: &RenderError) -> u8 {
    match error {
        RenderError::Store(error) => {
            process.complain(&format!("plimsoll: {error}\n  {}", error.remedy()));
            match error {
                StoreError::Write { .. } => exit::IO,
                StoreError::Read { .. } | StoreError::Corrupt { .. } => exit::USAGE,
            }
        }
        RenderError::Report(error) => {
            process.complain(&format!("plimsoll: {error}"));
            exit::USAGE
        }
    }
}

/// Writes the named formats into the folder of the record.
pub(super) fn write(recorded: &Recorded, summary: &Summary, formats: &[&str]) -> Result<(), RenderError> {
    let report = view(recorded, summary);
    for name in formats {
        let format = report::by_name(name)?;
        let file = FORMATS.iter().find(|(known, _)| known == name).map_or(*name, |(_, file)| file);
        store::replace(&recorded.dir.join(file), &format.render(&report)?)?;
    }
    Ok(())
}

/// What a run ends with on the terminal.
pub(super) fn closing_text(
    recorded: &Recorded,
    summary: &Summary,
    color: bool,
) -> Result<String, RenderError> {
    let page = recorded.dir.join("report.html");
    let report_path = page.exists().then(|| shown(&page));
    let text = report::text::Text { color, report_path };
    let bytes = text.render(&view(recorded, summary))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn view<'a>(recorded: &'a Recorded, summary: &'a Summary) -> Report<'a> {
    Report {
        manifest: &recorded.manifest,
        summary,
        timeline: &recorded.timeline,
        saturation: &recorded.saturation,
        events: &recorded.events,
    }
}
