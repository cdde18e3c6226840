//! On simulated windows of known truth.

use super::*;
use crate::seed::{Purpose, stream};
use rand_distr::{Distribution as _, StandardNormal};

/// Loads of a search, eight windows of 5 s at each: rates of two classes whose mix changes from level to level.
const LEVELS: [(f64, f64); 6] =
    [(40.0, 60.0), (150.0, 50.0), (100.0, 200.0), (320.0, 80.0), (150.0, 300.0), (330.0, 150.0)];
const EACH: usize = 8;

/// Windows in which class c needs `demands_s[c]`, with `noise` of the busy servers as a normal error that a window passes on to the next by `kept`.
fn windows(
    levels: &[(f64, f64)],
    demands_s: [f64; 2],
    background: f64,
    noise: f64,
    kept: f64,
    random: &mut Stream,
) -> Vec<Window> {
    let mut off = 0.0;
    levels
        .iter()
        .flat_map(|level| std::iter::repeat_n(level, EACH))
        .map(|&(a, b)| {
            let normal = |random: &mut Stream| -> f64 { StandardNormal.sample(random) };
            let jitter = 1.0 + 0.02 * normal(random);
            let rates = vec![a * jitter, b * (1.0 + 0.02 * normal(random))];
            let fresh: f64 = normal(random);
            off = kept * off + (1.0 - kept * kept).sqrt() * fresh;
            let busy = background + rates[0] * demands_s[0] + rates[1] * demands_s[1];
            let scale = noise * busy.sqrt();
            Window { seconds: 5.0, busy: (busy + scale * off).max(0.0), rates_per_s: rates, users: 0.0 }
        })
        .collect()
}

#[test]
fn without_noise_the_truth_comes_back() {
    let mut random = stream(1, Purpose::Bootstrap, 0, 0);
    let seen = windows(&LEVELS, [0.020, 0.002], 0.3, 0.0, 0.0, &mut random);
    let found = demands(&seen, &mut random).unwrap();
    let values: Vec<f64> = found.demands.iter().map(|demand| demand.demand_s.value).collect();
    assert!((values[0] - 0.020).abs() < 1e-9 && (values[1] - 0.002).abs() < 1e-9, "{values:?}");
    assert!((found.background.unwrap().value - 0.3).abs() < 1e-7);
    assert!(found.demands.iter().all(|demand| demand.group.vif < 10.0), "{found:?}");
}

/// Share of 1,000 intervals that hold the truth: of both demands and of the background.
fn coverage(kept: f64) -> [f64; 3] {
    const FITS: u64 = 1000;
    let mut held = [0.0; 3];
    for id in 0..FITS {
        let mut random = stream(3, Purpose::Bootstrap, 0, id);
        let seen = windows(&LEVELS, [0.020, 0.005], 0.3, 0.05, kept, &mut random);
        let intervals = intervals(&seen);
        for (held, (ci95, truth)) in held.iter_mut().zip(intervals.into_iter().zip([0.020, 0.005, 0.3])) {
            *held += f64::from(u8::from(ci95[0] <= truth && truth <= ci95[1]));
        }
    }
    held.map(|held| held / FITS as f64)
}

/// Of both demands and of the background, as `demands` has them, without the thousand draws for the drift.
fn intervals(seen: &[Window]) -> [[f64; 2]; 3] {
    let column = |class: usize| seen.iter().map(|window| window.rates_per_s[class]).collect();
    let design: Vec<Vec<f64>> = vec![column(0), column(1), vec![1.0; seen.len()]];
    let busy: Vec<f64> = seen.iter().map(|window| window.busy).collect();
    let model = Model::weighted(design, seen, &busy);
    let found = model.fit(&busy);
    let errors = Errors::of(&model.scaled(), &model.scaled_right(&busy)).unwrap();
    [0, 1, 2].map(|column| errors.interval(column, found[column]))
}

#[test]
fn intervals_are_those_of_the_errors() {
    let mut random = stream(3, Purpose::Bootstrap, 0, 1);
    let seen = windows(&LEVELS, [0.020, 0.005], 0.3, 0.05, 0.3, &mut random);
    let found = demands(&seen, &mut random).unwrap();
    let all = [found.demands[0].demand_s, found.demands[1].demand_s, found.background.unwrap()];
    assert_eq!(all.map(|interval| interval.ci95), intervals(&seen));
}

/// Also where each window passes on three or six tenths of its error to the next.
#[test]
fn intervals_hold_the_truth() {
    for kept in [0.0, 0.3, 0.6] {
        let held = coverage(kept);
        assert!(held.iter().all(|share| (0.925..=0.975).contains(share)), "{kept}: {held:?}");
    }
}

