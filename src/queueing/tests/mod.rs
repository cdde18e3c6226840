//! The solver against what others published, against laws that hold for any system, and against its own simulation.

use super::answer::Answer;
use super::model::Network;
use super::model::read::read;
use super::solve;

mod exhaustive;
mod laws;
mod reference;
mod simulated;
mod varying;

fn network(text: &str) -> Network {
    read(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn answers(text: &str) -> Vec<Answer> {
    solve(&network(text)).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

/// The one answer.
fn answer(text: &str) -> Answer {
    answers(text).remove(0)
}

fn queues(answer: &Answer) -> Vec<f64> {
    answer.stations.iter().map(|station| station.queue.expect("stable")).collect()
}
