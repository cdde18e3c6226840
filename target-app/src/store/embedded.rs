//! The embedded store: SQLite in WAL mode behind the pool. Each pooled connection is a real one to the same file, and so are
//! those of the other replicas of a fleet, each with a pool of its own. A
//! shared in-memory database would lock whole tables between connections, so writers would fail readers; WAL does not,
//! and nothing is synced, so it is as fast.
//!
//! A point read takes some ten microseconds, far less than handing it to another thread, so work runs where it is asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use serde_json::json;

use super::documents::{Credentials, Document, NewLead, NewOrder, NewUser, ProductFilter};
use super::service_time::ServiceTime;
use super::{Answer, Figures, Files, Home, PAGE_SIZE, Store, StoreError, schema, seed};
use crate::clock;
use crate::demand::Operation;
use crate::faults::Faults;
use crate::pool::{Limits, Pool, Snapshot};
use crate::profile::Dials;

/// Leads, and orders, that are kept; the oldest go first.
const KEPT_MAX: u32 = 100_000;

/// SQLite behind a pool.
pub(crate) struct Embedded {
    pool: Pool<Connection>,
    service_time: Arc<ServiceTime>,
    figures: Figures,
    /// Held as long as this serves, where no supervisor does.
    _home: Option<Home>,
}

/// Makes and fills the file of a store.
pub(super) fn create(file: &Path, dials: &Dials) -> Result<(), StoreError> {
    let mut first = connect(file)?;
    first.execute_batch(schema::TABLES)?;
    Ok(seed::fill(&mut first, &dials.store)?)
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
        let pool = Pool::new(limits, figures.pool.clone(), move || connect(&file).map_err(io::Error::other))?;
        let service_time = Arc::new(ServiceTime::new(dials, faults));
        Ok(Self { pool, service_time, figures, _home: None })
    }

    /// One operation: a connection, the work, and the rest of the dialled hold. It runs as a task of its own, so that
    /// a client who goes away frees nothing early.
    fn operate<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let (pool, service_time) = (self.pool.clone(), Arc::clone(&self.service_time));
        let figures = self.figures.clone();
        let task = tokio::spawn(async move {
            let began = clock::now();
            let answer = match pool.checkout().await {
                Ok(mut lease) => {
                    let answer = lease.with(|connection| work(connection));
                    lease.finish(service_time.draw(operation)).await;
                    answer
                }
                Err(e) => Err(e.into()),
            };
            figures.ended(operation, clock::now().duration_since(began));
            answer
        });
        Box::pin(async move { task.await.unwrap_or_else(|e| Err(StoreError::Backend(e.to_string()))) })
    }
}

impl Store for Embedded {
    fn products(&self, filter: ProductFilter) -> Answer<Vec<Document>> {
        self.operate(Operation::ProductsList, move |db| {
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
        // Each word in quotes is text to the query language, whatever it contains; inner quotes are doubled.
        let query: Vec<_> = words.iter().map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
        let query = query.join(" ");
        self.operate(Operation::ProductsSearch, move |db| {
            documents(db, schema::SEARCH, params![query, PAGE_SIZE])
        })
    }

    fn add_user(&self, user: NewUser) -> Answer<Document> {
        self.operate(Operation::UserInsert, move |db| {
            let doc = json!({"email": user.email, "name": user.name}).to_string();
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
            Ok(statement.query_row([email], credentials).optional()?)
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
            let doc = json!({
                "product_id": order.product_id, "quantity": order.quantity, "total": order.total(price),
                "status": "placed", "created_at_ms": order.created_at_ms,
            });
            let added = db.prepare_cached(schema::ADD_ORDER)?.query_row([doc.to_string()], text)?;
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

fn documents(
    db: &Connection,
    sql: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Document>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(parameters, text)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::{schema, seed};
    use crate::profile::Profile;

    fn filled() -> Connection {
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
        let by_id = [schema::PRODUCT, schema::USER, schema::ORDER, schema::PRICE];
        for sql in by_id.into_iter().chain([schema::PRODUCTS_BY_IDS, schema::ORDERS_BY_IDS]) {
            assert!(plan(&db, sql).contains("INTEGER PRIMARY KEY"), "{sql}");
        }
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
