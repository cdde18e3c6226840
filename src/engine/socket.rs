//! WebSocket steps. A socket belongs to the user and may outlive an iteration; what is measured is the opening handshake, the time
//! from the last message sent before it to the one that answers it, and the lag of pushed messages that say when they were sent.

use super::heard::{Awaited, Fitting, Heard, heard};
use super::line::{Asked, First, Line, Opened, Opening, Push, Unopened};
use super::render::without_port;
use super::reopen::Held;
use super::resent::Resent;
use super::shard::{NoAnswer, Shard};
use super::step::{StepEnd, connect_outcome, nanos};
use super::tap::Event;
use super::user::User;
use crate::clock::Nanos;
use crate::endpoint::EndpointId;
use crate::limits::WEBSOCKET_CLOSE_WAIT;
use crate::measure::sample::Outcome;
use crate::scenario::extract::BodyCache;
use crate::scenario::matches;
use crate::scenario::plan::{SocketId, WsExpect, WsListen, WsOpen, WsSend};
use crate::scenario::template::{RenderError, Template};
use crate::transport::websocket::{self, Message, Outgoing, Upgrade, WebSocket, WsError};
use crate::transport::{Address, cookies};
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

impl Push for WebSocket {
    type Message = Message;
    type End = WsError;
    type Refusal = WsError;

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, WsError>> {
        Self::poll_next(self, context)
    }

    fn opened_ns(&self) -> Nanos {
        self.opened_ns
    }

    fn bytes_of(message: &Message) -> usize {
        message.bytes().len()
    }

    fn opened(&mut self) -> Opened {
        Opened {
            handshake: self.handshake(),
            sent_ns: self.sent_ns,
            opened_ns: self.opened_ns,
            bytes_sent: 0,
            bytes_received: 0,
        }
    }

    fn outcome_of(error: &WsError) -> Outcome {
        match error {
            WsError::Connect(error) => connect_outcome(*error),
            WsError::Refused { .. } => Outcome::Status,
            WsError::Tls(failure) if failure.is_of_the_client() => Outcome::Connect,
            // Not a byte of such an opening goes out.
            WsError::Header { .. } | WsError::Path => Outcome::Unbound,
            WsError::MessageTooLarge | WsError::Protocol(_) => Outcome::Protocol,
            WsError::Closed { .. } | WsError::Reset | WsError::Tls(_) | WsError::Io(_) => Outcome::Reset,
        }
    }

    fn is_for_good(error: &WsError) -> bool {
        matches!(error, WsError::Header { .. } | WsError::Path)
    }
}

pub(super) struct Socket {
    pub(super) line: Line<WebSocket>,
    /// The step that opened it.
    pub(super) open: Rc<WsOpen>,
    resent: Resent,
}

impl User {
    pub(super) async fn ws_open(&mut self, shard: &Shard, open: &Rc<WsOpen>) -> StepEnd {
        let intended_ns = self.intended_ns.take();
        self.sockets[usize::from(open.socket)] = None;
        let stream = match self.ws_dial(shard, open, Some(First { intended_ns })).await {
            Ok(stream) => stream,
            Err(unopened) => return unopened.end,
        };
        let line = Line::new(stream, shard.count_socket());
        let (open, resent) = (Rc::clone(open), Resent::default());
        let id = usize::from(open.socket);
        self.sockets[id] = Some(Box::new(Socket { line, open, resent }));
        StepEnd::Next
    }

