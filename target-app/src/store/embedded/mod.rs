//! The embedded store: SQLite in WAL mode behind the pools. It is one server, or a replica set, or shards of these (see [`Topology`]). Each pooled
//! connection is a real one to the file of its shard, and so are
//! those of the other replicas of a fleet, each with pools of its own. A
//! shared in-memory database would lock whole tables between connections, so writers would fail readers; WAL does not,
//! and nothing is synced, so it is as fast.
//!
//! A point read takes some ten microseconds, far less than handing it to another thread, so work runs where it is asked.

mod ids;
mod replica_set;
mod shard;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::try_join_all;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, ToSql, params};
use serde_json::json;

use self::ids::Ids;
use self::shard::{Session, Shard};
use super::documents::{Credentials, Document, NewLead, NewOrder, NewUser, ProductFilter};
use super::files::shard_file;
use super::service_time::ServiceTime;
use super::topology::Topology;
use super::{Answer, Figures, Files, Home, Jobs, PAGE_SIZE, Pooled, Store, StoreError, jobs, schema, seed};
use crate::demand::{Operation, Plan};
use crate::faults::{Faults, Outage};
use crate::profile::{self, Dials, Indexes};

/// Leads, orders, and users who registered that are kept, of each; the oldest go first.
const KEPT_MAX: u32 = 100_000;

/// SQLite behind pools.
pub(crate) struct Embedded {
    shards: Vec<Arc<Shard>>,
    topology: Topology,
    ids: Arc<Ids>,
    faults: Arc<Faults>,
    /// Outages that are in the file, for those who open it later.
    kept_outages: AtomicUsize,
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

/// Makes the indexes or takes them away, as dialled, whatever the file was made with.
pub(super) fn index(file: &Path, dials: &Dials) -> Result<(), StoreError> {
    let words = match dials.mongodb.indexes {
        Indexes::On => schema::INDEXES,
        Indexes::Off => schema::NO_INDEXES,
    };
    Ok(connect(file)?.execute_batch(words)?)
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
        let kept = kept_outages(file)?;
        let kept_outages = AtomicUsize::new(kept.len());
        faults.recall(kept);
        let service_time = Arc::new(ServiceTime::new(dials, Arc::clone(&faults)));
        let topology = Topology::of(&dials.mongodb);
        let shard = |number| {
            let of_shard = shard_file(file, number);
            Shard::open(number, of_shard, dials, &service_time, figures, &faults).map(Arc::new)
        };
        Ok(Self {
            shards: (0..topology.shards).map(shard).collect::<Result<_, _>>()?,
            topology,
            ids: Arc::new(Ids::over(connect(file)?)),
            kept_outages,
            faults,
            indexed: dials.mongodb.indexes == Indexes::On,
            _home: None,
        })
    }

    /// One operation on a shard, found as its kind is. It runs as a task of its own, so that a client who goes away frees nothing early.
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
        let task = tokio::spawn(Arc::clone(&self.shards[shard]).perform(operation, plan, work));
        Box::pin(async move { task.await.unwrap_or_else(|e| Err(StoreError::Backend(e.to_string()))) })
    }

    /// One operation on all shards at once, for what is asked for without the key that tells which one has it.
    fn of_all<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl Fn(&Session<'_>) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Answer<Vec<T>> {
        let answers: Vec<_> =
            (0..self.shards.len()).map(|shard| self.operate(shard, operation, work.clone())).collect();
        Box::pin(try_join_all(answers))
    }

    /// What is not sharded is on the first shard.
    fn first(&self) -> &Shard {
        &self.shards[0]
    }

    /// Writes down what befell the servers, for the process that takes the place of this one.
    fn keep_outages(&self) -> Result<(), StoreError> {
        let outages = self.faults.outages().borrow().clone();
        if outages.len() > self.kept_outages.load(Ordering::Relaxed) {
            let connection = connect(self.first().file())?;
            for outage in &outages {
                let (shard, for_ms) = match *outage {
                    Outage::Death { shard, for_ms, .. } => (i64::from(shard), for_ms as i64),
                    Outage::End { .. } => (ALL_SHARDS, 0),
                };
                connection.execute(schema::ADD_OUTAGE, params![outage.at_ms() as i64, shard, for_ms])?;
            }
            self.kept_outages.store(outages.len(), Ordering::Relaxed);
        }
        Ok(())
    }
}

