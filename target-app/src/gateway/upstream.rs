//! The gateway's connections to the replicas. Each takes a slot of the worker for as long as it is open. After its answer one
//! is kept for the next request, at most `gateway.upstream_keepalive` of them, nginx's `keepalive N`: the one used last is
//! taken first, and the one unused for longest is closed for another.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use prometheus::IntCounter;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::early::ReadToTheEnd;
use super::slots::{Doing, Slot, Slots};
use crate::routes::Problem;

/// Until a connection is ready for its next request after the end of an answer: at once, unless the replica has answered
/// without having read the request to its end.
const READY_MAX: Duration = Duration::from_secs(1);

/// Where requests go.
pub(super) struct Upstream {
    address: SocketAddr,
    slots: Arc<Slots>,
    keepalive: usize,
    /// From sending a request, or asking for a connection, to the head of the answer.
    pub(super) patience: Duration,
    idle: Mutex<Vec<Connection>>,
    opened: IntCounter,
}

/// A connection with nothing on it.
struct Connection {
    sender: SendRequest<Body>,
    slot: Arc<Slot>,
}

/// A connection with a request on it; given back when its answer has been read to the end.
pub(super) struct Lease {
    upstream: Arc<Upstream>,
    connection: Connection,
}

/// Why no replica answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("all connections that the gateway may have are taken")]
    NoSlot,
    #[error("no connection to the app: {0}")]
    Connect(std::io::Error),
    #[error("the connection to the app broke: {0}")]
    Broken(hyper::Error),
    #[error("the app did not answer in time")]
    Timeout,
}

impl Failure {
    /// A word for the figures.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::NoSlot => "worker_connections",
            Self::Connect(_) => "connect",
            Self::Broken(_) => "broken",
            Self::Timeout => "timeout",
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let (status, word) = match failure {
            Failure::NoSlot => (StatusCode::INTERNAL_SERVER_ERROR, "worker_connections_exhausted"),
            Failure::Connect(_) | Failure::Broken(_) => (StatusCode::BAD_GATEWAY, "bad_gateway"),
            Failure::Timeout => (StatusCode::GATEWAY_TIMEOUT, "gateway_timeout"),
        };
        Self::new(status, word, failure.to_string())
    }
}

impl Upstream {
    pub(super) fn at(
        address: SocketAddr,
        slots: Arc<Slots>,
        keepalive: usize,
        patience: Duration,
        opened: IntCounter,
    ) -> Arc<Self> {
        Arc::new(Self { address, slots, keepalive, patience, idle: Mutex::default(), opened })
    }

    /// Sends the request, and waits for the head of its answer. A kept connection may have been closed by the replica in this
    /// very moment; what may be said twice is then said once more on a new one.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Request<Body>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        if let Some(mut connection) = self.kept() {
            let again = again(&request);
            match timeout(self.patience, connection.sender.try_send_request(request)).await {
                Ok(Ok(answer)) => return Ok((answer, self.lease(connection))),
                Ok(Err(mut error)) => match error.take_message().or(again) {
                    Some(unsent) => request = unsent,
                    None => return Err(Failure::Broken(error.into_error())),
                },
                Err(_) => return Err(Failure::Timeout),
            }
        }
        let sent = async {
            let mut connection = self.open().await?;
            let answer = connection.sender.send_request(request).await.map_err(Failure::Broken)?;
            Ok((answer, self.lease(connection)))
        };
        timeout(self.patience, sent).await.unwrap_or(Err(Failure::Timeout))
    }

    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop()).find(|connection| connection.sender.is_ready())
    }

    async fn open(&self) -> Result<Connection, Failure> {
        let slot = Arc::new(self.slots.take(Doing::Upstream).ok_or(Failure::NoSlot)?);
        let stream = TcpStream::connect(self.address).await.map_err(Failure::Connect)?;
        // Without it a short request may wait for the acknowledgement of the last one.
        let _ = stream.set_nodelay(true);
        let (sender, connection) =
            http1::handshake(TokioIo::new(ReadToTheEnd(stream))).await.map_err(Failure::Broken)?;
        self.opened.inc();
        let for_as_long = Arc::clone(&slot);
        tokio::spawn(async move {
            // Whoever waits for an answer on it is told by the sender what is wrong.
            let _ = connection.with_upgrades().await;
            drop(for_as_long);
        });
        Ok(Connection { sender, slot })
    }

    fn lease(self: &Arc<Self>, connection: Connection) -> Lease {
        Lease { upstream: Arc::clone(self), connection }
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle();
        idle.retain(|connection| !connection.sender.is_closed());
        idle.push(connection);
        let excess = idle.len().saturating_sub(self.keepalive);
        idle.drain(..excess);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request once more, if it may be made twice (RFC 9110, 9.2.1) and has no body.
fn again(request: &Request<Body>) -> Option<Request<Body>> {
    let harmless = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !harmless || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

impl Lease {
    /// Keeps the slot while the connection is a tunnel.
    pub(super) fn into_slot(self) -> Arc<Slot> {
        self.connection.slot
    }

    fn give_back(self) {
        let Self { upstream, mut connection } = self;
        if upstream.keepalive == 0 {
            return;
        }
        if connection.sender.is_ready() {
            upstream.keep(connection);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Ok(Ok(())) = timeout(READY_MAX, connection.sender.ready()).await {
                    upstream.keep(connection);
                }
            });
        }
    }
}

/// The body of an answer, passed on as it comes; gives its connection back at its end.
pub(super) struct Relayed {
    body: Incoming,
    lease: Option<Lease>,
}

impl Relayed {
    pub(super) fn new(body: Incoming, lease: Lease) -> Self {
        Self { body, lease: Some(lease) }
    }
}

impl hyper::body::Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        // A connection whose answer nobody reads to the end is of no more use, and is closed.
        if let Some(lease) = self.lease.take().filter(|_| self.body.is_end_stream()) {
            lease.give_back();
        }
    }
}
