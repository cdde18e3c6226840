//! A crew: members that carry load and report by the second, seen as one. The members are the shards of an agent, each on its thread, or
//! the agents of a run, each a process; words to them go to all alike, and their seconds are merged as they complete.

use super::seconds::Seconds;
use super::usage::Usage;
use crate::clock::{Clock, Nanos};
use crate::engine::route::Route;
use crate::engine::shard::{self, Command, Report, Setup};
use crate::limits::{AGENT_SILENCE_MAX, SNAPSHOT_QUEUE_MAX};
use crate::load::share::Share;
use crate::measure::snapshot::Snapshot;
use crate::scenario::plan::Plan;
use crate::transport;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

/// What a crew tells whoever leads it.
#[derive(Debug)]
pub enum CrewReport {
    /// A second of all its members.
    Second(Box<Snapshot>),
    /// A member could not go on; its users are counted as interrupted in the seconds before.
    Failed(String),
    /// A member is gone, and what it had under way with it. What it did until `reached_ns` is in the seconds before.
    Lost {
        member: usize,
        reached_ns: Nanos,
        text: String,
    },
    Ended,
}

pub struct Crew {
    /// `shard` or `agent`, for messages.
    what: &'static str,
    commands: Vec<mpsc::UnboundedSender<Command>>,
    reports: mpsc::Receiver<(usize, Report)>,
    seconds: Seconds,
    usage: Usage,
    failure: Option<CrewReport>,
}

impl Crew {
    /// Starts `shards` threads that carry the whole of `share`.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn of_shards(
        plan: &Arc<Plan>,
        share: Share,
        shards: u32,
        clock: Clock,
        (http, ws): (Option<Route>, Option<Route>),
    ) -> std::io::Result<Self> {
        transport::reserve_descriptors();
        let (merged, reports) = mpsc::channel(SNAPSHOT_QUEUE_MAX * shards as usize);
        let mut commands = Vec::new();
        for index in 0..shards {
            let (command, orders) = mpsc::unbounded_channel();
            let (report, out) = mpsc::channel(SNAPSHOT_QUEUE_MAX);
            commands.push(command);
            let share = share.of(index, shards).unwrap_or(share);
            let setup = Setup {
                plan: Arc::clone(plan),
                share,
                clock,
                http: http.clone(),
                ws: ws.clone(),
                read_error_one_in: transport::READ_ERROR_ONE_IN,
            };
            std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || shard::run(setup, orders, report))?;
            tokio::spawn(forward(index as usize, out, merged.clone()));
        }
        Ok(Self::new("shard", commands, reports))
    }

    /// A crew of agents: each has a way to be told something and reports under its own number.
    pub(super) fn of_agents(
        commands: Vec<mpsc::UnboundedSender<Command>>,
        reports: mpsc::Receiver<(usize, Report)>,
    ) -> Self {
        Self::new("agent", commands, reports)
    }

    fn new(
        what: &'static str,
        commands: Vec<mpsc::UnboundedSender<Command>>,
        reports: mpsc::Receiver<(usize, Report)>,
    ) -> Self {
        let seconds = Seconds::new(commands.len());
        Self { what, seconds, commands, reports, usage: Usage::default(), failure: None }
    }

    pub fn tell(&self, command: Command) {
        for member in &self.commands {
            // A member that has ended needs no more words.
            let _ = member.send(command);
        }
    }

    /// The next second that is complete over all members, or the end.
    pub async fn next(&mut self) -> CrewReport {
        loop {
            if let Some(mut second) = self.seconds.complete() {
                self.usage.tell(&mut second);
                return CrewReport::Second(second);
            }
            if let Some(failure) = self.failure.take() {
                return failure;
            }
            if self.seconds.all_ended() {
                return CrewReport::Ended;
            }
            let report = match self.reports.try_recv() {
                Err(TryRecvError::Empty) => {
                    // All that was said has been heard: whoever is behind now is silent, and not just not listened to.
                    if let Some(mut second) = self.seconds.overdue() {
                        self.usage.tell(&mut second);
                        return CrewReport::Second(second);
                    }
                    self.reports.recv().await
                }
                heard => heard.ok(),
            };
            match report {
                Some((member, Report::Snapshot(snapshot))) => self.seconds.add(member, snapshot),
                Some((member, Report::Ended)) => self.seconds.end(member),
                Some((member, Report::Failed(text))) => self.fail(member, CrewReport::Failed(text)),
                Some((member, Report::Lost(text))) => {
                    let reached_ns = self.seconds.reached_ns(member);
                    self.fail(member, CrewReport::Lost { member, reached_ns, text });
                }
                // Nobody is left who could say more.
                None => self.seconds.end_all(),
            }
        }
    }

    fn fail(&mut self, member: usize, failure: CrewReport) {
        self.failure = Some(failure);
        self.seconds.end(member);
    }

    /// Waits no longer for members that do not end: what the others have reported follows, then a failure that names those that hang.
    pub fn give_up(&mut self) {
        let hanging: Vec<String> = self.seconds.running().map(|member| member.to_string()).collect();
        if !hanging.is_empty() {
            let (what, hanging) = (self.what, hanging.join(", "));
            self.failure.get_or_insert_with(|| {
                CrewReport::Failed(format!("{what} {hanging} did not end when it was told to"))
            });
        }
        self.seconds.end_all();
    }
}

