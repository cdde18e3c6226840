//! Several classes of users at once, approximately: Schweitzer's fixed point, in which an arriving request sees the queues of its own class
//! as they are, less its own share. Single servers and delays only. Within a few percent where queues are long; with one user a
//! class it can be off by more than ten.
//!
//! Symbols: N_c users, Z_c think time, s, of class c; D_cs demand of class c at station s, s; Q_cs jobs of class c there.
//! R_cs = D_cs (1 + Σ_{j≠c} Q_js + (N_c − 1)/N_c · Q_cs); X_c = N_c/(Z_c + Σ_s R_cs); Q_cs = X_c R_cs.
//!
//! Source: Schweitzer, "Approximate analysis of multiclass closed networks of queues", Int. Conf. on Stochastic Control and
//! Optimization, Amsterdam 1979; Bard, Performance '79.

use super::answer::{Answer, ClassAnswer as Told, Method};
use super::level::Whereabouts;
use super::model::{Class as Written, Fault, Network, Servers, fault};

/// The change of the largest queue below which the fixed point is found, as a share of all users.
const STILL_RATIO: f64 = 1e-10;
/// Hundreds suffice.
const ROUNDS_MAX: usize = 10_000;
/// Rounds from one look ahead to the next.
const ROUNDS_OF_A_LOOK: usize = 8;
/// Share of a queue that a look ahead may take away.
const TAKEN_MAX: f64 = 0.9;

/// One class of users.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    pub users: f64,
    pub think_s: f64,
    /// D at each station, s.
    pub demands_s: Vec<f64>,
}

/// What the fixed point says of a class. Approximate.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassAnswer {
    pub throughput_per_s: f64,
    pub response_s: f64,
    /// Q at each station.
    pub queues: Vec<f64>,
}

/// The classes of a model.
///
/// # Errors
/// Where no fixed point is reached.
pub fn solve(network: &Network, written: &[Written]) -> Result<Answer, Vec<Fault>> {
    let stations = &network.stations;
    let delays: Vec<bool> = stations.iter().map(|station| station.servers == Servers::Delay).collect();
    let classes: Vec<Class> = written
        .iter()
        .map(|class| Class {
            users: class.users as f64,
            think_s: class.think_s.unwrap_or(0.0),
            demands_s: stations
                .iter()
                .map(|station| class.demands_s.get(&station.name).copied().unwrap_or(station.demand_s))
                .collect(),
        })
        .collect();
    let answers = approximate(&classes, &delays).ok_or_else(|| {
        vec![fault(
            "classes",
            "no fixed point is reached",
            "give the classes as one, or demands of stations that are not so nearly the same",
        )]
    })?;
    let mut found = Whereabouts::nowhere(network);
    for (class, answer) in classes.iter().zip(&answers) {
        for (index, queue) in answer.queues.iter().enumerate() {
            found.at_station[index] += queue;
            // A class is as much of the flow as it keeps the station busy.
            found.flow_per_s[index] +=
                answer.throughput_per_s * class.demands_s[index] / stations[index].demand_s;
        }
    }
    let throughput_per_s: f64 = answers.iter().map(|answer| answer.throughput_per_s).sum();
    let inside: f64 = found.at_station.iter().sum();
    let mut answer =
        Answer::new(network, Method::Schweitzer, throughput_per_s, inside / throughput_per_s, &found);
    answer.users = Some(written.iter().map(|class| class.users).sum());
    let told = written.iter().zip(answers).map(|(class, answer)| Told {
        name: class.name.clone(),
        throughput_per_s: answer.throughput_per_s,
        response_s: answer.response_s,
        queues: answer.queues,
    });
    answer.classes = Some(told.collect());
    Ok(answer)
}

/// The classes sharing stations with one server each; at a station of `delays` nobody waits. `None` if the classes do not have as many
/// demands as there are stations, if a class never asks for anything and does not think, or if no fixed point is reached.
pub fn approximate(classes: &[Class], delays: &[bool]) -> Option<Vec<ClassAnswer>> {
    let sound = |class: &Class| {
        class.demands_s.len() == delays.len()
            && class.users >= 0.0
            && class.think_s + class.demands_s.iter().sum::<f64>() > 0.0
    };
    if !classes.iter().all(sound) {
        return None;
    }
    let everybody: f64 = classes.iter().map(|class| class.users).sum();
    let stations = delays.len().max(1) as f64;
    let evenly = |class: &Class| ClassAnswer {
        throughput_per_s: 0.0,
        response_s: 0.0,
        queues: vec![class.users / stations; delays.len()],
    };
    let mut answers: Vec<ClassAnswer> = classes.iter().map(evenly).collect();
    let mut steps_before = Vec::new();
    for round in 1..=ROUNDS_MAX {
        let totals: Vec<f64> =
            (0..delays.len()).map(|s| answers.iter().map(|answer| answer.queues[s]).sum()).collect();
        let mut steps = Vec::with_capacity(classes.len() * delays.len());
        for (class, answer) in classes.iter().zip(&mut answers) {
            let residence: Vec<f64> = (0..delays.len())
                .map(|s| {
                    let seen =
                        if delays[s] { 0.0 } else { totals[s] - answer.queues[s] / class.users.max(1.0) };
                    class.demands_s[s] * (1.0 + seen)
                })
                .collect();
            answer.response_s = residence.iter().sum();
            answer.throughput_per_s = class.users / (class.think_s + answer.response_s);
            for (queue, residence_s) in answer.queues.iter_mut().zip(residence) {
                let next = answer.throughput_per_s * residence_s;
                steps.push(next - *queue);
                *queue = next;
            }
        }
        let moved = steps.iter().fold(0.0, |most: f64, step| most.max(step.abs()));
        if moved <= STILL_RATIO * everybody {
            return Some(answers);
        }
        if round % ROUNDS_OF_A_LOOK == 0 {
            look_ahead(&mut answers, &steps, &steps_before);
        }
        steps_before = steps;
    }
    None
}

/// Goes on as far as steps that keep shrinking by the same ratio ρ lead, ρ/(1 − ρ) of the last one (Aitken's Δ², with ρ as Irons and Tuck have it for
/// vectors, Int. J. Numerical Methods in Engineering 1(3), 1969): between stations that are nearly as busy queues move by next to nothing a round.
fn look_ahead(answers: &mut [ClassAnswer], steps: &[f64], before: &[f64]) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let ratio = dot(steps, before) / dot(before, before);
    let far = if ratio < 1.0 { ratio / (1.0 - ratio) } else { f64::INFINITY };
    if far.is_nan() || far <= 0.0 {
        return;
    }
    let queues = || answers.iter().flat_map(|answer| &answer.queues);
    let most =
        queues().zip(steps).filter(|(_, step)| **step < 0.0).map(|(queue, step)| TAKEN_MAX * queue / -step);
    let far = most.fold(far, f64::min);
    if far.is_finite() {
        let queues = answers.iter_mut().flat_map(|answer| &mut answer.queues);
        queues.zip(steps).for_each(|(queue, step)| *queue += far * step);
    }
}

#[cfg(test)]
mod tests;
