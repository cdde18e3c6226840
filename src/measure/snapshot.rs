//! What a shard hands over once a second, and what the coordinator adds up: counters and whole histograms. Adding is associative
//! and commutative, so it does not matter in which order shards and agents are merged.

use super::failures::Failures;
use super::histogram::Histogram;
use crate::endpoint::EndpointId;
use crate::record::summary::{Counts, RequestCounts};
use serde::{Deserialize, Serialize};

/// One endpoint over a span. `response` and `service` hold the requests that ended as expected; the answered failures stand
/// apart, so that a fast error never makes a percentile look better, and no failure is counted as both failed and slow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub response: Histogram,
    pub service: Histogram,
    /// What somebody waited for and did not get as expected: other answers, time-outs, connections that broke off or did not come, answers that
    /// are none, and what was cut off. Rare, so allocated when first needed.
    pub failed: Option<Box<FailedLatency>>,
    pub sent: u64,
    pub completed: u64,
    pub failures: u64,
    /// Requests that had been sent and were cut off.
    pub cut_off: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FailedLatency {
    pub response: Histogram,
    pub service: Histogram,
}

impl Window {
    /// An empty window whose histograms already span what this one has seen.
    pub fn empty_like(&self) -> Self {
        Self {
            response: Histogram::empty_like(&self.response),
            service: Histogram::empty_like(&self.service),
            ..Self::default()
        }
    }

    pub fn is_empty(&self) -> bool {
        self.sent == 0 && self.completed == 0 && self.failures == 0 && self.failed.is_none()
    }

    pub fn add(&mut self, other: &Self) {
        self.response.add(&other.response);
        self.service.add(&other.service);
        if let Some(failed) = &other.failed {
            let mine = self.failed.get_or_insert_with(Box::default);
            mine.response.add(&failed.response);
            mine.service.add(&failed.service);
        }
        self.sent += other.sent;
        self.completed += other.completed;
        self.failures += other.failures;
        self.cut_off += other.cut_off;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
    }

    /// Response times of everything that somebody waited for: what percentiles are reported from.
    pub fn all_responses(&self) -> Histogram {
        self.with_failed(&self.response, |failed| &failed.response)
    }

    /// Service times of the same.
    pub fn all_services(&self) -> Histogram {
        self.with_failed(&self.service, |failed| &failed.service)
    }

    fn with_failed(&self, good: &Histogram, pick: impl Fn(&FailedLatency) -> &Histogram) -> Histogram {
        let mut all = good.clone();
        if let Some(failed) = &self.failed {
            all.add(pick(failed));
        }
        all
    }
}

/// One second (or, where a shard had to coalesce, several) of one shard, agent or run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The span ends this many seconds after the start of the run.
    pub end_s: u64,
    /// When it really ended, on the run's clock: the last span of a run is shorter than its second.
    pub end_ns: crate::clock::Nanos,
    /// Something of the span is missing, because a shard or an agent had not told of it in time, or of an earlier one is in it.
    pub late: bool,
    /// Users in the closed parts plus iterations under way in the open ones, at the end of the span.
    pub users: u64,
    pub sockets: u64,
    pub counts: Counts,
    pub requests: RequestCounts,
    /// By [`EndpointId`]; `None` where nothing happened.
    pub windows: Vec<Option<Box<Window>>>,
    pub dispatch_lag: Histogram,
    pub loop_lag: Histogram,
    /// Ages that iterations had reached when they were cut off.
    pub interrupted_age: Histogram,
    /// How long the last bytes of what was read had lain in the socket; of the sampled reads.
    pub read_error: Histogram,
    /// CPU time of the busiest shard's thread in the span.
    pub shard_cpu_ns_max: u64,
    /// The longest that a shard's thread was ready to run in the span and had no core; `None` where the kernel does not tell.
    pub run_queue_ns_max: Option<u64>,
    /// CPU time of all threads of the agents' processes in the span.
    pub process_cpu_ns: u64,
    /// Memory of the agents' processes, pages they share counted once, as it was last read; 0 where that is not told.
    pub pss_bytes: u64,
    /// Requests that failed for lack of a connection to the target.
    pub connect_failures: u64,
    /// Requests that failed because this process had no descriptor, port or memory for sockets left: the generator's fault, not the target's.
    pub generator_failures: u64,
    pub failures: Failures,
}

