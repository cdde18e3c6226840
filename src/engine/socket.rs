//! WebSocket steps. A socket belongs to the user and may outlive an iteration; what is measured is the opening handshake, the time
//! from the last message sent to the one that answers it, and the lag of pushed messages that say when they were sent.

use super::shard::{OpenSocket, Shard};
use super::step::{StepEnd, connect_outcome, nanos};
use super::tap::Event;
use super::user::User;
use crate::clock::{self, Nanos};
use crate::endpoint::EndpointId;
use crate::limits::{RECONNECT_PAUSE, WEBSOCKET_CLOSE_WAIT};
use crate::measure::sample::{OnWire, Outcome, Sample};
use crate::scenario::extract::{BodyCache, ExtractFailure, ResponseView};
use crate::scenario::matches;
use crate::scenario::plan::{SocketId, WsExpect, WsListen, WsOpen};
use crate::scenario::template::{RenderError, Template};
use crate::transport::websocket::{self, Message, WebSocket, WsError};

pub(super) struct Socket {
    stream: WebSocket,
    /// When the user last sent a message; an expected message is timed from here.
    last_sent_ns: Nanos,
    /// Last number seen by a `sequence`.
    sequence: Option<f64>,
    _open: OpenSocket,
}

impl User {
    pub(super) async fn ws_open(&mut self, shard: &Shard, open: &WsOpen) -> StepEnd {
        let ready_ns = shard.clock.now();
        let intended_ns = self.intended_ns.take().unwrap_or(ready_ns);
        let (path, headers) = match self.ws_request(shard, open) {
            Ok(request) => request,
            Err(error) => return self.unbound(shard, open.endpoint, &error),
        };
        self.sockets[usize::from(open.socket)] = None;
        let Some(route) = &shard.ws else {
            shard.failed(
                open.endpoint,
                intended_ns,
                None,
                Outcome::Connect,
                "the target has no `ws` address",
            );
            return StepEnd::Failed;
        };
        self.busy = true;
        self.control.on_wire.set(Some(OnWire { endpoint: open.endpoint, intended_ns, sent_ns: ready_ns }));
        let deadline = shard.clock.instant(ready_ns + nanos(open.within));
        let (address, source) = route.lane(shard.next_turn());
        let subprotocol = open.subprotocol.as_deref();
        let opening = websocket::open(address, source, &path, &headers, subprotocol, shard.clock);
        let opened = self.timer.within(deadline, opening).await;
        self.control.on_wire.set(None);
        if !matches!(opened, Ok(Err(WsError::Connect(_)))) {
            shard.recorder.borrow_mut().sent(open.endpoint);
        }
        match opened {
            Ok(Ok(stream)) => {
                shard.recorder.borrow_mut().record(&Sample {
                    endpoint: open.endpoint,
                    intended_ns,
                    sent_ns: stream.sent_ns,
                    done_ns: stream.opened_ns,
                    outcome: Outcome::Ok,
                    bytes_sent: 0,
                    bytes_received: 0,
                });
                if let Some(tap) = &shard.tap {
                    let (address, handshake_ns) =
                        (address.addr.to_string(), stream.opened_ns - stream.sent_ns);
                    tap.tell(shard, Event::SocketOpened { address, path: path.clone(), handshake_ns });
                }
                let last_sent_ns = stream.opened_ns;
                let socket = Socket { stream, last_sent_ns, sequence: None, _open: shard.count_socket() };
                self.sockets[usize::from(open.socket)] = Some(Box::new(socket));
                StepEnd::Next
            }
            Ok(Err(error)) => {
                let outcome = match error {
                    WsError::Refused { .. } => Outcome::Status,
                    _ => outcome_of(&error),
                };
                shard.failed(open.endpoint, intended_ns, Some(ready_ns), outcome, &error.to_string());
                if matches!(error, WsError::Connect(_)) {
                    self.pause(nanos(RECONNECT_PAUSE)).await;
                }
                StepEnd::Failed
            }
            Err(_elapsed) => {
                let text = format!("not open within {}", crate::units::show_duration(open.within));
                shard.failed(open.endpoint, intended_ns, Some(ready_ns), Outcome::Timeout, &text);
                StepEnd::Failed
            }
        }
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
        Ok((path, headers.collect::<Result<_, _>>()?))
    }

