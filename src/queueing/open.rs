//! Open networks: Poisson arrivals that come whether or not others were answered. Stations are M/M/m; a pool is a birth-death process
//! over the throughput of what it guards, with a timeout M/M/c+D, with a bounded line M/M/c/K. Requests pass the stations outside all pools first, then
//! the pools in the order of the list; who is not served at one asks for nothing after it.
//!
//! Where what leaves a full station or pool is steadier than a Poisson process, the wait is Allen and Cunneen's: that of the exponential one times
//! f = (1 + C²)/2. A timeout of τ is then one of τ/f of the exponential one, whose waits are f times too long.
//!
//! Symbols: λ arrivals per second; X(n) throughput of what a pool guards with n slots in use; C² `Level::flow_cv2`.
//!
//! Source: Jackson, Operations Research 5(4), 1957; for the rest see the neighbors.

use super::answer::{Answer, Method, Retries, Stability};
use super::erlang::Waiting;
use super::level::{AtPool, Level, Whereabouts};
use super::model::{Branch, Fault, Network, Pool, RATES_PER_S, Servers, Station, fault};
use super::patience::{impatient, leaving_per_s};
use super::retries::Retrying;
use super::weights::normalized;
use std::cell::RefCell;

/// The network under `rate_per_s` arrivals.
///
/// # Errors
/// A pool inside another one that may lose requests, which is no birth-death process; a simulation can tell.
pub fn solve(network: &Network, rate_per_s: f64) -> Result<Answer, Vec<Fault>> {
    let within = losing_within(network);
    if !within.is_empty() {
        return Err(within);
    }
    let passages: Vec<Passage<'_>> =
        network.root.pools.iter().map(|pool| Passage::new(network, pool)).collect();
    let stability = stability_of(network, &passages, rate_per_s);
    if !stability.stable {
        return Ok(Answer::unstable(network, rate_per_s, stability));
    }
    let mut found = Whereabouts::nowhere(network);
    let mut response_s = 0.0;
    let mut retried: Vec<Option<Retries>> = vec![None; network.pools.len()];
    for &index in &network.root.stations {
        let station = &network.stations[index];
        let wait_s = wait_s(station, rate_per_s).unwrap_or(f64::INFINITY);
        found.at_station[index] = rate_per_s * (wait_s + station.demand_s);
        found.flow_per_s[index] = rate_per_s;
        response_s += wait_s + station.demand_s;
    }
    let mut through_per_s = rate_per_s;
    for passage in &passages {
        let attempts_per_s = passage.attempts_per_s(through_per_s);
        retried[passage.index] = passage.retries(through_per_s);
        let passed = passage.pass(attempts_per_s);
        through_per_s = attempts_per_s * passed.p_served;
        passage.level.spread(&passed.shares, through_per_s, network, &mut found);
        let at = &mut found.at_pool[passage.index];
        *at = AtPool {
            waiting: passed.waiting,
            timeout_ratio: passage.pool.timeout_s.map(|_| passed.p_timeout),
            rejected_ratio: passage.pool.queue_max.map(|_| passed.p_rejected),
            ..*at
        };
        // Little's law over those who got a slot: their wait and their hold; and those who were sent again had waited before.
        response_s += (passed.served_waiting + at.busy) / through_per_s + passage.waited_before_s(&passed);
    }
    let fed_by_what_was_lost = passages.iter().rev().skip(1).any(|passage| passage.pool.can_lose());
    let sent_again = retried.iter().any(Option::is_some);
    let exact = network.is_product_form() && network.is_exponential() && !fed_by_what_was_lost && !sent_again;
    let method = if exact { Method::Exact } else { Method::Decomposition };
    let mut answer = Answer::new(network, method, through_per_s, response_s, &found);
    for (pool, retries) in answer.pools.iter_mut().zip(retried) {
        pool.retries = retries;
    }
    answer.rate_per_s = Some(rate_per_s);
    answer.stability = Some(stability);
    Ok(answer)
}

/// Whether queues have means at this rate of arrivals.
pub(super) fn stability(network: &Network, rate_per_s: f64) -> Stability {
    let passages: Vec<Passage<'_>> =
        network.root.pools.iter().map(|pool| Passage::new(network, pool)).collect();
    stability_of(network, &passages, rate_per_s)
}

