//! The server: accepts connections, serves HTTP/1.1 on them, and stops in bounded time.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::watch;

use crate::app::{self, App, Connection};
use crate::conversation::converse;
use crate::faults::{self, Subjects};
use crate::fleet::{Membership, give_figures};
use crate::heap::Exhausted;
use crate::limiter::Peer;
use crate::profile::Profile;
use crate::protections::Protections;
use crate::queue::Queue;
use crate::redis::RedisError;
use crate::store::Backend;

/// Connections that may wait to be accepted; the kernel caps it at its own limit.
const BACKLOG: u32 = 16_384;
/// Largest request head, and the most one connection buffers. The least the library takes.
pub(crate) const BUFFER_MAX_BYTES: usize = 8 * 1024;
/// Between two looks at idle connections and the heap.
const UPKEEP: Duration = Duration::from_millis(250);
/// How long to leave the listener alone when no connection can be taken; who comes meanwhile waits in the kernel's queue.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Why the app did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {listen}: {source}{}", remedy(.source))]
    Listen { listen: SocketAddr, source: io::Error },
    #[error("cannot set up the app: {0}")]
    Setup(String),
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    HeapExhausted(#[from] Exhausted),
}

impl ServeError {
    /// A process of a fleet that cannot give its figures.
    pub(crate) fn no_socket(source: io::Error) -> Self {
        Self::Setup(format!("no socket for the fleet: {source}"))
    }
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "; stop what listens there, or choose another port (port 0 finds a free one)"
        }
        _ => "",
    }
}

/// What one process serves, and as what.
pub struct Serving<'a> {
    pub profile: &'a Profile,
    /// Port 0 finds a free one.
    pub listen: SocketAddr,
    /// The fleet this process is a replica of, if it is one.
    pub membership: Option<Membership>,
    pub store: Backend,
    /// Where orders for faults are taken, if anywhere.
    pub faults: Option<std::net::TcpListener>,
    /// URLs of a Redis, or of nodes of a cluster; needed by the profiles that use it, see [`Dials::use_redis`](crate::profile::Dials::use_redis).
    pub redis: Vec<String>,
    /// What the protections of the profile are given.
    pub protections: Protections,
}

impl<'a> Serving<'a> {
    /// By this process alone, from the embedded store.
    pub fn alone(profile: &'a Profile, listen: SocketAddr) -> Self {
        let (store, protections) = (Backend::default(), Protections::default());
        Self { profile, listen, membership: None, store, faults: None, redis: Vec::new(), protections }
    }
}

/// Serves until `stop` comes or the heap's limit is passed, and tells `announce` the address it is bound to once it accepts connections.
/// Prints nothing. After `stop` it accepts no more, lets requests in flight finish for at most `app.drain_ms`, and closes WebSockets.
pub async fn serve(
    serving: Serving<'_>,
    announce: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let Serving { profile, listen, membership, store, faults, redis, protections } = serving;
    let dials = profile.dials();
    let failed = |source| ServeError::Listen { listen, source };
    let (stopping, stopped) = watch::channel(false);
    let app = App::new(dials, &store, membership, &redis, &protections, listen.ip(), stopped).await?;
    let app = Arc::new(app);
    // Not before: whoever connects is served at once.
    let listener = bind(listen, app.membership.is_some()).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let router = app::router(Arc::clone(&app));
    let for_fleet = app.membership.as_ref().map(Membership::listen).transpose();
    let for_fleet = for_fleet.map_err(ServeError::no_socket)?;
    let orders =
        Orders::of(&app, faults).map_err(|e| ServeError::Setup(format!("no orders for faults: {e}")))?;
    let mut workers = app
        .queue
        .as_ref()
        .map(Queue::start)
        .transpose()
        .map_err(|e| ServeError::Setup(format!("no workers for the queue: {e}")))?;
    announce(bound);

    let interval = Duration::from_millis(dials.websocket.tick_interval_ms);
    let end = tokio::select! {
        () = accept(&listener, &router, &app) => Ok(()),
        () = app.hub.tick(interval, &app.metrics) => Ok(()),
        () = app.event_loop.watch() => Ok(()),
        exhausted = upkeep(&app) => Err(exhausted),
        () = tell_fleet(for_fleet, &app) => Ok(()),
        () = orders.obey(&app, &store) => Ok(()),
        () = stop => Ok(()),
    };
    drop(listener);
    // Fails only when no one listens, that is, when there is nothing to stop.
    let _ = stopping.send(true);
    if end.is_ok() {
        let drain = Duration::from_millis(dials.app.drain_ms);
        let finish = async {
            let Some(workers) = &mut workers else { return app.connections.drained().await };
            // Then no more jobs can come in. But a client that does not go away leaves the jobs half of the time.
            let _ = tokio::time::timeout(drain / 2, app.connections.drained()).await;
            workers.finish().await;
        };
        // What has not finished by then is cut off with the runtime.
        let _ = tokio::time::timeout(drain, finish).await;
    }
    if let Some(fleet) = &app.membership {
        fleet.leave_figures(&app.figures().unwrap_or_default());
    }
    end
}

/// Where orders for faults come from.
enum Orders {
    Nowhere,
    Listener(TcpListener),
    Supervisor(UnixListener),
}

impl Orders {
    fn of(app: &App, listener: Option<std::net::TcpListener>) -> io::Result<Self> {
        Ok(match (&app.membership, listener) {
            (Some(fleet), _) => Self::Supervisor(fleet.listen_for_orders()?),
            (None, Some(listener)) => Self::Listener(TcpListener::from_std(listener)?),
            (None, None) => Self::Nowhere,
        })
    }

    async fn obey(self, app: &App, store: &Backend) {
        let faults = Arc::clone(&app.faults);
        match self {
            Self::Nowhere => std::future::pending().await,
            Self::Supervisor(listener) => faults::obey(listener, faults).await,
            Self::Listener(listener) => {
                // It ends only with the runtime.
                let _ = faults::serve(listener, Subjects::Own(faults), store.telling(&app.dials, None)).await;
            }
        }
    }
}

async fn tell_fleet(listener: Option<UnixListener>, app: &App) {
    match listener {
        // Without its figures the fleet counts it with those it gave last.
        Some(listener) => give_figures(listener, || app.figures().unwrap_or_default()).await,
        None => std::future::pending().await,
    }
}

pub(crate) fn bind(listen: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: &TcpListener, router: &Router, app: &Arc<App>) {
    loop {
        if app.connections.full() {
            app.metrics.accept_paused("connections_max");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, from)) => {
                let visit = converse(stream, Peer(from.ip()), router.clone(), Connection::counted(app));
                tokio::spawn(visit);
            }
            Err(e) => {
                // A client that hung up before it was accepted is no reason to wait.
                let Some(reason) = refusal(&e) else { continue };
                app.metrics.accept_paused(reason);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Why the kernel gives no connection, if asking again at once were of no use.
pub(crate) fn refusal(error: &io::Error) -> Option<&'static str> {
    match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => Some("descriptors"),
        Some(rustix::io::Errno::CONNABORTED) => None,
        _ => Some("other"),
    }
}

/// Closes idle pooled connections; ends when the heap is above its limit.
async fn upkeep(app: &App) -> ServeError {
    loop {
        tokio::select! {
            () = tokio::time::sleep(UPKEEP) => app.store.keep(),
            () = app.heap.filled() => {}
        }
        if let Some(exhausted) = app.heap.exhausted() {
            return exhausted.into();
        }
    }
}
