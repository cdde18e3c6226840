//! How many requests take longer than a limit. Product forms give means; an SLO is about a tail. Each node is a birth-death process; who arrives
//! finds so many there, waits for as many departures, and then takes as long as a request that never waits.
//!
//! Past the servers the ratio of two neighboring states is raised to 2/(1 + Cs²): the decay of a queue with Poisson arrivals and a variation of service Cs²
//! (the diffusion limit, Kingman 1962, Allen and Cunneen), exact for exponential service. Users whose think times are alike come more evenly than that: of
//! N who think, fed at rate X by a stream of variation Cs², the number varies by X·(∫F(1 − F) + Cs²·∫(1 − F)²) with F the distribution of thinking (each
//! arrival thinks on by itself), which is X·Z·(1 + Cs²)/2 for exponential thinking. Several nodes: the waits are taken for
//! independent, each node seeing the mean waits of the others as thinking.
//!
//! A node that not every request visits has the longest of them: of a page and its four files it is the page that asks the database. So who visits is a
//! matter of the request's own time, and the waits of nodes are joined within those requests that visit the same ones.
//!
//! Symbols: n requests at a node; μ(n) its completions per second; V share of the requests that visit it; Cs² squared coefficient of variation of its service.

use super::weights::normalized;

/// A station or a pool as a queue: μ(1), μ(2), …, the last one for all beyond.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub rates_per_s: Vec<f64>,
    /// V, above 0 and at most 1.
    pub visits: f64,
    /// Cs², 0 for constant times and 1 for exponential ones.
    pub variation: f64,
}

/// Who sends requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// So many users, each of whom thinks for `think_s` on average after an answer; two thoughts differ by `spread` of that on average (Gini's mean
    /// difference over the mean): 0 where all are the same, 1 where they are exponential.
    Users { users: u64, think_s: f64, spread: f64 },
    /// Poisson arrivals.
    Rate { per_s: f64 },
}

/// Response times without any wait, as a quantile function of straight pieces.
#[derive(Clone, Debug, PartialEq)]
pub struct Alone {
    /// (share, seconds), both rising, from share 0 to 1.
    points: Vec<(f64, f64)>,
}

/// Steps into which waits up to the limit are divided.
const STEPS: usize = 250;
/// States with less probability than this of the likeliest are left out.
const NEGLIGIBLE: f64 = 1e-12;
/// Thoughts that are more alike than this are still told apart by where in the queue their users were.
const SPREAD_MIN: f64 = 0.05;
/// Rounds in which the nodes learn of each other's waits.
const ROUNDS: usize = 6;
/// Gauss-Hermite points of a normal distribution, in standard deviations, with their weights (Abramowitz and Stegun, table 25.10, n = 5).
const NORMAL: [(f64, f64); 5] = [
    (-2.856_970, 0.011_257),
    (-1.355_626, 0.222_076),
    (0.0, 0.533_333),
    (1.355_626, 0.222_076),
    (2.856_970, 0.011_257),
];

impl Alone {
    /// From points (share, seconds) in order; made to rise where they do not, and to begin at share 0 and end at 1.
    pub fn new(points: &[(f64, f64)]) -> Self {
        let mut rising: Vec<(f64, f64)> = Vec::with_capacity(points.len() + 2);
        for &(share, seconds) in points {
            let (share_before, seconds_before) = rising.last().copied().unwrap_or((0.0, 0.0));
            rising.push((share.max(share_before), seconds.max(seconds_before)));
        }
        let (first, last) =
            (rising.first().map_or(0.0, |point| point.1), rising.last().map_or(0.0, |point| point.1));
        rising.insert(0, (0.0, first));
        rising.push((1.0, last));
        Self { points: rising }
    }

    pub fn mean_s(&self) -> f64 {
        self.points.windows(2).map(|ends| (ends[1].0 - ends[0].0) * (ends[0].1 + ends[1].1) / 2.0).sum()
    }

    /// The same shape with another mean.
    #[must_use]
    pub fn with_mean(&self, mean_s: f64) -> Self {
        let factor = mean_s / self.mean_s().max(f64::MIN_POSITIVE);
        Self { points: self.points.iter().map(|&(share, seconds)| (share, seconds * factor)).collect() }
    }

