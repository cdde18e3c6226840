//! Lines that have ended and are to be opened again. The wait before it is the user's own time: it thinks, keeps its pace and reads its other
//! lines meanwhile, and only a step that needs the line waits for it.

use super::events::End;
use super::line::{Again, backoff};
use super::shard::Shard;
use super::step::nanos;
use super::user::User;
use crate::clock::Nanos;
use crate::scenario::plan::{Reconnect, SocketId, StreamId};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// One of a user's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Socket(SocketId),
    Stream(StreamId),
}

impl User {
    /// Waits until an instant and reads meanwhile what is open. What ends and has a `reconnect` is opened again when it is time; what has none
    /// is left for the next step that works on it. Yields when the user was free again: an opening that began before the instant may end
    /// after it, and then it was the server that kept the user. One who `may_leave` does so as soon as it is told to.
    pub(super) async fn attend(&mut self, until_ns: Nanos, may_leave: bool) -> Nanos {
        let shard = Rc::clone(&self.shard);
        let mut free_ns = until_ns;
        loop {
            let next = self.next_attempt();
            if let Some((held, _)) = next.filter(|&(_, at_ns)| at_ns <= shard.clock.now()) {
                match held {
                    Held::Socket(id) => self.ws_reopen(&shard, id).await,
                    Held::Stream(id) => self.sse_reopen(&shard, id).await,
                }
                free_ns = free_ns.max(shard.clock.now());
                continue;
            }
            let stop_ns = next.map_or(until_ns, |(_, at_ns)| at_ns.min(until_ns));
            match self.watch(&shard, stop_ns, may_leave).await {
                Some(Held::Socket(id)) => self.ws_ended_unasked(&shard, id),
                Some(Held::Stream(id)) => self.sse_ended_unasked(&shard, id),
                None if may_leave && self.control.retire.get() => return free_ns,
                None if stop_ns == until_ns && shard.clock.now() >= until_ns => return free_ns,
                None => {}
            }
        }
    }

    /// Reads until an instant, or until a line with a `reconnect` has ended that nobody knows of yet, or the user may leave and is told to.
    async fn watch(&mut self, shard: &Shard, until_ns: Nanos, may_leave: bool) -> Option<Held> {
        let (sockets, streams, control) = (&mut self.sockets, &mut self.streams, &self.control);
        let count = |overflowed| shard.recorder.borrow_mut().requests.streams.overflowed += overflowed;
        let watching = std::future::poll_fn(|context| {
            if may_leave && control.poll_dismissed(context) {
                return Poll::Ready(None);
            }
            for (id, socket) in (0..).zip(sockets.iter_mut()) {
                let Some(socket) = socket else { continue };
                count(socket.line.poll_fill(context));
                if socket.line.has_ended_unknown() && socket.open.reconnect.is_some() {
                    return Poll::Ready(Some(Held::Socket(id)));
                }
            }
            for (id, stream) in (0..).zip(streams.iter_mut()) {
                let Some(stream) = stream else { continue };
                count(stream.line.poll_fill(context));
                if stream.line.has_ended_unknown() && stream.open.reconnect.is_some() {
                    return Poll::Ready(Some(Held::Stream(id)));
                }
            }
            Poll::Pending
        });
        self.timer.within(shard.clock.instant(until_ns), watching).await.ok().flatten()
    }

    /// The line that is to be opened again first, and when.
    fn next_attempt(&self) -> Option<(Held, Nanos)> {
        let sockets = (0..)
            .zip(&self.sockets)
            .filter_map(|(id, socket)| Some((Held::Socket(id), socket.as_ref()?.line.again.at_ns?)));
        let streams = (0..)
            .zip(&self.streams)
            .filter_map(|(id, events)| Some((Held::Stream(id), events.as_ref()?.line.again.at_ns?)));
        sockets.chain(streams).min_by_key(|&(_, at_ns)| at_ns)
    }

    /// What is known of opening a line again; nothing of one that is not there.
    fn again(&mut self, held: Held) -> Option<&mut Again> {
        match held {
            Held::Socket(id) => self.sockets[usize::from(id)].as_mut().map(|it| &mut it.line.again),
            Held::Stream(id) => self.streams[usize::from(id)].as_mut().map(|it| &mut it.line.again),
        }
    }

    /// When a line is to be opened again, if it is.
    pub(super) fn retry_at_ns(&mut self, held: Held) -> Option<Nanos> {
        self.again(held)?.at_ns
    }

    /// Whether a user who was told to leave has given this line up for that.
    pub(super) fn has_left(&mut self, held: Held) -> bool {
        self.again(held).is_some_and(|again| again.left)
    }

    /// Whether something that came has not been taken yet.
    pub(super) fn has_messages(&self, held: Held) -> bool {
        match held {
            Held::Socket(id) => {
                self.sockets[usize::from(id)].as_ref().is_some_and(|it| it.line.has_messages())
            }
            Held::Stream(id) => {
                self.streams[usize::from(id)].as_ref().is_some_and(|it| it.line.has_messages())
            }
        }
    }

