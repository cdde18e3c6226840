//! The ids of new documents: counted in one place for all shards, since the id of a user decides on its shard. A driver makes them itself, so none
//! of this takes a pooled connection.

use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::super::{StoreError, schema};

pub(super) struct Ids(Mutex<Connection>);

impl Ids {
    pub(super) fn over(connection: Connection) -> Self {
        Self(Mutex::new(connection))
    }

    /// The next id of a collection.
    pub(super) fn next(&self, collection: &str) -> Result<u32, StoreError> {
        // The statement is whole or was not.
        let db = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(db.prepare_cached(schema::NEXT_ID)?.query_row([collection], |row| row.get(0))?)
    }
}
