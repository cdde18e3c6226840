//! One level of a network: stations and pools side by side, under one bound on how many jobs there are. From the inside out it yields
//! the throughput with 1, 2, … jobs, which is what the pool around it looks like from outside (a flow-equivalent server); from the
//! outside in it says where the jobs are, given how many there are.
//!
//! Sources: Lazowska, Zahorjan, Graham and Sevcik, "Quantitative System Performance", 1984, chapters 8 and 9 (flow-equivalent servers,
//! memory constraints); Reiser and Lavenberg, J. ACM 27(2), 1980 (queues of single servers by recursion over the population).

use super::line::Line;
use super::model::{Branch, Load, Network, Pool, Servers};
use super::weights::{Rates, Weights};
use std::ops::Range;

/// Shares below this of the largest are left out where a distribution is spread over stations.
const NEGLIGIBLE: f64 = 1e-25;

/// 1 − C² a slot past which the correction for steady holds is more than 5 % off before a line that loses requests: found by simulation.
const STEADY_MAX: f64 = 0.15;

/// Who is on a level.
#[derive(Debug)]
enum Content {
    /// A station with servers, by its index in the network.
    Station(usize),
    /// A pool, by its index, and what it guards. Its population is at most its slots.
    Pool(usize, Box<Level>),
}

#[derive(Debug)]
struct Member {
    content: Content,
    rates: Rates,
    /// Servers, or slots: with more jobs than that somebody waits.
    full: usize,
    /// Squared coefficient of variation of what flows out of it while somebody waits: 1 where all is exponential.
    cv2: f64,
    /// The line before a pool that may lose requests, on the outermost level of a closed network.
    line: Option<Line>,
    /// The convolution of all others of the level; `None` where nobody asks for it.
    others: Option<Weights>,
}

impl Member {
    /// A single server has a recursion of its own.
    fn needs_the_others(&self) -> bool {
        match self.content {
            Content::Pool(..) => true,
            Content::Station(_) => self.rates.kept() > 1 || self.cv2 < 1.0,
        }
    }
}

/// A level, solved for every population up to its limit.
#[derive(Debug)]
pub(super) struct Level {
    members: Vec<Member>,
    /// ΣD of the stations without a queue, s, and who they are.
    pub(super) delay_s: f64,
    delays: Vec<usize>,
    g: Weights,
    scale_per_s: f64,
    jobs_max: usize,
    /// Terms summed here and inside, for a bound on the work.
    pub(super) terms: u64,
}

/// Where jobs are, by station and by pool, summed up while a distribution is spread from the outside in.
#[derive(Clone, Debug, Default)]
pub(super) struct Whereabouts {
    /// Mean jobs at each station, in service and waiting.
    pub(super) at_station: Vec<f64>,
    /// Requests per second that pass each station.
    pub(super) flow_per_s: Vec<f64>,
    pub(super) at_pool: Vec<AtPool>,
    /// Terms summed while spreading.
    pub(super) terms: u64,
}

/// A pool over time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct AtPool {
    /// Mean slots in use.
    pub(super) busy: f64,
    /// Mean requests that wait for one.
    pub(super) waiting: f64,
    /// Share of the time in which no slot is free.
    pub(super) p_all_busy: f64,
    /// Share of those who ask for a slot and give up; `None` without a timeout.
    pub(super) timeout_ratio: Option<f64>,
    /// Share of those who ask for a slot and are turned away; `None` where any number may wait.
    pub(super) rejected_ratio: Option<f64>,
    /// Where requests may be lost in a closed network: how many per second are not, and how many of those that wait will not be.
    pub(super) kept: Option<Kept>,
}

/// Who gets a slot of a pool that loses requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) per_s: f64,
    pub(super) waiting: f64,
}

impl AtPool {
    /// A pool that loses nobody, though it may.
    pub(super) fn none_lost(pool: &Pool) -> Self {
        Self {
            timeout_ratio: pool.timeout_s.map(|_| 0.0),
            rejected_ratio: pool.queue_max.map(|_| 0.0),
            ..Self::default()
        }
    }
}

impl Whereabouts {
    pub(super) fn nowhere(network: &Network) -> Self {
        Self {
            at_station: vec![0.0; network.stations.len()],
            flow_per_s: vec![0.0; network.stations.len()],
            at_pool: vec![AtPool::default(); network.pools.len()],
            terms: 0,
        }
    }
}