fn stability_of(network: &Network, passages: &[Passage<'_>], rate_per_s: f64) -> Stability {
    let (from_per_s, limited_by) = limit(network, passages).unzip();
    // A limit that pools with a timeout set is only as exact as what they let through can be computed, so this rate is looked at itself, too.
    let stable = from_per_s.is_none_or(|from_per_s| rate_per_s < from_per_s)
        && is_carried(network, passages, rate_per_s);
    let unstable_from_per_s =
        from_per_s.map(|from_per_s| if stable { from_per_s } else { from_per_s.min(rate_per_s) });
    Stability { stable, unstable_from_per_s, limited_by }
}

/// Whether each station and pool is offered less than it can do.
fn is_carried(network: &Network, passages: &[Passage<'_>], rate_per_s: f64) -> bool {
    let mut stations = network.root.stations.iter();
    let stations_do = stations.all(|index| wait_s(&network.stations[*index], rate_per_s).is_some());
    let mut through_per_s = rate_per_s;
    stations_do
        && passages.iter().all(|passage| {
            let carries = passage.pool.can_lose() || through_per_s / passage.full_per_s() < 1.0;
            through_per_s = passage.through_per_s(through_per_s);
            carries
        })
}

/// Mean wait at a station, s; `None` where the queue grows without end.
fn wait_s(station: &Station, rate_per_s: f64) -> Option<f64> {
    match station.servers {
        Servers::Count(servers) => Waiting::of(servers, rate_per_s, station.demand_s)
            .map(|waiting| waiting.allen_cunneen(1.0, station.service_cv2()).wait_s),
        Servers::Delay => Some(0.0),
    }
}

/// Pools inside others that may lose requests: for these there is no solution in closed form.
pub(super) fn losing_within(network: &Network) -> Vec<Fault> {
    fn collect(branch: &Branch, network: &Network, found: &mut Vec<usize>) {
        for (index, inside) in &branch.pools {
            if network.pools[*index].can_lose() {
                found.push(*index);
            }
            collect(inside, network, found);
        }
    }
    let mut found = Vec::new();
    network.root.pools.iter().for_each(|(_, inside)| collect(inside, network, &mut found));
    found.sort_unstable();
    let told = found.iter().map(|index| {
        let (key, has) = losing_key(&network.pools[*index]);
        let what = format!(
            "it has {has} and lies inside another pool, for which there is no solution in closed form"
        );
        fault(&format!("pools[{index}].{key}"), &what, &format!("leave {key} out, or use --simulate"))
    });
    told.collect()
}

/// The key by which a pool loses requests, and what it stands for.
pub(super) fn losing_key(pool: &Pool) -> (&'static str, &'static str) {
    if pool.timeout_s.is_some() { ("timeout_s", "a timeout") } else { ("queue_max", "a bounded line") }
}

/// Weights are scaled down past this, long before they are too large to be numbers.
const WEIGHT_MAX: f64 = 1e200;
/// A share that is lost counts for nothing below this.
const LOST_LEAST: f64 = 1e-10;

/// A pool on the way of every request.
struct Passage<'m> {
    index: usize,
    pool: &'m Pool,
    level: Level,
    /// X(1), X(2), …, of all slots.
    rates_per_s: Vec<f64>,
    /// Requests per second that give up while 0, 1, … wait in a bounded line.
    leaving_per_s: Vec<f64>,
    /// f.
    factor: f64,
    /// The rate that was asked about last, and the attempts that sustain themselves under it: each takes hundreds of passes.
    sustained: RefCell<Option<(f64, Vec<f64>)>>,
}

/// What happens to arrivals at a pool.
struct Passed {
    /// Probabilities of 0, 1, … slots in use, the last one all of them.
    shares: Vec<f64>,
    waiting: f64,
    /// Of those who wait, those who will get a slot.
    served_waiting: f64,
    p_timeout: f64,
    p_rejected: f64,
    p_served: f64,
}

impl<'m> Passage<'m> {
    fn new(network: &'m Network, pool: &(usize, Branch)) -> Self {
        let described = &network.pools[pool.0];
        let branch = Branch { stations: Vec::new(), pools: vec![pool.clone()] };
        let level = Level::solve(network, &branch, described.slots, true);
        let factor = f64::midpoint(1.0, level.flow_cv2(network));
        let rates_per_s = (1..=level.jobs_max()).map(|n| level.throughput_per_s(n)).collect();
        let mut leaving = vec![0.0; described.queue_max.map_or(0, |queue_max| queue_max + 1)];
        if let (Some(timeout_s), Some(queue_max)) = (described.timeout_s, described.queue_max) {
            leaving.splice(1.., leaving_per_s(level.fastest_per_s(), timeout_s, queue_max));
        }
        Self {
            index: pool.0,
            pool: described,
            level,
            rates_per_s,
            leaving_per_s: leaving,
            factor,
            sustained: RefCell::new(None),
        }
    }

    /// The rate of what is guarded with all slots in use.
    fn full_per_s(&self) -> f64 {
        self.level.fastest_per_s()
    }

    /// Does something with the pool as one whose lost requests are sent again; `None` where none is.
    fn retrying<T>(&self, look: impl Fn(Retrying<'_>) -> T) -> Option<T> {
        let retries = self.pool.retry_ratio.filter(|retries| *retries > 0.0)?;
        let lost = |attempts_per_s: f64| self.p_lost(attempts_per_s);
        Some(look(Retrying { full_per_s: self.full_per_s(), retries, lost: &lost }))
    }

    /// How many ask for a slot per second when `rate_per_s` do for the first time, in the good state.
    fn attempts_per_s(&self, rate_per_s: f64) -> f64 {
        self.sustained(rate_per_s).first().copied().unwrap_or(rate_per_s)
    }

    /// All that sustain themselves, from the good state on; none where nothing is sent again.
    fn sustained(&self, rate_per_s: f64) -> Vec<f64> {
        if let Some((asked_per_s, states)) = &*self.sustained.borrow()
            && *asked_per_s == rate_per_s
        {
            return states.clone();
        }
        let states = self.retrying(|retrying| retrying.arrivals_per_s(rate_per_s)).unwrap_or_default();
        *self.sustained.borrow_mut() = Some((rate_per_s, states.clone()));
        states
    }

    /// What retries make of the pool.
    fn retries(&self, rate_per_s: f64) -> Option<Retries> {
        self.retrying(|retrying| {
            let states = self.sustained(rate_per_s);
            Retries {
                attempts_per_s: states.first().copied().unwrap_or(rate_per_s),
                stuck_attempts_per_s: states.last().copied().filter(|_| states.len() > 1),
                metastable: retrying.metastable(),
            }
        })
    }

    /// τ for each whose first attempt timed out, as a mean over all attempts: of 1 + rP of them r·P_timeout are such.
    fn waited_before_s(&self, passed: &Passed) -> f64 {
        let (Some(timeout_s), Some(retries)) = (self.pool.timeout_s, self.pool.retry_ratio) else {
            return 0.0;
        };
        let p_lost = passed.p_timeout + passed.p_rejected;
        timeout_s * retries * passed.p_timeout / (1.0 + retries * p_lost)
    }

    /// The rate of which `wanted_per_s` are served; `None` if never so many are.
    fn offered_for(&self, wanted_per_s: f64) -> Option<f64> {
        if !self.pool.can_lose() {
            return Some(wanted_per_s);
        }
        let served_per_s = |attempts_per_s: f64| attempts_per_s * self.pass(attempts_per_s).p_served;
        let (mut low, mut high) = (wanted_per_s, RATES_PER_S.1);
        if served_per_s(high) < wanted_per_s {
            return None;
        }
        while high - low > low * 1e-12 {
            let middle = (low * high).sqrt();
            if middle <= low || middle >= high {
                break;
            }
            if served_per_s(middle) < wanted_per_s { low = middle } else { high = middle }
        }
        Some(self.retrying(|retrying| retrying.requests_within_per_s(high)).unwrap_or(high))
    }

    /// What is served of it.
    fn through_per_s(&self, rate_per_s: f64) -> f64 {
        if !self.pool.can_lose() {
            return rate_per_s;
        }
        let attempts_per_s = self.attempts_per_s(rate_per_s);
        attempts_per_s * self.pass(attempts_per_s).p_served
    }

    /// The share of so many attempts per second that are not served.
    fn p_lost(&self, attempts_per_s: f64) -> f64 {
        if let (Some(timeout_s), None) = (self.pool.timeout_s, self.pool.queue_max) {
            let timeout_s = timeout_s / self.factor;
            return impatient(self.last_ratio(attempts_per_s), attempts_per_s, self.full_per_s(), timeout_s)
                .p_timeout;
        }
        self.p_lost_bounded(attempts_per_s)
    }

    /// The same where a bounded number may wait: that of `pass_bounded`, without the probabilities of all the states. Their weights, relative to that of c − 1
    /// slots in use, are summed up as far as they count.
    fn p_lost_bounded(&self, rate_per_s: f64) -> f64 {
        let (full_per_s, last) = (self.full_per_s(), self.leaving_per_s.len() - 1);
        let free = 1.0 / self.last_ratio(rate_per_s);
        let steady_per_s = (1.0 - self.factor) * rate_per_s.min(full_per_s);
        if self.pool.timeout_s.is_none() && last > 0 {
            let first = rate_per_s / (full_per_s - steady_per_s);
            let come_per_s = rate_per_s - steady_per_s;
            let ratio = come_per_s / (full_per_s - steady_per_s);
            let ln_last = (last as f64 - 1.0) * ratio.ln();
            // In units of the largest weight of the line, which may be more than any number.
            let unit = (-ln_last.max(0.0)).exp();
            let full = ln_last.min(0.0).exp() * come_per_s / full_per_s;
            return first * full / (free * unit + first * (geometric(ratio.min(1.0 / ratio), last) + full));
        }
        let most_lost = 1.0 + self.leaving_per_s[last] / rate_per_s;
        let (mut all, mut lost) = (free, 0.0);
        let (mut weight, mut before_per_s) = (1.0, 0.0);
        for (waiting, leaving_per_s) in self.leaving_per_s.iter().enumerate() {
            let now_per_s = if waiting < last { steady_per_s } else { 0.0 };
            let ratio = (rate_per_s - before_per_s) / (full_per_s + leaving_per_s - now_per_s);
            weight *= ratio;
            all += weight;
            let turned_away = if waiting < last { 0.0 } else { 1.0 };
            lost += weight * (leaving_per_s / rate_per_s + turned_away);
            before_per_s = now_per_s;
            // More leave the more wait, so that from here on weights only fall.
            let rest = weight * (last - waiting) as f64 * most_lost;
            if ratio < 1.0 && rest < f64::EPSILON * lost.max(all * LOST_LEAST) {
                break;
            }
            if weight > WEIGHT_MAX {
                (all, lost, weight) = (all / weight, lost / weight, 1.0);
            }
        }
        lost / all
    }

    /// The share of c − 1 slots in use among the states with a free one, as Erlang's B is: 1/B = Σ Π X(i)/λ over 0, 1, … factors from i = c − 1 down, which
    /// are soon too small or too large to go on.
    fn last_ratio(&self, rate_per_s: f64) -> f64 {
        let (mut inverse, mut product) = (1.0, 1.0);
        for x_per_s in self.rates_per_s[..self.rates_per_s.len() - 1].iter().rev() {
            product *= x_per_s / rate_per_s;
            inverse += product;
            if product < inverse * f64::EPSILON || inverse.is_infinite() {
                break;
            }
        }
        1.0 / inverse
    }

    /// Yields no sense for a pool that loses nobody and is offered more than its full rate.
    fn pass(&self, rate_per_s: f64) -> Passed {
        let slots = self.level.jobs_max();
        let mut ln = vec![0.0];
        for n in 1..slots {
            ln.push(ln[n - 1] + (rate_per_s / self.rates_per_s[n - 1]).ln());
        }
        if let Some(queue_max) = self.pool.queue_max {
            return self.pass_bounded(ln, rate_per_s, queue_max);
        }
        let rho = rate_per_s / self.full_per_s();
        let Some(timeout_s) = self.pool.timeout_s else {
            ln.push(ln[slots - 1] + (rho / (1.0 - rho)).ln());
            let shares = normalized(&ln);
            let waiting = shares[slots] * rho / (1.0 - rho) * self.factor;
            return Passed {
                shares,
                waiting,
                served_waiting: waiting,
                p_timeout: 0.0,
                p_rejected: 0.0,
                p_served: 1.0,
            };
        };
        let waits =
            impatient(self.last_ratio(rate_per_s), rate_per_s, self.full_per_s(), timeout_s / self.factor);
        let mut shares = normalized(&ln);
        shares.iter_mut().for_each(|share| *share *= 1.0 - waits.p_wait);
        shares.push(waits.p_wait);
        Passed {
            shares,
            waiting: rate_per_s * waits.wait_s * self.factor,
            served_waiting: rate_per_s * waits.served_wait_s * self.factor,
            p_timeout: waits.p_timeout,
            p_rejected: 0.0,
            p_served: waits.p_served,
        }
    }

    /// With at most `queue_max` in line, who give up as well where there is a timeout. `ln` has the weights of the states with a free slot. Where the
    /// pool is steady, births and deaths are less by what is only to and fro, as in `Closed`.
    fn pass_bounded(&self, mut ln: Vec<f64>, rate_per_s: f64, queue_max: usize) -> Passed {
        let (slots, full_per_s) = (self.level.jobs_max(), self.full_per_s());
        let leaving = &self.leaving_per_s;
        let (mut sum, mut before_per_s) = (ln[slots - 1], 0.0);
        for (waiting, leaving_per_s) in leaving.iter().enumerate() {
            // Nobody comes while the line is full.
            let part = if waiting < queue_max { 1.0 - self.factor } else { 0.0 };
            let now_per_s = part * rate_per_s.min(full_per_s);
            sum += ((rate_per_s - before_per_s) / (full_per_s + leaving_per_s - now_per_s)).ln();
            ln.push(sum);
            before_per_s = now_per_s;
        }
        let mut shares = normalized(&ln);
        let line = shares.split_off(slots);
        shares.push(line.iter().sum());
        let over = |of: &dyn Fn(usize) -> f64| -> f64 {
            line.iter().enumerate().map(|(waiting, share)| of(waiting) * share).sum()
        };
        let waiting = over(&|waiting| waiting as f64);
        let gave_up_per_s = over(&|waiting| leaving[waiting]);
        let served_per_s: f64 = (1..=slots).map(|n| self.rates_per_s[n - 1] * shares[n]).sum();
        let lost_waiting = gave_up_per_s * self.pool.timeout_s.unwrap_or(0.0);
        Passed {
            shares,
            waiting,
            served_waiting: (waiting - lost_waiting).max(0.0),
            p_timeout: gave_up_per_s / rate_per_s,
            p_rejected: line[queue_max],
            p_served: served_per_s / rate_per_s,
        }
    }
}

/// The least rate of arrivals at which a queue grows without end, and whose; `None` where timeouts and bounded lines are at all that could.
fn limit(network: &Network, passages: &[Passage<'_>]) -> Option<(f64, String)> {
    let stations = network.root.stations.iter().filter_map(|index| {
        let station = &network.stations[*index];
        match station.servers {
            Servers::Count(servers) => Some((servers as f64 / station.demand_s, station.name.clone())),
            Servers::Delay => None,
        }
    });
    let pools = passages.iter().enumerate().filter(|(_, passage)| !passage.pool.can_lose()).filter_map(
        |(position, passage)| {
            let from_per_s = offering(&passages[..position], passage.full_per_s())?;
            Some((from_per_s, passage.pool.name.clone()))
        },
    );
    stations.chain(pools).min_by(|a, b| a.0.total_cmp(&b.0))
}

/// The rate of arrivals of which the pools before let `wanted_per_s` through; `None` if they never do.
fn offering(before: &[Passage<'_>], wanted_per_s: f64) -> Option<f64> {
    before.iter().rev().try_fold(wanted_per_s, |wanted_per_s, passage| passage.offered_for(wanted_per_s))
}

/// 1 + q + … + q^(n − 1) for 0 < q ≤ 1.
fn geometric(q: f64, n: usize) -> f64 {
    if q == 1.0 { n as f64 } else { (n as f64 * q.ln()).exp_m1() / (q - 1.0) }
}

#[cfg(test)]
mod tests;