    fn text(&mut self, shard: &Shard, template: &Template) -> Result<String, RenderError> {
        let mut out = Vec::new();
        template.render(&mut self.session.view(&shard.plan), &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// Sends a message. Not a request of its own: what is measured is the answer, at `ws_expect`.
    pub(super) async fn ws_send(
        &mut self,
        shard: &Shard,
        socket: SocketId,
        message: &Template,
        binary: bool,
    ) -> StepEnd {
        let endpoint = shard.socket_endpoint(socket);
        let text = match self.text(shard, message) {
            Ok(text) => text,
            Err(error) => return self.unbound(shard, endpoint, &error),
        };
        let now = shard.clock.now();
        let Some(open) = self.sockets[usize::from(socket)].as_mut() else {
            return not_open(shard, endpoint);
        };
        open.last_sent_ns = now;
        if let Some(tap) = &shard.tap {
            tap.tell(shard, Event::MessageSent { content: tap.content(text.as_bytes()) });
        }
        let sending = async {
            if binary {
                open.stream.send_binary(text.into_bytes()).await
            } else {
                open.stream.send_text(text).await
            }
        };
        let deadline = shard.clock.instant(now + nanos(shard.plan.target.timeout));
        let failure = match self.timer.within(deadline, sending).await {
            Ok(Ok(())) => return StepEnd::Next,
            Ok(Err(error)) => (outcome_of(&error), error.to_string()),
            Err(_elapsed) => (Outcome::Timeout, "the server does not read its messages".to_owned()),
        };
        self.sockets[usize::from(socket)] = None;
        shard.failed_message(endpoint, now, failure.0, &failure.1);
        StepEnd::Failed
    }

    pub(super) async fn ws_expect(&mut self, shard: &Shard, expect: &WsExpect) -> StepEnd {
        let wanted = match self.matches(shard, &expect.matches) {
            Ok(wanted) => wanted,
            Err(error) => return self.unbound(shard, expect.endpoint, &error),
        };
        let begun_ns = shard.clock.now();
        let Some(open) = self.sockets[usize::from(expect.socket)].as_mut() else {
            return not_open(shard, expect.endpoint);
        };
        let sent_ns = open.last_sent_ns;
        let deadline = shard.clock.instant(begun_ns + nanos(expect.within));
        let received = self.timer.within(deadline, next_match(shard, &mut open.stream, &wanted)).await;
        let (outcome, text) = match received {
            Ok(Ok((message, mut cache))) => {
                self.busy = true;
                self.intended_ns = None;
                let view = ResponseView::message(message.bytes());
                let captured = expect.extracts.iter().try_for_each(|extract| {
                    let value = extract.apply(&view, &mut cache, self.session.stream())?;
                    if let Some(tap) = &shard.tap {
                        tap.captured(shard, extract.slot, &value);
                    }
                    self.session.set(extract.slot, value);
                    Ok::<_, ExtractFailure>(())
                });
                let mut recorder = shard.recorder.borrow_mut();
                recorder.record_message(&Sample {
                    endpoint: expect.endpoint,
                    intended_ns: sent_ns,
                    sent_ns,
                    done_ns: message.received_ns,
                    outcome: if captured.is_ok() { Outcome::Ok } else { Outcome::Extract },
                    bytes_sent: 0,
                    bytes_received: message.bytes().len() as u64,
                });
                let Err(failure) = captured else { return StepEnd::Next };
                recorder.failure(expect.endpoint, Outcome::Extract, &failure.to_string());
                drop(recorder);
                shard.tell_failure(expect.endpoint, Outcome::Extract, &failure.to_string());
                return StepEnd::Failed;
            }
            Ok(Err(error)) => (outcome_of(&error), error.to_string()),
            Err(_elapsed) => {
                let within = crate::units::show_duration(expect.within);
                (Outcome::Timeout, format!("no such message within {within}"))
            }
        };
        if outcome != Outcome::Timeout {
            self.sockets[usize::from(expect.socket)] = None;
        }
        shard.failed_message(expect.endpoint, sent_ns, outcome, &text);
        StepEnd::Failed
    }

    pub(super) async fn ws_listen(&mut self, shard: &Shard, listen: &WsListen) -> StepEnd {
        let wanted = match self.matches(shard, &listen.matches) {
            Ok(wanted) => wanted,
            Err(_unset) => return StepEnd::GiveUp,
        };
        let endpoint = shard.socket_endpoint(listen.socket);
        let span = listen.for_time.sample(self.session.stream());
        let end_ns = shard.clock.now() + nanos(span);
        self.busy = true;
        // What follows the listening starts when it sends.
        self.intended_ns = None;
        let mut beat_ns = listen.every.as_ref().map(|(every, _)| shard.clock.now() + nanos(*every));
        loop {
            let now = shard.clock.now();
            if now >= end_ns || self.control.retire.get() {
                return StepEnd::Next;
            }
            let until_ns = beat_ns.map_or(end_ns, |beat| beat.min(end_ns));
            let Some(open) = self.sockets[usize::from(listen.socket)].as_mut() else {
                return not_open(shard, endpoint);
            };
            let waiting = next_match(shard, &mut open.stream, &wanted);
            match self.timer.within(shard.clock.instant(until_ns), waiting).await {
                Ok(Ok((message, mut cache))) => heard(shard, listen, open, &message, &mut cache),
                Ok(Err(error)) => {
                    self.sockets[usize::from(listen.socket)] = None;
                    shard.failed_message(endpoint, now, outcome_of(&error), &error.to_string());
                    return StepEnd::Failed;
                }
                Err(_elapsed) if until_ns >= end_ns => return StepEnd::Next,
                Err(_elapsed) => {
                    if let Some((every, template)) = &listen.every {
                        beat_ns = Some(until_ns + nanos(*every));
                        let end = self.ws_send(shard, listen.socket, template, false).await;
                        if end != StepEnd::Next {
                            return end;
                        }
                    }
                }
            }
        }
    }

    pub(super) async fn ws_close(&mut self, socket: SocketId) -> StepEnd {
        if let Some(open) = self.sockets[usize::from(socket)].take() {
            // The user is done with the socket: a server that does not say goodbye is no failure of a step.
            let _ = open.stream.close(WEBSOCKET_CLOSE_WAIT).await;
            if let Some(tap) = &self.shard.tap {
                tap.tell(&self.shard, Event::SocketClosed);
            }
        }
        StepEnd::Next
    }

    fn matches(
        &mut self,
        shard: &Shard,
        templates: &[(String, Template)],
    ) -> Result<Vec<(String, String)>, RenderError> {
        templates.iter().map(|(member, value)| Ok((member.clone(), self.text(shard, value)?))).collect()
    }
}

/// The next message whose members are as wanted; others are passed over.
async fn next_match(
    shard: &Shard,
    stream: &mut WebSocket,
    wanted: &[(String, String)],
) -> Result<(Message, BodyCache), WsError> {
    loop {
        let message = stream.next().await?;
        let mut cache = BodyCache::default();
        let fits =
            wanted.is_empty() || cache.json(message.bytes()).is_ok_and(|json| matches(json, members(wanted)));
        if let Some(tap) = &shard.tap {
            tap.tell(shard, Event::MessageReceived { content: tap.content(message.bytes()), fits });
        }
        if fits {
            return Ok((message, cache));
        }
    }
}

fn members(wanted: &[(String, String)]) -> impl Iterator<Item = (&str, &[u8])> {
    wanted.iter().map(|(member, value)| (member.as_str(), value.as_bytes()))
}

/// Records the lag of a pushed message and the gaps in its sequence.
fn heard(shard: &Shard, listen: &WsListen, open: &mut Socket, message: &Message, cache: &mut BodyCache) {
    let view = ResponseView::message(message.bytes());
    if let Some((endpoint, sent_at)) = &listen.lag {
        match sent_at.number(&view, cache) {
            Ok(sent_ms) => {
                // Two clocks meet here: the server's and ours. On one machine they are one; a lag below zero is recorded as zero.
                let lag_ms = (clock::unix_ms_fine() - sent_ms).max(0.0);
                let done_ns = message.received_ns;
                let sent_ns = done_ns.saturating_sub((lag_ms * 1e6) as u64);
                shard.recorder.borrow_mut().record_message(&Sample {
                    endpoint: *endpoint,
                    intended_ns: sent_ns,
                    sent_ns,
                    done_ns,
                    outcome: Outcome::Ok,
                    bytes_sent: 0,
                    bytes_received: message.bytes().len() as u64,
                });
            }
            Err(failure) => {
                shard.failed_message(*endpoint, message.received_ns, Outcome::Extract, &failure.to_string());
            }
        }
    }
    if let Some(sequence) = &listen.sequence
        && let Ok(number) = sequence.number(&view, cache)
    {
        if open.sequence.is_some_and(|last| number != last + 1.0) {
            let text = if open.sequence.is_some_and(|last| number <= last) {
                "a pushed message came twice or out of order"
            } else {
                "pushed messages are missing from the sequence"
            };
            shard.failed_message(
                shard.socket_endpoint(listen.socket),
                message.received_ns,
                Outcome::Check,
                text,
            );
        }
        open.sequence = Some(number);
    }
}

fn not_open(shard: &Shard, endpoint: EndpointId) -> StepEnd {
    shard.failed_message(endpoint, shard.clock.now(), Outcome::Connect, "the socket is not open");
    StepEnd::Failed
}

fn outcome_of(error: &WsError) -> Outcome {
    match error {
        WsError::Connect(error) => connect_outcome(*error),
        WsError::Refused { .. } => Outcome::Status,
        WsError::Header { .. } | WsError::Path | WsError::MessageTooLarge | WsError::Protocol(_) => {
            Outcome::Protocol
        }
        WsError::Closed { .. } | WsError::Reset | WsError::Tls(_) | WsError::Io(_) => Outcome::Reset,
    }
}
