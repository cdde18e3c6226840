//! An agent in a process of its own: it is told over its link what the run is, makes the same plan, carries its share of it with a crew of
//! shards, and reports by the second. When the link closes the coordinator is gone, and the agent ends with it.

use super::crew::{Crew, CrewReport};
use super::frame;
use super::protocol::{Begin, Order, Word};
use crate::clock::Clock;
use crate::engine::route::Route;
use crate::engine::shard::{Command, Report};
use crate::load::share::Share;
use crate::scenario::plan::Plan;
use std::io::{Error, Result};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Orders under way from the link to the crew; a handful a second at most.
const ORDERS_QUEUE_MAX: usize = 64;

/// Takes part in one run over `link`, from the first order to the last word.
///
/// # Errors
/// When the link breaks or carries something else than the protocol.
pub async fn serve(link: OwnedFd, env: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    let link = std::os::unix::net::UnixStream::from(link);
    link.set_nonblocking(true)?;
    let (mut orders, mut words) = UnixStream::from_std(link)?.into_split();
    let begin = match frame::receive(&mut orders).await? {
        Some(Order::Begin(begin)) => begin,
        Some(other) => return Err(Error::other(format!("told {other:?} before the run"))),
        None => return Ok(()),
    };
    let share = match Part::of(&begin, env) {
        Ok(part) => part,
        Err(reason) => return frame::send(&mut words, &Word::Refused(reason)).await,
    };
    frame::send(&mut words, &Word::Ready).await?;
    let zero_unix_ns = match frame::receive(&mut orders).await? {
        Some(Order::Start { zero_unix_ns }) => zero_unix_ns,
        // The run was called off.
        Some(Order::Command(_)) | None => return Ok(()),
        Some(Order::Begin(_)) => return Err(Error::other("told twice to begin")),
    };
    let clock = Clock::with_zero_at(zero_unix_ns);
    let crew = Crew::of_shards(&share.plan, share.share, begin.shards, clock, (share.http, share.ws))?;
    let (heard, commands) = mpsc::channel(ORDERS_QUEUE_MAX);
    tokio::spawn(listen(orders, heard));
    report(crew, commands, &mut words).await
}

/// Says what the crew has to tell, to the last word, and tells it what comes over the link.
async fn report(
    mut crew: Crew,
    mut commands: mpsc::Receiver<Command>,
    words: &mut (impl AsyncWrite + Unpin),
) -> Result<()> {
    let (mut deaf, mut failure) = (false, None);
    loop {
        let report = tokio::select! {
            command = commands.recv(), if !deaf => {
                // A coordinator that is gone reads no result, and nobody would end the load.
                deaf = command.is_none();
                crew.tell(command.unwrap_or(Command::Abort));
                continue;
            }
            report = crew.next() => report,
        };
        let report = match report {
            CrewReport::Second(second) => Report::Snapshot(second),
            CrewReport::Failed(text) | CrewReport::Lost { text, .. } => {
                // Without one shard the run is over, but what the others have measured is not said yet.
                failure.get_or_insert(text);
                crew.tell(Command::Abort);
                continue;
            }
            CrewReport::Ended => {
                let last = failure.map_or(Report::Ended, Report::Failed);
                return frame::send(words, &Word::Report(last)).await;
            }
        };
        frame::send(words, &Word::Report(report)).await?;
    }
}

/// This agent's part in the run.
struct Part {
    plan: Arc<Plan>,
    share: Share,
    http: Option<Route>,
    ws: Option<Route>,
}

impl Part {
    /// `Err` says why this process cannot take part.
    fn of(begin: &Begin, env: &dyn Fn(&str) -> Option<String>) -> std::result::Result<Self, String> {
        let mine = env!("CARGO_PKG_VERSION");
        if begin.tool_version != mine {
            return Err(format!(
                "the coordinator is version {} and this agent {mine}: use the same on both",
                begin.tool_version
            ));
        }
        let share = Share::new(begin.index, begin.count)
            .ok_or_else(|| format!("there is no agent {} of {}", begin.index, begin.count))?;
        let plan = begin.recipe.plan(env).map_err(|problems| problems.render(false, 100))?;
        let route = |destination: &Option<_>| {
            destination.as_ref().map(|destination| Route::to(destination, &plan.target)).transpose()
        };
        let failed = |error: crate::transport::tls::TlsSetupError| format!("TLS: {error}");
        let (http, ws) = (route(&begin.http).map_err(failed)?, route(&begin.ws).map_err(failed)?);
        Ok(Self { plan: Arc::new(plan), share, http, ws })
    }
}

/// Reads orders in a task of its own, since a frame must be read to its end. Ends, and drops its sender, with the link.
async fn listen(mut orders: impl AsyncRead + Unpin, heard: mpsc::Sender<Command>) {
    while let Ok(Some(Order::Command(command))) = frame::receive(&mut orders).await {
        if heard.send(command).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::snapshot::Snapshot;

    #[tokio::test]
    async fn what_the_others_have_measured_is_said_before_the_failure() {
        let (merged, reports) = mpsc::channel(8);
        let (orders, mut heard): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::unbounded_channel()).unzip();
        let crew = Crew::of_agents(orders, reports);
        let (_say, commands) = mpsc::channel(1);
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let telling = tokio::spawn(async move {
            let mut near = near;
            report(crew, commands, &mut near).await
        });
        let second = |end_s| {
            let mut second = Snapshot { end_s, ..Snapshot::default() };
            second.counts.planned = 7;
            Report::Snapshot(Box::new(second))
        };
        merged.send((0, Report::Failed("it broke".to_owned()))).await.expect("room");
        assert_eq!(heard[1].recv().await, Some(Command::Abort), "the other is told to end");
        merged.send((1, second(1))).await.expect("room");
        merged.send((1, Report::Ended)).await.expect("room");
        telling.await.expect("no panic").expect("the link holds");
        let mut planned = 0;
        loop {
            match frame::receive(&mut far).await.expect("a word") {
                Some(Word::Report(Report::Snapshot(second))) => planned += second.counts.planned,
                Some(Word::Report(Report::Failed(text))) => break assert_eq!(text, "it broke"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(planned, 7);
    }
}
