//! What lifts a limit, as the command to type.

use super::costs::{DESCRIPTORS_RESERVED, MEMORY_FILLED_PERCENT, PORTS_FILLED_PERCENT, TIME_WAIT_REUSED_S};
use super::fit::{Case, Resource, grouped};
use super::spread::{Spread, ThreadsWall};
use crate::limits::AGENTS_MAX;
use crate::scenario::plan::Agents;

/// Every port from 1024 on.
const PORTS_AT_MOST: u64 = 64_512;

/// What raises `resource` to `aim`; `users_need` is what the users that may be there need of it.
pub(super) fn lift(case: &Case<'_>, resource: Resource, aim: u64, users_need: u64) -> String {
    let machine = case.machine;
    match resource {
        Resource::Descriptors => descriptors(case, aim),
        Resource::TargetDescriptors => raise_descriptors(case, aim),
        Resource::OpenFiles => {
            format!("sysctl -w fs.file-max={}", aim.saturating_add(machine.open_files_used.unwrap_or(0)))
        }
        Resource::Ports => ports(case, aim),
        Resource::MemoryBytes => {
            let bytes = aim / MEMORY_FILLED_PERCENT * 100;
            let by_group = machine.memory_cgroup_bytes.is_some_and(|group| {
                machine.memory_available_bytes.is_none_or(|available| group < available)
            });
            if by_group {
                format!("let the control group have {} free (memory.max)", Resource::MemoryBytes.show(bytes))
            } else {
                format!("a machine with {} free, or several machines", Resource::MemoryBytes.show(bytes))
            }
        }
        Resource::TrackedConnections => format!(
            "sysctl -w net.netfilter.nf_conntrack_max={}",
            aim.saturating_add(machine.conntrack_used.unwrap_or(0))
        ),
        Resource::Threads => match case.threads_free().map(|(_, wall)| wall) {
            Some(ThreadsWall::Group) => {
                format!("let the control group have {} more threads (pids.max)", grouped(aim.max(users_need)))
            }
            Some(ThreadsWall::User) => {
                format!("as root: ulimit -u {}", aim.saturating_add(machine.user_threads_used.unwrap_or(0)))
            }
            _ => format!(
                "sysctl -w kernel.threads-max={}",
                aim.saturating_add(machine.threads_used.unwrap_or(0))
            ),
        },
        Resource::CpuMillicores => {
            format!("{} cores, or several machines", Resource::CpuMillicores.show(aim))
        }
    }
}

fn descriptors(case: &Case<'_>, aim: u64) -> String {
    match case.spread.agents {
        Agents::Fixed(agents) if agents < AGENTS_MAX => {
            let spread = Spread { agents: Agents::Auto, ..case.spread };
            let wanted = Case { spread, ..*case }.agents(case.needs.users_bound);
            format!("--agents {}, or {}", wanted.max(u64::from(agents) + 1), raise_descriptors(case, aim))
        }
        _ => raise_descriptors(case, aim),
    }
}

/// A process raises its own limit up to the hard one, so only that one stands in the way, which only root raises; and nobody goes past
/// `fs.nr_open`.
fn raise_descriptors(case: &Case<'_>, aim: u64) -> String {
    let aim = aim.max(DESCRIPTORS_RESERVED);
    let first = match case.machine.descriptors_ceiling {
        Some(ceiling) if aim > ceiling => format!("sysctl -w fs.nr_open={aim} && "),
        _ => String::new(),
    };
    if case.machine.descriptors_hard.is_some_and(|hard| aim > hard) {
        return format!(
            "as root: {first}ulimit -n {aim} (or LimitNOFILE= of systemd, --ulimit nofile= of docker)"
        );
    }
    format!("{first}ulimit -n {aim}")
}

/// What leaves fewer ports waiting, where connections are closed.
const KEPT: &str = "connections that are kept (`connections: per_user`, `lifetime: loop`)";

fn ports(case: &Case<'_>, aim: u64) -> String {
    let lanes = case.lanes();
    let widest = PORTS_AT_MOST * PORTS_FILLED_PERCENT / 100;
    let closes = case.needs.per_user.connections_closed_per_s > 0.0
        && case.busiest().is_some_and(|busiest| busiest.closes);
    let usable = case.usable_ports().unwrap_or(widest).max(1);
    let kept = if closes { format!(", or {KEPT}") } else { String::new() };
    let waits =
        closes && case.busiest().is_some_and(|busiest| case.port_wait_s(busiest) > TIME_WAIT_REUSED_S);
    let reused = case.needs.ports(case.needs.users_bound, |_| TIME_WAIT_REUSED_S);
    if waits && reused <= usable.saturating_mul(lanes) {
        return format!("sysctl -w net.ipv4.tcp_tw_reuse=1{kept}");
    }
    if aim <= widest.saturating_mul(lanes) {
        return format!("sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"{kept}");
    }
    let addresses = aim.div_ceil(usable.saturating_mul(lanes / u64::from(case.sources())).max(1));
    format!("{addresses} addresses to send from: swarm.source_ips: [ADDRESS, …]{kept}")
}
