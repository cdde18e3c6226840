//! What measuring costs: recording one sample with everything that goes with it, and merging a second of a hundred agents.
//! `cargo bench --bench measure`; the budgets are 40 ns a sample and 50 ms a second merged as agents send it, off the wire,
//! where wrk takes 5.5 µs a request or less (docs/decisions/0022-budgets-of-another-machine.md and 0026).

use criterion::{Criterion, criterion_group, criterion_main};
use plimsoll::measure::recorder::Recorder;
use plimsoll::measure::sample::{Outcome, Sample};
use plimsoll::measure::snapshot::Snapshot;
use std::hint::black_box;

const AGENTS: u64 = 100;
const ENDPOINTS: u16 = 20;

/// Latencies as they come: spread over three decades, never the same bucket twice in a row.
fn latency_ns(n: u64) -> u64 {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    50_000 << (mixed >> 61) | mixed >> 48
}

fn sample(n: u64) -> Sample {
    let done_ns = 1_000_000_000 + n;
    Sample {
        endpoint: (n % u64::from(ENDPOINTS)) as u16,
        intended_ns: done_ns - latency_ns(n),
        sent_ns: done_ns - latency_ns(n) / 2,
        done_ns,
        outcome: Outcome::Ok,
        bytes_sent: 120,
        bytes_received: 900,
    }
}

/// A second of one agent: a few hundred requests on each endpoint.
fn second(agent: u64) -> Snapshot {
    let mut recorder = Recorder::new(usize::from(ENDPOINTS));
    for n in 0..6_000 {
        recorder.record(&sample(agent * 6_000 + n));
    }
    recorder.take()
}

fn record(criterion: &mut Criterion) {
    let mut recorder = Recorder::new(usize::from(ENDPOINTS));
    let samples: Vec<Sample> = (0..4096).map(sample).collect();
    let mut at = 0;
    criterion.bench_function("one sample: sent, two histograms, counters", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % samples.len();
            recorder.sent(samples[at].endpoint);
            recorder.record(black_box(&samples[at]));
        });
    });
}

fn merge(criterion: &mut Criterion) {
    let seconds: Vec<Snapshot> = (0..AGENTS).map(second).collect();
    criterion.bench_function("one second of 100 agents with 20 endpoints, merged", |bencher| {
        bencher.iter(|| {
            let mut sum = Snapshot::default();
            seconds.iter().for_each(|second| sum.add(second));
            sum
        });
    });
    let sent: Vec<Vec<u8>> = seconds
        .iter()
        .map(|second| postcard::to_allocvec(second).expect("a snapshot can be encoded"))
        .collect();
    let bytes: usize = sent.iter().map(Vec::len).sum();
    criterion.bench_function(&format!("the same off the wire ({bytes} bytes)"), |bencher| {
        bencher.iter(|| {
            let mut sum = Snapshot::default();
            for second in &sent {
                sum.add(&postcard::from_bytes(second).expect("it was encoded above"));
            }
            sum
        });
    });
}

criterion_group!(benches, record, merge);
criterion_main!(benches);
