//! Over how many processes and threads a load is spread, and what those take of a machine whatever the number of users.

use super::costs::{
    DESCRIPTORS_RESERVED, SHARD_DESCRIPTORS, SHARD_DESCRIPTORS_OPEN_PART, THREADS_BESIDE_SHARDS,
};
use super::fit::Case;
use crate::limits::AGENTS_MAX;
use crate::scenario::plan::{Agents, Executor, LoadUnit, Plan};

/// What was asked for; the rest is for the machine and the load to say.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub agents: Agents,
    /// Threads of each agent.
    pub shards: Option<u32>,
}

impl From<Agents> for Spread {
    fn from(agents: Agents) -> Self {
        Self { agents, shards: None }
    }
}

/// Which of the limits on threads is the lowest here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThreadsWall {
    System,
    User,
    Group,
}

/// Slots for arrivals are shared out between the shards; with fewer than this many each, a full shard would drop or queue what its neighbor
/// had room for.
const SLOTS_A_SHARD_MIN: u32 = 8;

/// The most shards of all processes together among which the slots of every open part can be shared out.
pub(super) fn shards_max(plan: &Plan) -> Option<u32> {
    let slots = plan.load.iter().filter_map(|part| match &part.executor {
        Executor::Closed { .. } => None,
        Executor::Open { open, .. } => Some(open.max_in_flight),
        Executor::Step { of, open, .. } | Executor::Breakpoint { of, open, .. } => {
            (*of == LoadUnit::RatePerS).then_some(open.max_in_flight)
        }
    });
    slots.map(|slots| (slots / SLOTS_A_SHARD_MIN).max(1)).min()
}

impl Case<'_> {
    /// Threads that can still be started, and what allows no more.
    pub(super) fn threads_free(&self) -> Option<(u64, ThreadsWall)> {
        let machine = self.machine;
        let beside = |max: Option<u64>, used: Option<u64>| Some(max?.saturating_sub(used.unwrap_or(0)));
        let walls = [
            (beside(machine.threads_max, machine.threads_used), ThreadsWall::System),
            (beside(machine.user_threads_max, machine.user_threads_used), ThreadsWall::User),
            (machine.pids_free, ThreadsWall::Group),
        ];
        walls.into_iter().filter_map(|(free, wall)| Some((free?, wall))).min_by_key(|(free, _)| *free)
    }

    /// Threads of each of so many processes that carry users.
    pub(super) fn shards(&self, agents: u32) -> u32 {
        let cores = self.machine.cores.unwrap_or(1);
        let worth = || super::cpu::shards(self.needs.requests_per_s_max, agents, cores);
        let shared_among = self.needs.shards_max.map_or(u32::MAX, |most| most / agents.max(1));
        self.spread.shards.unwrap_or_else(worth).min(shared_among).max(1)
    }

    /// Those of all processes. Cores do not divide evenly, so that some more processes may have fewer of them in all; this never falls,
    /// as what more users need never does.
    pub(super) fn shards_of_all(&self, agents: u64) -> u64 {
        let agents = u32::try_from(agents).unwrap_or(AGENTS_MAX);
        let all = |agents: u32| u64::from(agents) * u64::from(self.shards(agents));
        (1..=agents).map(all).max().unwrap_or(1)
    }

    /// Descriptors that each of a process's shards takes.
    fn descriptors_a_shard(&self) -> u64 {
        SHARD_DESCRIPTORS + self.needs.open_parts * SHARD_DESCRIPTORS_OPEN_PART
    }

    /// Descriptors of each of so many processes for anything but users.
    pub(super) fn descriptors_beside_users(&self, agents: u64) -> u64 {
        let shards = self.shards(u32::try_from(agents).unwrap_or(AGENTS_MAX));
        DESCRIPTORS_RESERVED + u64::from(shards) * self.descriptors_a_shard()
    }

    /// Those of all processes.
    pub(super) fn files_beside_users(&self, agents: u64) -> u64 {
        agents * DESCRIPTORS_RESERVED + self.shards_of_all(agents) * self.descriptors_a_shard()
    }

    /// Processes for so many users: each takes as many users as its descriptors have room for.
    pub(super) fn agents(&self, users: u64) -> u64 {
        match self.spread.agents {
            Agents::Fixed(agents) => u64::from(agents.max(1)),
            Agents::Auto => {
                let Some(limit) = self.machine.descriptors_soft else { return 1 };
                let most = u64::from(AGENTS_MAX);
                // The users of one process are a whole number, and so are their sockets.
                let needed = |agents: u64| {
                    self.needs.sockets(users.div_ceil(agents)) + self.descriptors_beside_users(agents)
                };
                if self.descriptors_beside_users(most) >= limit {
                    // Further processes would have no room for users either.
                    return 1;
                }
                if needed(most) > limit {
                    return most;
                }
                let (mut too_few, mut agents) = (0, most);
                while agents - too_few > 1 {
                    let middle = too_few + (agents - too_few) / 2;
                    *(if needed(middle) <= limit { &mut agents } else { &mut too_few }) = middle;
                }
                agents
            }
        }
    }

    /// Threads of all processes.
    pub(super) fn threads(&self, agents: u64) -> u64 {
        self.shards_of_all(agents) + agents * THREADS_BESIDE_SHARDS
    }
}
