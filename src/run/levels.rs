//! Levels of a search or a staircase, second by second: bring the load there, let it settle, judge windows, cool down, ask for the next
//! level. Pure: merged seconds in, words for the agents out.
//!
//! | state | a second ends | what follows |
//! |---|---|---|
//! | settling | before the judged span begins | nothing |
//! | settling | at its beginning | judging |
//! | judging | inside a window | the second is added to it |
//! | judging | at the end of the last window, too few requests, or windows whose seconds came late | one more window, up to [`WINDOWS_FACTOR_MAX`] times as many |
//! | judging | at the end of the last window | the level is marked; cooling after a bad one, else the next level |
//! | cooling | at its end, and the goals are met again | the next level |
//! | cooling | [`RECOVERY_MAX_S`] after the bad level, or five times the cooling | the system does not recover: a search is over, a staircase goes on |
//! | over | any | nothing |
//!
//! A system that is still busy with a bad level would make the next one bad as well, whatever that is.

use crate::clock::Nanos;
use crate::endpoint::Endpoint;
use crate::limits::MERGE_SLACK;
use crate::measure::snapshot::Snapshot;
use crate::measure::span::Span;
use crate::record::rows::LevelMark;
use crate::record::summary::Warning;
use crate::scenario::plan::LevelTiming;
use crate::search::goal::TrialStats;
use crate::search::level::{self, LevelResult};
use crate::search::line::Outcome;
use crate::search::{Goal, Levels, Step};
use crate::units::NANOS_PER_S;
use std::collections::VecDeque;

/// A level whose windows hold too few requests is held longer, at most this many times as long.
const WINDOWS_FACTOR_MAX: u32 = 4;

/// Load left on the system after a bad level, so that its queues can empty while it is still seen to answer.
const COOLDOWN_SHARE: f64 = 0.2;

/// Who does not meet its goals again by then, at that share of the load, does not recover by itself.
const RECOVERY_MAX_S: u64 = 60;
/// A cooling that is longer than that was asked for by somebody who knows that it takes long.
const RECOVERY_COOLDOWNS: u64 = 5;

/// What a second leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Take the load to `value` over `over_s`.
    Steer {
        value: f64,
        over_s: f64,
    },
    Mark(LevelMark),
    Warn(Warning),
    /// A decision with its reason, for the events.
    Say(String),
    /// The levels are over.
    Done(Outcome),
}

pub struct LevelRun {
    chooser: Box<dyn Levels>,
    goals: Vec<Goal>,
    exceed: f64,
    timing: LevelTiming,
    endpoints: Vec<Endpoint>,
    state: State,
}

enum State {
    Settling { level: f64, judged_from_s: u64 },
    Judging { level: f64, from_s: u64, windows: Vec<(Snapshot, u64)> },
    Cooling(Cooling),
    Over,
}

/// The time after a bad level.
struct Cooling {
    /// The bad level, and the load since.
    level: f64,
    low: f64,
    from_s: u64,
    /// Merged seconds, the last ones only: as many as the scenario has a cooling last.
    latest: VecDeque<Snapshot>,
}

impl LevelRun {
    pub fn new(
        chooser: Box<dyn Levels>,
        goals: Vec<Goal>,
        exceed: f64,
        timing: LevelTiming,
        endpoints: Vec<Endpoint>,
    ) -> Self {
        Self { chooser, goals, exceed, timing, endpoints, state: State::Over }
    }

    /// Asks for the first level; the part begins at `from_s`, which may lie ahead.
    pub fn start(&mut self, from_s: u64) -> Vec<Act> {
        self.next_level(from_s)
    }

    /// The level under way and whether it is being judged.
    pub fn level(&self) -> Option<(f64, bool)> {
        match &self.state {
            State::Settling { level, .. } => Some((*level, false)),
            State::Judging { level, .. } => Some((*level, true)),
            State::Cooling(_) | State::Over => None,
        }
    }