    /// Waits while a line is being opened again, at most until an instant. A user who is told to leave gives it up.
    pub(super) async fn await_line(&mut self, held: Held, until_ns: Nanos) {
        while let Some(at_ns) = self.retry_at_ns(held) {
            let now = self.shard.clock.now();
            if self.leaves(held) || now >= until_ns {
                return;
            }
            Box::pin(self.attend(at_ns.min(until_ns), true)).await;
        }
    }

    /// The same for a step that wants messages: those that came before the end are there already.
    pub(super) async fn await_messages(&mut self, held: Held, until_ns: Nanos) {
        if !self.has_messages(held) {
            self.await_line(held, until_ns).await;
        }
    }

    /// A line that would be opened again if its user stayed is left by one who does not.
    fn leaves(&mut self, held: Held) -> bool {
        let leaves = self.control.retire.get();
        if leaves {
            self.again(held).into_iter().for_each(Again::leave);
        }
        leaves
    }

    /// A line is not opened again. It is forgotten, unless a step may still ask for what it has brought.
    fn give_up(&mut self, held: Held) {
        match held {
            Held::Socket(id) => {
                self.sockets[usize::from(id)].take_if(|socket| !socket.line.give_up());
            }
            Held::Stream(id) => {
                self.streams[usize::from(id)].take_if(|events| !events.line.give_up());
            }
        }
    }

    /// Of a line that has ended: it is to be opened again if its opening says so, or else given up.
    fn lost(&mut self, shard: &Shard, held: Held, reconnect: Option<Reconnect>, asked: Option<Duration>) {
        let Some(again) = self.again(held) else { return };
        let (attempt, over) = (again.attempts + 1, again.over);
        let Some(rules) = reconnect.filter(|rules| attempt <= rules.max && !over) else {
            return self.give_up(held);
        };
        if self.leaves(held) {
            return;
        }
        let wait = backoff(rules, attempt, asked, self.session.stream());
        if let Some(again) = self.again(held) {
            again.attempts = attempt;
            again.at_ns = Some(shard.clock.now().saturating_add(nanos(wait)));
        }
    }

    pub(super) fn ws_lost(&mut self, shard: &Shard, id: SocketId) {
        let Some(socket) = self.sockets[usize::from(id)].as_mut() else { return };
        socket.line.cut();
        let reconnect = socket.open.reconnect;
        self.lost(shard, Held::Socket(id), reconnect, None);
    }

    /// The same for an event stream, which may have left something for the connection after it.
    pub(super) fn sse_lost(&mut self, shard: &Shard, id: StreamId, end: Option<End>) {
        let Some(events) = self.streams[usize::from(id)].as_mut() else { return };
        if let Some(end) = end {
            events.remember(end);
        }
        events.line.cut();
        let (reconnect, asked) = (events.open.reconnect, events.retry);
        self.lost(shard, Held::Stream(id), reconnect, asked);
    }

    async fn ws_reopen(&mut self, shard: &Shard, id: SocketId) {
        let Some(socket) = self.sockets[usize::from(id)].as_mut() else { return };
        socket.line.again.at_ns = None;
        let open = Rc::clone(&socket.open);
        if self.leaves(Held::Socket(id)) {
            return;
        }
        shard.recorder.borrow_mut().requests.streams.reconnects += 1;
        match Box::pin(self.ws_dial(shard, &open, None)).await {
            Ok(stream) => {
                let Some(socket) = self.sockets[usize::from(id)].as_mut() else { return };
                socket.line.renew(stream, shard.count_socket());
                if !Box::pin(self.ws_resend(shard, id)).await {
                    self.ws_lost(shard, id);
                }
            }
            Err(unopened) if unopened.for_good => self.give_up(Held::Socket(id)),
            Err(_) => self.ws_lost(shard, id),
        }
    }

    async fn sse_reopen(&mut self, shard: &Shard, id: StreamId) {
        let Some(events) = self.streams[usize::from(id)].as_mut() else { return };
        events.line.again.at_ns = None;
        let (open, last_event_id) = (Rc::clone(&events.open), events.last_event_id.clone());
        if self.leaves(Held::Stream(id)) {
            return;
        }
        shard.recorder.borrow_mut().requests.streams.reconnects += 1;
        match Box::pin(self.sse_dial(shard, &open, None, &last_event_id)).await {
            Ok(stream) => {
                let Some(events) = self.streams[usize::from(id)].as_mut() else { return };
                events.line.renew(stream, shard.count_socket());
            }
            Err(unopened) if unopened.for_good => self.give_up(Held::Stream(id)),
            Err(_) => self.sse_lost(shard, id, None),
        }
    }
}
