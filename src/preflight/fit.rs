//! Whether needs fit into a machine: how many processes and source addresses they take, and every limit on the way with the number of
//! users at which it bites. Pure: the same needs and facts give the same answer anywhere.

use super::costs::{
    DESCRIPTORS_RESERVED, MEMORY_FILLED_PERCENT, PORTS_EASY_PERCENT, PORTS_FILLED_PERCENT,
    TARGET_SPREAD_PERCENT, TIME_WAIT_REUSED_S, TIME_WAIT_S, TRACKED_WAIT_S,
};
use super::needs::{Destination, Needs};
use super::spread::Spread;
use crate::limits::AGENTS_MAX;
use crate::probe::machine::Machine;
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Fit {
    /// Processes that carry the users.
    pub agents: u32,
    /// Threads of each.
    pub shards: u32,
    /// Addresses to open connections from, for each address of the target.
    pub source_addresses: u32,
    /// The limits of this machine, the one that bites at the fewest users first.
    pub limits: Vec<Limit>,
}

/// One limit of the machine beside what is needed of it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Limit {
    pub resource: Resource,
    /// For the users that will be there; for those that may come to be there; and what the machine has.
    pub needed: u64,
    pub needed_bound: u64,
    pub available: u64,
    /// The most users that fit; absent where no number of users reaches the limit.
    pub users_max: Option<u64>,
    pub effect: Effect,
    /// What lifts it.
    pub lift: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Descriptors of one process.
    Descriptors,
    /// Descriptors of the bundled target.
    TargetDescriptors,
    /// Open files of the whole system.
    OpenFiles,
    /// Ports to one target, over all its addresses and all that can be sent from.
    Ports,
    MemoryBytes,
    /// Connections that the firewall keeps track of.
    TrackedConnections,
    Threads,
    CpuMillicores,
}

/// What happens beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Users fail for a reason that is not the target's: such a run is refused.
    Refuses,
    /// The run may be slower or invalid, and will say so.
    Warns,
}

impl Resource {
    pub const ALL: [Self; 8] = [
        Self::Descriptors,
        Self::TargetDescriptors,
        Self::OpenFiles,
        Self::Ports,
        Self::MemoryBytes,
        Self::TrackedConnections,
        Self::Threads,
        Self::CpuMillicores,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors of a process",
            Self::TargetDescriptors => "descriptors of the target",
            Self::OpenFiles => "open files",
            Self::Ports => "ports to the target",
            Self::MemoryBytes => "memory",
            Self::TrackedConnections => "tracked connections",
            Self::Threads => "threads",
            Self::CpuMillicores => "cores",
        }
    }

    /// An amount of it with its unit.
    pub fn show(self, amount: u64) -> String {
        match self {
            _ if amount >= 1 << 60 => "no limit".to_owned(),
            Self::MemoryBytes if amount >= 10_000_000_000 => format!("{:.0} GB", amount as f64 / 1e9),
            Self::MemoryBytes if amount >= 1_000_000_000 => format!("{:.1} GB", amount as f64 / 1e9),
            Self::MemoryBytes => format!("{:.0} MB", amount as f64 / 1e6),
            Self::CpuMillicores => format!("{:.2}", amount as f64 / 1e3),
            _ => grouped(amount),
        }
    }

    fn effect(self) -> Effect {
        match self {
            // A connection that is not tracked is dropped only where a rule asks for tracking; a core that is busy is only late.
            Self::TrackedConnections | Self::CpuMillicores => Effect::Warns,
            _ => Effect::Refuses,
        }
    }
}

/// `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Limit {
    /// Whether the users that will be there fit.
    pub fn fits(&self) -> bool {
        self.needed <= self.available
    }

    /// Whether those that may come to be there fit too.
    pub fn fits_bound(&self) -> bool {
        self.needed_bound <= self.available
    }
}

