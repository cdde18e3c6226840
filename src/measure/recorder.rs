//! A shard's recorder: it belongs to one thread, so recording takes no lock and shares nothing; once a second its window is taken
//! away as a [`Snapshot`] and an empty one of the same range put in its place.

use super::failures::Failures;
use super::histogram::Histogram;
use super::sample::{Outcome, Sample, UnderWay};
use super::snapshot::{Snapshot, Window};
use crate::clock::Nanos;
use crate::endpoint::EndpointId;
use crate::record::summary::{Counts, RequestCounts};

#[derive(Debug)]
pub struct Recorder {
    windows: Vec<Window>,
    pub counts: Counts,
    pub requests: RequestCounts,
    dispatch_lag: Histogram,
    loop_lag: Histogram,
    interrupted_age: Histogram,
    read_error: Histogram,
    connect_failures: u64,
    generator_failures: u64,
    failures: Failures,
}

impl Recorder {
    pub fn new(endpoints: usize) -> Self {
        Self {
            windows: (0..endpoints).map(|_| Window::default()).collect(),
            counts: Counts::default(),
            requests: RequestCounts::default(),
            dispatch_lag: Histogram::new(),
            loop_lag: Histogram::new(),
            interrupted_age: Histogram::new(),
            read_error: Histogram::new(),
            connect_failures: 0,
            generator_failures: 0,
            failures: Failures::default(),
        }
    }

    /// Counts a request when its first byte is about to be written.
    #[inline]
    pub fn sent(&mut self, endpoint: EndpointId) {
        self.windows[usize::from(endpoint)].sent += 1;
        self.requests.sent += 1;
    }

    /// Takes that back where the connection turned out to be closed and not a byte was written: within the same turn of the shard's loop,
    /// so that the count is still here. Where it is not, the request stays counted as sent; false then.
    #[cold]
    pub fn unsend(&mut self, endpoint: EndpointId) -> bool {
        let window = &mut self.windows[usize::from(endpoint)];
        let here = window.sent > 0;
        window.sent -= u64::from(here);
        self.requests.sent -= u64::from(here);
        here
    }

    /// Records a request that has ended. A failure also goes through [`Recorder::failure`], which knows its text.
    #[inline]
    pub fn record(&mut self, sample: &Sample) {
        self.requests.bytes_sent += sample.bytes_sent;
        self.requests.bytes_received += sample.bytes_received;
        if sample.outcome == Outcome::Ok {
            self.requests.ok += 1;
        } else {
            self.requests.failed += 1;
            self.connect_failures += u64::from(sample.outcome.is_without_connection());
            self.generator_failures += u64::from(sample.outcome == Outcome::Generator);
        }
        self.record_message(sample);
    }

    /// Records what has ended as a latency of its endpoint: of a request, which is counted by [`Recorder::record`], or of a message on a
    /// WebSocket or an event stream, which is no request.
    #[inline]
    pub fn record_message(&mut self, sample: &Sample) {
        let window = &mut self.windows[usize::from(sample.endpoint)];
        window.bytes_sent += sample.bytes_sent;
        window.bytes_received += sample.bytes_received;
        let response_ns = sample.done_ns.saturating_sub(sample.intended_ns);
        let service_ns = sample.done_ns.saturating_sub(sample.sent_ns);
        if sample.outcome == Outcome::Ok {
            window.completed += 1;
            window.response.record(response_ns);
            window.service.record(service_ns);
        } else {
            window.failures += 1;
            if sample.outcome.has_response_time() {
                let failed = window.failed.get_or_insert_with(Box::default);
                failed.response.record(response_ns);
                if sample.outcome.has_service_time() {
                    failed.service.record(service_ns);
                }
            }
        }
    }

    /// Counts a failure that has no latency, because nobody waited: it must not make the percentiles of its endpoint better or worse.
    #[cold]
    pub fn failed_message(&mut self, endpoint: EndpointId) {
        // What is no request at all has no window either.
        if let Some(window) = self.windows.get_mut(usize::from(endpoint)) {
            window.failures += 1;
        }
    }

    /// Keeps the text of a failure as an example for the report.
    #[cold]
    pub fn failure(&mut self, endpoint: EndpointId, outcome: Outcome, text: &str) {
        self.failures.add(endpoint, outcome, text);
    }

    /// How long after its intended instant an arrival was released, a beat came, or a thought ended.
    #[inline]
    pub fn dispatch_lag(&mut self, lag_ns: Nanos) {
        self.dispatch_lag.record(lag_ns);
    }

    /// How late the shard's own timer fired.
    pub fn loop_lag(&mut self, lag_ns: Nanos) {
        self.loop_lag.record(lag_ns);
    }

