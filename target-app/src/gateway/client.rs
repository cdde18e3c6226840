//! A client of the gateway: its connection, and how it is told from outside whether a request arrives on it, is being
//! answered, or has been. hyper says when the head of a request is whole and when the body of an answer has been taken; the
//! first byte of the one and the last of the other are seen by the stream underneath.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use hyper::body::{Bytes, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::slots::{Doing, Slot};
use crate::lingering::Watch;

/// One client that has a slot.
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) slot: Slot,
    /// The answer has been handed to the stream as a whole, and is written when that has been flushed.
    handed_over: AtomicBool,
    /// It speaks something else than HTTP from now on.
    tunnel: AtomicBool,
    /// What comes from it is the rest of a request that has its answer, and is thrown away.
    lingers: AtomicBool,
}

impl Client {
    pub(super) fn new(address: IpAddr, slot: Slot) -> Arc<Self> {
        Arc::new(Self {
            address,
            slot,
            handed_over: AtomicBool::new(false),
            tunnel: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
        })
    }

    /// A request has arrived; false when the client had to make room meanwhile.
    pub(super) fn asks(&self) -> bool {
        self.handed_over.store(false, Ordering::Relaxed);
        self.slot.set(Doing::Writing)
    }

    /// It works until it ends.
    pub(super) fn becomes_a_tunnel(&self) {
        self.tunnel.store(true, Ordering::Relaxed);
    }

    /// Something has come from it; false when it had to make room meanwhile.
    fn hears(&self) -> bool {
        self.lingers.load(Ordering::Relaxed) || self.slot.hears()
    }

    fn flushed(&self) {
        if self.handed_over.swap(false, Ordering::Relaxed) && !self.tunnel.load(Ordering::Relaxed) {
            // It has a slot, since it was not waiting.
            self.slot.set(Doing::Waiting);
        }
    }
}

/// The stream of a client.
pub(super) struct Watched {
    pub(super) stream: TcpStream,
    pub(super) client: Arc<Client>,
}

/// Who has had the answer may be closed meanwhile, as with nginx in its `lingering_close`: the rest of that request is no next one.
impl Watch for Arc<Client> {
    fn lingers(&self, lingers: bool) {
        self.lingers.store(lingers, Ordering::Relaxed);
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() > before && !self.client.hears() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.client.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The body of an answer; says when all of it has been handed to the stream.
pub(super) struct Answered {
    body: Body,
    client: Arc<Client>,
}

impl Answered {
    pub(super) fn new(body: Body, client: Arc<Client>) -> Self {
        Self { body, client }
    }
}

impl hyper::body::Body for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.client.handed_over.store(true, Ordering::Relaxed);
    }
}
