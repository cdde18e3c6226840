//! What the engine reports, against the truth: a server that logs each request itself. Coordinated omission with a server that stands
//! still for 300 ms of every 1.5 s, service times that spread, and arrivals against their plan.
//!
//! Bounds are those promised, and 10 ms for a machine that is busy with other tests. `cargo bench --bench accuracy` prints how close it
//! really is.

mod truth;

use plimsoll::measure::histogram::Histogram;
use std::time::Duration;
use truth::carried::{Carried, carry, carry_sampling, paced_response};
use truth::server::{Entry, Freeze, Server};
use truth::{quantile, sorted};

const TAIL: [f64; 3] = [0.95, 0.99, 0.999];
const SLACK_NS: u64 = 10_000_000;

fn stalling() -> Server {
    let freeze = Freeze { every: Duration::from_millis(1500), lasting: Duration::from_millis(300) };
    Server::start(|_| Duration::from_micros(1500), Some(freeze))
}

fn agrees(what: &str, told: &Histogram, truth: &[u64]) {
    assert_eq!(told.count(), truth.len() as u64, "{what}");
    for q in TAIL {
        let (told_ns, true_ns) = (told.quantile_ns(q), quantile(truth, q));
        let off_ns = told_ns.abs_diff(true_ns);
        assert!(
            off_ns <= true_ns * 3 / 100 + SLACK_NS,
            "{what} at {q}: {:.2} ms told, {:.2} ms true",
            told_ns as f64 / 1e6,
            true_ns as f64 / 1e6
        );
    }
}

fn nothing_is_dropped(carried: &Carried, log: &[Entry]) {
    let counts = carried.sum.counts;
    assert_eq!((counts.planned, counts.dropped), (counts.completed, 0), "{counts:?}");
    assert_eq!(counts.planned, log.len() as u64);
}

const OPEN: &str = "executor: open, stages: [{to: 200/s, over: 0s}, {hold: 9s}], graceful_stop: 3s";

#[test]
fn an_open_load_is_charged_with_the_stall_on_both_clocks() {
    let server = stalling();
    let carried = carry(server.addr, "", &format!("{OPEN}, max_in_flight: 1k"));
    let log = server.take_log();
    nothing_is_dropped(&carried, &log);
    let response = carried.open_response(&log);
    assert!(quantile(&response, 0.99) > 250_000_000, "a fifth of the arrivals met the stall");
    agrees("response", &carried.response(), &response);
    // With a connection for each arrival the server has every request at once, so service time shows the stall too.
    agrees("service", &carried.service(), &sorted(log.iter().map(Entry::held_ns)));
}

#[test]
fn an_open_load_in_few_slots_runs_late_rather_than_never() {
    let server = stalling();
    let carried = carry(server.addr, "", &format!("{OPEN}, max_in_flight: 4, late: queue"));
    let log = server.take_log();
    nothing_is_dropped(&carried, &log);
    let response = carried.open_response(&log);
    agrees("response", &carried.response(), &response);
    let service = sorted(log.iter().map(Entry::held_ns));
    agrees("service", &carried.service(), &service);
    // What few slots hide from the service time, the response time has.
    assert!(quantile(&service, 0.95) < 50_000_000 && quantile(&response, 0.95) > 150_000_000);
    let lag_ms = carried.sum.dispatch_lag.quantile_ns(0.99) / 1_000_000;
    assert!(lag_ms < 100, "waiting for a slot is the target's doing, not the generator's: {lag_ms} ms");
}

#[test]
fn paced_users_are_charged_from_their_beat() {
    let server = stalling();
    // A hundred users each half a second, spread over it by the ramp: 200 a second, and none misses a whole beat in a stall.
    let load = "executor: closed, stages: [{to: 100, over: 500ms}, {hold: 9s}], graceful_stop: 3s";
    let carried = carry(server.addr, ", pacing: {every: 500ms}", load);
    let log = server.take_log();
    nothing_is_dropped(&carried, &log);
    let response = paced_response(&log, 500_000_000);
    assert!(quantile(&response, 0.99) > 250_000_000, "the stall was met");
    agrees("response", &carried.response(), &response);
    agrees("service", &carried.service(), &sorted(log.iter().map(Entry::held_ns)));
    assert!(
        carried.sum.dispatch_lag.count() > 1_000,
        "the lateness of beats is watched like that of arrivals"
    );
}

#[test]
fn service_times_are_those_of_the_log() {
    // Exponential with a mean of 20 ms, by the inverse of its distribution.
    let server = Server::start(
        |n| Duration::from_secs_f64(-0.020 * (1.0 - (n as f64 * 0.618_033_988_75).fract()).ln()),
        None,
    );
    let carried = carry_sampling(1, server.addr, "", &format!("{OPEN}, max_in_flight: 1k"));
    let log = server.take_log();
    nothing_is_dropped(&carried, &log);
    let (told, truth) = (carried.service(), sorted(log.iter().map(Entry::held_ns)));
    for q in [0.5, 0.99, 0.999] {
        let (told_ns, true_ns) = (told.quantile_ns(q), quantile(&truth, q));
        let allowed_ns = true_ns / 100 + carried.sum.read_error.quantile_ns(q) + SLACK_NS;
        assert!(told_ns.abs_diff(true_ns) <= allowed_ns, "{q}: {told_ns} ns told, {true_ns} ns true");
        assert!(
            told_ns + told_ns / 500 >= true_ns,
            "no answer is had before it was sent: {told_ns}, {true_ns}"
        );
    }
    let sampled = carried.sum.read_error.count();
    assert_eq!(sampled + 1, log.len() as u64, "all but the first are sampled");
}

#[test]
fn over_any_ten_seconds_as_many_arrive_as_were_planned() {
    const PER_S: u64 = 500;
    let (load, length) = (Duration::from_secs(12), Duration::from_secs(10));
    let server = Server::start(|_| Duration::ZERO, None);
    // What else runs here holds up bare timer loops as well: what was planned meanwhile may be late.
    let control = std::thread::spawn(move || {
        truth::bare::stalls(load + Duration::from_secs(1), Duration::from_millis(2))
    });
    let stages = format!("stages: [{{to: {PER_S}/s, over: 0s}}, {{hold: 12s}}]");
    let carried =
        carry(server.addr, "", &format!("executor: open, {stages}, graceful_stop: 3s, max_in_flight: 1k"));
    let stalls = control.join().expect("no panic").expect("a timer");
    let log = server.take_log();
    nothing_is_dropped(&carried, &log);
    let allowed = (PER_S * length.as_secs() / 1_000).max(1) + PER_S * SLACK_NS / 1_000_000_000;
    let spans = carried.spans(&log, load, length, &stalls);
    assert_eq!(spans.len(), 21);
    for span in spans {
        assert!(span.off <= allowed + span.held_up, "{span:?}, allowed {allowed} and what was held up");
    }
}
