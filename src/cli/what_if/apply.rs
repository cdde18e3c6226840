//! How a change is made: by dials of the bundled target, or by a command for any other.

use super::super::args::{FindArgs, RunArgs};
use super::super::{Process, exit, load};
use super::refuse;
use crate::analyze::predict::change::{Change, To, What};
use crate::record::what_if::{Changed, WhatIf};
use crate::scenario;
use crate::scenario::plan::TargetKind;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use target_app::profile::Profile;
use tokio::process::Command;

/// Dials of the bundled target: of how much there is of a resource, and of what is taken of it. A record tells the sum over processes and a dial is of one, so a dial
/// is moved by the same factor.
const DIALS: &[(&str, Option<&str>, Option<&str>)] = &[
    ("mongodb.pool", Some("mongodb.max_pool_size"), Some("mongodb.service_time_ms")),
    ("app.cpu", Some("app.cores"), None),
    ("app.heap", Some("heap.limit_bytes"), Some("heap.bytes_per_socket")),
    ("redis.main_thread", None, Some("redis.command_us")),
    ("gateway.connections", Some("gateway.worker_connections"), None),
    ("queue.workers", Some("queue.concurrency"), Some("queue.job_ms")),
];

/// Bytes of a command's output that the record keeps.
const OUTPUT_BYTES_MAX: u64 = 4096;
/// A command that has not ended by then hangs; the slowest change that there is, a new fleet, takes minutes.
const COMMAND_MAX: Duration = Duration::from_secs(3600);
/// How far off a dial of whole numbers may be from what was asked for, as a share.
const ROUNDING_MAX: f64 = 0.01;

pub(super) enum Way {
    /// Profile with the dials of the scenario, and the dial of each change; `None` for the replicas.
    Dials {
        profile: Box<Profile>,
        replicas: u32,
        dials: Vec<Option<&'static str>>,
    },
    Command(String),
}

impl Way {
    /// How `changes` are made to the target of the scenario; said and refused, with an exit code, where there is no way.
    pub(super) fn of(process: &mut Process<'_>, args: &FindArgs, changes: &[Change]) -> Result<Self, u8> {
        if let Some(command) = &args.apply {
            return Ok(Self::Command(command.clone()));
        }
        let scenario = &args.run.scenario;
        let plan = match scenario::load_file(&scenario.scenario, &load::overrides(process, scenario)) {
            Ok(plan) => plan,
            Err(problems) => {
                let text = problems.render(process.color, load::WIDTH);
                process.complain(&text);
                return Err(exit::USAGE);
            }
        };
        let TargetKind::Bundled { profile, replicas, dials } = &plan.target.kind else {
            let text = "--confirm does not know how to change this target";
            return Err(refuse(process, text, "give a command that does, with --apply"));
        };
        let of_scenario: Vec<String> = dials.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let profile = Profile::named(profile)
            .map_err(|error| error.to_string())
            .and_then(|profile| profile.with_dials(&of_scenario).map_err(|error| error.to_string()))
            .map_err(|error| refuse(process, &error, "see `plimsoll target list`"))?;
        let mut of_changes = Vec::new();
        for change in changes {
            match dial(&change.what) {
                Some(dial) => of_changes.push(dial),
                None => {
                    let there: Vec<String> = DIALS.iter().flat_map(confirmable).collect();
                    return Err(refuse(
                        process,
                        &format!("no dial of the bundled target makes the change `{}`", change.text),
                        &format!("leave --confirm out, or change one of replicas, {}", there.join(", ")),
                    ));
                }
            }
        }
        let replicas = replicas.unwrap_or_else(|| profile.replicas_max());
        // Of a value the factor is known after the first search only, but whether its dial is off is known now.
        let moves = of_changes.iter().zip(changes).map(|(dial, change)| match change.to {
            To::Factor(factor) => (*dial, factor),
            To::Value(_) => (*dial, 1.0),
        });
        assigned(&profile, replicas, &moves.collect::<Vec<_>>())
            .map_err(|text| refuse(process, &text, "ask for a value that the dial takes"))?;
        Ok(Self::Dials { profile: Box::new(profile), replicas, dials: of_changes })
    }

