//! One connection, from its first byte to its end: the handshake of TLS where there is one, then HTTP/1.1 until either side
//! has had enough.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::app::{App, Connection};
use crate::guard::Reason;
use crate::limiter::Peer;
use crate::lingering::Lingering;
use crate::server::BUFFER_MAX_BYTES;

/// Whose requests come on a connection.
#[derive(Clone, Copy)]
enum Asker {
    Is(Peer),
    /// Those of many clients, each named in its requests.
    OfGateway,
}

impl Asker {
    /// Who is at the other end of the connection, if that is a client.
    fn peer(self) -> Option<Peer> {
        match self {
            Self::Is(peer) => Some(peer),
            Self::OfGateway => None,
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn converse(stream: TcpStream, from: Peer, router: Router, connection: Connection) {
    let app = connection.app();
    let (mut drops, mut stopping) = (app.faults.drops(), app.stopping.clone());
    // Without it a short answer may wait for the acknowledgement of the last one.
    let _ = stream.set_nodelay(true);
    // Requests carry it only where somebody asks for it.
    let asker = (app.limiter.is_on() || app.guard.asks_for_peers()).then(|| match app.behind_gateway() {
        true => Asker::OfGateway,
        false => Asker::Is(from),
    });
    let Some(tls) = &app.tls else {
        return speak(stream, asker, router, app, drops, stopping).await;
    };
    // Boxed, or every connection without TLS would have room for it too.
    let shaken = tokio::select! {
        shaken = Box::pin(tls.shake(stream)) => shaken,
        _ = stopping.changed() => return,
        _ = drops.changed() => return,
    };
    match shaken {
        Ok(stream) => Box::pin(speak(stream, asker, router, app, drops, stopping)).await,
        Err(failure) if failure.refused() => {
            app.guard.connection_rejected(Reason::TlsHandshake, asker.and_then(Asker::peer));
        }
        Err(_) => {}
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    asker: Option<Asker>,
    router: Router,
    app: &App,
    mut drops: watch::Receiver<u64>,
    mut stopping: watch::Receiver<bool>,
) {
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let peer = match asker {
            Some(Asker::Is(peer)) => Some(peer),
            Some(Asker::OfGateway) => Peer::named_by_gateway(request.headers()),
            None => None,
        };
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        routes.call(Lingering::of(request, ()))
    });
    // Who has yet to say something owes an answer as well.
    let client_spoke = Arc::new(AtomicBool::new(true));
    let stream = Overheard { stream, client_spoke: Arc::clone(&client_spoke) };
    let mut http = http1::Builder::new();
    http.max_buf_size(BUFFER_MAX_BYTES);
    let head_timeout_ms = app.dials.http.header_read_timeout_ms;
    if head_timeout_ms > 0 {
        http.timer(TokioTimer::new()).header_read_timeout(Duration::from_millis(head_timeout_ms));
    }
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let end = tokio::select! {
        end = connection.as_mut() => end,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        // The client is told nothing.
        _ = drops.changed() => Ok(()),
    };
    let Err(error) = end else { return };
    if !error.is_timeout() {
        // No route ever saw what these were counted for.
        if let Some(reason) = breach(&error) {
            app.metrics.http_protocol_errors.with_label_values(&[reason]).inc();
        }
        return;
    }
    // The library's time runs while a client that has had its answer is idle, too; that is no attack.
    if client_spoke.load(Ordering::Relaxed) {
        app.guard.connection_rejected(Reason::HeaderTimeout, asker.and_then(Asker::peer));
    } else {
        app.metrics.idle_timeouts.inc();
    }
}

/// What was wrong with a request that was none; a client that only went away did nothing wrong.
fn breach(error: &hyper::Error) -> Option<&'static str> {
    match error {
        error if error.is_parse_too_large() => Some("too_large"),
        error if error.is_parse() => Some("malformed"),
        error if error.is_incomplete_message() => Some("incomplete"),
        _ => None,
    }
}

/// A stream that knows which side spoke last: a client who did waits for the app, or has said half a request.
struct Overheard<S> {
    stream: S,
    client_spoke: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Overheard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.client_spoke.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overheard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.client_spoke.store(false, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.client_spoke.store(false, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
