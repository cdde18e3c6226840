//! Searches on systems whose line is known: ideal ones, noisy ones, and a simulated service with a pool of connections.

use super::*;
use crate::search::closed_system::{Pool, windows_of};
use crate::search::goal::tests::p99_over_100ms;
use crate::search::level::{Window, judge, look};
use crate::search::line::Outcome;
use crate::search::line::tests::result;
use proptest::prelude::{any, prop_assert, proptest};
use std::time::Duration;

fn rules(from: f64, to: f64, precision: f64) -> SearchRules {
    SearchRules {
        from,
        to,
        grow: 2.0,
        precision,
        exceed: 0.5,
        fail_when: vec![p99_over_100ms()],
        effort: None,
        guarantee: false,
        soak: Duration::ZERO,
    }
}

/// Runs a search to its end; `carries` says whether a level is good and with what share of bad requests.
fn run(search: &mut Search, mut carries: impl FnMut(f64) -> LevelResult) -> (Vec<f64>, Outcome, Vec<String>) {
    let (mut levels, mut reasons) = (Vec::new(), Vec::new());
    loop {
        match search.next() {
            Step::Soak { .. } => panic!("nobody asked for a soak"),
            Step::Probe { level, reason, .. } => {
                assert!(!levels.contains(&level), "{level} twice");
                levels.push(level);
                reasons.push(reason);
                search.record(carries(level));
            }
            Step::Done(found) => return (levels, found, reasons),
        }
    }
}

fn ideal(line: f64) -> impl FnMut(f64) -> LevelResult {
    move |level| {
        let requests = (5000.0 * 0.01 * (level / line).powi(20)).min(5000.0);
        result(level, level <= line, requests.round() / 5000.0)
    }
}