#[test]
fn classes_that_rise_together_are_one_and_their_demand_is_the_mean() {
    let mut random = stream(5, Purpose::Bootstrap, 0, 0);
    let mut seen = windows(&LEVELS, [0.0, 0.0], 0.0, 0.0, 0.0, &mut random);
    for window in &mut seen {
        let rate = window.rates_per_s[0];
        window.rates_per_s = vec![rate, 3.0 * rate];
        window.busy = 0.1 + rate * 0.010 + 3.0 * rate * 0.002;
    }
    let found = demands(&seen, &mut random).unwrap();
    assert_eq!(found.demands.len(), 1);
    assert_eq!(found.demands[0].group.classes, [0, 1]);
    assert!((found.demands[0].demand_s.value - (0.010 + 3.0 * 0.002) / 4.0).abs() < 1e-9, "{found:?}");
    assert!((found.background.unwrap().value - 0.1).abs() < 1e-7);
}

#[test]
fn a_demand_that_grows_with_load_is_seen_and_one_that_does_not_is_not() {
    let loads: Vec<(f64, f64)> = (1..=8).map(|k| (60.0 * f64::from(k), 0.0)).collect();
    let mut false_alarms = 0;
    for id in 0..40 {
        let mut random = stream(9, Purpose::Bootstrap, 0, id);
        let steady = windows(&loads, [0.020, 0.0], 0.05, 0.03, 0.0, &mut random);
        let steady: Vec<Window> = steady
            .into_iter()
            .map(|window| Window { rates_per_s: vec![window.rates_per_s[0]], ..window })
            .collect();
        let drift = demands(&steady, &mut random).unwrap().drift.unwrap();
        false_alarms += u32::from(drift.moved);
        let growing: Vec<Window> = steady
            .into_iter()
            .map(|window| {
                let load = window.rates_per_s[0];
                Window { busy: window.busy + load * 0.020 * load / 480.0, ..window }
            })
            .collect();
        let drift = demands(&growing, &mut random).unwrap().drift.unwrap();
        assert!(drift.moved && drift.upper_s > drift.lower_s, "{drift:?}");
        // The curve says the same: its demands are over the same background, and those of the lower and the higher loads are around those of the halves.
        let demands: Vec<(f64, f64)> = drift.curve.as_ref().unwrap().demands().collect();
        let around = |some: &[(f64, f64)], of_s: f64| {
            let mean_s = some.iter().map(|(_, demand_s)| demand_s).sum::<f64>() / some.len() as f64;
            (mean_s / of_s - 1.0).abs() < 0.1
        };
        let (lower, upper) = demands.split_at(demands.len() / 2);
        assert!(around(lower, drift.lower_s) && around(upper, drift.upper_s), "{demands:?} {drift:?}");
    }
    assert!(false_alarms <= 4, "{false_alarms} of 40");
}

/// Cheap requests at little load, dear ones at much: the mean demand moves, those of the classes do not.
#[test]
fn a_mix_that_goes_with_the_load_is_no_drift() {
    let levels = [(90.0, 10.0), (150.0, 40.0), (160.0, 90.0), (150.0, 180.0), (120.0, 270.0), (60.0, 390.0)];
    let mut alarms = 0;
    for id in 0..40 {
        let mut random = stream(29, Purpose::Bootstrap, 0, id);
        let seen = windows(&levels, [0.002, 0.020], 0.05, 0.03, 0.3, &mut random);
        let found = demands(&seen, &mut random).unwrap();
        assert_eq!(found.demands.len(), 2, "{found:?}");
        alarms += u32::from(found.drift.unwrap().moved);
    }
    assert!(alarms <= 4, "{alarms} of 40");
}

#[test]
fn under_a_constant_load_there_is_no_background_to_be_told() {
    let mut random = stream(13, Purpose::Bootstrap, 0, 0);
    let seen = windows(&[(200.0, 0.0); 2], [0.020, 0.0], 0.0, 0.02, 0.0, &mut random);
    let seen: Vec<Window> = seen
        .into_iter()
        .map(|window| Window { rates_per_s: vec![window.rates_per_s[0]], ..window })
        .collect();
    let found = demands(&seen, &mut random).unwrap();
    assert_eq!((found.background, &found.drift), (None, &None));
    assert!((found.demands[0].demand_s.value / 0.020 - 1.0).abs() < 0.02, "{found:?}");
}

#[test]
fn too_little_tells_nothing() {
    let mut random = stream(13, Purpose::Bootstrap, 0, 0);
    let seen = windows(&LEVELS[..1], [0.020, 0.0], 0.0, 0.0, 0.0, &mut random);
    assert!(demands(&seen[..5], &mut random).is_none());
    let idle: Vec<Window> =
        seen.iter().map(|w| Window { rates_per_s: vec![0.0, 0.0], ..w.clone() }).collect();
    assert!(demands(&idle, &mut random).is_none());
    assert!(demands(&[], &mut random).is_none());
}
