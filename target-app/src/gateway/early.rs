//! An answer that comes before the request is whole, as of a body too large: neither side may lose it. A replica may close while the
//! body is still being sent; what it said is in the socket even so, behind a write that fails. What the client still sends is `lingering`'s.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The stream of a connection to a replica. A write that nobody listens to is no failure while there is something to read: hyper
/// would end the connection with it, and not look.
pub(super) struct ReadToTheEnd(pub(super) TcpStream);

impl ReadToTheEnd {
    /// The outcome of a write of so many bytes.
    fn outcome(
        &self,
        written: Poll<io::Result<usize>>,
        length: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(e)) if nobody_listens(&e) => {
                let mut byte = [0];
                // It does not wait for long: the other side is gone, and its last word is here or there is none.
                match ready!(self.0.poll_peek(cx, &mut ReadBuf::new(&mut byte))) {
                    Ok(1) => Poll::Ready(Ok(length)),
                    _ => Poll::Ready(Err(e)),
                }
            }
            other => other,
        }
    }
}

fn nobody_listens(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncRead for ReadToTheEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ReadToTheEnd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(cx, bytes);
        self.outcome(written, bytes.len(), cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write_vectored(cx, pieces);
        self.outcome(written, pieces.iter().map(|piece| piece.len()).sum(), cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
