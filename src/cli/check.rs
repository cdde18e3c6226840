//! `plimsoll check`: the language without a run.

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
                "{}: {} journeys, {} endpoints, {} load parts; nothing wrong\n",
                given.scenario.display(),
                plan.journeys.len(),
                plan.endpoints.len(),
                plan.load.len()
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
