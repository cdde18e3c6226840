//! `plimsoll check` and `plimsoll schema`: the language without a run.

use super::args::CheckArgs;
use super::load::WIDTH;
use super::{Process, exit};
use crate::scenario::{self, Overrides};

pub(super) fn check(process: &mut Process<'_>, args: &CheckArgs) -> u8 {
    let given = &args.scenario;
    let overrides = Overrides {
        sets: given.sets.clone(),
        dials: given.dials.clone(),
        profile: given.profile.clone(),
        seed: given.seed,
        env: process.env,
    };
    let (problems, found) = match scenario::load_file(&given.scenario, &overrides) {
        Ok(plan) => {
            let found = format!(
                "{}: {}, {}, {}; nothing wrong\n",
                given.scenario.display(),
                counted(plan.journeys.len(), "journey"),
                counted(plan.endpoints.len(), "endpoint"),
                counted(plan.load.len(), "load part")
            );
            (plan.warnings, Some(found))
        }
        Err(problems) => (problems, None),
    };
    let code = if found.is_some() { exit::OK } else { exit::USAGE };
    if args.json {
        let printed = process.print(&format!("{}\n", problems.json()));
        return if printed == exit::OK { code } else { printed };
    }
    if !problems.is_empty() {
        let text = problems.render(process.color, WIDTH);
        process.complain(&text);
    }
    match found {
        Some(found) => process.print(&found),
        None => code,
    }
}

pub(super) fn schema(process: &mut Process<'_>) -> u8 {
    process.print(&format!("{:#}\n", scenario::schema::schema()))
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
