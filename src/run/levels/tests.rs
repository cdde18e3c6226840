//! Levels second by second: settling, windows, cooling.

use super::*;
use crate::endpoint::Protocol;
use crate::record::summary::Counts;
use crate::scenario::plan::{LoadUnit, SearchRules};
use crate::search::classify::Bound;
use crate::search::staircase::Staircase;
use std::time::Duration;

fn level_run(goals: Vec<Goal>, levels: Vec<f64>) -> LevelRun {
    let timing = LevelTiming {
        ramp: Duration::from_secs(1),
        settle: Duration::from_secs(2),
        window: Duration::from_secs(4),
        windows: 1,
        cooldown: Duration::from_secs(1),
    };
    let endpoint = Endpoint { name: "product".into(), protocol: Protocol::Http, route: "GET /".into() };
    LevelRun::new(
        Box::new(Staircase::new(levels, LoadUnit::Users)),
        goals,
        0.5,
        timing,
        Duration::ZERO,
        LoadUnit::Users,
        vec![endpoint],
    )
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

pub(super) fn p99_goal() -> Goal {
    let threshold = crate::threshold::parse("p99(http) > 100ms").expect("a threshold");
    Goal::from_threshold(threshold).expect("a goal")
}

/// A search between these levels, to this precision.
fn rules(from: f64, to: f64, precision: f64) -> SearchRules {
    SearchRules {
        from,
        to,
        grow: 2.0,
        precision,
        exceed: 0.5,
        fail_when: vec![p99_goal()],
        effort: None,
        guarantee: false,
        soak: Duration::ZERO,
    }
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
                Act::Done => done = true,
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
fn a_level_is_judged_when_the_users_of_a_higher_one_have_left() {
    let judged_from_s = |left_at_s: u64| {
        let mut run = level_run(vec![p99_goal()], vec![10.0]);
        run.start(0);
        (1..200).find_map(|end_s| {
            let users = if end_s < left_at_s { 15 } else { 11 };
            let acts = run.second(&Snapshot { users, ..second(end_s, 500, 1_000_000) }, end_s);
            acts.into_iter().find_map(|act| if let Act::Mark(mark) = act { Some(mark.from_s) } else { None })
        })
    };
    assert_eq!(judged_from_s(0), Some(2.0));
    assert_eq!(judged_from_s(20), Some(20.0));
    assert_eq!(judged_from_s(1_000), Some(62.0), "and not waited for for ever");
}

#[test]
fn a_level_with_too_few_requests_is_held_longer() {
    let mut run = level_run(vec![p99_goal()], vec![10.0]);
    run.start(0);
    let mut ended_s = 0;
    for end_s in 1..40 {
        if run.second(&second(end_s, 50, 1_000_000), end_s).iter().any(|act| matches!(act, Act::Mark(_))) {
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
        let told = Snapshot { late, ..second(end_s, 500, if end_s == 4 { 900_000_000 } else { 1_000_000 }) };
        marks.extend(run.second(&told, end_s).into_iter().filter_map(|act| match act {
            Act::Mark(mark) => Some(mark),
            Act::Steer { .. } | Act::Say(_) | Act::Warn(_) | Act::Done => None,
        }));
    }
    assert_eq!(
        marks.iter().map(|mark| (mark.good, mark.windows, mark.to_s)).collect::<Vec<_>>(),
        [(true, 1, 10.0)]
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

#[test]
fn the_load_after_a_bad_level_is_a_round_number() {
    let after = |of: LoadUnit, level: f64| {
        let mut run = level_run(vec![p99_goal()], vec![level, level]);
        run.of = of;
        run.start(0);
        (1..40).find_map(|end_s| {
            let acts = run.second(&second(end_s, 500, 900_000_000), end_s);
            acts.into_iter()
                .find_map(|act| if let Act::Steer { value, .. } = act { Some(value) } else { None })
        })
    };
    assert_eq!(after(LoadUnit::RatePerS, 1_131.0), Some(226.2), "not 226.20000000000002");
    assert_eq!(after(LoadUnit::Users, 8.0), Some(1.0));
    assert_eq!(after(LoadUnit::Users, 1.0), Some(1.0));
}

/// Levels 10 and 20, of which the second is bad; afterwards every second is slow until `until_s`. The words of the search, and the warnings.
fn after_a_bad_level(until_s: u64) -> (Vec<String>, Vec<Warning>, u64) {
    let rules = rules(10.0, 40.0, 0.3);
    let search = crate::search::controller::Search::new(rules, 1, LoadUnit::Users);
    let mut run = LevelRun { chooser: Box::new(search), ..level_run(vec![p99_goal()], Vec::new()) };
    run.start(0);
    let (mut words, mut warnings, mut over_s) = (Vec::new(), Vec::new(), 0);
    for end_s in 1..200 {
        let slow = run.level().is_some_and(|(level, _)| level > 15.0) || (10..until_s).contains(&end_s);
        for act in run.second(&second(end_s, 500, if slow { 900_000_000 } else { 20_000_000 }), end_s) {
            match act {
                Act::Say(said) => words.push(said.text),
                Act::Warn(warning) => warnings.push(warning),
                Act::Done => over_s = end_s,
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
    assert_eq!(warnings.iter().map(|warning| warning.code.as_str()).collect::<Vec<_>>(), ["non_recovering"]);
    insta::assert_snapshot!(warnings[0].text, @"the target did not recover from level 20: 60 s later it does not meet the goals at 4");
    assert_eq!((over_s, words.iter().nth_back(1)), (12 + 60, Some(&warnings[0].text)));
    assert_eq!(words.last().map(String::as_str), Some("over after 2 levels, load line 13"));
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

/// Seven windows are asked for, and the levels are good below 15: the search halves by the first three windows that agree.
#[test]
fn what_was_seen_of_a_level_counts_when_it_is_judged_again() {
    let rules = rules(10.0, 20.0, 1.0);
    let search = crate::search::controller::Search::new(rules, 7, LoadUnit::Users);
    let mut run = LevelRun { chooser: Box::new(search), ..level_run(vec![p99_goal()], Vec::new()) };
    run.timing.windows = 7;
    run.start(0);
    let (mut marks, mut steered) = (Vec::new(), Vec::new());
    for end_s in 1..200 {
        let slow = run.level().is_some_and(|(level, _)| level > 15.0);
        for act in run.second(&second(end_s, 500, if slow { 900_000_000 } else { 20_000_000 }), end_s) {
            match act {
                Act::Mark(mark) => marks.push(mark),
                Act::Steer { value, .. } => steered.push(value),
                Act::Say(_) | Act::Warn(_) | Act::Done => {}
            }
        }
    }
    let judged: Vec<_> = marks
        .iter()
        .map(|mark| (mark.level, mark.good, mark.windows, mark.asked, mark.from_s, mark.to_s))
        .collect();
    assert_eq!(
        judged,
        [
            (10.0, true, 2, 3, 2.0, 10.0),
            (20.0, false, 2, 3, 12.0, 20.0),
            // After a second of cooling and two of settling, two windows are added to the two of before.
            (10.0, true, 4, 7, 23.0, 31.0),
            (20.0, false, 4, 7, 33.0, 41.0),
        ]
    );
    assert_eq!(steered, [20.0, 4.0, 10.0, 20.0]);
    assert_eq!(marks[3].bracket, [Some(10.0), Some(20.0)]);
}

/// A search with a soak of 12 s: three windows.
fn soaked(line: f64, lasts: f64) -> Vec<LevelMark> {
    let rules = SearchRules { guarantee: true, soak: Duration::from_secs(12), ..rules(100.0, 400.0, 0.5) };
    let search = crate::search::controller::Search::new(rules, 1, LoadUnit::Users);
    let mut run = LevelRun { chooser: Box::new(search), ..level_run(vec![p99_goal()], Vec::new()) };
    run.soak = Duration::from_secs(12);
    run.start(0);
    let (mut marks, mut held) = (Vec::new(), (0.0, 0));
    for end_s in 1..400 {
        let Some((level, _)) = run.level() else {
            let acts = run.second(&second(end_s, 500, 1_000_000), end_s);
            marks.extend(
                acts.into_iter().filter_map(|act| if let Act::Mark(mark) = act { Some(mark) } else { None }),
            );
            continue;
        };
        held = if held.0 == level { (level, held.1 + 1) } else { (level, 1) };
        // Above `lasts` it goes well for ten seconds only.
        let slow = level > line || (level > lasts && held.1 > 10);
        let acts = run.second(&second(end_s, 500, if slow { 900_000_000 } else { 20_000_000 }), end_s);
        marks.extend(
            acts.into_iter().filter_map(|act| if let Act::Mark(mark) = act { Some(mark) } else { None }),
        );
    }
    marks
}

#[test]
fn a_line_that_does_not_last_is_soaked_lower() {
    let soaks = |marks: &[LevelMark]| {
        let soaks = marks.iter().filter(|mark| mark.soak);
        soaks.map(|mark| (mark.level, mark.good, mark.to_s - mark.from_s)).collect::<Vec<_>>()
    };
    let lasting = soaked(300.0, 300.0);
    assert_eq!(soaks(&lasting), [(283.0, true, 12.0)]);
    let leaking = soaks(&soaked(300.0, 150.0));
    assert_eq!(
        leaking.iter().map(|soak| (soak.0, soak.1)).collect::<Vec<_>>(),
        [(283.0, false), (189.0, false), (84.0, true)]
    );
    assert!(leaking[0].2 <= 12.0);
    let never = soaks(&soaked(300.0, 0.0));
    assert!(never.len() <= 5 && never.iter().all(|soak| !soak.1), "{never:?}");
}

#[test]
fn arrivals_that_pile_up_end_the_level_at_once() {
    let run_with = |of: LoadUnit, growth: u64, completed: u64| {
        let mut run = level_run(vec![p99_goal()], vec![10.0]);
        (run.of, run.timing.window) = (of, Duration::from_secs(2));
        run.timing.windows = 60;
        // A search waits for sixty windows; a staircase would for one.
        let rules = SearchRules { exceed: 0.0, ..rules(10.0, 11.0, 0.5) };
        (run.chooser, run.exceed) = (Box::new(crate::search::controller::Search::new(rules, 60, of)), 0.0);
        run.timing.cooldown = Duration::ZERO;
        run.start(0);
        let mut marks = Vec::new();
        for end_s in 1..20 + 2 * 60 {
            let in_flight = 100 + growth * end_s + end_s % 3;
            let counts = Counts { completed, ..Counts::default() };
            let told = Snapshot { users: in_flight, counts, ..second(end_s, 10, 1_000_000) };
            marks.extend(run.second(&told, end_s).into_iter().filter_map(|act| match act {
                Act::Mark(mark) => Some(mark),
                Act::Steer { .. } | Act::Say(_) | Act::Warn(_) | Act::Done => None,
            }));
        }
        marks.into_iter().next()
    };
    let piled = run_with(LoadUnit::RatePerS, 5, 200).expect("a verdict");
    assert_eq!((piled.good, piled.to_s), (false, 22.0), "twenty seconds of judging");
    assert_eq!(piled.failed_by.as_deref(), Some("iterations in flight grow without end"));
    assert_eq!(piled.goals[0].bound, Bound::Upper);
    assert!(run_with(LoadUnit::RatePerS, 0, 200).is_none_or(|mark| mark.good), "it wanders");
    assert!(run_with(LoadUnit::Users, 5, 200).is_none_or(|mark| mark.good), "users are told how many to be");
    let long = run_with(LoadUnit::RatePerS, 5, 5);
    assert!(long.is_none_or(|mark| mark.good), "iterations of a minute and more are still coming");
}

/// The judgments of one level by `all` windows of 4 s, and what was said of them: `slow` says of each second since the judging began how many of its 500
/// answers take how many ms; the others take 20. In a second of which it says nothing there is no answer.
fn judged_of(all: u32, slow: impl Fn(u64) -> Option<(u64, u64)>) -> (Vec<LevelMark>, Vec<String>) {
    judged_by(all, 4, slow)
}

fn judged_by(
    all: u32,
    window_s: u64,
    slow: impl Fn(u64) -> Option<(u64, u64)>,
) -> (Vec<LevelMark>, Vec<String>) {
    let mut run = level_run(vec![p99_goal()], vec![10.0]);
    let rules = rules(10.0, 10.0, 0.5);
    run.chooser = Box::new(crate::search::controller::Search::new(rules, all, LoadUnit::Users));
    (run.timing.windows, run.timing.window) = (all, Duration::from_secs(window_s));
    run.start(0);
    let (mut marks, mut words) = (Vec::new(), Vec::new());
    for end_s in 1..400 {
        let mut told = second(end_s, 0, 0);
        if let Some((slow, ms)) = slow(end_s.saturating_sub(3)) {
            told.add(&second(end_s, slow, ms * 1_000_000));
            // No two seconds are alike.
            told.add(&second(end_s, 500 - slow, 20_000_000 + (end_s * 7919 % 13) * 100_000));
        }
        for act in run.second(&told, end_s) {
            match act {
                Act::Mark(mark) => marks.push(mark),
                Act::Say(said) if said.fields["what"] == "judged" => words.push(said.text),
                Act::Steer { .. } | Act::Say(_) | Act::Warn(_) | Act::Done => {}
            }
        }
    }
    (marks, words)
}

#[test]
fn what_was_settling_is_left_out_and_measured_again() {
    let (marks, words) = judged_of(11, |at_s| Some((if at_s < 10 { 150 } else { 0 }, 300)));
    let last = marks.last().expect("a judgment");
    assert_eq!((last.good, last.counts_from_s), (true, Some(12.0)), "{words:?}");
    assert!(last.windows >= 6 && last.windows_bad == 0, "the first three windows do not count: {words:?}");
    assert!(words.last().is_some_and(|text| text.contains("the first 10 s are left out")), "{words:?}");
}

/// One window of three is bad by it, which is what the search is to know.
#[test]
fn a_stall_at_the_beginning_counts() {
    let stalled = |at_s| match at_s {
        1 => None,
        2 => Some((500, 900)),
        _ => Some((0, 20)),
    };
    let (marks, words) = judged_of(11, stalled);
    let last = marks.last().expect("a judgment");
    assert_eq!((last.good, last.windows_bad, last.counts_from_s), (true, 1, Some(2.0)), "{words:?}");
    assert!(words.iter().all(|text| !text.contains("left out")), "{words:?}");
}

#[test]
fn a_level_that_does_not_settle_is_measured_on_and_said_to_be_so() {
    let (marks, words) = judged_of(11, |at_s| Some((500, 20 + 2 * at_s)));
    let last = marks.last().expect("a judgment");
    assert!(!last.good && last.unsettled_ratio.is_some_and(|ratio| ratio < 0.0), "{words:?}");
    assert!(words.last().is_some_and(|text| text.contains("has not settled")), "{words:?}");
    let seconds = |marks: &[LevelMark]| marks.iter().map(|mark| mark.to_s - mark.from_s).sum::<f64>();
    let (steady, _) = judged_of(11, |_| Some((0, 20)));
    assert!(seconds(&marks) > seconds(&steady), "as long as it was good it was no evidence");
    let (for_ever, words) = judged_of(3, |at_s| Some((500, 20 + at_s.min(70))));
    assert!(
        seconds(&for_ever) <= 4.0 * 3.0 * f64::from(UNSETTLED_FACTOR_MAX) + 12.0,
        "and not for ever: {words:?}"
    );
}

/// The first judgment of a step with a window of a minute, under a growing latency. Where it `piles_up`, more and more iterations are under way.
fn of_long_windows(goals: Vec<Goal>, of: LoadUnit, piles_up: bool) -> Option<LevelMark> {
    let mut run = level_run(goals, vec![10.0]);
    (run.of, run.timing.window) = (of, Duration::from_secs(60));
    run.start(0);
    (1..400).find_map(|end_s| {
        let counts = Counts { completed: 200, ..Counts::default() };
        let users = if piles_up { 100 + 5 * end_s + end_s % 3 } else { 10 };
        let told = Snapshot { users, counts, ..second(end_s, 500, (200 + 20 * end_s) * 1_000_000) };
        let acts = run.second(&told, end_s);
        acts.into_iter().find_map(|act| if let Act::Mark(mark) = act { Some(mark) } else { None })
    })
}

#[test]
fn an_overload_ends_with_its_first_window_however_long_that_is() {
    let piled = of_long_windows(vec![p99_goal()], LoadUnit::RatePerS, true).expect("a judgment");
    assert_eq!((piled.good, piled.to_s, piled.failed_by.as_deref()), (false, 62.0, Some(level::GROWS)));
    let slow = of_long_windows(vec![p99_goal()], LoadUnit::Users, false).expect("a judgment");
    assert_eq!((slow.good, slow.to_s, slow.windows_bad), (false, 62.0, 1));
    assert!(slow.unsettled_ratio.is_some_and(|ratio| ratio < 0.0), "{slow:?}");
    let held = of_long_windows(Vec::new(), LoadUnit::Users, false).expect("a judgment");
    assert_eq!(held.to_s, 62.0, "there is no goal to wait for");
}

/// Users log in as they come, slowly, and ask for pages from then on: the seconds of the logins are left out, and nobody logs in later.
#[test]
fn what_was_asked_only_while_it_settled_counts() {
    let of_logins = |login_ms: u64| {
        let goal =
            |text| Goal::from_threshold(crate::threshold::parse(text).expect("a threshold")).expect("a goal");
        let mut run = level_run(vec![goal("p99(http{name=login}) > 2s"), p99_goal()], vec![10.0]);
        let login = Endpoint { name: "login".into(), ..run.endpoints[0].clone() };
        run.endpoints.push(login);
        run.timing.window = Duration::from_secs(30);
        run.start(0);
        (1..400).find_map(|end_s| {
            let mut told = second(end_s, 100, 20_000_000 + (end_s * 7919 % 13) * 100_000);
            for _ in 0..if end_s < 13 { 50 } else { 0 } {
                told.window_mut(1).response.record(login_ms * 1_000_000);
                told.window_mut(1).completed += 1;
            }
            let acts = run.second(&told, end_s);
            acts.into_iter().find_map(|act| if let Act::Mark(mark) = act { Some(mark) } else { None })
        })
    };
    let fast = of_logins(1_000).expect("a judgment");
    assert_eq!((fast.goals[0].requests, fast.goals[0].windows_bad), (500, 0), "{fast:?}");
    assert_eq!(of_logins(3_000).expect("a judgment").goals[0].windows_bad, 1);
}

/// A latency that grows, to no more than is good, and a stall on the border of the third and the fourth window, the first two that count.
#[test]
fn a_stall_on_a_level_that_moves_is_no_verdict() {
    let stalled =
        |at_s: u64| Some(if (29..31).contains(&at_s) { (60, 300) } else { (500, 20 + 2 * at_s.min(35)) });
    let (marks, words) = judged_by(11, 10, stalled);
    assert!(marks.iter().all(|mark| mark.good), "{words:?}");
}
