//! The controller of a search: grow from below until a level is bad, then halve the bracket in logarithmic space. It never starts at
//! the top, because a first probe at the maximum kills a service whose limit is memory.
//!
//! Levels are judged by [`WINDOWS_SHORT`] windows first, which is enough to tell those far from the line; the two that end as the bracket
//! are then judged by all windows. What the short look got wrong the long one finds out, and the search goes on from there:
//!
//! | good below | bad above | what comes next |
//! |---|---|---|
//! | none | none | `from` |
//! | one | none | growing by `grow`; where a bad level turned out good that is not far below, by the precision, doubled each time |
//! | none | one | going down in the same steps |
//! | one | one, more than the precision away | the middle, by few windows |
//! | by few windows | nearer | the good one again, by all windows |
//! | by all windows | by few windows | the bad one again, by all windows |
//! | by all windows | by all windows | the line is found; a soak, where one is asked for |

use super::level::{GoalResult, LevelResult};
use super::line::{Outcome, outcome, significant};
use super::{Levels, Step};
use crate::limits::{SEARCH_PROBES_MAX, SEARCH_SOAKS_MAX};
use crate::scenario::plan::{LoadUnit, SearchRules};

/// The executor `breakpoint`, and `plimsoll find`. There are at most [`SEARCH_PROBES_MAX`] judgments and [`SEARCH_SOAKS_MAX`] soaks.
#[derive(Clone, Debug)]
pub struct Search {
    rules: SearchRules,
    /// Windows that decide a level in the end.
    windows: u32,
    unit: LoadUnit,
    /// The latest judgment of each level.
    results: Vec<LevelResult>,
    judgments: u32,
    /// Levels sought on one side since both sides were known, once they had been: the exponent of the width.
    sought: u32,
    bracketed: bool,
    soaks: Vec<LevelResult>,
    over: bool,
}

/// The least level worth asking for while going down: one user, or this share of the rate at which the search begins, at most one iteration a second.
const RATE_MIN: f64 = 0.01;

/// Windows by which a level far from the line is judged: the least odd number that one stall does not decide.
pub const WINDOWS_SHORT: u32 = 3;

/// A level with less than this share of the bad requests that are allowed is far below the line.
const FAR_BELOW: f64 = 0.1;

struct Next {
    level: f64,
    windows: u32,
    reason: String,
}

impl Search {
    /// `windows` judge a level in the end.
    pub fn new(rules: SearchRules, windows: u32, unit: LoadUnit) -> Self {
        Self {
            rules,
            windows: windows.max(1),
            unit,
            results: Vec::new(),
            judgments: 0,
            sought: 0,
            bracketed: false,
            soaks: Vec::new(),
            over: false,
        }
    }

    /// Where to look next and why; `None` when there is nothing left to learn.
    fn propose(&self) -> Option<Next> {
        let short = self.windows.min(WINDOWS_SHORT);
        let next = |level, windows, reason| Some(Next { level, windows, reason });
        let Some(last) = self.results.last() else {
            let from = self.grid(self.rules.from.min(self.rules.to));
            return next(from, short, "the search begins here".to_owned());
        };
        if self.judgments >= SEARCH_PROBES_MAX {
            return None;
        }
        let found = self.so_far();
        let said = describe(last);
        let confirm = |level: f64, as_what: &str| {
            let reason = format!("{said}; {level} was {as_what} by few windows, so all {}", self.windows);
            (!self.is_settled(level)).then_some(Next { level, windows: self.windows, reason })
        };
        match (found.last_good, found.first_bad) {
            (Some(good), Some(bad)) => {
                let middle = self.grid((good * bad).sqrt());
                if bad / good - 1.0 > self.rules.precision && middle > good && middle < bad {
                    let reason = format!("{said}; halving between {good} (good) and {bad} (bad)");
                    return next(middle, short, reason);
                }
                confirm(good, "good").or_else(|| confirm(bad, "bad"))
            }
            (Some(good), None) => {
                let factor = self.step(good);
                let level = self.grid(good * factor).max(self.above(good)).min(self.rules.to);
                if level > good {
                    let factor = significant(factor, 3);
                    return next(level, short, format!("{said}; growing by a factor of {factor}"));
                }
                confirm(good, "good")
            }
            (None, Some(bad)) => {
                let factor = self.step(bad);
                let level = self.grid(bad / factor).max(self.least());
                if level < bad {
                    let factor = significant(factor, 3);
                    let reason =
                        format!("{said}; no level was good yet, so going down by a factor of {factor}");
                    return next(level, short, reason);
                }
                confirm(bad, "bad")
            }
            (None, None) => None,
        }
    }