    /// Squared coefficient of variation.
    pub fn variation(&self) -> f64 {
        // ∫x² over a straight piece from a to b is (a² + ab + b²)/3 of its width.
        let square: f64 = self
            .points
            .windows(2)
            .map(|ends| {
                let (a, b) = (ends[0].1, ends[1].1);
                (ends[1].0 - ends[0].0) * (a * a + a * b + b * b) / 3.0
            })
            .sum();
        let mean = self.mean_s();
        if mean > 0.0 { (square / (mean * mean) - 1.0).max(0.0) } else { 0.0 }
    }

    /// Share of all that take at most `t_s`.
    fn share_within(&self, t_s: f64) -> f64 {
        let mut below = 0.0;
        for ends in self.points.windows(2) {
            let ((p, a), (q, b)) = (ends[0], ends[1]);
            if b <= t_s {
                below = q;
            } else if a <= t_s {
                below = p + (q - p) * (t_s - a) / (b - a);
            } else {
                break;
            }
        }
        below
    }

    /// P(T > t).
    pub fn p_longer(&self, t_s: f64) -> f64 {
        1.0 - self.share_within(t_s)
    }
}

impl Node {
    /// `servers` that each serve one request in `service_s`; all requests visit them.
    pub fn servers(servers: usize, service_s: f64, variation: f64) -> Self {
        let rates_per_s = (1..=servers.max(1)).map(|n| n as f64 / service_s).collect();
        Self { rates_per_s, visits: 1.0, variation }
    }

    /// Time of a visit that is alone there, s.
    pub fn alone_s(&self) -> f64 {
        1.0 / self.rate_per_s(1)
    }

    /// The most requests that can pass, whether they visit it or not, per second.
    pub fn fastest_per_s(&self) -> f64 {
        self.rate_per_s(self.rates_per_s.len()) / self.visits
    }

    fn rate_per_s(&self, n: usize) -> f64 {
        let last = self.rates_per_s.len();
        self.rates_per_s.get(n.clamp(1, last.max(1)) - 1).copied().unwrap_or(f64::MIN_POSITIVE)
    }

    /// Shares of the states that an arrival finds, of which the first is `from` requests: with N users those of N − 1 (arrival theorem), with
    /// Poisson arrivals those of all times (PASTA). `None` where the queue grows without end.
    fn found(&self, source: Source, outside_s: f64) -> Option<Vec<f64>> {
        let servers = self.rates_per_s.len();
        // ∫F(1 − F) is half of the mean difference.
        let alike = match source {
            Source::Users { spread, .. } => spread.clamp(SPREAD_MIN, 1.0) / 2.0,
            Source::Rate { .. } => 0.5,
        };
        let decay = 1.0 / (alike + self.variation * (1.0 - alike));
        let mut ln = vec![0.0_f64];
        let mut peak = 0.0_f64;
        let most = match source {
            Source::Users { users, .. } => usize::try_from(users.saturating_sub(1)).unwrap_or(usize::MAX),
            Source::Rate { per_s } if per_s >= self.fastest_per_s() => return None,
            Source::Rate { .. } => usize::MAX,
        };
        let mut n = 0;
        while n < most {
            let arrivals_per_s = match source {
                Source::Users { .. } => (most - n) as f64 / outside_s.max(f64::MIN_POSITIVE),
                Source::Rate { per_s } => per_s * self.visits,
            };
            n += 1;
            let step = (arrivals_per_s / self.rate_per_s(n)).ln();
            let next = ln[n - 1] + if n > servers { decay * step } else { step };
            peak = peak.max(next);
            ln.push(next);
            if n > servers && next < peak + NEGLIGIBLE.ln() {
                break;
            }
        }
        Some(normalized(&ln))
    }

    /// Mean wait and its variance of who finds `n` requests here: (n + 1)/μ(n + 1) less the time alone.
    fn wait(&self, n: usize) -> (f64, f64) {
        let servers = self.rates_per_s.len();
        let rate_per_s = self.rate_per_s(n + 1);
        let before = (n + 1).saturating_sub(servers) as f64;
        let wait_s = ((n + 1) as f64 / rate_per_s - self.alone_s()).max(0.0);
        (wait_s, before * self.variation / (rate_per_s * rate_per_s))
    }

