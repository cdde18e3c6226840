//! A queueing model as people write it (JSON) and as the solver takes it: a tree of pools with stations for leaves. Every fault of a model
//! is told with its place and what would be right; only a `Network` without one can be solved.

use super::tree;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt;

pub mod read;

/// Users of one population: arrays of as many numbers are kept.
pub const USERS_MAX: u64 = 1_000_000;
/// Populations that one model may ask for.
pub const POPULATIONS_MAX: usize = 1000;
/// Servers of a station and slots of a pool.
pub const SERVERS_MAX: usize = 100_000;
/// Stations, and pools.
pub const PARTS_MAX: usize = 100;
/// Times, s: a nanosecond to eleven days. What is outside is a mistake of units.
pub const TIMES_S: (f64, f64) = (1e-9, 1e6);
/// Arrivals per second.
pub const RATES_PER_S: (f64, f64) = (1e-6, 1e9);

/// A model as it is written.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Closed: so many users, or several numbers of users of which each is solved for.
    #[serde(default)]
    #[schemars(with = "Option<read::NumberOrList>")]
    pub users: Option<Populations>,
    /// Mean think time between an answer and the next request, s; 0 by default.
    pub think_s: Option<f64>,
    /// Open: requests come whether or not others were answered.
    pub open: Option<Open>,
    /// What serves requests.
    pub stations: Vec<Station>,
    /// What bounds how many requests may be at stations at once.
    #[serde(default)]
    pub pools: Vec<Pool>,
}

/// One or several numbers of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Populations {
    One(u64),
    Several(Vec<u64>),
}

impl Populations {
    pub fn all(&self) -> &[u64] {
        match self {
            Self::One(users) => std::slice::from_ref(users),
            Self::Several(list) => list,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// Poisson arrivals per second.
    pub rate_per_s: f64,
}

#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Station {
    pub name: String,
    /// Seconds of service that a request needs here, over all its visits.
    pub demand_s: f64,
    /// How many requests are served at once (cores, threads), or "delay": all of them, nobody waits. 1 by default.
    #[serde(default)]
    #[schemars(with = "read::NumberOrDelay")]
    pub servers: Servers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Servers {
    Count(usize),
    Delay,
}

impl Default for Servers {
    fn default() -> Self {
        Self::Count(1)
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub name: String,
    /// Requests that hold a slot at once.
    pub slots: usize,
    /// Stations at which a request has a slot of this pool. Pools may lie inside each other, but not overlap.
    pub guards: Vec<String>,
    /// Longest wait for a slot, s; null or left out: for ever.
    pub timeout_s: Option<f64>,
}

/// Something wrong in a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the document, as `pools[0].guards[1]`.
    pub path: String,
    pub what: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// Who sends requests.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    Closed { users: Populations, think_s: f64 },
    Open { rate_per_s: f64 },
}

/// Stations and pools on one level; stations of inner pools are with those.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Branch {
    /// Indices into the stations of the network.
    pub stations: Vec<usize>,
    /// Indices into its pools, with what each guards.
    pub pools: Vec<(usize, Branch)>,
}

/// A model without a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    pub load: Load,
    pub stations: Vec<Station>,
    pub pools: Vec<Pool>,
    pub root: Branch,
}

impl Network {
    /// Whether the answer is a list, however many numbers of users are in it.
    pub fn asks_for_a_list(&self) -> bool {
        matches!(&self.load, Load::Closed { users: Populations::Several(_), .. })
    }

    /// Whether the solution is exact: each pool guards one station, or a pool that does. Around several stations a pool is taken for a
    /// station with their joint throughput, which is an approximation (decomposition).
    pub fn is_product_form(&self) -> bool {
        fn one(inside: &Branch) -> bool {
            inside.stations.len() + inside.pools.len() == 1
                && inside.pools.iter().all(|(_, inner)| one(inner))
        }
        self.root.pools.iter().all(|(_, inside)| one(inside))
    }
}

impl Model {
    /// The network.
    ///
    /// # Errors
    /// Every fault of the model.
    pub fn check(self) -> Result<Network, Vec<Fault>> {
        let mut faults = Vec::new();
        let load = self.load(&mut faults);
        if self.stations.is_empty() {
            faults.push(fault("stations", "there is none", "list at least one"));
        }
        for (what, count) in [("stations", self.stations.len()), ("pools", self.pools.len())] {
            if count > PARTS_MAX {
                faults.push(fault(what, &format!("there are {count}"), &format!("list at most {PARTS_MAX}")));
            }
        }
        self.check_stations(&mut faults);
        self.check_pools(&mut faults);
        let root = tree::grow(&self.stations, &self.pools, &mut faults);
        match load {
            Some(load) if faults.is_empty() => {
                Ok(Network { load, stations: self.stations, pools: self.pools, root })
            }
            _ => Err(faults),
        }
    }

