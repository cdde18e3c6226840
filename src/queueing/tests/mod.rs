//! The solver against what others published, against laws that hold for any system, and against its own simulation.

use super::answer::Answer;
use super::model::Network;
use super::model::read::read;
use super::solve;

mod exhaustive;
mod laws;
mod published;
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

fn utilizations(answer: &Answer) -> Vec<f64> {
    answer.stations.iter().map(|station| station.utilization.unwrap_or(f64::NAN)).collect()
}

/// A station for a model in JSON.
fn station(name: &str, demand_s: f64, servers: &str) -> String {
    format!(r#"{{"name":"{name}","demand_s":{demand_s},"servers":{servers}}}"#)
}

/// Stations of one server each, named by their position.
fn single_servers(demands_s: &[f64]) -> String {
    let all =
        demands_s.iter().enumerate().map(|(index, demand_s)| station(&index.to_string(), *demand_s, "1"));
    all.collect::<Vec<_>>().join(",")
}

/// Each value is its published one, to one unit of the last digit, as much as books lose by rounding on the way.
#[track_caller]
fn printed(values: &[f64], published: &[f64], unit: f64) {
    assert_eq!(values.len(), published.len());
    for (value, published) in values.iter().zip(published) {
        assert!((value - published).abs() <= unit, "{values:?} are not {published:?}");
    }
}
