//! Single stations and laws.

use super::{Example, Row};
use plimsoll::queueing::erlang::{Waiting, bounded, erlang_a, erlang_b};
use plimsoll::queueing::laws::{
    Center, interactive_response_s, response_bound_s, saturation_users, throughput_bound_per_s,
    utilization_ratio,
};

pub(super) fn rows() -> Vec<Row> {
    [erlang_table(), octave_bounded(), call_center(), jain_timesharing()].into_iter().flatten().collect()
}

/// 12.03 erlangs on 20 trunks and 84.06 on 100 are blocked in 1 % of the calls.
fn erlang_table() -> Vec<Row> {
    let example = Example { name: "table of Erlang B", source: "Cooper 1981, and elsewhere" };
    vec![
        example.row("blocking of 12.03 erlangs on 20 trunks", "0.0100", erlang_b(20, 12.03)),
        example.row("blocking of 84.06 erlangs on 100 trunks", "0.0100", erlang_b(100, 84.06)),
    ]
}

fn octave_bounded() -> Vec<Row> {
    let example = Example { name: "M/M/m/K", source: "Octave `queueing`, qsmmmk.m" };
    let a = bounded(3, 7, 40.0, 1.0 / 30.0);
    let c = bounded(2, 5, 3.0, 0.5);
    vec![
        example.row("response time of M/M/3/7, s", "0.036517", a.jobs / (40.0 * (1.0 - a.p_lost))),
        example.row("loss of M/M/4/6", "0.293543", bounded(4, 6, 50.0, 0.1).p_lost),
        example.row("loss of M/M/2/5", "0.085113", c.p_lost),
        example.row("jobs in M/M/2/5", "2.00595", c.jobs),
        example.row("wait of M/M/2/5", "0.230857", c.wait_s),
    ]
}

/// 48 calls a minute of a minute each, 50 agents, a patience of two minutes.
fn call_center() -> Vec<Row> {
    let example = Example { name: "call center", source: "Mandelbaum and Zeltyn 2005" };
    let patient = erlang_a(50, 48.0, 1.0, 2.0).expect("an answer");
    let forever = Waiting::of(50, 48.0, 1.0).expect("stable");
    vec![
        example.row("share that leaves", "0.031", patient.p_lost),
        example.row("wait, s", "3.7", patient.wait_s * 60.0),
        example.row("wait without leaving (Erlang C), s", "20.8", forever.wait_s * 60.0),
    ]
}

/// 5 s of CPU, 80 visits of 50 ms to disk A and 100 of 30 ms to disk B, think time 18 s; disk A measured at 15.70 requests a second with 17 terminals.
fn jain_timesharing() -> Vec<Row> {
    let example = Example { name: "timesharing system", source: "Jain 1991, examples 33.2 to 33.7" };
    let centers = [5.0, 4.0, 3.0].map(|demand_s| Center { demand_s, servers: 1.0 });
    let throughput = 15.70 / 80.0;
    vec![
        example.row("utilization of the CPU", "0.98", utilization_ratio(throughput, centers[0])),
        example.row("response time, s", "68.6", interactive_response_s(17.0, throughput, 18.0)),
        example.row("terminals at the knee", "6", saturation_users(&centers, 18.0)),
        example.row("bound of throughput, 20 terminals", "0.2", throughput_bound_per_s(&centers, 20.0, 18.0)),
        example.row("bound of response time, 20 terminals, s", "82", response_bound_s(&centers, 20.0, 18.0)),
    ]
}
