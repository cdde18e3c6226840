//! Steps on event streams. A stream belongs to the user and may outlive an iteration; what is measured is its opening, the time until
//! an expected event (from the opening, or from the user's last request before it came), and the lag of events that say when they
//! were sent.

use super::heard::{Awaited, Fitting, Heard, heard};
use super::line::{First, Line, Opened, Opening, Push, Unopened};
use super::program::PreparedStream;
use super::reopen::Held;
use super::shard::{NoAnswer, Shard};
use super::step::{self, StepEnd, connect_outcome, nanos};
use super::tap::Event as Told;
use super::user::User;
use crate::clock::Nanos;
use crate::endpoint::EndpointId;
use crate::measure::sample::Outcome;
use crate::scenario::extract::BodyCache;
use crate::scenario::matches;
use crate::scenario::plan::{SseExpect, SseListen, StreamId, Wanted};
use crate::scenario::template::RenderError;
use crate::transport::sse::{self, EventStream, Received, SseError};
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

impl Push for EventStream {
    type Message = Received;
    type End = End;
    type Refusal = SseError;

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Received, End>> {
        Self::poll_next(self, context).map_err(|error| End {
            error,
            last_event_id: self.last_event_id().map(Into::into),
            retry: self.retry(),
        })
    }

    fn opened_ns(&self) -> Nanos {
        self.opened_ns
    }

    fn bytes_of(received: &Received) -> usize {
        received.event.name.len() + received.event.data.len()
    }

    fn opened(&mut self) -> Opened {
        Opened {
            handshake: self.handshake(),
            sent_ns: self.sent_ns,
            opened_ns: self.opened_ns,
            bytes_sent: self.bytes_sent,
            bytes_received: self.take_bytes_received(),
        }
    }

    fn outcome_of(error: &SseError) -> Outcome {
        match error {
            SseError::Connect(error) => connect_outcome(*error),
            SseError::Http(error) => step::outcome_of(*error),
            SseError::Status { .. } => Outcome::Status,
            SseError::ContentType { .. } => Outcome::Check,
            SseError::Compressed | SseError::TooLarge(_) => Outcome::Protocol,
            SseError::Ended => Outcome::Reset,
        }
    }

    /// With status 204 or another type a server says that there is no stream (WHATWG HTML, section 9.2). An overloaded one (503) may have it
    /// again, so that a client of a service tries on where a browser would not.
    fn is_for_good(error: &SseError) -> bool {
        matches!(error, SseError::Status { status: 204 } | SseError::ContentType { .. })
    }
}

/// How a stream ended, and what it leaves for the connection after it.
pub(super) struct End {
    error: SseError,
    /// `None` if no event of this connection had an id; an empty one is one.
    last_event_id: Option<Box<str>>,
    /// The wait that the server asked for.
    retry: Option<Duration>,
}

pub(super) struct Events {
    pub(super) line: Line<EventStream>,
    /// The step that opened it.
    pub(super) open: Rc<PreparedStream>,
    /// Over all its connections so far.
    pub(super) last_event_id: Box<str>,
    pub(super) retry: Option<Duration>,
}

impl Events {
    pub(super) fn remember(&mut self, end: End) {
        if let Some(id) = end.last_event_id {
            self.last_event_id = id;
        }
        self.retry = end.retry.or(self.retry);
    }
}

/// What a step waits for, rendered.
struct Rendered {
    event: Option<String>,
    text: Option<String>,
    members: Vec<(String, String)>,
}

impl Rendered {
    fn fits(&self, received: &Received, cache: &mut BodyCache) -> bool {
        let event = &received.event;
        let members = || self.members.iter().map(|(member, value)| (member.as_str(), value.as_bytes()));
        self.event.as_deref().is_none_or(|name| name == &*event.name)
            && self.text.as_deref().is_none_or(|text| event.data.contains(text))
            && (self.members.is_empty()
                || cache.json(event.data.as_bytes()).is_ok_and(|json| matches(json, members())))
    }
}

impl User {
    pub(super) async fn sse_open(&mut self, shard: &Shard, open: &Rc<PreparedStream>) -> StepEnd {
        let intended_ns = self.intended_ns.take();
        let index = usize::from(open.stream);
        self.streams[index] = None;
        match self.sse_dial(shard, open, Some(First { intended_ns }), "").await {
            Ok(stream) => {
                let events = Events {
                    line: Line::new(stream, shard.count_socket()),
                    open: Rc::clone(open),
                    last_event_id: Box::default(),
                    retry: None,
                };
                self.streams[index] = Some(Box::new(events));
                StepEnd::Next
            }
            Err(unopened) => unopened.end,
        }
    }

