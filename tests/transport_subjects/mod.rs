//! Servers for the transport's tests: one whose every move a test scripts, on real sockets, and real programs on a free port that end
//! with the test.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a subject that cannot go on fails its test")]

pub(crate) mod frames;
pub(crate) mod lines;
pub(crate) mod moves;
pub(crate) mod secure;
pub(crate) mod shard;

use plimsoll::clock::Clock;
use plimsoll::transport::{Address, Buffers, Connection, Exchange, ExchangeError, Keep, connect};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

pub(crate) const KEEP: Keep = Keep { head: true, body: true, cookies: true };
pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// A server that does `script` with each of `connections` connections, one after the other, and then stops listening.
pub(crate) fn scripted(connections: usize, mut script: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for _ in 0..connections {
            let (socket, _) = listener.accept().unwrap();
            socket.set_nodelay(true).unwrap();
            script(socket);
        }
    });
    addr
}

/// Reads one request without a body; false at the end of the connection.
pub(crate) fn read_request(socket: &mut TcpStream) -> bool {
    read_head(socket).is_some()
}

/// The same, with what it said.
pub(crate) fn read_head(socket: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        match socket.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => return None,
        }
    }
    String::from_utf8(seen).ok()
}

/// A server that answers every connection's first request with these bytes and closes.
pub(crate) fn answering(response: impl Into<Vec<u8>>) -> SocketAddr {
    let response = response.into();
    scripted(1, move |mut socket| {
        read_request(&mut socket);
        let _ = socket.write_all(&response);
    })
}

/// Descriptors of this process.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Makes the closing of this socket a reset.
pub(crate) fn reset(socket: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).unwrap();
}

/// The client's side, as a shard has it.
pub(crate) struct Client {
    pub(crate) buffers: Buffers,
    pub(crate) clock: Clock,
    pub(crate) address: Address,
}

impl Client {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self {
            buffers: Buffers::new(),
            clock: Clock::start(),
            address: Address::new("127.0.0.1", addr.port(), addr, None),
        }
    }

    pub(crate) async fn connect(&self) -> Connection {
        connect(&self.address, None).await.unwrap()
    }

    pub(crate) async fn get(&self, connection: &mut Connection) -> Result<Exchange, ExchangeError> {
        connection.exchange(GET, false, KEEP, &self.buffers, &self.clock).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn fresh(&self) -> Result<Exchange, ExchangeError> {
        self.get(&mut self.connect().await).await
    }
}

/// A program that ends with this value.
pub(crate) struct Program {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Program {
    /// Starts `command` and waits until something listens at `addr`; `None` if the program is not installed. One that does not come up fails the
    /// test, which would otherwise pass for good.
    pub(crate) fn start(command: &mut Command, addr: SocketAddr) -> Option<Self> {
        Self::run(command.stdout(Stdio::null()).stderr(Stdio::null()), addr)
    }

    /// The same, all it says going to the file `log`.
    pub(crate) fn logged(command: &mut Command, addr: SocketAddr, log: &Path) -> Option<Self> {
        let file = File::create(log).unwrap();
        Self::run(command.stdout(file.try_clone().unwrap()).stderr(file), addr)
    }

    fn run(command: &mut Command, addr: SocketAddr) -> Option<Self> {
        let child = match command.stdin(Stdio::null()).spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            spawned => spawned.unwrap(),
        };
        let mut program = Self { child, addr };
        for _ in 0..1_500 {
            if TcpStream::connect(addr).is_ok() {
                return Some(program);
            }
            let ended = program.child.try_wait().unwrap();
            assert!(ended.is_none(), "{command:?} ended at once: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{command:?} does not listen at {addr}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nothing listens at. Its port is none that the kernel gives to whoever connects, so nobody takes it before a server is there.
pub(crate) fn free_addr() -> SocketAddr {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() as u16 % 10_000;
    loop {
        let port = 20_000 + (first + TRIED.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}
