//! The second a shard is in: taken from its recorder when it ends and handed over to the agent, without ever waiting for it.

use super::shard::{Report, Shard};
use crate::clock::{self, Nanos, RunQueue};
use crate::limits::AGENT_SILENCE_MAX;
use crate::measure::snapshot::Snapshot;
use crate::units::NANOS_PER_S;
use tokio::sync::mpsc;

/// The shard's current second, and what could not be handed over yet.
pub(super) struct Window {
    pub(super) next_end_s: u64,
    cpu_ns: Nanos,
    run_queue: RunQueue,
    queued_ns: Option<Nanos>,
    held_back: Option<Box<Snapshot>>,
    /// Seconds in a row that the agent had no room for.
    refused: u64,
}

impl Window {
    pub(super) fn new(shard: &Shard) -> Self {
        let run_queue = RunQueue::of_this_thread();
        Self {
            next_end_s: shard.clock.now() / NANOS_PER_S + 1,
            cpu_ns: clock::thread_cpu_ns(),
            queued_ns: run_queue.waited_ns(),
            run_queue,
            held_back: None,
            refused: 0,
        }
    }

    fn take(&mut self, shard: &Shard, end_s: u64) -> Box<Snapshot> {
        for part in &shard.parts {
            shard.count_planned(part, shard.clock.now());
        }
        let lines = shard.buffers.take_traffic();
        let mut recorder = shard.recorder.borrow_mut();
        recorder.requests.bytes_sent += lines.sent;
        recorder.requests.bytes_received += lines.received;
        for error_ns in shard.buffers.take_read_errors() {
            recorder.read_error(error_ns);
        }
        let mut snapshot = Box::new(recorder.take());
        drop(recorder);
        let cpu_ns = clock::thread_cpu_ns();
        snapshot.end_s = end_s;
        snapshot.end_ns = shard.clock.now();
        snapshot.users = shard.parts.iter().map(|part| part.live.get()).sum();
        snapshot.sockets = shard.sockets.get();
        snapshot.shard_cpu_ns_max = cpu_ns.saturating_sub(self.cpu_ns);
        self.cpu_ns = cpu_ns;
        let queued_ns = self.run_queue.waited_ns();
        snapshot.run_queue_ns_max =
            queued_ns.zip(self.queued_ns).map(|(now, before)| now.saturating_sub(before));
        self.queued_ns = queued_ns;
        self.next_end_s = end_s + 1;
        match self.held_back.take() {
            None => snapshot,
            Some(mut held) => {
                (held.users, held.sockets) = (0, 0);
                // One shard's thread over several seconds: its times add up, unlike those of different shards.
                let cpu_ns = held.shard_cpu_ns_max + snapshot.shard_cpu_ns_max;
                let queued_ns = held.run_queue_ns_max.zip(snapshot.run_queue_ns_max).map(|(a, b)| a + b);
                held.add(&snapshot);
                (held.shard_cpu_ns_max, held.run_queue_ns_max) = (cpu_ns, queued_ns);
                held
            }
        }
    }

    /// Never waits: while the agent is behind, seconds are added up here and handed over together. False once nobody has taken any for so long
    /// that nobody watches over the load.
    pub(super) fn hand_over(&mut self, shard: &Shard, reports: &mpsc::Sender<Report>) -> bool {
        let end_s = self.next_end_s.max(shard.clock.now() / NANOS_PER_S);
        let snapshot = self.take(shard, end_s);
        if let Err(mpsc::error::TrySendError::Full(Report::Snapshot(snapshot))) =
            reports.try_send(Report::Snapshot(snapshot))
        {
            self.held_back = Some(snapshot);
            self.refused += 1;
        } else {
            self.refused = 0;
        }
        self.refused < AGENT_SILENCE_MAX.as_secs()
    }

    pub(super) async fn hand_over_last(&mut self, shard: &Shard, reports: &mpsc::Sender<Report>) {
        let snapshot = self.take(shard, self.next_end_s);
        // The agent may be gone already when the run was cut off; then there is nobody left to tell.
        let _ = reports.send(Report::Snapshot(snapshot)).await;
    }
}
