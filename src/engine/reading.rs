//! A user reads its lines whatever else it waits for: so a message is timed when it came, a ping is answered, and an end is noticed.

use super::events::Events;
use super::line::Asked;
use super::shard::Shard;
use super::socket::Socket;
use super::timer::Elapsed;
use super::user::User;
use std::pin::pin;
use std::task::{Context, Poll};
use tokio::time::Instant;

impl User {
    /// Drives a future until it is ready or the deadline has passed, and reads meanwhile what the user holds open. A line that the future works
    /// on itself is not among that: whoever uses it has taken it out.
    pub(super) async fn reading_lines<F: Future>(
        &mut self,
        deadline: Instant,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let (shard, sockets, streams) = (&self.shard, &mut self.sockets, &mut self.streams);
        let both = std::future::poll_fn(|context| {
            let ended = future.as_mut().poll(context);
            if ended.is_pending() {
                fill(shard, sockets, streams, context);
            }
            ended
        });
        self.timer.within(deadline, both).await
    }

    /// A request is about to be sent: events that come from now on may be its effect. What has come already is not.
    pub(super) async fn ask_streams(&mut self, asked: Asked) {
        std::future::poll_fn(|context| {
            fill(&self.shard, &mut self.sockets, &mut self.streams, context);
            Poll::Ready(())
        })
        .await;
        for events in self.streams.iter_mut().flatten() {
            events.line.asked = asked;
        }
    }
}

/// Takes what has come on all lines.
fn fill(
    shard: &Shard,
    sockets: &mut [Option<Box<Socket>>],
    streams: &mut [Option<Box<Events>>],
    context: &mut Context<'_>,
) {
    let mut overflowed = 0;
    for socket in sockets.iter_mut().flatten() {
        overflowed += socket.line.poll_fill(context);
    }
    for events in streams.iter_mut().flatten() {
        overflowed += events.line.poll_fill(context);
    }
    shard.recorder.borrow_mut().requests.streams.overflowed += overflowed;
}
