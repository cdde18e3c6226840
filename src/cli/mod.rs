//! The command line: one file a command, the process (arguments, streams, environment, interrupts) as a parameter, so that a test runs it
//! in process. Only `main.rs` ends the process; only here and in `live` is anything printed.

mod agent;
mod args;
mod chart;
mod check;
mod doctor;
mod explain;
mod fit;
mod input;
mod load;
mod process;
mod report;
mod run;
mod solve;
mod target;
mod trace;
mod what_if;

pub use process::Process;

use args::{Cli, Command};
use clap::Parser as _;

/// Exit codes: a published contract, listed in `docs/exit-codes.md`.
pub mod exit {
    pub const OK: u8 = 0;
    pub const FAILED: u8 = 1;
    /// A file that does not hold, or wrong usage.
    pub const USAGE: u8 = 2;
    /// The target could not be reached.
    pub const TARGET_LOST: u8 = 8;
    /// The tool's own input or output failed.
    pub const IO: u8 = 9;
}

/// Runs one command line to its end and yields the exit code.
pub fn main(process: &mut Process<'_>) -> u8 {
    // The reference of the language is a page, not a command: it stands where people look for help.
    if process.args.get(1).is_some_and(|word| word == "help")
        && process.args.get(2).is_some_and(|word| word == "scenario")
    {
        return process.print(crate::scenario::REFERENCE);
    }
    let cli = match Cli::try_parse_from(&process.args) {
        Ok(cli) => cli,
        Err(error) => {
            let text =
                if process.color { error.render().ansi().to_string() } else { error.render().to_string() };
            return if error.use_stderr() {
                process.complain(&text);
                exit::USAGE
            } else {
                process.print(&text)
            };
        }
    };
    match cli.command {
        Command::Run(args) => run::run(process, &args),
        Command::Find(args) => what_if::find(process, &args),
        Command::Predict(args) => what_if::predict(process, &args),
        Command::Check(args) => check::check(process, &args),
        Command::Explain(args) => explain::explain(process, &args),
        Command::Trace(args) => trace::trace(process, &args),
        Command::Doctor(args) => doctor::doctor(process, &args),
        Command::Report(args) => report::report(process, &args),
        Command::Fit(command) => fit::fit(process, &command),
        Command::Solve(args) => solve::solve(process, &args),
        Command::Target(command) => target::target(process, command),
        Command::Agent => agent::agent(process),
        Command::Schema => check::schema(process),
    }
}
