//! Open networks: Poisson arrivals that come whether or not others were answered. Stations are M/M/m; a pool is a birth-death process
//! over the throughput of what it guards, and with a timeout M/M/c+D. Requests pass the stations outside all pools first, then the pools
//! in the order of the list; who gives up at one asks for nothing after it.
//!
//! Symbols: λ arrivals per second; X(n) throughput of what a pool guards with n slots in use.
//!
//! Source: Jackson, Operations Research 5(4), 1957; for the rest see the neighbors.

use super::answer::{Answer, Method, Stability};
use super::erlang::Waiting;
use super::level::{Level, Whereabouts};
use super::model::{Branch, Fault, Network, RATES_PER_S, Servers, fault};
use super::patience::impatient;
use super::weights::normalized;

/// The network under `rate_per_s` arrivals.
///
/// # Errors
/// A pool with a timeout inside another pool, which is no birth-death process; a simulation can tell.
pub fn solve(network: &Network, rate_per_s: f64) -> Result<Answer, Vec<Fault>> {
    let mut timed = Vec::new();
    for (_, inside) in &network.root.pools {
        timed_within(inside, network, &mut timed);
    }
    if !timed.is_empty() {
        timed.sort_unstable();
        let what =
            "it has a timeout and lies inside another pool, for which there is no solution in closed form";
        let right = "leave the timeout out, or use --simulate";
        return Err(timed
            .iter()
            .map(|index| fault(&format!("pools[{index}].timeout_s"), what, right))
            .collect());
    }
    let passages: Vec<Passage<'_>> =
        network.root.pools.iter().map(|pool| Passage::new(network, pool)).collect();
    let stability = stability(network, rate_per_s);
    if !stability.stable {
        return Ok(Answer::unstable(network, rate_per_s, stability));
    }
    let mut found = Whereabouts::nowhere(network);
    let mut response_s = 0.0;
    for &index in &network.root.stations {
        let station = &network.stations[index];
        let wait_s = match station.servers {
            Servers::Count(servers) => Waiting::of(servers, rate_per_s, station.demand_s)
                .map_or(f64::INFINITY, |waiting| waiting.wait_s),
            Servers::Delay => 0.0,
        };
        found.at_station[index] = rate_per_s * (wait_s + station.demand_s);
        found.flow_per_s[index] = rate_per_s;
        response_s += wait_s + station.demand_s;
    }
    let mut through_per_s = rate_per_s;
    for passage in &passages {
        let passed = passage.pass(through_per_s);
        through_per_s *= passed.p_served;
        passage.level.spread(&passed.shares, through_per_s, network, &mut found);
        let at = &mut found.at_pool[passage.index];
        at.waiting = passed.waiting;
        at.timeout_ratio = passage.timeout_s.map(|_| passed.p_timeout);
        // Little's law over those who got a slot: their wait and their hold.
        response_s += (passed.served_waiting + at.busy) / through_per_s;
    }
    let fed_by_a_timeout = passages.iter().rev().skip(1).any(|passage| passage.timeout_s.is_some());
    let exact = network.is_product_form() && !fed_by_a_timeout;
    let method = if exact { Method::Exact } else { Method::Decomposition };
    let mut answer = Answer::new(network, method, through_per_s, response_s, &found);
    answer.rate_per_s = Some(rate_per_s);
    answer.stability = Some(stability);
    Ok(answer)
}

/// Whether queues have means at this rate of arrivals.
pub(super) fn stability(network: &Network, rate_per_s: f64) -> Stability {
    let passages: Vec<Passage<'_>> =
        network.root.pools.iter().map(|pool| Passage::new(network, pool)).collect();
    let limit = limit(network, &passages);
    let stable = limit.as_ref().is_none_or(|(from_per_s, _)| rate_per_s < *from_per_s);
    let (unstable_from_per_s, limited_by) = limit.unzip();
    Stability { stable, unstable_from_per_s, limited_by }
}

fn timed_within(branch: &Branch, network: &Network, timed: &mut Vec<usize>) {
    for (index, inside) in &branch.pools {
        if network.pools[*index].timeout_s.is_some() {
            timed.push(*index);
        }
        timed_within(inside, network, timed);
    }
}

