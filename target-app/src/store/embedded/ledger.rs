//! What all shards have in common, in the first one's file: the ids of new documents, since the id of a user decides on its shard, and what has
//! befallen their servers. A driver makes ids itself, so none of this takes a pooled connection.

use std::sync::{Mutex, MutexGuard};

use rusqlite::Connection;

use super::super::{StoreError, schema};
use super::outages;
use crate::faults::Outage;
use crate::lock::lock;

pub(super) struct Ledger(Mutex<Connection>);

impl Ledger {
    pub(super) fn over(connection: Connection) -> Self {
        Self(Mutex::new(connection))
    }

    /// The next id of a collection.
    pub(super) fn next_id(&self, collection: &str) -> Result<u32, StoreError> {
        let db = self.connection();
        Ok(db.prepare_cached(schema::NEXT_ID)?.query_row([collection], |row| row.get(0))?)
    }

    pub(super) fn outages(&self) -> Result<Vec<Outage>, StoreError> {
        Ok(outages::kept(&self.connection())?)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // Each statement is whole or was not.
        lock(&self.0)
    }
}
