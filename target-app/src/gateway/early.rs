//! An answer that comes before the request is whole, as of a body too large: neither side may lose it. The app closes while the
//! body is still being sent; what it said is in the socket even so, behind a write that fails. The client sends on too; were its
//! connection closed with something unread, that would reset it, and the answer with it. So the rest is read and thrown away
//! for a while, which nginx calls lingering.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{Request, header};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a client may go on with a body that nobody wants; nginx's `lingering_timeout`.
const LINGERING: Duration = Duration::from_secs(5);

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

/// The body of a request; what nobody wants of it is read and thrown away.
pub(super) struct Lingering {
    body: Option<Incoming>,
    /// The client has been told to wait with it, and need not be asked for it only to throw it away.
    held_back: bool,
}

impl Lingering {
    pub(super) fn of(request: Request<Incoming>) -> Request<Self> {
        let held_back = request.headers().contains_key(header::EXPECT);
        request.map(|body| Self { body: Some(body), held_back })
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.held_back = false;
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !self.held_back && !body.is_end_stream());
        if let Some((mut body, runtime)) = left.zip(Handle::try_current().ok()) {
            let rest = async move {
                while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
            };
            runtime.spawn(timeout(LINGERING, rest));
        }
    }
}
