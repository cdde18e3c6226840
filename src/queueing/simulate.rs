//! A discrete-event simulation of the networks the solver takes, and of those it does not: pools with timeouts anywhere, holds that are
//! not exponential. It yields percentiles, which product forms do not, and holds the formulas to account.
//!
//! A request visits the stations outside all pools in the order of the list, then asks for each pool in turn, visits what that guards,
//! and gives the slot back. Who gives up at a pool asks for nothing after it: in a closed model it thinks again, in an open one it is
//! gone. Queues are first come, first served.

use super::answer::{Answer, Method, Simulation};
use super::level::{AtPool, Whereabouts};
use super::model::{Branch, Load, Network, Servers, Service};
use super::open::stability;
use rand::{Rng, RngExt as _};
use std::collections::BinaryHeap;

mod batches;
mod queues;

use batches::Batches;
use queues::{Entered, Event, Queue};

/// How long one visit, or one thought, takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Hold {
    /// Exponential with the model's mean.
    Exponential,
    /// The model's mean, always.
    Constant,
    /// Drawn from these, s, all equally likely; the model's mean counts for nothing. Not empty, or nothing takes any time.
    Empirical(Vec<f64>),
}

/// What is left open by a model.
#[derive(Clone, Debug)]
pub struct Options {
    /// One for each station.
    pub holds: Vec<Hold>,
    pub think: Hold,
    /// Requests that are counted, and before them those that are not, while the system fills.
    pub requests: u64,
    pub settling: u64,
}

/// A tenth of the requests settles.
const SETTLING_DIVISOR: u64 = 10;

impl Options {
    /// Times as the model has them, thinking exponential.
    pub fn of(network: &Network, requests: u64) -> Self {
        let holds = network.stations.iter().map(|station| match station.service {
            Service::Exponential => Hold::Exponential,
            Service::Constant => Hold::Constant,
        });
        Self {
            holds: holds.collect(),
            think: Hold::Exponential,
            requests,
            settling: requests / SETTLING_DIVISOR,
        }
    }
}

/// What a request does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Visit(usize),
    Ask(usize),
    GiveBack(usize),
}

