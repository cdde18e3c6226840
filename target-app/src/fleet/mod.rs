//! A fleet: several replicas of one profile on one address, each a process of its own, under a supervisor. The kernel deals
//! the connections out (SO_REUSEPORT); the replicas share one store, as those of the shop share one MongoDB, and answer
//! `/metrics` for all of them together. Beside them there may be processes of other roles (see [`Role`]), kept alive alike.
//!
//! The supervisor keeps a private directory: the store's file, its own socket for the figures of the fleet
//! (`fleet.sock`), one for those of each process (`replica-N.sock`) and a file that it leaves with its last ones (`replica-N.figures`), for each replica and
//! Redis node a socket on which it is told what is to go wrong (`orders-replica-N.sock`); and under TLS the certificate that all replicas show, with its key.

mod address;
mod autoscaler;
mod crew;
mod figures;
mod keeper;
mod link;
mod place;
mod restarts;
mod roll;
mod supervisor;

pub use self::keeper::Launch;
pub(crate) use self::link::accept;
pub use self::place::{Place, Role};
pub use self::restarts::FailingProcess;
pub use self::supervisor::{FleetError, Order, supervise};

use std::io;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Replicas of one fleet; the kernel's choice among sockets of one port, and this machine, are no use beyond it.
pub const REPLICAS_MAX: u32 = 64;

/// The variable by which a process is told of Redis: in the arguments everybody on the machine could read a password.
pub const REDIS_URLS: &str = "TARGET_REDIS_URLS";

/// The variable by which the gateway is told where the replicas listen.
pub const GATEWAY_UPSTREAM: &str = "TARGET_GATEWAY_UPSTREAM";

/// What makes a process one of a fleet.
#[derive(Clone, Debug)]
pub struct Membership {
    place: Place,
    directory: PathBuf,
}

impl Membership {
    pub fn new(place: Place, directory: PathBuf) -> Self {
        Self { place, directory }
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The directory of the fleet, in which its store is if it has no directory of its own.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The certificate that all replicas show, and its key.
    pub(crate) fn identity_files(&self) -> (PathBuf, PathBuf) {
        identity_files(&self.directory)
    }

    /// Where this replica keeps its audit log when nobody says where.
    pub(crate) fn audit_file(&self) -> PathBuf {
        self.directory.join(format!("audit-{}.jsonl", self.place.number))
    }

    /// The socket this process gives its own figures on.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        bind_anew(figures_socket(&self.directory, self.place))
    }

    /// The socket this process is told on what is to go wrong.
    pub(crate) fn listen_for_orders(&self) -> io::Result<UnixListener> {
        bind_anew(orders_socket(&self.directory, self.place))
    }

    /// Leaves the last figures of this process for its keeper, so that nothing is lost which it counted while it drained. Where that fails, the
    /// fleet counts it with what it said last.
    pub(crate) fn leave_figures(&self, text: &str) {
        let _ = std::fs::write(left_figures(&self.directory, self.place), text);
    }

    /// The metrics of all processes together, in Prometheus text.
    pub(crate) async fn figures_of_all(&self) -> io::Result<String> {
        link::ask(&fleet_socket(&self.directory)).await
    }

    /// The metrics of one replica.
    pub(crate) async fn figures_of(&self, number: u32) -> io::Result<String> {
        link::ask(&figures_socket(&self.directory, Place { number, ..self.place })).await
    }

    /// Clears up after a supervisor that was killed and could not. Every replica tries; whoever comes first succeeds.
    pub fn clear_up(&self) {
        // A sibling may have done it, and there is no one left to tell of anything else.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Answers each connection with the text that `figures` makes.
pub(crate) async fn give_figures(listener: UnixListener, figures: impl Fn() -> String) {
    loop {
        let connection = accept(&listener).await;
        link::answer(connection, &figures()).await;
    }
}

/// A replica that died leaves its sockets behind.
fn bind_anew(socket: PathBuf) -> io::Result<UnixListener> {
    match std::fs::remove_file(&socket) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => UnixListener::bind(socket),
    }
}

fn identity_files(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.join("certificate.pem"), directory.join("key.pem"))
}

fn fleet_socket(directory: &Path) -> PathBuf {
    directory.join("fleet.sock")
}

fn figures_socket(directory: &Path, place: Place) -> PathBuf {
    directory.join(format!("{}.sock", place.stem()))
}

/// Read once the process has ended.
fn left_figures(directory: &Path, place: Place) -> PathBuf {
    directory.join(format!("{}.figures", place.stem()))
}

fn orders_socket(directory: &Path, place: Place) -> PathBuf {
    directory.join(format!("orders-{}.sock", place.stem()))
}
