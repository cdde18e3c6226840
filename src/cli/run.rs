//! `plimsoll run` and `plimsoll find`: carry the load, then read the record back and render it.

use super::args::{FindArgs, RunArgs};
use super::report::{self, AFTER_A_RUN};
use super::{Process, exit, load};
use crate::analyze::summary::summarize;
use crate::clock;
use crate::live::lines::{Courtesy, Lines};
use crate::preflight::{Fit, Machine, Spread, preflight};
use crate::record::recorded::Recorded;
use crate::record::rows::{End, Ended};
use crate::record::summary::Warning;
use crate::record::what_if::Asked;
use crate::run::{self, Options, RunError};
use crate::scenario::plan::{Executor, Plan};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Run,
    Find,
}

pub(super) fn run(process: &mut Process<'_>, args: &RunArgs) -> u8 {
    let found =
        load::plan(process, &args.scenario).and_then(|plan| carry(process, plan, args, Purpose::Run, None));
    match found {
        Ok(dir) => conclude(process, args, &dir),
        Err(code) => code,
    }
}

/// The plan of a search: the scenario's, with what was asked of it on the command line.
pub(super) fn sought(process: &mut Process<'_>, args: &RunArgs, asked: &FindArgs) -> Result<Plan, u8> {
    let mut plan = load::plan(process, &args.scenario)?;
    if !plan.load.iter().any(|part| matches!(part.executor, Executor::Breakpoint { .. })) {
        process.complain(&format!(
            "plimsoll: {} has no load part with `executor: breakpoint` to search with\n  name a profile that has one with --profile, or see `plimsoll help scenario` for the form",
            args.scenario.scenario.display()
        ));
        return Err(exit::USAGE);
    }
    plan.seek(asked.effort, asked.guarantee);
    Ok(plan)
}

/// Carries the load; the record is in the folder that is yielded. `asked` is kept with it.
pub(super) fn carry(
    process: &mut Process<'_>,
    plan: Plan,
    args: &RunArgs,
    purpose: Purpose,
    asked: Option<Asked>,
) -> Result<PathBuf, u8> {
    let Some((fit, warnings)) = cleared(process, &plan, args, purpose) else { return Err(exit::USAGE) };
    let dir = args.out.clone().unwrap_or_else(|| default_dir(&plan));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            process.complain(&format!("plimsoll: cannot start: {error}"));
            return Err(exit::IO);
        }
    };
    let agents = fit.agents;
    let executable = process.executable.clone();
    let (terminal, quiet) = (process.terminal, args.quiet);
    let carried = Courtesy::onto(&mut *process.err, |out| {
        runtime.block_on(async {
            let options = Options {
                dir: dir.clone(),
                command: if purpose == Purpose::Find { "find" } else { "run" },
                agents,
                shards: fit.shards,
                source_addresses: fit.source_addresses,
                executable,
                interrupts: interrupts(),
                warnings,
                what_if: asked,
            };
            let mut lines = Lines::new(out, terminal, quiet);
            let ended = run::execute(Arc::new(plan), options, &mut lines).await;
            lines.end();
            ended
        })
    });
    // Probes and pipes of the run are of no more use; waiting for them would only delay the answer.
    runtime.shutdown_background();
    if let Err(error) = carried {
        let remedy = match &error {
            RunError::Create(error) => error.remedy(),
            RunError::Store(error) => {
                salvage(&dir, &error.to_string());
                error.remedy()
            }
        };
        process.complain(&format!("plimsoll: {error}\n  {remedy}"));
        return Err(exit::IO);
    }
    Ok(dir)
}

