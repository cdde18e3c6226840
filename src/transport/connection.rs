//! A connection of either protocol behind one exchange: who sends a request says what, and not how. HTTP/1.1 is kept in place, as it is
//! what a hundred thousand users hold; all of HTTP/2 is behind a pointer.

use super::error::ExchangeError;
use super::exchange::{self, Buffers, Exchange, Http1};
use super::http2::{self, Http2};
use super::response::Keep;
use crate::clock::Clock;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Which version of HTTP a connection is to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// What the server chooses over TLS (ALPN); HTTP/1.1 in clear text, where nothing can be asked beforehand.
    Auto,
    #[default]
    Http1,
    /// Without asking in clear text: prior knowledge, RFC 9113 section 3.3.
    Http2,
}

/// How a connection's TLS handshake went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Full,
    /// The server took a ticket of an earlier connection, which saves it the signature.
    Resumed,
}

/// A connection that carries requests. Dropping it closes the socket.
#[derive(Debug)]
pub enum Connection {
    Http1(Http1),
    Http2(Box<Http2>),
}

/// The future of one exchange. After an error, or when it is dropped before its end, [`Connection::is_intact`] says whether the
/// connection may be used again.
#[must_use = "nothing is sent until it is polled"]
#[expect(
    clippy::large_enum_variant,
    reason = "HTTP/1.1 is kept in place so that an exchange of it allocates nothing"
)]
pub enum Exchanging<'a> {
    Http1(exchange::Exchanging<'a>),
    Http2(http2::Exchanging<'a>),
}

impl Connection {
    /// Sends `request`, a complete request rendered as HTTP/1.1 writes it, and reads its response. `head_only` is for HEAD, whose
    /// response has no body.
    ///
    /// Errors: see [`ExchangeError`]; [`ExchangeError::answered_nothing`] and [`ExchangeError::not_processed`] say which may be tried
    /// again.
    pub fn exchange<'a>(
        &'a mut self,
        request: &'a [u8],
        head_only: bool,
        keep: Keep,
        buffers: &'a Buffers,
        clock: &'a Clock,
    ) -> Exchanging<'a> {
        match self {
            Self::Http1(http1) => Exchanging::Http1(http1.exchange(request, head_only, keep, buffers, clock)),
            Self::Http2(http2) => http2.exchange(request, keep, buffers, clock),
        }
    }

    /// It has carried an exchange before: a failure without an answer may be the server closing an idle connection.
    pub fn is_used(&self) -> bool {
        match self {
            Self::Http1(http1) => http1.is_used(),
            Self::Http2(http2) => http2.is_used(),
        }
    }

    /// How its TLS began, if it has TLS.
    pub fn handshake(&self) -> Option<Handshake> {
        match self {
            Self::Http1(http1) => http1.handshake(),
            Self::Http2(http2) => http2.handshake(),
        }
    }

    /// Whether it may be used again although its last exchange failed or was given up: of HTTP/2 only the stream ends then.
    pub fn is_intact(&self) -> bool {
        match self {
            Self::Http1(_) => false,
            Self::Http2(http2) => http2.takes_more(),
        }
    }

    /// The last exchange was dropped because its time was over: a connection on which nothing was heard meanwhile is not used again.
    pub fn gave_up_waiting(&self) {
        match self {
            Self::Http1(_) => {}
            Self::Http2(http2) => http2.gave_up_waiting(),
        }
    }

    /// What an exchange that was given up had been waiting for, where that is known.
    pub fn waited_for(&self) -> Option<&'static str> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(http2) => http2.waited_for(),
        }
    }
}

impl Future for Exchanging<'_> {
    type Output = Result<Exchange, ExchangeError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Http1(http1) => Pin::new(http1).poll(context),
            Self::Http2(http2) => http2.as_mut().poll(context),
        }
    }
}
