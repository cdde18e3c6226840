//! Tables and indexes of the embedded store: JSON documents with the indexes a document database would have on them.

/// How a connection is set up. The file is a fixture that is made again at will, so nothing is synced to disk; pages
/// are shared through the map, so a hundred connections do not keep a hundred caches.
pub(super) const PRAGMAS: &str = "
    PRAGMA busy_timeout = 1000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -256;
    PRAGMA mmap_size = 67108864;";

/// What marks a file as one of ours: "Shop" in ASCII.
pub(super) const APPLICATION_ID: i64 = 0x5368_6f70;
/// Of the tables below: one more whenever what they hold changes.
pub(super) const VERSION: i64 = 3;

/// What there always is: MongoDB's index of `_id`, the text of the products, the users who registered, which are not all there are, and the orders by the
/// job that placed them, or a job that is done twice would place two. `written_ms` tells what a secondary has that is behind, and what is lost with a primary. `sequences`, `outages` and `topology` are
/// of the whole database and used in its first file only.
pub(super) const TABLES: &str = "
    PRAGMA application_id = 0x53686f70;
    PRAGMA user_version = 3;
    CREATE TABLE products (id INTEGER PRIMARY KEY, doc TEXT NOT NULL);
    CREATE VIRTUAL TABLE products_text USING fts5 (name, description);
    CREATE TABLE users (id INTEGER PRIMARY KEY, password_hash TEXT NOT NULL, doc TEXT NOT NULL, written_ms INTEGER NOT NULL);
    CREATE INDEX users_registered ON users (id) WHERE written_ms > 0;
    CREATE TABLE leads (id INTEGER PRIMARY KEY, doc TEXT NOT NULL, written_ms INTEGER NOT NULL);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, doc TEXT NOT NULL, written_ms INTEGER NOT NULL);
    CREATE INDEX users_written ON users (written_ms) WHERE written_ms > 0;
    CREATE INDEX leads_written ON leads (written_ms);
    CREATE INDEX orders_written ON orders (written_ms);
    CREATE TABLE rollbacks (after_ms INTEGER NOT NULL, before_ms INTEGER NOT NULL, PRIMARY KEY (after_ms, before_ms)) WITHOUT ROWID;
    CREATE UNIQUE INDEX orders_job ON orders (doc ->> '$.job_id') WHERE doc ->> '$.job_id' IS NOT NULL;
    CREATE TABLE rolled_back (
        collection TEXT NOT NULL, id INTEGER NOT NULL, doc TEXT NOT NULL, written_ms INTEGER NOT NULL,
        PRIMARY KEY (collection, id)) WITHOUT ROWID;
    CREATE TABLE sequences (collection TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO sequences VALUES ('users', 0), ('leads', 0), ('orders', 0);
    CREATE TABLE topology (shards INTEGER NOT NULL);
    INSERT INTO topology VALUES (1);
    CREATE TABLE outages (
        at_ms INTEGER NOT NULL, shard INTEGER NOT NULL, for_ms INTEGER NOT NULL, PRIMARY KEY (at_ms, shard)) WITHOUT ROWID;";

/// The indexes that can be left out, which are the ones production has: products by category and price (and by text: see `SEARCH`), leads by
/// email and by status with the newest first, users by unique email.
pub(super) const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS products_category_price ON products (doc ->> '$.category', doc ->> '$.price');
    CREATE UNIQUE INDEX IF NOT EXISTS users_email ON users (doc ->> '$.email');
    CREATE INDEX IF NOT EXISTS leads_email_created ON leads (doc ->> '$.email', doc ->> '$.created_at_ms' DESC);
    CREATE INDEX IF NOT EXISTS leads_status_created ON leads (doc ->> '$.status', doc ->> '$.created_at_ms' DESC);";

/// A store that stays may have been made with them.
pub(super) const NO_INDEXES: &str = "
    DROP INDEX IF EXISTS products_category_price;
    DROP INDEX IF EXISTS users_email;
    DROP INDEX IF EXISTS leads_email_created;
    DROP INDEX IF EXISTS leads_status_created;";

pub(super) const PRODUCTS_OF_CATEGORY: &str = "
    SELECT doc FROM products WHERE doc ->> '$.category' = ?1 AND doc ->> '$.price' <= ?2
    ORDER BY doc ->> '$.price' LIMIT ?3 OFFSET ?4";
pub(super) const PRODUCTS: &str =
    "SELECT doc FROM products WHERE doc ->> '$.price' <= ?1 ORDER BY id LIMIT ?2 OFFSET ?3";
pub(super) const PRODUCT: &str = "SELECT doc FROM products WHERE id = ?1";
/// The ids are one parameter, a JSON list, so that a list of any length is one statement.
pub(super) const PRODUCTS_BY_IDS: &str =
    "SELECT doc FROM products WHERE id IN (SELECT value FROM json_each(?1))";
pub(super) const SEARCH: &str = "
    SELECT p.doc FROM products_text t JOIN products p ON p.id = t.rowid
    WHERE products_text MATCH ?1 ORDER BY rank LIMIT ?2";
/// Without the text index, so many words have to occur anywhere in the name or the description; and where nothing tells which is
/// the best match the cheapest is.
pub(super) fn search_by_scan(words: usize) -> String {
    let has = |word: usize| {
        format!(" AND instr(lower(doc ->> '$.name' || ' ' || (doc ->> '$.description')), lower(?{word})) > 0")
    };
    let all: String = (2..words + 2).map(has).collect();
    format!("SELECT doc FROM products WHERE true{all} ORDER BY doc ->> '$.price' LIMIT ?1")
}
pub(super) const ADD_PRODUCT: &str = "INSERT INTO products (id, doc) VALUES (?1, ?2)";
pub(super) const ADD_PRODUCT_TEXT: &str =
    "INSERT INTO products_text (rowid, name, description) VALUES (?1, ?2, ?3)";
/// The next id of a collection. None is given twice, not even that of a document that was rolled back.
pub(super) const NEXT_ID: &str = "UPDATE sequences SET last = last + 1 WHERE collection = ?1 RETURNING last";
pub(super) const LAST_ID: &str = "UPDATE sequences SET last = ?2 WHERE collection = ?1";
pub(super) const ADD_USER: &str = "
    INSERT INTO users (id, password_hash, doc, written_ms) VALUES (?1, ?2, json_insert(?3, '$.id', ?1), ?4)
    RETURNING doc";
/// Without the unique index nothing but a look at all users tells whether an email is taken.
pub(super) const ADD_USER_BY_SCAN: &str = "
    INSERT INTO users (id, password_hash, doc, written_ms) SELECT ?1, ?2, json_insert(?3, '$.id', ?1), ?4
    WHERE NOT EXISTS (SELECT 1 FROM users WHERE doc ->> '$.email' = ?5) RETURNING doc";
pub(super) const CREDENTIALS: &str =
    "SELECT id, password_hash FROM users WHERE doc ->> '$.email' = ?1 AND +written_ms <= ?2";
pub(super) const USER: &str = "SELECT doc FROM users WHERE id = ?1 AND +written_ms <= ?2";
pub(super) const ADD_LEAD: &str = "
    INSERT INTO leads (id, doc, written_ms) VALUES (?1, json_insert(?2, '$.id', ?1), ?3) RETURNING doc";
/// With the instant by which those of several shards are put in order.
pub(super) const LEADS_OF_STATUS: &str = "
    SELECT doc, doc ->> '$.created_at_ms' FROM leads WHERE doc ->> '$.status' = ?1 AND +written_ms <= ?3
    ORDER BY doc ->> '$.created_at_ms' DESC LIMIT ?2";
pub(super) const PRICE: &str = "SELECT doc ->> '$.price' FROM products WHERE id = ?1";
/// An operation that was given up may come to this late: its job has failed by then, and whoever asked was told so.
pub(super) const ADD_ORDER: &str = "
    INSERT OR IGNORE INTO orders (id, doc, written_ms) SELECT ?1, json_insert(?2, '$.id', ?1), ?3
    WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?2 ->> '$.job_id' AND state = 'failed') RETURNING doc";
