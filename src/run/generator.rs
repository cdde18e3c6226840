//! The generator's own health, watched second by second: if it was the limit, the numbers say nothing about the target.

use super::strain::{Lateness, Strain};
use crate::measure::histogram::Histogram;
use crate::measure::snapshot::Snapshot;
use crate::probe::process::CoreTime;
use crate::record::summary::{Generator, Lag, ReadError, Warning};
use crate::scenario::plan::Plan;

/// Less of the cores' time is no reason for anything.
const STEAL_TOLD_MIN: f64 = 0.01;

/// `safety.generator`, resolved.
#[derive(Clone, Copy, Debug)]
struct Limits {
    dispatch_lag_ms: f64,
    read_error_ms: f64,
    cpu_ratio: f64,
    run_queue_ratio: f64,
}

#[derive(Debug)]
pub(super) struct Health {
    limits: Limits,
    dispatch_lag: Lateness,
    read_error: Lateness,
    loop_lag: Lateness,
    cpu: Strain,
    run_queue: Strain,
    shard_cpu_ns: u64,
    process_cpu_ns: u64,
    run_queue_ns: Option<u64>,
    began: Option<CoreTime>,
    seconds: u64,
    pss_bytes_max: u64,
    sockets_max: u64,
    /// Requests for which this process had no descriptor, port or memory, in all and where they count.
    starved: u64,
    starved_judged: u64,
}

impl Health {
    pub(super) fn new(plan: &Plan) -> Self {
        let written = plan.safety.generator;
        let allowed = plan.lateness_allowed();
        let limits = Limits {
            dispatch_lag_ms: written.dispatch_lag_p99.unwrap_or(allowed).as_secs_f64() * 1e3,
            read_error_ms: written.read_error_p99.unwrap_or(allowed).as_secs_f64() * 1e3,
            cpu_ratio: written.cpu_ratio,
            run_queue_ratio: written.run_queue_ratio,
        };
        Self { began: CoreTime::now(), ..Self::within(limits) }
    }

    fn within(limits: Limits) -> Self {
        Self {
            dispatch_lag: Lateness::default(),
            read_error: Lateness::default(),
            loop_lag: Lateness::default(),
            cpu: Strain::above(limits.cpu_ratio),
            run_queue: Strain::above(limits.run_queue_ratio),
            limits,
            shard_cpu_ns: 0,
            process_cpu_ns: 0,
            run_queue_ns: None,
            began: None,
            seconds: 0,
            pss_bytes_max: 0,
            sockets_max: 0,
            starved: 0,
            starved_judged: 0,
        }
    }

    /// Takes in a span. Only where `judged` do lateness and load count: how the generator fared on the way to a level, or beyond the last
    /// good one while it cools down, is in no number that is reported.
    pub(super) fn second(&mut self, snapshot: &Snapshot, span_s: u64, judged: bool) {
        self.shard_cpu_ns += snapshot.shard_cpu_ns_max;
        self.process_cpu_ns += snapshot.process_cpu_ns;
        if let Some(waited_ns) = snapshot.run_queue_ns_max {
            *self.run_queue_ns.get_or_insert(0) += waited_ns;
        }
        self.seconds += span_s;
        self.pss_bytes_max = self.pss_bytes_max.max(snapshot.pss_bytes);
        self.sockets_max = self.sockets_max.max(snapshot.sockets);
        self.starved += snapshot.generator_failures;
        if !judged {
            return;
        }
        let span = (snapshot.end_s, span_s);
        self.dispatch_lag.add(&snapshot.dispatch_lag, snapshot.end_s);
        self.read_error.add(&snapshot.read_error, snapshot.end_s);
        self.loop_lag.add(&snapshot.loop_lag, snapshot.end_s);
        self.starved_judged += snapshot.generator_failures;
        self.cpu.add(snapshot.shard_cpu_ns_max, span);
        self.run_queue.add(snapshot.run_queue_ns_max.unwrap_or(0), span);
    }

