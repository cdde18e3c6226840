//! Levels of a search or a staircase, second by second: bring the load there, let it settle, judge windows, cool down, ask for the next
//! level. Pure: merged seconds in, words for the agents out.
//!
//! | state | a second ends | what follows |
//! |---|---|---|
//! | settling | before the judged span begins | nothing |
//! | settling | at its beginning, and users of a higher level are still there | nothing, for up to [`STRAGGLERS_MAX_S`] |
//! | settling | at its beginning | judging |
//! | judging | inside a window | the second is added to it |
//! | judging | at the end of a window that does not decide yet, or of the last one with too few requests or late seconds | one more window, up to [`WINDOWS_FACTOR_MAX`] times as many as were asked for |
//! | judging | at the end of any window, and iterations in flight grow without end | the level is marked as bad |
//! | judging | at the end of a window, and the response time has not come to rest | one more window, up to [`UNSETTLED_FACTOR_MAX`] times as many, unless the level is bad and gets worse |
//! | judging | at the end of a window that decides | the level is marked; cooling after a bad one, else the next level |
//! | judging a soak | at the end of a window, before its time | nothing, unless it is bad already |
//! | cooling | at its end, and the goals are met again | the next level |
//! | cooling | [`RECOVERY_MAX_S`] after the bad level, or five times the cooling | the system does not recover: a search is over, a staircase goes on |
//! | over | any | nothing |
//!
//! A system that is still busy with a bad level would make the next one bad as well, whatever that is. Where the next level is the one that
//! is there already, to be judged by more windows, it is not settled again.
//!
//! Windows that began before the level had come to rest do not count, unless that was a tenth of them (`stay`); those that follow do in their place.

mod stay;
pub(super) mod words;

use crate::clock::Nanos;
use crate::endpoint::Endpoint;
use crate::limits::MERGE_SLACK;
use crate::measure::snapshot::Snapshot;
use crate::measure::span::Span;
use crate::record::rows::LevelMark;
use crate::record::summary::Warning;
use crate::scenario::plan::{LevelTiming, LoadUnit};
use crate::search::goal::Trial;
use crate::search::level::{self, LevelResult, Window};
use crate::search::steady::trend;
use crate::search::{Goal, Levels, Step, line};
use crate::units::NANOS_PER_S;
use stay::Stay;
use std::collections::VecDeque;
use std::time::Duration;
use words::Said;

/// A level whose windows hold too few requests is held longer, at most this many times as long.
const WINDOWS_FACTOR_MAX: u32 = 4;

/// A level whose response time does not come to rest is held longer, at most this many times as long: many systems never come to one.
const UNSETTLED_FACTOR_MAX: u32 = 2;

/// More users than this many times the level are not the level's. They are waited for so long after the settling: the longest that a
/// scenario commonly lets them end in peace, twice.
const STRAGGLERS_RATIO_MAX: f64 = 1.05;
const STRAGGLERS_MAX_S: u64 = 60;

/// Seconds in flight below which a trend of them is a queue that wanders.
const GROWTH_SECONDS_MIN: usize = 20;

/// Lengths of an iteration that a span takes before what is in flight can be told to grow for another reason than that the load was raised.
const ITERATIONS_MIN: f64 = 2.0;

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
    Say(Said),
    /// The levels are over.
    Done,
}

pub struct LevelRun {
    chooser: Box<dyn Levels>,
    goals: Vec<Goal>,
    exceed: f64,
    timing: LevelTiming,
    soak: Duration,
    of: LoadUnit,
    endpoints: Vec<Endpoint>,
    /// What was seen of each level, for when it is judged again.
    seen: Vec<(f64, Seen)>,
    state: State,
}

enum State {
    Settling { judged_from_s: u64, judging: Judging },
    Judging(Judging),
    Cooling(Cooling),
    Over,
}

/// The time in which a level is judged.
struct Judging {
    level: f64,
    /// Windows that are to decide; of a soak, those that it lasts.
    asked: u32,
    soak: bool,
    from_s: u64,
    /// The window under way.
    open: Option<Snapshot>,
    /// Windows that ended since `from_s`.
    ended: u32,
    seen: Seen,
    /// Iterations in flight at the end of each second since `from_s`, and how many ended since then.
    in_flight: Vec<f64>,
    iterations: u64,
    /// Seconds in flight at which their trend is looked at next.
    look_at: usize,
}

/// What was measured of a level: the windows of earlier stays that count, and the latest stay.
#[derive(Clone, Default)]
struct Seen {
    earlier: Vec<Window>,
    stay: Stay,
}

