//! What goes over the wire: connections, HTTP/1.1 exchanges, TLS, WebSockets, cookies. Nothing here knows of users, steps or load.
//!
//! The way of one request is [`exchange`]: one write and one read system call and no allocation, because the bytes arrive in a
//! buffer that belongs to the shard ([`Buffers`]) and are parsed there. A connection that waits owns a socket and nothing else.

mod chunked;
mod connect;
pub mod cookies;
mod error;
mod exchange;
mod head;
mod resolve;
mod response;
mod stamp;
mod stream;
pub mod tls;
pub mod websocket;

pub use connect::{Address, connect, connect_watched};
pub use error::{ExchangeError, Malformed, ResetWhile, TlsFailure, TransportError};
pub use exchange::{Buffers, Connection, Exchange, Exchanging};
pub use resolve::{ResolveError, is_allowed, resolve};
pub use response::{Keep, ResponseReader};