pub(super) const ORDER: &str = "SELECT doc FROM orders WHERE id = ?1 AND +written_ms <= ?2";
pub(super) const ORDERS_BY_IDS: &str =
    "SELECT doc FROM orders WHERE id IN (SELECT value FROM json_each(?1)) AND +written_ms <= ?2";
pub(super) const ORDER_OF_JOB: &str = "SELECT doc FROM orders WHERE doc ->> '$.job_id' = ?1";

/// Keep the newest so many: a soak test must not fill the disk. Users who were there from the start were written at no time, and stay.
pub(super) const TRIM_USERS: &str = "DELETE FROM users INDEXED BY users_registered WHERE written_ms > 0 AND id <= (SELECT max(id) FROM users) - ?1";
pub(super) const TRIM_LEADS: &str = "DELETE FROM leads WHERE id <= (SELECT max(id) FROM leads) - ?1";
pub(super) const TRIM_ORDERS: &str = "DELETE FROM orders WHERE id <= (SELECT max(id) FROM orders) - ?1";

/// Puts away what went with a primary, and then takes it out of its collection. (That of the seed was written at no time.)
pub(super) fn roll_back(collection: &str) -> [String; 2] {
    let lost = format!("FROM {collection} WHERE written_ms > 0 AND written_ms > ?1 AND written_ms < ?2");
    [
        format!("INSERT OR REPLACE INTO rolled_back SELECT '{collection}', id, doc, written_ms {lost}"),
        format!("DELETE {lost}"),
    ]
}
/// None where it was done before.
pub(super) const ADD_ROLLBACK: &str = "INSERT OR IGNORE INTO rollbacks (after_ms, before_ms) VALUES (?1, ?2)";
/// The jobs whose orders are lost have failed after all.
pub(super) const LOSE_JOBS: &str = "
    UPDATE jobs SET state = 'failed', order_id = NULL, reason = 'the order was lost with a primary of the store'
    WHERE state = 'completed' AND order_id IN (SELECT id FROM orders WHERE written_ms > ?1 AND written_ms < ?2)";
