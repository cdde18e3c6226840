//! One request and its response on an HTTP/1.1 connection: the hot path. In the usual case one write, one read, two looks at the clock, and no
//! allocation; everything else (partial writes, heads in pieces, TLS) is the same loop going round again.

use super::coding::ContentCoding;
use super::connection::Handshake;
use super::error::{ExchangeError, ResetWhile, TlsFailure};
use super::head::Memo;
use super::response::{Keep, ResponseReader};
use super::stamp::{READ_ERROR_ONE_IN, Sampler, ask_for_stamps};
use super::stream::{Idle, Stream};
use crate::clock::{Clock, Nanos};
use crate::limits;
use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The buffer that all connections of a shard read into. It is borrowed only inside one poll, so idle users own no memory for what
/// they may receive. Cheap to clone; not `Send`, as a shard is one thread.
#[derive(Clone, Debug)]
pub struct Buffers {
    read: Rc<RefCell<Box<[u8]>>>,
    heads: Rc<RefCell<Memo>>,
    sampler: Rc<Sampler>,
    traffic: Rc<Cell<Traffic>>,
}

/// Bytes that no [`Exchange`] tells of, before TLS: those of sockets and event streams, which come and go between the steps of a user, and
/// those of exchanges over HTTP/1.1 and of openings of event streams that came to no end. They are counted where they pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub sent: u64,
    pub received: u64,
}

impl Buffers {
    pub fn new() -> Self {
        Self::sampling(READ_ERROR_ONE_IN)
    }

    /// With one read in so many sampled.
    pub fn sampling(one_in: u32) -> Self {
        let memory = vec![0; limits::SHARD_READ_BUFFER_BYTES].into_boxed_slice();
        Self {
            read: Rc::new(RefCell::new(memory)),
            heads: Rc::default(),
            sampler: Rc::new(Sampler::new(one_in)),
            traffic: Rc::default(),
        }
    }

    /// What went over WebSockets, with their handshakes, came on event streams once they were open, or belonged to exchanges and openings without an
    /// end, since the last call.
    pub fn take_traffic(&self) -> Traffic {
        self.traffic.take()
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        let before = self.traffic.get();
        self.traffic.set(Traffic { sent: before.sent + bytes as u64, ..before });
    }

    pub(super) fn count_received(&self, bytes: usize) {
        let before = self.traffic.get();
        self.traffic.set(Traffic { received: before.received + bytes as u64, ..before });
    }

    /// How late reads were that are sampled apart from exchanges, since the last call: of WebSockets, event streams, HTTP/2 and TLS.
    pub fn take_read_errors(&self) -> Vec<Nanos> {
        self.sampler.take_told()
    }

    pub(super) fn sampler(&self) -> &Rc<Sampler> {
        &self.sampler
    }

    /// The memory itself; to be given back before the poll ends.
    pub(super) fn memory(&self) -> RefMut<'_, Box<[u8]>> {
        self.read.borrow_mut()
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// An HTTP/1.1 connection: it takes one exchange after the other. Dropping it closes the socket.
#[derive(Debug)]
pub struct Http1 {
    stream: Stream,
    /// It has carried an exchange, so the server may meanwhile have tired of it.
    used: bool,
    /// The kernel was asked to stamp what arrives on it.
    stamped: bool,
}

/// What came of one request.
#[derive(Debug)]
pub struct Exchange {
    pub status: u16,
    /// Just before the first byte of the request was written.
    pub sent_ns: Nanos,
    /// When the first bytes of a response (an interim one counts) were read.
    pub first_byte_ns: Nanos,
    /// When the last bytes of the response were read.
    pub done_ns: Nanos,
    /// How long the last bytes had lain in the socket when they were read; only of the one response in a hundred that is sampled.
    pub read_error_ns: Option<Nanos>,
    pub bytes_sent: u64,
    /// All bytes of the response before TLS: heads, body, chunk framing.
    pub bytes_received: u64,
    /// Bytes of the body without chunk framing, kept or not.
    pub body_bytes: u64,
    /// How the body is coded; [`ContentCoding::decode`] undoes it.
    pub coding: ContentCoding,
    /// Another request may follow on this connection.
    pub reusable: bool,
    /// The head as it came, if [`Keep::head`]; that of HTTP/2 as HTTP/1.1 would have written it.
    pub head: Option<Box<[u8]>>,
    /// If [`Keep::body`].
    pub body: Option<Vec<u8>>,
    /// Values of `set-cookie`, if [`Keep::cookies`].
    pub set_cookies: Vec<Box<str>>,
}

/// The future of one exchange. After an error, or when it is dropped before its end, the connection must be dropped too.
#[derive(Debug)]
#[must_use = "nothing is sent until it is polled"]
pub struct Exchanging<'a> {
    connection: &'a mut Http1,
    request: &'a [u8],
    buffers: &'a Buffers,
    clock: &'a Clock,
    reader: ResponseReader,
    progress: Progress,
    sent_bytes: usize,
    sent_ns: Nanos,
    first_byte_ns: Nanos,
    done_ns: Nanos,
    /// The response is read with its kernel receive timestamp.
    sampled: bool,
    read_error_ns: Option<Nanos>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    NotStarted,
    Sending,
    Flushing,
    /// The request is out.
    Receiving,
    /// The server stopped taking the request, but may have said why before it did.
    Refused,
    /// The response has been handed out, and tells of its bytes itself.
    Over,
}

