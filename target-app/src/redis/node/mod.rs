//! A node of the embedded Redis: a server that speaks RESP2 to any Redis client, with one thread whose speed is a dial (see [`thread`]) and a
//! bounded memory (see [`keyspace`]). Several nodes are a cluster: each keeps the keys of its slots and sends who asks it for another's there.
//!
//! It keeps nothing beyond its end and replicates nothing, as a cache may.

mod command;
mod figures;
mod keyspace;
mod thread;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis::ValueCodec;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::{Decoder, FramedRead};

use self::command::{Command, Refused, Reply};
use self::figures::Figures;
use self::keyspace::{Keyspace, NoInteger, TimeLeft};
use self::thread::{Pace, Thread, Ticket};
use super::slots::{node_of_slot, range_of, slot_of};
use crate::clock;
use crate::faults::{Faults, Resource, obey};
use crate::fleet::{Membership, Place, give_figures};
use crate::lock::lock;
use crate::profile;
use crate::server::{ACCEPT_PAUSE, ServeError, bind};
use crate::timer::Timer;

/// Clients at a time, as Redis has it (`maxclients`).
const CLIENTS_MAX: usize = 10_000;
/// Commands of one client whose answers are not sent; beyond them the node leaves the rest in the socket.
const PIPELINE_MAX: usize = 4_096;
/// Largest request.
const REQUEST_MAX_BYTES: usize = 1 << 20;

/// What a process serves that is a node.
pub(crate) struct Serving<'a> {
    pub(crate) place: Place,
    pub(crate) listen: SocketAddr,
    /// Of all nodes, in the order of their slots.
    pub(crate) urls: &'a [String],
    pub(crate) dials: &'a profile::Redis,
}

/// Serves until `stop` comes, and tells `announce` the address once it takes clients. What is under way then is cut off.
pub(crate) async fn serve(
    serving: Serving<'_>,
    fleet: &Membership,
    announce: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let Serving { place, listen, urls, dials } = serving;
    let setup = |e: String| ServeError::Setup(e);
    let address = |url: &String| {
        url.trim_start_matches("redis://")
            .parse()
            .map_err(|_| setup(format!("{url:?} is no address of a node")))
    };
    let addresses = urls.iter().map(address).collect::<Result<Vec<SocketAddr>, _>>()?;
    let node = Node::new(place.number, addresses, dials).map_err(|e| setup(e.to_string()))?;
    let node = Arc::new(node);
    let figures = fleet.listen().map_err(|e| setup(format!("no socket for the fleet: {e}")))?;
    let orders = fleet.listen_for_orders().map_err(|e| setup(format!("no socket for orders: {e}")))?;
    let listener = bind(listen, true).map_err(|source| ServeError::Listen { listen, source })?;
    announce(listen);
    tokio::select! {
        () = Arc::clone(&node).serve(listener) => {}
        () = give_figures(figures, || node.text()) => {}
        () = obey(orders, Arc::clone(&node.faults)) => {}
        () = node.keep_pace() => {}
        () = stop => {}
    }
    fleet.leave_figures(&node.text());
    Ok(())
}

/// One node among those of its cluster.
pub(crate) struct Node {
    number: u32,
    /// Of all nodes, in the order of their slots.
    addresses: Vec<SocketAddr>,
    thread: Thread,
    keyspace: Mutex<Keyspace>,
    clients: AtomicUsize,
    faults: Arc<Faults>,
    figures: Figures,
}

impl Node {
    /// # Errors
    /// Two metrics with one name.
    pub(crate) fn new(
        number: u32,
        addresses: Vec<SocketAddr>,
        dials: &profile::Redis,
    ) -> Result<Self, prometheus::Error> {
        let service_time = Duration::from_secs_f64(dials.command_s());
        let max_bytes = usize::try_from(dials.max_memory_bytes).unwrap_or(usize::MAX);
        Ok(Self {
            number,
            addresses,
            thread: Thread::idle(service_time, clock::now()),
            keyspace: Mutex::new(Keyspace::of(max_bytes)),
            clients: AtomicUsize::new(0),
            // Its memory is bounded by other means: nothing is leaked here.
            faults: Arc::new(Faults::new(0)),
            figures: Figures::of_node(number)?,
        })
    }

    /// Serves for ever.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&self).converse(stream))),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// Its metrics, in Prometheus text.
    pub(crate) fn text(&self) -> String {
        let keyspace = self.keyspace();
        let clients = self.clients.load(Ordering::Relaxed);
        self.figures.text(&self.thread.account(clock::now()), &keyspace, clients)
    }

