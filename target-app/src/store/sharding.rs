//! How documents come to their shards: users by the hash of their id, leads in ranges of the time they were created. A store that is next served with
//! another number of shards is spread anew; while it is served nothing moves, where MongoDB's balancer would move the older leads away from
//! the shard that takes the new ones.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::embedded::{connect, create_empty};
use super::files::{forget, forget_log, shard_file};
use super::topology::{SHARDS_MAX, Topology};
use super::{FilesError, StoreError, files, schema};

/// What can be on another shard than the first.
const SPREAD: [&str; 3] = ["users", "leads", "rolled_back"];

/// Brings the documents of a store to as many shards as there are to be. If this ends half-way, the next one begins anew: what is in two files by
/// then is not taken twice.
pub(super) fn spread(first: &Path, topology: Topology) -> Result<(), StoreError> {
    let connection = connect(first)?;
    let others = match whole(&connection, first)? {
        Some(others) if others.len() + 1 == topology.shards => return Ok(()),
        Some(others) => others,
        None => others(first),
    };
    connection.execute(schema::SPREAD_OVER, [0])?;
    gather(&connection, &others)?;
    for other in others {
        forget(&other).map_err(|source| FilesError::Io { path: other, source })?;
    }
    // From the last one, which takes the newest leads.
    for shard in (1..topology.shards).rev() {
        give(&connection, &shard_file(first, shard), shard, topology)?;
    }
    connection.execute(schema::SPREAD_OVER, [topology.shards as u32])?;
    Ok(())
}

/// The files of the other shards, if all of them are there and ours; none where somebody is about to spread the documents, or was cut off.
pub(super) fn whole(connection: &Connection, first: &Path) -> Result<Option<Vec<PathBuf>>, FilesError> {
    let failed = |source| FilesError::Sqlite { path: first.to_owned(), source };
    let shards: u32 = connection.query_row(schema::SHARDS, [], |row| row.get(0)).map_err(failed)?;
    if shards == 0 {
        return Ok(None);
    }
    let files: Vec<_> = (1..shards as usize).map(|shard| shard_file(first, shard)).collect();
    if let Some(path) = files.iter().find(|file| !file.exists()).cloned() {
        return Err(FilesError::Missing { path, shards });
    }
    files.iter().try_for_each(|file| files::check(file))?;
    Ok(Some(files))
}

/// The files of other shards that there are.
pub(super) fn others(first: &Path) -> Vec<PathBuf> {
    (1..SHARDS_MAX).map(|shard| shard_file(first, shard)).filter(|file| file.exists()).collect()
}

/// Takes what other shards have into this one. Of users with one email, which two shards can let in, the first one stays.
pub(super) fn gather(into: &Connection, others: &[PathBuf]) -> rusqlite::Result<()> {
    into.execute(schema::NO_USERS_EMAIL, [])?;
    for other in others {
        // In one transaction, and so as of one instant.
        beside(into, other, || {
            let copy = |table| format!("INSERT OR IGNORE INTO main.{table} SELECT * FROM other.{table};");
            into.execute_batch(&format!("BEGIN; {} COMMIT;", SPREAD.map(copy).concat()))
        })?;
    }
    if !others.is_empty() {
        into.execute_batch(schema::PUT_AWAY_TWINS)?;
    }
    // What came from another file may be newer than what was counted in this one.
    ["users", "leads", "orders"]
        .iter()
        .try_for_each(|collection| into.execute(&schema::count_on_from(collection), []).map(drop))
}

/// Gives a shard what is its own, where those behind it have theirs: of the leads that are left, those of the last range.
fn give(from: &Connection, file: &Path, shard: usize, topology: Topology) -> Result<(), StoreError> {
    // It gets its name when it is one of ours.
    let making = file.with_extension("making");
    let _ = forget(&making);
    drop(create_empty(&making)?);
    forget_log(file);
    fs::rename(&making, file).map_err(|source| FilesError::Io { path: file.to_owned(), source })?;
    let ranges = shard + 1;
    let own = [
        ("users", format!("SELECT id FROM main.users WHERE {} = {shard}", topology.shard_of_user_sql())),
        (
            "leads",
            format!(
                "SELECT id FROM (SELECT id, ntile({ranges}) OVER (ORDER BY doc ->> '$.created_at_ms', id) AS turn
                 FROM main.leads) WHERE turn = {ranges}"
            ),
        ),
    ];
    Ok(beside(from, file, || {
        own.iter().try_for_each(|(table, ids)| {
            let copy = format!("INSERT INTO other.{table} SELECT * FROM main.{table} WHERE id IN ({ids})");
            from.execute(&copy, [])?;
            let gone = format!("DELETE FROM main.{table} WHERE id IN (SELECT id FROM other.{table})");
            from.execute(&gone, []).map(drop)
        })
    })?)
}

/// Works with a connection to one file that sees another one as well, by the name of `other`.
fn beside(
    connection: &Connection,
    other: &Path,
    work: impl FnOnce() -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    connection.execute("ATTACH ?1 AS other", [other.to_string_lossy()])?;
    let worked = work();
    connection.execute("DETACH other", [])?;
    worked
}
