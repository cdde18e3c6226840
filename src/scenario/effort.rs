//! How much time a search is worth, as `plimsoll find` is told: windows and precision that repeat, in place of the scenario's own.

use super::plan::{Executor, Plan};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// 5 s windows and a precision of 5 %: a load line within four minutes, as a rule.
    Ci,
    /// 10 s windows and a precision of 2 %: within ten minutes, as a rule.
    Full,
}

impl Effort {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ci => "ci",
            Self::Full => "full",
        }
    }

    pub fn window(self) -> Duration {
        Duration::from_secs(match self {
            Self::Ci => 5,
            Self::Full => 10,
        })
    }

    /// Where one window in twelve has a stall, 11 turn one of ten levels with a probability below 1 % (`search::sizing`).
    pub fn windows(self) -> u32 {
        11
    }

    /// Share of the windows that may be bad.
    pub fn exceed(self) -> f64 {
        0.5
    }

    /// Relative width of the bracket at which the search ends.
    pub fn precision(self) -> f64 {
        match self {
            Self::Ci => 0.05,
            Self::Full => 0.02,
        }
    }
}

impl Plan {
    /// Has the searches of this plan take that effort instead of the scenario's keys, and soak for a guaranteed line.
    pub fn seek(&mut self, effort: Option<Effort>, guarantee: bool) {
        for part in &mut self.load {
            let Executor::Breakpoint { search, timing, .. } = &mut part.executor else { continue };
            search.guarantee = guarantee;
            let Some(effort) = effort else { continue };
            search.effort = Some(effort);
            (search.exceed, search.precision) = (effort.exceed(), effort.precision());
            (timing.window, timing.windows) = (effort.window(), effort.windows());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, load};

    const TEXT: &str = "plimsoll: 1\nname: t\ntarget: {http: \"http://127.0.0.1:1\"}\nscenarios: {a: {steps: [{get: /}]}}\nload:\n  - {name: l, run: a, executor: breakpoint, of: users, from: 10, to: 100, window: 2s, windows: 3, precision: 10%, fail_when: [\"p99(http) > 100ms\"], guarantee: {soak: 30s}}\n";

    #[test]
    fn an_effort_takes_the_place_of_the_scenario_s_keys() {
        let mut plan = load("t.yaml", TEXT, &Overrides::none(&|_| None)).expect("a plan");
        let told = |plan: &Plan| match &plan.load[0].executor {
            Executor::Breakpoint { search, timing, .. } => (
                timing.window.as_secs(),
                timing.windows,
                search.precision,
                search.guarantee,
                search.soak.as_secs(),
            ),
            _ => panic!("a search"),
        };
        plan.seek(None, false);
        assert_eq!(told(&plan), (2, 3, 0.1, false, 30));
        plan.seek(Some(Effort::Ci), true);
        assert_eq!(told(&plan), (5, 11, 0.05, true, 30));
        plan.seek(Some(Effort::Full), false);
        assert_eq!(told(&plan), (10, 11, 0.02, false, 30));
    }
}
