//! How a change is made: by dials of the bundled target, or by a command for any other.

use super::super::args::{FindArgs, RunArgs};
use super::super::{Process, exit, load};
use super::refuse;
use crate::analyze::predict::change::{Change, What};
use crate::record::what_if::WhatIf;
use crate::scenario;
use crate::scenario::plan::TargetKind;
use serde_json::{Map, Value};
use std::process::Command;
use target_app::profile::Profile;

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
const OUTPUT_BYTES_MAX: usize = 4096;

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
        let assigned: Vec<String> = dials.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let profile = Profile::named(profile)
            .map_err(|error| error.to_string())
            .and_then(|profile| profile.with_dials(&assigned).map_err(|error| error.to_string()))
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
                let changes: Vec<String> = predicted
                    .changes
                    .iter()
                    .map(|change| format!("{}={}", change.resource, change.to))
                    .collect();
                let output = carry_out(command, &changes.join(" ")).map_err(|text| {
                    process.complain(&format!(
                        "plimsoll: the change was not made: {text}\n  try the command by itself; the first search stands"
                    ));
                    exit::FAILED
                })?;
                told.insert("command".to_owned(), command.clone().into());
                told.insert("output".to_owned(), output.into());
            }
            Self::Dials { profile, replicas, dials } => {
                let assigned = assigned(profile, *replicas, dials, predicted)
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

/// Names and values of what is set for the second search, each checked against its dial.
fn assigned(
    profile: &Profile,
    replicas: u32,
    dials: &[Option<&'static str>],
    predicted: &WhatIf,
) -> Result<Vec<(String, String)>, String> {
    let now = serde_json::to_value(profile.dials()).map_err(|error| error.to_string())?;
    let mut assigned = Vec::new();
    for (dial, change) in dials.iter().zip(&predicted.changes) {
        let factor = change.to / change.from;
        let Some(dial) = dial else {
            let count = (f64::from(replicas) * factor).round().max(1.0);
            assigned.push(("target.replicas".to_owned(), count.to_string()));
            continue;
        };
        let value = now.pointer(&format!("/{}", dial.replace('.', "/")));
        let Some(from) = value.and_then(Value::as_f64).filter(|from| *from > 0.0) else {
            return Err(format!("the dial {dial} is off in this profile, so it cannot be moved"));
        };
        let whole = value.is_some_and(|value| value.is_u64() || value.is_i64());
        let to = from * factor;
        assigned.push(((*dial).to_owned(), if whole { to.round() } else { to }.to_string()));
    }
    let texts: Vec<String> = assigned
        .iter()
        .filter(|(name, _)| name != "target.replicas")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    profile.clone().with_dials(&texts).map_err(|error| error.to_string())?;
    Ok(assigned)
}

/// Runs the command to its end and yields what it wrote, or why it failed. It is the user's own, so it runs as long as it takes.
fn carry_out(command: &str, changes: &str) -> Result<String, String> {
    let done = Command::new("sh").args(["-c", command]).env("PLIMSOLL_WHAT_IF", changes).output();
    let done = done.map_err(|error| format!("`{command}` could not be started: {error}"))?;
    let mut output = String::from_utf8_lossy(&done.stdout).into_owned();
    output.push_str(&String::from_utf8_lossy(&done.stderr));
    let mut end = output.len().min(OUTPUT_BYTES_MAX);
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    output.truncate(end);
    if done.status.success() {
        return Ok(output);
    }
    Err(format!("`{command}` ended with {}: {}", done.status, output.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::what_if::{Changed, Predicted};

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
        let changes = [("mongodb.pool", 40.0, 100.0), ("app.cpu", 4.0, 2.0), ("replicas", 1.0, 2.0)];
        let dials = [Some("mongodb.max_pool_size"), Some("app.cores"), None];
        let set = assigned(&profile, 4, &dials, &predicted(&changes)).unwrap();
        let texts: Vec<String> = set.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(texts, ["mongodb.max_pool_size=25", "app.cores=0.5", "target.replicas=8"]);
        let none = assigned(
            &profile,
            1,
            &[Some("gateway.worker_connections")],
            &predicted(&[("gateway.connections", 1.0, 2.0)]),
        );
        assert!(none.unwrap_err().contains("off in this profile"));
        let wide = assigned(&profile, 1, &[Some("app.cores")], &predicted(&[("app.cpu", 1.0, 1e6)]));
        assert!(wide.unwrap_err().contains("app.cores"));
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
        assert_eq!(
            carry_out("echo pool is $PLIMSOLL_WHAT_IF", "a.pool=20").as_deref(),
            Ok("pool is a.pool=20\n")
        );
        let failed = carry_out("echo no such server >&2; exit 3", "").unwrap_err();
        assert!(failed.contains("no such server") && failed.contains('3'), "{failed}");
        assert!(carry_out("head -c 9000 /dev/zero | tr '\\0' ä", "").unwrap().len() <= OUTPUT_BYTES_MAX);
    }
}
