//! The embedded store: SQLite in WAL mode behind the pool. Each pooled connection is a real one to the same file, and so are
//! those of the other replicas of a fleet, each with a pool of its own. A
//! shared in-memory database would lock whole tables between connections, so writers would fail readers; WAL does not,
//! and nothing is synced, so it is as fast.
//!
//! A point read takes some ten microseconds, far less than handing it to another thread, so work runs where it is asked.

use std::cell::Cell;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Statement, StatementStatus, ToSql, params};
use serde_json::json;

use super::documents::{Credentials, Document, NewLead, NewOrder, NewUser, ProductFilter};
use super::service_time::ServiceTime;
use super::{Answer, Figures, Files, Home, Jobs, PAGE_SIZE, Store, StoreError, jobs, schema, seed};
use crate::clock;
use crate::demand::{Operation, Plan};
use crate::faults::Faults;
use crate::pool::{Lease, Limits, Pool, Snapshot};
use crate::profile::{self, Dials, Indexes};

/// Leads, and orders, that are kept; the oldest go first.
const KEPT_MAX: u32 = 100_000;

/// SQLite behind a pool.
pub(crate) struct Embedded {
    pool: Pool<Connection>,
    file: PathBuf,
    service_time: Arc<ServiceTime>,
    figures: Figures,
    indexed: bool,
    /// Held as long as this serves, where no supervisor does.
    _home: Option<Home>,
}

/// Makes and fills the file of a store.
pub(super) fn create(file: &Path, dials: &Dials) -> Result<(), StoreError> {
    let mut first = connect(file)?;
    first.execute_batch(schema::TABLES)?;
    first.execute_batch(jobs::TABLES)?;
    Ok(seed::fill(&mut first, &dials.store)?)
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
    /// Opens a store for this process alone, which is made and filled if need be. Needs a runtime, for the pool's timers.
    pub(crate) fn new(
        files: &Files,
        dials: &Dials,
        figures: Figures,
        faults: Arc<Faults>,
    ) -> Result<Self, StoreError> {
        let home = files.prepare(None, dials)?;
        let opened = Self::open(home.file().to_owned(), dials, figures, faults)?;
        Ok(Self { _home: Some(home), ..opened })
    }

    /// Opens a store that another process made. Needs a runtime likewise.
    pub(crate) fn open(
        file: PathBuf,
        dials: &Dials,
        figures: Figures,
        faults: Arc<Faults>,
    ) -> Result<Self, StoreError> {
        let mongodb = &dials.mongodb;
        let limits = Limits {
            max: mongodb.max_pool_size,
            min: mongodb.min_pool_size,
            max_idle: Duration::from_millis(mongodb.max_idle_time_ms),
            wait_queue_timeout: Duration::from_millis(mongodb.wait_queue_timeout_ms),
        };
        let opened = file.clone();
        let pool =
            Pool::new(limits, figures.pool.clone(), move || connect(&opened).map_err(io::Error::other))?;
        let service_time = Arc::new(ServiceTime::new(dials, faults));
        let indexed = mongodb.indexes == Indexes::On;
        Ok(Self { pool, file, service_time, figures, indexed, _home: None })
    }

    /// One operation, found as its kind is.
    fn operate<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl FnOnce(&Session<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        self.operate_by(operation, operation.plan(self.indexed), work)
    }

    /// One operation: a connection, the work, and the rest of the dialled hold. It runs as a task of its own, so that
    /// a client who goes away frees nothing early. A scan goes on beside the event loop, as it would in a database elsewhere.
    ///
    /// Where the work itself takes longer than dialled the hold is as long as the work. Otherwise it would be a debt of the
    /// connection like a late timer's, and other operations would pay for it.
    fn operate_by<T: Send + 'static>(
        &self,
        operation: Operation,
        plan: Plan,
        work: impl FnOnce(&Session<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let (pool, service_time) = (self.pool.clone(), Arc::clone(&self.service_time));
        let figures = self.figures.clone();
        let task = tokio::spawn(async move {
            let began = clock::now();
            let answer = match pool.checkout().await {
                Ok(lease) => {
                    let done = move || measured(lease, work);
                    let (lease, answer, work) = match plan {
                        Plan::CollScan => {
                            let scan = tokio::task::spawn_blocking(done).await;
                            scan.map_err(|e| StoreError::Backend(e.to_string()))?
                        }
                        Plan::IxScan | Plan::None => done(),
                    };
                    let scanned = if plan == Plan::CollScan { work.scanned } else { 0 };
                    if plan == Plan::CollScan {
                        figures.scanned(operation, scanned, work.cpu);
                    }
                    lease.finish(service_time.draw(operation, scanned).max(work.cpu)).await;
                    answer
                }
                Err(e) => Err(e.into()),
            };
            figures.ended(operation, plan, clock::now().duration_since(began));
            answer
        });
        Box::pin(async move { task.await.unwrap_or_else(|e| Err(StoreError::Backend(e.to_string()))) })
    }
}

