//! One shard: the servers of a replica set, each with a pool of its own, over one file. The file is what the primary has; a secondary's documents are those
//! of them that were written longer ago than it is behind, and what goes with a primary is taken out of the file when the next one is elected.

use std::cell::Cell;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Statement, StatementStatus, TransactionBehavior, params};
use tokio::sync::watch;

use super::connect;
use super::replica_set::{ReplicaSet, RolledBack, Terms};
use crate::clock;
use crate::demand::{Operation, Plan};
use crate::faults::{Faults, Outage};
use crate::pool::{Lease, Limits, Pool};
use crate::profile::{Dials, ReadPreference, WriteConcern};
use crate::store::service_time::ServiceTime;
use crate::store::topology::Topology;
use crate::store::{Figures, Pooled, StoreError, schema};

/// Documents of a collection that were rolled back and are kept; the oldest go first.
const ROLLED_BACK_MAX: u32 = 100_000;
const COLLECTIONS: [&str; 3] = ["users", "leads", "orders"];

pub(super) struct Shard {
    number: usize,
    file: PathBuf,
    servers: Vec<Server>,
    set: Mutex<Followed>,
    /// Whose turn it is to be read from.
    turn: AtomicUsize,
    reads_from: ReadPreference,
    selection_timeout: Duration,
    lag: Duration,
    /// Writes wait for a majority, and so long for one that is not there.
    majority_within: Option<Duration>,
    service_time: Arc<ServiceTime>,
    figures: Figures,
}

struct Server {
    name: String,
    pool: Pool<Connection>,
}

/// The set, and how much of what was ordered it has been told.
struct Followed {
    set: ReplicaSet,
    outages: watch::Receiver<Vec<Outage>>,
    told: usize,
}

/// A connection at work for one operation.
pub(super) struct Session<'a> {
    db: &'a Connection,
    /// When the operation began, in milliseconds since 1970: what it writes is of that instant.
    pub(super) now_ms: i64,
    /// What was written later is not there yet.
    pub(super) until_ms: i64,
    scanned: Cell<u64>,
}

impl Deref for Session<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.db
    }
}

impl Session<'_> {
    /// Counts the documents that a statement has gone through, as SQLite counts the steps from one to the next. (Of a single document that was
    /// not what was looked for it knows nothing.)
    pub(super) fn count(&self, statement: &Statement<'_>, found: bool) {
        let steps = u64::try_from(statement.reset_status(StatementStatus::FullscanStep)).unwrap_or(0);
        self.scanned.set(self.scanned.get() + steps + u64::from(steps > 0 || found));
    }
}

/// What the store itself did for one operation.
struct Work {
    cpu: Duration,
    /// Documents gone through one after the other.
    scanned: u64,
}

