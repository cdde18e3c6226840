//! Several classes of users in one model: what Schweitzer's fixed point takes, and no more.

use super::{
    Fault, Model, PARTS_MAX, Servers, Service, TIMES_S, check_name, check_think, check_users, fault, within,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Users who ask for the same things.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Class {
    pub name: String,
    pub users: u64,
    /// Mean time between an answer and the next request, s; 0 by default.
    pub think_s: Option<f64>,
    /// Seconds of service that a request of this class needs at a station, by its name, where it is not the `demand_s` of the station; 0
    /// where it does not go there.
    #[serde(default)]
    pub demands_s: BTreeMap<String, f64>,
}

impl Model {
    pub(super) fn check_classes(&self, faults: &mut Vec<Fault>) {
        let Some(classes) = &self.classes else { return };
        if classes.is_empty() || classes.len() > PARTS_MAX {
            let what = format!("there are {}", classes.len());
            faults.push(fault("classes", &what, &format!("list 1 to {PARTS_MAX}")));
        }
        for (index, class) in classes.iter().enumerate() {
            let path = format!("classes[{index}]");
            let earlier = classes[..index].iter().map(|other| other.name.as_str());
            check_name(&path, &class.name, earlier, faults);
            check_users(&format!("{path}.users"), class.users, faults);
            check_think(&format!("{path}.think_s"), class.think_s.unwrap_or(0.0), faults);
            self.check_demands(&path, class, faults);
        }
        let only = "solve one class (users), or take the sum of all classes at what is shared";
        for (index, station) in self.stations.iter().enumerate() {
            if station.servers != Servers::Delay && station.service == Service::Constant {
                let what = "several classes are solved for exponential service only";
                faults.push(fault(&format!("stations[{index}].service"), what, only));
            }
            if let Servers::Count(2..) = station.servers {
                let what = "several classes are solved for single servers and delays only";
                faults.push(fault(&format!("stations[{index}].servers"), what, only));
            }
        }
        if !self.pools.is_empty() {
            faults.push(fault("pools", "several classes are solved without pools only", only));
        }
    }

    fn check_demands(&self, path: &str, class: &Class, faults: &mut Vec<Fault>) {
        for (name, demand_s) in &class.demands_s {
            let path = format!("{path}.demands_s.{name}");
            if !self.stations.iter().any(|station| station.name == *name) {
                let names: Vec<&str> = self.stations.iter().map(|station| station.name.as_str()).collect();
                let right = format!("the stations are {}", names.join(", "));
                faults.push(fault(&path, &format!("there is no station `{name}`"), &right));
            }
            if *demand_s != 0.0 {
                within(&path, *demand_s, TIMES_S, "seconds; 0 for none", faults);
            }
        }
        let asks = self
            .stations
            .iter()
            .any(|station| class.demands_s.get(&station.name).is_none_or(|demand_s| *demand_s > 0.0));
        if !asks {
            faults.push(fault(
                &format!("{path}.demands_s"),
                "it asks for nothing",
                "give one demand above 0",
            ));
        }
    }
}
