//! An agent: a set of shards on their threads, and the merging of their seconds. The coordinator sees one agent, however many threads
//! it has; words to the shards go to all of them alike.

use crate::clock::{self, Clock};
use crate::engine::shard::{self, Command, Report, Route, Setup};
use crate::limits::SNAPSHOT_QUEUE_MAX;
use crate::load::share::Share;
use crate::measure::snapshot::Snapshot;
use crate::probe::process;
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
    process: Process,
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
            let (report, out) = mpsc::channel(SNAPSHOT_QUEUE_MAX);
            commands.push(command);
            let share = share.of(index, shards).unwrap_or(share);
            let setup =
                Setup { plan: Arc::clone(plan), share, clock, http: routes.0.clone(), ws: routes.1.clone() };
            std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || shard::run(setup, orders, report))?;
            tokio::spawn(forward(index as usize, out, merged.clone()));
        }
        let seconds = Seconds::new(commands.len());
        Ok(Self { seconds, commands, reports, process: Process::default(), failure: None })
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
            if let Some(mut second) = self.seconds.complete() {
                self.process.tell(&mut second);
                return AgentReport::Second(second);
            }
            if let Some(failure) = self.failure.take() {
                return AgentReport::Failed(failure);
            }
            if self.seconds.all_ended() {
                return AgentReport::Ended;
            }
            match self.reports.recv().await {
                Some((shard, Report::Snapshot(snapshot))) => self.seconds.add(shard, &snapshot),
                Some((shard, Report::Ended)) => self.seconds.end(shard),
                Some((shard, Report::Failed(text))) => {
                    self.failure = Some(text);
                    self.seconds.end(shard);
                }
                // Nobody is left who could say more.
                None => self.seconds.end_all(),
            }
        }
    }

    /// Waits no longer for shards that do not end: what the others have reported follows, then a failure that names those that hang.
    pub(super) fn give_up(&mut self) {
        let hanging: Vec<String> = self.seconds.running().map(|shard| shard.to_string()).collect();
        if !hanging.is_empty() {
            let hanging = hanging.join(", ");
            self.failure.get_or_insert_with(|| format!("shard {hanging} did not end when it was told to"));
        }
        self.seconds.end_all();
    }
}

/// Hands on what a shard reports, and says its last word for it should it end without one.
async fn forward(shard: usize, mut reports: mpsc::Receiver<Report>, merged: mpsc::Sender<(usize, Report)>) {
    let mut last_word = false;
    while let Some(report) = reports.recv().await {
        last_word |= !matches!(report, Report::Snapshot(_));
        if merged.send((shard, report)).await.is_err() {
            return;
        }
    }
    if !last_word {
        let text = format!("shard {shard} ended without a word: it panicked");
        // Without a coordinator there is nobody left to tell.
        let _ = merged.send((shard, Report::Failed(text))).await;
    }
}

/// Reading its memory makes the kernel walk all of it, so it is done once in so many seconds.
const MEMORY_EVERY_S: u64 = 5;

/// What the process of an agent has used so far.
#[derive(Debug, Default)]
struct Process {
    cpu_ns: u64,
    pss_bytes: u64,
    pss_read_s: Option<u64>,
}

impl Process {
    fn tell(&mut self, second: &mut Snapshot) {
        let cpu_ns = clock::process_cpu_ns();
        second.process_cpu_ns = cpu_ns.saturating_sub(std::mem::replace(&mut self.cpu_ns, cpu_ns));
        if self.pss_read_s.is_none_or(|at_s| second.end_s >= at_s + MEMORY_EVERY_S) {
            self.pss_bytes = process::pss_bytes();
            self.pss_read_s = Some(second.end_s);
        }
        second.pss_bytes = self.pss_bytes;
    }
}

/// Seconds that are not complete yet.
struct Seconds {
    open: BTreeMap<u64, Second>,
    /// Up to which second each shard has reported.
    reached: Vec<u64>,
    ended: Vec<bool>,
}