impl Http1 {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, used: false, stamped: false }
    }

    /// Sends `request`, a complete rendered request, and reads its response. `head_only` is for HEAD, whose response has no body.
    ///
    /// Errors: see [`ExchangeError`]; [`ExchangeError::answered_nothing`] says which may be tried again on a fresh connection.
    pub fn exchange<'a>(
        &'a mut self,
        request: &'a [u8],
        head_only: bool,
        keep: Keep,
        buffers: &'a Buffers,
        clock: &'a Clock,
    ) -> Exchanging<'a> {
        Exchanging {
            connection: self,
            request,
            buffers,
            clock,
            reader: ResponseReader::new(head_only, keep),
            progress: Progress::NotStarted,
            sent_bytes: 0,
            sent_ns: 0,
            first_byte_ns: 0,
            done_ns: 0,
            sampled: false,
            read_error_ns: None,
        }
    }

    pub(super) fn handshake(&self) -> Option<Handshake> {
        self.stream.handshake()
    }

    /// Whether the kernel stamps what arrives, for this exchange to be sampled. Under TLS it is the socket that samples: the last read of
    /// an exchange may bring records that nobody asked for.
    fn stamp(&mut self) -> bool {
        if let (Stream::Plain(socket), false) = (&self.stream, self.stamped) {
            self.stamped = ask_for_stamps(socket);
        }
        self.stamped
    }

    /// It has carried an exchange before: a failure without an answer may be the server closing an idle connection.
    pub fn is_used(&self) -> bool {
        self.used
    }
}

impl Future for Exchanging<'_> {
    type Output = Result<Exchange, ExchangeError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.progress == Progress::NotStarted {
            this.start()?;
        }
        // Sending and receiving together: a server may answer, and stop reading, before it has all of a large request.
        if matches!(this.progress, Progress::Sending | Progress::Flushing) {
            this.poll_send(context);
        }
        ready!(this.poll_receive(context))?;
        Poll::Ready(Ok(this.finish()))
    }
}

impl<'a> Exchanging<'a> {
    /// Sees to it that the connection is still fresh, and writes without a detour through the reactor.
    fn start(&mut self) -> Result<(), ExchangeError> {
        if self.connection.used {
            let mut memory = self.buffers.read.borrow_mut();
            match self.connection.stream.idle(&mut memory) {
                Idle::Quiet => {}
                Idle::Closed => return Err(ExchangeError::ClosedWhileIdle),
                Idle::Spoke(bytes) => {
                    self.buffers.count_received(bytes);
                    return Err(if is_goodbye(&memory[..bytes]) {
                        ExchangeError::ClosedWhileIdle
                    } else {
                        ExchangeError::Unsolicited
                    });
                }
            }
        }
        if !self.connection.used && matches!(self.connection.stream, Stream::Tls(_)) {
            self.connection.stream.watch(&self.buffers.sampler);
        }
        self.connection.used = true;
        self.progress = Progress::Sending;
        self.sent_ns = self.clock.now();
        if self.buffers.sampler.is_due(self.sent_ns) && self.connection.stamp() {
            self.sampled = true;
            self.sent_ns = self.clock.now();
        }
        if let Stream::Plain(socket) = &self.connection.stream
            && let Ok(written) = socket.try_write(self.request)
        {
            // An error is left for the poll that follows, which meets it again and names it.
            self.sent_bytes = written;
            if written == self.request.len() {
                self.progress = Progress::Receiving;
            }
        }
        Ok(())
    }

