//! Over how many processes and threads a load is spread, and what those take of a machine whatever the number of users.

use super::costs::THREADS_BESIDE_SHARDS;
use super::fit::Case;
use crate::limits::AGENTS_MAX;
use crate::scenario::plan::Agents;

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

impl Case<'_> {
    /// Threads of each of so many processes that carry users.
    pub(super) fn shards(&self, agents: u32) -> u32 {
        let cores = self.machine.cores.unwrap_or(1);
        let worth = || super::cpu::shards(self.needs.requests_per_s_max, agents, cores);
        self.spread.shards.unwrap_or_else(worth).max(1)
    }

    /// Those of all processes. Cores do not divide evenly, so that some more processes may have fewer of them in all; this never falls,
    /// as what more users need never does.
    pub(super) fn shards_of_all(&self, agents: u64) -> u64 {
        let agents = u32::try_from(agents).unwrap_or(AGENTS_MAX);
        let all = |agents: u32| u64::from(agents) * u64::from(self.shards(agents));
        (1..=agents).map(all).max().unwrap_or(1)
    }

    /// Threads of all processes.
    pub(super) fn threads(&self, agents: u64) -> u64 {
        self.shards_of_all(agents) + agents * THREADS_BESIDE_SHARDS
    }
}
