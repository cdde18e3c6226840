//! The embedded store: SQLite in WAL mode behind the pools. It is one server, or a replica set, or shards of these (see [`Topology`]). Each pooled
//! connection is a real one to the file of its shard, and so are
//! those of the other replicas of a fleet, each with pools of its own. A
//! shared in-memory database would lock whole tables between connections, so writers would fail readers; WAL does not,
//! and nothing is synced, so it is as fast.
//!
//! A point read takes some ten microseconds, far less than handing it to another thread, so work runs where it is asked.

mod ledger;
mod outages;
mod replica_set;
mod shard;

use std::path::Path;
use std::sync::Arc;

use futures_util::future::try_join_all;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, ToSql, params};
use serde_json::json;

use self::ledger::Ledger;
pub(crate) use self::outages::keep_outage;
use self::shard::{Session, Shard};
use super::documents::{Credentials, Document, NewLead, NewOrder, NewUser, ProductFilter};
use super::files::shard_file;
use super::service_time::ServiceTime;
use super::topology::Topology;
use super::{Answer, Figures, Files, Home, Jobs, PAGE_SIZE, Pooled, Store, StoreError, jobs, schema, seed};
use crate::demand::{Operation, Plan};
use crate::faults::Faults;
use crate::profile::{self, Dials, Indexes, ReadPreference};

/// Leads, orders, and users who registered that are kept, of each; the oldest go first.
const KEPT_MAX: u32 = 100_000;

/// SQLite behind pools.
pub(crate) struct Embedded {
    shards: Vec<Arc<Shard>>,
    topology: Topology,
    ledger: Arc<Ledger>,
    faults: Arc<Faults>,
    indexed: bool,
    /// Held as long as this serves, where no supervisor does.
    _home: Option<Home>,
}

/// Makes and fills the file of a store.
pub(super) fn create(file: &Path, dials: &Dials) -> Result<(), StoreError> {
    let mut first = create_empty(file)?;
    Ok(seed::fill(&mut first, &dials.store)?)
}

/// Makes the file of a store, or of one shard of it.
pub(super) fn create_empty(file: &Path) -> Result<Connection, StoreError> {
    let connection = connect(file)?;
    connection.execute_batch(schema::TABLES)?;
    connection.execute_batch(jobs::TABLES)?;
    Ok(connection)
}

/// Makes the indexes or takes them away, as dialled, whatever the file was made with; and its servers are all well.
pub(super) fn begin(file: &Path, dials: &Dials) -> Result<(), StoreError> {
    let words = match dials.mongodb.indexes {
        Indexes::On => schema::INDEXES,
        Indexes::Off => schema::NO_INDEXES,
    };
    let connection = connect(file)?;
    connection.execute_batch(words)?;
    Ok(connection.execute_batch(schema::FORGET_OUTAGES)?)
}

impl Embedded {
    /// Opens a store for this process alone, which is made and filled if need be. Needs a runtime, for the pools' timers.
    pub(crate) fn new(
        files: &Files,
        dials: &Dials,
        figures: Figures,
        faults: Arc<Faults>,
    ) -> Result<Self, StoreError> {
        let home = files.prepare(None, dials)?;
        let opened = Self::open(home.file(), dials, &figures, faults)?;
        Ok(Self { _home: Some(home), ..opened })
    }

    /// Opens a store that another process made. Needs a runtime likewise.
    pub(crate) fn open(
        file: &Path,
        dials: &Dials,
        figures: &Figures,
        faults: Arc<Faults>,
    ) -> Result<Self, StoreError> {
        let ledger = Arc::new(Ledger::over(connect(file)?));
        faults.recall(&ledger.outages()?);
        let service_time = Arc::new(ServiceTime::new(dials, Arc::clone(&faults)));
        let topology = Topology::of(&dials.mongodb);
        let shard = |number| {
            let of_shard = shard_file(file, number);
            Shard::open(number, of_shard, dials, &service_time, figures, &faults, &ledger).map(Arc::new)
        };
        Ok(Self {
            shards: (0..topology.shards).map(shard).collect::<Result<_, _>>()?,
            topology,
            ledger,
            faults,
            indexed: dials.mongodb.indexes == Indexes::On,
            _home: None,
        })
    }

