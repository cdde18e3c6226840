//! The judgment of a level: windows in, good or bad out, with the condition that decided it.

use super::Goal;
use super::classify::{Bound, Durations, classify};
use super::goal::{Trial, TrialStats};

/// What a level turned out to be. The deciding goal is the one that failed first, or at a good level the one nearest its bound.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelResult {
    pub level: f64,
    pub good: bool,
    /// The condition that failed, as written.
    pub failed_by: Option<String>,
    /// Share of bad requests for the deciding goal over all windows, and its bound; 1 where not one request ended.
    pub bad_ratio: f64,
    pub bad_ratio_max: f64,
    /// Requests the share was taken of.
    pub requests: u64,
    pub windows: u32,
    /// Windows in which the deciding goal was not met.
    pub windows_bad: u32,
    /// False when even all windows together held too few requests to judge by: hold the level longer, or doubt it.
    pub enough: bool,
}

/// Judges a level by its windows, which are all of the same length. `exceed` is the share of them that may be bad.
///
/// Windows with too few requests for a goal are joined with their successors until they have enough, so that a slow level is judged by
/// fewer, longer trials instead of by noise.
pub fn judge(level: f64, goals: &[Goal], windows: &[&dyn TrialStats], exceed: f64) -> LevelResult {
    let verdicts = goals.iter().map(|goal| Verdict::of(goal, windows, exceed));
    let mut deciding: Option<Verdict<'_>> = None;
    let mut enough = true;
    for verdict in verdicts {
        enough &= verdict.enough;
        if deciding.as_ref().is_none_or(|so_far| verdict.outranks(so_far)) {
            deciding = Some(verdict);
        }
    }
    match deciding {
        None => LevelResult {
            level,
            good: true,
            failed_by: None,
            bad_ratio: 0.0,
            bad_ratio_max: 0.0,
            requests: 0,
            windows: 0,
            windows_bad: 0,
            enough,
        },
        Some(verdict) => LevelResult {
            level,
            good: verdict.good,
            failed_by: (!verdict.good).then(|| verdict.goal.threshold.text.clone()),
            bad_ratio: if verdict.silent { 1.0 } else { verdict.pooled.bad_ratio },
            bad_ratio_max: verdict.goal.bad_ratio_max(),
            requests: verdict.pooled.all,
            windows: verdict.windows,
            windows_bad: verdict.windows_bad,
            // A bad level that enough requests condemn stays bad whatever another goal has yet to see.
            enough: if verdict.good { enough } else { verdict.enough },
        },
    }
}

struct Verdict<'a> {
    goal: &'a Goal,
    good: bool,
    pooled: Trial,
    windows: u32,
    windows_bad: u32,
    /// Index of the first bad trial.
    first_bad: usize,
    enough: bool,
    /// Not one request ended in any window, which no statement about requests takes for good.
    silent: bool,
}

impl<'a> Verdict<'a> {
    fn of(goal: &'a Goal, windows: &[&dyn TrialStats], exceed: f64) -> Self {
        let mut single: Vec<Trial> = windows.iter().map(|window| goal.judge(*window)).collect();
        if goal.asks_for_requests() {
            silence(&mut single);
        }
        let trials = join(goal, &single);
        let bad = trials.iter().filter(|trial| trial.is_bad).count();
        let durations = Durations {
            full_good: (trials.len() - bad) as f64,
            full_bad: bad as f64,
            ..Durations::default()
        };
        let pooled = goal.merge(&single);
        let silent = !single.is_empty() && pooled.all == 0 && goal.asks_for_requests();
        let first_bad = if silent { Some(0) } else { trials.iter().position(|trial| trial.is_bad) };
        Self {
            goal,
            good: !silent && classify(durations, exceed, trials.len() as f64) == Bound::Lower,
            pooled,
            windows: trials.len() as u32,
            windows_bad: if silent { trials.len() } else { bad } as u32,
            first_bad: first_bad.unwrap_or(usize::MAX),
            enough: !trials.is_empty() && trials.iter().all(|trial| trial.enough),
            silent,
        }
    }

    /// Failing outranks passing, an earlier failure a later one, and otherwise the one further over (or nearer to) its bound.
    fn outranks(&self, other: &Self) -> bool {
        match (self.good, other.good) {
            (false, false) if self.first_bad != other.first_bad => self.first_bad < other.first_bad,
            (false, true) => true,
            (true, false) => false,
            _ => self.excess() > other.excess(),
        }
    }

    fn excess(&self) -> f64 {
        excess(self.pooled.bad_ratio, self.goal.bad_ratio_max(), self.pooled.all)
    }
}

