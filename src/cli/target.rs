//! `plimsoll target`: the bundled target-app, served by this same executable, and the ceilings its dials imply.

use super::args::{ExplainArgs, TargetCommand};
use super::{Process, exit};
use crate::scenario::plan::{Executor, Plan, TargetKind};
use crate::scenario::{self, Overrides};
use target_app::cli::{CliError, Surroundings};
use target_app::explain::{Visits, explain, notes};
use target_app::profile::Profile;

pub(super) fn target(process: &mut Process<'_>, command: TargetCommand) -> u8 {
    let done = match command {
        TargetCommand::Serve(serve) => serve.run(Surroundings {
            out: process.out,
            err: process.err,
            executable: process.executable.clone(),
            serve_words: &["target", "serve"],
        }),
        TargetCommand::List(list) => list.run(process.out),
        TargetCommand::Backup(backup) => backup.run(process.out),
        TargetCommand::Explain(args) => return ceilings(process, &args),
    };
    match done {
        Ok(()) => exit::OK,
        Err(error) => complain(process, &error),
    }
}

fn complain(process: &mut Process<'_>, error: &CliError) -> u8 {
    process.complain(&format!("plimsoll: {error}"));
    error.exit_code()
}

fn ceilings(process: &mut Process<'_>, args: &ExplainArgs) -> u8 {
    let profile = match Profile::named(&args.name).map_err(CliError::from) {
        Ok(profile) => profile,
        Err(error) => return complain(process, &error),
    };
    let profile = match profile.with_dials(&args.dials).map_err(CliError::from) {
        Ok(profile) => profile,
        Err(error) => return complain(process, &error),
    };
    let plan = match scenario::load_file(&args.scenario, &Overrides::none(process.env)) {
        Ok(plan) => plan,
        Err(problems) => {
            let text = problems.render(process.color, super::load::WIDTH);
            process.complain(&text);
            return exit::USAGE;
        }
    };
    let mut visits = match visits(&plan) {
        Ok(visits) => visits,
        Err(text) => {
            process.complain(&format!("plimsoll: {}: {text}", args.scenario.display()));
            return exit::USAGE;
        }
    };
    visits.real_mongodb = args.mongodb;
    let of_scenario = match plan.target.kind {
        TargetKind::Bundled { replicas, .. } => replicas,
        TargetKind::External { .. } => None,
    };
    let replicas = args.replicas.or(of_scenario).unwrap_or(profile.replicas_max());
    let ceilings = explain(&profile, replicas, &visits);
    if args.json {
        return match serde_json::to_string_pretty(&ceilings) {
            Ok(text) => process.print(&(text + "\n")),
            Err(error) => {
                process.complain(&format!("plimsoll: {error}"));
                exit::IO
            }
        };
    }
    let mut text = format!("{:<20} {:>12} {:>10}\n", "resource", "requests/s", "users");
    for ceiling in ceilings {
        text.push_str(&format!(
            "{:<20} {:>12.1} {:>10.0}\n",
            ceiling.resource, ceiling.rate_per_s, ceiling.users
        ));
    }
    for note in notes(&profile, replicas, &visits) {
        text.push_str(&note);
        text.push('\n');
    }
    process.print(&text)
}

/// What one iteration of the scenario asks of each route, from the part that is searched or else the first.
fn visits(plan: &Plan) -> Result<Visits, String> {
    let searched = plan.load.iter().find(|part| matches!(part.executor, Executor::Breakpoint { .. }));
    let part = searched.or(plan.load.first()).ok_or("there is no load")?;
    let expectation = plan.expect_part(part);
    let mut visits = Visits::thinking(expectation.think.as_secs_f64());
    visits.sockets_per_user = expectation.held.sockets;
    for (endpoint, times) in &expectation.per_iteration {
        let endpoint = &plan.endpoints[usize::from(*endpoint)];
        if endpoint.protocol == crate::endpoint::Protocol::Http {
            visits.add(&endpoint.route, *times).map_err(|error| error.to_string())?;
        }
    }
    Ok(visits)
}
