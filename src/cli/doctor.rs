//! `plimsoll doctor`: what this machine can carry, and what to do about the first wall.

use super::args::DoctorArgs;
use super::{Process, exit};
use crate::preflight::examine::{Kind, SECONDS_BETWEEN_REQUESTS, SelfChecks};
use crate::preflight::fit::grouped;
use crate::preflight::{Examination, Machine, examine};

pub(super) fn doctor(process: &mut Process<'_>, args: &DoctorArgs) -> u8 {
    let examination = examine(Machine::read(), SelfChecks::run(), args.users);
    let printed =
        if args.json { process.print_json(&examination) } else { process.print(&text(&examination)) };
    if printed == exit::OK && examination.fits == Some(false) { exit::FAILED } else { printed }
}

fn text(examination: &Examination) -> String {
    let at_most = |users: Option<u64>| users.map_or_else(|| "any".to_owned(), grouped);
    let mut out = format!(
        "{:<26} {:>12} {:>12} {:>12} {:>12} {:>12}  raised by\n",
        "limit", "there", "HTTP users", "WS users", "SSE users", "TLS users"
    );
    for limit in &examination.limits {
        out.push_str(&format!(
            "{:<26} {:>12} {:>12} {:>12} {:>12} {:>12}  {}\n",
            limit.resource.name(),
            limit.resource.show(limit.available),
            at_most(limit.http_users),
            at_most(limit.websocket_users),
            at_most(limit.event_stream_users),
            at_most(limit.tls_users),
            limit.lift
        ));
    }
    out.push('\n');
    for kind in &examination.kinds {
        let name = match kind.kind {
            Kind::Http => "HTTP",
            Kind::Websocket => "WebSocket",
            Kind::EventStream => "SSE",
            Kind::Tls => "TLS",
        };
        let processes =
            if kind.agents == 1 { "1 process".to_owned() } else { format!("{} processes", kind.agents) };
        match kind.first_wall {
            Some(wall) => out.push_str(&format!(
                "{name:<10} up to {} users in {processes}; the first wall is {}\n",
                at_most(kind.users_max),
                wall.name()
            )),
            None => out.push_str(&format!("{name:<10} no limit is known\n")),
        }
    }
    if let (Some(users), Some(fits)) = (examination.users, examination.fits) {
        out.push_str(&format!(
            "\n{} HTTP users: {}\n",
            grouped(users),
            if fits { "they fit" } else { "they DO NOT FIT" }
        ));
        for limit in &examination.limits {
            if let Some(needed) = limit.needed.filter(|needed| *needed > limit.available) {
                let resource = limit.resource;
                let (needed, there) = (resource.show(needed), resource.show(limit.available));
                out.push_str(&format!(
                    "  {}: {needed} needed, {there} there: {}\n",
                    resource.name(),
                    limit.lift
                ));
            }
        }
    }
    checks(&mut out, examination);
    out.push_str(&format!(
        "\nCounted for users who send a request every {SECONDS_BETWEEN_REQUESTS:.0} s from one address of this machine to one address of a target\n\
         elsewhere; a target on this machine can be reached from many addresses. `plimsoll explain SCENARIO` counts for a scenario.\n"
    ));
    out
}

fn checks(out: &mut String, examination: &Examination) {
    let checks = &examination.self_checks;
    let machine = &examination.machine;
    let wake = &checks.wake_error;
    out.push_str(&format!(
        "\ntimer      a sleep of 1 ms ends {:.0} µs late at p50, {:.0} µs at p99, {:.0} µs at most ({} sleeps)",
        wake.p50_us, wake.p99_us, wake.max_us, wake.sleeps
    ));
    if let Some(slack_ns) = machine.timer_slack_ns {
        out.push_str(&format!("; timer slack {} µs", slack_ns / 1000));
    }
    let source = machine.clock_source.as_deref().unwrap_or("unknown");
    out.push_str(&format!("\nclock      {source}\n"));
    let usable = if checks.loopback_sources { "usable" } else { "not usable" };
    out.push_str(&format!("loopback   127.0.0.2 is {usable} as an address to send from\n"));
    if let Some(governor) = &machine.cpu_governor {
        out.push_str(&format!("governor   {governor}\n"));
    }
    for doubt in &examination.doubts {
        out.push_str(&format!("doubt      {doubt}\n"));
    }
}

#[cfg(test)]
mod tests;
