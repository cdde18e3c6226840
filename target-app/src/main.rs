//! The stand-alone binary of the bundled system under load; all it does is in `cli`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use target_app::cli::{Command, Surroundings};

/// The allocator whose statistics the heap metrics are.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The bundled system under load: a shop backend whose every limit is a dial
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
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
