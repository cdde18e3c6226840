//! The stand-alone binary of the bundled system under load; all it does is in `cli`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use target_app::cli::Command;

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
    match Cli::parse().command.run(&mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere left to say that standard error cannot be written to.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
