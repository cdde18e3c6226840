//! A simulated system: what a request goes through, and where each resource would give way if it were alone. The ceilings are computed
//! from the parameters by queueing theory; nothing here knows how they are found again.

use super::draws::Time;
use plimsoll::queueing;
use plimsoll::queueing::answer::Answer;
use plimsoll::queueing::model::{Network, read};

/// What a resource is, and so what is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Pool,
    DbCpu,
    AppCpu,
    EventLoop,
    Redis,
    Lock,
    Heap,
    /// Threads of which a request holds one from its begin to its end: full whenever anything behind them is.
    Threads,
}

impl Role {
    pub(crate) fn resource(self) -> &'static str {
        match self {
            Self::Pool => "orders.pool",
            Self::DbCpu => "db.cpu",
            Self::AppCpu => "app.cpu",
            Self::EventLoop => "node.event_loop",
            Self::Redis => "redis.main_thread",
            Self::Lock => "stock.lock",
            Self::Heap => "app.heap",
            Self::Threads => "http.threads",
        }
    }
}

/// Something that requests wait for: slots that are held, or cores that are shared.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub role: Role,
    /// Slots, threads, or cores with those that others use.
    pub servers: f64,
    /// Cores that others use.
    pub background: f64,
    /// Cores shared by all who compute, instead of first come, first served.
    pub shared: bool,
    /// Over all visits of a request, with nobody else there, s.
    pub demand_s: f64,
    pub timeout_s: Option<f64>,
}

impl Part {
    /// Requests per second that it carries, if nothing else stops them: m/D.
    pub(crate) fn ceiling_per_s(&self) -> f64 {
        (self.servers - self.background) / self.demand_s
    }
}

/// What a request does next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Delay(Time),
    Take(usize),
    /// With a slot.
    Stay(Time),
    /// On the event loop, where memory is allocated.
    Run(Time),
    Share(usize, Time),
    Give(usize),
}

impl Step {
    pub(crate) fn mean_s(&self) -> f64 {
        match self {
            Self::Delay(time) | Self::Stay(time) | Self::Run(time) | Self::Share(_, time) => time.mean_s,
            Self::Take(_) | Self::Give(_) => 0.0,
        }
    }
}

/// Live memory grows with the users; garbage fills the room above it until a collection marks what is live, while the loop stands still.
#[derive(Clone, Debug)]
pub(crate) struct Heap {
    pub limit: f64,
    pub base: f64,
    pub per_user: f64,
    pub garbage_per_request: f64,
    pub mark_s_per_byte: f64,
    /// A collection begins where used memory is this multiple of what was live, or this share of the limit, whichever comes later; at
    /// the limit at the latest.
    pub growth: f64,
    pub room: f64,
}

impl Heap {
    pub(crate) fn live(&self, users: f64) -> f64 {
        self.base + self.per_user * users
    }

    pub(crate) fn trigger(&self, live: f64) -> f64 {
        (live * self.growth).max(self.limit * self.room).min(self.limit)
    }

    /// Share of the loop's time that collections take at `per_s` requests: one marking of what is live per filling of the room.
    pub(crate) fn collecting(&self, users: f64, per_s: f64) -> f64 {
        let live = self.live(users);
        let room = self.trigger(live) - live;
        if room <= 0.0 {
            return f64::INFINITY;
        }
        per_s * self.garbage_per_request / room * self.mark_s_per_byte * live
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Load {
    /// Users who think for so long between an answer and the next request.
    Closed(Time),
    /// Poisson arrivals.
    Open,
}

#[derive(Clone, Debug)]
pub(crate) struct System {
    pub load: Load,
    pub requests_per_iteration: f64,
    pub parts: Vec<Part>,
    pub steps: Vec<Step>,
    pub heap: Option<Heap>,
    /// Who has waited for so long for an answer goes away; the system does not know.
    pub patience_s: f64,
    /// How often a request that got no slot in time is begun anew, from the step after it got a thread.
    pub retries: u32,
    /// Most requests per second that it carries, and the resource that stops it.
    pub ceiling_per_s: f64,
    pub first: Role,
    /// Whose ceiling comes next, and how far above the first.
    pub second: Role,
    pub margin: f64,
}

impl System {
    /// Mean response time of a request that meets nobody, s.
    pub(crate) fn alone_s(&self) -> f64 {
        self.steps.iter().map(Step::mean_s).sum()
    }

    /// The load at which the asymptotes of throughput meet: N* = X(Z + R0) users, or X arrivals per second.
    pub(crate) fn saturation(&self) -> f64 {
        match self.load {
            Load::Closed(think) => self.ceiling_per_s * (think.mean_s + self.alone_s()),
            Load::Open => self.ceiling_per_s,
        }
    }

    /// The step from which a request is begun anew: it keeps its thread.
    pub(crate) fn again(&self) -> usize {
        let thread =
            |step: &Step| matches!(step, Step::Take(place) if self.parts[*place].role == Role::Threads);
        self.steps.iter().position(thread).map_or(0, |at| at + 1)
    }

    pub(crate) fn part(&self, role: Role) -> Option<&Part> {
        self.parts.iter().find(|part| part.role == role)
    }
}

/// Requests per second that `slots` requests get out of what a pool guards: a closed network without thinking, of a delay (`away_s`) and
/// stations (demand s, servers). Product form, so it holds for shared cores whatever the shape of their times, and for first come, first
/// served with exponential ones.
pub(crate) fn carried_per_s(slots: u32, away_s: f64, stations: &[(f64, u32)]) -> f64 {
    let listed: Vec<String> = stations
        .iter()
        .enumerate()
        .map(|(index, (demand_s, servers))| {
            format!(r#"{{"name":"s{index}","demand_s":{demand_s:e},"servers":{servers}}}"#)
        })
        .collect();
    let text = format!(r#"{{"users":{slots},"think_s":{away_s:e},"stations":[{}]}}"#, listed.join(","));
    solved(&text).throughput_per_s.expect("a closed network has a throughput")
}

/// The solver's answer to a model of one population.
pub(crate) fn solved(text: &str) -> Answer {
    let network: Network = read::read(text).unwrap_or_else(|why| panic!("{text}: {why:?}"));
    queueing::solve(&network).unwrap_or_else(|why| panic!("{text}: {why:?}")).remove(0)
}