/// How far the share of bad requests lies over its bound, as a factor. Half a request stands for none at all (the usual continuity
/// correction of a count), and for a bound of zero.
pub(super) fn excess(bad_ratio: f64, bad_ratio_max: f64, requests: u64) -> f64 {
    let half = 0.5 / (requests.max(1) as f64);
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

/// Joins neighbours until each trial has enough requests; what is left at the end joins the last.
fn join(goal: &Goal, windows: &[Trial]) -> Vec<Trial> {
    let mut joined: Vec<Trial> = Vec::new();
    for window in windows {
        match joined.last_mut() {
            // Silence says something alone.
            Some(last) if !last.enough && !is_silent(window) => *last = goal.merge(&[*last, *window]),
            _ => joined.push(*window),
        }
    }
    if joined.len() > 1
        && let Some(rest) = joined.pop_if(|last| !last.enough)
    {
        match joined.iter_mut().rev().find(|trial| !is_silent(trial)) {
            Some(last) => *last = goal.merge(&[*last, rest]),
            None => joined.push(rest),
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

    fn judged(goals: &[Goal], windows: &[Counted]) -> LevelResult {
        let windows: Vec<&dyn TrialStats> = windows.iter().map(|w| w as &dyn TrialStats).collect();
        judge(500.0, goals, &windows, 0.5)
    }

    #[test]
    fn a_split_level_follows_the_exceed_ratio() {
        let goals = [p99_over_100ms()];
        let (good, bad) = (window(1000, 2, 0), window(900, 100, 0));
        let one = judged(&goals, &[good.clone(), bad.clone(), good.clone()]);
        assert!(one.good && one.windows_bad == 1 && one.windows == 3 && one.failed_by.is_none());
        let two = judged(&goals, &[good, bad.clone(), bad]);
        assert!(!two.good && two.windows_bad == 2);
        assert_eq!(two.failed_by.as_deref(), Some("p99(http) > 100ms"));
        assert_eq!((two.bad_ratio, two.requests), (202.0 / 3002.0, 3002));
    }

    #[test]
    fn thin_windows_are_joined() {
        let goals = [p99_over_100ms()];
        // Alone, the second window would be bad with 1 of 90.
        let joined =
            judged(&goals, &[window(200, 0, 0), window(89, 1, 0), window(200, 0, 0), window(100, 0, 0)]);
        assert!(joined.good && joined.enough && joined.windows == 1 && joined.requests == 590);
        let thin = judged(&goals, &[window(100, 0, 0), window(100, 0, 0)]);
        assert!(!thin.enough && thin.good);
        let hung = judged(&goals, &[window(0, 5, 20), window(0, 0, 30)]);
        assert!(hung.enough && !hung.good, "few answers, all of them bad, are a verdict");
        assert!(!judged(&goals, &[]).enough);
    }

    #[test]
    fn a_level_at_which_no_request_ended_is_bad() {
        let silent = judged(&[p99_over_100ms()], &[window(0, 0, 0), window(0, 0, 0)]);
        assert!(!silent.good && !silent.enough && silent.windows_bad == silent.windows);
        assert_eq!(silent.failed_by.as_deref(), Some("p99(http) > 100ms"));
        assert_eq!((silent.bad_ratio, silent.requests), (1.0, 0));
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
        assert!(!hung.good && hung.windows_bad == 2 && hung.windows == 3, "{hung:?}");
        assert_eq!(hung.failed_by.as_deref(), Some("p99(http) > 100ms"));
        let once = judged(&goals, &[well.clone(), still.clone(), well]);
        assert!(once.good && once.windows_bad == 1, "one window of three may be bad");
        let late = judged(&goals, &[window(500, 0, 0), window(0, 0, 0), window(3, 0, 0)]);
        assert!(
            late.good && (late.windows, late.windows_bad) == (2, 1),
            "what is left joins no silence: {late:?}"
        );
        // A request now and then, of which a window may well have none.
        let rare = judged(&goals, &[window(9, 0, 0), still, window(7, 0, 0)]);
        assert!(rare.good && !rare.enough && rare.windows == 1, "{rare:?}");
    }

    #[test]
    fn the_goal_that_failed_first_is_named() {
        let errors =
            Goal::from_threshold(threshold("error_rate > 5%", Stat::ErrorRate, Op::Greater, 0.05)).unwrap();
        let goals = [errors, p99_over_100ms()];
        let slow_then_failing = [window(900, 100, 0), window(500, 0, 500), window(500, 0, 500)];
        assert_eq!(judged(&goals, &slow_then_failing).failed_by.as_deref(), Some("p99(http) > 100ms"));
        let nearest = judged(&goals, &[window(1000, 5, 1), window(1000, 5, 1), window(1000, 5, 1)]);
        assert_eq!(
            (nearest.good, nearest.bad_ratio_max),
            (true, 0.01),
            "the goal nearest its bound speaks for a good level"
        );
    }
}
