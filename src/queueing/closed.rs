//! Closed networks: so many users, who think and then send a request. The users who think are a birth-death process over the rest of the
//! system, which is one flow-equivalent server; so the solution costs one pass over the number of users.
//!
//! Exact mean value analysis is not used: for stations with many servers its probability of an idle station is a difference of large
//! numbers and turns negative (Reiser and Lavenberg, J. ACM 27(2), 1980, warn of it), and throughput with it.
//!
//! Symbols: N users; Z think time, s, with the stations without a queue added to it; X(n) throughput of the rest with n requests in it.

use super::answer::{Answer, Method};
use super::level::{Level, Whereabouts};
use super::model::Network;
use super::weights::normalized;

/// A closed network, solved for all populations up to the largest asked for.
#[derive(Debug)]
pub struct Closed<'m> {
    network: &'m Network,
    think_s: f64,
    level: Level,
}

impl<'m> Closed<'m> {
    pub fn new(network: &'m Network, think_s: f64, users_max: u64) -> Self {
        let jobs_max = usize::try_from(users_max).unwrap_or(usize::MAX);
        Self { network, think_s, level: Level::solve(network, &network.root, jobs_max, true) }
    }

    /// The network with `users` users, of whom there are at most as many as were announced.
    pub fn with_users(&self, users: u64) -> Answer {
        self.counted(users).0
    }

    /// The same, with the terms that were summed for it and for all populations together: the work, as a number that does not depend on
    /// the machine.
    pub(super) fn counted(&self, users: u64) -> (Answer, u64) {
        let count = usize::try_from(users).unwrap_or(usize::MAX);
        let outside_s = self.think_s + self.level.delay_s;
        let (throughput_per_s, inside) = if !self.level.has_queues() {
            (users as f64 / outside_s, vec![1.0])
        } else if outside_s == 0.0 {
            let mut all_inside = vec![0.0; count + 1];
            all_inside[count] = 1.0;
            (self.level.throughput_per_s(count), all_inside)
        } else {
            let mut ln = vec![0.0];
            let mut sum = 0.0;
            for n in 1..=count {
                sum += ((count - n + 1) as f64 / (outside_s * self.level.throughput_per_s(n))).ln();
                ln.push(sum);
            }
            let inside = normalized(&ln);
            let flow =
                inside.iter().enumerate().skip(1).map(|(n, share)| share * self.level.throughput_per_s(n));
            (flow.sum(), inside)
        };
        let mut found = Whereabouts::nowhere(self.network);
        self.level.spread(&inside, throughput_per_s, self.network, &mut found);
        let queued: f64 = inside.iter().enumerate().map(|(n, share)| n as f64 * share).sum();
        // Little's law over what is not thinking; N/X − Z would be a difference of large numbers where nobody waits.
        let response_s = queued / throughput_per_s + self.level.delay_s;
        let method = if self.network.is_product_form() { Method::Exact } else { Method::Decomposition };
        let terms = self.level.terms + inside.len() as u64 + found.terms;
        let answer = Answer::new(self.network, method, throughput_per_s, response_s, &found);
        (Answer { users: Some(users), ..answer }, terms)
    }
}
