//! The controller of a search: grow from below until a level is bad, then halve the bracket in logarithmic space. It never starts at
//! the top, because a first probe at the maximum kills a service whose limit is memory.

use super::level::LevelResult;
use super::line::{outcome, significant};
use super::{Levels, Step};
use crate::limits::SEARCH_PROBES_MAX;
use crate::scenario::plan::{LoadUnit, SearchRules};

/// The executor `breakpoint`, and `plimsoll find`. No level is judged twice, and there are at most [`SEARCH_PROBES_MAX`] of them.
#[derive(Clone, Debug)]
pub struct Search {
    rules: SearchRules,
    unit: LoadUnit,
    results: Vec<LevelResult>,
    over: bool,
}

/// The least level worth asking for while going down: one user, or one iteration a second.
const LEVEL_MIN: f64 = 1.0;

impl Search {
    pub fn new(rules: SearchRules, unit: LoadUnit) -> Self {
        Self { rules, unit, results: Vec::new(), over: false }
    }

    /// Where to look next and why; `None` when there is nothing left to learn.
    fn propose(&self) -> Option<(f64, String)> {
        let Some(last) = self.results.last() else {
            return Some((
                self.grid(self.rules.from.min(self.rules.to)),
                "the search begins here".to_owned(),
            ));
        };
        if self.results.len() >= SEARCH_PROBES_MAX as usize {
            return None;
        }
        let found = outcome(&self.results, self.unit);
        let said = describe(last);
        match (found.last_good, found.first_bad) {
            (Some(good), Some(bad)) => {
                if bad / good - 1.0 <= self.rules.precision {
                    return None;
                }
                let middle = self.grid((good * bad).sqrt());
                let reason = format!("{said}; halving between {good} (good) and {bad} (bad)");
                (middle > good && middle < bad).then_some((middle, reason))
            }
            (Some(good), None) => {
                let next = self.grid(good * self.rules.grow).max(self.above(good)).min(self.rules.to);
                let reason = format!("{said}; growing by a factor of {}", self.rules.grow);
                (next > good).then_some((next, reason))
            }
            (None, Some(bad)) => {
                let next = self.grid(bad / self.rules.grow);
                let reason = format!(
                    "{said}; no level was good yet, so going down by a factor of {}",
                    self.rules.grow
                );
                (next < bad && next >= LEVEL_MIN).then_some((next, reason))
            }
            (None, None) => None,
        }
    }

    /// Levels that people can compare from search to search: whole users, rates to three figures (or finer where the precision asks).
    fn grid(&self, level: f64) -> f64 {
        match self.unit {
            LoadUnit::Users => level.round().max(1.0),
            LoadUnit::RatePerS => significant(level, self.rate_figures()),
        }
    }

    /// The next level of the grid above `level`, for a growth so small that rounding would swallow it.
    fn above(&self, level: f64) -> f64 {
        match self.unit {
            LoadUnit::Users => level + 1.0,
            LoadUnit::RatePerS => significant(level * (1.0 + self.rules.precision), self.rate_figures()),
        }
    }

    /// Figures at which neighbours of the grid are at most a quarter of the precision apart, three at least.
    fn rate_figures(&self) -> i32 {
        3.max(1 + (4.0 / self.rules.precision.clamp(1e-6, 1.0)).log10().ceil() as i32)
    }
}

impl Levels for Search {
    fn next(&mut self) -> Step {
        match self.propose().filter(|_| !self.over) {
            Some((level, reason)) => Step::Probe { level, reason },
            None => Step::Done(outcome(&self.results, self.unit)),
        }
    }

    fn record(&mut self, result: LevelResult) {
        self.results.push(result);
    }

    /// What is judged from now on would be judged of a system that has not recovered.
    fn did_not_recover(&mut self) {
        self.over = true;
    }
}

fn describe(result: &LevelResult) -> String {
    let LevelResult { level, bad_ratio, bad_ratio_max, windows, windows_bad, .. } = result;
    let (bad, bound) = (percent(*bad_ratio), percent(*bad_ratio_max));
    let thin = if result.enough { "" } else { ", by too few requests to be sure" };
    match &result.failed_by {
        Some(text) => format!(
            "{level} was bad by `{text}` in {windows_bad} of {windows} windows ({bad} bad requests, {bound} allowed{thin})"
        ),
        None => format!("{level} was good ({bad} bad requests, {bound} allowed{thin})"),
    }
}

fn percent(ratio: f64) -> String {
    format!("{} %", significant_or_zero(ratio * 100.0))
}

fn significant_or_zero(value: f64) -> f64 {
    if value > 0.0 { significant(value, 3) } else { 0.0 }
}

#[cfg(test)]
mod tests;