    /// One operation on a shard, found as its kind is.
    fn operate<T: Send + 'static>(
        &self,
        shard: usize,
        operation: Operation,
        work: impl FnOnce(&Session<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        self.operate_by(shard, operation, operation.plan(self.indexed), work)
    }

    fn operate_by<T: Send + 'static>(
        &self,
        shard: usize,
        operation: Operation,
        plan: Plan,
        work: impl FnOnce(&Session<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        to_the_end(Arc::clone(&self.shards[shard]).perform(operation, plan, None, work))
    }

    /// One operation on all shards at once, for what is asked for without the key that tells which one has it; of these members, if not of those that are
    /// preferred.
    fn of_all<T: Send + 'static>(
        &self,
        operation: Operation,
        from: Option<ReadPreference>,
        work: impl Fn(&Session<'_>) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Answer<Vec<T>> {
        let plan = operation.plan(self.indexed);
        let ask =
            |shard: &Arc<Shard>| to_the_end(Arc::clone(shard).perform(operation, plan, from, work.clone()));
        Box::pin(try_join_all(self.shards.iter().map(ask).collect::<Vec<_>>()))
    }

    fn credentials_from(&self, from: Option<ReadPreference>, email: String) -> Answer<Option<Credentials>> {
        let found = self.of_all(Operation::UserByEmail, from, move |db| {
            let mut statement = db.prepare_cached(schema::CREDENTIALS)?;
            let credentials = |row: &Row<'_>| Ok(Credentials { id: row.get(0)?, password_hash: row.get(1)? });
            let known = statement.query_row(params![email, db.until_ms], credentials).optional()?;
            db.count(&statement, known.is_some());
            Ok(known)
        });
        Box::pin(async move { Ok(found.await?.into_iter().flatten().next()) })
    }

    /// What is not sharded is on the first shard.
    fn first(&self) -> &Shard {
        &self.shards[0]
    }
}

impl Store for Embedded {
    fn products(&self, filter: ProductFilter) -> Answer<Vec<Document>> {
        // All of them are walked in the order of their ids, for which there always is an index.
        let plan = match filter.category {
            Some(_) => Operation::ProductsList.plan(self.indexed),
            None => Plan::IxScan,
        };
        self.operate_by(0, Operation::ProductsList, plan, move |db| {
            let skip = filter.page.saturating_sub(1).saturating_mul(PAGE_SIZE);
            let max_price = filter.max_price.unwrap_or(f64::MAX);
            match filter.category {
                Some(category) => {
                    documents(db, schema::PRODUCTS_OF_CATEGORY, params![category, max_price, PAGE_SIZE, skip])
                }
                None => documents(db, schema::PRODUCTS, params![max_price, PAGE_SIZE, skip]),
            }
        })
    }

    fn product(&self, id: u32) -> Answer<Option<Document>> {
        self.operate(0, Operation::ProductById, move |db| document(db, schema::PRODUCT, id))
    }

    fn products_by_ids(&self, ids: Vec<u32>) -> Answer<Vec<Document>> {
        self.operate(0, Operation::ProductsByIds, move |db| {
            documents(db, schema::PRODUCTS_BY_IDS, params![json!(ids).to_string()])
        })
    }

    fn search(&self, words: Vec<String>) -> Answer<Vec<Document>> {
        if !self.indexed {
            return self.operate(0, Operation::ProductsSearch, move |db| {
                let mut values: Vec<&dyn ToSql> = vec![&PAGE_SIZE];
                values.extend(words.iter().map(|word| word as &dyn ToSql));
                documents(db, &schema::search_by_scan(words.len()), &values)
            });
        }
        // Each word in quotes is text to the query language, whatever it contains; inner quotes are doubled.
        let query: Vec<_> = words.iter().map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
        let query = query.join(" ");
        self.operate(0, Operation::ProductsSearch, move |db| {
            documents(db, schema::SEARCH, params![query, PAGE_SIZE])
        })
    }