    /// Connects and shakes hands, which is a request of its own in the record.
    pub(super) async fn ws_dial(
        &mut self,
        shard: &Shard,
        open: &WsOpen,
        first: Option<First>,
    ) -> Result<WebSocket, Unopened> {
        let begun_ns = shard.clock.now();
        let again = first.is_none();
        let intended_ns = first.and_then(|first| first.intended_ns).unwrap_or(begun_ns);
        let (path, headers) = self
            .ws_request(shard, open)
            .map_err(|error| Unopened { end: self.unbound(shard, open.endpoint, &error), for_good: true })?;
        let Some(route) = &shard.ws else {
            let text = "the target has no `ws` address".to_owned();
            shard.failed(open.endpoint, intended_ns, &NoAnswer::unsent(Outcome::Connect, text));
            return Err(Unopened { end: StepEnd::Failed, for_good: true });
        };
        let (address, source) = route.lane(shard.next_turn());
        let subprotocol = open.subprotocol.as_deref();
        let upgrade = Upgrade { path: &path, headers: &headers, subprotocol };
        let sent = Cell::new(None);
        let sending = |at_ns| sent.set(Some(at_ns));
        let connecting = websocket::open(address, source, upgrade, sending, &shard.buffers, shard.clock);
        let opening = Opening {
            endpoint: open.endpoint,
            intended_ns,
            begun_ns,
            within: open.within,
            again,
            sent: &sent,
        };
        let mut stream: WebSocket = self.open_line(shard, opening, Box::pin(connecting)).await?;
        let set = stream.take_set_cookies();
        if !set.is_empty() {
            self.keep_cookies(&set, cookies_of(shard, &route.address, &headers, &path));
        }
        if let Some(tap) = &shard.tap {
            let (address, handshake_ns) = (address.addr.to_string(), stream.opened_ns - stream.sent_ns);
            tap.tell(shard, Event::SocketOpened { address, path: path.clone(), handshake_ns });
        }
        Ok(stream)
    }

    /// Sends again what the scenario marked so; false when the fresh connection broke over it.
    pub(super) async fn ws_resend(&mut self, shard: &Shard, id: SocketId) -> bool {
        let Some(socket) = &self.sockets[usize::from(id)] else { return false };
        for (text, binary) in socket.resent.messages() {
            // What is said again is no step of the user's: the plan's instant is for the message that is.
            if let Err((outcome, text)) = self.ws_say(shard, id, text, binary, None).await {
                shard.failed_message(shard.socket_endpoint(id), outcome, &text);
                return false;
            }
        }
        true
    }

    /// A socket that ended while its user was waiting for something else.
    pub(super) fn ws_ended_unasked(&mut self, shard: &Shard, id: SocketId) {
        let end = self.sockets[usize::from(id)].as_mut().and_then(|socket| socket.line.take_end());
        if let Some(error) = end {
            shard.failed_message(
                shard.socket_endpoint(id),
                WebSocket::outcome_of(&error),
                &error.to_string(),
            );
        }
        self.ws_lost(shard, id);
    }

    fn ws_request(
        &mut self,
        shard: &Shard,
        open: &WsOpen,
    ) -> Result<(String, Vec<(String, String)>), RenderError> {
        let prefix = shard.ws.as_ref().map_or("", |route| route.prefix.as_str());
        let path = format!("{prefix}{}", self.text(shard, &open.path)?);
        let headers = open.headers.iter();
        let headers = headers.map(|(name, value)| Ok((name.clone(), self.text(shard, value)?)));
        let mut headers: Vec<(String, String)> = headers.collect::<Result<_, _>>()?;
        let own = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        if let (Some(route), Some(jar), false) = (&shard.ws, self.jar.as_deref(), own) {
            let mut line = Vec::new();
            jar.write_header(cookies_of(shard, &route.address, &headers, &path), &mut line);
            if let Some(value) = line.strip_prefix(b"cookie: ") {
                let value = String::from_utf8_lossy(value.trim_ascii_end()).into_owned();
                headers.push(("cookie".to_owned(), value));
            }
        }
        Ok((path, headers))
    }