/// A pool on the way of every request.
struct Passage<'m> {
    index: usize,
    name: &'m str,
    timeout_s: Option<f64>,
    level: Level,
}

/// What happens to arrivals at a pool.
struct Passed {
    /// Probabilities of 0, 1, … slots in use, the last one all of them.
    shares: Vec<f64>,
    waiting: f64,
    /// Of those who wait, those who will get a slot.
    served_waiting: f64,
    p_timeout: f64,
    p_served: f64,
}

impl<'m> Passage<'m> {
    fn new(network: &'m Network, pool: &(usize, Branch)) -> Self {
        let described = &network.pools[pool.0];
        let branch = Branch { stations: Vec::new(), pools: vec![pool.clone()] };
        let level = Level::solve(network, &branch, described.slots, true);
        Self { index: pool.0, name: &described.name, timeout_s: described.timeout_s, level }
    }

    /// The rate of what is guarded with all slots in use.
    fn full_per_s(&self) -> f64 {
        self.level.fastest_per_s()
    }

    /// Yields no sense for a pool without a timeout that is offered more than its full rate.
    fn pass(&self, rate_per_s: f64) -> Passed {
        let slots = self.level.jobs_max();
        let mut ln = vec![0.0];
        // The share of the last state among those so far, as Erlang's B is computed.
        let mut last_ratio = 1.0;
        for n in 1..slots {
            let ratio = rate_per_s / self.level.throughput_per_s(n);
            ln.push(ln[n - 1] + ratio.ln());
            last_ratio = ratio * last_ratio / (1.0 + ratio * last_ratio);
        }
        let rho = rate_per_s / self.full_per_s();
        let Some(timeout_s) = self.timeout_s else {
            ln.push(ln[slots - 1] + (rho / (1.0 - rho)).ln());
            let shares = normalized(&ln);
            let waiting = shares[slots] * rho / (1.0 - rho);
            return Passed { shares, waiting, served_waiting: waiting, p_timeout: 0.0, p_served: 1.0 };
        };
        let waits = impatient(last_ratio, rate_per_s, self.full_per_s(), timeout_s);
        let mut shares = normalized(&ln);
        shares.iter_mut().for_each(|share| *share *= 1.0 - waits.p_wait);
        shares.push(waits.p_wait);
        Passed {
            shares,
            waiting: rate_per_s * waits.wait_s,
            served_waiting: rate_per_s * waits.served_wait_s,
            p_timeout: waits.p_timeout,
            p_served: waits.p_served,
        }
    }
}

/// The least rate of arrivals at which a queue grows without end, and whose; `None` where timeouts bound all that could.
fn limit(network: &Network, passages: &[Passage<'_>]) -> Option<(f64, String)> {
    let stations = network.root.stations.iter().filter_map(|index| {
        let station = &network.stations[*index];
        match station.servers {
            Servers::Count(servers) => Some((servers as f64 / station.demand_s, station.name.clone())),
            Servers::Delay => None,
        }
    });
    let pools = passages.iter().enumerate().filter(|(_, passage)| passage.timeout_s.is_none()).filter_map(
        |(position, passage)| {
            let from_per_s = offering(&passages[..position], passage.full_per_s())?;
            Some((from_per_s, passage.name.to_owned()))
        },
    );
    stations.chain(pools).min_by(|a, b| a.0.total_cmp(&b.0))
}

/// The rate of arrivals of which the pools before let `wanted_per_s` through; `None` if they never do.
fn offering(before: &[Passage<'_>], wanted_per_s: f64) -> Option<f64> {
    let timed: Vec<&Passage<'_>> = before.iter().filter(|passage| passage.timeout_s.is_some()).collect();
    if timed.is_empty() {
        return Some(wanted_per_s);
    }
    let through =
        |rate_per_s: f64| timed.iter().fold(rate_per_s, |rate, passage| rate * passage.pass(rate).p_served);
    let (mut low, mut high) = (wanted_per_s, RATES_PER_S.1);
    if through(high) < wanted_per_s {
        return None;
    }
    while high - low > low * 1e-12 {
        let middle = (low * high).sqrt();
        if middle <= low || middle >= high {
            break;
        }
        if through(middle) < wanted_per_s { low = middle } else { high = middle }
    }
    Some(high)
}
