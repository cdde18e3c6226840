//! An axis: from values to 0..1, linear from zero or logarithmic, with ticks at round numbers. Both kinds of scale go through
//! here, so a chart is drawn the same way whichever fits its values.

use crate::report::numbers::clock;

/// Spread (largest over smallest) from which a logarithmic scale says more than a linear one.
const LOG_SPREAD_MIN: f64 = 12.0;
/// Tick labels that fit beside each other.
const TICKS_MAX: usize = 7;

/// Ticks of the time axis, which is twice as wide.
const TIME_TICKS_MAX: f64 = 12.0;
const CLOCK_STEPS_S: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0];

#[derive(Clone, Debug)]
pub struct Axis {
    logarithmic: bool,
    low: f64,
    high: f64,
    pub ticks: Vec<f64>,
    pub format: fn(f64) -> String,
}

impl Axis {
    /// From zero to the first round number at or above `high`.
    pub fn linear(high: f64, format: fn(f64) -> String) -> Self {
        let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        let step = round_step(high / (TICKS_MAX - 2) as f64);
        let steps = (high / step - 1e-9).ceil().max(1.0);
        let ticks = (0..=steps as u32).map(|i| f64::from(i) * step).collect();
        Self { logarithmic: false, low: 0.0, high: steps * step, ticks, format }
    }

    /// From zero to the end of a run, with ticks where a clock has round numbers.
    pub fn time(end_s: f64) -> Self {
        let high = if end_s.is_finite() && end_s > 0.0 { end_s } else { 1.0 };
        let step = CLOCK_STEPS_S.into_iter().find(|step| high / step <= TIME_TICKS_MAX);
        let step = step.unwrap_or_else(|| round_step(high / TIME_TICKS_MAX / 3600.0) * 3600.0);
        let ticks = (0..=(high / step) as u32).map(|i| f64::from(i) * step).collect();
        Self { logarithmic: false, low: 0.0, high, ticks, format: clock }
    }

    /// Zero to one, as percentages.
    pub fn share() -> Self {
        let ticks = vec![0.0, 0.25, 0.5, 0.75, 1.0];
        Self {
            logarithmic: false,
            low: 0.0,
            high: 1.0,
            ticks,
            format: |value| format!("{:.0} %", value * 100.0),
        }
    }

    /// Whole decades and their halves around `low..high`; both must be above zero.
    pub fn logarithmic(low: f64, high: f64, format: fn(f64) -> String) -> Self {
        let low = if low.is_finite() && low > 0.0 { low } else { 1.0 };
        let high = if high.is_finite() && high > low { high } else { low * 10.0 };
        let decades = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
        let marks: Vec<f64> = decades.flat_map(|d| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(d))).collect();
        let from = marks.iter().rposition(|mark| *mark <= low * 1.0001).unwrap_or(0);
        let to = marks.iter().position(|mark| *mark >= high * 0.9999).unwrap_or(marks.len() - 1);
        let within = &marks[from..=to.max(from + 1).min(marks.len() - 1)];
        let (low, high) = (within[0], within[within.len() - 1]);
        let ticks = if within.len() <= TICKS_MAX {
            within.to_vec()
        } else {
            thinned(within.iter().copied().filter(|mark| is_decade(*mark)).collect())
        };
        Self { logarithmic: true, low, high, ticks, format }
    }

    /// The scale that shows the values best: logarithmic when they are all above zero and far apart.
    pub fn fitting(values: impl Iterator<Item = f64>, format: fn(f64) -> String) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for value in values.filter(|value| value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > 0.0 && high / low >= LOG_SPREAD_MIN {
            Self::logarithmic(low, high, format)
        } else {
            Self::linear(high, format)
        }
    }

    /// Where a value lies, 0..1; what lies outside is put on the edge, and what is no number nowhere.
    pub fn at(&self, value: f64) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        let place = if self.logarithmic {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        Some(place.clamp(0.0, 1.0))
    }

    /// The label of the tick nearest to a place.
    pub fn label_at(&self, place: f64) -> String {
        let distance = |tick: &f64| self.at(*tick).map_or(f64::MAX, |at| (at - place).abs());
        let nearest = self.ticks.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.map_or_else(String::new, |tick| (self.format)(*tick))
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|m| m * power)
        .into_iter()
        .find(|step| *step >= least * 0.9999)
        .unwrap_or(10.0 * power)
}

fn is_decade(value: f64) -> bool {
    let exponent = value.log10();
    (exponent - exponent.round()).abs() < 1e-6
}

/// Every n-th, so that at most [`TICKS_MAX`] are left.
fn thinned(ticks: Vec<f64>) -> Vec<f64> {
    let every = ticks.len().div_ceil(TICKS_MAX).max(1);
    ticks.into_iter().step_by(every).collect()
}

#[cfg(test)]
mod tests {
    use super::Axis;
    use crate::report::numbers::quantity;
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn ticks_are_round() {
        assert_eq!(Axis::linear(783.0, quantity).ticks, [0.0, 200.0, 400.0, 600.0, 800.0]);
        assert_eq!(Axis::logarithmic(22.0, 640.0, quantity).ticks, [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(Axis::logarithmic(1.0, 1e6, quantity).ticks.len(), 7);
        assert_eq!(Axis::time(150.0).ticks.last(), Some(&150.0));
        assert_eq!(
            Axis::time(90_000.0).ticks,
            [0.0, 5.0, 10.0, 15.0, 20.0, 25.0].map(|hours| hours * 3600.0)
        );
    }

    #[test]
    fn far_apart_values_get_a_logarithmic_scale() {
        assert!(Axis::fitting([10.0, 640.0].into_iter(), quantity).logarithmic);
        assert!(!Axis::fitting([100.0, 800.0].into_iter(), quantity).logarithmic);
        assert!(!Axis::fitting([0.0, 800.0].into_iter(), quantity).logarithmic);
    }

    #[test]
    fn no_values_still_make_an_axis() {
        for axis in [
            Axis::fitting(std::iter::empty(), quantity),
            Axis::linear(f64::NAN, quantity),
            Axis::time(0.0),
            Axis::logarithmic(0.0, 0.0, quantity),
        ] {
            assert!(!axis.ticks.is_empty(), "{axis:?}");
            assert_eq!(axis.at(f64::NAN), None);
            assert!((0.0..=1.0).contains(&axis.at(5.0).expect("a number")));
        }
    }

    proptest! {
        #[test]
        fn every_value_lies_inside_and_in_order(low in 1e-6f64..1e6, spread in 1.0f64..1e6) {
            let high = low * spread;
            let middle = (low * high).sqrt();
            let axis = Axis::fitting([low, middle, high].into_iter(), quantity);
            let places = [low, middle, high].map(|value| axis.at(value).expect("a number"));
            prop_assert!(places[0] <= places[1] && places[1] <= places[2]);
            prop_assert!(axis.ticks.len() >= 2 && axis.ticks.len() <= 8, "{:?}", axis.ticks);
            prop_assert!(axis.ticks.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