    /// Makes the change: arguments of the second search, and what the record keeps of it.
    pub(super) fn make(
        &self,
        process: &mut Process<'_>,
        mut again: RunArgs,
        predicted: &WhatIf,
    ) -> Result<(RunArgs, Map<String, Value>), u8> {
        let mut told = Map::new();
        match self {
            Self::Command(command) => {
                let output = carry_out(command, &told_to_command(predicted), COMMAND_MAX).map_err(|text| {
                    process.complain(&format!(
                        "plimsoll: the change was not made: {text}\n  try the command by itself; the first search stands"
                    ));
                    exit::FAILED
                })?;
                told.insert("command".to_owned(), command.clone().into());
                told.insert("output".to_owned(), output.into());
            }
            Self::Dials { profile, replicas, dials } => {
                let factors = predicted.changes.iter().map(|change| change.to / change.from);
                let moves: Vec<_> = dials.iter().copied().zip(factors).collect();
                let assigned = assigned(profile, *replicas, &moves)
                    .map_err(|text| refuse(process, &text, "ask for a value that the dial takes"))?;
                for (name, value) in assigned {
                    told.insert(name.clone(), value.clone().into());
                    if name == "target.replicas" {
                        again.scenario.sets.push((name, value));
                    } else {
                        again.scenario.dials.push((name, value));
                    }
                }
            }
        }
        Ok((again, told))
    }
}

/// What of a row can be confirmed, as it is asked for.
fn confirmable((name, limit, demand): &(&str, Option<&str>, Option<&str>)) -> Vec<String> {
    let limit = limit.map(|_| (*name).to_owned());
    limit.into_iter().chain(demand.map(|_| format!("{name}.demand"))).collect()
}

/// The dial of a change, `Some(None)` for the replicas, `None` where there is none.
fn dial(what: &What) -> Option<Option<&'static str>> {
    let row = |name: &str| DIALS.iter().find(|row| row.0 == name);
    match what {
        What::Replicas => Some(None),
        What::Limit(name) => row(name)?.1.map(Some),
        What::Demand(name) => row(name)?.2.map(Some),
    }
}

