//! The model with the changes made.

use super::Refusal;
use super::change::{Change, What};
use super::system::{Resource, System, Why};
use crate::record::what_if::Changed;

/// Share of r replicas' capacity that is kept, where nothing was measured: the middle of what is usual, which reaches from 0.7 to 1.
pub(super) const REPLICAS_KEEP: f64 = 0.85;
pub(super) const REPLICAS_KEEP_WITHIN: (f64, f64) = (0.7, 1.0);

impl System {
    /// The changed system, and what was changed from what to what.
    pub(super) fn changed(&self, changes: &[Change]) -> Result<(Self, Vec<Changed>), Refusal> {
        let mut system = self.clone();
        let mut done = Vec::new();
        let mut alone_s = self.alone.mean_s();
        for change in changes {
            match &change.what {
                What::Replicas => {
                    let factor = change.to.of(1.0);
                    done.push(Changed { resource: "replicas".to_owned(), from: 1.0, to: factor });
                    for resource in system.stations.iter_mut().chain(&mut system.ceilings) {
                        if resource.replicated && resource.guarded_by.is_none() {
                            resource.limit *= factor * REPLICAS_KEEP;
                            resource.used.background *= factor;
                        }
                    }
                }
                What::Limit(name) => {
                    let resource = system.resource(name)?;
                    let (from, to) = (resource.limit, change.to.of(resource.limit));
                    if to < resource.used_base {
                        return Err(Refusal::new(
                            "what_if_value",
                            format!(
                                "`{}` is less than the {:.3} that were in use at the lowest level",
                                change.text, resource.used_base
                            ),
                            "ask for more than that; what happens below it was not measured",
                        ));
                    }
                    let slow = |limit: f64| if resource.kind == "cpu" { 1.0 / limit.min(1.0) } else { 1.0 };
                    alone_s += resource.used.per_unit * (slow(to) - slow(from));
                    resource.limit = to;
                    done.push(Changed { resource: name.clone(), from, to });
                }
                What::Demand(name) => {
                    let resource = system.resource(name)?;
                    let (from, to) = (resource.used.per_unit, change.to.of(resource.used.per_unit));
                    resource.used.per_unit = to;
                    let waited_for = resource.guarded_by.is_none() && !resource.used.by_users;
                    let is_station = system.stations.iter().any(|station| station.name == *name);
                    if waited_for && is_station {
                        alone_s += to - from;
                    }
                    done.push(Changed { resource: format!("{name}.demand"), from, to });
                }
            }
        }
        system.alone = self.alone.with_mean(alone_s.max(self.alone.mean_s() * 1e-3));
        Ok((system, done))
    }

    fn resource(&mut self, name: &str) -> Result<&mut Resource, Refusal> {
        if let Some((_, why)) = self.beyond.iter().find(|(other, _)| other == name) {
            return Err(beyond(name, *why));
        }
        let all: Vec<String> = self.resources().map(|resource| resource.name.clone()).collect();
        let found = self.stations.iter_mut().chain(&mut self.ceilings).find(|resource| resource.name == name);
        found.ok_or_else(|| {
            let there = if all.is_empty() { "none that a model can use".to_owned() } else { all.join(", ") };
            Refusal::new(
                "what_if_resource",
                format!("the record has no resource `{name}`"),
                &format!("name one of those it has: {there}"),
            )
        })
    }
}

fn beyond(name: &str, why: Why) -> Refusal {
    let (code, what, remedy) = match why {
        Why::NoLimit => (
            "what_if_limit",
            format!("`{name}` has no limit in the record, so it cannot be raised"),
            "observe its limit too (`limit` of a resource in `observe`)",
        ),
        Why::NoDemand => (
            "what_if_demand",
            format!(
                "use of `{name}` did not grow with the load below the first bad level, so what a request takes of it is not known"
            ),
            "search again from a lower `from`, so that more levels lie below the line",
        ),
        Why::Implausible => (
            "what_if_implausible",
            format!("the numbers of `{name}` contradict each other (Little's law)"),
            "check that its metrics come from all the instances that took the load, and only from those",
        ),
        Why::Victim => (
            "what_if_victim",
            format!(
                "the slots of `{name}` are held longer as the load grows, by something behind it that is not observed: more slots may move the queue and not remove it"
            ),
            "observe what it guards (its processor, locks, disk) and search again",
        ),
    };
    Refusal::new(code, what, remedy)
}