    pub(super) fn text(&mut self, shard: &Shard, template: &Template) -> Result<String, RenderError> {
        let mut out = Vec::new();
        template.render(&mut self.session.view(&shard.plan), &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// Sends a message. Not a request of its own: what is measured is the answer, at `ws_expect`.
    pub(super) async fn ws_send(&mut self, shard: &Shard, send: &WsSend) -> StepEnd {
        let endpoint = shard.socket_endpoint(send.socket);
        let text = match self.text(shard, &send.message) {
            Ok(text) => text,
            Err(error) => return self.unset(shard, endpoint, &error.describe(&shard.plan)),
        };
        let kept = send.resend.then(|| text.clone());
        let end = self.ws_send_text(shard, send.socket, text, send.binary).await;
        // Only now: sent while the socket was away, it would have been said to the fresh one twice.
        if let Some(text) = kept.filter(|_| end != StepEnd::Leave)
            && let Some(socket) = self.sockets[usize::from(send.socket)].as_mut()
        {
            socket.resent.keep(text, send.binary);
        }
        end
    }

    async fn ws_send_text(&mut self, shard: &Shard, id: SocketId, text: String, binary: bool) -> StepEnd {
        let now = shard.clock.now();
        let intended_ns = self.intended_ns.take().unwrap_or(now);
        self.await_line(Held::Socket(id), Nanos::MAX).await;
        if self.has_left(Held::Socket(id)) {
            return StepEnd::Leave;
        }
        let said = self.ws_say(shard, id, text, binary, Some(intended_ns)).await;
        let Err((outcome, text)) = said else { return StepEnd::Next };
        shard.failed_answer(shard.socket_endpoint(id), intended_ns, now, outcome, &text);
        self.sockets[usize::from(id)].iter_mut().for_each(|open| open.line.settle());
        self.ws_lost(shard, id);
        StepEnd::Failed
    }

    /// Without the instant of a plan it is said again after a reconnect.
    async fn ws_say(
        &mut self,
        shard: &Shard,
        id: SocketId,
        text: String,
        binary: bool,
        intended_ns: Option<Nanos>,
    ) -> Result<(), (Outcome, String)> {
        let mut socket = self.sockets[usize::from(id)].take().ok_or_else(unopened)?;
        let said = self.ws_say_on(shard, &mut socket, text, binary, intended_ns).await;
        self.sockets[usize::from(id)] = Some(socket);
        said
    }

    async fn ws_say_on(
        &mut self,
        shard: &Shard,
        socket: &mut Socket,
        text: String,
        binary: bool,
        intended_ns: Option<Nanos>,
    ) -> Result<(), (Outcome, String)> {
        // A socket takes a message though its peer has gone: only what has come from there tells.
        let overflowed = socket.line.fill().await;
        shard.recorder.borrow_mut().requests.streams.overflowed += overflowed;
        let now = shard.clock.now();
        match intended_ns {
            Some(intended_ns) => socket.line.ask(Asked { sent_ns: now, intended_ns }),
            None => socket.line.ask_again(now),
        }
        if let Some(tap) = &shard.tap
            && socket.line.live().is_some()
        {
            tap.tell(shard, Event::MessageSent { content: tap.content(text.as_bytes()) });
        }
        let mut outgoing = Outgoing::new(text, binary);
        // Read meanwhile, for a server may write before it reads on, and would wait for us as we for it.
        let sending = std::future::poll_fn(|context| {
            if let Some(stream) = socket.line.live()
                && let Poll::Ready(sent) = stream.poll_send(context, &mut outgoing)
            {
                return Poll::Ready(sent.map_err(Some));
            }
            let overflowed = socket.line.poll_fill(context);
            shard.recorder.borrow_mut().requests.streams.overflowed += overflowed;
            match socket.line.live() {
                Some(_) => Poll::Pending,
                // It ended while the user was busy, and this is the step that finds out.
                None => Poll::Ready(Err(socket.line.take_end())),
            }
        });
        let deadline = shard.clock.instant(now + nanos(shard.plan.target.timeout));
        match self.reading_lines(deadline, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(end)) => Err(end_of(end)),
            Err(_elapsed) => Err((Outcome::Timeout, "the server does not read its messages".to_owned())),
        }
    }

    pub(super) async fn ws_expect(&mut self, shard: &Shard, expect: &WsExpect) -> StepEnd {
        let wanted = match self.matches(shard, &expect.matches) {
            Ok(wanted) => wanted,
            Err(error) => return self.unset(shard, expect.endpoint, &error.describe(&shard.plan)),
        };
        let held = Held::Socket(expect.socket);
        let (asked, received) = loop {
            self.await_messages(held, Nanos::MAX).await;
            if self.has_left(held) && !self.has_messages(held) {
                return StepEnd::Leave;
            }
            let begun_ns = shard.clock.now();
            let Some(mut open) = self.sockets[usize::from(expect.socket)].take() else {
                return not_open(shard, expect.endpoint);
            };
            let asked = open.line.asked;
            let deadline = shard.clock.instant(begun_ns + nanos(expect.within));
            let received = self.reading_lines(deadline, next_match(shard, &mut open.line, &wanted)).await;
            self.sockets[usize::from(expect.socket)] = Some(open);
            // Its end has been told; what it had brought before is read now.
            if matches!(received, Ok(Err(None))) && (self.retry_at_ns(held).is_some() || self.has_left(held))
            {
                continue;
            }
            break (asked, received);
        };
        let (outcome, text) = match received {
            Ok(Ok(Fitting { message, asked, mut cache })) => {
                let (body, received_ns) = (message.bytes(), message.received_ns);
                let bytes_received = body.len() as u64;
                let awaited = Awaited { body, asked, received_ns, bytes_received };
                return self.answered(shard, expect.endpoint, &expect.extracts, &awaited, &mut cache);
            }
            Ok(Err(end)) => end_of(end),
            Err(_elapsed) => {
                let within = crate::units::show_duration(expect.within);
                (Outcome::Timeout, format!("no such message within {within}"))
            }
        };
        shard.failed_answer(expect.endpoint, asked.intended_ns, asked.sent_ns, outcome, &text);
        self.sockets[usize::from(expect.socket)].iter_mut().for_each(|open| open.line.settle());
        if outcome != Outcome::Timeout {
            self.ws_lost(shard, expect.socket);
        }
        StepEnd::Failed
    }

    pub(super) async fn ws_listen(&mut self, shard: &Shard, listen: &WsListen) -> StepEnd {
        let (endpoint, held) = (shard.socket_endpoint(listen.socket), Held::Socket(listen.socket));
        let wanted = match self.matches(shard, &listen.matches) {
            Ok(wanted) => wanted,
            Err(error) => return self.unset(shard, endpoint, &error.describe(&shard.plan)),
        };
        let span = listen.for_time.sample(self.session.stream());
        let end_ns = shard.clock.now() + nanos(span);
        self.busy = true;
        // What follows the listening starts when it sends.
        self.intended_ns = None;
        let mut beat_ns = listen.every.as_ref().map(|(every, _)| shard.clock.now() + nanos(*every));
        loop {
            self.await_messages(held, end_ns).await;
            let now = shard.clock.now();
            if now >= end_ns || self.control.retire.get() {
                return StepEnd::Next;
            }
            let until_ns = beat_ns.map_or(end_ns, |beat| beat.min(end_ns));
            let Some(mut open) = self.sockets[usize::from(listen.socket)].take() else {
                return not_open(shard, endpoint);
            };
            let control = Rc::clone(&self.control);
            let waiting = control.unless_dismissed(next_match(shard, &mut open.line, &wanted));
            let received = self.reading_lines(shard.clock.instant(until_ns), waiting).await;
            let open = self.sockets[usize::from(listen.socket)].insert(open);
            match received {
                Ok(None) => return StepEnd::Next,
                Ok(Some(Ok(Fitting { message, mut cache, .. }))) => {
                    let body = message.bytes();
                    let (received_ns, bytes_received) = (message.received_ns, body.len() as u64);
                    let message = Heard { body, received_ns, bytes_received };
                    heard(shard, &listen.pushed, &mut open.line.sequence, endpoint, &message, &mut cache);
                }
                // Its end has been told; what it had brought before is read now.
                Ok(Some(Err(None))) if self.retry_at_ns(held).is_some() => {}
                Ok(Some(Err(end))) => {
                    let (outcome, text) = end_of(end);
                    shard.failed_message(endpoint, outcome, &text);
                    self.ws_lost(shard, listen.socket);
                    if self.sockets[usize::from(listen.socket)].is_none() {
                        return StepEnd::Failed;
                    }
                }
                Err(_elapsed) if until_ns >= end_ns => return StepEnd::Next,
                Err(_elapsed) => {
                    if let Some((every, template)) = &listen.every {
                        beat_ns = Some(beat_after(until_ns, nanos(*every), shard.clock.now()));
                        let text = match self.text(shard, template) {
                            Ok(text) => text,
                            Err(error) => return self.unset(shard, endpoint, &error.describe(&shard.plan)),
                        };
                        let end = self.ws_send_text(shard, listen.socket, text, false).await;
                        if end != StepEnd::Next && self.sockets[usize::from(listen.socket)].is_none() {
                            return end;
                        }
                    }
                }
            }
        }
    }

    pub(super) async fn ws_close(&mut self, socket: SocketId) -> StepEnd {
        if let Some((stream, _open)) =
            self.sockets[usize::from(socket)].take().and_then(|open| open.line.into_live())
        {
            // The user is done with the socket: a server that does not say goodbye is no failure of a step.
            let by = self.shard.clock.now() + nanos(WEBSOCKET_CLOSE_WAIT);
            let closing = stream.close(WEBSOCKET_CLOSE_WAIT);
            let _ = self.reading_lines(self.shard.clock.instant(by), closing).await;
            if let Some(tap) = &self.shard.tap {
                tap.tell(&self.shard, Event::SocketClosed);
            }
        }
        StepEnd::Next
    }

    pub(super) fn matches(
        &mut self,
        shard: &Shard,
        templates: &[(String, Template)],
    ) -> Result<Vec<(String, String)>, RenderError> {
        templates.iter().map(|(member, value)| Ok((member.clone(), self.text(shard, value)?))).collect()
    }
}

/// When a keep-alive is due after the one that was due at `last_ns`. Those that passed while the socket was away have nothing to keep alive.
const fn beat_after(last_ns: Nanos, every_ns: Nanos, now: Nanos) -> Nanos {
    let every_ns = if every_ns == 0 { 1 } else { every_ns };
    let missed = now.saturating_sub(last_ns) / every_ns;
    last_ns.saturating_add(every_ns.saturating_mul(missed + 1))
}

/// A handshake as cookies see it.
fn cookies_of<'a>(
    shard: &Shard,
    address: &'a Address,
    headers: &'a [(String, String)],
    path: &'a str,
) -> cookies::Request<'a> {
    let named = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = without_port(named.map_or(&address.host_header, |(_, host)| host));
    cookies::Request { host, path, tls: address.tls.is_some(), now_ns: shard.clock.now() }
}