struct Second {
    sum: Snapshot,
    /// What does not simply add up, by shard; `None` where a shard has not reported.
    shards: Vec<Option<Gauges>>,
}

/// What a shard shows at the end of a span, and the CPU time of its thread in it.
#[derive(Clone, Copy)]
struct Gauges {
    users: u64,
    sockets: u64,
    cpu_ns: u64,
    queued_ns: Option<u64>,
}

impl Second {
    fn new(shards: usize) -> Self {
        Self { sum: Snapshot::default(), shards: vec![None; shards] }
    }

    /// The second after `earlier` takes that in: both become one span, at the end of which the later gauges hold.
    fn take_in(&mut self, earlier: &Self) {
        self.sum.add(&earlier.sum);
        for (mine, earlier) in self.shards.iter_mut().zip(&earlier.shards) {
            *mine = match (*mine, *earlier) {
                (Some(mine), Some(earlier)) => Some(Gauges {
                    cpu_ns: mine.cpu_ns + earlier.cpu_ns,
                    queued_ns: mine.queued_ns.zip(earlier.queued_ns).map(|(a, b)| a + b),
                    ..mine
                }),
                (mine, earlier) => mine.or(earlier),
            };
        }
    }

    fn into_snapshot(self) -> Snapshot {
        let shards = || self.shards.iter().flatten();
        Snapshot {
            users: shards().map(|shard| shard.users).sum(),
            sockets: shards().map(|shard| shard.sockets).sum(),
            shard_cpu_ns_max: shards().map(|shard| shard.cpu_ns).max().unwrap_or(0),
            run_queue_ns_max: shards().map(|shard| shard.queued_ns).max().flatten(),
            ..self.sum
        }
    }
}

impl Seconds {
    fn new(shards: usize) -> Self {
        Self { open: BTreeMap::new(), reached: vec![0; shards], ended: vec![false; shards] }
    }

    fn add(&mut self, shard: usize, snapshot: &Snapshot) {
        self.reached[shard] = self.reached[shard].max(snapshot.end_s);
        let mut own = Second::new(self.reached.len());
        own.shards[shard] = Some(Gauges {
            users: snapshot.users,
            sockets: snapshot.sockets,
            cpu_ns: snapshot.shard_cpu_ns_max,
            queued_ns: snapshot.run_queue_ns_max,
        });
        let shards = self.reached.len();
        let second = self.open.entry(snapshot.end_s).or_insert_with(|| Second::new(shards));
        second.take_in(&own);
        second.sum.add(snapshot);
    }

    fn end(&mut self, shard: usize) {
        self.ended[shard] = true;
    }

    fn end_all(&mut self) {
        self.ended.fill(true);
    }

    fn all_ended(&self) -> bool {
        self.ended.iter().all(|&ended| ended)
    }

    fn running(&self) -> impl Iterator<Item = usize> {
        self.ended.iter().enumerate().filter(|(_, ended)| !**ended).map(|(shard, _)| shard)
    }

    /// The earliest second to which no shard has anything to add. A shard that was behind reports several seconds as one; those of the
    /// others are then joined, so that each span handed on is a span of all shards.
    fn complete(&mut self) -> Option<Box<Snapshot>> {
        loop {
            let first = self.open.first_entry()?;
            let end_s = *first.key();
            let passed = |shard: usize| self.ended[shard] || self.reached[shard] >= end_s;
            if !(0..self.reached.len()).all(passed) {
                return None;
            }
            let second = first.remove();
            // A shard that has reported only past this second tells of it in one of those to come.
            let whole = |(shard, own): (usize, &Option<Gauges>)| own.is_some() || self.reached[shard] < end_s;
            let whole = second.shards.iter().enumerate().all(whole);
            match self.open.first_entry() {
                Some(mut next) if !whole => next.get_mut().take_in(&second),
                _ => return Some(Box::new(second.into_snapshot())),
            }
        }
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
        seconds.add(0, &second(1, 10));
        seconds.add(0, &second(2, 20));
        assert!(seconds.complete().is_none());
        seconds.add(1, &second(1, 1));
        let first = seconds.complete().expect("both have passed second 1");
        assert_eq!((first.end_s, first.counts.planned), (1, 11));
        assert!(seconds.complete().is_none());
        seconds.end(1);
        assert_eq!(seconds.complete().expect("shard 1 has ended").counts.planned, 20);
        assert!(!seconds.all_ended());
    }

