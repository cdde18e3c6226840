//! Where the load line of a model lies: the most load under which its goals hold, and what limits it there.

use super::system::{Resource, System};
use crate::queueing::closed::flow_equivalent_per_s;
use crate::queueing::model::{Branch, Load, Network, Populations, SERVERS_MAX, Servers, Service, Station};
use crate::queueing::tail::{Node, Source, p_longer};
use crate::scenario::plan::LoadUnit;

/// Users beyond which nothing is looked for.
const USERS_MAX: f64 = 1e6;
/// Rates are halved in this many times between nothing and what fills a resource.
const HALVINGS: u32 = 14;
/// X(n) that grows by less than this share is as large as it will be.
const FLAT: f64 = 1e-7;

/// A resource, and the load at which it limits the system.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rung {
    pub(super) name: String,
    /// Load at which it is full if nobody waits.
    pub(super) wall: f64,
    /// Load line with no other queue, over `wall`: what the goal allows of a queue, or takes for its beginning.
    pub(super) tail: f64,
    /// Requests queue for it; otherwise it fills at its wall, whatever the goals.
    pub(super) queues: bool,
}

impl Rung {
    pub(super) fn at(&self) -> f64 {
        self.wall * self.tail
    }
}

#[derive(Clone, Debug)]
pub(super) struct Lines {
    /// Soonest first.
    pub(super) rungs: Vec<Rung>,
    /// Line with all queues at once over that of the first rung: at most 1.
    pub(super) together: f64,
}

impl Lines {
    /// `None` where the model has nothing that fills, or no load at all meets the goals.
    pub(super) fn of(system: &System) -> Option<Self> {
        let outer: Vec<&Resource> =
            system.stations.iter().filter(|station| station.guarded_by.is_none()).collect();
        let nodes: Vec<Node> = outer.iter().map(|station| node(system, station)).collect();
        let mut rungs = Vec::new();
        for (station, node) in outer.iter().zip(&nodes) {
            let members = std::iter::once(*station).chain(guarded(system, station));
            let walls: Vec<(&Resource, f64)> = members.map(|member| (member, system.wall(member))).collect();
            let least = walls.iter().map(|(_, wall)| *wall).fold(f64::INFINITY, f64::min);
            let tail = line(system, std::slice::from_ref(node))? / least;
            rungs.extend(walls.into_iter().map(|(member, wall)| Rung {
                name: member.name.clone(),
                wall,
                tail,
                queues: true,
            }));
        }
        let by_load = |a: &Rung, b: &Rung| a.at().total_cmp(&b.at());
        rungs.sort_by(by_load);
        let together = match rungs.first() {
            Some(first) if nodes.len() > 1 => (line(system, &nodes)? / first.at()).min(1.0),
            _ => 1.0,
        };
        rungs.extend(system.ceilings.iter().map(|ceiling| Rung {
            name: ceiling.name.clone(),
            wall: system.wall(ceiling),
            tail: 1.0,
            queues: false,
        }));
        rungs.sort_by(by_load);
        (!rungs.is_empty()).then_some(Self { rungs, together })
    }

    /// The load line of the model.
    pub(super) fn line(&self) -> f64 {
        self.rungs.first().map_or(f64::INFINITY, |first| first.at() * self.share_of(first))
    }

    /// What other queues leave of the line of a rung; a ceiling has none. As many users wait at one place cannot wait at another, so less is lost
    /// than by waits that are independent: half of it, as an exponent.
    pub(super) fn share_of(&self, rung: &Rung) -> f64 {
        if rung.queues { self.together.sqrt() } else { 1.0 }
    }
}

fn guarded<'s>(system: &'s System, pool: &'s Resource) -> impl Iterator<Item = &'s Resource> {
    system.stations.iter().filter(|station| station.guarded_by.as_ref() == Some(&pool.name))
}

/// Whole servers, and what one of them takes for a request: a quota of half a core is a core of half the speed.
fn servers(resource: &Resource) -> (usize, f64) {
    let room = resource.room();
    // Two replicas of half a core are not one faster core.
    let least = if resource.demand.room() < 1.0 { resource.replicas.ceil() } else { 1.0 };
    let count = (room - 1e-9).ceil().max(least).clamp(1.0, SERVERS_MAX as f64);
    (count as usize, resource.demand.per_unit * count / room)
}

