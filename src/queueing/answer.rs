//! What the solver says: the published shape of `plimsoll solve --json`.

use super::level::Whereabouts;
use super::model::{Network, Servers};
use super::retries::Metastable;
use schemars::JsonSchema;
use serde::Serialize;

/// How sure the numbers are.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The model's own answer, to rounding: exponential service and, in open models, Poisson arrivals.
    Exact,
    /// An approximation: a pool around several stations is taken for one station with their joint throughput, times are constant, or a pool
    /// is fed by what another one let through.
    Decomposition,
    /// Schweitzer's approximation, of several classes of users.
    Schweitzer,
    /// A discrete-event simulation.
    Simulated,
}

/// The document of `--json`: a list where the model has a list of numbers of users.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answers {
    One(Box<Answer>),
    Several(Vec<Answer>),
}

/// One network under one load.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct Answer {
    /// Closed models: how many users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<u64>,
    /// Open models: the rate of arrivals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<f64>,
    pub method: Method,
    /// Open models: the rate from which on a queue grows without end, and whose. Null where timeouts keep all queues short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stability: Option<Stability>,
    /// Requests that are answered, per second; null if unstable.
    pub throughput_per_s: Option<f64>,
    /// Mean response time of those, s, without the thinking; null if unstable, and if a simulation saw no answer.
    pub response_s: Option<f64>,
    /// Of a simulation: how far off its means may be, and percentiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulation: Option<Simulation>,
    pub stations: Vec<StationAnswer>,
    pub pools: Vec<PoolAnswer>,
    /// Models with classes: each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<ClassAnswer>>,
}

/// One class of users.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct ClassAnswer {
    pub name: String,
    pub throughput_per_s: f64,
    pub response_s: f64,
    /// Mean requests of this class at each station, in the order of the stations.
    pub queues: Vec<f64>,
}

#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct Stability {
    pub stable: bool,
    /// Arrivals per second from which on it is not.
    pub unstable_from_per_s: Option<f64>,
    /// The station or pool whose queue grows.
    pub limited_by: Option<String>,
}

#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct Simulation {
    pub seed: u64,
    /// Requests that were counted.
    pub requests: u64,
    /// Half the width of the 95 % interval of the throughput, from batches.
    pub throughput_half_width_per_s: f64,
    /// The same of the mean response time; null if no request of some batch was answered.
    pub response_half_width_s: Option<f64>,
    /// Percentiles of the response time of answered requests, s; null if there was none.
    pub response_p50_s: Option<f64>,
    pub response_p90_s: Option<f64>,
    pub response_p99_s: Option<f64>,
}

#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct StationAnswer {
    pub name: String,
    /// Busy servers over servers; null for a delay, which has no number of servers.
    pub utilization: Option<f64>,
    /// Mean requests there, served and waiting; null if unstable.
    pub queue: Option<f64>,
}

#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct PoolAnswer {
    pub name: String,
    /// Mean slots in use; null if unstable.
    pub busy: Option<f64>,
    /// Mean requests that wait for a slot; null if unstable.
    pub waiting: Option<f64>,
    /// Share of the requests that ask for a slot and give up; null without a timeout.
    pub timeout_ratio: Option<f64>,
    /// Share of the requests that ask for a slot and are turned away, as the line is full; null where any number may wait.
    pub rejected_ratio: Option<f64>,
    /// Share of the time with no slot free; null if unstable.
    pub p_all_busy: Option<f64>,
    /// Where requests are sent again; null where none is.
    pub retries: Option<Retries>,
}

impl PoolAnswer {
    /// Share of the requests that ask for a slot and do not get one.
    pub(super) fn p_lost(&self) -> f64 {
        self.timeout_ratio.unwrap_or(0.0) + self.rejected_ratio.unwrap_or(0.0)
    }
}

/// What sending requests again makes of a pool.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Serialize)]
pub struct Retries {
    /// Requests that ask for a slot per second, those that are sent again among them. All other numbers are those of this state.
    pub attempts_per_s: f64,
    /// As many in the bad state, in which a burst can leave the pool at this load; null where there is none.
    pub stuck_attempts_per_s: Option<f64>,
    /// The loads between which there is a bad state beside the good one; null where there is none at any load.
    pub metastable: Option<Metastable>,
}

impl Answers {
    /// All answers to a model.
    pub fn to(network: &Network, mut all: Vec<Answer>) -> Self {
        let one = if network.asks_for_a_list() { None } else { all.pop() };
        one.map_or(Self::Several(all), |answer| Self::One(Box::new(answer)))
    }

    pub fn all(&self) -> &[Answer] {
        match self {
            Self::One(answer) => std::slice::from_ref(answer),
            Self::Several(all) => all,
        }
    }
}

impl Answer {
    pub(super) fn new(
        network: &Network,
        method: Method,
        throughput_per_s: f64,
        response_s: f64,
        found: &Whereabouts,
    ) -> Self {
        let passed = found.at_station.iter().zip(&found.flow_per_s);
        let stations = network.stations.iter().zip(passed).map(|(station, (queue, flow))| StationAnswer {
            name: station.name.clone(),
            utilization: match station.servers {
                // Rounding must not make it busier than it can be.
                Servers::Count(servers) => Some((flow * station.demand_s / servers as f64).min(1.0)),
                Servers::Delay => None,
            },
            queue: Some(*queue),
        });
        let pools = network.pools.iter().zip(&found.at_pool).map(|(pool, at)| PoolAnswer {
            name: pool.name.clone(),
            busy: Some(at.busy),
            waiting: Some(at.waiting),
            timeout_ratio: at.timeout_ratio,
            rejected_ratio: at.rejected_ratio,
            p_all_busy: Some(at.p_all_busy),
            retries: None,
        });
        Self {
            users: None,
            rate_per_s: None,
            method,
            stability: None,
            throughput_per_s: Some(throughput_per_s),
            response_s: Some(response_s),
            simulation: None,
            stations: stations.collect(),
            pools: pools.collect(),
            classes: None,
        }
    }

    /// No queue has a mean.
    pub(super) fn unstable(network: &Network, rate_per_s: f64, stability: Stability) -> Self {
        let stations = network.stations.iter().map(|station| StationAnswer {
            name: station.name.clone(),
            utilization: None,
            queue: None,
        });
        let pools = network.pools.iter().map(|pool| PoolAnswer {
            name: pool.name.clone(),
            busy: None,
            waiting: None,
            timeout_ratio: None,
            rejected_ratio: None,
            p_all_busy: None,
            retries: None,
        });
        Self {
            users: None,
            rate_per_s: Some(rate_per_s),
            method: Method::Exact,
            stability: Some(stability),
            throughput_per_s: None,
            response_s: None,
            simulation: None,
            stations: stations.collect(),
            pools: pools.collect(),
            classes: None,
        }
    }
}