    /// Nothing keeps an email unique over several shards. So all are first asked whether they have it; two who ask in the same moment can both be told
    /// that none has.
    fn add_user(&self, user: NewUser) -> Answer<Document> {
        let taken = |email| StoreError::Duplicate { what: "email", value: email };
        let id = match self.ledger.next_id("users") {
            Ok(id) => id,
            Err(e) => return Box::pin(std::future::ready(Err(e))),
        };
        let primaries = Some(ReadPreference::Primary);
        let elsewhere = (self.shards.len() > 1).then(|| self.credentials_from(primaries, user.email.clone()));
        let (indexed, email) = (self.indexed, user.email.clone());
        let (shard, operation) = (self.topology.shard_of_user(id), Operation::UserInsert);
        let shard = Arc::clone(&self.shards[shard]);
        let add = move |db: &Session<'_>| {
            let doc = json!({"email": user.email, "name": user.name}).to_string();
            let added = if indexed {
                let mut statement = db.prepare_cached(schema::ADD_USER)?;
                match statement.query_row(params![id, user.password_hash, doc, db.now_ms], text) {
                    Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => None,
                    other => Some(other?),
                }
            } else {
                let mut statement = db.prepare_cached(schema::ADD_USER_BY_SCAN)?;
                let values = params![id, user.password_hash, doc, db.now_ms, user.email];
                let added = statement.query_row(values, text).optional()?;
                db.count(&statement, added.is_none());
                added
            };
            let added = added.ok_or_else(|| taken(user.email))?;
            db.prepare_cached(schema::TRIM_USERS)?.execute([KEPT_MAX])?;
            Ok(added)
        };
        let plan = operation.plan(indexed);
        to_the_end(async move {
            if let Some(elsewhere) = elsewhere
                && elsewhere.await?.is_some()
            {
                return Err(taken(email));
            }
            shard.perform(operation, plan, None, add).await
        })
    }

    fn credentials(&self, email: String) -> Answer<Option<Credentials>> {
        self.credentials_from(None, email)
    }

    fn user(&self, id: u32) -> Answer<Option<Document>> {
        let shard = self.topology.shard_of_user(id);
        self.operate(shard, Operation::UserById, move |db| document_until(db, schema::USER, id))
    }

    fn add_lead(&self, lead: NewLead) -> Answer<Document> {
        let ledger = Arc::clone(&self.ledger);
        let shard = self.topology.shard_of_new_lead();
        self.operate(shard, Operation::LeadInsert, move |db| {
            let doc = json!({
                "email": lead.email, "name": lead.name, "message": lead.message, "status": "new",
                "created_at_ms": lead.created_at_ms,
            });
            let values = params![ledger.next_id("leads")?, doc.to_string(), db.now_ms];
            let added = db.prepare_cached(schema::ADD_LEAD)?.query_row(values, text)?;
            db.prepare_cached(schema::TRIM_LEADS)?.execute([KEPT_MAX])?;
            Ok(added)
        })
    }

    fn leads(&self, status: String) -> Answer<Vec<Document>> {
        let found = self.of_all(Operation::LeadsList, None, move |db| {
            let mut statement = db.prepare_cached(schema::LEADS_OF_STATUS)?;
            let with_instant = |row: &Row<'_>| Ok((row.get::<_, i64>(1)?, text(row)?));
            let found = statement.query_map(params![status, PAGE_SIZE, db.until_ms], with_instant)?;
            let found = found.collect::<Result<Vec<_>, _>>()?;
            db.count(&statement, !found.is_empty());
            Ok(found)
        });
        Box::pin(async move {
            let mut leads: Vec<_> = found.await?.into_iter().flatten().collect();
            leads.sort_by_key(|(created_at_ms, _)| std::cmp::Reverse(*created_at_ms));
            leads.truncate(PAGE_SIZE as usize);
            Ok(leads.into_iter().map(|(_, lead)| lead).collect())
        })
    }

    fn add_order(&self, order: NewOrder) -> Answer<Document> {
        let ledger = Arc::clone(&self.ledger);
        self.operate(0, Operation::OrderInsert, move |db| {
            let price: Option<f64> = db
                .prepare_cached(schema::PRICE)?
                .query_row([order.product_id], |row| row.get(0))
                .optional()?;
            let Some(price) = price else {
                return Err(StoreError::Missing { what: "product", id: order.product_id });
            };
            let mut doc = json!({
                "product_id": order.product_id, "quantity": order.quantity, "total": order.total(price),
                "status": "placed", "created_at_ms": order.created_at_ms,
            });
            if let Some(job) = order.job_id {
                doc["job_id"] = job.into();
            }
            let values = params![ledger.next_id("orders")?, doc.to_string(), db.now_ms];
            let added = db.prepare_cached(schema::ADD_ORDER)?.query_row(values, text).optional()?;
            let Some(added) = added else {
                // The job was done before, by somebody who did not live to say so, or has failed.
                let placed =
                    db.prepare_cached(schema::ORDER_OF_JOB)?.query_row([order.job_id], text).optional()?;
                return placed
                    .ok_or_else(|| StoreError::Backend("the job of this order has failed".to_owned()));
            };
            db.prepare_cached(schema::TRIM_ORDERS)?.execute([KEPT_MAX])?;
            Ok(added)
        })
    }

    fn order(&self, id: u32) -> Answer<Option<Document>> {
        self.operate(0, Operation::OrderById, move |db| document_until(db, schema::ORDER, id))
    }

    fn orders_by_ids(&self, ids: Vec<u32>) -> Answer<Vec<Document>> {
        self.operate(0, Operation::OrdersByIds, move |db| {
            documents(db, schema::ORDERS_BY_IDS, params![json!(ids).to_string(), db.until_ms])
        })
    }

    fn jobs(&self, dials: &profile::Queue) -> Result<Jobs, StoreError> {
        Ok(Jobs::over(connect(self.first().file())?, dials))
    }

    fn pools(&self) -> Vec<Pooled> {
        self.shards.iter().flat_map(|shard| shard.pools()).collect()
    }

    fn keep(&self) {
        // Where it fails, because the file is busy, the next turn does it.
        if let Ok(outages) = self.ledger.outages() {
            self.faults.recall(&outages);
        }
        for shard in &self.shards {
            shard.close_idle();
            shard.tell();
        }
    }
}

