//! Backups of the embedded store: one gzip file of a database that is as it was at one instant, while the store is served and
//! written to, and the way back.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use rusqlite::Connection;

use super::files::{FilesError, check, found_in};
use super::{schema, sharding};

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    pub products: u32,
    pub users: u32,
    pub leads: u32,
    pub orders: u32,
    /// Of the file that was written.
    pub bytes: u64,
}

/// Writes the store of a directory into a new file, the documents of all shards together. Everything that was acknowledged before is in it, and whatever comes
/// meanwhile is in it as a whole or not at all: `VACUUM INTO` reads in one transaction, and in WAL mode keeps nobody from writing. Of several
/// shards each is of an instant of its own, as it is with a dump of MongoDB's; no document is on two of them.
pub fn back_up(directory: &Path, to: &Path) -> Result<Contents, FilesError> {
    let file = found_in(directory)?;
    if to.exists() {
        return Err(FilesError::BackupExists(to.to_owned()));
    }
    let failed = |source| FilesError::Io { path: to.to_owned(), source };
    // Beside the file, so that it gets its name in one step, and only when it is whole.
    let beside = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let scratch = tempfile::Builder::new().prefix(".backup-").tempdir_in(beside).map_err(failed)?;
    let copy = scratch.path().join("copy.sqlite");
    copy_whole(&file, &copy)?;
    gather(&file, &copy)?;
    let mut contents = sound(&copy)?;
    let zipped = tempfile::NamedTempFile::new_in(beside).map_err(failed)?;
    let zip = || {
        let mut encoder = GzEncoder::new(BufWriter::new(zipped.as_file()), Compression::default());
        io::copy(&mut File::open(&copy)?, &mut encoder)?;
        encoder.finish()?.flush()?;
        zipped.as_file().sync_all()?;
        Ok(zipped.as_file().metadata()?.len())
    };
    contents.bytes = zip().map_err(failed)?;
    match zipped.persist_noclobber(to) {
        Ok(_) => Ok(contents),
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(FilesError::BackupExists(to.to_owned()))
        }
        Err(e) => Err(failed(e.error)),
    }
}

fn copy_whole(file: &Path, copy: &Path) -> Result<(), FilesError> {
    let failed = |source| FilesError::Sqlite { path: file.to_owned(), source };
    let connection = Connection::open(file).map_err(failed)?;
    connection.execute_batch(schema::PRAGMAS).map_err(failed)?;
    connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).map(drop).map_err(failed)
}

/// Takes what the other shards of a store have into the copy of the first.
fn gather(file: &Path, copy: &Path) -> Result<(), FilesError> {
    let failed = |source| FilesError::Sqlite { path: copy.to_owned(), source };
    let connection = Connection::open(copy).map_err(failed)?;
    let spreading = || FilesError::Spreading(file.to_owned());
    let others = sharding::whole(&connection, file)?.ok_or_else(spreading)?;
    sharding::gather(&connection, &others).map_err(failed)?;
    // Nobody has begun to spread them anew meanwhile.
    let now = sharding::whole(&Connection::open(file).map_err(failed)?, file)?;
    now.filter(|now| *now == others).ok_or_else(spreading)?;
    connection.execute(schema::SPREAD_OVER, [1]).map_err(failed)?;
    connection.execute_batch(schema::FORGET_OUTAGES).map_err(failed)
}

/// Unpacks a backup as this file, which appears only when it is whole and sound.
pub(super) fn restore(backup: &Path, file: &Path) -> Result<(), FilesError> {
    let failed = |source| FilesError::Io { path: backup.to_owned(), source };
    let packed = BufReader::new(File::open(backup).map_err(failed)?);
    let unpacked = file.with_extension("restoring");
    let result = (|| {
        let mut out =
            File::create(&unpacked).map_err(|source| FilesError::Io { path: unpacked.clone(), source })?;
        io::copy(&mut GzDecoder::new(packed), &mut out).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                FilesError::NotABackup(backup.to_owned())
            }
            io::ErrorKind::UnexpectedEof => damaged(backup, "it is cut short"),
            _ => failed(e),
        })?;
        sound(&unpacked).map_err(|e| about(backup, e))?;
        fs::rename(&unpacked, file).map_err(|source| FilesError::Io { path: file.to_owned(), source })
    })();
    if result.is_err() {
        // It is of no use, and there may be none.
        let _ = fs::remove_file(&unpacked);
    }
    result
}

/// Whether a file that nobody else has is one of ours and whole, and what is in it.
fn sound(file: &Path) -> Result<Contents, FilesError> {
    check(file)?;
    let failed = |source| FilesError::Sqlite { path: file.to_owned(), source };
    let connection = Connection::open(file).map_err(failed)?;
    let judged: Result<String, _> = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    match judged.map_err(failed)?.as_str() {
        "ok" => {}
        damage => return Err(damaged(file, damage)),
    }
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get::<_, u32>(0)).map_err(failed)
    };
    Ok(Contents {
        products: count("products")?,
        users: count("users")?,
        leads: count("leads")?,
        orders: count("orders")?,
        bytes: 0,
    })
}

fn damaged(path: &Path, damage: &str) -> FilesError {
    FilesError::Damaged { path: path.to_owned(), damage: damage.to_owned() }
}

/// What is wrong with the file that was unpacked is wrong with the backup.
fn about(backup: &Path, error: FilesError) -> FilesError {
    let path = backup.to_owned();
    match error {
        FilesError::NotAStore(_) => FilesError::NotABackup(path),
        FilesError::OtherVersion { version, .. } => FilesError::OtherVersion { path, version },
        FilesError::Damaged { damage, .. } => FilesError::Damaged { path, damage },
        FilesError::Sqlite { source, .. } => FilesError::Damaged { path, damage: source.to_string() },
        other => other,
    }
}
