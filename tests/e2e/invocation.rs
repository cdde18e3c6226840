//! One call of the executable: its arguments, its bounded life, its words. Whatever happens to the test, the process does not outlive it.

use super::{executable, processes};
use rustix::process::Signal;
use std::ffi::OsStr;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a process that is waited for is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A call to be made, in the root of the repository, as the shipped examples are written.
pub(crate) struct Invocation {
    command: Command,
    limit: Duration,
}

/// `plimsoll ARGS`, given up after two minutes.
pub(crate) fn plimsoll<Arg: AsRef<OsStr>>(args: impl IntoIterator<Item = Arg>) -> Invocation {
    let mut command = Command::new(executable());
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1");
    Invocation { command, limit: Duration::from_secs(120) }
}

/// `plimsoll run` of a scenario of the tests.
pub(crate) fn run(scenario: &str) -> Invocation {
    plimsoll(["run"]).arg(Path::new("tests/e2e/scenarios").join(scenario))
}

/// Likewise, with its target at `addr`.
pub(crate) fn run_at(scenario: &str, addr: SocketAddr) -> Invocation {
    run(scenario).env("E2E_HTTP", format!("http://{addr}"))
}

impl Invocation {
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn out(self, dir: &Path) -> Self {
        self.arg("--out").arg(dir)
    }

    pub(crate) fn set(self, path: &str, value: impl std::fmt::Display) -> Self {
        self.arg("--set").arg(format!("{path}={value}"))
    }

    /// For tests of something else than the generator's own health: the machine of a test may be busy with other tests.
    pub(crate) fn on_a_busy_machine(self) -> Self {
        self.set(
            "safety.generator",
            "{dispatch_lag_p99: 10s, read_error_p99: 10s, cpu: 100%, run_queue: 100%}",
        )
    }

    pub(crate) fn dial(self, name: &str, value: impl std::fmt::Display) -> Self {
        self.arg("--dial").arg(format!("{name}={value}"))
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Started by another program, which is given the whole call as its last arguments: `taskset -c 0 plimsoll …`.
    pub(crate) fn under(mut self, program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).arg(self.command.get_program()).args(self.command.get_args());
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.command = command;
        self
    }

    /// The process is killed and the test fails after this time.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub(crate) fn start(mut self) -> Running {
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {:?}: {error}", self.command));
        let out = Gathered::from(child.stdout.take().unwrap());
        let err = Gathered::from(child.stderr.take().unwrap());
        Running { child, out, err, limit: self.limit }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Finished {
        self.start().finish()
    }
}

/// A process that is killed when the value is dropped.
pub(crate) struct Running {
    child: Child,
    out: Gathered,
    err: Gathered,
    limit: Duration,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        processes::signal(self.pid(), signal);
    }

    /// Waits until standard error holds `text`, and yields all of it.
    pub(crate) fn await_words(&mut self, text: &str) -> String {
        for _ in polls(self.limit) {
            let said = self.err.text();
            if said.contains(text) {
                return said;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("ended ({status}) before it said `{text}`:\n{}", self.err.text());
            }
            std::thread::sleep(POLL);
        }
        panic!("did not say `{text}` within {:?}:\n{}", self.limit, self.err.text());
    }

    /// Waits until `done` says so.
    pub(crate) fn await_until(&self, what: &str, mut done: impl FnMut() -> bool) {
        for _ in polls(self.limit) {
            if done() {
                return;
            }
            std::thread::sleep(POLL);
        }
        panic!("no {what} within {:?}:\n{}", self.limit, self.err.text());
    }

    /// Waits for the end by itself.
    pub(crate) fn finish(mut self) -> Finished {
        for _ in polls(self.limit) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Finished {
                    code: status.code(),
                    signal: status.signal(),
                    out: self.out.rest(),
                    err: self.err.rest(),
                };
            }
            std::thread::sleep(POLL);
        }
        panic!("not at its end within {:?}:\n{}\n{}", self.limit, self.out.text(), self.err.text());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn polls(limit: Duration) -> std::ops::Range<u128> {
    0..limit.as_millis() / POLL.as_millis()
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// Fails with everything that was said unless the exit code is this one.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "exit code; standard output:\n{}\nstandard error:\n{}",
            self.out,
            self.err
        );
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        assert!(
            self.out.contains(text) || self.err.contains(text),
            "`{text}` is missing; standard output:\n{}\nstandard error:\n{}",
            self.out,
            self.err
        );
    }
}

/// A pipe read to its end beside the test, so that a full pipe never holds up the process.
struct Gathered {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Gathered {
    fn from(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                kept.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn rest(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.text()
    }
}
