//! The process as a value: what a command may read of its surroundings and where it may write.

use super::exit;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

pub struct Process<'a> {
    /// Arguments, the program's name first.
    pub args: Vec<OsString>,
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    pub out: &'a mut (dyn Write + Send),
    pub err: &'a mut (dyn Write + Send),
    /// Standard output takes ANSI colors.
    pub color: bool,
    /// Standard error is a terminal on which a line can be rewritten.
    pub terminal: bool,
    /// The executable that serves the bundled target.
    pub executable: PathBuf,
}

impl Process<'_> {
    /// Prints a result; a reader that has gone away is an I/O failure of its own.
    pub fn print(&mut self, text: &str) -> u8 {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => exit::OK,
            // `plimsoll … | head` is no failure of ours.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => exit::OK,
            Err(_) => exit::IO,
        }
    }

    /// Prints a result as one JSON document.
    pub fn print_json(&mut self, value: &impl serde::Serialize) -> u8 {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.print(&(text + "\n")),
            Err(error) => {
                self.complain(&format!("plimsoll: {error}"));
                exit::IO
            }
        }
    }

    /// Says what went wrong. If even that cannot be written, the exit code still says it.
    pub fn complain(&mut self, text: &str) {
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        let _ = write!(self.err, "{text}{newline}");
        let _ = self.err.flush();
    }
}