impl Snapshot {
    pub fn window_mut(&mut self, endpoint: EndpointId) -> &mut Window {
        let index = usize::from(endpoint);
        if self.windows.len() <= index {
            self.windows.resize_with(index + 1, || None);
        }
        self.windows[index].get_or_insert_with(Box::default)
    }

    pub fn add(&mut self, other: &Self) {
        self.end_s = self.end_s.max(other.end_s);
        self.end_ns = self.end_ns.max(other.end_ns);
        self.late |= other.late;
        self.users += other.users;
        self.sockets += other.sockets;
        add_counts(&mut self.counts, &other.counts);
        add_requests(&mut self.requests, &other.requests);
        for (index, window) in other.windows.iter().enumerate() {
            if let Some(window) = window {
                self.window_mut(index as EndpointId).add(window);
            }
        }
        self.dispatch_lag.add(&other.dispatch_lag);
        self.loop_lag.add(&other.loop_lag);
        self.interrupted_age.add(&other.interrupted_age);
        self.read_error.add(&other.read_error);
        self.shard_cpu_ns_max = self.shard_cpu_ns_max.max(other.shard_cpu_ns_max);
        self.run_queue_ns_max = self.run_queue_ns_max.max(other.run_queue_ns_max);
        self.process_cpu_ns += other.process_cpu_ns;
        self.pss_bytes += other.pss_bytes;
        self.connect_failures += other.connect_failures;
        self.generator_failures += other.generator_failures;
        self.failures.merge(&other.failures);
    }
}

pub fn add_counts(into: &mut Counts, from: &Counts) {
    into.planned += from.planned;
    into.completed += from.completed;
    into.failed += from.failed;
    into.dropped += from.dropped;
    into.interrupted += from.interrupted;
    into.lost += from.lost;
}

pub fn add_requests(into: &mut RequestCounts, from: &RequestCounts) {
    into.sent += from.sent;
    into.ok += from.ok;
    into.failed += from.failed;
    into.interrupted += from.interrupted;
    into.unsent += from.unsent;
    into.sent_again += from.sent_again;
    into.bytes_sent += from.bytes_sent;
    into.bytes_received += from.bytes_received;
    into.connections_opened += from.connections_opened;
    into.tls_handshakes += from.tls_handshakes;
    into.tls_resumed += from.tls_resumed;
    into.streams.reconnects += from.streams.reconnects;
    // By what a server says of its sequence, which may be anything.
    into.streams.missing = into.streams.missing.saturating_add(from.streams.missing);
    into.streams.repeated += from.streams.repeated;
    into.streams.early += from.streams.early;
    into.streams.overflowed += from.streams.overflowed;
    into.streams.lag_ns_min = [into.streams.lag_ns_min, from.streams.lag_ns_min].into_iter().flatten().min();
    into.streams.opening_ns_min =
        [into.streams.opening_ns_min, from.streams.opening_ns_min].into_iter().flatten().min();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_answer_is_in_the_reported_latency_but_not_among_the_good() {
        let mut window = Window::default();
        window.response.record(10);
        window.failed.get_or_insert_with(Box::default).response.record(1_000);
        assert_eq!(window.response.count(), 1);
        assert_eq!(window.all_responses().count(), 2);
        assert_eq!(window.all_responses().max_ns(), 1_000);
    }

    #[test]
    fn more_messages_may_be_missing_than_can_be_counted() {
        let mut sum = RequestCounts::default();
        let mut second = RequestCounts::default();
        second.streams.missing = u64::MAX;
        add_requests(&mut sum, &second);
        second.streams.missing = 2;
        add_requests(&mut sum, &second);
        assert_eq!(sum.streams.missing, u64::MAX);
    }
}
