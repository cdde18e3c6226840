//! Agents as child processes of the coordinator: the same executable, told over a socket pair what the run is. They are started where the
//! users of a run do not fit the descriptors or ports of one process.

use super::crew::Crew;
use super::frame;
use super::last_words::LastWords;
use super::protocol::{Begin, Order, Word};
use crate::clock::{self, Clock};
use crate::engine::route::Destination;
use crate::engine::shard::{Command, Report};
use crate::limits::{
    AGENT_READY_TIMEOUT, AGENT_SILENCE_MAX, AGENT_STDERR_BYTES_MAX, AGENTS_START_DELAY, SNAPSHOT_QUEUE_MAX,
};
use crate::scenario::recipe::Recipe;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command as Executable};
use tokio::sync::mpsc;

/// Why agents could not be started. Each names the agent by its number, from 0.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    #[error("cannot start agent {index}: {source}")]
    Spawn { index: u32, source: io::Error },
    #[error("agent {index} cannot take part: {reason}")]
    Refused { index: u32, reason: String },
    #[error("agent {index} was not ready within {AGENT_READY_TIMEOUT:?}; the machine is overloaded")]
    NotReady { index: u32 },
}

/// What all agents of a run are told alike.
pub struct Muster<'a> {
    /// `EXECUTABLE agent` serves over its standard input.
    pub executable: &'a Path,
    pub recipe: &'a Recipe,
    pub agents: u32,
    /// Of each agent.
    pub shards: u32,
    pub http: Option<Destination>,
    pub ws: Option<Destination>,
}

/// Starts all agents, waits until each has made its plan, and gives them one zero to start from.
///
/// # Errors
/// The first agent that could not be started or would not take part; the others are ended.
pub async fn start(muster: Muster<'_>) -> Result<(Crew, Clock), ChildError> {
    let mut links = Vec::new();
    for index in 0..muster.agents {
        links.push(spawn(&muster, index).map_err(|source| ChildError::Spawn { index, source })?);
    }
    for link in &mut links {
        link.begin(&muster).await?;
    }
    for link in &mut links {
        link.ready().await?;
    }
    let zero_unix_ns = clock::unix_ns() + u64::try_from(AGENTS_START_DELAY.as_nanos()).unwrap_or(0);
    let (merged, reports) = mpsc::channel(SNAPSHOT_QUEUE_MAX * links.len());
    let mut commands = Vec::new();
    for mut link in links {
        // An agent that is gone already is told by its reports.
        let _ = frame::send(&mut link.orders, &Order::Start { zero_unix_ns }).await;
        let (command, told) = mpsc::unbounded_channel();
        commands.push(command);
        tokio::spawn(pass_on(link.orders, told));
        tokio::spawn(
            Reports { index: link.index, words: link.words, child: link.child, said: link.said }
                .collect(merged.clone()),
        );
    }
    Ok((Crew::of_agents(commands, reports), Clock::with_zero_at(zero_unix_ns)))
}

struct Link {
    index: u32,
    orders: OwnedWriteHalf,
    words: OwnedReadHalf,
    child: Child,
    said: LastWords,
}

