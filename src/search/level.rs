//! The judgment of a level: windows in, a bound for each goal out, as early as the windows that are still missing could not change it.

use super::Goal;
use super::classify::{Bound, Durations, classify};
use super::goal::{Trial, TrialStats};
use serde::{Deserialize, Serialize};

/// What one window is to each goal, in their order.
pub type Window = Vec<Trial>;

/// What a level turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelResult {
    pub level: f64,
    /// A lower bound of every goal.
    pub good: bool,
    /// The windows that were seen decide, whatever those would say that were not.
    pub decided: bool,
    /// False where windows held too few requests to judge by: hold the level longer, or doubt it.
    pub enough: bool,
    /// How many windows were to decide.
    pub asked: u32,
    /// In the order of the goals.
    pub goals: Vec<GoalResult>,
    /// Which of them decides: the one that failed first, or at a good level the one nearest its bound.
    pub deciding: usize,
    /// Iterations in flight grew without end: whatever the goals say yet, they will not be met.
    pub grows: bool,
}

/// What a level failed by where there is no steady state.
pub const GROWS: &str = "iterations in flight grow without end";

/// What a level is to one goal, for the record as well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GoalResult {
    /// The condition, as written.
    pub text: String,
    pub bound: Bound,
    /// Share of bad requests over all windows, and its bound; 1 where not one request ended.
    pub bad_ratio: f64,
    pub bad_ratio_max: f64,
    /// The share that no more than `exceed` of the windows lie above: at most the bound where the level is good, above it where it is not.
    pub window_bad_ratio: f64,
    /// Requests the shares were taken of.
    pub requests: u64,
    pub windows: u32,
    /// Windows in which the goal was not met.
    pub windows_bad: u32,
}

impl LevelResult {
    /// The goal that decides; none where there are no goals.
    pub fn decider(&self) -> Option<&GoalResult> {
        self.goals.get(self.deciding)
    }

    /// The condition that failed, as written.
    pub fn failed_by(&self) -> Option<&str> {
        if self.grows {
            return Some(GROWS);
        }
        self.decider().filter(|_| !self.good).map(|goal| goal.text.as_str())
    }

    /// The level as one that has no steady state: too much for every goal, and decided.
    pub fn without_end(self) -> Self {
        let too_much = |goal| GoalResult { bound: Bound::Upper, ..goal };
        let goals = self.goals.into_iter().map(too_much).collect();
        Self { good: false, decided: true, grows: true, goals, ..self }
    }
}

/// What a window says to each goal.
pub fn look(goals: &[Goal], window: &dyn TrialStats) -> Window {
    goals.iter().map(|goal| goal.judge(window)).collect()
}

/// Judges a level by the windows seen so far, which are all of the same length, where `asked` of them are to decide. `exceed` is the share of
/// them that may be bad.
///
/// Each goal has a bound of its own. The level is bad as soon as it is too much for one of them, and good when it is carried for all.
/// Windows with too few requests for a goal are joined with their successors until they have enough, so that a slow level is judged by
/// fewer, longer trials instead of by noise; before that they decide nothing.
pub fn judge(level: f64, goals: &[Goal], windows: &[Window], exceed: f64, asked: u32) -> LevelResult {
    let mut verdicts = Vec::with_capacity(goals.len());
    let mut deciding = 0;
    for (index, goal) in goals.iter().enumerate() {
        let seen: Vec<Trial> = windows.iter().filter_map(|window| window.get(index).copied()).collect();
        verdicts.push(Verdict::of(goal, seen, exceed, asked));
        if verdicts[index].outranks(&verdicts[deciding]) {
            deciding = index;
        }
    }
    let all_enough = verdicts.iter().all(|verdict| verdict.enough);
    let good = verdicts.iter().all(|verdict| verdict.bound == Bound::Lower);
    // A bad level that enough requests condemn stays bad whatever another goal has yet to see.
    let condemned = verdicts.get(deciding).filter(|verdict| verdict.bound == Bound::Upper);
    let enough = condemned.map_or(all_enough, |verdict| verdict.enough);
    LevelResult {
        level,
        good,
        decided: enough && (good || condemned.is_some()),
        enough,
        asked,
        goals: verdicts.into_iter().map(|verdict| verdict.told(exceed)).collect(),
        deciding,
        grows: false,
    }
}

/// Share of bad requests in the windows from which on a level is plainly bad: no stall is half of a window.
const PLAINLY_BAD: f64 = 0.5;

