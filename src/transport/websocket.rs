//! WebSockets through tokio-tungstenite over the transport's own sockets. They read through the shard's buffer, so that an idle one
//! keeps only a buffer of [`limits::WEBSOCKET_READ_BUFFER_BYTES`] and its last messages' room.

use super::borrowed::Borrowing;
use super::connect::{self, Address};
use super::connection::{Handshake, HttpVersion};
use super::error::{TlsFailure, TransportError};
use super::exchange::Buffers;
use crate::clock::{Clock, Nanos};
use crate::limits;
use futures_util::{SinkExt, StreamExt};
use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use thiserror::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Bytes, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Why a WebSocket did not open, or ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WsError {
    #[error(transparent)]
    Connect(#[from] TransportError),
    #[error("the server answered the opening handshake with status {status}")]
    Refused { status: u16 },
    #[error("header `{name}` of the opening handshake is not valid")]
    Header { name: Box<str> },
    #[error("the path of the opening handshake is not valid")]
    Path,
    /// Closed with the closing handshake; 1005 stands for a close without a code.
    #[error("the server closed the socket with code {code}{}", close_name(*code))]
    Closed { code: u16 },
    #[error("the connection ended without the closing handshake")]
    Reset,
    #[error("a message is larger than {} bytes", limits::WEBSOCKET_MESSAGE_BYTES_MAX)]
    MessageTooLarge,
    #[error("WebSocket protocol: {0}")]
    Protocol(Box<str>),
    #[error("TLS: {0}")]
    Tls(TlsFailure),
    #[error("input or output: {0}")]
    Io(io::ErrorKind),
}

/// A message of the application; pings and pongs are not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    payload: Payload,
    /// When it was complete.
    pub received_ns: Nanos,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Payload {
    Text(Utf8Bytes),
    Binary(Bytes),
}

const BAD_CLOSE: &str = "the server closed with a code that no frame may have, or with 1002 (protocol error)";

impl Payload {
    /// What a message of the crate is here; nothing for a ping or pong.
    fn of(read: tungstenite::Result<tungstenite::Message>) -> Result<Option<Self>, WsError> {
        Ok(match read.map_err(|error| WsError::from_tungstenite(&error))? {
            tungstenite::Message::Text(text) => Some(Self::Text(text)),
            tungstenite::Message::Binary(bytes) => Some(Self::Binary(bytes)),
            // What the crate makes of a code that may not be sent (RFC 6455, section 7.4.2); the code itself it does not tell.
            tungstenite::Message::Close(Some(frame))
                if frame.code == CloseCode::Protocol && frame.reason == "Protocol violation" =>
            {
                return Err(WsError::Protocol(BAD_CLOSE.into()));
            }
            tungstenite::Message::Close(frame) => {
                let code = frame.map_or(CloseCode::Status, |frame| frame.code);
                return Err(WsError::Closed { code: code.into() });
            }
            _ => None,
        })
    }
}

/// A message to send; empty once the socket has it, though perhaps not all of it is out.
#[derive(Debug)]
pub struct Outgoing(Option<tungstenite::Message>);

impl Outgoing {
    pub fn new(text: String, binary: bool) -> Self {
        Self(Some(if binary {
            tungstenite::Message::Binary(text.into_bytes().into())
        } else {
            tungstenite::Message::Text(text.into())
        }))
    }
}

impl Message {
    pub fn bytes(&self) -> &[u8] {
        match &self.payload {
            Payload::Text(text) => text.as_bytes(),
            Payload::Binary(bytes) => bytes,
        }
    }

    /// `None` for a binary message.
    pub fn text(&self) -> Option<&str> {
        match &self.payload {
            Payload::Text(text) => Some(text),
            Payload::Binary(_) => None,
        }
    }
}

/// An open socket. Dropping it closes the connection without a word.
#[derive(Debug)]
pub struct WebSocket {
    stream: WebSocketStream<Borrowing>,
    clock: Clock,
    /// Values of `set-cookie` in the answer to the handshake, until they are taken.
    set_cookies: Vec<Box<str>>,
    /// Just before the opening handshake was sent, the connection being there.
    pub sent_ns: Nanos,
    /// When the opening handshake was answered.
    pub opened_ns: Nanos,
}

/// What a scenario says of an opening handshake.
#[derive(Clone, Copy, Debug)]
pub struct Upgrade<'a> {
    /// With the query.
    pub path: &'a str,
    /// Besides those the handshake needs.
    pub headers: &'a [(String, String)],
    pub subprotocol: Option<&'a str>,
}

impl<'a> Upgrade<'a> {
    pub fn to(path: &'a str) -> Self {
        Self { path, headers: &[], subprotocol: None }
    }
}