    #[test]
    fn seconds_that_a_shard_reports_as_one_are_joined_for_all() {
        let shown = |end_s, users, cpu_ns| Snapshot {
            end_s,
            users,
            sockets: users,
            shard_cpu_ns_max: cpu_ns,
            run_queue_ns_max: Some(2 * cpu_ns),
            ..second(end_s, 1)
        };
        let mut seconds = Seconds::new(2);
        for (end_s, users) in [(1, 4), (2, 5), (3, 6)] {
            seconds.add(0, &shown(end_s, users, 100));
        }
        seconds.add(1, &shown(3, 50, 150));
        let joined = seconds.complete().expect("both have passed second 3");
        assert_eq!((joined.end_s, joined.counts.planned), (3, 4));
        assert_eq!((joined.users, joined.sockets), (56, 56), "each shard's users once, as they were last");
        assert_eq!(joined.shard_cpu_ns_max, 300, "the CPU time of the busiest thread over the whole span");
        assert_eq!(joined.run_queue_ns_max, Some(600), "and the waiting of the one that waited most");
        assert!(seconds.complete().is_none());
    }

    #[test]
    fn the_last_seconds_of_a_shard_that_ended_wait_for_nobody() {
        let mut seconds = Seconds::new(2);
        seconds.add(0, &second(1, 1));
        seconds.add(0, &second(2, 1));
        seconds.add(1, &second(1, 1));
        seconds.end(1);
        assert_eq!(seconds.complete().expect("both").counts.planned, 2);
        assert_eq!(seconds.complete().expect("the other has ended before").counts.planned, 1);
    }

    fn agent(shards: usize) -> (Agent, mpsc::Sender<(usize, Report)>) {
        let (sender, reports) = mpsc::channel(8);
        let seconds = Seconds::new(shards);
        (Agent { commands: Vec::new(), reports, seconds, process: Process::default(), failure: None }, sender)
    }

    #[tokio::test]
    async fn a_shard_that_panics_is_a_failure_and_not_a_wait() {
        let (mut agent, merged) = agent(1);
        let (report, reports) = mpsc::channel(8);
        report.send(Report::Snapshot(Box::new(second(1, 5)))).await.expect("room");
        drop(report);
        forward(0, reports, merged.clone()).await;
        assert!(matches!(agent.next().await, AgentReport::Second(second) if second.counts.planned == 5));
        let AgentReport::Failed(text) = agent.next().await else { panic!("it did not say that it ended") };
        assert_eq!(text, "shard 0 ended without a word: it panicked");
        assert!(matches!(agent.next().await, AgentReport::Ended));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_hangs_is_named_after_what_the_others_did() {
        let (mut agent, merged) = agent(2);
        merged.send((0, Report::Snapshot(Box::new(second(1, 5))))).await.expect("room");
        merged.send((0, Report::Ended)).await.expect("room");
        let hangs = tokio::time::timeout(std::time::Duration::from_millis(20), agent.next()).await;
        assert!(hangs.is_err(), "shard 1 has not passed second 1");
        agent.give_up();
        assert!(matches!(agent.next().await, AgentReport::Second(second) if second.counts.planned == 5));
        let AgentReport::Failed(text) = agent.next().await else { panic!("the hanging shard is not named") };
        assert_eq!(text, "shard 1 did not end when it was told to");
        assert!(matches!(agent.next().await, AgentReport::Ended));
    }
}