/// As [`judge`], for a first look by few windows of `all` that decide in the end. A stall on the border of two windows makes both of them bad, and
/// a level that is wrongly bad sends the search a long way down: unless it is plainly so, a bad level takes the votes of all windows at once.
pub fn judge_at_first(
    level: f64,
    goals: &[Goal],
    windows: &[Window],
    exceed: f64,
    (asked, all): (u32, u32),
) -> LevelResult {
    let few = &windows[..windows.len().min(asked as usize)];
    let first = judge(level, goals, few, exceed, asked);
    let doubtful = first.decided
        && !first.good
        && first.decider().is_some_and(|goal| goal.window_bad_ratio < PLAINLY_BAD);
    if first.decided && !doubtful {
        return first;
    }
    judge(level, goals, windows, exceed, if doubtful { all } else { asked })
}

/// Judges a soak, of which `windows` were seen: all of it is one trial, and no trial may be bad. A window of silence is one.
pub fn judge_soak(level: f64, goals: &[Goal], windows: &[Window]) -> LevelResult {
    let mut pooled = vec![Window::new()];
    for (index, goal) in goals.iter().enumerate() {
        let mut seen: Vec<Trial> = windows.iter().filter_map(|window| window.get(index).copied()).collect();
        if goal.asks_for_requests() {
            silence(&mut seen);
        }
        let mut whole = goal.merge(&seen);
        if seen.iter().any(is_silent) {
            (whole.is_bad, whole.enough) = (true, true);
        }
        // A bound on a number is one of a window: a soak has many.
        if goal.counts() {
            whole.is_bad = seen.iter().any(|trial| trial.is_bad);
        }
        pooled[0].push(whole);
    }
    judge(level, goals, &pooled, 0.0, 1)
}

/// Windows of a soak before which it is never lost: a target that crawls ends few requests, and how many there will be shows later.
const SOAK_WINDOWS_MIN: usize = 3;

/// Whether a soak of `planned` windows is bad already: even if all requests that are still to come, as many in each window as in the fullest one, were good.
pub fn soak_is_lost(goals: &[Goal], windows: &[Window], planned: u32) -> bool {
    let to_come = u64::from(planned).saturating_sub(windows.len() as u64);
    goals.iter().enumerate().any(|(index, goal)| {
        let seen: Vec<Trial> = windows.iter().filter_map(|window| window.get(index).copied()).collect();
        let whole = goal.merge(&seen);
        if goal.counts() || goal.bad_ratio_max() == 0.0 {
            return seen.iter().any(|trial| trial.is_bad);
        }
        let most = seen.iter().map(|trial| trial.all).max().unwrap_or(0);
        let all = whole.all + to_come * most;
        seen.len() >= SOAK_WINDOWS_MIN && whole.bad as f64 > goal.bad_ratio_max() * all as f64
    })
}

/// Whether the goals are met again by what ended in one look after a bad level. A request that is rare may be in none of its seconds: its goal then says
/// nothing, as long as others do.
pub fn is_well(goals: &[Goal], seen: &Window) -> bool {
    let told = |goal: &Goal, trial: &Trial| trial.all > 0 || !goal.asks_for_requests();
    let anything = goals.is_empty() || goals.iter().zip(seen).any(|(goal, trial)| told(goal, trial));
    anything && !goals.iter().zip(seen).any(|(goal, trial)| told(goal, trial) && trial.is_bad)
}

struct Verdict<'a> {
    goal: &'a Goal,
    bound: Bound,
    pooled: Trial,
    /// Windows joined to trials, and of how many windows each is.
    trials: Vec<(Trial, u32)>,
    /// Index of the first bad trial.
    first_bad: usize,
    enough: bool,
    /// Not one request ended in any window, which no statement about requests takes for good.
    silent: bool,
}

impl<'a> Verdict<'a> {
    fn of(goal: &'a Goal, mut single: Vec<Trial>, exceed: f64, asked: u32) -> Self {
        if goal.asks_for_requests() {
            silence(&mut single);
        }
        let pooled = goal.merge(&single);
        let silent = !single.is_empty() && pooled.all == 0 && goal.asks_for_requests();
        let all_seen = single.len() as u32 >= asked;
        let trials = join(goal, &single);
        let mut durations = Durations::default();
        // What has too few requests says nothing as long as more are to come.
        for (trial, windows) in trials.iter().filter(|(trial, _)| trial.enough || all_seen) {
            let sum = if trial.is_bad { &mut durations.full_bad } else { &mut durations.full_good };
            *sum += f64::from(*windows);
        }
        let bound = match (silent, all_seen) {
            (true, true) => Bound::Upper,
            (true, false) => Bound::Undecided,
            (false, _) => classify(durations, exceed, f64::from(asked)),
        };
        let first_bad = if silent { Some(0) } else { trials.iter().position(|(trial, _)| trial.is_bad) };
        Self {
            goal,
            bound,
            pooled,
            first_bad: first_bad.unwrap_or(usize::MAX),
            enough: !trials.is_empty() && trials.iter().all(|(trial, _)| trial.enough),
            trials,
            silent,
        }
    }

