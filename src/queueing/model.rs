//! A queueing model as people write it (JSON) and as the solver takes it: a tree of pools with stations for leaves. Every fault of a model
//! is told with its place and what would be right; only a `Network` without one can be solved.

use super::tree;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt;

pub mod classes;
pub mod read;

pub use classes::Class;

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
/// Requests that may wait for a slot.
pub const QUEUE_MAX: usize = 100_000;
/// Requests sent again for each that is not served: a few layers of three retries each.
pub const RETRIES: (f64, f64) = (0.0, 100.0);

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
    /// Closed, with several classes of users that ask for different things. Approximate.
    pub classes: Option<Vec<Class>>,
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

#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Station {
    pub name: String,
    /// Seconds of service that a request needs here, over all its visits.
    pub demand_s: f64,
    /// How many requests are served at once (cores, threads), or "delay": all of them, nobody waits. 1 by default.
    #[serde(default)]
    #[schemars(with = "read::NumberOrDelay")]
    pub servers: Servers,
    /// How the time of service varies. Exponential by default.
    #[serde(default)]
    pub service: Service,
}

impl Station {
    /// Squared coefficient of variation of its service.
    pub fn service_cv2(&self) -> f64 {
        match self.service {
            Service::Exponential => 1.0,
            Service::Constant => 0.0,
        }
    }
}

/// How a time of service varies around its mean.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    #[default]
    Exponential,
    /// The mean, always.
    Constant,
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

#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub name: String,
    /// Requests that hold a slot at once.
    pub slots: usize,
    /// Stations at which a request has a slot of this pool. Pools may lie inside each other, but not overlap.
    pub guards: Vec<String>,
    /// Longest wait for a slot, s; null or left out: for ever.
    pub timeout_s: Option<f64>,
    /// Requests that may wait for a slot at once; who finds as many is turned away. Null or left out: any number.
    pub queue_max: Option<usize>,
    /// Requests that are sent again for each that gave up or was turned away at its first attempt; 0 by default.
    pub retry_ratio: Option<f64>,
}

impl Pool {
    /// Whether a request may end here without having been served.
    pub fn can_lose(&self) -> bool {
        self.timeout_s.is_some() || self.queue_max.is_some()
    }
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
    Classes(Vec<Class>),
}

/// Stations and pools on one level; stations of inner pools are with those.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Branch {
    /// Indices into the stations of the network.
    pub stations: Vec<usize>,
    /// Indices into its pools, with what each guards.
    pub pools: Vec<(usize, Branch)>,
}

impl Branch {
    /// Every pool here and inside.
    fn all_pools(&self) -> Vec<usize> {
        self.pools
            .iter()
            .flat_map(|(index, inside)| std::iter::once(*index).chain(inside.all_pools()))
            .collect()
    }
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

    /// Whether every time that somebody waits for the end of is exponential: of all stations but the delays outside all pools.
    pub fn is_exponential(&self) -> bool {
        let varies = |(index, station): (usize, &Station)| {
            let never_waited_for = station.servers == Servers::Delay && self.root.stations.contains(&index);
            station.service == Service::Exponential || never_waited_for
        };
        self.stations.iter().enumerate().all(varies)
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
        self.check_classes(&mut faults);
        let root = tree::grow(&self.stations, &self.pools, &mut faults);
        let inside = root.pools.iter().flat_map(|(_, inside)| inside.all_pools());
        for index in inside.filter(|index| self.pools[*index].retry_ratio.is_some()) {
            let what = "it lies inside another pool, whose slot a request that is sent again would need";
            let right = "leave it out, or give it to the outer pool";
            faults.push(fault(&format!("pools[{index}].retry_ratio"), what, right));
        }
        if let (true, Some(Load::Closed { think_s: 0.0, .. })) = (root.stations.is_empty(), &load) {
            let bounded = self.pools.iter().enumerate().filter(|(_, pool)| pool.queue_max.is_some());
            for (index, _) in bounded {
                let what = "who is turned away asks again in no time, for ever";
                faults.push(fault(&format!("pools[{index}].queue_max"), what, "give think_s"));
            }
        }
        match load {
            Some(load) if faults.is_empty() => {
                Ok(Network { load, stations: self.stations, pools: self.pools, root })
            }
            _ => Err(faults),
        }
    }

    fn load(&self, faults: &mut Vec<Fault>) -> Option<Load> {
        match (&self.users, &self.open, &self.classes) {
            (Some(users), None, None) => {
                let (several, list) = (matches!(users, Populations::Several(_)), users.all());
                if list.is_empty() || list.len() > POPULATIONS_MAX {
                    let what = format!("there are {} numbers of users", list.len());
                    faults.push(fault("users", &what, &format!("list 1 to {POPULATIONS_MAX}")));
                }
                for (index, count) in list.iter().enumerate() {
                    let path = if several { format!("users[{index}]") } else { "users".to_owned() };
                    check_users(&path, *count, faults);
                }
                let think_s = self.think_s.unwrap_or(0.0);
                check_think("think_s", think_s, faults);
                Some(Load::Closed { users: users.clone(), think_s })
            }
            (None, Some(open), None) => {
                within("open.rate_per_s", open.rate_per_s, RATES_PER_S, "requests per second", faults);
                if self.think_s.is_some() {
                    let right = "leave it out, or give users instead of open";
                    faults.push(fault("think_s", "requests of an open model do not think", right));
                }
                Some(Load::Open { rate_per_s: open.rate_per_s })
            }
            (None, None, Some(classes)) => {
                if self.think_s.is_some() {
                    let right = "give each class its own think_s";
                    faults.push(fault("think_s", "it is of no class", right));
                }
                Some(Load::Classes(classes.clone()))
            }
            (users, open, classes) => {
                let given: Vec<&str> =
                    [(users.is_some(), "users"), (open.is_some(), "open"), (classes.is_some(), "classes")]
                        .into_iter()
                        .filter_map(|(given, key)| given.then_some(key))
                        .collect();
                let what = if given.is_empty() {
                    "neither users nor open nor classes".to_owned()
                } else {
                    given.join(" and ")
                };
                let right =
                    "give one: \"users\": 100, \"open\": {\"rate_per_s\": 100}, or \"classes\": [...]";
                faults.push(fault("", &what, right));
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
            if let Some(queue_max) = pool.queue_max.filter(|queue_max| *queue_max > QUEUE_MAX) {
                let right = format!("give a number from 0 to {QUEUE_MAX}; null for any number");
                faults.push(fault(&format!("{path}.queue_max"), &format!("{queue_max} requests"), &right));
            }
            if let Some(retry_ratio) = pool.retry_ratio {
                let path = format!("{path}.retry_ratio");
                within(&path, retry_ratio, RETRIES, "requests for each that is not served", faults);
                if !pool.can_lose() {
                    let right = "give timeout_s or queue_max, or leave it out";
                    faults.push(fault(&path, "every request is served here", right));
                }
                if self.open.is_none() {
                    let right = "leave it out: who thinks and asks again is one who retries; or give open";
                    faults.push(fault(&path, "users of a closed model ask one request at a time", right));
                }
            }
        }
    }
}

fn check_users(path: &str, count: u64, faults: &mut Vec<Fault>) {
    if !(1..=USERS_MAX).contains(&count) {
        let right = format!("give a number from 1 to {USERS_MAX}");
        faults.push(fault(path, &format!("{count} users"), &right));
    }
}

fn check_think(path: &str, think_s: f64, faults: &mut Vec<Fault>) {
    if think_s != 0.0 {
        within(path, think_s, TIMES_S, "seconds; 0 for none", faults);
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