/// Whether the load fits into this machine, before anything is started: how it is spread and what the record is to say of it, or `None`
/// for a run that must not begin.
fn cleared(
    process: &mut Process<'_>,
    plan: &Plan,
    args: &RunArgs,
    purpose: Purpose,
) -> Option<(Fit, Vec<Warning>)> {
    let spread = Spread { agents: args.agents.unwrap_or(plan.swarm.agents), shards: args.shards };
    let preflight = preflight(plan, &Machine::read(), spread);
    if !args.force
        && let Some(refusal) = preflight.refusal()
    {
        let file = args.scenario.scenario.display();
        let mut explained = args.scenario.typed();
        if let Some(agents) = args.agents {
            explained.push_str(&format!(" --agents {agents}"));
        }
        if let Some(shards) = args.shards {
            explained.push_str(&format!(" --shards {shards}"));
        }
        process.complain(&format!(
            "plimsoll: {file}: {refusal}\n  `plimsoll explain {explained}` shows the rest; --force begins all the same"
        ));
        return None;
    }
    let warnings = preflight.warnings(args.force);
    if !args.quiet {
        for warning in &warnings {
            process.complain(&format!("plimsoll: warning: {}\n  {}", warning.text, warning.remedy));
        }
    }
    // How far a search could have gone is no flaw of what it found.
    let lasting = |warning: &Warning| purpose == Purpose::Run || warning.code != "preflight";
    Some((preflight.fit, warnings.into_iter().filter(lasting).collect()))
}

/// Reports on a record that could not be carried on, as far as the folder lets itself be written: what was measured until then stands.
fn salvage(dir: &Path, reason: &str) {
    let Ok(mut recorded) = Recorded::open(dir) else { return };
    // The manifest on the disk may not have learned of it.
    recorded.manifest.ended = Some(Ended { how: End::Error, reason: reason.to_owned() });
    let summary = summarize(&recorded);
    for format in AFTER_A_RUN {
        // The reason why it could not be written is the one the user is about to be told.
        let _ = report::write(&recorded, &summary, &[format]);
    }
}

/// Reads the record back: what is reported is what is recorded.
pub(super) fn conclude(process: &mut Process<'_>, args: &RunArgs, dir: &Path) -> u8 {
    let done = (|| {
        let recorded = Recorded::open(dir)?;
        let summary = summarize(&recorded);
        report::write(&recorded, &summary, AFTER_A_RUN)?;
        let text = if args.json {
            report::json(&summary)?
        } else {
            report::closing_text(&recorded, &summary, process.color)?
        };
        Ok::<_, report::RenderError>((summary.exit_code, text))
    })();
    match done {
        Ok((code, text)) => {
            let printed = process.print(&text);
            if printed == exit::OK { code } else { printed }
        }
        Err(error) => {
            report::complain(process, &error);
            exit::IO
        }
    }
}

/// `reports/<scenario>-<utc time>`, the scenario's name made fit for a file system.
fn default_dir(plan: &Plan) -> PathBuf {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name: String = plan.name.chars().map(legal).collect();
    let time = clock::utc_now().strftime("%Y%m%dT%H%M%SZ").to_string();
    PathBuf::from("reports").join(format!("{name}-{time}"))
}

/// One message each time the user presses ctrl-C or the process is told to end.
fn interrupts() -> mpsc::UnboundedReceiver<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, receiver) = mpsc::unbounded_channel();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        // Without a handler the signal ends the process, as it would have anyway.
        let Ok(mut signals) = signal(kind) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move { while signals.recv().await.is_some() && sender.send(()).is_ok() {} });
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::rows::Manifest;
    use crate::record::store::{DERIVED, Store};
    use crate::record::summary::{Summary, Verdict};

    #[test]
    fn a_record_that_could_not_be_carried_on_is_still_reported() {
        let dir = tempfile::tempdir().expect("a folder");
        drop(Store::create(dir.path(), Manifest::default()).expect("a store"));
        salvage(dir.path(), "cannot write timeline.csv: no space left");
        let summary = std::fs::read(dir.path().join("summary.json")).expect("a summary");
        let summary: Summary = serde_json::from_slice(&summary).expect("valid");
        assert_eq!((summary.verdict, summary.exit_code), (Verdict::Error, 9));
        assert_eq!(summary.reason, "cannot write timeline.csv: no space left");
    }

    #[test]
    fn every_report_counts_as_derived_from_its_record() {
        for (_, file) in crate::report::FORMATS {
            assert!(DERIVED.contains(&file), "{file} of an earlier run would be taken for one of this");
        }
    }
}