impl Shard {
    /// Needs a runtime, for the timers of the pools.
    pub(super) fn open(
        number: usize,
        file: PathBuf,
        dials: &Dials,
        service_time: &Arc<ServiceTime>,
        figures: &Figures,
        faults: &Faults,
    ) -> Result<Self, StoreError> {
        let mongodb = &dials.mongodb;
        let limits = Limits {
            max: mongodb.max_pool_size,
            min: mongodb.min_pool_size,
            max_idle: Duration::from_millis(mongodb.max_idle_time_ms),
            wait_queue_timeout: Duration::from_millis(mongodb.wait_queue_timeout_ms),
        };
        let topology = Topology::of(mongodb);
        let server = |member| {
            let (name, opened) = (topology.name(number, member), file.clone());
            let open = move || connect(&opened).map_err(io::Error::other);
            Ok(Server { pool: Pool::new(limits, figures.pool(&name), open)?, name })
        };
        let set = &mongodb.replica_set;
        let terms = Terms {
            members: topology.members,
            arbiters: set.arbiters as usize,
            election_ms: set.election_ms,
            lag_ms: set.lag_ms,
        };
        let shard = Self {
            number,
            servers: (0..topology.members).map(server).collect::<Result<_, StoreError>>()?,
            set: Mutex::new(Followed { set: ReplicaSet::of(terms), outages: faults.outages(), told: 0 }),
            turn: AtomicUsize::new(0),
            reads_from: set.read_preference,
            selection_timeout: Duration::from_millis(mongodb.server_selection_timeout_ms),
            lag: Duration::from_millis(set.lag_ms),
            majority_within: (set.write_concern == WriteConcern::Majority && topology.members > 1)
                .then(|| Duration::from_millis(set.write_timeout_ms)),
            service_time: Arc::clone(service_time),
            figures: figures.clone(),
            file,
        };
        shard.tell();
        Ok(shard)
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// One operation: a server, a connection to it, the work, and the rest of the dialled hold. A scan goes on beside the event loop, as it would in a
    /// database elsewhere.
    ///
    /// Where the work itself takes longer than dialled the hold is as long as the work. Otherwise it would be a debt of the
    /// connection like a late timer's, and other operations would pay for it.
    pub(super) async fn perform<T: Send + 'static>(
        self: Arc<Self>,
        operation: Operation,
        plan: Plan,
        work: impl FnOnce(&Session<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let began = clock::now();
        let mut server = None;
        let answer = self.on_a_server(operation, plan, work, &mut server).await;
        let name = server.map_or("none", |member: usize| &self.servers[member].name);
        self.figures.ended(operation, plan, name, clock::now().duration_since(began));
        answer
    }

    async fn on_a_server<T: Send + 'static>(
        &self,
        operation: Operation,
        plan: Plan,
        work: impl FnOnce(&Session<'_>) -> Result<T, StoreError> + Send + 'static,
        server: &mut Option<usize>,
    ) -> Result<T, StoreError> {
        let wanted = if operation.writes() { ReadPreference::Primary } else { self.reads_from };
        let (member, lease) = loop {
            let member = self.select(wanted).await?;
            *server = Some(member);
            let lease = self.servers[member].pool.checkout().await?;
            // It may have died while somebody waited for a connection to it.
            if self.followed(clock::unix_ms()).set.serves(member, wanted, clock::unix_ms()) {
                break (member, lease);
            }
        };
        let now_ms = clock::unix_ms();
        let until_ms = match self.followed(now_ms).set.primary() == Some(member) {
            true => i64::MAX,
            false => int(now_ms.saturating_sub(self.lag.as_millis() as u64)),
        };
        let done = move || measured(lease, int(now_ms), until_ms, work);
        let (lease, mut answer, work) = match plan {
            Plan::CollScan => {
                let scan = tokio::task::spawn_blocking(done).await;
                scan.map_err(|e| StoreError::Backend(e.to_string()))?
            }
            Plan::IxScan | Plan::None => done(),
        };
        let scanned = if plan == Plan::CollScan { work.scanned } else { 0 };
        if plan == Plan::CollScan {
            self.figures.scanned(operation, scanned, work.cpu);
        }
        let mut hold = self.service_time.draw(operation, scanned).max(work.cpu);
        if let (true, true, Some(within)) = (operation.writes(), answer.is_ok(), self.majority_within) {
            hold += self.lag;
            if !self.confirmed(within).await {
                answer = Err(StoreError::WriteConcern { within });
                hold = hold.max(clock::now().duration_since(lease.since()));
            }
        }
        lease.finish(hold).await;
        let end_ms = clock::unix_ms();
        if self.followed(end_ms).set.cut_off(member, now_ms, end_ms) {
            return Err(StoreError::CutOff { server: self.servers[member].name.clone() });
        }
        answer
    }

    /// A member that may serve this, as soon as there is one.
    async fn select(&self, wanted: ReadPreference) -> Result<usize, StoreError> {
        let began = clock::now();
        loop {
            let now_ms = clock::unix_ms();
            let (change_ms, mut outages) = {
                let followed = self.followed(now_ms);
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                if let Some(member) = followed.set.select(wanted, now_ms, turn) {
                    return Ok(member);
                }
                (followed.set.changes_at_ms(now_ms), followed.outages.clone())
            };
            let left = self.selection_timeout.saturating_sub(clock::now().duration_since(began));
            if left.is_zero() {
                let what = if wanted == ReadPreference::Primary { "primary" } else { "member to read from" };
                return Err(StoreError::NoServer { what, timeout: self.selection_timeout });
            }
            self.changed(&mut outages, change_ms, now_ms, left).await;
        }
    }

    /// Waits until a majority can have a write.
    async fn confirmed(&self, within: Duration) -> bool {
        let began = clock::now();
        loop {
            let now_ms = clock::unix_ms();
            let (change_ms, mut outages) = {
                let followed = self.followed(now_ms);
                if followed.set.confirms(now_ms) {
                    return true;
                }
                (followed.set.changes_at_ms(now_ms), followed.outages.clone())
            };
            let left = within.saturating_sub(clock::now().duration_since(began));
            if left.is_zero() {
                return false;
            }
            self.changed(&mut outages, change_ms, now_ms, left).await;
        }
    }

    /// Waits until the set may be another, at most so long.
    async fn changed(
        &self,
        outages: &mut watch::Receiver<Vec<Outage>>,
        change_ms: Option<u64>,
        now_ms: u64,
        most: Duration,
    ) {
        let change = change_ms.map_or(most, |at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)));
        tokio::select! {
            () = tokio::time::sleep(change.min(most)) => {}
            // Fails only when nobody can order anything any more.
            _ = outages.changed() => {}
        }
    }

    /// The set as it is now, with everything done that was ordered by then.
    fn followed(&self, now_ms: u64) -> MutexGuard<'_, Followed> {
        // Nothing in here panics half-way through a change, so a poisoned lock guards a sound state.
        let mut followed = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        for lost in followed.advance(self.number as u32, now_ms) {
            self.roll_back(lost);
        }
        followed
    }

    /// Where it fails, since the file is busy for longer than anything is, the documents stay, as those of a set that loses less.
    fn roll_back(&self, lost: RolledBack) {
        let counts = rolled_back(&self.file, lost).unwrap_or([0; COLLECTIONS.len()]);
        for (collection, count) in COLLECTIONS.iter().zip(counts) {
            self.figures.rolled_back(collection, count);
        }
    }

    /// Brings the figures of the set up to date.
    pub(super) fn tell(&self) {
        let now_ms = clock::unix_ms();
        let followed = self.followed(now_ms);
        if self.servers.len() > 1 {
            for (member, server) in self.servers.iter().enumerate() {
                self.figures.member_is(self.number, &server.name, followed.set.state(member, now_ms) as i64);
            }
            self.figures.elections_so_far(self.number, followed.set.elections());
        }
    }

    pub(super) fn pools(&self) -> impl Iterator<Item = Pooled> {
        let now = clock::now();
        self.servers
            .iter()
            .map(move |server| Pooled { name: server.name.clone(), snapshot: server.pool.snapshot(now) })
    }

    pub(super) fn close_idle(&self) {
        let now = clock::now();
        self.servers.iter().for_each(|server| server.pool.close_idle(now));
    }
}