impl Level {
    /// Solves a branch for up to `jobs_max` jobs. On the outermost level, whose population moves between thinking and the rest, stations
    /// without a queue are not part of the convolution: they are like thinking.
    pub(super) fn solve(network: &Network, branch: &Branch, jobs_max: usize, outermost: bool) -> Self {
        let mut members = Vec::new();
        let (mut delays, mut delay_s, mut terms) = (Vec::new(), 0.0, 0);
        for &index in &branch.stations {
            let station = &network.stations[index];
            match station.servers {
                Servers::Count(servers) => members.push(Member {
                    content: Content::Station(index),
                    rates: Rates::servers(station.demand_s, servers, jobs_max),
                    full: servers,
                    cv2: station.service_cv2(),
                    line: None,
                    others: None,
                }),
                Servers::Delay => {
                    delay_s += station.demand_s;
                    delays.push(index);
                }
            }
        }
        let come_per_s = comes_per_s(network, &members, delay_s, jobs_max);
        for (index, inside) in &branch.pools {
            let level = Self::solve(network, inside, network.pools[*index].slots.min(jobs_max), false);
            // Its own, and its throughput with each number of requests.
            terms += level.terms + level.jobs_max as u64;
            let pool = &network.pools[*index];
            let closed = !matches!(network.load, Load::Open { .. });
            let line = (outermost && closed && pool.can_lose() && jobs_max > pool.slots)
                .then(|| Line::before(pool, level.rates(), jobs_max - pool.slots, come_per_s));
            let rates = line.as_ref().map_or_else(|| level.rates(), Line::rates);
            let (full, cv2) = (pool.slots, level.flow_cv2(network));
            let content = Content::Pool(*index, Box::new(level));
            members.push(Member { content, rates, full, cv2, line, others: None });
        }
        // The longest list of rates first: it is taken as it is, and each of the others costs as many terms as it has rates.
        members.sort_by_key(|member| std::cmp::Reverse(member.rates.kept()));
        let mut level =
            Self { members, delay_s, delays, g: Weights::nothing(), scale_per_s: 1.0, jobs_max, terms };
        level.scale_per_s =
            level.members.iter().map(|member| member.rates.max()).fold(f64::INFINITY, f64::min);
        let in_line = (!outermost && delay_s > 0.0).then(|| Rates::servers(delay_s, jobs_max, jobs_max));
        if level.scale_per_s.is_infinite() {
            level.scale_per_s = in_line.as_ref().map_or(1.0, Rates::max);
        }
        let beside = in_line.map_or_else(Weights::nothing, |rates| Weights::of(&rates, level.scale_per_s));
        level.g = level.joined(&beside, 0..level.members.len());
        level.leave_one_out(&beside, 0..level.members.len());
        level
    }

    /// `g` and these members.
    fn joined(&mut self, g: &Weights, members: Range<usize>) -> Weights {
        let mut g = g.clone();
        for member in &self.members[members] {
            let (joined, terms) = g.with(&member.rates, self.scale_per_s, self.jobs_max);
            self.terms += terms;
            g = joined;
        }
        g
    }

    /// Gives each of these members the convolution of all others, of which `g` has those outside the range: by halves, so that a level of
    /// many parts costs a few convolutions for each of them and not one for each pair.
    fn leave_one_out(&mut self, g: &Weights, members: Range<usize>) {
        if !self.members[members.clone()].iter().any(Member::needs_the_others) {
            return;
        }
        if members.len() == 1 {
            self.members[members.start].others = Some(g.clone());
            return;
        }
        let middle = members.start + members.len() / 2;
        for (half, others) in
            [(members.start..middle, middle..members.end), (middle..members.end, members.start..middle)]
        {
            let beside = self.joined(g, others);
            self.leave_one_out(&beside, half);
        }
    }

    /// Whether jobs can be here at all, other than in stations without a queue.
    pub(super) fn has_queues(&self) -> bool {
        !self.members.is_empty()
    }

    /// X(n), per second, with n ≥ 1 jobs on this level.
    pub(super) fn throughput_per_s(&self, n: usize) -> f64 {
        self.g.throughput(n) * self.scale_per_s
    }