    async fn converse(self: Arc<Self>, mut stream: TcpStream) {
        let _client = Client::counted(&self);
        if self.clients.load(Ordering::Relaxed) > CLIENTS_MAX {
            let refusal = Reply::Error("ERR max number of clients reached".to_owned());
            // Either way it is told all there is to tell.
            let _ = stream.write_all(&refusal.bytes()).await;
            return;
        }
        // Without it a short answer may wait for the acknowledgement of the last one.
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        let (answers, queue) = mpsc::channel(PIPELINE_MAX);
        let writes = tokio::spawn(Arc::clone(&self).answer(write, queue));
        let mut requests = FramedRead::new(read, Requests::default());
        // What does not parse ends the conversation, as it does with Redis.
        while let Some(Ok(request)) = requests.next().await {
            let now = clock::now();
            let command = Command::read(request);
            let name = command.as_ref().map_or("unknown", Command::name);
            let ticket = self.thread.admit(name, now);
            // In the order in which the thread comes to them, and as of that moment, so that nobody can tell that it was earlier.
            let reply =
                command.map_or_else(|Refused(why)| Reply::Error(why), |c| self.execute(c, ticket.done));
            if answers.send((ticket, reply.bytes())).await.is_err() {
                break;
            }
        }
        drop(answers);
        // It fails only with the runtime.
        let _ = writes.await;
    }

    /// Sends each answer at its moment, and those that are due by then with it.
    async fn answer(
        self: Arc<Self>,
        mut write: OwnedWriteHalf,
        mut queue: mpsc::Receiver<(Ticket, Vec<u8>)>,
    ) {
        let mut timer = Timer::new().ok();
        let mut paces = self.thread.paces();
        let mut held = None;
        let mut bytes = Vec::new();
        let mut open = true;
        loop {
            let next = if held.is_some() { held.take() } else { queue.recv().await };
            let Some((ticket, answer)) = next else { return };
            self.served(ticket, &mut timer, &mut paces).await;
            bytes.clear();
            bytes.extend_from_slice(&answer);
            let now = clock::now();
            while let Ok((ticket, answer)) = queue.try_recv() {
                if self.thread.done(ticket) > now {
                    held = Some((ticket, answer));
                    break;
                }
                bytes.extend_from_slice(&answer);
            }
            // For a client that is gone the thread works off what it has sent, as Redis does with what it has read.
            open = open && write.write_all(&bytes).await.is_ok();
        }
    }

    /// Waits until the thread has done it, whatever its pace is meanwhile.
    async fn served(&self, ticket: Ticket, timer: &mut Option<Timer>, paces: &mut watch::Receiver<()>) {
        loop {
            // Marked before the look, so that no change goes unheard in between.
            paces.mark_unchanged();
            let done = self.thread.done(ticket);
            tokio::select! {
                () = wait_until(timer, done) => return,
                // Fails only when the thread is gone.
                Ok(()) = paces.changed() => {}
            }
        }
    }

    /// Has the thread go at the pace that is ordered, for ever.
    async fn keep_pace(&self) {
        loop {
            let ordered = self.faults.ordered();
            let now = clock::now();
            let (slower, until) = self.faults.pace(Resource::Redis, now);
            self.thread.go_at(Pace { slower, until }, now);
            ordered.await;
        }
    }

    fn execute(&self, command: Command, now: Instant) -> Reply {
        if let Some(redirection) = self.elsewhere(&command) {
            return redirection;
        }
        let mut keys = self.keyspace();
        match command {
            Command::Ping => Reply::Word("PONG"),
            Command::Get { key } => keys.get(&key, now).map_or(Reply::Nothing, |v| Reply::Text(v.to_vec())),
            Command::Set { key, value, lasts, condition } => {
                if keys.set(key, value, lasts, condition, now) {
                    Reply::Word("OK")
                } else {
                    Reply::Nothing
                }
            }
            Command::Del { keys: names } => Reply::Number(keys.delete(&names, now) as i64),
            Command::IncrBy { key, by } => match keys.add(key, by, now) {
                Ok(sum) => Reply::Number(sum),
                Err(NoInteger) => Reply::Error("ERR value is not an integer or out of range".to_owned()),
            },
            Command::Pttl { key } => Reply::Number(match keys.time_left(&key, now) {
                TimeLeft::NoKey => -2,
                TimeLeft::ForEver => -1,
                TimeLeft::Ms(ms) => i64::try_from(ms).unwrap_or(i64::MAX),
            }),
            Command::Pexpire { key, lasts } => Reply::Number(i64::from(keys.expire(&key, lasts, now))),
            Command::DbSize => Reply::Number(keys.len() as i64),
            Command::FlushAll => {
                keys.clear();
                Reply::Word("OK")
            }
            Command::Info => Reply::Text(self.info(&keys).into_bytes()),
            Command::ClusterSlots if self.is_cluster() => self.slots(),
            Command::ClusterSlots => {
                Reply::Error("ERR This instance has cluster support disabled".to_owned())
            }
            Command::Client => Reply::Word("OK"),
        }
    }

