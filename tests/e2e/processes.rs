//! Other processes, by their id: which a test's own process has started, whether they still live, and signals to them.

use rustix::process::{Pid, Signal, kill_process};
use std::net::{SocketAddr, TcpStream};

/// Sends a signal to one process; one that has ended already needs none.
pub(crate) fn signal(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// Processes that `parent` has started and that still live.
pub(crate) fn children(parent: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| state_and_parent(pid).is_some_and(|(state, of)| of == parent && state != 'Z'))
        .collect()
}

/// Those of them that are agents of a run.
pub(crate) fn agents(parent: i32) -> Vec<i32> {
    let is_agent = |pid: &i32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|&byte| byte == 0).nth(1) == Some(b"agent".as_slice())
    };
    children(parent).into_iter().filter(is_agent).collect()
}

/// Whether the process is there and does more than wait for its exit code to be read.
pub(crate) fn lives(pid: i32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != 'Z')
}

pub(crate) fn listens(addr: SocketAddr) -> bool {
    TcpStream::connect(addr).is_ok()
}

/// Fields 3 and 4 of `/proc/PID/stat`; the name before them is in parentheses and may hold anything.
fn state_and_parent(pid: i32) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
