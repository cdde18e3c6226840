//! The control at its plainest: requests written at their instants by a bare timer.

use crate::truth::bare::Timer;
use plimsoll::clock::unix_ns;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CONNECTIONS: usize = 10;
const NANOS_PER_S: u64 = 1_000_000_000;

/// Sends request n to `/n/0` at its instant; yields the instants in Unix time.
pub(crate) fn send(addr: SocketAddr, per_s: u64, lasting: Duration) -> std::io::Result<Vec<u64>> {
    let timer = Timer::new()?;
    let mut connections =
        (0..CONNECTIONS).map(|_| TcpStream::connect(addr)).collect::<Result<Vec<_>, _>>()?;
    for connection in &connections {
        connection.set_nodelay(true)?;
    }
    let start_ns = timer.clock.now() + 20_000_000;
    let unix_offset_ns = unix_ns() - timer.clock.now();
    let count = per_s * lasting.as_secs();
    let mut due = Vec::new();
    for n in 0..count {
        let at_ns = start_ns + n * NANOS_PER_S / per_s;
        timer.until(at_ns)?;
        // Answers are not read: a few seconds of them fit the socket.
        connections[n as usize % CONNECTIONS].write_all(format!("GET /{n}/0 HTTP/1.1\r\n\r\n").as_bytes())?;
        due.push(at_ns + unix_offset_ns);
    }
    std::thread::sleep(Duration::from_millis(100));
    Ok(due)
}
