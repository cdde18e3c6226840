//! The answer a run asks for: may it begin, and what is to be said with it.

use super::fit::{Fit, Limit, fit, grouped};
use super::needs::{Needs, needs};
use super::spread::Spread;
use crate::probe::machine::Machine;
use crate::record::summary::Warning;
use crate::scenario::plan::{Executor, LoadUnit, Plan};

/// A plan held against a machine.
#[derive(Clone, Debug)]
pub struct Preflight {
    pub needs: Needs,
    pub fit: Fit,
    searches: bool,
    of_rate: bool,
}

/// Holds a plan against a machine.
pub fn preflight(plan: &Plan, machine: &Machine, spread: impl Into<Spread>) -> Preflight {
    let needs = needs(plan);
    let fit = fit(&needs, machine, spread);
    let unit = plan.load.iter().find_map(|part| match &part.executor {
        Executor::Breakpoint { of, .. } => Some(*of),
        _ => None,
    });
    Preflight { needs, fit, searches: unit.is_some(), of_rate: unit == Some(LoadUnit::RatePerS) }
}

impl Preflight {
    /// Why the run must not begin: every limit that the users it will have do not fit into, with what lifts it.
    pub fn refusal(&self) -> Option<String> {
        let lines: Vec<String> = self.fit.refusing().map(|limit| self.line(limit, limit.needed)).collect();
        if lines.is_empty() {
            return None;
        }
        let users = grouped(self.needs.users);
        let what = if self.searches { "the first level" } else { "the load" };
        Some(format!("{what} does not fit into this machine: {users} users at once\n{}", lines.join("\n")))
    }

    /// What may go wrong although the run may begin; with `forced`, also what it should have been refused for.
    pub fn warnings(&self, forced: bool) -> Vec<Warning> {
        let refusing = self.fit.refusing().filter(|_| forced).map(|limit| {
            let text = format!("forced past preflight: {}", self.sentence(limit, limit.needed));
            Warning { code: "preflight_forced".into(), text, remedy: limit.lift.clone() }
        });
        let warning = self.fit.warning().map(|limit| {
            let users = limit.users_max.unwrap_or(u64::MAX);
            let text = if self.searches {
                let level = if self.of_rate { "users in flight" } else { "users" };
                format!(
                    "the machine ends at {} {level} ({}), before the top of the search: a load line beyond cannot be found",
                    grouped(users),
                    limit.resource.name()
                )
            } else {
                self.sentence(limit, limit.needed_bound)
            };
            Warning { code: "preflight".into(), text, remedy: limit.lift.clone() }
        });
        refusing.chain(warning).collect()
    }

    fn sentence(&self, limit: &Limit, needed: u64) -> String {
        let resource = limit.resource;
        let users = limit
            .users_max
            .map_or_else(String::new, |users| format!("; the most that fits is {} users", grouped(users)));
        format!(
            "{}: {} needed, {} there{users}",
            resource.name(),
            resource.show(needed),
            resource.show(limit.available)
        )
    }

    fn line(&self, limit: &Limit, needed: u64) -> String {
        format!("  {}\n    lift it: {}", self.sentence(limit, needed), limit.lift)
    }
}

#[cfg(test)]
pub(super) mod tests;
