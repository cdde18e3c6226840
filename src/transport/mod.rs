//! What goes over the wire: connections, exchanges in HTTP/1.1 and HTTP/2, TLS, WebSockets, event streams, cookies. Nothing here knows of users,
//! steps or load.
//!
//! The way of one request is [`exchange`]: one write and one read system call and no allocation, because the bytes arrive in a
//! buffer that belongs to the shard ([`Buffers`]) and are parsed there. A connection that waits owns a socket and nothing else.

mod borrowed;
mod chunked;
mod coding;
mod connect;
mod connection;
pub mod cookies;
mod error;
mod event_parser;
mod exchange;
mod head;
mod http2;
mod resolve;
mod response;
pub mod sse;
mod stamp;
mod stream;
mod tickets;
pub mod tls;
pub mod websocket;

pub use coding::{CodingError, ContentCoding};
pub use connect::{Address, connect, connect_watched, reserve_descriptors};
pub use connection::{Connection, Exchanging, Handshake, HttpVersion};
pub use error::{ExchangeError, Malformed, ResetWhile, TlsFailure, TransportError, Unsendable};
pub use event_parser::{Event, EventParser, EventTooLarge};
pub use exchange::{Buffers, Exchange, Http1};
pub use http2::Http2;
#[cfg(fuzzing)]
pub use http2::frame_ends;
pub use resolve::{ResolveError, Resolved, is_allowed, resolve};
#[cfg(fuzzing)]
pub use response::readings;
pub use response::{Keep, ResponseReader};
pub use stamp::READ_ERROR_ONE_IN;
