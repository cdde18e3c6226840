//! A server that speaks MongoDB's wire protocol, for the tests of the topic `mongodb`: SecantusDB, which `scripts/test.sh` installs.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use rustix::process::{Pid, Signal, kill_process};
use target_app::{Backend, Uri};

/// A running server; stopped when the test ends.
pub(crate) struct Server {
    child: Child,
    program: PathBuf,
    pub(crate) port: u16,
    /// The files of its databases.
    directory: tempfile::TempDir,
}

impl Server {
    /// None, with a word about it, where it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let Some(program) = installed() else {
            #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
            {
                eprintln!("skipped: there is no SecantusDB (scripts/test.sh integration installs it)");
            }
            return None;
        };
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let child = serve(&program, port, directory.path());
        let server = Self { child, program, port, directory };
        server.accepts().await;
        Some(server)
    }

    /// The URI of a database, with further options.
    pub(crate) fn uri(&self, database: &str, options: &str) -> String {
        format!("mongodb://127.0.0.1:{}/{database}?{options}", self.port)
    }

    pub(crate) fn backend(&self, database: &str, options: &str) -> Backend {
        let uri: Uri = self.uri(database, options).parse().unwrap();
        Backend::at(&uri).unwrap()
    }

    /// The client of somebody who looks in from outside.
    pub(crate) async fn client(&self) -> Client {
        Client::with_uri_str(self.uri("admin", "")).await.unwrap()
    }

    /// Every find takes so much longer from now on.
    pub(crate) async fn slow_down(&self, by_ms: i32) {
        let data = doc! {"failCommands": ["find"], "blockConnection": true, "blockTimeMS": by_ms};
        self.fail_point(doc! {"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data}).await;
    }

    pub(crate) async fn speed_up(&self) {
        self.fail_point(doc! {"configureFailPoint": "failCommand", "mode": "off"}).await;
    }

    async fn fail_point(&self, command: Document) {
        self.client().await.database("admin").run_command(command).await.unwrap();
    }

    /// Ends it, in good order if it does so while clients are there.
    pub(crate) async fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        for _ in 0..200 {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// With the files it had, on the port it had.
    pub(crate) async fn start_again(&mut self) {
        self.child = serve(&self.program, self.port, self.directory.path());
        self.accepts().await;
    }

    async fn accepts(&self) {
        for _ in 0..1_200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not listen");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Told to stop, it would wait for clients that a failed test has left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(program: &Path, port: u16, directory: &Path) -> Child {
    Command::new(program)
        .args([
            "--port",
            &port.to_string(),
            "--enable-test-commands",
            "--log-level",
            "ERROR",
            "--storage-path",
        ])
        .arg(directory)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// `$SECANTUSD`, or that of a virtual environment in `target`.
fn installed() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("SECANTUSD") {
        return Some(program.into());
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let environments = std::fs::read_dir(target).ok()?.flatten();
    let ours = environments.filter(|entry| entry.file_name().to_string_lossy().starts_with("secantusdb-"));
    ours.map(|entry| entry.path().join("bin/secantusd-py")).find(|program| program.is_file())
}