    fn load(&self, faults: &mut Vec<Fault>) -> Option<Load> {
        match (&self.users, &self.open) {
            (Some(users), None) => {
                let (several, list) = (matches!(users, Populations::Several(_)), users.all());
                if list.is_empty() || list.len() > POPULATIONS_MAX {
                    let what = format!("there are {} numbers of users", list.len());
                    faults.push(fault("users", &what, &format!("list 1 to {POPULATIONS_MAX}")));
                }
                for (index, count) in list.iter().enumerate() {
                    if !(1..=USERS_MAX).contains(count) {
                        let path = if several { format!("users[{index}]") } else { "users".to_owned() };
                        let right = format!("give a number from 1 to {USERS_MAX}");
                        faults.push(fault(&path, &format!("{count} users"), &right));
                    }
                }
                let think_s = self.think_s.unwrap_or(0.0);
                if think_s != 0.0 {
                    within("think_s", think_s, TIMES_S, "seconds; 0 for none", faults);
                }
                Some(Load::Closed { users: users.clone(), think_s })
            }
            (None, Some(open)) => {
                within("open.rate_per_s", open.rate_per_s, RATES_PER_S, "requests per second", faults);
                if self.think_s.is_some() {
                    let right = "leave it out, or give users instead of open";
                    faults.push(fault("think_s", "requests of an open model do not think", right));
                }
                Some(Load::Open { rate_per_s: open.rate_per_s })
            }
            (given, _) => {
                let what = if given.is_some() { "both users and open" } else { "neither users nor open" };
                faults.push(fault("", what, "give one: \"users\": 100, or \"open\": {\"rate_per_s\": 100}"));
                None
            }
        }
    }

    fn check_stations(&self, faults: &mut Vec<Fault>) {
        for (index, station) in self.stations.iter().enumerate() {
            let path = format!("stations[{index}]");
            let earlier = self.stations[..index].iter().map(|other| other.name.as_str());
            check_name(&path, &station.name, earlier, faults);
            within(&format!("{path}.demand_s"), station.demand_s, TIMES_S, "seconds", faults);
            if let Servers::Count(servers) = station.servers {
                check_count(&format!("{path}.servers"), servers, "servers", ", or \"delay\"", faults);
            }
        }
    }

    fn check_pools(&self, faults: &mut Vec<Fault>) {
        for (index, pool) in self.pools.iter().enumerate() {
            let path = format!("pools[{index}]");
            let earlier = self.pools[..index].iter().map(|other| other.name.as_str());
            check_name(&path, &pool.name, earlier, faults);
            check_count(&format!("{path}.slots"), pool.slots, "slots", "", faults);
            if let Some(timeout_s) = pool.timeout_s {
                within(&format!("{path}.timeout_s"), timeout_s, TIMES_S, "seconds; null for none", faults);
            }
        }
    }
}

pub(super) fn fault(path: &str, what: &str, remedy: &str) -> Fault {
    Fault { path: path.to_owned(), what: what.to_owned(), remedy: remedy.to_owned() }
}

fn within(path: &str, value: f64, (low, high): (f64, f64), unit: &str, faults: &mut Vec<Fault>) {
    if !(low..=high).contains(&value) {
        faults.push(fault(path, &format!("it is {value}"), &format!("give {low:e} to {high:e} {unit}")));
    }
}

fn check_count(path: &str, count: usize, unit: &str, or: &str, faults: &mut Vec<Fault>) {
    if !(1..=SERVERS_MAX).contains(&count) {
        let right = format!("give a number from 1 to {SERVERS_MAX}{or}");
        faults.push(fault(path, &format!("{count} {unit}"), &right));
    }
}

fn check_name<'n>(
    path: &str,
    name: &str,
    mut earlier: impl Iterator<Item = &'n str>,
    faults: &mut Vec<Fault>,
) {
    if name.trim().is_empty() {
        faults.push(fault(&format!("{path}.name"), "it is empty", "give a name that the answer can use"));
    } else if earlier.any(|other| other == name) {
        let what = format!("`{name}` is there already");
        faults.push(fault(&format!("{path}.name"), &what, "give each its own name"));
    }
}

#[cfg(test)]
mod tests;
