//! A stream whose reads go through the shard's buffer, for a reader that would otherwise keep a buffer of its own for every
//! connection: it is given small pieces of what one system call brought, and what is left over waits here until it is asked for.

use super::connection::Handshake;
use super::exchange::Buffers;
use super::stream::Stream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Debug)]
pub(super) struct Borrowing {
    stream: Stream,
    buffers: Buffers,
    /// Read, but not asked for yet, from `taken` on; without memory in the usual case.
    rest: Vec<u8>,
    taken: usize,
}

impl Borrowing {
    pub(super) fn new(mut stream: Stream, buffers: Buffers) -> Self {
        stream.watch(buffers.sampler());
        Self { stream, buffers, rest: Vec::new(), taken: 0 }
    }

    /// How its TLS began, if it has TLS.
    pub(super) fn handshake(&self) -> Option<Handshake> {
        self.stream.handshake()
    }
}

impl AsyncRead for Borrowing {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            let mut memory = this.buffers.memory();
            let mut buffer = ReadBuf::new(&mut memory);
            ready!(this.stream.poll_read_sampled(this.buffers.sampler(), context, &mut buffer))?;
            let bytes = buffer.filled();
            this.buffers.count_received(bytes.len());
            let (now, later) = bytes.split_at(bytes.len().min(out.remaining()));
            out.put_slice(now);
            this.rest.extend_from_slice(later);
            return Poll::Ready(Ok(()));
        }
        // Pieces that are here already cost a turn of the task as reads of the socket do, or one read would bring thousands of messages
        // that are all worked off before anybody else comes to act.
        let turn = ready!(tokio::task::coop::poll_proceed(context));
        turn.made_progress();
        let rest = &this.rest[this.taken..];
        let piece = &rest[..rest.len().min(out.remaining())];
        out.put_slice(piece);
        this.taken += piece.len();
        if this.taken == this.rest.len() {
            (this.rest, this.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Borrowing {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        this.buffers.count_sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
