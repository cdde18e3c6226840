//! `plimsoll check` and `plimsoll schema`: the language without a run.

use super::args::InspectArgs;
use super::load::{self, WIDTH};
use super::{Process, exit};
use crate::scenario;

pub(super) fn check(process: &mut Process<'_>, args: &InspectArgs) -> u8 {
    let given = &args.scenario;
    let (problems, found) = match scenario::load_file(&given.scenario, &load::overrides(process, given)) {
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
