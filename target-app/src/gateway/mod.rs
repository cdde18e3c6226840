//! The gateway: the shop's single NGINX instance, a small reverse proxy of one thread in front of the replicas. What limits it
//! is what limits one nginx worker, `worker_connections`: see `slots`. Where `gateway.edge_max_bytes` is above zero it keeps
//! answers too, as the shop's CDN does: see `edge`.

mod client;
mod early;
mod edge;
mod figures;
mod proxy;
mod slots;
mod upstream;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;

use self::client::{Client, Watched};
use self::edge::Edge;
use self::figures::Figures;
use self::slots::{Doing, Slots};
use self::upstream::Upstream;
use crate::fleet::{Membership, give_figures};
use crate::profile::Dials;
use crate::server::{BUFFER_MAX_BYTES, ServeError, bind, refusal};

/// Between two looks at the cache.
const UPKEEP: Duration = Duration::from_millis(250);
/// How long to leave the listener alone when the kernel gives no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What one gateway stands in front of, and where.
pub struct Fronting<'a> {
    pub dials: &'a Dials,
    /// Port 0 finds a free one.
    pub listen: SocketAddr,
    /// Whether others may listen there too, as in a fleet, whose supervisor holds the address.
    pub shared: bool,
    /// Where the replicas listen.
    pub upstream: SocketAddr,
    /// The fleet it is the gateway of, which it gives its figures, if it is of one.
    pub fleet: Option<Membership>,
}

/// Everything the connections share.
struct Gateway {
    slots: Arc<Slots>,
    upstream: Arc<Upstream>,
    edge: Edge,
    figures: Figures,
    client_timeout: Duration,
    stopping: watch::Receiver<bool>,
}

/// Serves until `stop` comes, and tells `announce` the address it is bound to once it accepts connections. After `stop` it
/// accepts no more and lets what is in flight finish for at most `app.drain_ms`.
pub async fn front(
    fronting: Fronting<'_>,
    announce: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let Fronting { dials, listen, shared, upstream, fleet } = fronting;
    let failed = |source| ServeError::Listen { listen, source };
    let listener = bind(listen, shared).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let (stopping, stopped) = watch::channel(false);
    let gateway = Gateway::new(dials, upstream, stopped).map_err(|e| ServeError::Setup(e.to_string()))?;
    let gateway = Arc::new(gateway);
    let figures = fleet.as_ref().map(Membership::listen).transpose().map_err(ServeError::no_socket)?;
    announce(bound);

    tokio::select! {
        () = accept(&listener, &gateway) => {}
        () = gateway.tell(figures) => {}
        () = upkeep(&gateway) => {}
        () = stop => {}
    }
    drop(listener);
    // Fails only when no one listens, that is, when there is nothing to stop.
    let _ = stopping.send(true);
    let drain = Duration::from_millis(dials.app.drain_ms);
    // What has not finished by then is cut off with the runtime.
    let _ = tokio::time::timeout(drain, gateway.slots.drained()).await;
    if let Some(fleet) = fleet {
        fleet.leave_figures(&gateway.text());
    }
    Ok(())
}

impl Gateway {
    fn new(dials: &Dials, upstream: SocketAddr, stopping: watch::Receiver<bool>) -> prometheus::Result<Self> {
        let dials = &dials.gateway;
        let figures = Figures::new()?;
        let slots = Slots::new(dials.worker_connections, figures.reused.clone());
        let patience = Duration::from_millis(dials.upstream_timeout_ms);
        let opened = figures.upstream_opened.clone();
        Ok(Self {
            upstream: Upstream::at(upstream, Arc::clone(&slots), dials.upstream_keepalive, patience, opened),
            edge: Edge::of(dials.edge_max_bytes, figures.edge.clone()),
            client_timeout: Duration::from_millis(dials.client_timeout_ms),
            slots,
            figures,
            stopping,
        })
    }

    async fn tell(&self, listener: Option<UnixListener>) {
        match listener {
            Some(listener) => {
                give_figures(listener, || self.text()).await;
            }
            None => std::future::pending().await,
        }
    }

    /// Its metrics, in Prometheus text.
    fn text(&self) -> String {
        self.figures.render(&self.slots, self.edge.readings()).unwrap_or_default()
    }
}

async fn accept(listener: &TcpListener, gateway: &Arc<Gateway>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                gateway.figures.accepted.inc();
                // Without a slot the connection is closed here, unanswered.
                let Some(slot) = gateway.slots.take(Doing::Waiting) else {
                    gateway.figures.refused.inc();
                    continue;
                };
                gateway.figures.handled.inc();
                let client = Client::new(from.ip(), slot);
                tokio::spawn(converse(stream, client, Arc::clone(gateway)));
            }
            Err(e) => {
                if refusal(&e).is_some() {
                    gateway.figures.accept_pauses.inc();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Serves one client to its end.
async fn converse(stream: TcpStream, client: Arc<Client>, gateway: Arc<Gateway>) {
    // Without it a short answer may wait for the acknowledgement of the last one.
    let _ = stream.set_nodelay(true);
    let mut stopping = gateway.stopping.clone();
    let watched = Watched { stream, client: Arc::clone(&client) };
    let of_client = Arc::clone(&client);
    let timeout = gateway.client_timeout;
    let service =
        service_fn(move |request| proxy::answer(Arc::clone(&gateway), Arc::clone(&of_client), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(BUFFER_MAX_BYTES)
        .serve_connection(TokioIo::new(watched), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // Errors here are the client's: it hung up, was too slow, or did not speak HTTP.
    let _ = tokio::select! {
        end = connection.as_mut() => end,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = client.slot.closed() => Ok(()),
    };
}

async fn upkeep(gateway: &Gateway) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        gateway.edge.keep().await;
    }
}
