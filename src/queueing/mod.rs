//! Queueing mathematics: what a system of stations and pools does under a load, from its service demands alone. Pure functions; nothing
//! here reads a file or a clock. `docs/solve.md` has the formats, the methods, and which of them are exact.

pub mod answer;
pub mod closed;
pub mod erlang;
pub mod laws;
mod level;
mod line;
pub mod model;
pub mod open;
pub mod patience;
pub mod retries;
pub mod schweitzer;
pub mod simulate;
pub mod tail;
mod tree;
mod weights;

use answer::Answer;
use closed::Closed;
use model::{Fault, Load, Network, fault};

/// Share of lost requests up to which a line is as if it lost none.
const LOST_MIN: f64 = 1e-6;

/// Answers to a model: one for each number of users it asks for, in that order, or one for its rate or its classes.
///
/// # Errors
/// A pool that may lose requests where no formula holds; `simulate` can tell.
pub fn solve(network: &Network) -> Result<Vec<Answer>, Vec<Fault>> {
    match &network.load {
        Load::Open { rate_per_s } => open::solve(network, *rate_per_s).map(|answer| vec![answer]),
        Load::Classes(classes) => schweitzer::solve(network, classes).map(|answer| vec![answer]),
        Load::Closed { users, think_s } => {
            let mut faults = open::losing_within(network);
            faults.extend(losing_before_others(network));
            if !faults.is_empty() {
                return Err(faults);
            }
            let all = users.all();
            let most = all.iter().copied().max().unwrap_or(0);
            let closed = Closed::new(network, *think_s, most);
            let answers: Vec<Answer> = all.iter().map(|users| closed.with_users(*users)).collect();
            let lost =
                |index: usize| answers.iter().map(|answer| answer.pools[index].p_lost()).fold(0.0, f64::max);
            if let Some(last) = network.root.pools.last().map(|pool| pool.0)
                && network.pools[last].can_lose()
                && lost(last) <= LOST_MIN
            {
                return Ok(without_loss(network, last, *think_s, all));
            }
            if let Some(index) = closed.too_steady() {
                let (key, has) = open::losing_key(&network.pools[index]);
                let what = format!(
                    "it has {has} and few slots in a closed model, and what it guards varies so little that the formula is more than 5 % off"
                );
                return Err(vec![fault(&format!("pools[{index}].{key}"), &what, "use --simulate")]);
            }
            Ok(answers)
        }
    }
}

/// The answers of a network at one of whose pools nobody is lost, though somebody might: as if it lost none, for then constant holds are corrected for
/// beside other stations, too.
fn without_loss(network: &Network, pool: usize, think_s: f64, users: &[u64]) -> Vec<Answer> {
    let mut patient = network.clone();
    (patient.pools[pool].timeout_s, patient.pools[pool].queue_max) = (None, None);
    let closed = Closed::new(&patient, think_s, users.iter().copied().max().unwrap_or(0));
    let answers = users.iter().map(|users| {
        let mut answer = closed.with_users(*users);
        answer.pools[pool].timeout_ratio = network.pools[pool].timeout_s.map(|_| 0.0);
        answer.pools[pool].rejected_ratio = network.pools[pool].queue_max.map(|_| 0.0);
        answer
    });
    answers.collect()
}

/// Pools of a closed network that may lose requests before they come to other pools: who is lost thinks again, and passes less than others do.
fn losing_before_others(network: &Network) -> Vec<Fault> {
    let before_the_last = network.root.pools.iter().rev().skip(1).rev();
    let losing = before_the_last.filter(|(index, _)| network.pools[*index].can_lose());
    let told = losing.map(|(index, _)| {
        let (key, has) = open::losing_key(&network.pools[*index]);
        let what = format!(
            "in a closed model it has {has} and other pools come after it, which who is lost here does not pass"
        );
        let right = format!("leave {key} out, list the pool last, give open instead of users, or use --simulate");
        fault(&format!("pools[{index}].{key}"), &what, &right)
    });
    told.collect()
}

#[cfg(test)]
mod tests;
