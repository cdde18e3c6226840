//! The keeper of one process of a fleet: starts it, says when it serves, starts another when it ended, and ends it when the
//! fleet stops. The process watches its standard input, which the kernel closes even for a supervisor that was killed.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::place::Place;
use super::restarts::{FailingProcess, Life, Restarts};
use super::roll::Roll;
use super::{figures_socket, left_figures, orders_socket};
use crate::clock;
use crate::lock::lock;

/// From its start to its first word.
const START_MAX: Duration = Duration::from_secs(15);
/// What a process may take to end beyond the time it has for its requests.
const END_SLACK: Duration = Duration::from_secs(2);
/// Of what it says on standard error, the end is kept.
const WORDS_MAX_BYTES: usize = 1024;

/// How a process of this very program is started.
#[derive(Clone, Debug)]
pub struct Launch {
    pub executable: PathBuf,
    /// Everything but the address and the place.
    pub arguments: Vec<OsString>,
}

/// All that one keeper needs.
pub(super) struct Keeper {
    pub(super) place: Place,
    pub(super) launch: Launch,
    pub(super) address: SocketAddr,
    pub(super) environment: Vec<(&'static str, String)>,
    pub(super) directory: PathBuf,
    pub(super) drain: Duration,
    pub(super) roll: Roll,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// What a keeper tells the supervisor.
#[derive(Debug)]
pub(super) enum Event {
    /// All processes serve, for the first time.
    Complete,
    /// For people.
    Note(String),
}

/// A started process.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    words: Arc<Mutex<Vec<u8>>>,
}

impl Keeper {
    /// Keeps the process alive until the fleet stops; fails when it dies at once, time and again.
    pub(super) async fn keep(mut self) -> (Place, Result<(), FailingProcess>) {
        let kept = self.keep_alive().await;
        (self.place, kept)
    }

    async fn keep_alive(&mut self) -> Result<(), FailingProcess> {
        let mut restarts = Restarts::default();
        loop {
            let started = clock::now();
            let mut served = false;
            let how = match self.start() {
                Ok(mut process) => match self.attend(&mut process, &mut served).await {
                    Some(how) => how,
                    None => {
                        // Of one that is let go nobody should wait for an answer.
                        let _ = std::fs::remove_file(figures_socket(&self.directory, self.place));
                        // A gateway has none.
                        let _ = std::fs::remove_file(orders_socket(&self.directory, self.place));
                        return Ok(());
                    }
                },
                Err(e) => format!("no process: {e}"),
            };
            let life = Life { lasted: clock::now().duration_since(started), served };
            let Some(pause) = restarts.ended(life) else {
                return Err(FailingProcess { process: self.place.words(), how });
            };
            let note = format!(
                "{} ended with {how}; starting it again in {} ms",
                self.place.words(),
                pause.as_millis()
            );
            // Full only when many die at once, and then the first few notes say enough.
            let _ = self.events.try_send(Event::Note(note));
            tokio::select! {
                () = sleep(pause) => self.roll.restarted(),
                _ = self.stopping.wait_for(|stopping| *stopping) => return Ok(()),
            }
        }
    }

    fn start(&self) -> std::io::Result<Process> {
        let mut command = Command::new(&self.launch.executable);
        command
            .args(&self.launch.arguments)
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .args(["--exit-with-stdin", "--listen", &self.address.to_string()])
            .args(["--place", &self.place.to_string(), "--fleet"])
            .arg(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Control-C in a terminal is for the supervisor, which then ends its processes.
            .process_group(0);
        let mut child = command.spawn()?;
        let words = Arc::new(Mutex::new(Vec::new()));
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(keep_last_words(stderr, Arc::clone(&words)));
        }
        Ok(Process { stdin: child.stdin.take(), child, words })
    }

    /// Lets the process serve until it ends, and tells how it did; none when it was ended because the fleet stops.
    async fn attend(&mut self, process: &mut Process, served: &mut bool) -> Option<String> {
        let mut stopping = self.stopping.clone();
        let stopped = async { drop(stopping.wait_for(|stopping| *stopping).await) };
        let ended = tokio::select! {
            status = self.serve(process, served) => Some(status),
            () = stopped => None,
        };
        if ended.is_none() {
            self.roll.leaves(self.place);
            process.end(self.drain + END_SLACK).await;
        }
        let left = left_figures(&self.directory, self.place);
        self.roll.died(self.place, std::fs::read_to_string(&left).ok());
        // It is not there where the process was killed.
        let _ = std::fs::remove_file(left);
        match ended {
            Some(status) => Some(process.how(status).await),
            None => None,
        }
    }

    async fn serve(&self, process: &mut Process, served: &mut bool) -> std::io::Result<ExitStatus> {
        let stdout = process.child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        let mut out = BufReader::new(stdout).lines();
        match timeout(START_MAX, out.next_line()).await {
            Ok(Ok(Some(_))) => {
                *served = true;
                if self.roll.ready(self.place) {
                    // The supervisor listens as long as there is a keeper.
                    let _ = self.events.send(Event::Complete).await;
                }
            }
            // It is ending.
            Ok(_) => {}
            Err(_) => process.child.start_kill()?,
        }
        process.child.wait().await
    }
}

impl Process {
    /// Closes its standard input, and kills it when it does not end then.
    async fn end(&mut self, patience: Duration) {
        drop(self.stdin.take());
        if timeout(patience, self.child.wait()).await.is_err() {
            // Fails when it has ended in this moment.
            let _ = self.child.kill().await;
        }
    }

    async fn how(&self, status: std::io::Result<ExitStatus>) -> String {
        // Its last words are on their way through the pipe.
        tokio::task::yield_now().await;
        let words = lock(&self.words);
        let words = String::from_utf8_lossy(&words).trim().replace('\n', " / ");
        let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
        if words.is_empty() { status } else { format!("{status}, saying: {words}") }
    }
}

async fn keep_last_words(mut stderr: ChildStderr, words: Arc<Mutex<Vec<u8>>>) {
    let mut bytes = [0; 256];
    while let Ok(count) = stderr.read(&mut bytes).await {
        if count == 0 {
            break;
        }
        let mut words = lock(&words);
        words.extend_from_slice(&bytes[..count]);
        let excess = words.len().saturating_sub(WORDS_MAX_BYTES);
        words.drain(..excess);
    }
}
