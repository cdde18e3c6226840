//! Server-sent events: one request whose answer does not end. The head and the chunked coding are those of HTTP/1.1 exchanges, the
//! bytes arrive in the shard's buffer, and an idle stream owns nothing but its socket and the id of its last event.

use super::chunked::Decoder;
use super::coding::ContentCoding;
use super::connect::{self, Address};
use super::connection::{Handshake, HttpVersion};
use super::error::{ExchangeError, Malformed, ResetWhile, TlsFailure, TransportError};
use super::event_parser::{Event, EventParser, EventTooLarge};
use super::exchange::Buffers;
use super::head::{self, Framing, Head};
use super::stream::Stream;
use crate::clock::{Clock, Nanos};
use crate::limits;
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncWriteExt as _, ReadBuf};

/// Why an event stream did not open, or ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SseError {
    #[error(transparent)]
    Connect(#[from] TransportError),
    /// The head or the body broke HTTP, or the connection broke.
    #[error(transparent)]
    Http(#[from] ExchangeError),
    #[error("the server answered with status {status}, not with an event stream")]
    Status { status: u16 },
    #[error("the answer is `{found}`, not `text/event-stream`")]
    ContentType { found: Box<str> },
    #[error("the event stream is compressed: ask for it without `accept-encoding`")]
    Compressed,
    #[error(transparent)]
    TooLarge(#[from] EventTooLarge),
    /// The answer came to its end as HTTP has it.
    #[error("the server ended the event stream")]
    Ended,
}

/// An event and when it was complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub event: Event,
    pub received_ns: Nanos,
}

/// An open stream. Dropping it closes the connection.
#[derive(Debug)]
pub struct EventStream {
    stream: Stream,
    buffers: Buffers,
    clock: Clock,
    body: Body,
    parser: EventParser,
    /// Events of one read that nobody has asked for yet; without memory once they are gone.
    ready: VecDeque<Received>,
    /// The stream is at its end, once the events before it are taken.
    end: Option<SseError>,
    bytes_received: u64,
    /// The answer was a stream, so its opening tells of the bytes before that.
    is_open: bool,
    /// Values of `set-cookie` in the head, until they are taken.
    set_cookies: Vec<Box<str>>,
    /// Just before the request was written, the connection being there.
    pub sent_ns: Nanos,
    /// When the head of the answer was complete.
    pub opened_ns: Nanos,
    pub bytes_sent: u64,
}

/// How the end of the body is found.
#[derive(Clone, Copy, Debug)]
enum Body {
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

/// The beginning of a head that did not come in one piece.
#[derive(Default)]
struct PartialHead {
    bytes: Vec<u8>,
    /// Interim (1xx) heads before it.
    interim: u32,
}

/// Connects, sends `request` (a complete rendered GET) and reads the head of the answer. `sending` is told when the connection stands and
/// the first byte is about to go out. The time-outs are the caller's.
///
/// # Errors
/// When there is no answer, or it is not 200 with `text/event-stream`.
pub async fn open(
    address: &Address,
    source: Option<IpAddr>,
    request: &[u8],
    sending: impl FnOnce(Nanos),
    buffers: &Buffers,
    clock: Clock,
) -> Result<EventStream, SseError> {
    let mut stream = connect::open(address, source, HttpVersion::Http1).await?;
    stream.watch(buffers.sampler());
    let sent_ns = clock.now();
    sending(sent_ns);
    let mut opening = EventStream {
        stream,
        buffers: buffers.clone(),
        clock,
        body: Body::UntilClose,
        parser: EventParser::default(),
        ready: VecDeque::new(),
        end: None,
        bytes_received: 0,
        is_open: false,
        set_cookies: Vec::new(),
        sent_ns,
        opened_ns: sent_ns,
        bytes_sent: 0,
    };
    opening.send(request).await.map_err(|error| broken(&error, ResetWhile::Sending))?;
    let mut head = PartialHead::default();
    std::future::poll_fn(|context| opening.poll_head(context, &mut head)).await?;
    Ok(opening)
}

impl EventStream {
    /// How its TLS began, if it has TLS.
    pub fn handshake(&self) -> Option<Handshake> {
        self.stream.handshake()
    }

    /// The next event. Dropping the future loses nothing.
    ///
    /// # Errors
    /// How the stream ended, after its last event. It is of no use afterwards.
    pub async fn next(&mut self) -> Result<Received, SseError> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Self::next`]. The loop is bounded by tokio's budget: it pends after 64 reads, each being a wait and a read.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Received, SseError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if self.ready.is_empty() {
                    self.ready = VecDeque::new();
                }
                return Poll::Ready(Ok(event));
            }
            if let Some(end) = &self.end {
                return Poll::Ready(Err(end.clone()));
            }
            if let Err(end) = ready!(self.poll_read(context)) {
                self.end = Some(end);
            }
        }
    }

    /// Bytes of the answer since the last call, framing and comments too.
    pub fn take_bytes_received(&mut self) -> u64 {
        std::mem::take(&mut self.bytes_received)
    }

    /// What the answer set, the first time it is asked.
    pub fn take_set_cookies(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.set_cookies)
    }

    /// What the next request for this stream says as `last-event-id`; `None` if no event had an id.
    pub fn last_event_id(&self) -> Option<&str> {
        self.parser.last_event_id()
    }

    /// How long the server wants a client to wait before it asks again.
    pub fn retry(&self) -> Option<Duration> {
        self.parser.retry()
    }

    async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.bytes_sent = request.len() as u64;
        Ok(())
    }

    /// Reads until the head is complete.
    fn poll_head(&mut self, context: &mut Context<'_>, head: &mut PartialHead) -> Poll<Result<(), SseError>> {
        let buffers = self.buffers.clone();
        let mut memory = buffers.memory();
        loop {
            let mut buffer = ReadBuf::new(&mut memory);
            ready!(self.stream.poll_read_sampled(buffers.sampler(), context, &mut buffer))
                .map_err(|error| broken(&error, ResetWhile::Waiting))?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                let nothing = self.bytes_received == 0;
                let error =
                    if nothing { ExchangeError::ClosedBeforeResponse } else { ExchangeError::ClosedInHead };
                return Poll::Ready(Err(error.into()));
            }
            self.bytes_received += bytes.len() as u64;
            head.bytes.extend_from_slice(bytes);
            if let Some((found, text_len)) = head.complete(&mut self.set_cookies)? {
                self.opened_ns = self.clock.now();
                let (text, body) = head.bytes.split_at(text_len);
                return Poll::Ready(self.begin(found, text, body));
            }
        }
    }

    fn begin(&mut self, head: Head, text: &[u8], body: &[u8]) -> Result<(), SseError> {
        if head.status != 200 {
            return Err(SseError::Status { status: head.status });
        }
        let found = head::field(text, "content-type").unwrap_or_default();
        let essence = found.split(|&byte| byte == b';').next().unwrap_or_default();
        if !essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream") {
            let shown = found.get(..limits::SHOWN_VALUE_BYTES_MAX).unwrap_or(found);
            return Err(SseError::ContentType { found: String::from_utf8_lossy(shown).into() });
        }
        if head.coding != ContentCoding::Identity {
            return Err(SseError::Compressed);
        }
        self.body = match head.framing {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Decoder::new()),
            Framing::UntilClose => Body::UntilClose,
        };
        self.is_open = true;
        // An end that comes with the head is told after the opening, to whoever asks for an event.
        self.end = self.feed(body).err();
        Ok(())
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SseError>> {
        let buffers = self.buffers.clone();
        let mut memory = buffers.memory();
        let mut buffer = ReadBuf::new(&mut memory);
        ready!(self.stream.poll_read_sampled(buffers.sampler(), context, &mut buffer))
            .map_err(|error| broken(&error, ResetWhile::Receiving))?;
        let bytes = buffer.filled();
        self.bytes_received += bytes.len() as u64;
        buffers.count_received(bytes.len());
        Poll::Ready(match self.body {
            Body::UntilClose if bytes.is_empty() => Err(SseError::Ended),
            _ if bytes.is_empty() => Err(ExchangeError::ClosedInBody.into()),
            _ => self.feed(bytes),
        })
    }

    /// Takes bytes of the body; an error at its end.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        let received_ns = self.clock.now();
        let (parser, ready) = (&mut self.parser, &mut self.ready);
        let tell = |event| ready.push_back(Received { event, received_ns });
        match &mut self.body {
            Body::UntilClose => Ok(parser.feed(bytes, tell)?),
            Body::Length(left) => {
                let take = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= take as u64;
                parser.feed(&bytes[..take], tell)?;
                if *left == 0 { Err(SseError::Ended) } else { Ok(()) }
            }
            Body::Chunked(decoder) => {
                let mut tell = tell;
                let mut broken = None;
                decoder.decode(bytes, |piece| {
                    // The decoder knows only its own errors: this one is kept and met right after.
                    broken = broken.or(parser.feed(piece, &mut tell).err());
                    Ok(())
                })?;
                match broken {
                    Some(error) => Err(error.into()),
                    None if decoder.is_done() => Err(SseError::Ended),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Drop for EventStream {
    /// What it sent and got went over the wire, though nothing was opened by it.
    fn drop(&mut self) {
        if !self.is_open {
            self.buffers.count_sent(self.bytes_sent as usize);
            self.buffers.count_received(self.bytes_received as usize);
        }
    }
}

impl PartialHead {
    /// The final head and its length, once it is there; interim ones are dropped.
    fn complete(&mut self, cookies: &mut Vec<Box<str>>) -> Result<Option<(Head, usize)>, ExchangeError> {
        while let Some(found) = head::parse(&self.bytes, Some(cookies))? {
            match found.status {
                _ if found.len > limits::RESPONSE_HEAD_BYTES_MAX => return Err(ExchangeError::HeadTooLarge),
                101 => return Err(Malformed::UnexpectedUpgrade.into()),
                100..200 if self.interim == limits::INTERIM_RESPONSES_MAX => {
                    return Err(Malformed::TooManyInterim.into());
                }
                100..200 => {
                    self.interim += 1;
                    cookies.clear();
                    self.bytes.drain(..found.len);
                }
                _ => return Ok(Some((found, found.len))),
            }
        }
        if self.bytes.len() > limits::RESPONSE_HEAD_BYTES_MAX {
            return Err(ExchangeError::HeadTooLarge);
        }
        Ok(None)
    }
}

impl SseError {
    /// One word or two, stable, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(error) => error.kind(),
            Self::Http(error) => error.kind(),
            Self::Status { .. } => "status",
            Self::ContentType { .. } => "not an event stream",
            Self::Compressed => "compressed",
            Self::TooLarge(_) => "event too large",
            Self::Ended => "ended",
        }
    }
}

fn broken(error: &io::Error, phase: ResetWhile) -> SseError {
    SseError::Http(match (TlsFailure::from_io(error), error.kind()) {
        (Some(failure), _) => ExchangeError::Tls(failure),
        (
            None,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            // TLS that ends without its closing message.
            | io::ErrorKind::UnexpectedEof,
        ) => ExchangeError::Reset(phase),
        (None, kind) => ExchangeError::Io(kind),
    })
}
