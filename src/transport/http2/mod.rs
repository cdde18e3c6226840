//! HTTP/2 to one server: the `h2` crate keeps the protocol, [`wire`] keeps the times. A connection is driven by a task of its own, so
//! that it answers pings and sees the server leave while its users think; an exchange is one stream of it.

mod failure;
mod frames;
mod request;
mod wire;

use super::coding::ContentCoding;
use super::connection::{self, Handshake};
use super::error::{ExchangeError, TransportError};
use super::exchange::{Buffers, Exchange};
use super::response::Keep;
use super::stream::Stream;
use crate::clock::Clock;
use crate::limits;
use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use tokio::task::AbortHandle;
use wire::{Log, Seen, Wire};

/// Kind, stream and length of the frames that end in these bytes, which come in pieces of at most `cut`.
#[cfg(fuzzing)]
pub fn frame_ends(bytes: &[u8], cut: usize) -> Vec<(u8, u32, u64)> {
    let (mut scan, mut ends) = (frames::Scan::after(0), Vec::new());
    for piece in bytes.chunks(cut.max(1)) {
        scan.feed(piece, |edge, frame| {
            if edge == frames::Edge::Ends {
                ends.push((frame.kind, frame.stream, frame.bytes()));
            }
        });
    }
    ends
}

type Session = h2::client::Connection<Wire, Bytes>;

/// The exchange under way on a stream. Boxed, so that a user who speaks HTTP/1.1 does not carry room for it.
pub(super) type Exchanging<'a> = Pin<Box<dyn Future<Output = Result<Exchange, ExchangeError>> + 'a>>;

/// A connection that carries streams side by side. Dropping it closes the socket at once.
pub struct Http2 {
    /// Emptied by whoever ends it: its driver when the server does, its owner by dropping this.
    session: Rc<RefCell<Option<Session>>>,
    send: SendRequest<Bytes>,
    log: Rc<Log>,
    driver: RefCell<Option<AbortHandle>>,
    handshake: Option<Handshake>,
    used: Cell<bool>,
    /// A request timed out and nothing at all was heard meanwhile: the other end is as good as gone.
    silent: Cell<bool>,
    /// It takes no further stream, for whatever reason: its 2³⁰ numbers may be used up.
    spent: Cell<bool>,
    /// How far the last exchange was that was given up.
    given_up: Cell<Option<Seen>>,
}

impl Http2 {
    /// Exchanges prefaces. The server's is waited for: a request that follows knows how many streams there may be, and a server that
    /// does not speak HTTP/2 is found out before any load goes to it.
    pub(super) async fn begin(stream: Stream) -> Result<Self, TransportError> {
        let handshake = stream.handshake();
        let log = Rc::new(Log::default());
        let shaken = builder().handshake(Wire::new(stream, Rc::clone(&log))).await;
        let (send, mut session) = shaken.map_err(|error| failure::of_beginning(&log, &error))?;
        std::future::poll_fn(|context| {
            let polled = Pin::new(&mut session).poll(context);
            if log.settled.get() {
                return Poll::Ready(Ok(()));
            }
            match ready!(polled) {
                Err(error) => Poll::Ready(Err(failure::of_beginning(&log, &error))),
                Ok(()) => Poll::Ready(Err(TransportError::NotHttp2)),
            }
        })
        .await?;
        Ok(Self {
            session: Rc::new(RefCell::new(Some(session))),
            send,
            log,
            driver: RefCell::default(),
            handshake,
            used: Cell::new(false),
            silent: Cell::new(false),
            spent: Cell::new(false),
            given_up: Cell::new(None),
        })
    }