    /// The level as the outside sees it.
    fn rates(&self) -> Rates {
        Rates::measured((1..=self.jobs_max).map(|n| self.throughput_per_s(n)))
    }

    /// X with as many jobs as there may be, per second.
    pub(super) fn fastest_per_s(&self) -> f64 {
        self.throughput_per_s(self.jobs_max)
    }

    pub(super) fn jobs_max(&self) -> usize {
        self.jobs_max
    }

    /// Squared coefficient of variation of what flows out of the full level, over times so long that all who are on it have left often: the
    /// jobs at each part, as a share of all, squared, times that of the part. Exact for one job, whose stages follow each other, for any
    /// number in delays alone, and where one part holds all.
    pub(super) fn flow_cv2(&self, network: &Network) -> f64 {
        let cv2_of = |delay: &usize| network.stations[*delay].service_cv2();
        match (&self.members[..], &self.delays[..]) {
            ([member], []) => return member.cv2,
            ([], [delay]) => return cv2_of(delay),
            _ => {}
        }
        let jobs = self.jobs_max as f64;
        let mut shares = vec![0.0; self.jobs_max + 1];
        shares[self.jobs_max] = 1.0;
        let x = self.fastest_per_s();
        let delays = self.delays.iter().map(|delay| (x * network.stations[*delay].demand_s, cv2_of(delay)));
        let members = self.members.iter().map(|member| {
            let there = match &member.others {
                None => self.single_server_queue(member.rates.max(), &shares),
                Some(others) => {
                    let there = self.marginal(&member.rates, others, &shares, x / self.scale_per_s);
                    mean(&there.inside) + there.beyond
                }
            };
            (there, member.cv2)
        });
        delays.chain(members).map(|(there, cv2)| (there / jobs).powi(2) * cv2).sum()
    }

    /// The smaller of the flows in and out with n jobs here has a part that is only to and fro where what flows out is steadier than a Poisson
    /// process: that part, (1 − C²)/2, weighted by how likely it is that somebody waits; for n = 0, 1, … `None` where all is exponential.
    pub(super) fn steadiness(&self) -> Option<Vec<f64>> {
        // Beside other parts a line that loses requests is taken for one that all leave as at random.
        let alone = self.members.len() == 1;
        let counts = |member: &&Member| {
            member.cv2 < 1.0 && member.full <= self.jobs_max && (alone || member.line.is_none())
        };
        let steady: Vec<&Member> = self.members.iter().filter(counts).collect();
        if steady.is_empty() {
            return None;
        }
        let mut parts = vec![0.0f64; self.jobs_max + 1];
        for member in steady {
            let part = (1.0 - member.cv2) / 2.0;
            for (n, full) in self.p_full(member).into_iter().enumerate() {
                parts[n] = parts[n].max(part * full);
            }
        }
        Some(parts)
    }

    /// The pool with a line that may lose requests though its holds are so steady, for so few slots, that the correction for them is too coarse.
    pub(super) fn too_steady(&self) -> Option<usize> {
        self.members.iter().find_map(|member| match (&member.content, &member.line) {
            (Content::Pool(index, _), Some(line)) => {
                let coarse = line.room() > 0 && 1.0 - member.cv2 > STEADY_MAX * member.full as f64;
                coarse.then_some(*index)
            }
            _ => None,
        })
    }

    /// The probability that all servers or slots of a member are in use with 0, 1, … jobs on this level: T(n)/G(n), where
    /// T(n) = f(m)·G_others(n − m) + T(n − 1)/μ_max is the part of G with m or more of them there.
    fn p_full(&self, member: &Member) -> Vec<f64> {
        let others = match &member.others {
            Some(others) if self.members.len() > 1 => others,
            _ => {
                // Who comes to a full line does not wait.
                let room = member.line.as_ref().map_or(usize::MAX, Line::room);
                let waits = |n: usize| n >= member.full && n - member.full < room;
                return (0..=self.jobs_max).map(|n| f64::from(u8::from(waits(n)))).collect();
            }
        };
        let f = Weights::of(&member.rates, self.scale_per_s);
        let step_ln = f.ln(member.full + 1) - f.ln(member.full);
        let mut there_ln = f64::NEG_INFINITY;
        let p = (0..=self.jobs_max).map(|n| {
            if n < member.full {
                return 0.0;
            }
            let (fewer, exactly) = (there_ln + step_ln, f.ln(member.full) + others.ln(n - member.full));
            let peak = fewer.max(exactly);
            there_ln = peak + ((fewer - peak).exp() + (exactly - peak).exp()).ln();
            (there_ln - self.g.ln(n)).exp().min(1.0)
        });
        p.collect()
    }