    /// Takes in a merged second (or several, where one came late). What follows from it happens at `acts_from_s`, see [`acts_from_s`].
    pub fn second(&mut self, second: &Snapshot, acts_from_s: u64) -> Vec<Act> {
        let now_s = second.end_s;
        match &mut self.state {
            State::Settling { level, judged_from_s } if now_s >= *judged_from_s => {
                self.state = State::Judging { level: *level, from_s: now_s, windows: Vec::new() };
                Vec::new()
            }
            State::Judging { windows, from_s, .. } => {
                let window_s = whole_seconds(self.timing.window);
                let full = |(_, end_s): &(Snapshot, u64), index: usize| {
                    *end_s >= *from_s + window_s * (index as u64 + 1)
                };
                let open_new = windows.last().is_none_or(|last| full(last, windows.len() - 1));
                if open_new {
                    windows.push((Snapshot::default(), now_s));
                }
                let count = windows.len();
                let Some(last) = windows.last_mut() else { return Vec::new() };
                last.0.add(second);
                last.1 = now_s;
                if full(last, count - 1) && count as u32 >= self.timing.windows {
                    self.judge(now_s, acts_from_s)
                } else {
                    Vec::new()
                }
            }
            State::Cooling(_) => self.cool(second, acts_from_s),
            State::Settling { .. } | State::Over => Vec::new(),
        }
    }

    /// Whether the system has come out of a bad level.
    fn cool(&mut self, second: &Snapshot, acts_from_s: u64) -> Vec<Act> {
        let cooldown_s = whole_seconds(self.timing.cooldown).max(1);
        let State::Cooling(cooling) = &mut self.state else { return Vec::new() };
        let now_s = second.end_s;
        if now_s <= cooling.from_s {
            return Vec::new();
        }
        cooling.latest.push_back(second.clone());
        while cooling.latest.len() as u64 > cooldown_s {
            cooling.latest.pop_front();
        }
        let since_s = now_s - cooling.from_s;
        if since_s < cooldown_s {
            return Vec::new();
        }
        let (level, low) = (cooling.level, cooling.low);
        let mut latest = Snapshot::default();
        cooling.latest.iter().for_each(|second| latest.add(second));
        let span =
            Span { snapshot: &latest, endpoints: &self.endpoints, seconds: cooldown_s as f64, readings: &[] };
        if level::judge(low, &self.goals, &[&span], self.exceed).good {
            let mut acts = Vec::new();
            if since_s > cooldown_s {
                acts.push(Act::Say(format!(
                    "the goals are met again at {low}, {since_s} s after level {level}"
                )));
            }
            acts.extend(self.next_level(acts_from_s));
            return acts;
        }
        if since_s < RECOVERY_MAX_S.max(RECOVERY_COOLDOWNS * cooldown_s) {
            return Vec::new();
        }
        self.chooser.did_not_recover();
        let text = format!(
            "the target did not recover from level {level}: {since_s} s later it does not meet the goals at {low}"
        );
        let mut acts = vec![
            Act::Say(text.clone()),
            Act::Warn(Warning {
                code: "non_recovering".into(),
                text,
                remedy: "look for what stays behind an overload: queues without a bound, retries, connections or memory that are not given back".into(),
            }),
        ];
        acts.extend(self.next_level(acts_from_s));
        acts
    }