/// A connection at work for one operation.
struct Session<'a> {
    db: &'a Connection,
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
    fn count(&self, statement: &Statement<'_>, found: bool) {
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

/// Does the work, and says what it was.
fn measured<T>(
    mut lease: Lease<Connection>,
    work: impl FnOnce(&Session<'_>) -> Result<T, StoreError>,
) -> (Lease<Connection>, Result<T, StoreError>, Work) {
    let cpu = clock::thread_cpu();
    let (answer, scanned) = lease.with(|db| {
        let session = Session { db, scanned: Cell::new(0) };
        let answer = work(&session);
        (answer, session.scanned.get())
    });
    let work = Work { cpu: clock::thread_cpu().saturating_sub(cpu), scanned };
    (lease, answer, work)
}

impl Store for Embedded {
    fn products(&self, filter: ProductFilter) -> Answer<Vec<Document>> {
        // All of them are walked in the order of their ids, for which there always is an index.
        let plan = match filter.category {
            Some(_) => Operation::ProductsList.plan(self.indexed),
            None => Plan::IxScan,
        };
        self.operate_by(Operation::ProductsList, plan, move |db| {
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
        self.operate(Operation::ProductById, move |db| document(db, schema::PRODUCT, id))
    }

    fn products_by_ids(&self, ids: Vec<u32>) -> Answer<Vec<Document>> {
        self.operate(Operation::ProductsByIds, move |db| {
            documents(db, schema::PRODUCTS_BY_IDS, params![json!(ids).to_string()])
        })
    }

    fn search(&self, words: Vec<String>) -> Answer<Vec<Document>> {
        if !self.indexed {
            return self.operate(Operation::ProductsSearch, move |db| {
                let mut values: Vec<&dyn ToSql> = vec![&PAGE_SIZE];
                values.extend(words.iter().map(|word| word as &dyn ToSql));
                documents(db, &schema::search_by_scan(words.len()), &values)
            });
        }
        // Each word in quotes is text to the query language, whatever it contains; inner quotes are doubled.
        let query: Vec<_> = words.iter().map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
        let query = query.join(" ");
        self.operate(Operation::ProductsSearch, move |db| {
            documents(db, schema::SEARCH, params![query, PAGE_SIZE])
        })
    }

    fn add_user(&self, user: NewUser) -> Answer<Document> {
        let indexed = self.indexed;
        self.operate(Operation::UserInsert, move |db| {
            let doc = json!({"email": user.email, "name": user.name}).to_string();
            if !indexed {
                let mut statement = db.prepare_cached(schema::ADD_USER_BY_SCAN)?;
                let added =
                    statement.query_row(params![user.password_hash, doc, user.email], text).optional()?;
                db.count(&statement, added.is_none());
                return added.ok_or(StoreError::Duplicate { what: "email", value: user.email });
            }
            let mut statement = db.prepare_cached(schema::ADD_USER)?;
            match statement.query_row(params![user.password_hash, doc], text) {
                Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    Err(StoreError::Duplicate { what: "email", value: user.email })
                }
                other => Ok(other?),
            }
        })
    }

    fn credentials(&self, email: String) -> Answer<Option<Credentials>> {
        self.operate(Operation::UserByEmail, move |db| {
            let mut statement = db.prepare_cached(schema::CREDENTIALS)?;
            let credentials = |row: &Row<'_>| Ok(Credentials { id: row.get(0)?, password_hash: row.get(1)? });
            let known = statement.query_row([email], credentials).optional()?;
            db.count(&statement, known.is_some());
            Ok(known)
        })
    }

    fn user(&self, id: u32) -> Answer<Option<Document>> {
        self.operate(Operation::UserById, move |db| document(db, schema::USER, id))
    }

    fn add_lead(&self, lead: NewLead) -> Answer<Document> {
        self.operate(Operation::LeadInsert, move |db| {
            let doc = json!({
                "email": lead.email, "name": lead.name, "message": lead.message, "status": "new",
                "created_at_ms": lead.created_at_ms,
            });
            let added = db.prepare_cached(schema::ADD_LEAD)?.query_row([doc.to_string()], text)?;
            db.prepare_cached(schema::TRIM_LEADS)?.execute([KEPT_MAX])?;
            Ok(added)
        })
    }

    fn leads(&self, status: String) -> Answer<Vec<Document>> {
        self.operate(Operation::LeadsList, move |db| {
            documents(db, schema::LEADS_OF_STATUS, params![status, PAGE_SIZE])
        })
    }

    fn add_order(&self, order: NewOrder) -> Answer<Document> {
        self.operate(Operation::OrderInsert, move |db| {
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
            let added =
                db.prepare_cached(schema::ADD_ORDER)?.query_row([doc.to_string()], text).optional()?;
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
        self.operate(Operation::OrderById, move |db| document(db, schema::ORDER, id))
    }

    fn orders_by_ids(&self, ids: Vec<u32>) -> Answer<Vec<Document>> {
        self.operate(Operation::OrdersByIds, move |db| {
            documents(db, schema::ORDERS_BY_IDS, params![json!(ids).to_string()])
        })
    }

    fn jobs(&self, dials: &profile::Queue) -> Result<Jobs, StoreError> {
        Ok(Jobs::over(connect(&self.file)?, dials))
    }

    fn pool(&self) -> Snapshot {
        self.pool.snapshot(clock::now())
    }

    fn keep(&self) {
        self.pool.close_idle(clock::now());
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Backend(error.to_string())
    }
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
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

fn documents(db: &Session<'_>, sql: &str, parameters: &[&dyn ToSql]) -> Result<Vec<Document>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let found = statement.query_map(parameters, text)?.collect::<Result<Vec<_>, _>>()?;
    db.count(&statement, !found.is_empty());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::{schema, seed};
    use crate::profile::Profile;

    fn filled() -> Connection {
        let db = unindexed();
        db.execute_batch(schema::INDEXES).unwrap();
        db
    }

    fn unindexed() -> Connection {
        let profile = Profile::named("baseline").unwrap();
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch(schema::TABLES).unwrap();
        seed::fill(&mut db, &profile.dials().store).unwrap();
        db
    }

    fn plan(db: &Connection, sql: &str) -> String {
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nothing: Vec<Option<i64>> = vec![None; statement.parameter_count()];
        let lines =
            statement.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3)).unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn queries_seek_in_their_indexes() {
        let db = filled();
        let by_category = plan(&db, schema::PRODUCTS_OF_CATEGORY);
        assert!(
            by_category.contains("products_category_price") && !by_category.contains("TEMP B-TREE"),
            "{by_category}"
        );
        let by_status = plan(&db, schema::LEADS_OF_STATUS);
        assert!(
            by_status.contains("leads_status_created") && !by_status.contains("TEMP B-TREE"),
            "{by_status}"
        );
        assert!(plan(&db, schema::CREDENTIALS).contains("users_email"));
        assert!(plan(&db, schema::ORDER_OF_JOB).contains("orders_job"));
        let by_id = [schema::PRODUCT, schema::USER, schema::ORDER, schema::PRICE];
        for sql in by_id.into_iter().chain([schema::PRODUCTS_BY_IDS, schema::ORDERS_BY_IDS]) {
            assert!(plan(&db, sql).contains("INTEGER PRIMARY KEY"), "{sql}");
        }
    }

    #[test]
    fn without_indexes_they_go_through_the_whole_table() {
        let db = unindexed();
        let scans = [
            (schema::PRODUCTS_OF_CATEGORY.to_owned(), "products"),
            (schema::search_by_scan(2), "products"),
            (schema::CREDENTIALS.to_owned(), "users"),
            (schema::LEADS_OF_STATUS.to_owned(), "leads"),
            (schema::ADD_USER_BY_SCAN.to_owned(), "users"),
        ];
        for (sql, table) in scans {
            assert!(plan(&db, &sql).contains(&format!("SCAN {table}")), "{}", plan(&db, &sql));
        }
        // Those of ids are always there, and orders are found by their jobs.
        for sql in [schema::PRODUCT, schema::USER, schema::ORDER, schema::PRICE] {
            assert!(plan(&db, sql).contains("INTEGER PRIMARY KEY"), "{sql}");
        }
        assert!(plan(&db, schema::ORDER_OF_JOB).contains("orders_job"));
        let insert = plan(&db, schema::ADD_USER_BY_SCAN);
        assert_eq!(insert.matches("SCAN users").count(), 1, "once, for the email: {insert}");
    }

    #[test]
    fn the_same_seed_fills_the_same_store() {
        let all = |db: &Connection| -> String {
            db.query_row("SELECT group_concat(doc) FROM products", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(all(&filled()), all(&filled()));
        let db = filled();
        let count: u32 = db.query_row("SELECT count(*) FROM products", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 1000);
        let users: u32 = db.query_row("SELECT count(*) FROM users", [], |row| row.get(0)).unwrap();
        assert_eq!(users, 200);
    }
}