    /// Failing outranks passing, an earlier failure a later one, and otherwise the one further over (or nearer to) its bound.
    fn outranks(&self, other: &Self) -> bool {
        match (self.bound == Bound::Upper, other.bound == Bound::Upper) {
            (true, true) if self.first_bad != other.first_bad => self.first_bad < other.first_bad,
            (true, false) => true,
            (false, true) => false,
            _ => self.excess() > other.excess(),
        }
    }

    fn excess(&self) -> f64 {
        excess(self.pooled.bad_ratio, self.goal.bad_ratio_max(), self.pooled.all as f64)
    }

    fn told(self, exceed: f64) -> GoalResult {
        let bad = self.trials.iter().filter(|(trial, _)| trial.is_bad).count();
        GoalResult {
            text: self.goal.threshold.text.clone(),
            bound: self.bound,
            bad_ratio: if self.silent { 1.0 } else { self.pooled.bad_ratio },
            bad_ratio_max: self.goal.bad_ratio_max(),
            window_bad_ratio: if self.silent { 1.0 } else { not_exceeded(&self.trials, exceed) },
            requests: self.pooled.all,
            windows: self.trials.len() as u32,
            windows_bad: if self.silent { self.trials.len() } else { bad } as u32,
        }
    }
}

/// The share of bad requests that no more than `exceed` of the time had more of: the quantile by which the draft takes the conditional
/// throughput, over the windows that were seen. A stall that the votes forgive is no part of it.
fn not_exceeded(trials: &[(Trial, u32)], exceed: f64) -> f64 {
    let mut ratios: Vec<(f64, u32)> =
        trials.iter().map(|(trial, windows)| (trial.bad_ratio, *windows)).collect();
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let needed = (1.0 - exceed) * f64::from(ratios.iter().map(|(_, windows)| windows).sum::<u32>());
    let mut covered = 0.0;
    for (ratio, windows) in &ratios {
        covered += f64::from(*windows);
        if covered >= needed - 1e-9 {
            return *ratio;
        }
    }
    0.0
}

/// How far the share of bad requests lies over its bound, as a factor. Half a request stands for none at all (the usual continuity
/// correction of a count), and for a bound of zero.
pub(super) fn excess(bad_ratio: f64, bad_ratio_max: f64, requests: f64) -> f64 {
    let half = 0.5 / requests.max(1.0);
    bad_ratio.max(half) / bad_ratio_max.max(half)
}

/// Requests that end in a window on the mean, from which on one in which none does is no chance: of as many that end independently of each other
/// e^-14 = 1e-6 of the windows are empty.
const SILENCE_MEAN_MIN: f64 = 14.0;

/// A window in which no request ended, where as many do otherwise, is bad: the target stood still. Joined with others it would be nothing at all.
fn silence(windows: &mut [Trial]) {
    let ended = || windows.iter().filter(|window| window.all > 0);
    let mean = ended().map(|window| window.all as f64).sum::<f64>() / (ended().count().max(1) as f64);
    if mean >= SILENCE_MEAN_MIN {
        for window in windows.iter_mut().filter(|window| window.all == 0) {
            (window.bad_ratio, window.is_bad, window.enough) = (1.0, true, true);
        }
    }
}

/// Joins neighbours until each trial has enough requests, with the number of windows in each; what is left at the end joins the last.
fn join(goal: &Goal, windows: &[Trial]) -> Vec<(Trial, u32)> {
    let mut joined: Vec<(Trial, u32)> = Vec::new();
    for window in windows {
        match joined.last_mut() {
            // Silence says something alone.
            Some((last, of)) if !last.enough && !is_silent(window) => {
                (*last, *of) = (goal.merge(&[*last, *window]), *of + 1);
            }
            _ => joined.push((*window, 1)),
        }
    }
    if joined.len() > 1
        && let Some((rest, windows)) = joined.pop_if(|(last, _)| !last.enough)
    {
        match joined.iter_mut().rev().find(|(trial, _)| !is_silent(trial)) {
            Some((last, of)) => (*last, *of) = (goal.merge(&[*last, rest]), *of + windows),
            None => joined.push((rest, windows)),
        }
    }
    joined
}

fn is_silent(trial: &Trial) -> bool {
    trial.is_bad && trial.all == 0
}

#[cfg(test)]
mod tests;