/// Hands on what a shard reports, and says its last word for it should it end or fall silent without one.
async fn forward(shard: usize, mut reports: mpsc::Receiver<Report>, merged: mpsc::Sender<(usize, Report)>) {
    // Counted in looks and not by the clock: a process that was stopped for a while as a whole has no silent shards.
    let mut silent_s = 0;
    loop {
        let report = match tokio::time::timeout(Duration::from_secs(1), reports.recv()).await {
            Ok(Some(report)) => report,
            Ok(None) => Report::Failed(format!("shard {shard} ended without a word: it panicked")),
            Err(_elapsed) if silent_s + 1 < AGENT_SILENCE_MAX.as_secs() => {
                silent_s += 1;
                continue;
            }
            Err(_elapsed) => {
                let silence = AGENT_SILENCE_MAX.as_secs();
                Report::Failed(format!(
                    "shard {shard} said nothing for {silence} s; is the machine overloaded?"
                ))
            }
        };
        silent_s = 0;
        let last = !matches!(report, Report::Snapshot(_));
        // Without a coordinator there is nobody left to tell.
        if merged.send((shard, report)).await.is_err() || last {
            return;
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

    fn crew(shards: usize) -> (Crew, mpsc::Sender<(usize, Report)>) {
        let (sender, reports) = mpsc::channel(8);
        let commands = (0..shards).map(|_| mpsc::unbounded_channel().0).collect();
        (Crew::new("shard", commands, reports), sender)
    }

    #[tokio::test]
    async fn a_shard_that_panics_is_a_failure_and_not_a_wait() {
        let (mut crew, merged) = crew(1);
        let (report, reports) = mpsc::channel(8);
        report.send(Report::Snapshot(Box::new(second(1, 5)))).await.expect("room");
        drop(report);
        forward(0, reports, merged.clone()).await;
        assert!(matches!(crew.next().await, CrewReport::Second(second) if second.counts.planned == 5));
        let CrewReport::Failed(text) = crew.next().await else { panic!("it did not say that it ended") };
        assert_eq!(text, "shard 0 ended without a word: it panicked");
        assert!(matches!(crew.next().await, CrewReport::Ended));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_falls_silent_is_a_failure_after_ten_seconds() {
        let (mut crew, merged) = crew(1);
        let (report, reports) = mpsc::channel(8);
        report.send(Report::Snapshot(Box::new(second(1, 5)))).await.expect("room");
        tokio::spawn(forward(0, reports, merged));
        assert!(matches!(crew.next().await, CrewReport::Second(second) if second.counts.planned == 5));
        let almost = Duration::from_millis(9_900);
        assert!(tokio::time::timeout(almost, crew.next()).await.is_err(), "not before");
        let CrewReport::Failed(text) = crew.next().await else { panic!("the silent shard is not named") };
        assert_eq!(text, "shard 0 said nothing for 10 s; is the machine overloaded?");
        assert!(matches!(crew.next().await, CrewReport::Ended));
    }

    #[tokio::test(start_paused = true)]
    async fn the_seconds_of_the_others_go_on_while_a_shard_is_silent() {
        let (mut crew, merged) = crew(2);
        let tell = async |shard, end_s| {
            let report = Report::Snapshot(Box::new(second(end_s, 1)));
            merged.send((shard, report)).await.expect("room");
        };
        // All of it is there when it is looked at: nobody is silent.
        for (shard, end_s) in [(0, 1), (0, 2), (0, 3), (0, 4), (1, 4)] {
            tell(shard, end_s).await;
        }
        assert!(matches!(crew.next().await, CrewReport::Second(all) if all.end_s == 4 && !all.late));
        for end_s in 5..=8 {
            tell(0, end_s).await;
        }
        assert!(matches!(crew.next().await, CrewReport::Second(one) if one.end_s == 5 && one.late));
        assert!(tokio::time::timeout(Duration::from_secs(1), crew.next()).await.is_err(), "6 is waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_hangs_is_named_after_what_the_others_did() {
        let (mut crew, merged) = crew(2);
        merged.send((0, Report::Snapshot(Box::new(second(1, 5))))).await.expect("room");
        merged.send((0, Report::Ended)).await.expect("room");
        let hangs = tokio::time::timeout(Duration::from_millis(20), crew.next()).await;
        assert!(hangs.is_err(), "shard 1 has not passed second 1");
        crew.give_up();
        assert!(matches!(crew.next().await, CrewReport::Second(second) if second.counts.planned == 5));
        let CrewReport::Failed(text) = crew.next().await else { panic!("the hanging shard is not named") };
        assert_eq!(text, "shard 1 did not end when it was told to");
        assert!(matches!(crew.next().await, CrewReport::Ended));
    }
}