    fn judge(&mut self, now_s: u64, acts_from_s: u64) -> Vec<Act> {
        let State::Judging { level, from_s, windows } = &self.state else { return Vec::new() };
        let seconds = whole_seconds(self.timing.window) as f64;
        let may_go_on = (windows.len() as u32) < self.timing.windows * WINDOWS_FACTOR_MAX;
        let span = |snapshot| Span { snapshot, endpoints: &self.endpoints, seconds, readings: &[] };
        let all = || windows.iter().map(|(snapshot, _)| snapshot);
        // A window from which something is missing, or that has what belongs to another, shows a load that never was.
        let mut spans: Vec<Span<'_>> = all().filter(|snapshot| !snapshot.late).map(span).collect();
        if may_go_on && (spans.len() as u32) < self.timing.windows {
            return Vec::new();
        }
        if spans.is_empty() {
            spans = all().map(span).collect();
        }
        let trials: Vec<&dyn TrialStats> = spans.iter().map(|span| span as &dyn TrialStats).collect();
        let result = level::judge(*level, &self.goals, &trials, self.exceed);
        if !result.enough && may_go_on {
            return Vec::new();
        }
        let mark = mark(&result, *from_s, now_s);
        let (level, good) = (result.level, result.good);
        let mut acts = vec![Act::Say(sentence(&result)), Act::Mark(mark)];
        self.chooser.record(result);
        let cooldown_s = whole_seconds(self.timing.cooldown);
        if good || cooldown_s == 0 || matches!(self.chooser.next(), Step::Done(_)) {
            acts.extend(self.next_level(acts_from_s));
        } else {
            let low = (level * COOLDOWN_SHARE).max(1.0);
            acts.push(Act::Steer { value: low, over_s: 0.0 });
            let latest = VecDeque::new();
            self.state = State::Cooling(Cooling { level, low, from_s: acts_from_s, latest });
        }
        acts
    }

    fn next_level(&mut self, now_s: u64) -> Vec<Act> {
        match self.chooser.next() {
            Step::Probe { level, reason } => {
                let ramp_s = self.timing.ramp.as_secs_f64();
                let settle_s = self.timing.ramp.max(self.timing.settle);
                self.state = State::Settling { level, judged_from_s: now_s + whole_seconds(settle_s).max(1) };
                vec![
                    Act::Say(format!("level {level}: {reason}")),
                    Act::Steer { value: level, over_s: ramp_s },
                ]
            }
            Step::Done(outcome) => {
                self.state = State::Over;
                vec![Act::Done(outcome)]
            }
        }
    }
}

/// From when on what follows from the second that ended at `end_s` is counted. Usually that is its end; where the coordinator was held up,
/// the words go out later than that, and settling and cooling last from then on.
pub(super) fn acts_from_s(end_s: u64, now_ns: Nanos) -> u64 {
    let slack_ns = MERGE_SLACK.as_nanos() as Nanos;
    end_s.max(now_ns.saturating_sub(slack_ns).div_ceil(NANOS_PER_S))
}

fn mark(result: &LevelResult, from_s: u64, to_s: u64) -> LevelMark {
    LevelMark {
        level: result.level,
        from_s: from_s as f64,
        to_s: to_s as f64,
        good: result.good,
        failed_by: result.failed_by.clone(),
        bad_ratio: result.bad_ratio,
        bad_ratio_max: result.bad_ratio_max,
        windows_bad: result.windows_bad,
        windows: result.windows,
    }
}

fn sentence(result: &LevelResult) -> String {
    let verdict = if result.good { "good" } else { "bad" };
    let why = result.failed_by.as_ref().map_or_else(String::new, |text| format!(", by {text}"));
    if !result.good && result.requests == 0 {
        return format!(
            "level {} is {verdict}{why}: no request ended in {} windows",
            result.level, result.windows
        );
    }
    let doubt = if result.enough { "" } else { "; too few requests to be sure" };
    format!(
        "level {} is {verdict}{why}: {:.2} % bad requests of {} ({:.2} % allowed), {} of {} windows bad{doubt}",
        result.level,
        result.bad_ratio * 100.0,
        result.requests,
        result.bad_ratio_max * 100.0,
        result.windows_bad,
        result.windows
    )
}