    /// Adds where jobs are when n of them are on this level with probability `shares[n]`, and requests pass at `throughput_per_s`.
    pub(super) fn spread(
        &self,
        shares: &[f64],
        throughput_per_s: f64,
        network: &Network,
        found: &mut Whereabouts,
    ) {
        for &index in &self.delays {
            found.at_station[index] = throughput_per_s * network.stations[index].demand_s;
            found.flow_per_s[index] = throughput_per_s;
        }
        let x = throughput_per_s / self.scale_per_s;
        for member in &self.members {
            if let Content::Station(index) = &member.content {
                found.flow_per_s[*index] = throughput_per_s;
            }
            match (&member.content, &member.others) {
                (Content::Station(index), None) => {
                    found.at_station[*index] = self.single_server_queue(member.rates.max(), shares);
                }
                (Content::Station(index), Some(others)) => {
                    let there = self.marginal(&member.rates, others, shares, x);
                    found.at_station[*index] = mean(&there.inside) + there.beyond;
                    found.terms += there.terms;
                }
                (Content::Pool(index, level), others) => {
                    let alone = Weights::nothing();
                    let others = others.as_ref().unwrap_or(&alone);
                    let Marginal { inside, beyond, terms } = self.marginal(&member.rates, others, shares, x);
                    found.terms += terms;
                    if let Some(line) = &member.line {
                        let (at, within) = line.seen(&inside, throughput_per_s);
                        found.at_pool[*index] = at;
                        let served_per_s = at.kept.map_or(throughput_per_s, |kept| kept.per_s);
                        level.spread(&within, served_per_s, network, found);
                        continue;
                    }
                    found.at_pool[*index] = AtPool {
                        busy: mean(&inside),
                        waiting: beyond,
                        p_all_busy: inside.get(member.full).copied().unwrap_or(0.0),
                        ..AtPool::none_lost(&network.pools[*index])
                    };
                    level.spread(&inside, throughput_per_s, network, found);
                }
            }
        }
    }

    /// Q(n) = D·X(n)·(1 + Q(n−1)), averaged.
    fn single_server_queue(&self, rate_per_s: f64, shares: &[f64]) -> f64 {
        let (mut queue, mut sum) = (0.0, 0.0);
        for (n, share) in shares.iter().enumerate().skip(1) {
            queue = self.throughput_per_s(n) / rate_per_s * (1.0 + queue);
            sum += share * queue;
        }
        sum
    }

