//! From a condition of `fail_when` to a bound on the share of bad requests, and the judgment of one trial by it. A ratio of bad requests
//! can be added up over windows and compared with a bound; a percentile can be neither.

use super::{Goal, GoalKind};
use crate::endpoint::Protocol;
use crate::threshold::{Op, Selector, Stat, Threshold, Which};

/// Requests below which a trial says nothing about a p99: n = ln 0.025 / ln 0.99 = 367 is the least sample in which any order statistic
/// is an upper 97.5 % confidence bound of the p99 (a smaller one lies below the p99 altogether with more than 2.5 % probability).
pub const TRIAL_REQUESTS_MIN: u64 = 367;

/// What a goal asks of one trial; the measurement implements it.
pub trait TrialStats {
    /// Requests that ended as expected but took longer than `limit_ns` on this clock.
    fn slower(&self, clock: Which, protocol: Protocol, name: Option<&str>, limit_ns: u64) -> u64;
    /// (all, failed) of the matching requests that ended in the trial; `None` as protocol means all of them.
    fn requests(&self, protocol: Option<Protocol>, name: Option<&str>) -> (u64, u64);
    /// (planned, dropped) iterations.
    fn iterations(&self) -> (u64, u64);
}

/// One goal's view of one window, or of several taken together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    pub bad: u64,
    pub all: u64,
    /// bad / all, 0 where there was nothing.
    pub bad_ratio: f64,
    pub is_bad: bool,
    /// Enough requests to say so: at least the goal's minimum, or so many bad ones that no number of good ones up to it would help.
    pub enough: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GoalError {
    #[error(
        "`{text}` cannot decide a level: a search counts bad requests, so it takes percentiles, `max`, `error_rate` and `dropped`"
    )]
    Statistic { text: String },
    #[error("`{text}` says what is good: `fail_when` says what is not, so write `>` or `>=`")]
    Direction { text: String },
    #[error(
        "`{text}` does not say of which requests: write `p99(http) > 100ms`, with `http`, `ws` or a `{{name=…}}`"
    )]
    Selector { text: String },
    #[error(
        "`{text}` has an `in` or `for`, but a search judges every window of a level itself: leave it out"
    )]
    Span { text: String },
    #[error("`{text}` can never fail: its bound lies outside the possible values")]
    Bound { text: String },
}

impl Goal {
    /// # Errors
    /// A condition that is not a statement about the share of bad requests, or one that cannot become true.
    pub fn from_threshold(threshold: Threshold) -> Result<Self, GoalError> {
        let text = threshold.text.clone();
        if threshold.phase.is_some() || threshold.lasting.is_some() {
            return Err(GoalError::Span { text });
        }
        let inclusive = match threshold.op {
            Op::Greater => false,
            Op::GreaterOrEqual => true,
            _ => return Err(GoalError::Direction { text }),
        };
        // `x >= b` is `x > ` the number just below b.
        let above = |bound: f64| if inclusive { bound.next_down() } else { bound };
        let kind = match (threshold.stat, &threshold.selector) {
            (Stat::Percentile(_) | Stat::Max, Selector::All | Selector::Resource(_)) => {
                return Err(GoalError::Selector { text });
            }
            (stat @ (Stat::Percentile(_) | Stat::Max), Selector::Requests { clock, protocol, name }) => {
                let quantile = if let Stat::Percentile(quantile) = stat { quantile } else { 1.0 };
                let limit_ns = threshold.value - f64::from(u8::from(inclusive));
                if !(0.0..=u64::MAX as f64).contains(&limit_ns) || !(0.0..=1.0).contains(&quantile) {
                    return Err(GoalError::Bound { text });
                }
                GoalKind::Latency {
                    clock: *clock,
                    protocol: *protocol,
                    name: name.clone(),
                    limit_ns: limit_ns as u64,
                    bad_ratio_max: tidy(1.0 - quantile),
                }
            }
            (Stat::ErrorRate, Selector::Resource(_)) => return Err(GoalError::Selector { text }),
            (Stat::ErrorRate, selector) => {
                let bad_ratio_max = above(threshold.value);
                if !(0.0..1.0).contains(&bad_ratio_max) {
                    return Err(GoalError::Bound { text });
                }
                let (protocol, name) = match selector {
                    Selector::Requests { protocol, name, .. } => (Some(*protocol), name.clone()),
                    _ => (None, None),
                };
                GoalKind::Errors { protocol, name, bad_ratio_max }
            }
            (Stat::Dropped { ratio }, _) => {
                let max = above(threshold.value);
                if max < 0.0 || (ratio && max >= 1.0) {
                    return Err(GoalError::Bound { text });
                }
                GoalKind::Dropped { max, ratio }
            }
            _ => return Err(GoalError::Statistic { text }),
        };
        Ok(Self { threshold, kind })
    }