/// The next message whose members are as wanted; others are passed over.
async fn next_match(
    shard: &Shard,
    line: &mut Line<WebSocket>,
    wanted: &[(String, String)],
) -> Result<Fitting<Message>, Option<WsError>> {
    loop {
        let (message, asked) = line.next().await?;
        let mut cache = BodyCache::default();
        let fits =
            wanted.is_empty() || cache.json(message.bytes()).is_ok_and(|json| matches(json, members(wanted)));
        if let Some(tap) = &shard.tap {
            tap.tell(shard, Event::MessageReceived { content: tap.content(message.bytes()), fits });
        }
        if fits {
            return Ok(Fitting { message, asked, cache });
        }
    }
}

fn members(wanted: &[(String, String)]) -> impl Iterator<Item = (&str, &[u8])> {
    wanted.iter().map(|(member, value)| (member.as_str(), value.as_bytes()))
}

/// What a step is told whose socket was never opened, or ended before.
const NOT_OPEN: &str = "the socket is not open";

fn not_open(shard: &Shard, endpoint: EndpointId) -> StepEnd {
    shard.failed_message(endpoint, Outcome::Connect, NOT_OPEN);
    StepEnd::Failed
}

/// How a socket ended, if that has not been told before.
fn end_of(end: Option<WsError>) -> (Outcome, String) {
    end.map_or_else(unopened, |error| (WebSocket::outcome_of(&error), error.to_string()))
}

fn unopened() -> (Outcome, String) {
    (Outcome::Connect, NOT_OPEN.to_owned())
}
