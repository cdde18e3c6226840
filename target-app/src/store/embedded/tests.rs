//! The words of the store find what they look for as they should.

use rusqlite::Connection;

use super::super::{schema, seed};
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
    assert!(by_status.contains("leads_status_created") && !by_status.contains("TEMP B-TREE"), "{by_status}");
    assert!(plan(&db, schema::CREDENTIALS).contains("users_email"));
    assert!(plan(&db, schema::ORDER_OF_JOB).contains("orders_job"));
    assert!(plan(&db, schema::TRIM_USERS).contains("users_registered (id<?)"));
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