/// A store that begins to be served begins with all well.
pub(super) const FORGET_OUTAGES: &str = "DELETE FROM outages; DELETE FROM rollbacks;";
pub(super) const TRIM_ROLLED_BACK: &str = "
    DELETE FROM rolled_back WHERE collection = ?1
        AND id <= (SELECT max(id) FROM rolled_back WHERE collection = ?1) - ?2";

/// An end after which nobody has died is left out.
pub(super) const ADD_OUTAGE: &str = "
    INSERT OR IGNORE INTO outages (at_ms, shard, for_ms) SELECT ?1, ?2, ?3 WHERE ?2 >= 0 OR EXISTS (
        SELECT 1 FROM outages WHERE shard >= 0
            AND at_ms >= (SELECT coalesce(max(at_ms), 0) FROM outages WHERE shard < 0))";
pub(super) const OUTAGES: &str = "SELECT at_ms, shard, for_ms FROM outages";

/// Over how many shards the documents are spread; zero while that is being changed.
pub(super) const SHARDS: &str = "SELECT shards FROM topology";
pub(super) const SPREAD_OVER: &str = "UPDATE topology SET shards = ?1";
/// Has the ids of a collection go on above all there are.
pub(super) fn count_on_from(collection: &str) -> String {
    format!(
        "UPDATE sequences SET last = max(last, (SELECT coalesce(max(id), 0) FROM {collection})) WHERE collection = '{collection}'"
    )
}
/// Puts away the users whose email another one with a lower id has, which no single server lets in.
pub(super) const PUT_AWAY_TWINS: &str = "
    INSERT OR REPLACE INTO rolled_back SELECT 'users', id, doc, written_ms FROM users
    WHERE id NOT IN (SELECT min(id) FROM users GROUP BY doc ->> '$.email');
    DELETE FROM users WHERE id NOT IN (SELECT min(id) FROM users GROUP BY doc ->> '$.email');";
pub(super) const NO_USERS_EMAIL: &str = "DROP INDEX IF EXISTS users_email";
