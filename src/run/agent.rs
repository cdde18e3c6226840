//! An agent: a set of shards on their threads, and the merging of their seconds. The coordinator sees one agent, however many threads
//! it has; words to the shards go to all of them alike.

use crate::clock::Clock;
use crate::engine::shard::{self, Command, Report, Route, Setup};
use crate::limits::SNAPSHOT_QUEUE_MAX;
use crate::load::share::Share;
use crate::measure::snapshot::Snapshot;
use crate::scenario::plan::Plan;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What an agent tells the coordinator.
#[derive(Debug)]
pub(super) enum AgentReport {
    /// A second of all its shards.
    Second(Box<Snapshot>),
    Failed(String),
    Ended,
}

pub(super) struct Agent {
    commands: Vec<mpsc::UnboundedSender<Command>>,
    reports: mpsc::Receiver<(usize, Report)>,
    seconds: Seconds,
    failure: Option<String>,
}

impl Agent {
    /// Starts `shards` threads that carry this agent's whole share.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(super) fn start(
        plan: &Arc<Plan>,
        share: Share,
        shards: u32,
        clock: Clock,
        routes: (Option<Route>, Option<Route>),
    ) -> std::io::Result<Self> {
        let (merged, reports) = mpsc::channel(SNAPSHOT_QUEUE_MAX * shards as usize);
        let mut commands = Vec::new();
        for index in 0..shards {
            let (command, orders) = mpsc::unbounded_channel();
            let (report, mut out) = mpsc::channel(SNAPSHOT_QUEUE_MAX);
            commands.push(command);
            let share = share.of(index, shards).unwrap_or(share);
            let setup =
                Setup { plan: Arc::clone(plan), share, clock, http: routes.0.clone(), ws: routes.1.clone() };
            std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || shard::run(setup, orders, report))?;
            let merged = merged.clone();
            tokio::spawn(async move {
                while let Some(report) = out.recv().await {
                    if merged.send((index as usize, report)).await.is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { seconds: Seconds::new(commands.len()), commands, reports, failure: None })
    }

    pub(super) fn tell(&self, command: Command) {
        for shard in &self.commands {
            // A shard that has ended needs no more words.
            let _ = shard.send(command);
        }
    }

    /// The next second that is complete over all shards, or the end.
    pub(super) async fn next(&mut self) -> AgentReport {
        loop {
            if let Some(second) = self.seconds.complete() {
                return AgentReport::Second(second);
            }
            if let Some(failure) = self.failure.take() {
                return AgentReport::Failed(failure);
            }
            if self.seconds.all_ended() {
                return AgentReport::Ended;
            }
            match self.reports.recv().await {
                Some((shard, Report::Snapshot(snapshot))) => self.seconds.add(shard, *snapshot),
                Some((shard, Report::Ended)) => self.seconds.end(shard),
                Some((shard, Report::Failed(text))) => {
                    self.failure = Some(text);
                    self.seconds.end(shard);
                }
                // Every shard's thread is gone; one that did not say so has panicked.
                None => {
                    if !self.seconds.all_ended() {
                        self.failure = Some("a shard's thread ended without a word".to_owned());
                    }
                    self.seconds.end_all();
                }
            }
        }
    }
}

/// Seconds that are not complete yet.
struct Seconds {
    open: BTreeMap<u64, Snapshot>,
    /// Up to which second each shard has reported; `u64::MAX` once it has ended.
    reached: Vec<u64>,
}

impl Seconds {
    fn new(shards: usize) -> Self {
        Self { open: BTreeMap::new(), reached: vec![0; shards] }
    }

    fn add(&mut self, shard: usize, snapshot: Snapshot) {
        self.reached[shard] = self.reached[shard].max(snapshot.end_s);
        self.open.entry(snapshot.end_s).or_default().add(&snapshot);
    }

    fn end(&mut self, shard: usize) {
        self.reached[shard] = u64::MAX;
    }

    fn end_all(&mut self) {
        self.reached.fill(u64::MAX);
    }

    fn all_ended(&self) -> bool {
        self.reached.iter().all(|&reached| reached == u64::MAX)
    }

    /// The earliest second to which no shard has anything to add.
    fn complete(&mut self) -> Option<Box<Snapshot>> {
        let done = *self.reached.iter().min()?;
        let (&end_s, _) = self.open.first_key_value()?;
        (end_s <= done).then(|| self.open.remove(&end_s).map(Box::new))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(end_s: u64, planned: u64) -> Snapshot {
        let mut snapshot = Snapshot { end_s, ..Snapshot::default() };
        snapshot.counts.planned = planned;
        snapshot
    }

    #[test]
    fn a_second_is_handed_on_when_every_shard_has_passed_it() {
        let mut seconds = Seconds::new(2);
        seconds.add(0, second(1, 10));
        seconds.add(0, second(2, 20));
        assert!(seconds.complete().is_none());
        seconds.add(1, second(1, 1));
        let first = seconds.complete().expect("both have passed second 1");
        assert_eq!((first.end_s, first.counts.planned), (1, 11));
        assert!(seconds.complete().is_none());
        seconds.end(1);
        assert_eq!(seconds.complete().expect("shard 1 has ended").counts.planned, 20);
        assert!(!seconds.all_ended());
    }
}