/// Connects and shakes hands. `sending` is told when the connection stands and the handshake is about to go out. The time-outs are the
/// caller's.
///
/// # Errors
/// [`WsError::Refused`] has the status of a server that answered but did not upgrade.
pub async fn open(
    address: &Address,
    source: Option<IpAddr>,
    upgrade: Upgrade<'_>,
    sending: impl FnOnce(Nanos),
    buffers: &Buffers,
    clock: Clock,
) -> Result<WebSocket, WsError> {
    let request = handshake_request(address, upgrade)?;
    let stream = Borrowing::new(connect::open(address, source, HttpVersion::Http1).await?, buffers.clone());
    let sent_ns = clock.now();
    sending(sent_ns);
    // Boxed: the state of the handshake is larger than the socket that comes of it.
    let (stream, answer) = Box::pin(client_async_with_config(request, stream, Some(config())))
        .await
        .map_err(|error| WsError::from_tungstenite(&error))?;
    let opened_ns = clock.now();
    let set_cookies = answer.headers().get_all(http::header::SET_COOKIE).iter();
    let set_cookies = set_cookies.filter_map(|value| Some(value.to_str().ok()?.into())).collect();
    Ok(WebSocket { stream, clock, set_cookies, sent_ns, opened_ns })
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(limits::WEBSOCKET_READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(limits::WEBSOCKET_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(limits::WEBSOCKET_MESSAGE_BYTES_MAX))
}

/// Reads what a server sends after the handshake: the texts and bytes of its messages, and how it ended. What [`WebSocket`] does with a
/// connection, without one.
#[cfg(any(test, fuzzing))]
pub fn read_all(bytes: &[u8]) -> (Vec<Vec<u8>>, WsError) {
    use tungstenite::protocol::{Role, WebSocket as Frames};
    let mut frames = Frames::from_raw_socket(io::Cursor::new(bytes.to_vec()), Role::Client, Some(config()));
    let mut messages = Vec::new();
    loop {
        let payload = Payload::of(frames.read());
        match payload {
            Ok(Some(Payload::Text(text))) => messages.push(text.as_bytes().to_vec()),
            Ok(Some(Payload::Binary(bytes))) => messages.push(bytes.to_vec()),
            Ok(None) => {}
            Err(error) => return (messages, error),
        }
    }
}

/// What becomes of an opening handshake that is answered with these bytes. It never opens: the key of the answer is a guess.
#[cfg(any(test, fuzzing))]
pub fn answered(bytes: &[u8]) -> WsError {
    struct Answering<'a>(&'a [u8]);
    impl io::Read for Answering<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.0.read(out)
        }
    }
    impl io::Write for Answering<'_> {
        fn write(&mut self, request: &[u8]) -> io::Result<usize> {
            Ok(request.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let shaken = tungstenite::client::client_with_config("ws://localhost/", Answering(bytes), Some(config()));
    match shaken {
        Ok(_) => WsError::Protocol("a key that was guessed".into()),
        Err(tungstenite::HandshakeError::Failure(error)) => WsError::from_tungstenite(&error),
        Err(tungstenite::HandshakeError::Interrupted(_)) => WsError::Reset,
    }
}

impl WebSocket {
    /// How its TLS began, if it has TLS.
    pub fn handshake(&self) -> Option<Handshake> {
        self.stream.get_ref().handshake()
    }

    /// What the answer to the handshake set, the first time it is asked.
    pub fn take_set_cookies(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.set_cookies)
    }

    /// # Errors
    /// When the connection is gone. Waits while the server does not read.
    pub async fn send_text(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), WsError> {
        self.send(tungstenite::Message::Text(text.into())).await
    }

    /// # Errors
    /// As [`Self::send_text`].
    pub async fn send_binary(&mut self, bytes: impl Into<Bytes>) -> Result<(), WsError> {
        self.send(tungstenite::Message::Binary(bytes.into())).await
    }

    async fn send(&mut self, message: tungstenite::Message) -> Result<(), WsError> {
        let mut outgoing = Outgoing(Some(message));
        std::future::poll_fn(|context| self.poll_send(context, &mut outgoing)).await
    }

    /// As [`Self::send_text`], for who reads between.
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        outgoing: &mut Outgoing,
    ) -> Poll<Result<(), WsError>> {
        let failed = |error| WsError::from_tungstenite(&error);
        if outgoing.0.is_some() {
            ready!(self.stream.poll_ready_unpin(context)).map_err(failed)?;
        }
        if let Some(message) = outgoing.0.take() {
            self.stream.start_send_unpin(message).map_err(failed)?;
        }
        self.stream.poll_flush_unpin(context).map_err(failed)
    }

    /// The next message; pings are answered on the way. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`WsError::Closed`] after the closing handshake, the others when the socket broke. It is of no use afterwards.
    pub async fn next(&mut self) -> Result<Message, WsError> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Self::next`]. The loop is bounded by tokio's budget: it pends after 64 reads, each being a wait and a read.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, WsError>> {
        loop {
            let Some(read) = ready!(self.stream.poll_next_unpin(context)) else {
                return Poll::Ready(Err(WsError::Reset));
            };
            match Payload::of(read) {
                // Going on reading is what sends the pong.
                Ok(None) => {}
                Ok(Some(payload)) => {
                    return Poll::Ready(Ok(Message { payload, received_ns: self.clock.now() }));
                }
                Err(error) => {
                    if matches!(error, WsError::Closed { .. }) {
                        // One more turn sends the answer that completes the closing handshake.
                        let _ = self.stream.poll_flush_unpin(context);
                    }
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Says goodbye and waits for the server to do so, at most `within`; what it still sends is dropped.
    ///
    /// # Errors
    /// When the server did not complete the closing handshake in time, or broke off.
    pub async fn close(mut self, within: Duration) -> Result<(), WsError> {
        let goodbye = async {
            self.stream.close(None).await.map_err(|error| WsError::from_tungstenite(&error))?;
            loop {
                match self.next().await {
                    Ok(_) => {}
                    Err(WsError::Closed { .. }) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        };
        tokio::time::timeout(within, goodbye).await.unwrap_or(Err(WsError::Io(io::ErrorKind::TimedOut)))
    }
}

/// What RFC 6455 section 7.4.1 and its registry call a code.
fn close_name(code: u16) -> &'static str {
    match code {
        1000 => " (normal)",
        1001 => " (going away)",
        1002 => " (protocol error)",
        1003 => " (data it does not take)",
        1005 => " (none given)",
        1007 => " (invalid data)",
        1008 => " (policy)",
        1009 => " (message too large)",
        1010 => " (extension missing)",
        1011 => " (server error)",
        1012 => " (restart)",
        1013 => " (try again later)",
        1014 => " (bad gateway)",
        3000..=3999 => " (a registered one)",
        4000..=4999 => " (the application's own)",
        _ => "",
    }
}

fn handshake_request(address: &Address, upgrade: Upgrade<'_>) -> Result<Request, WsError> {
    let Upgrade { path, headers, subprotocol } = upgrade;
    let scheme = if address.tls.is_some() { "wss" } else { "ws" };
    let mut request = format!("{scheme}://{}{path}", address.host_header)
        .into_client_request()
        .map_err(|_| WsError::Path)?;
    let subprotocol = subprotocol.map(|name| ("sec-websocket-protocol".to_owned(), name.to_owned()));
    for (name, value) in headers.iter().cloned().chain(subprotocol) {
        let invalid = || WsError::Header { name: name.as_str().into() };
        let key = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let value = http::HeaderValue::from_str(&value).map_err(|_| invalid())?;
        request.headers_mut().insert(key, value);
    }
    Ok(request)
}

impl WsError {
    /// One word or two, stable, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(error) => error.kind(),
            Self::Refused { .. } => "handshake refused",
            Self::Header { .. } | Self::Path => "bad request",
            Self::Closed { .. } => "closed",
            Self::Reset => "reset",
            Self::MessageTooLarge => "message too large",
            Self::Protocol(_) => "malformed",
            Self::Tls(_) => "tls",
            Self::Io(_) => "io",
        }
    }

    fn from_tungstenite(error: &tungstenite::Error) -> Self {
        use tungstenite::Error as E;
        match error {
            E::Http(response) => Self::Refused { status: response.status().as_u16() },
            E::ConnectionClosed | E::AlreadyClosed => Self::Closed { code: CloseCode::Normal.into() },
            E::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete) => {
                Self::Reset
            }
            E::Capacity(CapacityError::MessageTooLong { .. }) => Self::MessageTooLarge,
            E::Io(error) => match (TlsFailure::from_io(error), error.kind()) {
                (Some(failure), _) => Self::Tls(failure),
                (
                    None,
                    io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof,
                ) => Self::Reset,
                (None, kind) => Self::Io(kind),
            },
            E::Protocol(error) => Self::Protocol(error.to_string().into()),
            E::Utf8(_) => Self::Protocol("a text message or the reason of a close is not UTF-8".into()),
            E::AttackAttempt => {
                Self::Protocol("the answer to the opening handshake is too large, or comes in crumbs".into())
            }
            other => Self::Protocol(other.to_string().into()),
        }
    }
}

#[cfg(test)]
#[path = "websocket_tests.rs"]
mod tests;