    /// Judges one trial.
    pub fn judge(&self, stats: &dyn TrialStats) -> Trial {
        let (bad, all) = self.count(stats);
        self.trial(bad, all)
    }

    /// Several windows as one trial: the counts of requests add up.
    pub fn merge(&self, trials: &[Trial]) -> Trial {
        self.trial(trials.iter().map(|trial| trial.bad).sum(), trials.iter().map(|trial| trial.all).sum())
    }

    /// The bound on the share of bad requests. For a count of dropped arrivals it is 0: a bound that no share can express.
    pub fn bad_ratio_max(&self) -> f64 {
        match self.kind {
            GoalKind::Latency { bad_ratio_max, .. } | GoalKind::Errors { bad_ratio_max, .. } => bad_ratio_max,
            GoalKind::Dropped { max, ratio: true } => max,
            GoalKind::Dropped { ratio: false, .. } => 0.0,
        }
    }

    /// A trial's least number of requests: [`TRIAL_REQUESTS_MIN`], or by the same formula more where the bound is tighter than 1 %.
    pub fn requests_min(&self) -> u64 {
        let bound = self.bad_ratio_max();
        match self.kind {
            GoalKind::Dropped { .. } => 0,
            _ if bound <= 0.0 => TRIAL_REQUESTS_MIN,
            _ => TRIAL_REQUESTS_MIN.max((0.025_f64.ln() / (1.0 - bound).ln()).floor() as u64),
        }
    }

    /// Whether it is a statement about requests, so that none at all means that the target answered nothing.
    pub fn asks_for_requests(&self) -> bool {
        match self.kind {
            GoalKind::Latency { .. } | GoalKind::Errors { .. } => true,
            GoalKind::Dropped { .. } => false,
        }
    }

    /// Whether its bound is a number, not a share: a longer trial then breaks it the sooner.
    pub fn counts(&self) -> bool {
        matches!(self.kind, GoalKind::Dropped { ratio: false, .. })
    }

    /// (bad, all). Of latency, what dropped iterations would have asked for counts as bad.
    fn count(&self, stats: &dyn TrialStats) -> (u64, u64) {
        let (planned, dropped) = stats.iterations();
        match &self.kind {
            GoalKind::Latency { clock, protocol, name, limit_ns, .. } => {
                let (all, failed) = stats.requests(Some(*protocol), name.as_deref());
                let slower = stats.slower(*clock, *protocol, name.as_deref(), *limit_ns);
                let unsent = unsent(all, planned, dropped);
                ((failed + slower).min(all) + unsent, all + unsent)
            }
            GoalKind::Errors { protocol, name, .. } => {
                let (all, failed) = stats.requests(*protocol, name.as_deref());
                (failed, all)
            }
            GoalKind::Dropped { .. } => (dropped, planned),
        }
    }