    /// Writes as much as the socket takes. A failure is kept for later: what the server had to say comes first.
    fn poll_send(&mut self, context: &mut Context<'_>) {
        while self.progress == Progress::Sending {
            let rest = &self.request[self.sent_bytes..];
            match Pin::new(&mut self.connection.stream).poll_write(context, rest) {
                Poll::Pending => return,
                Poll::Ready(Ok(0) | Err(_)) => self.progress = Progress::Refused,
                Poll::Ready(Ok(written)) => {
                    self.sent_bytes += written;
                    if self.sent_bytes == self.request.len() {
                        self.progress = Progress::Flushing;
                    }
                }
            }
        }
        if self.progress == Progress::Flushing {
            // rustls buffers records; they are out only once it says so.
            match Pin::new(&mut self.connection.stream).poll_flush(context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.progress = Progress::Receiving,
                Poll::Ready(Err(_)) => self.progress = Progress::Refused,
            }
        }
    }

    /// Reads and parses until the response is complete. The loop is bounded by tokio's budget: it pends after 128 reads.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        let buffers: &'a Buffers = self.buffers;
        let mut memory = buffers.read.borrow_mut();
        loop {
            let mut buffer = ReadBuf::new(&mut memory);
            let outcome = ready!(self.poll_read(context, &mut buffer));
            let bytes = buffer.filled();
            if let Err(error) = outcome {
                return Poll::Ready(Err(self.failed(&error)));
            }
            if bytes.is_empty() {
                return Poll::Ready(self.ended());
            }
            let begins = !self.reader.has_begun();
            if begins {
                self.first_byte_ns = self.clock.now();
            }
            if self.reader.feed_remembering(bytes, Some(&mut buffers.heads.borrow_mut()))? {
                // The common case is one read: then the instant of the first byte is that of the last.
                self.done_ns = if begins { self.first_byte_ns } else { self.clock.now() };
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.sampled
            && let Stream::Plain(socket) = &self.connection.stream
        {
            self.read_error_ns = ready!(self.buffers.sampler.poll_read(socket, context, buffer))?;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.connection.stream).poll_read(context, buffer)
    }

    fn ended(&mut self) -> Result<(), ExchangeError> {
        if self.progress == Progress::Refused && !self.reader.has_begun() {
            return Err(ExchangeError::Reset(ResetWhile::Sending));
        }
        self.reader.end()?;
        self.done_ns = self.clock.now();
        Ok(())
    }

    fn failed(&mut self, error: &io::Error) -> ExchangeError {
        if let Some(failure) = TlsFailure::from_io(error) {
            return ExchangeError::Tls(failure);
        }
        let while_ = if self.reader.has_begun() {
            ResetWhile::Receiving
        } else if self.progress == Progress::Receiving {
            ResetWhile::Waiting
        } else {
            ResetWhile::Sending
        };
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                ExchangeError::Reset(while_)
            }
            // TLS without its closing message: the end of a body cannot be told from a cut.
            io::ErrorKind::UnexpectedEof => self.reader.end().err().unwrap_or(ExchangeError::ClosedInBody),
            kind => ExchangeError::Io(kind),
        }
    }

    fn finish(&mut self) -> Exchange {
        let response = self.reader.take();
        let took_all = self.progress == Progress::Receiving;
        self.progress = Progress::Over;
        Exchange {
            status: response.status,
            sent_ns: self.sent_ns,
            first_byte_ns: self.first_byte_ns,
            done_ns: self.done_ns,
            read_error_ns: self.read_error_ns,
            bytes_sent: self.sent_bytes as u64,
            bytes_received: response.bytes_received,
            body_bytes: response.body_bytes,
            coding: response.coding,
            reusable: response.keep_alive && took_all,
            head: response.head,
            body: response.body,
            set_cookies: response.set_cookies,
        }
    }
}

/// What a server may say that tires of waiting (RFC 9110, section 15.5.9), in whichever minor version.
fn is_goodbye(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.")
        && bytes.get(b"HTTP/1.1".len()..).is_some_and(|rest| rest.starts_with(b" 408"))
}

impl Drop for Exchanging<'_> {
    /// What it sent and got went over the wire, though it came to no end.
    fn drop(&mut self) {
        if self.progress != Progress::Over {
            self.buffers.count_sent(self.sent_bytes);
            self.buffers.count_received(self.reader.bytes_received());
        }
    }
}
