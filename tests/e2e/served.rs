//! The target-app served by itself, as somebody else's service would be, and what its own metrics count.

use super::executable;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A served profile; it is ended when the value is dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Served {
    pub(crate) fn start(profile: &str, dials: &[&str]) -> Self {
        let mut command = Command::new(executable());
        command.args(["target", "serve", profile, "--listen", "127.0.0.1:0", "--exit-with-stdin"]);
        dials.iter().for_each(|dial| {
            command.args(["--dial", dial]);
        });
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = line.trim().strip_prefix("listening http://").map(str::parse);
        let Some(Ok(addr)) = said else {
            let _ = child.kill();
            panic!("`target serve` said `{line}`");
        };
        Self { child, addr }
    }

    /// `http_requests_total` by route, summed over its other labels.
    pub(crate) fn requests_by_route(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for line in metrics(self.addr).lines() {
            let Some((labels, value)) =
                line.strip_prefix("http_requests_total{").and_then(|rest| rest.rsplit_once("} "))
            else {
                continue;
            };
            let route = labels.split("route=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            let count: f64 = value.parse().unwrap();
            *sums.entry(route.to_owned()).or_insert(0) += count as u64;
        }
        sums
    }
}

/// What the page of metrics says that is served there.
pub(crate) fn metrics(addr: SocketAddr) -> String {
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(socket, "GET /metrics HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let (_, page) = text.split_once("\r\n\r\n").unwrap();
    page.to_owned()
}

impl Drop for Served {
    fn drop(&mut self) {
        // Killed, it would leave its store behind.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