impl Fit {
    /// The limits for which the run must not begin.
    pub fn refusing(&self) -> impl Iterator<Item = &Limit> {
        self.limits.iter().filter(|limit| limit.effect == Effect::Refuses && !limit.fits())
    }

    /// The limits that may spoil it.
    pub fn warning(&self) -> impl Iterator<Item = &Limit> {
        self.limits
            .iter()
            .filter(|limit| !limit.fits_bound() && (limit.effect == Effect::Warns || limit.fits()))
    }
}

/// More users than any machine carries: where no limit is below this, none bites.
const USERS_BEYOND_ALL: u64 = 1 << 40;

/// Holds `needs` against `machine`. A limit of which the machine says nothing is left out.
pub fn fit(needs: &Needs, machine: &Machine, spread: impl Into<Spread>) -> Fit {
    let case = Case { needs, machine, spread: spread.into() };
    let mut limits: Vec<Limit> = Resource::ALL.iter().filter_map(|resource| case.limit(*resource)).collect();
    limits.sort_by_key(|limit| (limit.users_max.unwrap_or(u64::MAX), limit.resource));
    // Users whom another wall keeps out need no process of their own.
    let walls = limits.iter().filter(|limit| {
        limit.effect == Effect::Refuses
            && !matches!(limit.resource, Resource::Descriptors | Resource::Threads)
    });
    let within_walls = walls.filter_map(|limit| limit.users_max).min().unwrap_or(u64::MAX);
    let users = needs.users_bound.min(within_walls).max(needs.users);
    let agents = u32::try_from(case.agents(users)).unwrap_or(AGENTS_MAX);
    Fit { agents, shards: case.shards(agents), source_addresses: case.source_addresses(users), limits }
}

pub(super) struct Case<'a> {
    pub(super) needs: &'a Needs,
    pub(super) machine: &'a Machine,
    pub(super) spread: Spread,
}

