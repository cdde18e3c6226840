//! What has befallen the servers, in the first shard's file, for those processes of a fleet that were not told: a fleet's listener writes it down before
//! it tells anybody, and everybody looks now and then. It is of one fleet: the next one begins with all well.

use std::path::Path;

use rusqlite::{Connection, Row, params};

use super::super::{StoreError, schema};
use super::{connect, int};
use crate::faults::Outage;

/// In the table, whose end it is.
const ALL_SHARDS: i64 = -1;

/// Writes one down.
pub(crate) fn keep_outage(file: &Path, outage: Outage) -> Result<(), StoreError> {
    let (shard, for_ms) = match outage {
        Outage::Death { shard, for_ms, .. } => (i64::from(shard), int(for_ms)),
        Outage::End { .. } => (ALL_SHARDS, 0),
    };
    connect(file)?.execute(schema::ADD_OUTAGE, params![int(outage.at_ms()), shard, for_ms])?;
    Ok(())
}

/// All that were written down.
pub(super) fn kept(connection: &Connection) -> rusqlite::Result<Vec<Outage>> {
    let outage = |row: &Row<'_>| {
        let (at_ms, for_ms): (i64, i64) = (row.get(0)?, row.get(2)?);
        let (at_ms, for_ms) = (at_ms.unsigned_abs(), for_ms.unsigned_abs());
        Ok(match u32::try_from(row.get::<_, i64>(1)?) {
            Ok(shard) => Outage::Death { at_ms, shard, for_ms },
            Err(_) => Outage::End { at_ms },
        })
    };
    connection.prepare_cached(schema::OUTAGES)?.query_map([], outage)?.collect()
}
