//! What a request costs the generator, in CPU time, beside the floor (bare epoll, nothing parsed) and `wrk`, against the same server
//! in the same run; and what an idle user costs in memory. Printed, not asserted, but for `gate`: `cargo bench --bench cost_per_request`.
//!
//! The generator is pinned to one core and the server to another, rounds are interleaved, and medians are compared. CPU time is the
//! figure that survives a machine shared with others; it is the kernel's account of each child, the same for all of them.
//! With arguments this program is one of those children.

#![allow(clippy::print_stdout, reason = "a bench prints what it found")]

mod children;
mod crowd;
mod engine;
mod floor;
mod gate;
mod idle;
mod ours;
mod server;

use children::{Server, cpu_of_children_ticks, nginx, run_pinned};
use std::time::Duration;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const IDLE_USERS: usize = 5_000;

/// One generator's result in one round.
#[derive(Clone, Copy)]
struct Cost {
    cpu_us_per_request: f64,
    requests_per_s: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["serve"] => server::http(server::RESPONSE),
        ["serve-items"] => server::http(&server::items()),
        ["serve-ws"] => server::websocket(),
        ["serve-tls"] => server::tls(),
        ["serve-h2"] => server::http2(),
        ["serve-sse"] => server::events(),
        ["floor", addr] => floor::run(addr.parse()?, CONNECTIONS, ROUND),
        ["floor-connect", addr, users] => crowd::connect(addr.parse()?, users.parse()?),
        ["floor-think", addr, users, seconds] => {
            crowd::think(addr.parse()?, users.parse()?, Duration::from_secs(seconds.parse()?))
        }
        ["ours", addr] => ours::run(addr.parse()?, CONNECTIONS, ROUND),
        ["engine", addr] => engine::run(addr.parse()?, "literal", CONNECTIONS, ROUND),
        ["engine", step, addr] => engine::run(addr.parse()?, step, CONNECTIONS, ROUND),
        ["gate"] => gate::run(),
        ["idle-user", kind, addr, users] => engine::idle(kind, addr.parse()?, users.parse()?),
        ["idle"] => idle_users(),
        ["idle", addr, users] => idle::http(addr.parse()?, users.parse()?, false),
        ["idle-tls", addr, users] => idle::http(addr.parse()?, users.parse()?, true),
        ["idle-ws", addr, users] => idle::websocket(addr.parse()?, users.parse()?),
        [] => all(),
        _ => Err("arguments are for the children of this bench".into()),
    }
}

fn all() -> Result<(), Box<dyn std::error::Error>> {
    let own = Server::own("serve")?;
    compare("own epoll server", &own.addr)?;
    match nginx() {
        Ok(nginx) => compare("nginx", &nginx.addr)?,
        Err(error) => println!("nginx: SKIPPED: {error}"),
    }
    match children::system_calls(&own.addr) {
        Ok(calls) => println!("\nsystem calls of ours: {calls}"),
        Err(error) => println!("\nsystem calls of ours: SKIPPED: {error}"),
    }
    drop(own);
    idle_users()
}

/// Also by itself, as `cargo bench --bench cost_per_request -- idle`.
fn idle_users() -> Result<(), Box<dyn std::error::Error>> {
    println!("\nmemory of an idle connection (PSS of a process that has nothing else)");
    for (what, serve, hold) in [
        ("HTTP/1.1", "serve", "idle"),
        ("HTTP/1.1 over TLS", "serve-tls", "idle-tls"),
        ("WebSocket", "serve-ws", "idle-ws"),
    ] {
        let server = Server::own(serve)?;
        let bytes = run_pinned(&[hold, &server.addr, &IDLE_USERS.to_string()])?;
        println!("{what:<32}{:>8} bytes", bytes.trim());
    }
    println!("\nmemory of an idle user of the whole engine, its connection included, of {IDLE_USERS}");
    for (what, serve, kind) in IDLE_KINDS {
        println!("{what:<32}{:>8.0} bytes", idle_user_bytes(serve, kind)?);
    }
    Ok(())
}

/// What users do who are then idle, the server they do it with, and the name of that.
const IDLE_KINDS: [(&str, &str, &str); 7] = [
    ("HTTP/1.1", "serve", "http"),
    ("HTTP/1.1, a cookie, a variable", "serve-items", "shop"),
    ("HTTP/1.1 over TLS 1.3", "serve-tls", "tls"),
    ("HTTP/2", "serve-h2", "http2"),
    ("HTTP/2, connections shared", "serve-h2", "http2-shared"),
    ("WebSocket", "serve-ws", "websocket"),
    ("event stream", "serve-sse", "events"),
];

fn idle_user_bytes(serve: &str, kind: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let server = Server::own(serve)?;
    Ok(run_pinned(&["idle-user", kind, &server.addr, &IDLE_USERS.to_string()])?.trim().parse()?)
}

fn compare(subject: &str, addr: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut costs: Vec<(&str, Vec<Cost>)> =
        vec![("floor", vec![]), ("ours", vec![]), ("engine", vec![]), ("wrk", vec![])];
    for _ in 0..ROUNDS {
        for (name, results) in &mut costs {
            match measure(name, addr) {
                Ok(cost) => results.push(cost),
                Err(error) => println!("{name}: SKIPPED: {error}"),
            }
        }
    }
    let connections = CONNECTIONS;
    println!(
        "\n{subject}, {connections} connections, generator on one core, median of {ROUNDS} interleaved rounds"
    );
    println!("{:<8}{:>16}{:>14}{:>10}{:>10}", "", "CPU us/request", "requests/s", "/ floor", "/ wrk");
    let median_of = |name: &str| costs.iter().find(|(n, _)| *n == name).and_then(|(_, r)| median(r));
    let (floor, wrk) = (median_of("floor"), median_of("wrk"));
    for (name, results) in &costs {
        let Some(cost) = median(results) else { continue };
        let ratio = |to: Option<Cost>| {
            to.map_or_else(String::new, |to| {
                format!("{:.3}", cost.cpu_us_per_request / to.cpu_us_per_request)
            })
        };
        println!(
            "{name:<8}{:>16.2}{:>14.0}{:>10}{:>10}",
            cost.cpu_us_per_request,
            cost.requests_per_s,
            ratio(floor),
            ratio(wrk)
        );
    }
    Ok(())
}

fn median(costs: &[Cost]) -> Option<Cost> {
    let mut sorted = costs.to_vec();
    sorted.sort_by(|a, b| a.cpu_us_per_request.total_cmp(&b.cpu_us_per_request));
    sorted.get(sorted.len() / 2).copied()
}

fn measure(name: &str, addr: &str) -> Result<Cost, Box<dyn std::error::Error>> {
    let before = cpu_of_children_ticks()?;
    let requests = match name {
        "wrk" => children::wrk(addr, CONNECTIONS, ROUND)?,
        _ => run_pinned(&[name, addr])?.trim().parse()?,
    };
    let ticks = cpu_of_children_ticks()? - before;
    // The kernel's unit for these figures is 1/100 s on every machine of today: 0.3 % of a round.
    Ok(Cost {
        cpu_us_per_request: ticks as f64 * 10_000.0 / requests,
        requests_per_s: requests / ROUND.as_secs_f64(),
    })
}
