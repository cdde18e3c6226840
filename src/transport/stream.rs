//! A connected socket, plain or under TLS. The TLS part is boxed so that a plain connection, which is what a hundred thousand users
//! hold, stays at the size of a socket handle.

use super::connection::Handshake;
use super::stamp::{Sampler, Socket, ask_for_stamps};
use rustls::HandshakeKind;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio_rustls::client::TlsStream;

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Socket>>),
    /// To a server in the same test, on the test's clock.
    #[cfg(test)]
    Simulated(tokio::io::DuplexStream),
}

/// What a connection did while nobody used it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    Quiet,
    Closed,
    /// It sent so many bytes.
    Spoke(usize),
}

impl Stream {
    /// How its TLS began, if it has TLS.
    pub(super) fn handshake(&self) -> Option<Handshake> {
        match self {
            Self::Plain(_) => None,
            #[cfg(test)]
            Self::Simulated(_) => None,
            Self::Tls(tls) => Some(match tls.get_ref().1.handshake_kind() {
                Some(HandshakeKind::Resumed) => Handshake::Resumed,
                _ => Handshake::Full,
            }),
        }
    }

    /// From now on its reads are among those that are sampled: in clear text those by [`Self::poll_read_sampled`], under TLS all.
    pub(super) fn watch(&mut self, sampler: &Rc<Sampler>) {
        match self {
            Self::Plain(socket) => {
                ask_for_stamps(socket);
            }
            Self::Tls(tls) => tls.get_mut().0.watch(sampler),
            #[cfg(test)]
            Self::Simulated(_) => {}
        }
    }

    /// As `poll_read`, of a stream that is watched and listened to all the time.
    pub(super) fn poll_read_sampled(
        &mut self,
        sampler: &Sampler,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => sampler.poll_read_of_many(socket, context, buffer),
            _ => Pin::new(self).poll_read(context, buffer),
        }
    }

    /// Looks whether the peer closed or spoke, without a system call as long as the reactor has reported nothing about the socket:
    /// tokio's `try_read` asks its own readiness first, and the last read of an exchange left that cleared.
    ///
    /// Under TLS the bytes that have come may be tickets and nothing to read: rustls takes them in, and only what is left speaks.
    pub(super) fn idle(&mut self, scratch: &mut [u8]) -> Idle {
        match self {
            Self::Plain(socket) => match socket.try_read(scratch) {
                Ok(0) => Idle::Closed,
                Ok(bytes) => Idle::Spoke(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Idle::Quiet,
                Err(_) => Idle::Closed,
            },
            Self::Tls(tls) => {
                let mut buffer = ReadBuf::new(scratch);
                tls.get_mut().0.idle = true;
                let looking =
                    std::future::poll_fn(|context| Pin::new(tls.as_mut()).poll_read(context, &mut buffer));
                // Unconstrained: a task that has used up what tokio lets it do in one turn would be told that nothing has come. Nobody
                // waits for it: the exchange that follows asks to be woken itself.
                let looked = pin!(unconstrained(looking)).poll(&mut Context::from_waker(Waker::noop()));
                tls.get_mut().0.idle = false;
                match looked {
                    Poll::Pending => Idle::Quiet,
                    Poll::Ready(Ok(())) if buffer.filled().is_empty() => Idle::Closed,
                    Poll::Ready(Ok(())) => Idle::Spoke(buffer.filled().len()),
                    Poll::Ready(Err(_)) => Idle::Closed,
                }
            }
            #[cfg(test)]
            Self::Simulated(_) => Idle::Quiet,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(context, buffer),
            #[cfg(test)]
            Self::Simulated(link) => Pin::new(link).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(context, bytes),
            #[cfg(test)]
            Self::Simulated(link) => Pin::new(link).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(context),
            #[cfg(test)]
            Self::Simulated(link) => Pin::new(link).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(context),
            #[cfg(test)]
            Self::Simulated(link) => Pin::new(link).poll_shutdown(context),
        }
    }
}