#[test]
fn the_shipped_search_takes_eight_probes() {
    let mut search = Search::new(rules(100.0, 20_000.0, 0.05), 3, LoadUnit::Users);
    let (levels, found, reasons) = run(&mut search, ideal(522.0));
    assert_eq!(levels, [100.0, 200.0, 400.0, 800.0, 566.0, 476.0, 519.0, 542.0]);
    assert_eq!((found.last_good, found.first_bad, found.levels), (Some(519.0), Some(542.0), 8));
    assert!((found.typical.unwrap() - 522.0).abs() <= 1.0);
    insta::assert_snapshot!([&reasons[0], &reasons[1], &reasons[4]].map(String::as_str).join("\n"), @"
    the search begins here
    100 was good (0 % bad requests, 1 % allowed); growing by a factor of 2
    800 was bad by `p99(http) > 100ms` in 3 of 3 windows (100 % bad requests, 1 % allowed); halving between 400 (good) and 800 (bad)
    ");
}

#[test]
fn a_search_that_starts_too_high_goes_down() {
    let mut search = Search::new(rules(1000.0, 20_000.0, 0.05), 3, LoadUnit::Users);
    let (levels, found, _) = run(&mut search, ideal(90.0));
    assert_eq!(levels[..5], [1000.0, 500.0, 250.0, 125.0, 63.0]);
    assert!(found.last_good.unwrap() <= 90.0 && found.first_bad.unwrap() > 90.0);
    let mut hopeless = Search::new(rules(100.0, 20_000.0, 0.05), 3, LoadUnit::Users);
    let (levels, found, _) = run(&mut hopeless, |level| result(level, false, 1.0));
    assert_eq!((levels.last(), found.typical, found.last_good), (Some(&1.0), None, None));
}

#[test]
fn a_line_above_the_upper_limit_is_only_a_bound() {
    let mut search = Search::new(rules(100.0, 700.0, 0.05), 3, LoadUnit::Users);
    let (levels, found, _) = run(&mut search, ideal(1e9));
    assert_eq!(levels, [100.0, 200.0, 400.0, 700.0]);
    assert_eq!((found.typical, found.first_bad, found.limited_by), (Some(700.0), None, None));
}

#[test]
fn neighbouring_numbers_of_users_end_the_search() {
    let mut search = Search::new(rules(1.0, 100.0, 0.001), 3, LoadUnit::Users);
    let (_, found, _) = run(&mut search, ideal(7.5));
    assert_eq!((found.last_good, found.first_bad), (Some(7.0), Some(8.0)));
}

#[test]
fn a_search_is_bounded() {
    let mut slow = rules(1.0, 1e12, 0.05);
    slow.grow = 1.001;
    let mut search = Search::new(slow, 3, LoadUnit::RatePerS);
    let (levels, found, _) = run(&mut search, ideal(1e9));
    assert_eq!((levels.len(), found.levels), (SEARCH_PROBES_MAX as usize, SEARCH_PROBES_MAX));
}

/// N users who think 0.5 to 1.5 s, a pool of c connections held 20 ms, p99 within 100 ms: N* = c/0.02·(1 + 0.02) = 51·c users would keep
/// the pool just busy, and the line lies a little above.
#[test]
fn the_line_of_a_pool_is_found_in_its_simulation() {
    for (size, line) in [(10, 522.0), (7, 363.0), (20, 1072.0)] {
        let mut search = Search::new(rules(100.0, 20_000.0, 0.05), 3, LoadUnit::Users);
        let goals = [p99_over_100ms()];
        let (levels, found, _) = run(&mut search, |level| {
            let pool = Pool { size, hold_s: 0.02, ..Pool::default() };
            let windows = windows_of(&pool.run(level as u64, 4.0, 3.0 * 10.0, 11), 3);
            let windows: Vec<Window> = windows.iter().map(|window| look(&goals, window)).collect();
            judge(level, &goals, &windows, 0.5, 3)
        });
        let typical = found.typical.unwrap();
        assert!((typical / line - 1.0).abs() <= 0.05, "pool of {size}: {typical} for {line} by {levels:?}");
        assert!(levels.len() <= 9, "{levels:?}");
    }
}

/// A stall makes few windows find all levels from 12 on bad; all of them find out, and the line is at 40.
#[test]
fn a_bracket_that_comes_apart_is_looked_for_nearby_first() {
    let mut search = Search::new(rules(4.0, 1e6, 0.1), 11, LoadUnit::RatePerS);
    let (mut stalls, mut after) = (true, Vec::new());
    let found = loop {
        let Step::Probe { level, windows, .. } = search.next() else { break search.so_far() };
        let good = level < 40.0 && (windows == 11 || !stalls || level < 12.0);
        if !stalls {
            after.push(level);
        }
        stalls &= !(good && level >= 12.0);
        if !stalls && after.is_empty() {
            after.push(level);
        }
        // A share near the bound: the line is not far.
        search.record(LevelResult { asked: windows, ..result(level, good, if good { 0.008 } else { 0.02 }) });
    };
    // The bad levels above are looked at once more, one after the other; past the last of them nothing is known.
    let factors: Vec<f64> = after.windows(2).map(|pair| pair[1] / pair[0]).collect();
    let near =
        |factors: &[f64]| factors.iter().zip([1.1, 1.21, 1.4641]).all(|(a, b)| (a / b - 1.0).abs() < 0.01);
    assert!(factors.windows(3).any(near), "{after:?}");
    assert!(found.last_good.unwrap() < 40.0 && found.first_bad.unwrap() >= 40.0, "{found:?}");
}

#[test]
fn going_down_ends_at_the_least_level_and_not_before() {
    let least = |from: f64, unit| {
        let mut search = Search::new(rules(from, 1e6, 0.1), 3, unit);
        let mut least = f64::INFINITY;
        while let Step::Probe { level, .. } = search.next() {
            least = level.min(least);
            search.record(result(level, false, 0.5));
        }
        least
    };
    assert_eq!(least(1.5, LoadUnit::RatePerS), 0.015);
    assert_eq!(least(500.0, LoadUnit::RatePerS), 1.0);
    assert_eq!(least(5.0, LoadUnit::Users), 1.0);
}

proptest! {
    #[test]
    fn the_bracket_holds_the_truth(line in 10.0..1e5_f64, from in 1_u32..1000, users in any::<bool>(), precision in 0.005..0.2_f64) {
        let unit = if users { LoadUnit::Users } else { LoadUnit::RatePerS };
        let mut search = Search::new(rules(f64::from(from), 1e6, precision), 3, unit);
        let (levels, found, _) = run(&mut search, ideal(line));
        let (good, bad) = (found.last_good.unwrap(), found.first_bad.unwrap());
        prop_assert!(good <= line && line < bad);
        prop_assert!(bad / good - 1.0 <= precision || (users && bad - good <= 1.0));
        prop_assert!((good..=bad).contains(&found.typical.unwrap()));
        prop_assert!(levels.len() <= 30, "{} probes", levels.len());
    }

    #[test]
    fn noise_moves_the_line_by_no_more_than_it_must(line in 100.0..1e4_f64, seed in 0_u64..1000) {
        // Each level's verdict comes from a bad ratio with a log-normal error of a factor of two, under a steep knee.
        let mut search = Search::new(rules(50.0, 1e6, 0.05), 3, LoadUnit::Users);
        let mut draws = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let (levels, found, _) = run(&mut search, |level| {
            draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = 2_f64.powf((draws >> 33) as f64 / 2_f64.powi(30) - 1.0);
            let ratio = 0.01 * (level / line).powi(20) * noise;
            result(level, ratio <= 0.01, ratio)
        });
        prop_assert!(levels.len() <= 40);
        // A factor of two in the ratio is 3.5 % of the load at this steepness.
        prop_assert!((found.typical.unwrap() / line).ln().abs() <= 0.09, "{:?} for {line}", found.typical);
    }
}
