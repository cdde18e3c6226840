//! The generator's own health, watched second by second: if it was the limit, the numbers say nothing about the target.

use crate::measure::histogram::Histogram;
use crate::measure::snapshot::Snapshot;
use crate::probe::process;
use crate::record::summary::{Generator, Lag, Warning};
use crate::scenario::plan::Safety;

/// Seconds in a row above the CPU limit that make a run invalid.
const BUSY_SECONDS_MAX: u32 = 5;

#[derive(Debug, Default)]
pub(super) struct Health {
    dispatch_lag: Histogram,
    loop_lag: Histogram,
    shard_cpu_ns: u64,
    seconds: u64,
    busy_in_a_row: u32,
    busy_in_a_row_max: u32,
    resident_bytes_max: u64,
    sockets_max: u64,
}

impl Health {
    pub(super) fn second(&mut self, snapshot: &Snapshot, span_s: u64, safety: &Safety) {
        self.dispatch_lag.add(&snapshot.dispatch_lag);
        self.loop_lag.add(&snapshot.loop_lag);
        self.shard_cpu_ns += snapshot.shard_cpu_ns_max;
        self.seconds += span_s;
        let busy = snapshot.shard_cpu_ns_max as f64 > safety.generator_cpu_ratio * 1e9 * span_s as f64;
        self.busy_in_a_row = if busy { self.busy_in_a_row + 1 } else { 0 };
        self.busy_in_a_row_max = self.busy_in_a_row_max.max(self.busy_in_a_row);
        self.resident_bytes_max = self.resident_bytes_max.max(process::resident_bytes());
        self.sockets_max = self.sockets_max.max(snapshot.sockets);
    }

    /// The figures for the record, and what made the run invalid, if anything did.
    pub(super) fn judge(&self, shards: u32, safety: &Safety) -> (Generator, Vec<Warning>) {
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
        if self.busy_in_a_row_max >= BUSY_SECONDS_MAX {
            warnings.push(Warning {
                code: "generator_cpu".into(),
                text: format!(
                    "a shard's thread was over {:.0} % busy for {} s: latencies hold the generator's own waiting",
                    safety.generator_cpu_ratio * 100.0,
                    self.busy_in_a_row_max
                ),
                remedy: "use more shards (--shards) on more cores, or ask for less load".into(),
            });
        }
        let generator = Generator {
            valid: warnings.is_empty(),
            agents: 1,
            shards,
            cpu_ratio: self.shard_cpu_ns as f64 / 1e9 / (self.seconds.max(1) as f64),
            dispatch_lag_ms: dispatch,
            loop_lag_ms: lag(&self.loop_lag),
            rss_bytes_max: self.resident_bytes_max,
            sockets_max: self.sockets_max,
        };
        (generator, warnings)
    }
}

fn lag(histogram: &Histogram) -> Lag {
    let ms = |ns: u64| ns as f64 / 1e6;
    Lag {
        p50: ms(histogram.quantile_ns(0.5)),
        p99: ms(histogram.quantile_ns(0.99)),
        max: ms(histogram.max_ns()),
    }
}