fn spawn(muster: &Muster<'_>, index: u32) -> io::Result<Link> {
    let (here, there) = std::os::unix::net::UnixStream::pair()?;
    here.set_nonblocking(true)?;
    let mut command = Executable::new(muster.executable);
    command
        .arg("agent")
        .stdin(Stdio::from(OwnedFd::from(there)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // A group of its own: ctrl-C in the terminal is for the coordinator, which then tells its agents.
        .process_group(0);
    let mut child = command.spawn()?;
    let said = child.stderr.take().map(|stderr| LastWords::of(stderr, AGENT_STDERR_BYTES_MAX));
    let (words, orders) = UnixStream::from_std(here)?.into_split();
    Ok(Link { index, orders, words, child, said: said.unwrap_or_default() })
}

impl Link {
    async fn begin(&mut self, muster: &Muster<'_>) -> Result<(), ChildError> {
        let begin = Order::Begin(Box::new(Begin {
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            recipe: muster.recipe.clone(),
            index: self.index,
            count: muster.agents,
            shards: muster.shards,
            http: muster.http.clone(),
            ws: muster.ws.clone(),
        }));
        let refused = |error: io::Error| ChildError::Refused { index: self.index, reason: error.to_string() };
        match tokio::time::timeout(AGENT_READY_TIMEOUT, frame::send(&mut self.orders, &begin)).await {
            Ok(sent) => sent.map_err(refused),
            Err(_elapsed) => Err(ChildError::NotReady { index: self.index }),
        }
    }

    async fn ready(&mut self) -> Result<(), ChildError> {
        let index = self.index;
        match tokio::time::timeout(AGENT_READY_TIMEOUT, frame::receive(&mut self.words)).await {
            Ok(Ok(Some(Word::Ready))) => Ok(()),
            Ok(Ok(Some(Word::Refused(reason)))) => Err(ChildError::Refused { index, reason }),
            Ok(Ok(Some(Word::Report(_)))) => {
                Err(ChildError::Refused { index, reason: "it reports before the run".into() })
            }
            Ok(Ok(None) | Err(_)) => {
                Err(ChildError::Refused { index, reason: ending(&mut self.child, &self.said).await })
            }
            Err(_elapsed) => Err(ChildError::NotReady { index }),
        }
    }
}

/// How a process ended, for a message.
async fn ending(child: &mut Child, said: &LastWords) -> String {
    // Its link is closed, so it is ending or broken; either way it shall be gone.
    let status = match tokio::time::timeout(Duration::from_secs(1), child.wait()).await {
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => {
            let _ = child.start_kill();
            "it closed its link and went on".to_owned()
        }
    };
    format!("its process ended ({status}){}", said.suffix())
}

/// Writes commands as they come; ends, and closes the agent's link, when the crew is dropped.
async fn pass_on(mut orders: OwnedWriteHalf, mut told: mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = told.recv().await {
        if frame::send(&mut orders, &Order::Command(command)).await.is_err() {
            return;
        }
    }
}

/// What an agent says next; nothing once it has been silent for too long. Counted in looks and not by the clock: where the machine was
/// stopped for a while as a whole, nobody was silent.
async fn spoken(words: &mut OwnedReadHalf) -> Option<io::Result<Option<Word>>> {
    let mut speaking = std::pin::pin!(frame::receive(words));
    for _ in 0..AGENT_SILENCE_MAX.as_secs() {
        if let Ok(said) = tokio::time::timeout(Duration::from_secs(1), &mut speaking).await {
            return Some(said);
        }
    }
    None
}

/// The reports of one agent, and the process that owes them.
struct Reports {
    index: u32,
    words: OwnedReadHalf,
    child: Child,
    said: LastWords,
}

impl Reports {
    /// Hands on every report. An agent that goes, or falls silent, without a last word is lost.
    async fn collect(mut self, merged: mpsc::Sender<(usize, Report)>) {
        let index = self.index;
        let member = index as usize;
        loop {
            let report = match spoken(&mut self.words).await {
                Some(Ok(Some(Word::Report(report)))) => report,
                Some(Ok(Some(other))) => {
                    Report::Lost(format!("agent {index} is out of step: it said {other:?}"))
                }
                Some(Ok(None) | Err(_)) => {
                    let ending = ending(&mut self.child, &self.said).await;
                    Report::Lost(format!("agent {index} is lost: {ending}"))
                }
                None => {
                    let _ = self.child.start_kill();
                    let silence = AGENT_SILENCE_MAX.as_secs();
                    Report::Lost(format!(
                        "agent {index} is lost: it said nothing for {silence} s and was ended"
                    ))
                }
            };
            let last = !matches!(report, Report::Snapshot(_));
            // Without a coordinator there is nobody left to tell.
            if merged.send((member, report)).await.is_err() || last {
                break;
            }
        }
        let _ = self.child.wait().await;
    }
}
