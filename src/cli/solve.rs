//! `plimsoll solve`: what a queueing model says, by formulas or by simulation. The format and the methods are in docs/solve.md.

use super::args::SolveArgs;
use super::{Process, exit, input};
use crate::queueing::answer::{Answer, Answers, Method};
use crate::queueing::model::{Fault, Load, Network, read::read};
use crate::queueing::simulate::{Options, simulate};
use crate::queueing::solve as solve_model;
use crate::report::numbers::{NO_NUMBER, count, counted, ms, quantity};
use crate::seed::{Purpose, stream};

/// A model of a hundred stations and pools is a few KB.
const MODEL_BYTES_MAX: u64 = 4 * 1024 * 1024;

pub(super) fn solve(process: &mut Process<'_>, args: &SolveArgs) -> u8 {
    let name = input::name(&args.model);
    let read = input::read(&args.model, MODEL_BYTES_MAX);
    let text = match read.and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other)) {
        Ok(text) => text,
        Err(error) => {
            process.complain(&format!("plimsoll: cannot read {name}: {error}"));
            return exit::USAGE;
        }
    };
    let answers = match answers(&text, args.simulate, args.seed) {
        Ok(answers) => answers,
        Err(faults) => {
            for fault in faults {
                process.complain(&format!("plimsoll: {name}: {fault}"));
            }
            return exit::USAGE;
        }
    };
    if args.json { process.print_json(&answers) } else { process.print(&shown(answers.all())) }
}

fn answers(text: &str, requests: Option<u64>, seed: u64) -> Result<Answers, Vec<Fault>> {
    let network = read(text)?;
    let all = match requests {
        None => solve_model(&network)?,
        Some(requests) => simulated(&network, requests, seed)?,
    };
    Ok(Answers::to(&network, all))
}

fn simulated(network: &Network, requests: u64, seed: u64) -> Result<Vec<Answer>, Vec<Fault>> {
    let options = Options::of(network, requests);
    let run = |users: Option<u64>| {
        // Each number of users has a stream of its own, so that it says the same alone and in a list.
        let mut rng = stream(seed, Purpose::User, 0, users.unwrap_or(0));
        simulate(network, users, &options, seed, &mut rng)
    };
    match &network.load {
        Load::Closed { users, .. } => Ok(users.all().iter().map(|users| run(Some(*users))).collect()),
        Load::Open { .. } => Ok(vec![run(None)]),
        Load::Classes(_) => Err(vec![Fault {
            path: "classes".to_owned(),
            what: "several classes are not simulated".to_owned(),
            remedy: "leave --simulate out, or simulate one class (users)".to_owned(),
        }]),
    }
}

fn shown(answers: &[Answer]) -> String {
    let blocks: Vec<String> = answers.iter().map(block).collect();
    blocks.join("\n")
}

fn block(answer: &Answer) -> String {
    let load = match (answer.users, answer.rate_per_s) {
        (Some(users), _) => counted(users, "user"),
        (None, rate) => format!("{} arrivals/s", number(rate)),
    };
    let method = match answer.method {
        Method::Exact => "exact",
        Method::Decomposition => "approximate: decomposition",
        Method::Schweitzer => "approximate: Schweitzer",
        Method::Simulated => "simulated",
    };
    let mut out = match answer.throughput_per_s {
        Some(throughput) => {
            format!(
                "{load}: {} requests/s, mean response {} ({method})\n",
                quantity(throughput),
                time(answer.response_s)
            )
        }
        None => format!("{load}: UNSTABLE, a queue grows without end\n"),
    };
    if answer.simulation.is_some() && answer.stability.as_ref().is_some_and(|stability| !stability.stable) {
        out.push_str("UNSTABLE, a queue grows without end: these are the means of as many requests as were simulated, and of no more\n");
    }
    if let Some(stability) = &answer.stability
        && let (Some(from), Some(name)) = (stability.unstable_from_per_s, &stability.limited_by)
    {
        out.push_str(&format!("unstable from {} arrivals/s on, at {name}\n", quantity(from)));
    }
    if let Some(simulation) = &answer.simulation {
        out.push_str(&format!(
            "p50 {}, p90 {}, p99 {}; means within ±{} requests/s and ±{} (95 %); {} requests, seed {}\n",
            time(simulation.response_p50_s),
            time(simulation.response_p90_s),
            time(simulation.response_p99_s),
            quantity(simulation.throughput_half_width_per_s),
            time(simulation.response_half_width_s),
            count(simulation.requests),
            simulation.seed
        ));
    }
    out.push_str(&format!("\n{:<20} {:>12} {:>14}\n", "station", "utilization", "requests there"));
    for station in &answer.stations {
        let name = &station.name;
        out.push_str(&format!(
            "{name:<20} {:>12} {:>14}\n",
            share(station.utilization),
            number(station.queue)
        ));
    }
    pools(&mut out, answer);
    classes(&mut out, answer);
    out
}

fn pools(out: &mut String, answer: &Answer) {
    let bounded = answer.pools.iter().any(|pool| pool.rejected_ratio.is_some());
    if !answer.pools.is_empty() {
        out.push_str(&format!(
            "\n{:<20} {:>12} {:>14} {:>12} {:>12}",
            "pool", "slots busy", "waiting", "all busy", "timeouts"
        ));
        out.push_str(&if bounded { format!(" {:>12}\n", "turned away") } else { "\n".to_owned() });
    }
    for pool in &answer.pools {
        out.push_str(&format!(
            "{:<20} {:>12} {:>14} {:>12} {:>12}",
            pool.name,
            number(pool.busy),
            number(pool.waiting),
            share(pool.p_all_busy),
            share(pool.timeout_ratio)
        ));
        out.push_str(&if bounded {
            format!(" {:>12}\n", share(pool.rejected_ratio))
        } else {
            "\n".to_owned()
        });
    }
    for pool in &answer.pools {
        let Some(retries) = pool.retries else { continue };
        let name = &pool.name;
        out.push_str(&format!(
            "\n{name}: {} attempts/s with those that are sent again",
            quantity(retries.attempts_per_s)
        ));
        if let Some(stuck) = retries.stuck_attempts_per_s {
            out.push_str(&format!("; after a burst {} attempts/s may go on for ever", quantity(stuck)));
        }
        out.push('\n');
        if let Some(metastable) = retries.metastable {
            out.push_str(&format!(
                "{name}: METASTABLE from {} requests/s on, and lost from {} on: between these a burst can push it over\n",
                quantity(metastable.above_per_s),
                quantity(metastable.lost_per_s)
            ));
        }
    }
}

fn classes(out: &mut String, answer: &Answer) {
    let Some(classes) = &answer.classes else { return };
    out.push_str(&format!("\n{:<20} {:>12} {:>14}\n", "class", "requests/s", "mean response"));
    for class in classes {
        let response = time(Some(class.response_s));
        out.push_str(&format!(
            "{:<20} {:>12} {response:>14}\n",
            class.name,
            quantity(class.throughput_per_s)
        ));
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| NO_NUMBER.to_owned(), quantity)
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| NO_NUMBER.to_owned(), |seconds| ms(seconds * 1e3))
}

fn share(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| NO_NUMBER.to_owned(), |ratio| format!("{} %", quantity(ratio * 100.0)))
}

#[cfg(test)]
mod tests;
