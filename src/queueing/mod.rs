//! Queueing mathematics: what a system of stations and pools does under a load, from its service demands alone. Pure functions; nothing
//! here reads a file or a clock. `docs/solve.md` has the formats, the methods, and which of them are exact.

pub mod answer;
pub mod closed;
pub mod erlang;
pub mod laws;
mod level;
pub mod model;
pub mod open;
pub mod patience;
pub mod retries;
pub mod schweitzer;
pub mod simulate;
mod tree;
mod weights;

use answer::Answer;
use closed::Closed;
use model::{Fault, Load, Network, fault};

/// Answers to a model: one for each number of users it asks for, in that order, or one for its rate.
///
/// # Errors
/// A pool with a timeout where no formula holds; `simulate` can tell.
pub fn solve(network: &Network) -> Result<Vec<Answer>, Vec<Fault>> {
    match &network.load {
        Load::Open { rate_per_s } => open::solve(network, *rate_per_s).map(|answer| vec![answer]),
        Load::Closed { users, think_s } => {
            let timed = network.pools.iter().enumerate().filter(|(_, pool)| pool.timeout_s.is_some());
            let faults: Vec<Fault> = timed.map(|(index, _)| closed_with_timeout(index)).collect();
            if !faults.is_empty() {
                return Err(faults);
            }
            let all = users.all();
            let most = all.iter().copied().max().unwrap_or(0);
            let closed = Closed::new(network, *think_s, most);
            Ok(all.iter().map(|users| closed.with_users(*users)).collect())
        }
    }
}

/// Whoever gives up thinks again, so arrivals depend on the timeouts and these on the arrivals, which are not Poisson for few users.
fn closed_with_timeout(index: usize) -> Fault {
    fault(
        &format!("pools[{index}].timeout_s"),
        "a timeout in a closed model has no solution in closed form: who gives up thinks again, and arrivals are not Poisson",
        "leave the timeout out, give open instead of users, or use --simulate",
    )
}

#[cfg(test)]
mod tests;