/// In the table of outages, whose end it is.
const ALL_SHARDS: i64 = -1;

fn kept_outages(file: &Path) -> Result<Vec<Outage>, StoreError> {
    let connection = connect(file)?;
    let mut statement = connection.prepare(schema::OUTAGES)?;
    let outage = |row: &Row<'_>| {
        let (at_ms, for_ms): (i64, i64) = (row.get(0)?, row.get(2)?);
        let (at_ms, for_ms) = (at_ms.unsigned_abs(), for_ms.unsigned_abs());
        Ok(match u32::try_from(row.get::<_, i64>(1)?) {
            Ok(shard) => Outage::Death { at_ms, shard, for_ms },
            Err(_) => Outage::End { at_ms },
        })
    };
    Ok(statement.query_map([], outage)?.collect::<Result<_, _>>()?)
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

    /// A unique index is unique within a shard. So of several, all are first asked whether they have the email; two who ask in the same moment
    /// can both be told that none has.
    fn add_user(&self, user: NewUser) -> Answer<Document> {
        let taken = |email| StoreError::Duplicate { what: "email", value: email };
        let id = match self.ids.next("users") {
            Ok(id) => id,
            Err(e) => return Box::pin(std::future::ready(Err(e))),
        };
        let elsewhere = (self.shards.len() > 1).then(|| self.credentials(user.email.clone()));
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
        let task = tokio::spawn(async move {
            if let Some(elsewhere) = elsewhere
                && elsewhere.await?.is_some()
            {
                return Err(taken(email));
            }
            shard.perform(operation, plan, add).await
        });
        Box::pin(async move { task.await.unwrap_or_else(|e| Err(StoreError::Backend(e.to_string()))) })
    }

    fn credentials(&self, email: String) -> Answer<Option<Credentials>> {
        let found = self.of_all(Operation::UserByEmail, move |db| {
            let mut statement = db.prepare_cached(schema::CREDENTIALS)?;
            let credentials = |row: &Row<'_>| Ok(Credentials { id: row.get(0)?, password_hash: row.get(1)? });
            let known = statement.query_row(params![email, db.until_ms], credentials).optional()?;
            db.count(&statement, known.is_some());
            Ok(known)
        });
        Box::pin(async move { Ok(found.await?.into_iter().flatten().next()) })
    }

    fn user(&self, id: u32) -> Answer<Option<Document>> {
        let shard = self.topology.shard_of_user(id);
        self.operate(shard, Operation::UserById, move |db| document_until(db, schema::USER, id))
    }

    fn add_lead(&self, lead: NewLead) -> Answer<Document> {
        let ids = Arc::clone(&self.ids);
        let shard = self.topology.shard_of_new_lead();
        self.operate(shard, Operation::LeadInsert, move |db| {
            let doc = json!({
                "email": lead.email, "name": lead.name, "message": lead.message, "status": "new",
                "created_at_ms": lead.created_at_ms,
            });
            let values = params![ids.next("leads")?, doc.to_string(), db.now_ms];
            let added = db.prepare_cached(schema::ADD_LEAD)?.query_row(values, text)?;
            db.prepare_cached(schema::TRIM_LEADS)?.execute([KEPT_MAX])?;
            Ok(added)
        })
    }

    fn leads(&self, status: String) -> Answer<Vec<Document>> {
        let found = self.of_all(Operation::LeadsList, move |db| {
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
        let ids = Arc::clone(&self.ids);
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
            let values = params![ids.next("orders")?, doc.to_string(), db.now_ms];
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
        for shard in &self.shards {
            shard.close_idle();
            shard.tell();
        }
        // Where it fails, because the file is busy, the next turn does it.
        let _ = self.keep_outages();
    }
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