/// What is begun is ended: it runs as a task of its own, so that a client who goes away frees nothing early.
fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Answer<T> {
    let task = tokio::spawn(work);
    Box::pin(async move { task.await.unwrap_or_else(|e| Err(StoreError::Backend(e.to_string()))) })
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Backend(error.to_string())
    }
}

pub(super) fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.execute_batch(schema::PRAGMAS)?;
    Ok(connection)
}

/// SQLite's integers have a sign; an instant beyond them is as good as never.
fn int(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn text(row: &Row<'_>) -> rusqlite::Result<Document> {
    row.get(0).map(Document)
}

fn document(db: &Connection, sql: &str, id: u32) -> Result<Option<Document>, StoreError> {
    Ok(db.prepare_cached(sql)?.query_row([id], text).optional()?)
}

/// The document, if it had been written by the time that the server has it from.
fn document_until(db: &Session<'_>, sql: &str, id: u32) -> Result<Option<Document>, StoreError> {
    Ok(db.prepare_cached(sql)?.query_row(params![id, db.until_ms], text).optional()?)
}

fn documents(db: &Session<'_>, sql: &str, parameters: &[&dyn ToSql]) -> Result<Vec<Document>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let found = statement.query_map(parameters, text)?.collect::<Result<Vec<_>, _>>()?;
    db.count(&statement, !found.is_empty());
    Ok(found)
}

#[cfg(test)]
mod tests;