    /// How long the last bytes of what was read had lain in the socket when they were read.
    #[cold]
    pub fn read_error(&mut self, error_ns: Nanos) {
        self.read_error.record(error_ns);
    }

    /// The age an iteration had reached when it was cut off.
    pub fn interrupted_age(&mut self, age_ns: Nanos) {
        self.interrupted_age.record(age_ns);
    }

    /// A request that was cut off. The age it had reached goes into the percentiles as the least it would have taken, so that a target that
    /// hangs does not look fast; it is counted as interrupted, not as failed.
    pub fn interrupted_request(&mut self, request: UnderWay, now_ns: Nanos) {
        self.requests.interrupted += 1;
        self.requests.unsent += u64::from(request.sent_ns.is_none());
        let window = &mut self.windows[usize::from(request.endpoint)];
        window.cut_off += u64::from(request.sent_ns.is_some());
        let failed = window.failed.get_or_insert_with(Box::default);
        failed.response.record(now_ns.saturating_sub(request.intended_ns));
        if let Some(sent_ns) = request.sent_ns {
            failed.service.record(now_ns.saturating_sub(sent_ns));
        }
    }

    /// Takes everything recorded since the last call.
    pub fn take(&mut self) -> Snapshot {
        let windows = self
            .windows
            .iter_mut()
            .map(|window| {
                if window.is_empty() {
                    return None;
                }
                let next = window.empty_like();
                Some(Box::new(std::mem::replace(window, next)))
            })
            .collect();
        Snapshot {
            counts: std::mem::take(&mut self.counts),
            requests: std::mem::take(&mut self.requests),
            windows,
            dispatch_lag: std::mem::take(&mut self.dispatch_lag),
            loop_lag: std::mem::take(&mut self.loop_lag),
            interrupted_age: std::mem::take(&mut self.interrupted_age),
            read_error: std::mem::take(&mut self.read_error),
            connect_failures: std::mem::take(&mut self.connect_failures),
            generator_failures: std::mem::take(&mut self.generator_failures),
            failures: std::mem::take(&mut self.failures),
            ..Snapshot::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(endpoint: EndpointId, response_ns: u64, service_ns: u64, outcome: Outcome) -> Sample {
        let done_ns = 1_000_000_000;
        Sample {
            endpoint,
            intended_ns: done_ns - response_ns,
            sent_ns: done_ns - service_ns,
            done_ns,
            outcome,
            bytes_sent: 10,
            bytes_received: 20,
        }
    }

    #[test]
    fn both_clocks_are_recorded_and_nothing_is_counted_twice() {
        let mut recorder = Recorder::new(2);
        for _ in 0..3 {
            recorder.sent(1);
        }
        recorder.record(&sample(1, 900, 100, Outcome::Ok));
        recorder.record(&sample(1, 500, 200, Outcome::Status));
        recorder.record(&sample(1, 50, 50, Outcome::Connect));
        recorder.record(&sample(1, 7_000, 50, Outcome::Reset));
        recorder.record(&sample(1, 9_000, 50, Outcome::ConnectTimeout));
        let first = recorder.take();
        let window = first.windows[1].as_ref().expect("endpoint 1 was used");
        assert!(first.windows[0].is_none());
        assert_eq!((window.sent, window.completed, window.failures), (3, 1, 4));
        assert_eq!((window.response.max_ns(), window.service.max_ns()), (900, 100));
        assert_eq!(window.all_responses().count(), 4, "a refused connection took no time");
        assert!(window.all_responses().max_ns() >= 9_000, "who waited for one in vain did");
        assert_eq!(window.all_services().count(), 3);
        assert_eq!(first.requests.ok + first.requests.failed, 5);

        let second = recorder.take();
        assert!(second.windows.iter().all(Option::is_none), "a taken window is empty afterwards");
    }

    #[test]
    fn taking_every_second_and_adding_up_equals_one_long_window() {
        let mut whole = Recorder::new(1);
        let mut parts = Recorder::new(1);
        let mut sum = Snapshot::default();
        for n in 1..500u64 {
            let one = sample(0, n * 7_919, n * 13, if n % 9 == 0 { Outcome::Timeout } else { Outcome::Ok });
            whole.record(&one);
            parts.record(&one);
            if n % 50 == 0 {
                sum.add(&parts.take());
            }
        }
        sum.add(&parts.take());
        let whole = whole.take();
        let (a, b) = (whole.windows[0].as_ref().expect("used"), sum.windows[0].as_ref().expect("used"));
        assert_eq!(a.all_responses().hdr(), b.all_responses().hdr());
        assert_eq!(a.service.hdr(), b.service.hdr());
        assert_eq!(whole.requests, sum.requests);
    }
}
