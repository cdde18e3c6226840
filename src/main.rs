//! The executable: hands the real process to the command line and ends with its exit code. Nothing else ends the process.

use cap::Cap;
use plimsoll::cli::{self, Process};
use std::alloc::System;
use std::io::IsTerminal as _;
use std::process::ExitCode;

// Counts what is allocated, without a limit: the heap of the bundled target-app, which is this executable started again.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn main() -> ExitCode {
    // One TLS provider for all of it: ring builds fast and is what the transport uses. It fails only if one is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    raise_file_limit();
    target_app::heap::counted_by(|| ALLOCATOR.allocated());
    let env = |name: &str| std::env::var(name).ok();
    let no_color = std::env::var_os("NO_COLOR").is_some();
    let mut process = Process {
        args: std::env::args_os().collect(),
        env: &env,
        color: std::io::stdout().is_terminal() && !no_color,
        terminal: std::io::stderr().is_terminal(),
        out: &mut std::io::stdout(),
        err: &mut std::io::stderr(),
        executable: std::env::current_exe().unwrap_or_else(|_| "plimsoll".into()),
    };
    ExitCode::from(cli::main(&mut process))
}

/// Every user is a descriptor, and so is every connection of the bundled target, which inherits the limit: take all the machine allows.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, running out of descriptors is told by name and makes the run invalid.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