impl Case<'_> {
    fn limit(&self, resource: Resource) -> Option<Limit> {
        let available = self.supply(resource)?;
        let needed = self.demand(resource, self.needs.users)?;
        let bound = match resource {
            Resource::CpuMillicores => self.needs.users_active_bound,
            _ => self.needs.users_bound,
        };
        let needed_bound = self.demand(resource, bound)?;
        let users_max = self.users_max(resource, available);
        // The ladder is for what comes next: what already fits is shown with the step to twice as many.
        let aim = if needed_bound > available { needed_bound } else { available.saturating_mul(2) };
        let lift = super::lift::lift(self, resource, aim, needed_bound);
        Some(Limit { resource, needed, needed_bound, available, users_max, effect: resource.effect(), lift })
    }

    /// The most users whose demand is met. Whether it is met only ever changes once with the number of users.
    fn users_max(&self, resource: Resource, available: u64) -> Option<u64> {
        let fits = |users: u64| self.demand(resource, users).is_some_and(|demand| demand <= available);
        if fits(USERS_BEYOND_ALL) {
            return None;
        }
        let (mut fitting, mut beyond) = (0, USERS_BEYOND_ALL);
        while beyond - fitting > 1 {
            let middle = fitting + (beyond - fitting) / 2;
            *(if fits(middle) { &mut fitting } else { &mut beyond }) = middle;
        }
        Some(fitting)
    }

    /// Ports that may be filled from one address to another.
    pub(super) fn usable_ports(&self) -> Option<u64> {
        Some(self.ports_there()? * PORTS_FILLED_PERCENT / 100)
    }

    fn ports_there(&self) -> Option<u64> {
        let (first, last) = (self.machine.local_port_first?, self.machine.local_port_last?);
        let all = u64::from(last.saturating_sub(first)) + 1;
        let free = all.saturating_sub(u64::from(self.machine.local_ports_reserved.unwrap_or(0)));
        Some(free)
    }

    /// How long a port to `destination` stays taken after its connection is closed.
    pub(super) fn port_wait_s(&self, destination: &Destination) -> u64 {
        match self.machine.tcp_tw_reuse {
            Some(1) => TIME_WAIT_REUSED_S,
            Some(2) if destination.loopback => TIME_WAIT_REUSED_S,
            _ => TIME_WAIT_S,
        }
    }

    pub(super) fn busiest(&self) -> Option<&Destination> {
        self.needs.busiest(|destination| self.port_wait_s(destination))
    }

    fn ports(&self, users: u64) -> u64 {
        self.needs.ports(users, |destination| self.port_wait_s(destination))
    }

    fn source_addresses(&self, users: u64) -> u32 {
        let Some(ports_there) = self.ports_there() else { return 1 };
        let easy = ports_there * PORTS_EASY_PERCENT / 100;
        let ports = self.ports(users);
        let one_address = easy.saturating_mul(self.peers()).max(1);
        let sources = u32::try_from(ports.div_ceil(one_address)).unwrap_or(u32::MAX);
        sources.clamp(1, self.sources())
    }

    pub(super) fn sources(&self) -> u32 {
        self.busiest().map_or(1, |destination| destination.sources.max(1))
    }

    /// Addresses of the target that connections take in turn.
    fn peers(&self) -> u64 {
        self.busiest().map_or(1, |destination| u64::from(destination.peers.max(1)))
    }

    pub(super) fn lanes(&self) -> u64 {
        self.busiest().map_or(1, Destination::lanes)
    }

    /// What so many users need of it.
    fn demand(&self, resource: Resource, users: u64) -> Option<u64> {
        let sockets = self.needs.sockets(users);
        let agents = self.agents(users);
        Some(match resource {
            Resource::Descriptors => {
                self.needs.sockets(users.div_ceil(agents)) + self.descriptors_beside_users(agents)
            }
            Resource::TargetDescriptors => {
                let processes = self.needs.target_processes?;
                // The kernel deals connections out to them by a hash, so one gets some more than its share.
                let spread = if processes > 1 { TARGET_SPREAD_PERCENT } else { 100 };
                (sockets.div_ceil(processes) * spread).div_ceil(100) + DESCRIPTORS_RESERVED
            }
            Resource::OpenFiles => {
                let ends = if self.needs.target_is_here { 2 } else { 1 };
                sockets * ends + self.files_beside_users(agents)
            }
            Resource::Ports => self.ports(users),
            Resource::MemoryBytes => self.needs.memory_bytes(users, agents, self.shards_of_all(agents)),
            Resource::TrackedConnections => {
                sockets + (self.needs.closed_per_s(users) * TRACKED_WAIT_S as f64).ceil() as u64
            }
            Resource::Threads => self.threads(agents),
            Resource::CpuMillicores => self.needs.cpu_millicores(users, agents),
        })
    }

    /// What the machine has of it; `None` where it does not say.
    fn supply(&self, resource: Resource) -> Option<u64> {
        let machine = self.machine;
        match resource {
            Resource::Descriptors | Resource::TargetDescriptors => machine.descriptors_soft,
            Resource::OpenFiles => {
                Some(machine.open_files_max?.saturating_sub(machine.open_files_used.unwrap_or(0)))
            }
            Resource::Ports => Some(self.usable_ports()?.saturating_mul(self.lanes())),
            Resource::MemoryBytes => {
                let group = machine.memory_cgroup_bytes.unwrap_or(u64::MAX);
                let free = machine.memory_available_bytes.unwrap_or(u64::MAX).min(group);
                (free < u64::MAX).then(|| free / 100 * MEMORY_FILLED_PERCENT)
            }
            Resource::TrackedConnections => {
                Some(machine.conntrack_max?.saturating_sub(machine.conntrack_used.unwrap_or(0)))
            }
            Resource::Threads => self.threads_free().map(|(free, _)| free),
            Resource::CpuMillicores => {
                let cores = f64::from(machine.cores?).min(machine.cpu_quota_cores.unwrap_or(f64::INFINITY));
                Some((cores * 1000.0) as u64)
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