    /// Where the keys of a command are, if they are not here.
    fn elsewhere(&self, command: &Command) -> Option<Reply> {
        if !self.is_cluster() {
            return None;
        }
        let mut slots = command.keys().iter().map(|key| slot_of(key));
        let slot = slots.next()?;
        if slots.any(|other| other != slot) {
            let why = "CROSSSLOT Keys in request don't hash to the same slot";
            return Some(Reply::Error(why.to_owned()));
        }
        let node = node_of_slot(slot, self.addresses.len() as u32);
        let address = self.addresses.get(node as usize)?;
        (node != self.number).then(|| Reply::Error(format!("MOVED {slot} {address}")))
    }

    fn slots(&self) -> Reply {
        let nodes = self.addresses.len() as u32;
        let range = |(number, address): (u32, &SocketAddr)| {
            let (first, last) = range_of(number, nodes);
            let host = Reply::Text(address.ip().to_string().into_bytes());
            let node = Reply::List(vec![host, Reply::Number(address.port().into())]);
            Reply::List(vec![Reply::Number(first.into()), Reply::Number(last.into()), node])
        };
        Reply::List((0..nodes).zip(&self.addresses).map(range).collect())
    }

    fn info(&self, keys: &Keyspace) -> String {
        let mode = if self.is_cluster() { "cluster" } else { "standalone" };
        let account = self.thread.account(clock::now());
        let commands: u64 = account.by_command.values().map(|served| served.count).sum();
        format!(
            "# Server\r\nredis_mode:{mode}\r\n# Clients\r\nconnected_clients:{}\r\n# Memory\r\nused_memory:{}\r\nmaxmemory:{}\r\n\
             maxmemory_policy:allkeys-lru\r\n# Stats\r\ntotal_commands_processed:{commands}\r\n# Cluster\r\ncluster_enabled:{}\r\n\
             # Keyspace\r\ndb0:keys={}\r\n",
            self.clients.load(Ordering::Relaxed),
            keys.used_bytes(),
            keys.max_bytes(),
            u8::from(self.is_cluster()),
            keys.len(),
        )
    }

    fn is_cluster(&self) -> bool {
        self.addresses.len() > 1
    }

    fn keyspace(&self) -> MutexGuard<'_, Keyspace> {
        lock(&self.keyspace)
    }
}

/// A client that is connected, counted until this is dropped.
struct Client<'a>(&'a Node);

impl<'a> Client<'a> {
    fn counted(node: &'a Node) -> Self {
        node.clients.fetch_add(1, Ordering::Relaxed);
        Self(node)
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Without a timer of its own, when the process is out of descriptors, an answer is late by what the runtime's wheel is.
async fn wait_until(timer: &mut Option<Timer>, moment: Instant) {
    let waited = match timer {
        Some(timer) => timer.until(moment).await.is_ok(),
        None => false,
    };
    if !waited {
        tokio::time::sleep_until(moment.into()).await;
    }
}

/// Requests as they come in, none larger than a bound: the codec alone would wait for all that a client announces, and keep all of it.
#[derive(Default)]
struct Requests {
    codec: ValueCodec,
    /// Of the request that is not whole yet, what the codec has taken already.
    taken_bytes: usize,
}

impl Decoder for Requests {
    type Item = redis::Value;
    type Error = redis::RedisError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Self::Item>, Self::Error> {
        let before = bytes.len();
        let request = self.codec.decode(bytes)?;
        if request.is_some() {
            self.taken_bytes = 0;
            return Ok(request);
        }
        self.taken_bytes += before - bytes.len();
        if self.taken_bytes + bytes.len() > REQUEST_MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request is too large").into());
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