    /// Sends the request and waits for the head of the answer, which is a request of its own in the record.
    pub(super) async fn sse_dial(
        &mut self,
        shard: &Shard,
        open: &PreparedStream,
        first: Option<First>,
        last_event_id: &str,
    ) -> Result<EventStream, Unopened> {
        let request = &open.prepared.request;
        let begun_ns = shard.clock.now();
        let again = first.is_none();
        let intended_ns = first.and_then(|first| first.intended_ns).unwrap_or(begun_ns);
        let mut bytes = shard.rent();
        if let Err(error) = self.render(shard, &open.prepared, &mut bytes) {
            shard.give_back(Some(bytes));
            return Err(Unopened { end: self.unbound(shard, request.endpoint, &error), for_good: true });
        }
        add_last_event_id(&mut bytes, last_event_id);
        let Some(route) = &shard.http else {
            shard.give_back(Some(bytes));
            let text = "the target has no `http` address".to_owned();
            shard.failed(request.endpoint, intended_ns, &NoAnswer::unsent(Outcome::Connect, text));
            return Err(Unopened { end: StepEnd::Failed, for_good: true });
        };
        if let Some(tap) = &shard.tap {
            tap.request(shard, usize::from(request.endpoint), &bytes);
        }
        let (address, source) = route.lane(shard.next_turn());
        let sent = Cell::new(None);
        let sending = |at_ns| sent.set(Some(at_ns));
        let connecting = Box::pin(sse::open(address, source, &bytes, sending, &shard.buffers, shard.clock));
        let (endpoint, within) = (request.endpoint, request.timeout);
        let opening = Opening { endpoint, intended_ns, begun_ns, within, again, sent: &sent };
        let mut opened: Result<EventStream, Unopened> = self.open_line(shard, opening, connecting).await;
        if let Ok(set) = opened.as_mut().map(EventStream::take_set_cookies)
            && !set.is_empty()
        {
            self.store_cookies(shard, &set, &open.prepared, &bytes);
        }
        shard.give_back(Some(bytes));
        let stream = opened?;
        if let Some(tap) = &shard.tap {
            let (address, wait_ns) = (address.addr.to_string(), stream.opened_ns - stream.sent_ns);
            tap.tell(shard, Told::StreamOpened { address, wait_ns });
        }
        Ok(stream)
    }

    /// A stream that ended while its user was waiting for something else.
    pub(super) fn sse_ended_unasked(&mut self, shard: &Shard, id: StreamId) {
        let end = self.streams[usize::from(id)].as_mut().and_then(|events| events.line.take_end());
        let (outcome, text) = end_of(end.as_ref());
        shard.failed_message(shard.stream_endpoint(id), outcome, &text);
        self.sse_lost(shard, id, end);
    }

    pub(super) async fn sse_expect(&mut self, shard: &Shard, expect: &SseExpect) -> StepEnd {
        let wanted = match self.rendered(shard, &expect.wanted) {
            Ok(wanted) => wanted,
            Err(error) => return self.unset(shard, expect.endpoint, &error.describe(&shard.plan)),
        };
        let held = Held::Stream(expect.stream);
        let (asked, received) = loop {
            self.await_messages(held, Nanos::MAX).await;
            if self.has_left(held) && !self.has_messages(held) {
                return StepEnd::Leave;
            }
            let begun_ns = shard.clock.now();
            let Some(mut events) = self.streams[usize::from(expect.stream)].take() else {
                return not_open(shard, expect.endpoint);
            };
            let asked = events.line.asked;
            let deadline = shard.clock.instant(begun_ns + nanos(expect.within));
            let received = self.reading_lines(deadline, next_match(shard, &mut events, &wanted)).await;
            self.streams[usize::from(expect.stream)] = Some(events);
            // Its end has been told; what it had brought before is read now.
            if matches!(received, Ok(Err(None))) && (self.retry_at_ns(held).is_some() || self.has_left(held))
            {
                continue;
            }
            break (asked, received);
        };
        let (outcome, text, end) = match received {
            Ok(Ok(Fitting { message: received, asked, mut cache })) => {
                let events = self.streams[usize::from(expect.stream)].as_mut();
                let stream = events.and_then(|events| events.line.live());
                let bytes_received = stream.map_or(0, EventStream::take_bytes_received);
                let (body, received_ns) = (received.event.data.as_bytes(), received.received_ns);
                let awaited = Awaited { body, asked, received_ns, bytes_received };
                return self.answered(shard, expect.endpoint, &expect.extracts, &awaited, &mut cache);
            }
            Ok(Err(end)) => {
                let (outcome, text) = end_of(end.as_ref());
                (outcome, text, end)
            }
            Err(_elapsed) => {
                let within = crate::units::show_duration(expect.within);
                (Outcome::Timeout, format!("no such event within {within}"), None)
            }
        };
        shard.failed_answer(expect.endpoint, asked.intended_ns, asked.sent_ns, outcome, &text);
        if outcome != Outcome::Timeout {
            self.sse_lost(shard, expect.stream, end);
        }
        StepEnd::Failed
    }