/// Names and values of what is set for the second search, each checked against its dial: dials (`None` for the replicas) with the factors by which
/// they are moved.
fn assigned(
    profile: &Profile,
    replicas: u32,
    moves: &[(Option<&'static str>, f64)],
) -> Result<Vec<(String, String)>, String> {
    let now = serde_json::to_value(profile.dials()).map_err(|error| error.to_string())?;
    let (mut sets, mut dials) = (Vec::new(), Vec::new());
    for (dial, factor) in moves {
        let Some(dial) = dial else {
            let count = whole("the number of replicas", f64::from(replicas) * factor)?;
            sets.push(("target.replicas".to_owned(), count.to_string()));
            continue;
        };
        let value = now.pointer(&format!("/{}", dial.replace('.', "/")));
        let Some(from) = value.and_then(Value::as_f64).filter(|from| *from > 0.0) else {
            return Err(format!("the dial {dial} is off in this profile, so it cannot be moved"));
        };
        let counts = value.is_some_and(|value| value.is_u64() || value.is_i64());
        let to = from * factor;
        let to = if counts { whole(&format!("the dial {dial}"), to)? } else { to };
        dials.push(((*dial).to_owned(), to.to_string()));
    }
    let texts: Vec<String> = dials.iter().map(|(name, value)| format!("{name}={value}")).collect();
    profile.clone().with_dials(&texts).map_err(|error| error.to_string())?;
    dials.extend(sets);
    Ok(dials)
}

/// The whole number that `value` is but for 1 %: another would confirm a change that nobody asked for.
fn whole(of: &str, value: f64) -> Result<f64, String> {
    let rounded = value.round();
    if (rounded / value - 1.0).abs() > ROUNDING_MAX {
        return Err(format!("{of} is a whole number, and this change would make it {value:.2}"));
    }
    Ok(rounded)
}

/// `mongodb.pool=100`, and factors where the record does not tell what there was: `mongodb.pool.demand=0.5x`, `replicas=2x`.
fn told_to_command(predicted: &WhatIf) -> String {
    let told = |change: &Changed| {
        let Changed { resource, from, to } = change;
        if change.is_relative() { format!("{resource}={}x", to / from) } else { format!("{resource}={to}") }
    };
    predicted.changes.iter().map(told).collect::<Vec<_>>().join(" ")
}

/// Runs the command until it ends, at most for `limit`, and yields what it wrote, or why it failed. What it leaves running keeps its output open, so
/// that is a file and nobody waits for its end.
fn carry_out(command: &str, changes: &str, limit: Duration) -> Result<String, String> {
    let broken = |error: io::Error| format!("`{command}` could not be run: {error}");
    let mut output = tempfile::tempfile().map_err(broken)?;
    let ended = ended(command, changes, limit, &output).map_err(broken)?;
    let mut bytes = Vec::new();
    output.rewind().and_then(|()| output.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)).map_err(broken)?;
    let said = String::from_utf8_lossy(&bytes).into_owned();
    match ended {
        Some(status) if status.success() => Ok(said),
        Some(status) => Err(format!("`{command}` ended with {status}: {}", said.trim())),
        None => Err(format!("`{command}` did not end within {} s: {}", limit.as_secs(), said.trim())),
    }
}

/// `None` where it had not ended after `limit`, and was killed.
fn ended(command: &str, changes: &str, limit: Duration, output: &File) -> io::Result<Option<ExitStatus>> {
    let (out, err) = (output.try_clone()?, output.try_clone()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut child = Command::new("sh")
            .args(["-c", command])
            .env("PLIMSOLL_WHAT_IF", changes)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()?;
        if let Ok(status) = tokio::time::timeout(limit, child.wait()).await {
            return status.map(Some);
        }
        child.kill().await?;
        Ok(None)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::what_if::Predicted;

    fn predicted(changes: &[(&str, f64, f64)]) -> WhatIf {
        WhatIf {
            changes: changes
                .iter()
                .map(|&(resource, from, to)| Changed { resource: resource.to_owned(), from, to })
                .collect(),
            load_line: Predicted { of: "users".into(), typical: 1.0, interval: [1.0, 1.0], confidence: 0.9 },
            gain: 1.0,
            limited_by: None,
            evidence: "interpolated".into(),
            factor: 1.0,
            calibration: 1.0,
            next: Vec::new(),
            explanation: String::new(),
            confirmed: None,
        }
    }

    #[test]
    fn dials_move_by_the_factor_of_the_change() {
        let profile = Profile::named("baseline").unwrap();
        let moves = [(Some("mongodb.max_pool_size"), 2.5), (Some("app.cores"), 0.5), (None, 2.0)];
        let set = assigned(&profile, 4, &moves).unwrap();
        let texts: Vec<String> = set.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(texts, ["mongodb.max_pool_size=25", "app.cores=0.5", "target.replicas=8"]);
        let none = assigned(&profile, 1, &[(Some("gateway.worker_connections"), 2.0)]);
        assert!(none.unwrap_err().contains("off in this profile"));
        let wide = assigned(&profile, 1, &[(Some("app.cores"), 1e6)]);
        assert!(wide.unwrap_err().contains("app.cores"));
    }

    /// 1.4 times one replica would be one, and a search of it confirm what nobody changed.
    #[test]
    fn a_dial_that_would_be_rounded_is_refused() {
        let profile = Profile::named("baseline").unwrap();
        let refused = |moves: &[(Option<&'static str>, f64)]| assigned(&profile, 1, moves).unwrap_err();
        assert!(refused(&[(None, 1.4)]).contains("would make it 1.40"));
        assert!(refused(&[(Some("mongodb.max_pool_size"), 1.23)]).contains("would make it 12.30"));
    }

    #[test]
    fn every_dial_of_the_table_is_one() {
        let known: Vec<&str> = target_app::profile::dial_names().collect();
        for (resource, limit, demand) in DIALS {
            for dial in [limit, demand].into_iter().flatten() {
                assert!(known.contains(dial), "{resource}: {dial}");
            }
        }
        assert_eq!(dial(&What::Limit("redis.main_thread".into())), None);
        assert_eq!(dial(&What::Demand("mongodb.pool".into())), Some(Some("mongodb.service_time_ms")));
    }

    #[test]
    fn a_command_is_told_the_changes_and_must_succeed() {
        let run = |command: &str| carry_out(command, "a.pool=20", COMMAND_MAX);
        assert_eq!(run("echo pool is $PLIMSOLL_WHAT_IF").as_deref(), Ok("pool is a.pool=20\n"));
        let failed = run("echo no such server >&2; exit 3").unwrap_err();
        assert!(failed.contains("no such server") && failed.contains('3'), "{failed}");
        let long = run("head -c 9000 /dev/zero | tr '\\0' a").unwrap();
        assert_eq!(long.len() as u64, OUTPUT_BYTES_MAX);
    }

    /// A script that starts a server ends, and the server goes on with the same output.
    #[test]
    fn a_command_is_waited_for_and_not_what_it_leaves() {
        let left = carry_out("sleep 120 & echo ready", "", Duration::from_secs(60));
        assert_eq!(left.as_deref(), Ok("ready\n"));
        let hangs = carry_out("echo asleep; exec sleep 120", "", Duration::from_millis(300)).unwrap_err();
        assert!(hangs.contains("did not end") && hangs.contains("asleep"), "{hangs}");
    }

    #[test]
    fn a_command_is_told_factors_where_the_record_has_no_value() {
        let changes = [("mongodb.pool", 10.0, 100.0), ("replicas", 1.0, 2.0), ("db.cpu.demand", 4e-3, 2e-3)];
        assert_eq!(told_to_command(&predicted(&changes)), "mongodb.pool=100 replicas=2x db.cpu.demand=0.5x");
    }
}