    /// The figures for the record, and what made the run invalid, if anything did.
    pub(super) fn judge(&self, (agents, shards): (u32, u32)) -> (Generator, Vec<Warning>) {
        let steal_ratio = self.began.and_then(|before| CoreTime::now()?.stolen_since(before));
        let mut warnings: Vec<Warning> = [
            self.dispatched_late(),
            self.read_late(),
            self.looped_late(),
            self.too_busy(),
            self.without_core(),
            self.no_sockets(),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let Some(ratio) = steal_ratio.filter(|&ratio| ratio >= STEAL_TOLD_MIN) {
            let stolen = format!(
                "; a hypervisor gave {:.1} % of the cores to other machines meanwhile",
                ratio * 100.0
            );
            warnings.iter_mut().for_each(|warning| warning.text.push_str(&stolen));
        }
        let run_s = self.seconds.max(1) as f64;
        let generator = Generator {
            valid: warnings.is_empty(),
            agents,
            shards,
            cpu_ratio: self.shard_cpu_ns as f64 / 1e9 / run_s,
            cores: self.process_cpu_ns as f64 / 1e9 / run_s,
            run_queue_ratio: self.run_queue_ns.map(|waited_ns| waited_ns as f64 / 1e9 / run_s),
            steal_ratio,
            dispatch_lag_ms: lag(self.dispatch_lag.all()),
            loop_lag_ms: lag(self.loop_lag.all()),
            read_error_ms: read_error(self.read_error.all()),
            socket_errors: self.starved,
            pss_bytes_max: self.pss_bytes_max,
            sockets_max: self.sockets_max,
        };
        (generator, warnings)
    }

    fn dispatched_late(&self) -> Option<Warning> {
        let limit_ms = self.limits.dispatch_lag_ms;
        let p99_ms = lag(self.dispatch_lag.all()).p99;
        self.dispatch_lag.exceeds(limit_ms).then(|| Warning {
            code: "generator_dispatch_lag".into(),
            text: format!(
                "arrivals, beats and ends of thoughts came {p99_ms:.1} ms late at p99, above `safety.generator.dispatch_lag_p99` ({limit_ms} ms){}: the generator, not the target, was the limit",
                self.dispatch_lag.worst_in_words()
            ),
            remedy: "give the generator more cores or its own machine, or ask for less load".into(),
        })
    }

    fn read_late(&self) -> Option<Warning> {
        let limit_ms = self.limits.read_error_ms;
        let p99_ms = lag(self.read_error.all()).p99;
        self.read_error.exceeds(limit_ms).then(|| Warning {
            code: "generator_read_error".into(),
            text: format!(
                "responses were read {p99_ms:.1} ms after they had arrived at p99, above `safety.generator.read_error_p99` ({limit_ms} ms){}: latencies hold the generator's own waiting",
                self.read_error.worst_in_words()
            ),
            remedy: "use more shards (--shards) on more cores, give the generator its own machine, or ask for less load".into(),
        })
    }

    /// Where the kernel stamped nothing of what arrived, how late the shards woke for instants of their own says the same in a rougher way.
    fn looped_late(&self) -> Option<Warning> {
        let limit_ms = self.limits.read_error_ms;
        let p99_ms = lag(self.loop_lag.all()).p99;
        (self.read_error.all().is_empty() && self.loop_lag.exceeds(limit_ms)).then(|| Warning {
            code: "generator_loop_lag".into(),
            text: format!(
                "the shards woke {p99_ms:.1} ms late at p99, above `safety.generator.read_error_p99` ({limit_ms} ms){}: latencies hold the generator's own waiting",
                self.loop_lag.worst_in_words()
            ),
            remedy: "use more shards (--shards) on more cores, give the generator its own machine, or ask for less load".into(),
        })
    }

    fn too_busy(&self) -> Option<Warning> {
        self.cpu.held().map(|held| Warning {
            code: "generator_cpu".into(),
            text: format!(
                "a shard's thread was {:.0} % busy from {} s to {} s, above `safety.generator.cpu` ({:.0} %): latencies hold the generator's own waiting",
                held.ratio() * 100.0,
                held.from_s,
                held.to_s,
                self.limits.cpu_ratio * 100.0
            ),
            remedy: "use more shards (--shards) on more cores, or ask for less load".into(),
        })
    }

    fn without_core(&self) -> Option<Warning> {
        self.run_queue.held().map(|held| Warning {
            code: "generator_run_queue".into(),
            text: format!(
                "a shard's thread was ready but had no core for {:.0} % of the time from {} s to {} s, above `safety.generator.run_queue` ({:.0} %): latencies hold the generator's own waiting",
                held.ratio() * 100.0,
                held.from_s,
                held.to_s,
                self.limits.run_queue_ratio * 100.0
            ),
            remedy: "move the target or whatever else runs here to other cores or another machine, or ask for less load".into(),
        })
    }

    fn no_sockets(&self) -> Option<Warning> {
        (self.starved_judged > 0).then(|| Warning {
            code: "generator_sockets".into(),
            text: format!(
                "{} requests were not sent because this process had no descriptor, port or socket memory left: the generator, not the target, was the limit",
                self.starved_judged
            ),
            remedy: "the list of failures says which: without descriptors raise `ulimit -n` or use more agents, without ports give the generator more source addresses (`swarm.source_ips`), without socket memory free some of the machine's or raise net.ipv4.tcp_mem; or ask for less load".into(),
        })
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

fn read_error(histogram: &Histogram) -> Option<ReadError> {
    let Lag { p50, p99, max } = lag(histogram);
    (!histogram.is_empty()).then(|| ReadError { count: histogram.count(), p50, p99, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health::within(Limits {
            dispatch_lag_ms: 10.0,
            read_error_ms: 5.0,
            cpu_ratio: 0.9,
            run_queue_ratio: 0.5,
        })
    }

    fn warnings(health: &Health) -> Vec<Warning> {
        let (generator, warnings) = health.judge((1, 1));
        assert_eq!(generator.valid, warnings.is_empty());
        warnings
    }

    fn codes(health: &Health) -> Vec<String> {
        warnings(health).into_iter().map(|warning| warning.code).collect()
    }

    fn ns(ratio: f64, span_s: u64) -> u64 {
        (ratio * 1e9 * span_s as f64) as u64
    }

    #[test]
    fn a_busy_thread_is_told_by_seconds_not_by_spans() {
        let mut health = health();
        let spans = [(2, 2, 0.95), (4, 2, 0.95), (5, 1, 0.5), (9, 4, 0.95)];
        for (end_s, span_s, busy) in spans {
            let second = Snapshot { end_s, shard_cpu_ns_max: ns(busy, span_s), ..Snapshot::default() };
            health.second(&second, span_s, true);
        }
        assert!(codes(&health).is_empty());
        health.second(&Snapshot { end_s: 10, shard_cpu_ns_max: ns(1.0, 1), ..Snapshot::default() }, 1, true);
        insta::assert_snapshot!(warnings(&health)[0].text, @"a shard's thread was 96 % busy from 5 s to 10 s, above `safety.generator.cpu` (90 %): latencies hold the generator's own waiting");
    }

    #[test]
    fn a_thread_without_a_core_is_told() {
        let mut health = health();
        for end_s in 1..=7 {
            let waited = if end_s == 1 { 0.1 } else { 0.6 };
            let run_queue_ns_max = Some(ns(waited, 1));
            health.second(&Snapshot { end_s, run_queue_ns_max, ..Snapshot::default() }, 1, true);
        }
        insta::assert_snapshot!(warnings(&health)[0].text, @"a shard's thread was ready but had no core for 60 % of the time from 1 s to 7 s, above `safety.generator.run_queue` (50 %): latencies hold the generator's own waiting");
        let ratio = health.judge((1, 1)).0.run_queue_ratio.expect("it was told");
        assert!((ratio - 3.7 / 7.0).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn a_kernel_that_tells_nothing_makes_nothing_up() {
        let mut health = health();
        health.second(&Snapshot { end_s: 9, ..Snapshot::default() }, 9, true);
        let (generator, warnings) = health.judge((1, 1));
        assert_eq!((generator.run_queue_ratio, generator.read_error_ms), (None, None));
        assert!(warnings.is_empty());
    }

    #[test]
    fn responses_read_late_are_told_once_there_are_enough_of_them() {
        let mut health = health();
        let mut second = Snapshot { end_s: 3, ..Snapshot::default() };
        (0..96).for_each(|_| second.read_error.record(1_000_000));
        (0..4).for_each(|_| second.read_error.record(7_000_000));
        health.second(&second, 1, true);
        assert!(codes(&health).is_empty(), "four of a hundred happen by chance");
        let mut next = Snapshot { end_s: 4, ..Snapshot::default() };
        next.read_error.record(8_000_000);
        health.second(&next, 1, true);
        insta::assert_snapshot!(warnings(&health)[0].text, @"responses were read 7.0 ms after they had arrived at p99, above `safety.generator.read_error_p99` (5 ms), worst at 4 s (8.0 ms): latencies hold the generator's own waiting");
        let read = health.judge((1, 1)).0.read_error_ms.expect("there are stamps");
        assert_eq!((read.count, read.max.round()), (101, 8.0));
    }

    #[test]
    fn without_stamps_the_shards_own_lateness_tells() {
        let mut health = health();
        let mut second = Snapshot { end_s: 3, ..Snapshot::default() };
        (0..20).for_each(|n| second.loop_lag.record(n * 50_000_000));
        (0..200).for_each(|_| second.loop_lag.record(100_000));
        health.second(&second, 1, true);
        insta::assert_snapshot!(warnings(&health)[0].text, @"the shards woke 850.4 ms late at p99, above `safety.generator.read_error_p99` (5 ms), worst at 3 s (850.4 ms): latencies hold the generator's own waiting");
        let mut stamped = Snapshot { end_s: 4, ..Snapshot::default() };
        (0..100).for_each(|_| stamped.read_error.record(100_000));
        health.second(&stamped, 1, true);
        assert!(codes(&health).is_empty(), "the kernel knows better");
    }

    #[test]
    fn what_is_not_judged_makes_nothing_invalid() {
        let mut late = Snapshot { end_s: 9, shard_cpu_ns_max: ns(0.99, 9), ..Snapshot::default() };
        (0..5).for_each(|_| late.dispatch_lag.record(50_000_000));
        late.generator_failures = 3;
        let mut health = health();
        health.second(&late, 9, false);
        assert!(codes(&health).is_empty());
        assert_eq!(health.judge((1, 1)).0.socket_errors, 3, "counted all the same");
        health.second(&late, 9, true);
        assert_eq!(codes(&health), ["generator_dispatch_lag", "generator_cpu", "generator_sockets"]);
        for lacked in ["`ulimit -n`", "`swarm.source_ips`", "net.ipv4.tcp_mem"] {
            assert!(warnings(&health)[2].remedy.contains(lacked), "{lacked}");
        }
        insta::assert_snapshot!(warnings(&health)[0].text, @"arrivals, beats and ends of thoughts came 50.0 ms late at p99, above `safety.generator.dispatch_lag_p99` (10 ms), worst at 9 s (50.0 ms): the generator, not the target, was the limit");
    }
}
