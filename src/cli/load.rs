//! Reading the scenario of a command, with every problem shown where it stands.

use super::args::ScenarioArgs;
use super::{Process, exit};
use crate::scenario::plan::Plan;
use crate::scenario::{self, Overrides};

/// Columns of a diagnostic; wider lines are cut by miette.
pub(super) const WIDTH: usize = 100;

/// The plan, or the exit code after every problem has been shown.
pub(super) fn plan(process: &mut Process<'_>, args: &ScenarioArgs) -> Result<Plan, u8> {
    match scenario::load_file(&args.scenario, &overrides(process, args)) {
        Ok(plan) => {
            if !plan.warnings.is_empty() {
                let text = plan.warnings.render(process.color, WIDTH);
                process.complain(&text);
            }
            Ok(plan)
        }
        Err(problems) => {
            let text = problems.render(process.color, WIDTH);
            process.complain(&text);
            Err(exit::USAGE)
        }
    }
}

/// What the command line changes in the scenario.
pub(super) fn overrides<'a>(process: &Process<'a>, args: &ScenarioArgs) -> Overrides<'a> {
    Overrides {
        sets: args.sets.clone(),
        dials: args.dials.clone(),
        profile: args.profile.clone(),
        seed: args.seed,
        env: process.env,
    }
}
