//! What a request and an idle user may cost: the gate of CI, which fails past it. Instructions are counted, so no neighbor on the machine changes
//! them, nor what a user holds in memory; CPU time is held against the floor's in the same run, with slack for a machine that others use.

use super::children::{self, Server};
use super::measure;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The engine's CPU time for a request by the floor's. On a quiet machine it is 1.15.
const FLOOR_RATIO_MAX: f64 = 1.45;
const ROUNDS: usize = 5;

/// Instructions of user space for a request of the engine: what they are with the pinned compiler and a twentieth more. Whoever has made them
/// fewer lowers the bound.
const STEPS: [(&str, &str, f64); 2] = [("literal", "serve", 3_900.0), ("rich", "serve-items", 75_000.0)];

/// Memory of an idle user, its connection included: the budgets of docs/performance.md, in bytes.
const IDLE: [(&str, f64); 4] =
    [("http", 4_400.0), ("shop", 4_400.0), ("websocket", 10_000.0), ("tls", 30_000.0)];

pub(crate) fn run() -> Outcome<()> {
    let mut exceeded = Vec::new();
    let mut judge = |what: String, found: f64, most: f64| {
        println!("{what}: {found:.2}, at most {most}");
        if found > most {
            exceeded.push(what);
        }
    };
    judge("CPU time of a request, engine / floor".into(), ratio_to_floor()?, FLOOR_RATIO_MAX);
    for (step, serve, most) in STEPS {
        match instructions(step, serve)? {
            Some(found) => judge(format!("instructions of a request, {step} step"), found, most),
            None => println!(
                "instructions of a request: SKIPPED: valgrind is not there (apt-get install valgrind)"
            ),
        }
    }
    for (what, serve, kind) in super::IDLE_KINDS {
        if let Some((_, most)) = IDLE.iter().find(|(known, _)| *known == kind) {
            let found = super::idle_user_bytes(serve, kind)?;
            judge(format!("bytes of an idle user, {what}"), found, *most);
        }
    }
    if exceeded.is_empty() {
        Ok(())
    } else {
        Err(format!("more than it may be: {}", exceeded.join("; ")).into())
    }
}

/// The median over rounds that each measure the one and then the other. A median past the bound is looked at again, over twice as many.
fn ratio_to_floor() -> Outcome<f64> {
    let server = Server::own("serve")?;
    let mut ratios: Vec<f64> = Vec::new();
    for round in 0..2 * ROUNDS {
        if round == ROUNDS && middle(&mut ratios) <= FLOOR_RATIO_MAX {
            break;
        }
        let floor = measure("floor", &server.addr)?;
        let engine = measure("engine", &server.addr)?;
        ratios.push(engine.cpu_us_per_request / floor.cpu_us_per_request);
    }
    Ok(middle(&mut ratios))
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Of as many users for as long, those who ask all the time less those who ask once: what a start and a second cost is in both.
fn instructions(step: &str, serve: &str) -> Outcome<Option<f64>> {
    let server = Server::own(serve)?;
    let Some(busy) = children::instructions(&["engine", step, &server.addr])? else { return Ok(None) };
    let Some(once) = children::instructions(&["engine", &format!("{step}-once"), &server.addr])? else {
        return Ok(None);
    };
    Ok(Some((busy.instructions - once.instructions) / (busy.requests - once.requests)))
}
