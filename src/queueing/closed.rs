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
    /// `Level::steadiness` of it.
    steadiness: Option<Vec<f64>>,
}

/// X(1), X(2), … X(jobs_max) of the network if nobody thought, per second: what it looks like to a pool around it.
pub fn flow_equivalent_per_s(network: &Network, jobs_max: usize) -> Vec<f64> {
    let level = Level::solve(network, &network.root, jobs_max, false);
    (1..=jobs_max).map(|jobs| level.throughput_per_s(jobs)).collect()
}

impl<'m> Closed<'m> {
    pub fn new(network: &'m Network, think_s: f64, users_max: u64) -> Self {
        let jobs_max = usize::try_from(users_max).unwrap_or(usize::MAX);
        let level = Level::solve(network, &network.root, jobs_max, true);
        let steadiness = level.steadiness();
        Self { network, think_s, level, steadiness }
    }

    /// `Level::too_steady` of it.
    pub(super) fn too_steady(&self) -> Option<usize> {
        self.level.too_steady()
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
            let inside = self.inside(count, outside_s);
            let flow =
                inside.iter().enumerate().skip(1).map(|(n, share)| share * self.level.throughput_per_s(n));
            (flow.sum(), inside)
        };
        let mut found = Whereabouts::nowhere(self.network);
        self.level.spread(&inside, throughput_per_s, self.network, &mut found);
        let queued: f64 = inside.iter().enumerate().map(|(n, share)| n as f64 * share).sum();
        let (mut through_per_s, mut response_s) = (throughput_per_s, self.level.delay_s);
        let mut elsewhere = queued;
        if let Some((at, kept)) = found.at_pool.iter().find_map(|at| Some((at, at.kept?))) {
            // Who is lost is so at the last pool of the way, and was before it where all others were.
            elsewhere = (queued - at.busy - at.waiting).max(0.0);
            through_per_s = kept.per_s;
            response_s += (at.busy + kept.waiting) / kept.per_s;
        }
        // Little's law over what is not thinking; N/X − Z would be a difference of large numbers where nobody waits.
        response_s += elsewhere / throughput_per_s;
        let terms = self.level.terms + inside.len() as u64 + found.terms;
        let answer = Answer::new(self.network, self.method(), through_per_s, response_s, &found);
        (Answer { users: Some(users), ..answer }, terms)
    }

    /// The probabilities of 0, 1, … requests that are not thinking, of `count` users who think for `outside_s`: p(n) ∝ Π b(i − 1)/d(i), where
    /// b(n) = (N − n)/Z and d(n) = X(n) are both less by the part of the smaller that is only to and fro (`Level::steadiness`).
    ///
    /// What remains has the drift of the flows and the variance of the steadier one, so that as many come as go. Under a constant rate of arrivals it
    /// is Allen and Cunneen's formula.
    fn inside(&self, count: usize, outside_s: f64) -> Vec<f64> {
        let come_per_s = |n: usize| (count - n) as f64 / outside_s;
        let go_per_s = |n: usize| self.level.throughput_per_s(n);
        let to_and_fro_per_s = |n: usize| {
            let part = self.steadiness.as_ref().map_or(0.0, |parts| parts[n]);
            if part > 0.0 { part * come_per_s(n).min(go_per_s(n)) } else { 0.0 }
        };
        let mut ln = vec![0.0];
        let (mut sum, mut before_per_s) = (0.0, 0.0);
        for n in 1..=count {
            let now_per_s = to_and_fro_per_s(n);
            sum += ((come_per_s(n - 1) - before_per_s) / (go_per_s(n) - now_per_s)).ln();
            ln.push(sum);
            before_per_s = now_per_s;
        }
        normalized(&ln)
    }

    fn method(&self) -> Method {
        let network = self.network;
        let loses = network.pools.iter().any(|pool| pool.can_lose());
        // With a timeout the formula is exact for one pool and users who do nothing but think.
        let exact = network.is_product_form()
            && network.is_exponential()
            && (!loses || network.root.stations.is_empty() && network.root.pools.len() == 1);
        if exact { Method::Exact } else { Method::Decomposition }
    }
}