    fn trial(&self, bad: u64, all: u64) -> Trial {
        let bad_ratio = if all == 0 { 0.0 } else { bad as f64 / all as f64 };
        let is_bad = match self.kind {
            GoalKind::Dropped { max, ratio: false } => bad as f64 > max,
            _ => bad_ratio > self.bad_ratio_max(),
        };
        let minimum = self.requests_min();
        let enough = all >= minimum || bad as f64 > self.bad_ratio_max() * minimum as f64;
        Trial { bad, all, bad_ratio, is_bad, enough }
    }
}

/// Requests that dropped iterations would have sent, if those that began sent `all`: as many each, and one at least in all. So the share that was not sent is
/// that of the iterations, of an endpoint that few of them visit too.
fn unsent(all: u64, planned: u64, dropped: u64) -> u64 {
    let begun = planned.saturating_sub(dropped);
    if all == 0 || begun == 0 {
        return dropped;
    }
    let each = all as f64 / begun as f64;
    ((dropped as f64 * each).round() as u64).max(u64::from(dropped > 0))
}

/// 1 − 0.99 is 0.010000000000000009 in binary; the bound that is meant is 0.01.
fn tidy(ratio: f64) -> f64 {
    (ratio * 1e12).round() / 1e12
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Latencies of successful requests in ms, and counts of the rest.
    #[derive(Clone, Default)]
    pub(crate) struct Counted {
        pub(crate) ok_ms: Vec<f64>,
        pub(crate) failed: u64,
        pub(crate) planned: u64,
        pub(crate) dropped: u64,
    }

    impl TrialStats for Counted {
        fn slower(&self, _: Which, _: Protocol, _: Option<&str>, limit_ns: u64) -> u64 {
            self.ok_ms.iter().filter(|&&ms| ms * 1e6 > limit_ns as f64).count() as u64
        }
        fn requests(&self, _: Option<Protocol>, _: Option<&str>) -> (u64, u64) {
            (self.ok_ms.len() as u64 + self.failed, self.failed)
        }
        fn iterations(&self) -> (u64, u64) {
            (self.planned, self.dropped)
        }
    }

    pub(crate) fn threshold(text: &str, stat: Stat, op: Op, value: f64) -> Threshold {
        let http = Selector::Requests { clock: Which::Response, protocol: Protocol::Http, name: None };
        Threshold { text: text.to_owned(), stat, selector: http, op, value, phase: None, lasting: None }
    }

    pub(crate) fn p99_over_100ms() -> Goal {
        Goal::from_threshold(threshold("p99(http) > 100ms", Stat::Percentile(0.99), Op::Greater, 1e8))
            .unwrap()
    }

    #[test]
    fn a_percentile_is_a_share_of_bad_requests() {
        let goal = p99_over_100ms();
        assert_eq!(goal.bad_ratio_max(), 0.01);
        let mut trial = Counted { ok_ms: vec![20.0; 990], planned: 1000, ..Counted::default() };
        trial.ok_ms.extend([100.1; 10]);
        assert!(!goal.judge(&trial).is_bad, "the 990th of 1,000 is the p99, and it took 20 ms");
        trial.dropped = 1;
        assert_eq!(
            goal.judge(&trial),
            Trial { bad: 11, all: 1001, bad_ratio: 11.0 / 1001.0, is_bad: true, enough: true }
        );
        let failed = Counted { ok_ms: vec![1.0; 989], failed: 11, ..Counted::default() };
        assert!(goal.judge(&failed).is_bad, "a fast failure is no fast answer");
    }

    #[test]
    fn too_few_requests_decide_only_when_nothing_could_save_them() {
        let goal = p99_over_100ms();
        assert_eq!(goal.requests_min(), 367);
        let few = |ok: usize, slow: usize| {
            let mut trial = Counted { ok_ms: vec![1.0; ok], ..Counted::default() };
            trial.ok_ms.extend(vec![500.0; slow]);
            goal.judge(&trial)
        };
        assert!(!few(300, 0).enough && !few(300, 3).enough && few(300, 4).enough && few(367, 0).enough);
        let halves = goal.merge(&[few(200, 1), few(200, 2)]);
        assert!(halves.enough && !halves.is_bad && halves.bad == 3);
        let p99_9 = threshold("p99.9(http) > 1s", Stat::Percentile(0.999), Op::Greater, 1e9);
        assert_eq!(Goal::from_threshold(p99_9).unwrap().requests_min(), 3687);
    }

    /// One in ten iterations visits the endpoint: of ten that were dropped, one would have.
    #[test]
    fn what_was_not_sent_is_charged_to_an_endpoint_as_often_as_it_is_visited() {
        let judged = |requests: usize, dropped: u64| {
            let trial = Counted { ok_ms: vec![20.0; requests], planned: 1000, dropped, ..Counted::default() };
            let judged = p99_over_100ms().judge(&trial);
            (judged.bad, judged.all)
        };
        assert_eq!(judged(99, 10), (1, 100));
        assert_eq!(judged(3960, 10), (40, 4000), "four requests an iteration");
        assert_eq!(judged(99, 1), (1, 100), "none is lost in rounding");
        assert_eq!(judged(0, 10), (10, 10));
        assert_eq!(judged(0, 1000), (1000, 1000));
    }

    #[test]
    fn bounds_may_be_inclusive() {
        let goal =
            |text: &str, stat, op, value| Goal::from_threshold(threshold(text, stat, op, value)).unwrap();
        let one_in_100 = Counted { ok_ms: vec![100.0; 396], failed: 4, planned: 10, dropped: 1 };
        assert!(!goal("error_rate > 1%", Stat::ErrorRate, Op::Greater, 0.01).judge(&one_in_100).is_bad);
        assert!(
            goal("error_rate >= 1%", Stat::ErrorRate, Op::GreaterOrEqual, 0.01).judge(&one_in_100).is_bad
        );
        assert!(goal("max(http) >= 100ms", Stat::Max, Op::GreaterOrEqual, 1e8).judge(&one_in_100).is_bad);
        let count = Stat::Dropped { ratio: false };
        assert!(goal("dropped > 0", count, Op::Greater, 0.0).judge(&one_in_100).is_bad);
        assert!(!goal("dropped > 1", count, Op::Greater, 1.0).judge(&one_in_100).is_bad);
        assert!(goal("dropped >= 1", count, Op::GreaterOrEqual, 1.0).judge(&one_in_100).is_bad);
        let share = Stat::Dropped { ratio: true };
        assert!(!goal("dropped > 10%", share, Op::Greater, 0.1).judge(&one_in_100).is_bad);
    }

    #[test]
    fn what_cannot_be_a_goal_says_why() {
        let error = |stat, op, value| {
            Goal::from_threshold(threshold("CONDITION", stat, op, value)).unwrap_err().to_string()
        };
        insta::assert_snapshot!([
            error(Stat::Mean, Op::Greater, 1e8),
            error(Stat::Used { ratio: true }, Op::Greater, 0.9),
            error(Stat::Percentile(0.99), Op::Less, 1e8),
            error(Stat::ErrorRate, Op::Greater, 1.0),
        ].join("\n"), @"
        `CONDITION` cannot decide a level: a search counts bad requests, so it takes percentiles, `max`, `error_rate` and `dropped`
        `CONDITION` cannot decide a level: a search counts bad requests, so it takes percentiles, `max`, `error_rate` and `dropped`
        `CONDITION` says what is good: `fail_when` says what is not, so write `>` or `>=`
        `CONDITION` can never fail: its bound lies outside the possible values
        ");
        let mut open = threshold("p99 > 1s in peak", Stat::Percentile(0.99), Op::Greater, 1e9);
        open.selector = Selector::All;
        assert!(matches!(Goal::from_threshold(open.clone()), Err(GoalError::Selector { .. })));
        open.phase = Some("peak".to_owned());
        assert!(matches!(Goal::from_threshold(open), Err(GoalError::Span { .. })));
    }
}