impl Followed {
    /// What was rolled back by what came to pass since the last look.
    fn advance(&mut self, shard: u32, now_ms: u64) -> Vec<RolledBack> {
        let mut lost = Vec::new();
        if self.outages.borrow().len() > self.told {
            let outages = self.outages.borrow_and_update().clone();
            for outage in outages.iter().skip(self.told) {
                lost.extend(match *outage {
                    Outage::Death { at_ms, shard: of, for_ms } if of == shard => {
                        self.set.kill_primary(at_ms, for_ms)
                    }
                    Outage::Death { .. } => None,
                    Outage::End { at_ms } => self.set.bring_back(at_ms),
                });
            }
            self.told = outages.len();
        }
        lost.extend(self.set.advance(now_ms));
        lost
    }
}

/// Does the work, and says what it was.
fn measured<T>(
    mut lease: Lease<Connection>,
    now_ms: i64,
    until_ms: i64,
    work: impl FnOnce(&Session<'_>) -> Result<T, StoreError>,
) -> (Lease<Connection>, Result<T, StoreError>, Work) {
    let cpu = clock::thread_cpu();
    let (answer, scanned) = lease.with(|db| {
        let session = Session { db, now_ms, until_ms, scanned: Cell::new(0) };
        let answer = work(&session);
        (answer, session.scanned.get())
    });
    let work = Work { cpu: clock::thread_cpu().saturating_sub(cpu), scanned };
    (lease, answer, work)
}

/// How many documents of each collection were taken out. Every process of a fleet does it; whoever comes first finds them.
fn rolled_back(file: &Path, lost: RolledBack) -> rusqlite::Result<[usize; COLLECTIONS.len()]> {
    let mut connection = connect(file)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut counts = [0; COLLECTIONS.len()];
    for (collection, count) in COLLECTIONS.iter().zip(&mut counts) {
        let [put_away, take_out] = schema::roll_back(collection);
        let span = params![int(lost.after_ms), int(lost.before_ms)];
        transaction.execute(&put_away, span)?;
        *count = transaction.execute(&take_out, span)?;
        transaction.execute(schema::TRIM_ROLLED_BACK, params![collection, ROLLED_BACK_MAX])?;
    }
    transaction.commit()?;
    Ok(counts)
}

/// SQLite's integers have a sign; an instant beyond them is as good as never.
fn int(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
