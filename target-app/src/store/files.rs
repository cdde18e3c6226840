//! Where the files of the embedded store live, one for each shard: in a directory that goes with the app, or in one that somebody named and that stays. A
//! file that is there is served as it is, if it is one of ours; one that another process serves is left alone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::topology::Topology;
use super::{StoreError, backup, embedded, schema, sharding};
use crate::profile::Dials;

/// The file of the store in its directory.
const FILE: &str = "shop.sqlite";
/// Locked by whoever serves a directory. The database's own file cannot say it: all replicas of a fleet have it open, and a backup too.
const LOCK: &str = "served.lock";

/// Which files an embedded store has.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Stays when the app ends; without it there is one that goes.
    pub directory: Option<PathBuf>,
    /// The backup it starts from.
    pub restored_from: Option<PathBuf>,
}

/// Why there is no such store.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("{0} is served by another process")]
    InUse(PathBuf),
    #[error(
        "{0} holds a store already: restore into another directory, or leave --restore out to serve what is there"
    )]
    Full(PathBuf),
    #[error("{0} holds no store: there is no {FILE} in it")]
    Empty(PathBuf),
    #[error("{path} is missing: the store has {shards} shards, a file each")]
    Missing { path: PathBuf, shards: u32 },
    #[error("{path} is there and {first} is not: it is a shard of a store whose first file is missing")]
    Orphan { path: PathBuf, first: PathBuf },
    #[error("{0} is about to be spread over another number of shards: try again")]
    Spreading(PathBuf),
    #[error("{0} is not the file of a store")]
    NotAStore(PathBuf),
    #[error("{path} is a store of version {version}, and this build reads version {}", schema::VERSION)]
    OtherVersion { path: PathBuf, version: i64 },
    #[error("{path} is damaged: {damage}")]
    Damaged { path: PathBuf, damage: String },
    #[error("{0} is not a backup: no gzip file of a store")]
    NotABackup(PathBuf),
    #[error("{0} is there already, and a backup is never written over")]
    BackupExists(PathBuf),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Sqlite { path: PathBuf, source: rusqlite::Error },
}

/// The store's files, there and filled, and what has to be held as long as it is served.
pub(crate) struct Home {
    file: PathBuf,
    _temporary: Option<TempDir>,
    _lock: Option<File>,
}

impl Home {
    /// That of the first shard.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

impl Files {
    /// The first shard's file as a replica finds it that its supervisor has prepared; `shared` is the directory of the fleet.
    pub(super) fn of_fleet(&self, shared: &Path) -> PathBuf {
        self.directory.as_deref().unwrap_or(shared).join(FILE)
    }

    /// Makes and fills the files if need be. `shared` is the directory of a fleet, which goes when that ends.
    pub(super) fn prepare(&self, shared: Option<&Path>, dials: &Dials) -> Result<Home, StoreError> {
        let (temporary, lock) = match (&self.directory, shared) {
            (Some(named), _) => (None, Some(locked(named)?)),
            (None, Some(_)) => (None, None),
            (None, None) => {
                let temporary = tempfile::Builder::new().prefix("target-app-").tempdir();
                (Some(temporary.map_err(|e| StoreError::Backend(e.to_string()))?), None)
            }
        };
        let made = temporary.as_ref().map(TempDir::path);
        let directory = self.directory.as_deref().or(shared).or(made).unwrap_or_else(|| Path::new("."));
        let file = directory.join(FILE);
        if !file.exists() {
            if let Some(path) = sharding::others(&file).into_iter().next() {
                return Err(FilesError::Orphan { path, first: file }.into());
            }
            forget_log(&file);
        }
        match (&self.restored_from, file.exists()) {
            (Some(_), true) => return Err(FilesError::Full(directory.to_owned()).into()),
            (Some(backup), false) => backup::restore(backup, &file)?,
            (None, true) => check(&file)?,
            (None, false) => embedded::create(&file, dials)?,
        }
        let topology = Topology::of(&dials.mongodb);
        sharding::spread(&file, topology)?;
        for shard in 0..topology.shards {
            embedded::begin(&shard_file(&file, shard), dials)?;
        }
        Ok(Home { file, _temporary: temporary, _lock: lock })
    }
}

/// The directory, made if need be, for this process alone until the file is dropped.
fn locked(directory: &Path) -> Result<File, FilesError> {
    let failed = |source| FilesError::Io { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    let lock = File::create(directory.join(LOCK)).map_err(failed)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(FilesError::InUse(directory.to_owned())),
        Err(e) => Err(failed(e.into())),
    }
}

/// The file of a shard beside that of the first: `shop-1.sqlite` beside `shop.sqlite`.
pub(super) fn shard_file(first: &Path, shard: usize) -> PathBuf {
    match shard {
        0 => first.to_owned(),
        _ => first.with_file_name(format!("shop-{shard}.sqlite")),
    }
}

/// Takes a database away, and its log before it.
pub(super) fn forget(file: &Path) -> io::Result<()> {
    forget_log(file);
    fs::remove_file(file)
}

/// The log of a database that somebody took away would be taken for that of the next one.
pub(super) fn forget_log(file: &Path) {
    for suffix in ["-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        // Most often there is none.
        let _ = fs::remove_file(name);
    }
}

/// The first file of the store in this directory, if it is one of ours.
pub(super) fn found_in(directory: &Path) -> Result<PathBuf, FilesError> {
    let file = directory.join(FILE);
    if !file.is_file() {
        return Err(FilesError::Empty(directory.to_owned()));
    }
    check(&file).map(|()| file)
}

/// Whether this is the file of a store that this build can read.
pub(super) fn check(file: &Path) -> Result<(), FilesError> {
    let path = || file.to_owned();
    let marks = || {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mark = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        Ok((mark("application_id")?, mark("user_version")?))
    };
    match marks() {
        Ok((schema::APPLICATION_ID, schema::VERSION)) => Ok(()),
        Ok((schema::APPLICATION_ID, version)) => Err(FilesError::OtherVersion { path: path(), version }),
        Ok(_) => Err(FilesError::NotAStore(path())),
        Err(e) => match rusqlite::Error::sqlite_error_code(&e) {
            Some(rusqlite::ErrorCode::NotADatabase) => Err(FilesError::NotAStore(path())),
            _ => Err(FilesError::Sqlite { path: path(), source: e }),
        },
    }
}
