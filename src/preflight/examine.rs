//! What a machine carries whatever the scenario: each of its limits in users of four kinds, the first wall, and whether its clock and
//! timers can be trusted.

use super::fit::{Fit, Limit, Resource, fit};
use super::needs::{Destination, Needs, PerUser};
use crate::probe::machine::Machine;
use crate::probe::selfcheck::{self, WakeError};
use crate::scenario::plan::Agents;
use schemars::JsonSchema;
use serde::Serialize;

/// Version of the JSON form; a change of what a key means raises it.
pub const DOCTOR_SCHEMA: u32 = 1;

/// Users are taken to send a request this often, which only matters for the cores.
pub const SECONDS_BETWEEN_REQUESTS: f64 = 10.0;

/// A p99 above this makes the times of a run doubtful: the default of `safety.generator`'s dispatch lag is of this order.
const WAKE_P99_US_MAX: f64 = 1000.0;

/// What a machine can carry, and what of it was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Examination {
    pub schema: u32,
    pub machine: Machine,
    /// The same limits in users of each kind.
    pub limits: Vec<ExaminedLimit>,
    pub kinds: Vec<ExaminedKind>,
    pub self_checks: SelfChecks,
    /// What in the self-checks makes times doubtful, in sentences.
    pub doubts: Vec<String>,
    /// `--users`, and whether so many HTTP users fit.
    pub users: Option<u64>,
    pub fits: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ExaminedLimit {
    pub resource: Resource,
    pub available: u64,
    /// The most users; absent where it never bites.
    pub http_users: Option<u64>,
    pub websocket_users: Option<u64>,
    /// Of users who hold an event stream open and send nothing else.
    pub event_stream_users: Option<u64>,
    pub tls_users: Option<u64>,
    pub lift: String,
    /// What the users asked for need of it, where they were asked for.
    pub needed: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ExaminedKind {
    pub kind: Kind,
    /// The most users of this kind, and what ends them.
    pub users_max: Option<u64>,
    pub first_wall: Option<Resource>,
    /// Processes for that many.
    pub agents: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Http,
    Websocket,
    EventStream,
    Tls,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Http, Self::Websocket, Self::EventStream, Self::Tls];
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct SelfChecks {
    pub wake_error: WakeError,
    pub loopback_sources: bool,
}

impl SelfChecks {
    /// Looks at this machine; takes about a fifth of a second.
    pub fn run() -> Self {
        Self { wake_error: selfcheck::wake_error(), loopback_sources: selfcheck::loopback_sources_usable() }
    }
}

/// Says what `machine` carries; with `users`, whether it carries so many.
pub fn examine(machine: Machine, self_checks: SelfChecks, users: Option<u64>) -> Examination {
    let asked = users.unwrap_or(0);
    let fits = Kind::ALL.map(|kind| fit(&crowd(kind, asked), &machine, Agents::Auto));
    let [http, websocket, event_stream, tls] = &fits;
    let limits: Vec<ExaminedLimit> = http
        .limits
        .iter()
        .map(|limit| ExaminedLimit {
            resource: limit.resource,
            available: limit.available,
            http_users: limit.users_max,
            websocket_users: of(websocket, limit.resource).and_then(|limit| limit.users_max),
            event_stream_users: of(event_stream, limit.resource).and_then(|limit| limit.users_max),
            tls_users: of(tls, limit.resource).and_then(|limit| limit.users_max),
            lift: limit.lift.clone(),
            needed: users.map(|_| limit.needed),
        })
        .collect();
    let kinds = Kind::ALL.iter().zip(&fits);
    Examination {
        schema: DOCTOR_SCHEMA,
        kinds: kinds.map(|(kind, fit)| examined(*kind, fit, &machine)).collect(),
        doubts: doubts(&machine, &self_checks),
        fits: users.map(|_| http.refusing().next().is_none()),
        limits,
        machine,
        self_checks,
        users,
    }
}

fn of(fit: &Fit, resource: Resource) -> Option<&Limit> {
    fit.limits.iter().find(|limit| limit.resource == resource)
}

fn examined(kind: Kind, at_zero: &Fit, machine: &Machine) -> ExaminedKind {
    let first = at_zero.limits.first().filter(|limit| limit.users_max.is_some());
    let users_max = first.and_then(|limit| limit.users_max);
    let filled = fit(&crowd(kind, users_max.unwrap_or(0)), machine, Agents::Auto);
    ExaminedKind { kind, users_max, first_wall: first.map(|limit| limit.resource), agents: filled.agents }
}

/// Users of one kind against one address of a target on another machine, from one address of this one.
fn crowd(kind: Kind, users: u64) -> Needs {
    let only = |one: Kind| f64::from(u8::from(kind == one));
    let (websockets, event_streams) = (only(Kind::Websocket), only(Kind::EventStream));
    Needs {
        users,
        users_bound: users,
        users_active_bound: users,
        requests_per_s_max: None,
        per_user: PerUser {
            http_connections: 1.0 - websockets - event_streams,
            http2_connections: 0.0,
            websockets,
            event_streams,
            tls_connections: only(Kind::Tls),
            requests_per_s: 1.0 / SECONDS_BETWEEN_REQUESTS,
            connections_closed_per_s: 0.0,
        },
        open_parts: 0,
        shards_max: None,
        endpoints: 1,
        connections_closed_per_s_max: None,
        destinations: vec![Destination {
            name: "a target elsewhere".to_owned(),
            loopback: false,
            sources: 1,
            peers: 1,
            connections_per_user: 1.0,
            closes: false,
        }],
        target_is_here: false,
        target_processes: None,
        assumptions: Vec::new(),
    }
}

fn doubts(machine: &Machine, checks: &SelfChecks) -> Vec<String> {
    let mut doubts = Vec::new();
    if checks.wake_error.p99_us > WAKE_P99_US_MAX {
        doubts.push(format!(
            "a sleep of 1 ms ends {:.1} ms late at p99: the machine is busy, or a shared one; arrivals will be as late",
            checks.wake_error.p99_us / 1e3
        ));
    }
    if let Some(source) = machine.clock_source.as_deref()
        && matches!(source, "hpet" | "acpi_pm" | "jiffies" | "refined-jiffies")
    {
        doubts.push(format!(
            "the clock source is {source}: reading the time costs a call into the kernel or more, twice a request"
        ));
    }
    if let Some(governor) = machine.cpu_governor.as_deref().filter(|governor| *governor == "powersave") {
        doubts.push(format!("the CPU governor is {governor}: cpupower frequency-set -g performance"));
    }
    if !checks.loopback_sources {
        doubts.push(
            "127.0.0.2 cannot be sent from: a target on this machine has the ports of one address only"
                .to_owned(),
        );
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::fit::tests::machine;

    #[test]
    fn the_first_wall_is_the_lowest_and_so_many_users_fit() {
        let known = |users| examine(machine(), SelfChecks::default(), Some(users));
        let wall = &known(1).kinds[0];
        assert_eq!((wall.users_max, wall.first_wall, wall.agents), (Some(26_820), Some(Resource::Ports), 2));
        assert_eq!((known(26_820).fits, known(26_821).fits), (Some(true), Some(false)));
    }

    #[test]
    fn sockets_and_encryption_take_more_memory() {
        let examination = examine(machine(), SelfChecks::default(), None);
        let memory = examination.limits.iter().find(|limit| limit.resource == Resource::MemoryBytes);
        let memory = memory.expect("the machine tells of it");
        assert!(memory.http_users > memory.websocket_users && memory.websocket_users > memory.tls_users);
    }

    #[test]
    fn a_machine_that_tells_nothing_has_no_wall() {
        let examination = examine(Machine::default(), SelfChecks::default(), None);
        assert_eq!((examination.kinds[0].first_wall, examination.limits.len()), (None, 0));
    }
}
