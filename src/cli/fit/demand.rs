//! `plimsoll fit demand`: the service demands of a run.

use super::super::args::DemandArgs;
use super::super::report::{RenderError, complain};
use super::{Process, line, warnings};
use crate::analyze::demand::{ClassDemand, DemandAt, ResourceDemand, ServiceDemands, service_demands};
use crate::record::recorded::Recorded;
use crate::report::numbers::{about, coefficient, counted, quantity};
use crate::report::plain;

/// Endpoints of one class that are named; the document has them all.
const NAMES_MAX: usize = 4;

pub(super) fn demand(process: &mut Process<'_>, args: &DemandArgs) -> u8 {
    let found = match Recorded::open(&args.run) {
        Ok(recorded) => service_demands(&recorded),
        Err(error) => return complain(process, &RenderError::from(error)),
    };
    if args.json { process.print_json(&found) } else { process.print(&shown(&found)) }
}

fn shown(found: &ServiceDemands) -> String {
    let mut out = String::new();
    let windows = counted(found.windows as u64, "window");
    let mut text = format!("{} used of {windows} of {} s", found.windows_used, quantity(found.window_s));
    for (place, left_out) in found.left_out.iter().enumerate() {
        let before = if place == 0 { "; left out:" } else { "," };
        text.push_str(&format!("{before} {} with {}", left_out.windows, plain::name(&left_out.reason)));
    }
    line(&mut out, "windows", &text);
    for resource in &found.resources {
        self::resource(&mut out, resource);
    }
    for unfitted in &found.unfitted {
        out.push('\n');
        let held = unfitted
            .per_user
            .map_or_else(String::new, |per_user| format!(": {} a user", coefficient(per_user)));
        line(
            &mut out,
            &format!("{} ", plain::name(&unfitted.resource)),
            &format!("no demand: {}{held}", unfitted.reason),
        );
    }
    if !found.warnings.is_empty() {
        out.push('\n');
    }
    warnings(&mut out, &found.warnings);
    out
}

fn resource(out: &mut String, found: &ResourceDemand) {
    let limit = found.limit.map_or_else(String::new, |limit| format!(" of {}", quantity(limit)));
    let from = counted(found.windows_used as u64, "window");
    out.push_str(&format!("\n{} ({}{limit}), from {from}\n", plain::name(&found.resource), found.kind));
    for class in &found.demands {
        line(out, "  demand", &demand_of(class));
    }
    match (found.background, found.background_ci95) {
        (Some(value), Some([low, high])) => line(
            out,
            "  background",
            &format!(
                "{} in use without requests   95 % [{} .. {}]",
                coefficient(value),
                coefficient(low),
                coefficient(high)
            ),
        ),
        _ => line(out, "  background", "unknown: the load hardly varied"),
    }
    if let Some(visits) = found.visits_per_request {
        let held = found.hold_ms.map_or_else(String::new, |held| {
            format!(", each held {} ms by its own clock", coefficient(held))
        });
        line(out, "  visits", &format!("{} a request{held}", coefficient(visits)));
    }
    if let Some(drift) = found.drift {
        let moved = if drift.moved { "it moves" } else { "the same" };
        let text = format!(
            "{} ms under the lower half of the loads, {} ms under the higher: {moved}",
            coefficient(drift.lower_ms),
            coefficient(drift.upper_ms)
        );
        line(out, "  drift", &text);
    }
    if let Some(curve) = &found.curve {
        let at = |point: &DemandAt| {
            format!("{} ms at {}/s", coefficient(point.demand_ms), about(point.rate_per_s))
        };
        line(out, "  curve", &curve.iter().map(at).collect::<Vec<_>>().join(", "));
    }
    if let (Some(rate), Some(evidence), Some(factor)) =
        (found.fills_at_per_s, &found.evidence, found.extrapolated)
    {
        let far = if factor > 1.0 { format!(" {}x", about(factor)) } else { String::new() };
        line(out, "  full", &format!("at about {} requests/s ({evidence}{far})", about(rate)));
    }
}

fn demand_of(class: &ClassDemand) -> String {
    let [low, high] = class.ci95_ms.map(coefficient);
    let mut names: Vec<String> =
        class.endpoints.iter().take(NAMES_MAX).map(|name| plain::name(name)).collect();
    if class.endpoints.len() > NAMES_MAX {
        names.push(format!("{} more", class.endpoints.len() - NAMES_MAX));
    }
    format!("{} ms a request of {}   95 % [{low} .. {high}]", coefficient(class.demand_ms), names.join(" + "))
}
