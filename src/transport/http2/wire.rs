//! The socket under an HTTP/2 connection, with a watch on it. The library that speaks HTTP/2 tells when it has queued a frame; what a
//! latency needs is when the bytes went out and came in, and only here is that known.

use super::frames::{CONTINUATION, Edge, Frame, GOAWAY, HEADERS, SETTINGS, Scan};
use crate::clock::{Clock, Nanos};
use crate::transport::error::TlsFailure;
use crate::transport::stamp::Sampler;
use crate::transport::stream::Stream;
use h2::Reason;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of the client's preface, which come before its first frame (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;

/// What was seen of one stream. An instant is 0 until it has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Just before the first byte of its HEADERS was written.
    pub(super) sent_ns: Nanos,
    /// When the first bytes of an answer (an interim one counts) were read.
    pub(super) first_byte_ns: Nanos,
    /// When the last bytes so far of an answer were read.
    pub(super) last_byte_ns: Nanos,
    /// Frames of the message: headers, body, trailers.
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    /// Of the header blocks received, compressed as they were.
    pub(super) head_bytes: u64,
    /// The request is out to its last byte.
    pub(super) request_out: bool,
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The peer closed it.
    Closed,
    Tls(TlsFailure),
    Io(io::ErrorKind),
}

/// The book kept of one connection, shared by its socket and its exchanges.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Streams under way, by ascending number.
    streams: RefCell<Vec<(u32, Seen)>>,
    /// The server's first frame was SETTINGS, and is here: it speaks HTTP/2.
    pub(super) settled: Cell<bool>,
    /// The last stream the server will look at and why it leaves, once it has said so.
    pub(super) leaving: Cell<Option<(u32, Reason)>>,
    pub(super) broken: Cell<Option<Broken>>,
    /// When anything was last read.
    pub(super) heard_ns: Cell<Nanos>,
    /// The peer answered in HTTP/1, as a server that knows no other does.
    pub(super) speaks_http1: Cell<bool>,
    /// The clock of the first exchange. Before it there is nothing to time.
    pub(super) clock: Cell<Option<Clock>>,
    /// Of the shard of the first exchange, until the socket has it.
    pub(super) sampler: RefCell<Option<Rc<Sampler>>>,
}

impl Log {
    fn now(&self) -> Nanos {
        self.clock.get().map_or(0, |clock| clock.now())
    }

    /// Numbers only grow, so the list stays in order.
    pub(super) fn open(&self, stream: u32) {
        self.streams.borrow_mut().push((stream, Seen::default()));
    }

    pub(super) fn close(&self, stream: u32) -> Seen {
        let mut streams = self.streams.borrow_mut();
        match streams.binary_search_by_key(&stream, |(number, _)| *number) {
            Ok(at) => streams.remove(at).1,
            Err(_) => Seen::default(),
        }
    }

    pub(super) fn seen(&self, stream: u32) -> Seen {
        self.edit(stream, |seen| *seen).unwrap_or_default()
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.borrow().len()
    }

    fn edit<T>(&self, stream: u32, edit: impl FnOnce(&mut Seen) -> T) -> Option<T> {
        let mut streams = self.streams.borrow_mut();
        let at = streams.binary_search_by_key(&stream, |(number, _)| *number).ok()?;
        Some(edit(&mut streams[at].1))
    }

    fn went(&self, edge: Edge, frame: &Frame, now: Nanos) {
        if !frame.is_message() {
            return;
        }
        self.edit(frame.stream, |seen| match edge {
            Edge::Begins => {
                if seen.sent_ns == 0 {
                    seen.sent_ns = now.max(1);
                }
            }
            Edge::Ends => {
                seen.bytes_sent += frame.bytes();
                seen.request_out |= frame.ends_stream();
            }
        });
    }

    fn came(&self, edge: Edge, frame: &Frame, now: Nanos) {
        if edge == Edge::Ends && frame.kind == SETTINGS {
            self.settled.set(true);
        }
        if edge == Edge::Ends && frame.kind == GOAWAY {
            // A server that means to finish says so twice: first with the highest number there is, then with the true one.
            self.leaving.set(Some((frame.last_stream(), frame.error_code().into())));
        }
        if !frame.is_message() {
            return;
        }
        self.edit(frame.stream, |seen| {
            if seen.first_byte_ns == 0 {
                seen.first_byte_ns = now.max(1);
            }
            if edge == Edge::Ends {
                seen.last_byte_ns = now.max(1);
                seen.bytes_received += frame.bytes();
                if matches!(frame.kind, HEADERS | CONTINUATION) {
                    seen.head_bytes += frame.bytes();
                }
            }
        });
    }

    fn failed(&self, error: &io::Error) {
        let broken = match TlsFailure::from_io(error) {
            Some(failure) => Broken::Tls(failure),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Broken::Closed,
            None => Broken::Io(error.kind()),
        };
        self.broken.set(Some(self.broken.get().unwrap_or(broken)));
    }
}

/// The watched socket.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    sampler: Option<Rc<Sampler>>,
    out: Scan,
    inward: Scan,
    log: Rc<Log>,
}

impl Wire {
    pub(super) fn new(stream: Stream, log: Rc<Log>) -> Self {
        Self { stream, sampler: None, out: Scan::after(PREFACE_BYTES), inward: Scan::after(0), log }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(sampler) = this.log.sampler.take() {
            this.stream.watch(&sampler);
            this.sampler = Some(sampler);
        }
        let before = buffer.filled().len();
        let outcome = std::task::ready!(match &this.sampler {
            Some(sampler) => this.stream.poll_read_sampled(sampler, context, buffer),
            None => Pin::new(&mut this.stream).poll_read(context, buffer),
        });
        let bytes = &buffer.filled()[before..];
        match &outcome {
            Err(error) => this.log.failed(error),
            Ok(()) if bytes.is_empty() => {
                this.log.broken.set(Some(this.log.broken.get().unwrap_or(Broken::Closed)));
            }
            Ok(()) => {
                let now = this.log.now();
                this.log.heard_ns.set(now);
                if !this.log.settled.get() && bytes.starts_with(b"HTTP/") {
                    this.log.speaks_http1.set(true);
                }
                this.inward.feed(bytes, |edge, frame| this.log.came(edge, frame, now));
            }
        }
        Poll::Ready(outcome)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let now = this.log.now();
        let outcome = std::task::ready!(Pin::new(&mut this.stream).poll_write(context, bytes));
        match &outcome {
            Err(error) => this.log.failed(error),
            Ok(written) => this.out.feed(&bytes[..*written], |edge, frame| this.log.went(edge, frame, now)),
        }
        Poll::Ready(outcome)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