/// Levels are judged in whole seconds, because that is what the merged histograms come in.
fn whole_seconds(span: std::time::Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Protocol;
    use crate::scenario::plan::LoadUnit;
    use crate::search::staircase::Staircase;
    use std::time::Duration;

    fn level_run(goals: Vec<Goal>, levels: Vec<f64>) -> LevelRun {
        let timing = LevelTiming {
            ramp: Duration::from_secs(1),
            settle: Duration::from_secs(2),
            window: Duration::from_secs(2),
            windows: 2,
            cooldown: Duration::from_secs(1),
        };
        let endpoint = Endpoint { name: "product".into(), protocol: Protocol::Http, route: "GET /".into() };
        LevelRun::new(Box::new(Staircase::new(levels, LoadUnit::Users)), goals, 0.5, timing, vec![endpoint])
    }

    fn second(end_s: u64, requests: u64, latency_ns: u64) -> Snapshot {
        let mut snapshot = Snapshot { end_s, ..Snapshot::default() };
        let window = snapshot.window_mut(0);
        for _ in 0..requests {
            window.response.record(latency_ns);
            window.completed += 1;
        }
        snapshot
    }

    fn p99_goal() -> Goal {
        let threshold = crate::threshold::parse("p99(http) > 100ms").expect("a threshold");
        Goal::from_threshold(threshold).expect("a goal")
    }

    #[test]
    fn ramp_and_settling_are_not_judged_and_every_judged_second_is() {
        let mut run = level_run(vec![p99_goal()], vec![10.0, 20.0]);
        assert!(matches!(run.start(0)[1], Act::Steer { value: 10.0, .. }));
        let mut marks = Vec::new();
        let mut done = false;
        for end_s in 1..40 {
            // Slow while settling: it must not count.
            let slow = matches!(run.level(), Some((_, false)));
            for act in run.second(&second(end_s, 500, if slow { 900_000_000 } else { 20_000_000 }), end_s) {
                match act {
                    Act::Mark(mark) => marks.push(mark),
                    Act::Done(_) => done = true,
                    Act::Steer { .. } | Act::Say(_) | Act::Warn(_) => {}
                }
            }
        }
        assert!(done);
        assert_eq!(
            marks.iter().map(|mark| (mark.level, mark.good)).collect::<Vec<_>>(),
            [(10.0, true), (20.0, true)]
        );
        assert_eq!((marks[0].from_s, marks[0].to_s), (2.0, 6.0));
        assert_eq!((marks[1].from_s, marks[1].to_s), (8.0, 12.0));
    }

    #[test]
    fn a_level_with_too_few_requests_is_held_longer() {
        let mut run = level_run(vec![p99_goal()], vec![10.0]);
        run.start(0);
        let mut ended_s = 0;
        for end_s in 1..40 {
            if run.second(&second(end_s, 50, 1_000_000), end_s).iter().any(|act| matches!(act, Act::Mark(_)))
            {
                ended_s = end_s;
            }
        }
        assert_eq!(ended_s, 10, "367 requests at 50 a second are there after 8 s of judging");
    }

    #[test]
    fn a_window_with_a_late_second_decides_nothing() {
        let mut run = level_run(vec![p99_goal()], vec![10.0]);
        run.start(0);
        let mut marks = Vec::new();
        for end_s in 1..40 {
            // What a silent member did not tell in second 3 comes as slow answers in second 4: both are of the first window.
            let late = (3..=4).contains(&end_s);
            let told =
                Snapshot { late, ..second(end_s, 500, if end_s == 4 { 900_000_000 } else { 1_000_000 }) };
            marks.extend(run.second(&told, end_s).into_iter().filter_map(|act| match act {
                Act::Mark(mark) => Some(mark),
                Act::Steer { .. } | Act::Say(_) | Act::Warn(_) | Act::Done(_) => None,
            }));
        }
        assert_eq!(
            marks.iter().map(|mark| (mark.good, mark.windows, mark.to_s)).collect::<Vec<_>>(),
            [(true, 2, 8.0)]
        );
    }

    #[test]
    fn a_crew_that_is_always_late_is_judged_in_the_end() {
        let mut run = level_run(vec![p99_goal()], vec![10.0]);
        run.start(0);
        let late = |end_s| Snapshot { late: true, ..second(end_s, 500, 1_000_000) };
        let marked =
            |end_s: &u64| run.second(&late(*end_s), *end_s).iter().any(|act| matches!(act, Act::Mark(_)));
        assert_eq!((1..40).find(marked), Some(2 + 4 * 4), "four times as many windows");
    }

    /// Levels 10 and 20, of which the second is bad; afterwards every second is slow until `until_s`. The words of the search, and the warnings.
    fn after_a_bad_level(until_s: u64) -> (Vec<String>, Vec<Warning>, u64) {
        let rules = crate::scenario::plan::SearchRules {
            from: 10.0,
            to: 40.0,
            grow: 2.0,
            precision: 0.3,
            exceed: 0.5,
            fail_when: vec![p99_goal()],
        };
        let search = crate::search::controller::Search::new(rules, LoadUnit::Users);
        let mut run = LevelRun { chooser: Box::new(search), ..level_run(vec![p99_goal()], Vec::new()) };
        run.start(0);
        let (mut words, mut warnings, mut over_s) = (Vec::new(), Vec::new(), 0);
        for end_s in 1..200 {
            let slow = run.level().is_some_and(|(level, _)| level > 15.0) || (10..until_s).contains(&end_s);
            for act in run.second(&second(end_s, 500, if slow { 900_000_000 } else { 20_000_000 }), end_s) {
                match act {
                    Act::Say(text) => words.push(text),
                    Act::Warn(warning) => warnings.push(warning),
                    Act::Done(_) => over_s = end_s,
                    Act::Steer { .. } | Act::Mark(_) => {}
                }
            }
        }
        (words, warnings, over_s)
    }

    #[test]
    fn after_a_bad_level_the_next_one_waits_until_the_goals_are_met_again() {
        let (words, warnings, over_s) = after_a_bad_level(20);
        assert_eq!(warnings, []);
        let recovered: Vec<_> = words.iter().filter(|text| text.contains("met again")).collect();
        assert_eq!(recovered, ["the goals are met again at 4, 8 s after level 20"], "{words:?}");
        assert!(over_s > 20);
        let (words, ..) = after_a_bad_level(0);
        assert!(!words.iter().any(|text| text.contains("met again")), "it was well all the time: {words:?}");
    }

    #[test]
    fn a_target_that_does_not_recover_ends_the_search() {
        let (words, warnings, over_s) = after_a_bad_level(1_000);
        assert_eq!(
            warnings.iter().map(|warning| warning.code.as_str()).collect::<Vec<_>>(),
            ["non_recovering"]
        );
        insta::assert_snapshot!(warnings[0].text, @"the target did not recover from level 20: 60 s later it does not meet the goals at 4");
        assert_eq!((over_s, words.last()), (12 + 60, Some(&warnings[0].text)));
    }

    /// The judged spans of levels when the part begins at `start_s` and each second `end_s` is taken in at `now_s(end_s)`.
    fn judged_spans(start_s: u64, now_s: impl Fn(u64) -> f64) -> Vec<(f64, f64)> {
        let mut run = level_run(vec![p99_goal()], vec![10.0, 20.0]);
        run.start(start_s);
        let mut spans = Vec::new();
        for end_s in 1..40 {
            let now_ns = (now_s(end_s) * NANOS_PER_S as f64) as u64;
            for act in run.second(&second(end_s, 500, 1_000_000), acts_from_s(end_s, now_ns)) {
                if let Act::Mark(mark) = act {
                    spans.push((mark.from_s, mark.to_s));
                }
            }
        }
        spans
    }

    #[test]
    fn the_first_level_settles_from_the_start_of_its_part() {
        let at_once = |end_s: u64| end_s as f64 + 0.02;
        assert_eq!(judged_spans(0, at_once), [(2.0, 6.0), (8.0, 12.0)]);
        assert_eq!(judged_spans(7, at_once), [(9.0, 13.0), (15.0, 19.0)]);
    }

    #[test]
    fn settling_lasts_from_when_the_load_was_steered() {
        // The coordinator is held up until 9.3 s and takes in what has come meanwhile.
        let held_up = |end_s: u64| (end_s as f64 + 0.02).max(9.3);
        assert_eq!(judged_spans(0, held_up), [(2.0, 6.0), (12.0, 16.0)]);
    }
}
