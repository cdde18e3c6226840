//! The generator's own health, watched second by second: if it was the limit, the numbers say nothing about the target.

use crate::measure::histogram::Histogram;
use crate::measure::snapshot::Snapshot;
use crate::probe::process;
use crate::record::summary::{Generator, Lag, Warning};
use crate::scenario::plan::Safety;

/// Seconds in a row above the CPU limit that make a run invalid.
const BUSY_SECONDS_MAX: u64 = 5;

#[derive(Debug, Default)]
pub(super) struct Health {
    dispatch_lag: Histogram,
    loop_lag: Histogram,
    shard_cpu_ns: u64,
    seconds: u64,
    busy_in_a_row_s: u64,
    busy_in_a_row_max_s: u64,
    memory_bytes_max: u64,
    sockets_max: u64,
    /// Requests for which this process had no descriptor or port.
    starved: u64,
}

impl Health {
    /// Takes in a span. Only where `judged` do lateness and load count: how the generator fared on the way to a level, or beyond the last
    /// good one while it cools down, is in no number that is reported.
    pub(super) fn second(&mut self, snapshot: &Snapshot, span_s: u64, safety: &Safety, judged: bool) {
        self.shard_cpu_ns += snapshot.shard_cpu_ns_max;
        self.seconds += span_s;
        // Agents in processes of their own add theirs to the coordinator's.
        self.memory_bytes_max = self.memory_bytes_max.max(process::memory_bytes() + snapshot.memory_bytes);
        self.sockets_max = self.sockets_max.max(snapshot.sockets);
        if !judged {
            return;
        }
        self.dispatch_lag.add(&snapshot.dispatch_lag);
        self.loop_lag.add(&snapshot.loop_lag);
        self.starved += snapshot.generator_failures;
        let busy = snapshot.shard_cpu_ns_max as f64 > safety.generator_cpu_ratio * 1e9 * span_s as f64;
        self.busy_in_a_row_s = if busy { self.busy_in_a_row_s + span_s } else { 0 };
        self.busy_in_a_row_max_s = self.busy_in_a_row_max_s.max(self.busy_in_a_row_s);
    }

    /// The figures for the record, and what made the run invalid, if anything did.
    pub(super) fn judge(&self, (agents, shards): (u32, u32), safety: &Safety) -> (Generator, Vec<Warning>) {
        let mut warnings = Vec::new();
        let limit_ms = safety.dispatch_lag_p99.as_secs_f64() * 1e3;
        let dispatch = lag(&self.dispatch_lag);
        if dispatch.p99 > limit_ms {
            warnings.push(Warning {
                code: "generator_dispatch_lag".into(),
                text: format!(
                    "arrivals were released {:.1} ms late at p99, more than the {limit_ms:.1} ms allowed: the generator, not the target, was the limit",
                    dispatch.p99
                ),
                remedy: "give the generator more cores or its own machine, or ask for less load".into(),
            });
        }
        if self.busy_in_a_row_max_s >= BUSY_SECONDS_MAX {
            warnings.push(Warning {
                code: "generator_cpu".into(),
                text: format!(
                    "a shard's thread was over {:.0} % busy for {} s: latencies hold the generator's own waiting",
                    safety.generator_cpu_ratio * 100.0,
                    self.busy_in_a_row_max_s
                ),
                remedy: "use more shards (--shards) on more cores, or ask for less load".into(),
            });
        }
        if self.starved > 0 {
            warnings.push(Warning {
                code: "generator_sockets".into(),
                text: format!(
                    "{} requests were not sent because this process had no descriptor or port left: the generator, not the target, was the limit",
                    self.starved
                ),
                remedy: "raise `ulimit -n`, give the generator more source addresses, or ask for less load".into(),
            });
        }
        let generator = Generator {
            valid: warnings.is_empty(),
            agents,
            shards,
            cpu_ratio: self.shard_cpu_ns as f64 / 1e9 / (self.seconds.max(1) as f64),
            dispatch_lag_ms: dispatch,
            loop_lag_ms: lag(&self.loop_lag),
            pss_bytes_max: self.memory_bytes_max,
            sockets_max: self.sockets_max,
        };
        (generator, warnings)
    }
}

/// The figures of a histogram of delays, in milliseconds.
pub(super) fn lag(histogram: &Histogram) -> Lag {
    let ms = |ns: u64| ns as f64 / 1e6;
    Lag {
        p50: ms(histogram.quantile_ns(0.5)),
        p99: ms(histogram.quantile_ns(0.99)),
        max: ms(histogram.max_ns()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn safety() -> Safety {
        Safety {
            allow_hosts: Vec::new(),
            max_users: None,
            max_rate_per_s: None,
            abort_when: Vec::new(),
            dispatch_lag_p99: Duration::from_millis(10),
            generator_cpu_ratio: 0.9,
        }
    }

    fn codes(health: &Health) -> Vec<String> {
        let (generator, warnings) = health.judge((1, 1), &safety());
        assert_eq!(generator.valid, warnings.is_empty());
        warnings.into_iter().map(|warning| warning.code).collect()
    }

    fn span(span_s: u64, busy_ratio: f64) -> (Snapshot, u64) {
        let cpu_ns = (busy_ratio * 1e9 * span_s as f64) as u64;
        (Snapshot { shard_cpu_ns_max: cpu_ns, ..Snapshot::default() }, span_s)
    }

    #[test]
    fn a_busy_thread_is_told_by_seconds_not_by_spans() {
        let mut health = Health::default();
        for (snapshot, span_s) in [span(2, 0.95), span(2, 0.95), span(1, 0.5), span(4, 0.95)] {
            health.second(&snapshot, span_s, &safety(), true);
        }
        assert!(codes(&health).is_empty());
        let (snapshot, span_s) = span(1, 0.95);
        health.second(&snapshot, span_s, &safety(), true);
        assert_eq!(codes(&health), ["generator_cpu"]);
    }

    #[test]
    fn what_is_not_judged_makes_nothing_invalid() {
        let mut late = span(9, 0.99).0;
        late.dispatch_lag.record(50_000_000);
        late.generator_failures = 3;
        let mut health = Health::default();
        health.second(&late, 9, &safety(), false);
        assert!(codes(&health).is_empty());
        health.second(&late, 9, &safety(), true);
        assert_eq!(codes(&health), ["generator_dispatch_lag", "generator_cpu", "generator_sockets"]);
    }
}