    /// The distribution of the jobs at one member, all beyond its last different rate counted there, and the mean number beyond it:
    /// P(j) = f(j) Σ_n shares(n)/G(n) · G_others(n−j). The weights are tilted by the throughput, f(j)·x^j, so that what is likely is
    /// near 1 and what underflows is too rare to count.
    fn marginal(&self, rates: &Rates, others: &Weights, shares: &[f64], x: f64) -> Marginal {
        let tilt = x.ln();
        let ln_share = |n: usize| shares[n].ln() - self.g.ln(n) - n as f64 * tilt;
        let populations = significant(shares);
        let highest = populations.end - 1;
        let to_outside = scaled(populations.clone().map(ln_share));
        let beside = scaled((0..=highest).map(|i| others.ln(i) + i as f64 * tilt));
        let f = Weights::of(rates, self.scale_per_s);
        let here = scaled((0..=rates.kept()).map(|j| f.ln(j) + j as f64 * tilt));
        // Tails past the last rate: H(i) = Σ r^l·beside(i−l) and, weighted by l, W(i), with r = x/μ_max.
        let r = x * self.scale_per_s / rates.max();
        let (mut tail, mut excess) = (vec![0.0; highest + 1], vec![0.0; highest + 1]);
        for i in 0..=highest {
            let (h, w) = if i == 0 { (0.0, 0.0) } else { (tail[i - 1], excess[i - 1]) };
            tail[i] = beside[i] + r * h;
            excess[i] = r * (w + h);
        }
        let (everywhere, support) = (0..highest + 1, significant(&beside));
        // Setting up all of these is one pass each.
        let mut terms = 4 * (highest + 1 + here.len()) as u64;
        let mut against = |j: usize, beside: &[f64], support: &Range<usize>| -> f64 {
            if here[j] < NEGLIGIBLE {
                return 0.0;
            }
            let first = populations.start.max(j + support.start);
            let last = populations.end.min(j + support.end);
            let parts = (first..last).map(|n| to_outside[n - populations.start] * beside[n - j]);
            terms += parts.len() as u64;
            here[j] * parts.fold(0.0, |sum, part| sum + part)
        };
        let last = rates.kept();
        let (kept, tail_ln) = others.tail();
        let falls = (tail_ln + tilt).exp();
        // What rises must begin with a number that is more than rounding.
        let told = |kept: usize| falls <= 1.0 || beside[kept] > NEGLIGIBLE;
        let mut by_tail = 0;
        let mut inside: Vec<f64> = if kept < populations.len() && told(kept) {
            let all = beside_a_tail(&to_outside, &populations, &beside[..=kept], falls);
            by_tail = ((kept + 1) * all.len()) as u64;
            let there = all.into_iter().chain(std::iter::repeat(0.0)).take(last);
            there.zip(&here).map(|(sum, here)| if *here < NEGLIGIBLE { 0.0 } else { sum * here }).collect()
        } else {
            (0..last).map(|j| against(j, &beside, &support)).collect()
        };
        inside.push(against(last, &tail, &everywhere));
        let beyond = against(last, &excess, &everywhere);
        let sum: f64 = inside.iter().sum();
        inside.iter_mut().for_each(|share| *share /= sum);
        Marginal { inside, beyond: beyond / sum, terms: terms + by_tail }
    }
}

/// Σ_n shares(n)·beside(n − j) for j = 0, 1, …, where each entry of `beside` past the last that is given is `falls` times the one before: that part of the sum
/// for j is then `falls` times the one for j + 1, and what is new.
fn beside_a_tail(shares: &[f64], populations: &Range<usize>, beside: &[f64], falls: f64) -> Vec<f64> {
    let kept = beside.len() - 1;
    let share = |n: usize| {
        n.checked_sub(populations.start).and_then(|place| shares.get(place)).copied().unwrap_or(0.0)
    };
    let mut sums = vec![0.0; populations.end];
    let mut past = 0.0;
    for (j, sum) in sums.iter_mut().enumerate().rev() {
        past = share(j + kept) * beside[kept] + falls * past;
        let near = beside[..kept].iter().enumerate().map(|(i, weight)| share(j + i) * weight);
        *sum = near.fold(past, |sum, part| sum + part);
    }
    sums
}

/// A bound on the rate at which jobs come from these stations and from those who think and are in delays.
fn comes_per_s(network: &Network, stations: &[Member], delay_s: f64, jobs: usize) -> f64 {
    let think_s = if let Load::Closed { think_s, .. } = network.load { think_s } else { 0.0 };
    let outside_s = think_s + delay_s;
    let thought = if outside_s > 0.0 { jobs as f64 / outside_s } else { 0.0 };
    stations.iter().map(|station| station.rates.max()).fold(thought, f64::max)
}

/// How many jobs are at one member.
struct Marginal {
    /// Probabilities of 0, 1, …; the last one of that many or more.
    inside: Vec<f64>,
    /// Mean number beyond that.
    beyond: f64,
    terms: u64,
}

fn mean(shares: &[f64]) -> f64 {
    shares.iter().enumerate().map(|(n, share)| n as f64 * share).sum()
}

/// From the first to past the last entry that counts beside the largest.
fn significant(shares: &[f64]) -> Range<usize> {
    let floor = shares.iter().copied().fold(0.0, f64::max) * NEGLIGIBLE;
    let first = shares.iter().position(|share| *share > floor).unwrap_or(0);
    let last = shares.iter().rposition(|share| *share > floor).unwrap_or(0);
    first..last + 1
}

/// Logarithms to numbers of which the largest is 1.
fn scaled(ln: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = ln.collect();
    let peak = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.iter_mut().for_each(|value| *value = (*value - peak).exp());
    values
}
