//! The stand-alone binary of the bundled system under load; all it does is in `cli`.

use std::alloc::System;
use std::io::Write;
use std::process::ExitCode;

use cap::Cap;
use clap::Parser;
use target_app::cli::{Command, Surroundings};

/// Counts what is allocated, without a limit: the heap metrics.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The bundled system under load: a shop backend whose every limit is a dial
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    target_app::heap::counted_by(|| ALLOCATOR.allocated());
    let around = Surroundings {
        out: &mut std::io::stdout(),
        err: &mut std::io::stderr(),
        executable: std::env::current_exe().unwrap_or_else(|_| "target-app".into()),
        serve_words: &["serve"],
    };
    match Cli::parse().command.run(around) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere left to say that standard error cannot be written to.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