impl Seen {
    /// The windows that count. What was asked only while the level was settling, as by users who log in once, counts all the same: in the first of them.
    fn windows(&self, goals: &[Goal]) -> Vec<Window> {
        let mut counted: Vec<Window> = self.earlier.iter().chain(self.stay.counted()).cloned().collect();
        let of = |windows: &[Window], index: usize| -> Vec<Trial> {
            windows.iter().filter_map(|window| window.get(index).copied()).collect()
        };
        for (index, goal) in goals.iter().enumerate() {
            let asked = of(&counted, index).iter().any(|trial| trial.all > 0);
            if !asked && let Some(trial) = counted.first_mut().and_then(|first| first.get_mut(index)) {
                *trial = goal.merge(&of(&self.stay.told(), index));
            }
        }
        counted
    }

    /// They, or where none counts yet all that were not told late: what moves without end has none that is settled.
    fn judged(&self, goals: &[Goal]) -> Vec<Window> {
        let counted = self.windows(goals);
        if counted.is_empty() { self.stay.told() } else { counted }
    }
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
        soak: Duration,
        of: LoadUnit,
        endpoints: Vec<Endpoint>,
    ) -> Self {
        Self { chooser, goals, exceed, timing, soak, of, endpoints, seen: Vec::new(), state: State::Over }
    }

    /// Asks for the first level; the part begins at `from_s`, which may lie ahead.
    pub fn start(&mut self, from_s: u64) -> Vec<Act> {
        self.next_level(from_s, None)
    }

    /// The level under way and whether it is being judged.
    pub fn level(&self) -> Option<(f64, bool)> {
        match &self.state {
            State::Settling { judging, .. } => Some((judging.level, false)),
            State::Judging(judging) => Some((judging.level, true)),
            State::Cooling(_) | State::Over => None,
        }
    }

    /// Where the load line lies by the levels judged so far.
    #[cfg(test)]
    fn so_far(&self) -> line::Outcome {
        self.chooser.so_far()
    }

    /// Takes in a merged second (or several, where one came late). What follows from it happens at `acts_from_s`, see [`acts_from_s`].
    pub fn second(&mut self, second: &Snapshot, acts_from_s: u64) -> Vec<Act> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Settling { judged_from_s, judging }
                if second.end_s >= judged_from_s
                    && (second.end_s >= judged_from_s + STRAGGLERS_MAX_S
                        || !self.has_stragglers(second, judging.level)) =>
            {
                let seen = Seen { stay: Stay::since(second.end_s), ..judging.seen };
                self.state = State::Judging(Judging { from_s: second.end_s, seen, ..judging });
                Vec::new()
            }
            State::Judging(judging) => self.judge(judging, second, acts_from_s),
            State::Cooling(cooling) => self.cool(cooling, second, acts_from_s),
            state @ (State::Settling { .. } | State::Over) => {
                self.state = state;
                Vec::new()
            }
        }
    }

    /// Whether users of a higher level are still there, who were told to leave and may end what they do.
    fn has_stragglers(&self, second: &Snapshot, level: f64) -> bool {
        self.of == LoadUnit::Users && second.users as f64 > level * STRAGGLERS_RATIO_MAX + 1.0
    }

    fn judge(&mut self, mut judging: Judging, second: &Snapshot, acts_from_s: u64) -> Vec<Act> {
        let window_s = whole_seconds(self.timing.window);
        let open = judging.open.get_or_insert_with(Snapshot::default);
        open.add(second);
        judging.in_flight.push(second.users as f64);
        judging.iterations += second.counts.ended();
        judging.seen.stay.second(second, &self.endpoints);
        let open_from_s = judging.from_s + window_s * u64::from(judging.ended);
        if second.end_s < open_from_s + window_s {
            self.state = State::Judging(judging);
            return Vec::new();
        }
        let snapshot = judging.open.take().unwrap_or_default();
        judging.ended += 1;
        let span =
            Span { snapshot: &snapshot, endpoints: &self.endpoints, seconds: window_s as f64, readings: &[] };
        judging.seen.stay.window((open_from_s, second.end_s), snapshot.late, level::look(&self.goals, &span));
        let result = if judging.soak {
            self.soaked(&judging)
        } else {
            judging.seen.stay.truncate();
            if self.grows(&mut judging) { Some(self.without_end(&judging)) } else { self.judged(&judging) }
        };
        match result {
            Some(result) => self.conclude(judging, result, second.end_s, acts_from_s),
            None => {
                self.state = State::Judging(judging);
                Vec::new()
            }
        }
    }

    /// What the windows so far say of the level; `None` where more of them are waited for.
    fn judged(&self, judging: &Judging) -> Option<LevelResult> {
        let Judging { level, asked, seen, .. } = judging;
        let (windows, all) = (seen.windows(&self.goals), self.timing.windows);
        let judge =
            |windows: &[Window], asked| level::judge(*level, &self.goals, windows, self.exceed, asked);
        let moving = seen.stay.truncation().filter(|found| found.is_unsettled);
        let first = |windows: &[Window]| {
            if *asked < all {
                level::judge_at_first(*level, &self.goals, windows, self.exceed, (*asked, all))
            } else {
                judge(windows, *asked)
            }
        };
        // What moves is no evidence of what it comes to; but a level that is bad and gets worse is bad, by what is left out as well where nothing else ended yet.
        let gets_worse = moving.is_some_and(|found| found.shift_ratio < 0.0);
        if windows.is_empty() && gets_worse {
            let result = first(&seen.stay.told());
            if result.decided && !result.good {
                return Some(result);
            }
        }
        let result = first(&windows);
        let ended = seen.earlier.len() as u32 + seen.stay.ended();
        let waits = !self.goals.is_empty()
            && moving.is_some()
            && (result.good || !gets_worse)
            && ended < result.asked * UNSETTLED_FACTOR_MAX;
        if waits {
            return None;
        }
        if result.decided && !windows.is_empty() || self.goals.is_empty() && ended >= *asked {
            return Some(result);
        }
        // What there is has to do, if more of it did not help. It is told as decided by as many as were asked for, all of them where the first look was in doubt.
        let asked = result.asked;
        (ended >= asked * WINDOWS_FACTOR_MAX).then(|| {
            let windows = if windows.is_empty() { seen.stay.all() } else { windows };
            let all = (windows.len() as u32).min(asked);
            LevelResult { asked, ..judge(&windows, all) }
        })
    }

    /// Whether a level has no steady state: of arrivals that do not wait for answers, more and more are under way. After each step up they are so for as
    /// long as one iteration takes, N/X by Little's law, on any target; so the trend counts from twice that on. Each look may be wrong by chance: there are few, at
    /// spans each twice as long as the one before.
    fn grows(&self, judging: &mut Judging) -> bool {
        let Judging { seen, in_flight, iterations, look_at, .. } = judging;
        let seconds = in_flight.len();
        if self.of == LoadUnit::Users || seconds < *look_at || seen.judged(&self.goals).is_empty() {
            return false;
        }
        *look_at = 2 * seconds;
        let mean = in_flight.iter().sum::<f64>() / seconds as f64;
        let iteration_s = mean * seconds as f64 / *iterations as f64;
        seconds as f64 >= ITERATIONS_MIN * iteration_s
            && trend(in_flight).is_some_and(|trend| trend.change_ratio > 0.0 && trend.is_material())
    }

    fn without_end(&self, judging: &Judging) -> LevelResult {
        let Judging { level, asked, seen, .. } = judging;
        level::judge(*level, &self.goals, &seen.judged(&self.goals), self.exceed, *asked).without_end()
    }

    /// What a soak came to; `None` where it goes on. Nothing of it is left out: what it guarantees holds from its first second.
    fn soaked(&self, judging: &Judging) -> Option<LevelResult> {
        let Judging { level, asked, ended, seen, .. } = judging;
        let windows = seen.windows(&self.goals);
        let all_seen = windows.len() as u32 >= *asked || *ended >= asked * WINDOWS_FACTOR_MAX;
        let windows = if windows.is_empty() { seen.stay.all() } else { windows };
        let over = all_seen || level::soak_is_lost(&self.goals, &windows, *asked);
        over.then(|| level::judge_soak(*level, &self.goals, &windows))
    }

    fn conclude(&mut self, judging: Judging, result: LevelResult, now_s: u64, acts_from_s: u64) -> Vec<Act> {
        let Judging { level, soak, from_s, seen, .. } = judging;
        let good = result.good;
        let (from_s, to_s) = (from_s as f64, now_s as f64);
        let mut mark = words::mark(&result, [from_s, to_s], soak, &seen.stay);
        let left_out_s = seen.stay.left_out_s();
        if soak {
            self.chooser.record_soak(result);
        } else {
            self.chooser.record(result);
            self.seen.retain(|(known, _)| *known != level);
            self.seen.push((level, seen));
        }
        let so_far = self.chooser.so_far();
        mark.bracket = [so_far.last_good, so_far.first_bad];
        let mut acts = vec![Act::Say(words::judged(&mark, left_out_s)), Act::Mark(mark)];
        let cooldown_s = whole_seconds(self.timing.cooldown);
        if good || cooldown_s == 0 || matches!(self.chooser.next(), Step::Done(_)) {
            acts.extend(self.next_level(acts_from_s, good.then_some(level)));
        } else {
            let least = if self.of == LoadUnit::Users { 1.0 } else { 0.0 };
            let low = line::round(level * COOLDOWN_SHARE, self.of).max(least);
            acts.push(Act::Steer { value: low, over_s: 0.0 });
            let latest = VecDeque::new();
            self.state = State::Cooling(Cooling { level, low, from_s: acts_from_s, latest });
        }
        acts
    }

    /// Whether the system has come out of a bad level.
    fn cool(&mut self, mut cooling: Cooling, second: &Snapshot, acts_from_s: u64) -> Vec<Act> {
        let cooldown_s = whole_seconds(self.timing.cooldown).max(1);
        let since_s = second.end_s.saturating_sub(cooling.from_s);
        if since_s > 0 {
            cooling.latest.push_back(second.clone());
        }
        while cooling.latest.len() as u64 > cooldown_s {
            cooling.latest.pop_front();
        }
        if since_s < cooldown_s {
            self.state = State::Cooling(cooling);
            return Vec::new();
        }
        let (level, low) = (cooling.level, cooling.low);
        let mut latest = Snapshot::default();
        cooling.latest.iter().for_each(|second| latest.add(second));
        let span =
            Span { snapshot: &latest, endpoints: &self.endpoints, seconds: cooldown_s as f64, readings: &[] };
        if level::is_well(&self.goals, &level::look(&self.goals, &span)) {
            let mut acts = Vec::new();
            if since_s > cooldown_s {
                acts.push(Act::Say(words::recovered(level, low, since_s)));
            }
            acts.extend(self.next_level(acts_from_s, None));
            return acts;
        }
        if since_s < RECOVERY_MAX_S.max(RECOVERY_COOLDOWNS * cooldown_s) {
            self.state = State::Cooling(cooling);
            return Vec::new();
        }
        self.chooser.did_not_recover();
        let said = words::did_not_recover(level, low, since_s);
        let warning = Warning {
            code: "non_recovering".into(),
            text: said.text.clone(),
            remedy: "look for what stays behind an overload: queues without a bound, retries, connections or memory that are not given back".into(),
        };
        let mut acts = vec![Act::Say(said), Act::Warn(warning)];
        acts.extend(self.next_level(acts_from_s, None));
        acts
    }

    /// `there` is the level that the load has already, and had long enough.
    fn next_level(&mut self, now_s: u64, there: Option<f64>) -> Vec<Act> {
        let window_s = whole_seconds(self.timing.window).max(1);
        let (level, asked, again, soak, said) = match self.chooser.next() {
            Step::Probe { level, windows, again, reason } => {
                (level, windows, again, false, words::next(level, windows, false, &reason))
            }
            Step::Soak { level, reason } => {
                let windows = whole_seconds(self.soak).div_ceil(window_s).max(1) as u32;
                (level, windows, false, true, words::next(level, windows, true, &reason))
            }
            Step::Done(outcome) => {
                self.state = State::Over;
                return vec![Act::Say(words::over(&outcome)), Act::Done];
            }
        };
        let stays = there == Some(level) && (again || soak);
        let known = self.seen.iter().find(|(known, _)| again && *known == level);
        let seen = match known {
            Some((_, seen)) if stays => seen.clone(),
            Some((_, seen)) => Seen { earlier: seen.windows(&self.goals), stay: Stay::since(now_s) },
            None => Seen { earlier: Vec::new(), stay: Stay::since(now_s) },
        };
        let judging = Judging {
            level,
            asked,
            soak,
            from_s: now_s,
            open: None,
            ended: 0,
            seen,
            in_flight: Vec::new(),
            iterations: 0,
            look_at: GROWTH_SECONDS_MIN,
        };
        if stays {
            self.state = State::Judging(judging);
            return vec![Act::Say(said)];
        }
        let ramp_s = self.timing.ramp.as_secs_f64();
        let settle_s = self.timing.ramp.max(self.timing.settle);
        let judged_from_s = now_s + whole_seconds(settle_s).max(1);
        self.state = State::Settling { judged_from_s, judging };
        vec![Act::Say(said), Act::Steer { value: level, over_s: ramp_s }]
    }
}

/// From when on what follows from the second that ended at `end_s` is counted. Usually that is its end; where the coordinator was held up,
/// the words go out later than that, and settling and cooling last from then on.
pub(super) fn acts_from_s(end_s: u64, now_ns: Nanos) -> u64 {
    let slack_ns = MERGE_SLACK.as_nanos() as Nanos;
    end_s.max(now_ns.saturating_sub(slack_ns).div_ceil(NANOS_PER_S))
}

/// Levels are judged in whole seconds, because that is what the merged histograms come in.
fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod repeatability;
#[cfg(test)]
mod tests;
