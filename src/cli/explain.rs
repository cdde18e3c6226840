//! `plimsoll explain`: what a scenario will do, drawn before it does it.

use super::args::PreviewArgs;
use super::chart::{chart, number, time};
use super::{Process, exit, load};
use crate::preflight::fit::{Fit, Limit, grouped};
use crate::preflight::{self, Explanation, Machine, Spread};

pub(super) fn explain(process: &mut Process<'_>, args: &PreviewArgs) -> u8 {
    let PreviewArgs { inspect, agents, shards } = args;
    let plan = match load::plan(process, &inspect.scenario) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let machine = Machine::read();
    let spread = Spread { agents: agents.unwrap_or(plan.swarm.agents), shards: *shards };
    let held = preflight::preflight(&plan, &machine, spread);
    let explanation = preflight::explain(&plan, &machine, &held);
    let printed =
        if inspect.json { process.print_json(&explanation) } else { process.print(&text(&explanation)) };
    if printed == exit::OK && explanation.refusal.is_some() { exit::USAGE } else { printed }
}

fn text(explanation: &Explanation) -> String {
    let mut out =
        format!("{} against {}, seed {}\n\n", explanation.scenario, explanation.target, explanation.seed);
    for unit in ["users", "iterations/s"] {
        let drawn = chart(&explanation.parts, unit);
        if !drawn.is_empty() {
            out.push_str(&drawn);
            out.push('\n');
        }
    }
    parts(&mut out, explanation);
    endpoints(&mut out, explanation);
    thresholds(&mut out, explanation);
    machine(&mut out, explanation);
    for assumption in &explanation.needs.assumptions {
        out.push_str(&format!("assumed      {assumption}\n"));
    }
    if let Some(refusal) = &explanation.refusal {
        out.push_str(&format!("\nREFUSED here: {refusal}\n"));
    }
    out
}

fn parts(out: &mut String, explanation: &Explanation) {
    for part in &explanation.parts {
        let lasts = part.duration_s.map_or_else(
            || "for as long as the search takes".to_owned(),
            |duration_s| format!("for {}", time(duration_s)),
        );
        let peak = format!("up to {} {}", number(part.peak), part.unit);
        out.push_str(&format!("{:<12} {}, {peak}, {lasts}", part.name, part.executor));
        if part.start_s > 0.0 {
            out.push_str(&format!(", from {} on", time(part.start_s)));
        }
        out.push('\n');
        let mix: Vec<String> = part
            .journeys
            .iter()
            .map(|journey| format!("{} {:.0} %", journey.name, journey.share_ratio * 100.0))
            .collect();
        let iterations = part
            .iterations
            .map_or_else(String::new, |count| format!("; {} iterations", number(count.round())));
        out.push_str(&format!(
            "{:13}{}; an iteration takes about {} ({} of it without a request) for {} {}{iterations}\n",
            "",
            mix.join(", "),
            time(part.iteration_s),
            time(part.think_s),
            number(part.requests_per_iteration),
            if part.requests_per_iteration == 1.0 { "request" } else { "requests" },
        ));
        if let Some(slots) = part.in_flight_max {
            out.push_str(&format!("{:13}at most {} in flight\n", "", grouped(u64::from(slots))));
        }
        if part.executor == "breakpoint" {
            out.push_str(&format!(
                "{:13}drawn as if every level were good; it turns back at the first bad one\n",
                ""
            ));
        }
    }
}

fn endpoints(out: &mut String, explanation: &Explanation) {
    if let (Some(iterations), Some(requests), Some(duration_s)) =
        (explanation.iterations, explanation.requests, explanation.duration_s)
    {
        out.push_str(&format!(
            "expected     {} iterations and {} requests in {}\n",
            number(iterations.round()),
            number(requests.round()),
            time(duration_s)
        ));
    }
    let width = explanation.endpoints.iter().map(|endpoint| endpoint.name.chars().count()).max().unwrap_or(0);
    for endpoint in &explanation.endpoints {
        let requests = endpoint.requests.map_or_else(String::new, |requests| number(requests.round()));
        out.push_str(&format!(
            "{:13}{:<width$}  {:>5.1} %  {requests:>10}  {}\n",
            "",
            endpoint.name,
            endpoint.share_ratio * 100.0,
            endpoint.route
        ));
    }
}

fn thresholds(out: &mut String, explanation: &Explanation) {
    for threshold in &explanation.thresholds {
        let samples = match threshold.samples {
            Some(samples) if !threshold.evaluable => format!(
                "TOO FEW SAMPLES: about {}, it needs {}; not evaluated, so not passed",
                number(samples.round()),
                grouped(threshold.samples_needed)
            ),
            Some(samples) => format!("about {} samples", number(samples.round())),
            None => String::new(),
        };
        out.push_str(format!("threshold    {:<34} {samples}", threshold.text).trim_end());
        out.push('\n');
    }
}

fn machine(out: &mut String, explanation: &Explanation) {
    let (needs, fit) = (&explanation.needs, &explanation.fit);
    let users = if needs.users_bound > needs.users {
        format!("{} users at once, up to {}", grouped(needs.users), grouped(needs.users_bound))
    } else {
        format!("{} users at once", grouped(needs.users))
    };
    let (agents, sources) = (fit.agents, fit.source_addresses);
    let plural = |count: u32, word: &str, more: &str| {
        if count == 1 { format!("1 {word}") } else { format!("{count} {word}{more}") }
    };
    out.push_str(&format!(
        "\nthis machine {users}: {} sockets, {}, {}\n",
        grouped(needs.sockets(needs.users_bound)),
        plural(agents, "agent process", "es"),
        plural(sources, "source address", "es"),
    ));
    ladder(out, fit);
}

/// The limits from the one that bites first.
fn ladder(out: &mut String, fit: &Fit) {
    out.push_str(&format!(
        "{:13}{:<26} {:>10} {:>10} {:>13}  lifted by\n",
        "", "limit", "needed", "there", "users at most"
    ));
    for limit in &fit.limits {
        let mark = match (limit.fits(), limit.fits_bound()) {
            (true, true) => "",
            (true, false) => "  (may be reached)",
            (false, _) => "  DOES NOT FIT",
        };
        out.push_str(&format!("{:13}{}{mark}\n", "", row(limit)));
    }
}

fn row(limit: &Limit) -> String {
    let resource = limit.resource;
    format!(
        "{:<26} {:>10} {:>10} {:>13}  {}",
        resource.name(),
        resource.show(limit.needed_bound),
        resource.show(limit.available),
        limit.users_max.map_or_else(|| "any".to_owned(), grouped),
        limit.lift
    )
}

#[cfg(test)]
mod tests;