    /// Sends `rendered`, a complete request as HTTP/1.1 writes it, on a stream of its own, and reads its response. Must be called and
    /// polled inside a [`tokio::task::LocalSet`]. Dropping the future cancels the stream and leaves the connection as it was.
    pub fn exchange<'a>(
        &'a self,
        rendered: &'a [u8],
        keep: Keep,
        buffers: &Buffers,
        clock: &'a Clock,
    ) -> connection::Exchanging<'a> {
        self.drive(buffers, *clock);
        connection::Exchanging::Http2(Box::pin(self.run(rendered, keep)))
    }

    pub(super) fn handshake(&self) -> Option<Handshake> {
        self.handshake
    }

    /// It has carried an exchange before.
    pub fn is_used(&self) -> bool {
        self.used.get()
    }

    /// Another stream may be opened: the connection stands and the server has not said that it is leaving.
    pub fn takes_more(&self) -> bool {
        !self.silent.get()
            && !self.spent.get()
            && self.log.leaving.get().is_none()
            && self.session.borrow().is_some()
    }

    /// Streams under way.
    pub fn streams(&self) -> usize {
        self.log.streams()
    }

    /// Streams the server allows at once.
    pub fn streams_max(&self) -> usize {
        self.send.current_max_send_streams()
    }

    /// The last exchange was given up because its time was over, and not because nobody wanted it any more. If nothing at all was heard
    /// while it lasted, no further one is sent.
    pub fn gave_up_waiting(&self) {
        if let Some(seen) = self.given_up.get() {
            self.silent.set(self.silent.get() || self.log.heard_ns.get() < seen.sent_ns.max(1));
        }
    }

    /// What the last exchange that was given up was waiting for.
    pub fn waited_for(&self) -> Option<&'static str> {
        self.given_up.get().map(|seen| match seen {
            Seen { sent_ns: 0, .. } => "the server takes no more bytes on this connection",
            Seen { request_out: false, .. } => {
                "the server's flow-control window does not let the body of the request out"
            }
            Seen { first_byte_ns: 0, .. } => "the request is out, no answer has begun",
            _ => "the answer has begun, and did not end",
        })
    }

    /// The driver is started with the first exchange: a connection that is only knocked with needs none.
    fn drive(&self, buffers: &Buffers, clock: Clock) {
        if self.driver.borrow().is_some() {
            return;
        }
        self.log.clock.set(Some(clock));
        *self.log.sampler.borrow_mut() = Some(Rc::clone(buffers.sampler()));
        let session = Rc::clone(&self.session);
        let driving = std::future::poll_fn(move |context| {
            let mut session = session.borrow_mut();
            if let Some(connection) = session.as_mut() {
                // How it ended is in the log, and every stream has been told.
                let _ended = ready!(Pin::new(connection).poll(context));
                *session = None;
            }
            Poll::Ready(())
        });
        *self.driver.borrow_mut() = Some(tokio::task::spawn_local(driving).abort_handle());
    }

    async fn run(&self, rendered: &[u8], keep: Keep) -> Result<Exchange, ExchangeError> {
        self.used.set(true);
        self.given_up.set(None);
        let (request, body) = request::translate(rendered, self.handshake.is_some())?;
        if !self.takes_more() {
            return Err(ExchangeError::ClosedWhileIdle);
        }
        let mut send = self.send.clone();
        let refused = |error: h2::Error| {
            self.spent.set(true);
            failure::of_stream(&self.log, Seen::default(), 0, &error)
        };
        std::future::poll_fn(|context| send.poll_ready(context)).await.map_err(refused)?;
        let (answer, mut sending) = send.send_request(request, body.is_empty()).map_err(refused)?;
        let number = sending.stream_id().as_u32();
        let stream = Watched::new(self, number);
        let failed = |error| failure::of_stream(&self.log, self.log.seen(number), number, &error);
        if !body.is_empty() {
            sending.send_data(body, true).map_err(failed)?;
        }
        let (head, mut incoming) = answer.await.map_err(failed)?.into_parts();
        let kept = receive(&mut incoming, keep).await.map_err(|stop| match stop {
            Stop::Failed(error) => failed(error),
            Stop::TooLarge(limit_bytes) => ExchangeError::BodyTooLarge { limit_bytes },
        })?;
        let seen = stream.complete();
        Ok(Exchange {
            status: head.status.as_u16(),
            sent_ns: seen.sent_ns,
            first_byte_ns: seen.first_byte_ns,
            done_ns: seen.last_byte_ns,
            // One read may hold frames of many streams: the stamp of its last byte says nothing of theirs. The connection's reads are sampled
            // as such, see `stamp`.
            read_error_ns: None,
            bytes_sent: seen.bytes_sent,
            bytes_received: seen.bytes_received,
            body_bytes: kept.bytes,
            coding: coding(&head.headers),
            reusable: self.takes_more(),
            head: keep.head.then(|| written_out(head.status, &head.headers)),
            body: keep.body.then_some(kept.body),
            set_cookies: if keep.cookies { cookies(&head.headers) } else { Vec::new() },
        })
    }
}

fn coding(headers: &http::HeaderMap) -> ContentCoding {
    let values = headers.get_all(http::header::CONTENT_ENCODING).iter();
    values.fold(ContentCoding::Identity, |coding, value| coding.with(value.as_bytes()))
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.session.borrow_mut().take();
        if let Some(driver) = self.driver.borrow().as_ref() {
            driver.abort();
        }
    }
}

impl std::fmt::Debug for Http2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http2").field("log", &self.log).finish_non_exhaustive()
    }
}

/// A stream in the log, from its opening to the end of the exchange, however that comes.
struct Watched<'a> {
    connection: &'a Http2,
    number: u32,
    complete: bool,
}

impl<'a> Watched<'a> {
    fn new(connection: &'a Http2, number: u32) -> Self {
        connection.log.open(number);
        Self { connection, number, complete: false }
    }

    fn complete(mut self) -> Seen {
        self.complete = true;
        self.connection.log.seen(self.number)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let seen = self.connection.log.close(self.number);
        if !self.complete {
            self.connection.given_up.set(Some(seen));
        }
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(limits::HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW_BYTES)
        .max_header_list_size(limits::HTTP2_HEADER_LIST_BYTES_MAX)
        .max_concurrent_reset_streams(limits::HTTP2_RESET_STREAMS_MAX);
    builder
}

struct Received {
    bytes: u64,
    body: Vec<u8>,
}

enum Stop {
    Failed(h2::Error),
    /// Past so many bytes.
    TooLarge(u64),
}

/// Reads to the end of the stream, giving the window back as it goes.
async fn receive(incoming: &mut RecvStream, keep: Keep) -> Result<Received, Stop> {
    let mut received = Received { bytes: 0, body: Vec::new() };
    while let Some(piece) = incoming.data().await {
        let piece = piece.map_err(Stop::Failed)?;
        received.bytes += piece.len() as u64;
        if received.bytes > keep.body_bytes_max() {
            return Err(Stop::TooLarge(keep.body_bytes_max()));
        }
        if keep.body {
            received.body.extend_from_slice(&piece);
        }
        incoming.flow_control().release_capacity(piece.len()).map_err(Stop::Failed)?;
    }
    incoming.trailers().await.map_err(Stop::Failed)?;
    Ok(received)
}

/// The head as a person would write it, which is also how captures read the head of an HTTP/1.1 response.
fn written_out(status: http::StatusCode, fields: &http::HeaderMap) -> Box<[u8]> {
    let mut head = String::with_capacity(128);
    let _ = write!(head, "HTTP/2 {}\r\n", status.as_str());
    let mut head = head.into_bytes();
    for (name, value) in fields {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}

fn cookies(fields: &http::HeaderMap) -> Vec<Box<str>> {
    let values = fields.get_all(http::header::SET_COOKIE).iter();
    values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok()).map(Box::from).collect()
}
