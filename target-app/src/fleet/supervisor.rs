//! The supervisor of a fleet: takes the address, fills the store, has every replica kept alive, answers for all of them
//! together, and ends them when it is told to stop.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::address::Reserved;
use super::autoscaler::{Policy, Scaling};
use super::crew::{Crew, Part, Terms};
use super::keeper::{Event, Launch};
use super::place::{Place, Role};
use super::restarts::FailingProcess;
use super::{GATEWAY_UPSTREAM, REDIS_URLS, address, fleet_socket, identity_files, orders_socket};
use crate::faults::{self, Subjects};
use crate::profile::{Profile, TlsVersion};
use crate::protections::Protections;
use crate::server::ServeError;
use crate::store::Backend;

/// Notes under way to a person.
const EVENTS_MAX: usize = 64;

/// What fleet is wanted.
#[derive(Clone, Debug)]
pub struct Order {
    pub replicas: u32,
    /// Port 0 finds a free one.
    pub listen: SocketAddr,
    /// What all replicas share.
    pub store: Backend,
    pub launch: Launch,
    /// URLs of a Redis to ask in place of embedded nodes.
    pub redis: Vec<String>,
    pub protections: Protections,
}

/// Why a fleet did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("cannot set up a directory for the fleet: {0}; TMPDIR says where it is made")]
    Directory(#[source] io::Error),
    #[error(transparent)]
    Failing(#[from] FailingProcess),
}

/// Runs the fleet until `stop` comes or a process cannot be kept alive. Tells `announce` the address once every one
/// serves, and the one where replicas are behind a gateway if there is one, and `note` what a person may want to know. Prints nothing.
pub async fn supervise(
    profile: &Profile,
    order: &Order,
    faults: Option<std::net::TcpListener>,
    announce: impl FnOnce(SocketAddr, Option<SocketAddr>),
    mut note: impl FnMut(&str),
    stop: impl Future<Output = ()>,
) -> Result<(), FleetError> {
    let listen = order.listen;
    let reserved = address::reserve(listen).map_err(|source| ServeError::Listen { listen, source })?;
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let reserve = |_| address::reserve(at).map_err(|source| ServeError::Listen { listen: at, source });
    let redis_nodes = match profile.dials().use_redis() && order.redis.is_empty() {
        true => profile.dials().redis.nodes,
        false => 0,
    };
    let redis: Vec<Reserved> = (0..redis_nodes).map(reserve).collect::<Result<_, _>>()?;
    let inner = profile.has_gateway().then(|| reserve(0)).transpose()?;
    let directory = TempDir::with_prefix("target-app-").map_err(FleetError::Directory)?;
    let prepared = order.store.prepare(directory.path(), profile.dials()).await;
    let home = prepared.map_err(|e| ServeError::Setup(e.to_string()))?;
    if profile.dials().tls.version == TlsVersion::Tls13 {
        let (certificates, key) = identity_files(directory.path());
        let identity = order.protections.identity(listen.ip());
        identity
            .and_then(|identity| identity.keep(&certificates, &key))
            .map_err(|e| ServeError::Setup(format!("no TLS: {e}")))?;
    }
    let asked = UnixListener::bind(fleet_socket(directory.path())).map_err(FleetError::Directory)?;

    let (events, mut told) = mpsc::channel(EVENTS_MAX);
    let policy = Policy::of(&profile.dials().autoscaler);
    let replicas_max = policy.map_or(order.replicas, |policy| policy.max());
    let terms = Terms {
        launch: order.launch.clone(),
        directory: directory.path().to_owned(),
        drain: Duration::from_millis(profile.dials().app.drain_ms),
        events,
    };
    let mut crew = Crew::of(parts(order, replicas_max, &reserved, &redis, inner.as_ref()), terms);
    crew.have(policy.map_or(order.replicas, |policy| policy.bounded(order.replicas)));
    let mut scaling = Scaling::by(policy, profile.dials().app.cores);
    let roll = crew.roll().clone();
    let answering = tokio::spawn({
        let (roll, directory) = (roll.clone(), directory.path().to_owned());
        async move { roll.answer(asked, directory).await }
    });

    let faults = faults
        .map(tokio::net::TcpListener::from_std)
        .transpose()
        .map_err(|e| ServeError::Setup(format!("no orders for faults: {e}")))?;
    let orders = faults.map(|listener| {
        let sockets = |role, of| {
            let place = |number| Place { role, number, of };
            (0..of).map(|number| orders_socket(directory.path(), place(number))).collect()
        };
        let replicas = sockets(Role::Replica, replicas_max);
        let subjects = Subjects::Fleet { replicas, redis: sockets(Role::Redis, redis_nodes) };
        tokio::spawn(faults::serve(listener, subjects, order.store.telling(profile.dials(), home.as_ref())))
    });

    let mut announce = Some(announce);
    let mut stop = std::pin::pin!(stop);
    let end = loop {
        tokio::select! {
            () = &mut stop => break Ok(()),
            failure = crew.failure() => break Err(failure),
            // Not before all are there: whoever is let go is waited for no more, and nobody would say so.
            replicas = scaling.next(&roll, directory.path()), if announce.is_none() => {
                note(&format!("{} replicas in place of {}", replicas, crew.replicas()));
                crew.have(replicas);
            }
            Some(event) = told.recv() => match event {
                Event::Complete => if let Some(announce) = announce.take() {
                    announce(reserved.address, inner.as_ref().map(|inner| inner.address));
                },
                Event::Note(text) => note(&text),
            },
        }
    };
    // Each keeper gives its process the time it has for its requests, and little more.
    crew.dismiss().await;
    answering.abort();
    if let Some(orders) = orders {
        orders.abort();
    }
    end
}

/// With an inner address the replicas listen there, and a gateway takes the clients in their place.
fn parts(
    order: &Order,
    replicas_max: u32,
    reserved: &Reserved,
    redis: &[Reserved],
    inner: Option<&Reserved>,
) -> Vec<Part> {
    let mut urls = order.redis.clone();
    urls.extend(redis.iter().map(|node| format!("redis://{}", node.address)));
    let redis_urls = (!urls.is_empty()).then(|| (REDIS_URLS, urls.join(",")));
    let store = order.store.environment().map(|(name, value)| (name, value.to_owned()));
    let environment: Vec<_> = redis_urls.into_iter().chain(store).collect();
    let part = |role, number, of, address| Part {
        place: Place { role, number, of },
        address,
        environment: environment.clone(),
    };
    let of = redis.len() as u32;
    let nodes = (0..of).zip(redis).map(|(number, node)| part(Role::Redis, number, of, node.address));
    let of = replicas_max;
    let behind = inner.unwrap_or(reserved).address;
    let replicas = (0..of).map(|number| part(Role::Replica, number, of, behind));
    let gateway = inner.map(|inner| Part {
        place: Place { role: Role::Gateway, number: 0, of: 1 },
        address: reserved.address,
        environment: vec![(GATEWAY_UPSTREAM, inner.address.to_string())],
    });
    nodes.chain(replicas).chain(gateway).collect()
}
