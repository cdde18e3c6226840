//! A staircase: the levels are known beforehand, and each is judged whatever became of the one before.

use super::level::LevelResult;
use super::line::{Outcome, outcome};
use super::{Levels, Step};
use crate::scenario::plan::LoadUnit;

/// The executor `step`. Its levels come from the scenario, which bounds their number.
#[derive(Clone, Debug)]
pub struct Staircase {
    levels: Vec<f64>,
    unit: LoadUnit,
    results: Vec<LevelResult>,
}

impl Staircase {
    pub fn new(levels: Vec<f64>, unit: LoadUnit) -> Self {
        Self { levels, unit, results: Vec::new() }
    }
}

impl Levels for Staircase {
    fn next(&mut self) -> Step {
        let done = self.results.len();
        match self.levels.get(done) {
            Some(&level) => {
                let reason = format!("step {} of {} in the scenario's list", done + 1, self.levels.len());
                Step::Probe { level, windows: 1, again: false, reason }
            }
            None => Step::Done(self.so_far()),
        }
    }

    fn record(&mut self, result: LevelResult) {
        self.results.push(result);
    }

    /// It never asks for one.
    fn record_soak(&mut self, _: LevelResult) {}

    /// All that were asked for are taken.
    fn did_not_recover(&mut self) {}

    fn so_far(&self) -> Outcome {
        outcome(&self.results, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::line::tests::result;

    #[test]
    fn every_step_is_taken() {
        let mut stairs = Staircase::new(vec![50.0, 100.0, 150.0], LoadUnit::RatePerS);
        let mut taken = Vec::new();
        let found = loop {
            match stairs.next() {
                Step::Probe { level, .. } => {
                    assert_eq!(stairs.next(), stairs.next(), "asking twice is asking once");
                    taken.push(level);
                    stairs.record(result(level, level < 60.0, if level < 60.0 { 0.001 } else { 0.1 }));
                }
                Step::Done(found) => break found,
                Step::Soak { .. } => panic!("a staircase has no soak"),
            }
        };
        assert_eq!(taken, [50.0, 100.0, 150.0]);
        assert_eq!((found.last_good, found.first_bad, found.typical), (Some(50.0), Some(100.0), Some(70.71)));
    }
}