    fn mean_wait_s(&self, found: &[f64]) -> f64 {
        found.iter().enumerate().map(|(n, share)| share * self.wait(n).0).sum()
    }
}

/// P(R > limit) of a request that passes `nodes` and takes `alone` where nobody waits; 1 where a queue grows without end.
pub fn p_longer(nodes: &[Node], source: Source, alone: &Alone, limit_s: f64) -> f64 {
    let mut waits_s = vec![0.0; nodes.len()];
    let mut found: Vec<Vec<f64>> = Vec::new();
    let rounds = if nodes.len() > 1 && matches!(source, Source::Users { .. }) { ROUNDS } else { 1 };
    for round in 0..rounds {
        let all_s: f64 = nodes.iter().zip(&waits_s).map(|(node, wait_s)| node.visits * wait_s).sum();
        let states = nodes.iter().zip(&waits_s).map(|(node, wait_s)| {
            let elsewhere_s =
                (alone.mean_s() - node.visits * node.alone_s()).max(0.0) + all_s - node.visits * wait_s;
            let think_s = if let Source::Users { think_s, .. } = source { think_s } else { 0.0 };
            node.found(source, (think_s + elsewhere_s) / node.visits)
        });
        let Some(states) = states.collect::<Option<Vec<_>>>() else { return 1.0 };
        for (at, (node, states)) in nodes.iter().zip(&states).enumerate() {
            let now_s = node.mean_wait_s(states);
            // Two nodes that are both nearly full would answer each other in turns.
            waits_s[at] = if round == 0 { now_s } else { (waits_s[at] + now_s) / 2.0 };
        }
        found = states;
    }
    let step_s = limit_s / STEPS as f64;
    let waits: Vec<Vec<f64>> =
        nodes.iter().zip(&found).map(|(node, states)| spread(node, states, step_s)).collect();
    // From here on, by share of a request's time among all, it visits the nodes that are visited by so many.
    let mut from: Vec<f64> = nodes.iter().map(|node| 1.0 - node.visits).chain([0.0, 1.0]).collect();
    from.sort_by(f64::total_cmp);
    let within: f64 = from
        .windows(2)
        .filter(|band| band[1] > band[0])
        .map(|band| {
            let visited = nodes.iter().zip(&waits).filter(|(node, _)| 1.0 - node.visits <= band[0]);
            let waits = joined(visited.map(|(_, waits)| waits));
            let within = |(step, p): (usize, &f64)| {
                let share = alone.share_within(limit_s - step as f64 * step_s);
                p * (share.clamp(band[0], band[1]) - band[0])
            };
            waits.iter().enumerate().map(within).sum::<f64>()
        })
        .sum();
    (1.0 - within).clamp(0.0, 1.0)
}

/// Of the sums of independent waits, those of each number of steps; what is missing is beyond the limit.
fn joined<'a>(waits: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let mut so_far = vec![0.0; STEPS + 1];
    so_far[0] = 1.0;
    for here in waits {
        let mut joined = vec![0.0; STEPS + 1];
        for (i, p) in so_far.iter().enumerate().filter(|(_, p)| **p > NEGLIGIBLE) {
            for (j, q) in here.iter().enumerate().take(STEPS + 1 - i) {
                joined[i + j] += p * q;
            }
        }
        so_far = joined;
    }
    so_far
}

/// The waits at one node in steps; those beyond the last are left out.
fn spread(node: &Node, states: &[f64], step_s: f64) -> Vec<f64> {
    let mut waits = vec![0.0; STEPS + 1];
    let floor = states.iter().copied().fold(0.0, f64::max) * NEGLIGIBLE;
    for (n, share) in states.iter().enumerate().filter(|(_, share)| **share > floor) {
        let (wait_s, variance) = node.wait(n);
        let deviation_s = variance.sqrt();
        let points: &[(f64, f64)] = if deviation_s < step_s { &[(0.0, 1.0)] } else { &NORMAL };
        for (at, weight) in points {
            let steps = ((wait_s + at * deviation_s) / step_s).max(0.0);
            let (low, part) = (steps.floor() as usize, steps.fract());
            for (place, part) in [(low, 1.0 - part), (low + 1, part)] {
                if let Some(wait) = waits.get_mut(place) {
                    *wait += share * weight * part;
                }
            }
        }
    }
    waits
}

#[cfg(test)]
mod tests;