    /// The factor to the next level on the side where nothing is known: `grow` at first, and where `from` is a level with hardly a bad request. Once
    /// a bracket came apart near the line, it begins at the precision and is squared each time (MLRsearch: external search, width doubled in
    /// the logarithm).
    fn step(&self, from: f64) -> f64 {
        let beside = self.results.iter().find(|result| result.level == from).and_then(LevelResult::decider);
        let far_below = |goal: &GoalResult| goal.window_bad_ratio < FAR_BELOW * goal.bad_ratio_max;
        if !self.bracketed || beside.is_some_and(far_below) {
            return self.rules.grow;
        }
        widened(self.rules.precision, self.sought.saturating_sub(1)).min(self.rules.grow)
    }

    /// The soak to hold next, after the line is found.
    fn propose_soak(&self) -> Option<(f64, String)> {
        let line = self.so_far().last_good.filter(|_| self.rules.guarantee)?;
        let Some(last) = self.soaks.last() else {
            return Some((line, format!("the line is found; {line}, its lower end, is held for a soak")));
        };
        if last.good || self.soaks.len() >= SEARCH_SOAKS_MAX {
            return None;
        }
        let factor = widened(self.rules.precision, self.soaks.len() as u32 - 1);
        let level = self.grid(last.level / factor).min(self.below(last.level)).max(self.least());
        let reason = format!("{}; lower by a factor of {}", describe_soak(last), significant(factor, 3));
        (level < last.level).then_some((level, reason))
    }

    fn least(&self) -> f64 {
        match self.unit {
            LoadUnit::Users => 1.0,
            LoadUnit::RatePerS => self.grid((RATE_MIN * self.rules.from).min(1.0)),
        }
    }

    /// Whether all windows that decide in the end were to decide this level.
    fn is_settled(&self, level: f64) -> bool {
        self.results.iter().any(|result| result.level == level && result.asked >= self.windows)
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

    /// The next level below, for the same case.
    fn below(&self, level: f64) -> f64 {
        match self.unit {
            LoadUnit::Users => level - 1.0,
            LoadUnit::RatePerS => significant(level / (1.0 + self.rules.precision), self.rate_figures()),
        }
    }

    /// Figures at which neighbours of the grid are at most a quarter of the precision apart, three at least.
    fn rate_figures(&self) -> i32 {
        3.max(1 + (4.0 / self.rules.precision.clamp(1e-6, 1.0)).log10().ceil() as i32)
    }
}

/// (1 + width)^(2^times), and never more than a thousand.
fn widened(width: f64, times: u32) -> f64 {
    (1.0 + width).powf(f64::from(times.min(20)).exp2()).min(1000.0)
}

impl Levels for Search {
    fn next(&mut self) -> Step {
        if self.over {
            return Step::Done(self.so_far());
        }
        if let Some(Next { level, windows, reason }) = self.propose() {
            let again = self.results.iter().any(|result| result.level == level);
            return Step::Probe { level, windows, again, reason };
        }
        match self.propose_soak() {
            Some((level, reason)) => Step::Soak { level, reason },
            None => Step::Done(self.so_far()),
        }
    }

    fn record(&mut self, result: LevelResult) {
        self.judgments += 1;
        self.results.retain(|known| known.level != result.level);
        self.results.push(result);
        let found = self.so_far();
        if found.last_good.is_some() && found.first_bad.is_some() {
            (self.bracketed, self.sought) = (true, 0);
        } else if self.bracketed {
            self.sought += 1;
        }
    }

    fn record_soak(&mut self, result: LevelResult) {
        self.soaks.push(result);
    }

    /// What is judged from now on would be judged of a system that has not recovered.
    fn did_not_recover(&mut self) {
        self.over = true;
    }

    fn so_far(&self) -> Outcome {
        outcome(&self.results, self.unit)
    }
}

fn describe(result: &LevelResult) -> String {
    let level = result.level;
    let thin = if result.enough { "" } else { ", by too few requests to be sure" };
    let Some(goal) = result.decider() else { return format!("{level} was good") };
    let (bad, bound) = (percent(goal.bad_ratio), percent(goal.bad_ratio_max));
    match result.failed_by() {
        Some(text) => format!(
            "{level} was bad by `{text}` in {} of {} windows ({bad} bad requests, {bound} allowed{thin})",
            goal.windows_bad, goal.windows
        ),
        None => format!("{level} was good ({bad} bad requests, {bound} allowed{thin})"),
    }
}

fn describe_soak(result: &LevelResult) -> String {
    let bad = result.decider().map_or(0.0, |goal| goal.bad_ratio);
    format!("the soak at {} was bad ({} bad requests)", result.level, percent(bad))
}

fn percent(ratio: f64) -> String {
    format!("{} %", significant_or_zero(ratio * 100.0))
}

fn significant_or_zero(value: f64) -> f64 {
    if value > 0.0 { significant(value, 3) } else { 0.0 }
}

#[cfg(test)]
mod tests;
