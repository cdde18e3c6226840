//! One shard: the servers of a replica set, each with a pool of its own, over one file. The file is what the primary has; a secondary's documents are those
//! of them that were written longer ago than it is behind, and what goes with a primary is taken out of the file when the next one is elected.

use std::cell::Cell;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Statement, StatementStatus, TransactionBehavior, params};
use tokio::sync::watch;

use super::ledger::Ledger;
use super::replica_set::{ReplicaSet, RolledBack, Terms};
use super::{connect, int};
use crate::clock;
use crate::demand::{Operation, Plan};
use crate::faults::{Faults, Outage};
use crate::lock::lock;
use crate::pool::{Lease, Limits, Pool, WAITING_MAX};
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
    /// Callers that wait for a server.
    selecting: AtomicUsize,
    reads_from: ReadPreference,
    selection_timeout: Duration,
    lag: Duration,
    /// Writes wait for a majority, and so long for one that is not there.
    majority_within: Option<Duration>,
    service_time: Arc<ServiceTime>,
    figures: Figures,
    faults: Arc<Faults>,
    ledger: Arc<Ledger>,
}

struct Server {
    name: String,
    pool: Pool<Connection>,
}

/// The set, with what has come to pass in it.
struct Followed {
    terms: Terms,
    set: ReplicaSet,
    outages: watch::Receiver<Vec<Outage>>,
    /// How many of these the set has gone through.
    told: usize,
    /// What has to be taken out of the file, and what was.
    lost: Vec<RolledBack>,
    rolled_back: Vec<RolledBack>,
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
        faults: &Arc<Faults>,
        ledger: &Arc<Ledger>,
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
            set: Mutex::new(Followed::of(terms, faults.outages())),
            turn: AtomicUsize::new(0),
            selecting: AtomicUsize::new(0),
            reads_from: set.read_preference,
            selection_timeout: Duration::from_millis(mongodb.server_selection_timeout_ms),
            lag: Duration::from_millis(set.lag_ms),
            majority_within: (set.write_concern == WriteConcern::Majority && topology.members > 1)
                .then(|| Duration::from_millis(set.write_timeout_ms)),
            service_time: Arc::clone(service_time),
            figures: figures.clone(),
            faults: Arc::clone(faults),
            ledger: Arc::clone(ledger),
            file,
        };
        shard.tell();
        Ok(shard)
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// One operation: a server, a connection to it, the work, and the rest of the dialled hold. A scan goes on beside the event loop, as it would in a
    /// database elsewhere. Reads are from the members that are preferred, unless `from` says otherwise.
    ///
    /// Where the work itself takes longer than dialled the hold is as long as the work. Otherwise it would be a debt of the
    /// connection like a late timer's, and other operations would pay for it.
    pub(super) async fn perform<T: Send + 'static>(
        self: Arc<Self>,
        operation: Operation,
        plan: Plan,
        from: Option<ReadPreference>,
        work: impl FnOnce(&Session<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let began = clock::now();
        let wanted =
            if operation.writes() { ReadPreference::Primary } else { from.unwrap_or(self.reads_from) };
        let mut server = "none";
        let answer = match self.connected(wanted, began).await {
            Ok((member, lease)) => {
                server = &self.servers[member].name;
                self.on(member, lease, operation, plan, work).await
            }
            Err(e) => Err(e),
        };
        self.figures.ended(operation, plan, server, clock::now().duration_since(began));
        answer
    }

    /// A connection to a member that may serve this.
    async fn connected(
        &self,
        wanted: ReadPreference,
        began: Instant,
    ) -> Result<(usize, Lease<Connection>), StoreError> {
        loop {
            let member = self.select(wanted, began).await?;
            let lease = self.servers[member].pool.checkout().await?;
            let now_ms = clock::unix_ms();
            // It may have died while somebody waited for a connection to it.
            if self.followed(now_ms).set.serves(member, wanted, now_ms) {
                return Ok((member, lease));
            }
        }
    }

    async fn on<T: Send + 'static>(
        &self,
        member: usize,
        lease: Lease<Connection>,
        operation: Operation,
        plan: Plan,
        work: impl FnOnce(&Session<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let now_ms = clock::unix_ms();
        let until_ms = self.followed(now_ms).set.has_until_ms(member, now_ms).map_or(i64::MAX, int);
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
        let confirmation = self.majority_within.filter(|_| operation.writes() && answer.is_ok());
        if let Some(within) = confirmation {
            hold += self.lag.min(within);
            if self.lag > within || !self.confirmed(within).await {
                answer = Err(StoreError::WriteConcern { within });
            }
            // What it really waited for is no debt of the connection.
            hold = hold.max(clock::now().duration_since(lease.since()));
        }
        lease.finish(hold).await;
        if confirmation.is_some() && answer.is_ok() {
            // A hold may be short, for its connection was late before; nobody has the write the sooner for that. And a death that others
            // know of would be heard too late.
            self.copied(now_ms).await;
            self.faults.recall(&self.ledger.outages()?);
        }
        if self.followed(clock::unix_ms()).set.cuts_off(member, now_ms) {
            return Err(StoreError::CutOff { server: self.servers[member].name.clone() });
        }
        answer
    }

    /// A member that may serve this, as soon as there is one.
    async fn select(&self, wanted: ReadPreference, began: Instant) -> Result<usize, StoreError> {
        let mut waits = None;
        loop {
            let now_ms = clock::unix_ms();
            let (change_ms, mut outages) = {
                let followed = self.followed(now_ms);
                let turn = match wanted {
                    ReadPreference::Primary => 0,
                    _ => self.turn.fetch_add(1, Ordering::Relaxed),
                };
                if let Some(member) = followed.select(wanted, now_ms, turn) {
                    return Ok(member);
                }
                (followed.changes_at_ms(now_ms), followed.outages.clone())
            };
            let left = self.selection_timeout.saturating_sub(clock::now().duration_since(began));
            let turn = waits.get_or_insert_with(|| Selecting::among(&self.selecting));
            if left.is_zero() || turn.number >= WAITING_MAX {
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
                (followed.changes_at_ms(now_ms), followed.outages.clone())
            };
            let left = within.saturating_sub(clock::now().duration_since(began));
            if left.is_zero() {
                return false;
            }
            self.changed(&mut outages, change_ms, now_ms, left).await;
        }
    }

    /// Waits until the secondaries have what was written then.
    async fn copied(&self, written_ms: u64) {
        // The instant is cut to a millisecond.
        let there_ms = written_ms + 1 + self.lag.as_millis() as u64;
        let rest_ms = there_ms.saturating_sub(clock::unix_ms());
        if rest_ms > 0 {
            tokio::time::sleep(Duration::from_millis(rest_ms)).await;
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

    /// The set as it is now, with everything done that was ordered by then: whoever looks at a new primary finds only what that has.
    fn followed(&self, now_ms: u64) -> MutexGuard<'_, Followed> {
        let mut followed = lock(&self.set);
        followed.advance(self.number as u32, now_ms);
        // Where the file is too busy, nobody is served until a later look has done it.
        while let Some(lost) = followed.lost.last().copied()
            && let Ok(counts) = rolled_back(&self.file, self.number, lost)
        {
            followed.lost.pop();
            followed.rolled_back.push(lost);
            for (collection, count) in COLLECTIONS.iter().zip(counts) {
                self.figures.rolled_back(collection, count);
            }
        }
        followed
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
    fn of(terms: Terms, outages: watch::Receiver<Vec<Outage>>) -> Self {
        let set = ReplicaSet::of(terms);
        Self { terms, set, outages, told: 0, lost: Vec::new(), rolled_back: Vec::new() }
    }

    /// How many outages have come to pass.
    fn due(&self, now_ms: u64) -> usize {
        self.outages.borrow().partition_point(|outage| outage.at_ms() <= now_ms)
    }

    /// When something is different next.
    fn changes_at_ms(&self, now_ms: u64) -> Option<u64> {
        let outage = self.outages.borrow().get(self.told).map(|outage| outage.at_ms());
        self.set.changes_at_ms(now_ms).into_iter().chain(outage).min()
    }

    /// A member that may serve this; none while documents are in the file that its primary does not have.
    fn select(&self, wanted: ReadPreference, now_ms: u64, turn: usize) -> Option<usize> {
        self.set.select(wanted, now_ms, turn).filter(|_| self.lost.is_empty())
    }

    fn advance(&mut self, shard: u32, now_ms: u64) {
        let mut lost = Vec::new();
        if self.due(now_ms) != self.told {
            // One may have been told late: the set goes through all of them again, in their order.
            self.set = ReplicaSet::of(self.terms);
            self.told = self.due(now_ms);
            let outages = self.outages.borrow_and_update().clone();
            for outage in outages.iter().take(self.told) {
                lost.extend(match *outage {
                    Outage::Death { at_ms, shard: of, for_ms } if of == shard => {
                        self.set.kill_primary(at_ms, for_ms)
                    }
                    Outage::Death { .. } => None,
                    Outage::End { at_ms } => self.set.bring_back(at_ms),
                });
            }
        }
        lost.extend(self.set.advance(now_ms));
        lost.retain(|lost| !self.rolled_back.contains(lost) && !self.lost.contains(lost));
        self.lost.extend(lost);
    }
}

/// One caller among those that wait for a server.
struct Selecting<'a> {
    among: &'a AtomicUsize,
    /// How many waited before.
    number: usize,
}

impl<'a> Selecting<'a> {
    fn among(among: &'a AtomicUsize) -> Self {
        Self { among, number: among.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Selecting<'_> {
    fn drop(&mut self) {
        self.among.fetch_sub(1, Ordering::Relaxed);
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

/// How many documents of each collection were taken out. Every process of a fleet comes to it; whoever is first does it.
fn rolled_back(file: &Path, shard: usize, lost: RolledBack) -> rusqlite::Result<[usize; COLLECTIONS.len()]> {
    let mut connection = connect(file)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut counts = [0; COLLECTIONS.len()];
    let span = params![int(lost.after_ms), int(lost.before_ms)];
    if transaction.execute(schema::ADD_ROLLBACK, span)? == 1 {
        if shard == 0 {
            transaction.execute(schema::LOSE_JOBS, span)?;
        }
        for (collection, count) in COLLECTIONS.iter().zip(&mut counts) {
            let [put_away, take_out] = schema::roll_back(collection);
            transaction.execute(&put_away, span)?;
            *count = transaction.execute(&take_out, span)?;
            transaction.execute(schema::TRIM_ROLLED_BACK, params![collection, ROLLED_BACK_MAX])?;
        }
    }
    transaction.commit()?;
    Ok(counts)
}
