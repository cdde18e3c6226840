//! Any text is a queueing model or a list of faults; and what is a model of moderate size has an answer in which every number is one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::queueing::model::read::read;
use plimsoll::queueing::model::{Load, Servers};
use plimsoll::queueing::solve;

/// Larger ones take longer than a fuzzer should.
const MODERATE: usize = 300;

fuzz_target!(|text: &str| {
    let network = match read(text) {
        Ok(network) => network,
        Err(faults) => {
            assert!(!faults.is_empty());
            let _ = faults.iter().map(ToString::to_string).collect::<Vec<_>>();
            return;
        }
    };
    let few_users = match &network.load {
        Load::Closed { users, .. } => users.all().iter().all(|users| *users <= MODERATE as u64),
        Load::Classes(classes) => classes.iter().all(|class| class.users <= MODERATE as u64),
        Load::Open { .. } => true,
    };
    let few_slots = network.pools.iter().all(|pool| {
        pool.slots <= MODERATE && pool.queue_max.is_none_or(|queue_max| queue_max <= MODERATE)
    });
    let few_servers = network.stations.iter().all(|station| match station.servers {
        Servers::Count(servers) => servers <= MODERATE,
        Servers::Delay => true,
    });
    if !(few_users && few_slots && few_servers) {
        return;
    }
    for answer in solve(&network).unwrap_or_default() {
        let at_stations = answer.stations.iter().flat_map(|station| [station.utilization, station.queue]);
        let at_pools = answer
            .pools
            .iter()
            .flat_map(|pool| [pool.busy, pool.waiting, pool.timeout_ratio, pool.rejected_ratio, pool.p_all_busy]);
        let all = [answer.throughput_per_s, answer.response_s].into_iter().chain(at_stations).chain(at_pools);
        for value in all.flatten() {
            assert!(value.is_finite() && value >= 0.0, "{text}: {answer:?}");
        }
    }
});
