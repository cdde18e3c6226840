//! Levels judged by hand-made windows.

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
    let joined = judged(&goals, &[window(200, 0, 0), window(89, 1, 0), window(200, 0, 0), window(100, 0, 0)]);
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
    let begun = seen(&goals, &[stalled.clone(), stalled.clone(), stalled]);
    assert!(!soak_is_lost(&goals, &begun, 60), "240 of 60,000 are good");
    assert!(soak_is_lost(&goals, &begun, 15), "240 of 15,000 are not");
}

#[test]
fn a_soak_that_crawls_at_first_is_not_lost() {
    let goals = [p99_over_100ms()];
    let (crawled, good) = (window(0, 100, 0), window(5000, 0, 0));
    assert!(!soak_is_lost(&goals, &seen(&goals, std::slice::from_ref(&crawled)), 60));
    assert!(!soak_is_lost(&goals, &seen(&goals, &[crawled, good.clone(), good]), 60), "100 of 290,000");
}

#[test]
fn a_number_is_a_bound_of_each_window_of_a_soak() {
    let dropped = Stat::Dropped { ratio: false };
    let goals = [Goal::from_threshold(threshold("dropped > 5", dropped, Op::Greater, 5.0)).unwrap()];
    let of = |dropped: u64| Counted { planned: 1000, dropped, ..window(1000, 0, 0) };
    let windows = seen(&goals, &vec![of(1); 60]);
    assert!(!soak_is_lost(&goals, &windows[..30], 60) && judge_soak(500.0, &goals, &windows).good);
    let burst = seen(&goals, &[of(0), of(6), of(0)]);
    assert!(soak_is_lost(&goals, &burst, 60) && !judge_soak(500.0, &goals, &burst).good);
}

#[test]
fn what_has_no_request_in_a_look_says_nothing_of_recovery_as_long_as_others_do() {
    let rare = Trial { bad: 0, all: 0, bad_ratio: 0.0, is_bad: false, enough: false };
    let well = Trial { all: 500, enough: true, ..rare };
    let slow = Trial { bad: 400, is_bad: true, ..well };
    let goals = [p99_over_100ms(), p99_over_100ms()];
    assert!(is_well(&goals, &vec![well, rare]) && is_well(&[], &Vec::new()));
    assert!(!is_well(&goals, &vec![rare, rare]), "nothing is answered at all");
    assert!(!is_well(&goals, &vec![slow, rare]));
}
