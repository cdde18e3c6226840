//! The judgment of a level: windows in, a bound for each goal out, as early as the windows that are still missing could not change it.

use super::Goal;
use super::classify::{Bound, Durations, classify};
use super::goal::{Trial, TrialStats};

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

/// What a level is to one goal.
#[derive(Clone, Debug, PartialEq)]
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
        pooled[0].push(whole);
    }
    judge(level, goals, &pooled, 0.0, 1)
}

/// Whether a soak of `planned` windows is bad already: even if all requests that are still to come, at the rate of those seen, were good.
pub fn soak_is_lost(goals: &[Goal], windows: &[Window], planned: u32) -> bool {
    let of_all = windows.len().max(1) as f64 / f64::from(planned.max(1));
    goals.iter().enumerate().any(|(index, goal)| {
        let seen: Vec<Trial> = windows.iter().filter_map(|window| window.get(index).copied()).collect();
        let whole = goal.merge(&seen);
        whole.is_bad && (whole.bad_ratio * of_all > goal.bad_ratio_max() || goal.bad_ratio_max() == 0.0)
    })
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
mod tests {
    use super::*;
    use crate::search::goal::tests::{Counted, p99_over_100ms, threshold};
    use crate::threshold::{Op, Stat};

    fn window(ok: usize, slow: usize, failed: u64) -> Counted {
        let mut ok_ms = vec![20.0; ok];
        ok_ms.extend(vec![200.0; slow]);
        Counted { ok_ms, failed, ..Counted::default() }
    }

    fn seen(goals: &[Goal], windows: &[Counted]) -> Vec<Window> {
        windows.iter().map(|window| look(goals, window)).collect()
    }

    fn judged(goals: &[Goal], windows: &[Counted]) -> LevelResult {
        judge(500.0, goals, &seen(goals, windows), 0.5, windows.len() as u32)
    }

    #[test]
    fn a_split_level_follows_the_exceed_ratio() {
        let goals = [p99_over_100ms()];
        let (good, bad) = (window(1000, 2, 0), window(900, 100, 0));
        let one = judged(&goals, &[good.clone(), bad.clone(), good.clone()]);
        let goal = one.decider().unwrap();
        assert!(one.good && one.decided && goal.windows_bad == 1 && goal.windows == 3);
        assert_eq!((one.failed_by(), goal.window_bad_ratio), (None, 2.0 / 1002.0), "the middle one of three");
        let two = judged(&goals, &[good, bad.clone(), bad]);
        let goal = two.decider().unwrap();
        assert!(!two.good && two.decided && goal.windows_bad == 2);
        assert_eq!(two.failed_by(), Some("p99(http) > 100ms"));
        assert_eq!((goal.bad_ratio, goal.window_bad_ratio, goal.requests), (202.0 / 3002.0, 0.1, 3002));
    }

    #[test]
    fn thin_windows_are_joined() {
        let goals = [p99_over_100ms()];
        // Alone, the second window would be bad with 1 of 90.
        let joined =
            judged(&goals, &[window(200, 0, 0), window(89, 1, 0), window(200, 0, 0), window(100, 0, 0)]);
        let goal = joined.decider().unwrap();
        assert!(joined.good && joined.enough && goal.windows == 1 && goal.requests == 590);
        let thin = judged(&goals, &[window(100, 0, 0), window(100, 0, 0)]);
        assert!(!thin.enough && thin.good);
        let hung = judged(&goals, &[window(0, 5, 20), window(0, 0, 30)]);
        assert!(hung.enough && !hung.good, "few answers, all of them bad, are a verdict");
        assert!(!judged(&goals, &[]).enough);
    }

    #[test]
    fn a_level_at_which_no_request_ended_is_bad() {
        let silent = judged(&[p99_over_100ms()], &[window(0, 0, 0), window(0, 0, 0)]);
        let goal = silent.decider().unwrap();
        assert!(!silent.good && !silent.enough && goal.windows_bad == goal.windows);
        assert_eq!(silent.failed_by(), Some("p99(http) > 100ms"));
        assert_eq!((goal.bad_ratio, goal.requests), (1.0, 0));
        let errors =
            Goal::from_threshold(threshold("error_rate > 5%", Stat::ErrorRate, Op::Greater, 0.05)).unwrap();
        assert!(!judged(&[errors], &[window(0, 0, 0)]).good);
        let share = Stat::Dropped { ratio: true };
        let dropped = Goal::from_threshold(threshold("dropped > 1%", share, Op::Greater, 0.01)).unwrap();
        assert!(judged(&[dropped], &[window(0, 0, 0)]).good, "it says nothing about requests");
    }

    #[test]
    fn a_target_that_stands_still_is_not_good_for_what_it_did_before() {
        let goals = [p99_over_100ms()];
        let (well, still) = (window(500, 0, 0), window(0, 0, 0));
        let hung = judged(&goals, &[well.clone(), still.clone(), still.clone()]);
        assert!(!hung.good && votes(&hung) == (3, 2), "{hung:?}");
        assert_eq!(hung.failed_by(), Some("p99(http) > 100ms"));
        let once = judged(&goals, &[well.clone(), still.clone(), well]);
        assert!(once.good && votes(&once) == (3, 1), "one window of three may be bad");
        let late = judged(&goals, &[window(500, 0, 0), window(0, 0, 0), window(3, 0, 0)]);
        assert!(late.good && votes(&late) == (2, 1), "what is left joins no silence: {late:?}");
        // A request now and then, of which a window may well have none.
        let rare = judged(&goals, &[window(9, 0, 0), still, window(7, 0, 0)]);
        assert!(rare.good && !rare.enough && votes(&rare).0 == 1, "{rare:?}");
    }

    #[test]
    fn the_goal_that_failed_first_is_named() {
        let errors =
            Goal::from_threshold(threshold("error_rate > 5%", Stat::ErrorRate, Op::Greater, 0.05)).unwrap();
        let goals = [errors, p99_over_100ms()];
        let slow_then_failing = [window(900, 100, 0), window(500, 0, 500), window(500, 0, 500)];
        assert_eq!(judged(&goals, &slow_then_failing).failed_by(), Some("p99(http) > 100ms"));
        let nearest = judged(&goals, &[window(1000, 5, 1), window(1000, 5, 1), window(1000, 5, 1)]);
        assert_eq!(
            (nearest.good, nearest.decider().unwrap().bad_ratio_max),
            (true, 0.01),
            "the goal nearest its bound speaks for a good level"
        );
    }

    /// Windows, and bad ones of them, as the deciding goal counts.
    fn votes(result: &LevelResult) -> (u32, u32) {
        result.decider().map_or((0, 0), |goal| (goal.windows, goal.windows_bad))
    }

    #[test]
    fn a_level_is_decided_as_soon_as_the_missing_windows_could_not_change_it() {
        let goals = [p99_over_100ms()];
        let (good, bad) = (window(1000, 2, 0), window(900, 100, 0));
        let after = |windows: &[&Counted], exceed: f64| {
            let windows: Vec<Window> = windows.iter().map(|window| look(&goals, *window)).collect();
            let result = judge(500.0, &goals, &windows, exceed, 11);
            (result.decided, result.good)
        };
        let mut seen = vec![&good; 5];
        assert_eq!(after(&seen, 0.5), (false, false), "six bad ones could follow");
        seen.push(&good);
        assert_eq!(after(&seen, 0.5), (true, true));
        assert_eq!(after(&[&bad; 5], 0.5), (false, false));
        assert_eq!(after(&[&bad; 6], 0.5), (true, false));
        assert_eq!(after(&[&good, &bad], 0.0), (true, false), "not one may be bad");
        assert_eq!(after(&[&good; 10], 0.0), (false, false));
        // 300 requests are too few for a p99, however good they are.
        let thin = window(300, 0, 0);
        assert_eq!(after(&[&thin], 0.5), (false, false));
        assert_eq!(after(&[&thin; 6], 0.5), (true, true), "three joined pairs");
        assert_eq!(after(&[&thin; 1], 0.99), (false, false));
    }

    #[test]
    fn two_windows_beside_each_other_are_not_plainly_bad() {
        let goals = [p99_over_100ms()];
        let (good, stalled, drowned) = (window(1000, 0, 0), window(920, 80, 0), window(100, 900, 0));
        let after = |windows: &[&Counted]| {
            let windows: Vec<Window> = windows.iter().map(|window| look(&goals, *window)).collect();
            let result = judge_at_first(500.0, &goals, &windows, 0.5, (3, 7));
            (result.decided, result.good)
        };
        assert_eq!(after(&[&stalled, &stalled]), (false, false));
        assert_eq!(after(&[&stalled, &stalled, &stalled]), (false, false));
        assert_eq!(after(&[&stalled, &stalled, &stalled, &stalled]), (true, false), "four of seven");
        assert_eq!(after(&[&stalled, &stalled, &good, &good, &good]), (false, false));
        assert_eq!(after(&[&stalled, &stalled, &good, &good, &good, &good]), (true, true));
        assert_eq!(after(&[&drowned, &drowned]), (true, false));
        assert_eq!(after(&[&good, &stalled, &good]), (true, true));
    }

    #[test]
    fn every_goal_has_its_bound() {
        let errors =
            Goal::from_threshold(threshold("error_rate > 5%", Stat::ErrorRate, Op::Greater, 0.05)).unwrap();
        let goals = [errors, p99_over_100ms()];
        let slow = seen(&goals, &[window(900, 100, 0), window(900, 100, 0)]);
        let result = judge(500.0, &goals, &slow, 0.5, 3);
        assert!(result.decided && !result.good);
        let bounds: Vec<Bound> = result.goals.iter().map(|goal| goal.bound).collect();
        assert_eq!(bounds, [Bound::Lower, Bound::Upper], "no error in two of three windows is enough, too");
        let once = judge(500.0, &goals, &slow[..1], 0.5, 3);
        assert_eq!(once.goals[0].bound, Bound::Undecided);
    }

    #[test]
    fn a_soak_is_one_trial() {
        let goals = [p99_over_100ms()];
        let (good, stalled) = (window(1000, 0, 0), window(920, 80, 0));
        let mut minutes = vec![good.clone(); 11];
        minutes.push(stalled.clone());
        assert!(judge_soak(500.0, &goals, &seen(&goals, &minutes)).good, "80 of 12,000 are 0.7 %");
        minutes.push(stalled.clone());
        assert!(!judge_soak(500.0, &goals, &seen(&goals, &minutes)).good, "160 of 13,000 are 1.2 %");
        minutes[3] = window(0, 0, 0);
        minutes.pop();
        assert!(!judge_soak(500.0, &goals, &seen(&goals, &minutes)).good, "it stood still for a window");
        let begun = seen(&goals, &[stalled.clone(), stalled]);
        assert!(!soak_is_lost(&goals, &begun, 60), "160 of 60,000 are good");
        assert!(soak_is_lost(&goals, &begun, 15), "160 of 15,000 are not");
    }
}
