//! The model with the changes made.

use super::Refusal;
use super::change::{Change, What};
use super::system::{Resource, System, Why};
use crate::record::what_if::Changed;

/// Share of a time that is left of it, whatever is taken away.
const LEAST: f64 = 1e-3;

impl System {
    /// The changed system, and what was changed from what to what, in the order of the changes.
    pub(super) fn changed(&self, changes: &[Change]) -> Result<(Self, Vec<Changed>), Refusal> {
        let mut system = self.clone();
        let mut done = Vec::new();
        let mut alone_s = self.alone.mean_s();
        // A demand of a pool is all that is done with its slots, so what is said of it holds, and what it guards is a part of that.
        let told = |pool: &String| changes.iter().any(|change| change.what == What::Demand(pool.clone()));
        for change in changes {
            let (name, limit) = match &change.what {
                What::Replicas => {
                    let factor = change.to.of(1.0);
                    system.replicate(factor)?;
                    done.push(Changed { resource: "replicas".to_owned(), from: 1.0, to: factor });
                    continue;
                }
                What::Limit(name) => (name, true),
                What::Demand(name) => (name, false),
            };
            let resource = system.resource(name)?;
            let demand = &resource.demand;
            let per_unit = demand.per_unit;
            let before_s = resource.passage_s(per_unit);
            let from = if limit { demand.limit } else { demand.per_unit };
            let to = change.to.of(from);
            resource.demand =
                if limit { demand.changed(to, 1.0) } else { demand.changed(demand.limit, to / from) };
            if limit && to < resource.used_base {
                return Err(too_little(change, resource));
            }
            // The same request before and after: more of the resource is filled by another load, under which one may take more or less of it.
            let after_s = resource.passage_s(if limit { per_unit } else { to });
            let (added_s, pool) = (after_s - before_s, resource.guarded_by.clone());
            done.push(Changed {
                resource: if limit { name.clone() } else { format!("{name}.demand") },
                from,
                to,
            });
            if pool.as_ref().is_none_or(|pool| !told(pool)) && system.is_waited_for(name) {
                alone_s += added_s;
                if let Some(pool) =
                    system.stations.iter_mut().find(|station| Some(&station.name) == pool.as_ref())
                {
                    pool.demand.per_unit = (pool.demand.per_unit + added_s).max(pool.demand.per_unit * LEAST);
                }
            }
        }
        system.alone = self.alone.with_mean(alone_s.max(self.alone.mean_s() * LEAST));
        Ok((system, done))
    }

    /// So many times the processes, with all that is theirs.
    fn replicate(&mut self, factor: f64) -> Result<(), Refusal> {
        let theirs = || self.resources().filter(|resource| resource.replicated);
        let is_victim =
            |name: &String| self.beyond.iter().any(|(other, why)| other == name && *why == Why::Victim);
        if let Some(victim) = theirs().find(|resource| is_victim(&resource.name)) {
            return Err(beyond(&victim.name, Why::Victim));
        }
        if theirs().next().is_none() {
            return Err(Refusal::new(
                "what_if_replicas",
                "the record has nothing that replicas have more of: no `app.…` and no pool whose demand is known".to_owned(),
                "observe the processes that serve (`observe`), and search again",
            ));
        }
        for resource in self.stations.iter_mut().chain(&mut self.ceilings) {
            if resource.replicated {
                resource.replicas = factor;
            }
        }
        Ok(())
    }

    /// Whether the time that a request spends on it is part of its response time.
    fn is_waited_for(&self, name: &str) -> bool {
        self.stations.iter().any(|station| station.name == name && !station.demand.by_users)
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

fn too_little(change: &Change, resource: &Resource) -> Refusal {
    Refusal::new(
        "what_if_value",
        format!(
            "`{}` is less than the {:.3} that were in use at the lowest level",
            change.text, resource.used_base
        ),
        "ask for more than that; what happens below it was not measured",
    )
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