/// The steps of every request.
fn route(branch: &Branch, steps: &mut Vec<Step>) {
    steps.extend(branch.stations.iter().map(|index| Step::Visit(*index)));
    for (index, inside) in &branch.pools {
        steps.push(Step::Ask(*index));
        route(inside, steps);
        steps.push(Step::GiveBack(*index));
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Job {
    /// The step it is at.
    step: usize,
    begun_s: f64,
    /// Counts what it waited for, so that a timeout which comes too late is recognized.
    waits: u32,
    /// Waits for a slot.
    in_line: bool,
    /// Was sent again after an attempt that was not served.
    again: bool,
}

struct World<'m, R> {
    network: &'m Network,
    options: &'m Options,
    rng: &'m mut R,
    steps: Vec<Step>,
    jobs: Vec<Job>,
    idle: Vec<usize>,
    /// Jobs that may go on at this moment: a line of those who are turned away one after the other is no depth of calls.
    ready: Vec<usize>,
    /// Requests that are over.
    ended: u64,
    events: BinaryHeap<Event>,
    sequence: u64,
    now_s: f64,
    stations: Vec<Queue>,
    pools: Vec<Queue>,
    batches: Batches,
    think_s: Option<f64>,
}

/// Runs the network with `users` users, or under its rate of arrivals if it is open, until as many requests have ended as the options
/// say. A network that is overloaded is run as well; its queues are what they have grown to.
pub fn simulate(
    network: &Network,
    users: Option<u64>,
    options: &Options,
    seed: u64,
    rng: &mut impl Rng,
) -> Answer {
    let mut steps = Vec::new();
    route(&network.root, &mut steps);
    let servers = |servers: Servers| match servers {
        Servers::Count(count) => count,
        Servers::Delay => usize::MAX,
    };
    let think_s = match &network.load {
        Load::Closed { think_s, .. } => Some(*think_s),
        Load::Open { .. } | Load::Classes(_) => None,
    };
    let mut world = World {
        network,
        options,
        rng,
        steps,
        jobs: Vec::new(),
        idle: Vec::new(),
        ready: Vec::new(),
        ended: 0,
        events: BinaryHeap::new(),
        sequence: 0,
        now_s: 0.0,
        stations: network.stations.iter().map(|station| Queue::new(servers(station.servers), None)).collect(),
        pools: network.pools.iter().map(|pool| Queue::new(pool.slots, pool.queue_max)).collect(),
        batches: Batches::new(options.requests),
        think_s,
    };
    match network.load {
        Load::Closed { .. } => {
            for _ in 0..users.unwrap_or(1) {
                world.jobs.push(Job::default());
                world.think(world.jobs.len() - 1);
            }
        }
        Load::Open { .. } | Load::Classes(_) => world.next_arrival(),
    }
    world.run();
    world.answer(users, seed)
}

impl<R: Rng> World<'_, R> {
    fn run(&mut self) {
        let mut settled = false;
        while let Some(event) = self.events.pop() {
            self.now_s = event.at_s;
            match event.timeout_of {
                Some(waits) => self.give_up(event.job, waits),
                None if event.arrival => {
                    self.next_arrival();
                    self.begin(event.job);
                }
                None => self.go_on(event.job),
            }
            while let Some(job) = self.ready.pop() {
                self.proceed(job);
            }
            if !settled && self.ended >= self.options.settling {
                settled = true;
                self.forget();
            }
            if self.ended >= self.options.settling + self.options.requests {
                break;
            }
        }
    }

    /// The system is full: what was counted up to now is not.
    fn forget(&mut self) {
        self.batches.begin(self.now_s);
        self.stations.iter_mut().chain(&mut self.pools).for_each(|queue| queue.forget(self.now_s));
    }

    fn draw(&mut self, hold: &Hold, mean_s: f64) -> f64 {
        match hold {
            Hold::Exponential => -mean_s * (1.0 - self.rng.random::<f64>()).ln(),
            Hold::Constant => mean_s,
            Hold::Empirical(all) if all.is_empty() => 0.0,
            Hold::Empirical(all) => all[self.rng.random_range(0..all.len())],
        }
    }

    fn at(&mut self, in_s: f64, job: usize, timeout_of: Option<u32>, arrival: bool) {
        self.sequence += 1;
        let at_s = self.now_s + in_s;
        self.events.push(Event { at_s, sequence: self.sequence, job, timeout_of, arrival });
    }

    fn next_arrival(&mut self) {
        let Load::Open { rate_per_s } = self.network.load else { return };
        let job = self.idle_job();
        let gap_s = self.draw(&Hold::Exponential, 1.0 / rate_per_s);
        self.at(gap_s, job, None, true);
    }

    fn idle_job(&mut self) -> usize {
        self.idle.pop().unwrap_or_else(|| {
            self.jobs.push(Job::default());
            self.jobs.len() - 1
        })
    }

    fn think(&mut self, job: usize) {
        let options = self.options;
        let thought_s = self.draw(&options.think, self.think_s.unwrap_or(0.0));
        self.at(thought_s, job, None, true);
    }

    fn begin(&mut self, job: usize) {
        self.jobs[job].step = 0;
        self.jobs[job].begun_s = self.now_s;
        self.jobs[job].again = false;
        self.proceed(job);
    }

    /// The visit is over.
    fn go_on(&mut self, job: usize) {
        if let Step::Visit(station) = self.steps[self.jobs[job].step]
            && let Some(next) = self.stations[station].leave(self.now_s)
        {
            self.serve(station, next);
        }
        self.jobs[job].step += 1;
        self.proceed(job);
    }

    fn serve(&mut self, station: usize, job: usize) {
        let options = self.options;
        let took_s = self.draw(&options.holds[station], self.network.stations[station].demand_s);
        self.at(took_s, job, None, false);
    }

    /// From its step on until it has to wait for something, or is over.
    fn proceed(&mut self, job: usize) {
        loop {
            let Some(step) = self.steps.get(self.jobs[job].step).copied() else {
                self.batches.answered(self.now_s, self.now_s - self.jobs[job].begun_s);
                self.end(job);
                return;
            };
            match step {
                Step::Visit(station) => {
                    if matches!(self.stations[station].enter(self.now_s, job), Entered::Served) {
                        self.serve(station, job);
                    }
                    return;
                }
                Step::Ask(pool) => match self.pools[pool].enter(self.now_s, job) {
                    Entered::Served => self.jobs[job].step += 1,
                    Entered::Waits => {
                        self.jobs[job].in_line = true;
                        self.jobs[job].waits = self.jobs[job].waits.wrapping_add(1);
                        if let Some(timeout_s) = self.network.pools[pool].timeout_s {
                            let waits = self.jobs[job].waits;
                            self.at(timeout_s, job, Some(waits), false);
                        }
                        return;
                    }
                    Entered::TurnedAway => return self.lose(job, pool),
                },
                Step::GiveBack(pool) => {
                    self.jobs[job].step += 1;
                    self.hand_on(pool);
                }
            }
        }
    }

    /// A slot is free: the first in line takes it and goes on.
    fn hand_on(&mut self, pool: usize) {
        let Some(next) = self.pools[pool].leave(self.now_s) else { return };
        self.jobs[next].in_line = false;
        self.jobs[next].step += 1;
        self.ready.push(next);
    }

    fn give_up(&mut self, job: usize, waits: u32) {
        let Job { step, in_line, waits: now, .. } = self.jobs[job];
        let (true, Some(Step::Ask(pool))) = (in_line && now == waits, self.steps.get(step).copied()) else {
            return;
        };
        self.jobs[job].in_line = false;
        self.pools[pool].give_up(self.now_s, job);
        self.lose(job, pool);
    }

    /// A request ends at a pool without a slot of it.
    fn lose(&mut self, job: usize, pool: usize) {
        let lost = self.jobs[job];
        // The slots it has of the pools around this one.
        for held in self.held(lost.step) {
            self.hand_on(held);
        }
        self.batches.given_up(self.now_s);
        self.end(job);
        if !lost.again {
            self.send_again(lost, pool);
        }
    }

    /// As many as are sent for one that was not served: a whole number, and another one as often as it takes.
    fn send_again(&mut self, lost: Job, pool: usize) {
        let retries = self.network.pools[pool].retry_ratio.unwrap_or(0.0);
        let one_more = retries.fract() > 0.0 && self.rng.random::<f64>() < retries.fract();
        for _ in 0..retries.trunc() as usize + usize::from(one_more) {
            let job = self.idle_job();
            self.jobs[job] = Job { again: true, waits: self.jobs[job].waits, ..lost };
            self.ready.push(job);
        }
    }

    fn held(&self, step: usize) -> Vec<usize> {
        let mut held = Vec::new();
        for step in &self.steps[..step] {
            match step {
                Step::Ask(pool) => held.push(*pool),
                Step::GiveBack(pool) => held.retain(|other| other != pool),
                Step::Visit(_) => {}
            }
        }
        held
    }

    fn end(&mut self, job: usize) {
        self.ended += 1;
        match self.network.load {
            Load::Closed { .. } => self.think(job),
            Load::Open { .. } | Load::Classes(_) => self.idle.push(job),
        }
    }

    fn answer(mut self, users: Option<u64>, seed: u64) -> Answer {
        let now_s = self.now_s;
        let mut found = Whereabouts::nowhere(self.network);
        let seen_s = self.batches.seen_s(now_s);
        for (index, queue) in self.stations.iter_mut().enumerate() {
            let seen = queue.seen(now_s);
            found.at_station[index] = (seen.busy_s + seen.waiting_s) / seen_s;
            // The flow whose product with the demand is the time its servers were busy.
            found.flow_per_s[index] = seen.busy_s / seen_s / self.network.stations[index].demand_s;
        }
        for (index, queue) in self.pools.iter_mut().enumerate() {
            let seen = queue.seen(now_s);
            let pool = &self.network.pools[index];
            let of_asked = |lost: u64| lost as f64 / (seen.asked as f64).max(1.0);
            found.at_pool[index] = AtPool {
                busy: seen.busy_s / seen_s,
                waiting: seen.waiting_s / seen_s,
                p_all_busy: seen.full_s / seen_s,
                timeout_ratio: pool.timeout_s.map(|_| of_asked(seen.given_up)),
                rejected_ratio: pool.queue_max.map(|_| of_asked(seen.turned_away)),
                kept: None,
            };
        }
        let summary = self.batches.summary(now_s);
        let mut answer = Answer::new(
            self.network,
            Method::Simulated,
            summary.throughput_per_s,
            summary.response_s.unwrap_or_default(),
            &found,
        );
        answer.response_s = summary.response_s;
        answer.users = users;
        if let Load::Open { rate_per_s } = self.network.load {
            answer.rate_per_s = Some(rate_per_s);
            answer.stability = Some(stability(self.network, rate_per_s));
        }
        answer.simulation = Some(Simulation {
            seed,
            requests: summary.requests,
            throughput_half_width_per_s: summary.throughput_half_width_per_s,
            response_half_width_s: summary.response_half_width_s,
            response_p50_s: summary.p50_s,
            response_p90_s: summary.p90_s,
            response_p99_s: summary.p99_s,
        });
        answer
    }
}