/// A station as a queue; a pool with what it guards as a flow-equivalent server (see `queueing::level`).
fn node(system: &System, station: &Resource) -> Node {
    let visits = station.visits;
    let (count, service_s) = servers(station);
    let service_s = service_s / visits;
    let inside: Vec<&Resource> = guarded(system, station).collect();
    if inside.is_empty() {
        return Node { visits, ..Node::servers(count, service_s, system.variation()) };
    }
    let mut stations: Vec<Station> = inside
        .iter()
        .map(|member| {
            let (count, demand_s) = servers(member);
            Station {
                name: member.name.clone(),
                demand_s: demand_s / visits,
                servers: Servers::Count(count),
                service: Service::Exponential,
            }
        })
        .collect();
    let rest_s = service_s - stations.iter().map(|station| station.demand_s).sum::<f64>();
    stations.push(Station {
        name: station.name.clone(),
        demand_s: rest_s.max(service_s * 1e-3),
        servers: Servers::Delay,
        service: Service::Exponential,
    });
    let root = Branch { stations: (0..stations.len()).collect(), pools: Vec::new() };
    let load = Load::Closed { users: Populations::One(count as u64), think_s: 0.0 };
    let network = Network { load, stations, pools: Vec::new(), root };
    let mut rates_per_s: Vec<f64> = Vec::new();
    // Service that varies less than exponentially queues less: as Allen and Cunneen have it, by (1 + Cs²)/2 of the time beyond the bound.
    let queues = (1.0 + system.variation()) / 2.0;
    for (held, product_form_per_s) in (1..=count).zip(flow_equivalent_per_s(&network, count)) {
        let before = rates_per_s.last().copied().unwrap_or(0.0);
        let product_form_s = held as f64 / product_form_per_s;
        let least_s = inside
            .iter()
            .map(|member| held as f64 * member.demand.per_unit / visits / member.room())
            .fold(service_s, f64::max);
        let rate_per_s = (held as f64 / (least_s + (product_form_s - least_s) * queues)).max(before);
        rates_per_s.push(rate_per_s);
        // More slots than that keep what they guard no busier: whoever holds one waits there.
        if rate_per_s <= before * (1.0 + FLAT) {
            break;
        }
    }
    Node { rates_per_s, visits, variation: system.variation() }
}

/// The most load under which every goal holds with these queues; where no goal is of latency, the load that fills the first of them.
fn line(system: &System, nodes: &[Node]) -> Option<f64> {
    let fastest_per_s = nodes.iter().map(Node::fastest_per_s).fold(f64::INFINITY, f64::min);
    if system.goals.is_empty() {
        return Some(system.load_at(fastest_per_s));
    }
    let excess = |source: Source| -> f64 {
        let over = |&(limit_s, ratio): &(f64, f64)| {
            (p_longer(nodes, source, &system.alone, limit_s).max(1e-9) / ratio.max(1e-9)).ln()
        };
        system.goals.iter().map(over).fold(f64::NEG_INFINITY, f64::max)
    };
    match system.unit.of {
        LoadUnit::Users => {
            let at =
                |users: u64| excess(Source::Users { users, think_s: system.think_s, spread: system.spread });
            let longest_s = system.goals.iter().map(|goal| goal.0).fold(0.0, f64::max);
            // With so many the mean response is past every limit.
            let most = system.load_at(fastest_per_s) + 2.0 * fastest_per_s * longest_s + 10.0;
            let (mut low, mut high) = (1_u64, most.min(USERS_MAX) as u64);
            if at(low) > 0.0 {
                return None;
            }
            // Fewer visit it than may be late: no queue breaks the goals, and more users than fill it get no more done.
            if at(high) <= 0.0 {
                return Some(system.load_at(fastest_per_s));
            }
            while high - low > 1 + low / 2000 {
                let middle = u64::midpoint(low, high);
                if at(middle) > 0.0 { high = middle } else { low = middle }
            }
            // Between the two the share of bad requests grows exponentially, as it does in `search::line`.
            let (below, above) = (at(low), at(high));
            let part = if above > below { (-below / (above - below)).clamp(0.0, 1.0) } else { 0.0 };
            Some(low as f64 + part * (high - low) as f64)
        }
        LoadUnit::RatePerS => {
            let (mut low, mut high) = (0.0, fastest_per_s);
            for _ in 0..HALVINGS {
                let middle = (low + high) / 2.0;
                if excess(Source::Rate { per_s: middle }) > 0.0 { high = middle } else { low = middle }
            }
            (low > 0.0).then(|| system.load_at(low))
        }
    }
}