    pub(super) async fn sse_listen(&mut self, shard: &Shard, listen: &SseListen) -> StepEnd {
        let (endpoint, held) = (shard.stream_endpoint(listen.stream), Held::Stream(listen.stream));
        let wanted = match self.rendered(shard, &listen.wanted) {
            Ok(wanted) => wanted,
            Err(error) => return self.unset(shard, endpoint, &error.describe(&shard.plan)),
        };
        let span = listen.for_time.sample(self.session.stream());
        let end_ns = shard.clock.now() + nanos(span);
        self.busy = true;
        // What follows the listening starts when it sends.
        self.intended_ns = None;
        loop {
            self.await_messages(held, end_ns).await;
            let now = shard.clock.now();
            if now >= end_ns || self.control.retire.get() {
                return StepEnd::Next;
            }
            let Some(mut events) = self.streams[usize::from(listen.stream)].take() else {
                return not_open(shard, endpoint);
            };
            let control = Rc::clone(&self.control);
            let waiting = control.unless_dismissed(next_match(shard, &mut events, &wanted));
            let received = self.reading_lines(shard.clock.instant(end_ns), waiting).await;
            let events = self.streams[usize::from(listen.stream)].insert(events);
            match received {
                Ok(None) => return StepEnd::Next,
                Ok(Some(Ok(Fitting { message: received, mut cache, .. }))) => {
                    let message = Heard {
                        body: received.event.data.as_bytes(),
                        received_ns: received.received_ns,
                        bytes_received: events.line.live().map_or(0, EventStream::take_bytes_received),
                    };
                    heard(shard, &listen.pushed, &mut events.line.sequence, endpoint, &message, &mut cache);
                }
                // Its end has been told; what it had brought before is read now.
                Ok(Some(Err(None))) if self.retry_at_ns(held).is_some() => {}
                Ok(Some(Err(end))) => {
                    let (outcome, text) = end_of(end.as_ref());
                    shard.failed_message(endpoint, outcome, &text);
                    self.sse_lost(shard, listen.stream, end);
                    if self.streams[usize::from(listen.stream)].is_none() {
                        return StepEnd::Failed;
                    }
                }
                Err(_elapsed) => return StepEnd::Next,
            }
        }
    }

    pub(super) fn sse_close(&mut self, id: StreamId) -> StepEnd {
        let closed = self.streams[usize::from(id)].take().and_then(|events| events.line.into_live());
        if let (Some((mut stream, _open)), Some(tap)) = (closed, &self.shard.tap) {
            // What came and belongs to no event that a step was told of: comments, framing, events passed over.
            let bytes_received = stream.take_bytes_received();
            tap.tell(&self.shard, Told::StreamClosed { bytes_received });
        }
        StepEnd::Next
    }

    fn rendered(&mut self, shard: &Shard, wanted: &Wanted) -> Result<Rendered, RenderError> {
        let event = wanted.event.as_ref().map(|event| self.text(shard, event)).transpose()?;
        let text = wanted.text.as_ref().map(|text| self.text(shard, text)).transpose()?;
        Ok(Rendered { event, text, members: self.matches(shard, &wanted.members)? })
    }
}

/// The next event that fits; others are passed over.
async fn next_match(
    shard: &Shard,
    events: &mut Events,
    wanted: &Rendered,
) -> Result<Fitting<Received>, Option<End>> {
    loop {
        let (received, asked) = events.line.next().await?;
        let mut cache = BodyCache::default();
        let fits = wanted.fits(&received, &mut cache);
        if let Some(tap) = &shard.tap {
            let (name, data) = (received.event.name.to_string(), received.event.data.as_bytes());
            tap.tell(shard, Told::EventReceived { name, content: tap.content(data), fits });
        }
        if fits {
            return Ok(Fitting { message: received, asked, cache });
        }
    }
}

/// Puts the field before the empty line that ends the head.
fn add_last_event_id(request: &mut Vec<u8>, id: &str) {
    // An id is a line of the stream, but may hold what a field must not (RFC 9110, section 5.5).
    if id.is_empty() || id.bytes().any(|byte| byte.is_ascii_control()) {
        return;
    }
    request.truncate(request.len() - b"\r\n".len());
    request.extend_from_slice(b"last-event-id: ");
    request.extend_from_slice(id.as_bytes());
    request.extend_from_slice(b"\r\n\r\n");
}

/// What a step is told whose stream was never opened, or ended before.
const NOT_OPEN: &str = "the event stream is not open";

fn not_open(shard: &Shard, endpoint: EndpointId) -> StepEnd {
    shard.failed_message(endpoint, Outcome::Connect, NOT_OPEN);
    StepEnd::Failed
}

/// How a stream ended, if that has not been told before.
fn end_of(end: Option<&End>) -> (Outcome, String) {
    end.map_or_else(
        || (Outcome::Connect, NOT_OPEN.to_owned()),
        |end| (EventStream::outcome_of(&end.error), end.error.to_string()),
    )
}
