//! A server that holds each request for a time of its own, perhaps freezes every so often, and logs when each arrived, by the kernel's
//! stamp, and when its answer was released. Every connection has a thread, so no request waits for another here.

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use plimsoll::clock::unix_ns;
use std::io::{IoSliceMut, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request as the server saw it; instants are Unix time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Of the path `/USER/TURN`.
    pub(crate) user: u64,
    pub(crate) turn: u64,
    pub(crate) arrived_ns: u64,
    pub(crate) released_ns: u64,
}

impl Entry {
    /// How long the server had it: what a perfect client would call its service time.
    pub(crate) fn held_ns(&self) -> u64 {
        self.released_ns.saturating_sub(self.arrived_ns)
    }
}

/// How long a request is held, by its number among all that came.
pub(crate) type Hold = fn(u64) -> Duration;

/// All of the server stands still for `lasting` at the end of each `every`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freeze {
    pub(crate) every: Duration,
    pub(crate) lasting: Duration,
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    logs: Arc<Mutex<Vec<Log>>>,
}

/// What one connection was asked. Each has its own, so that none waits for another between the instant of release and the write.
type Log = Arc<Mutex<Vec<Entry>>>;

impl Server {
    /// Starts one on a free port; it ends with the program.
    pub(crate) fn start(hold: Hold, freeze: Option<Freeze>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        // Connections take this over, so that even their first request is stamped.
        setsockopt(&listener, sockopt::ReceiveTimestampns, &true).expect("stamps");
        // The kernel begins to stamp a moment after it was first asked to.
        std::thread::sleep(Duration::from_millis(50));
        let addr = listener.local_addr().expect("bound");
        let logs = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::new(AtomicU64::new(0));
        let began_ns = unix_ns();
        let all = Arc::clone(&logs);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (Ok(socket), log, asked) = (socket, Log::default(), Arc::clone(&asked)) else { continue };
                all.lock().expect("no panic while it was held").push(Arc::clone(&log));
                std::thread::spawn(move || {
                    serve(&socket, &log, &asked, hold, freeze.map(|freeze| (freeze, began_ns)))
                });
            }
        });
        Self { addr, logs }
    }

    /// Takes what was logged since the last call, in order of arrival.
    pub(crate) fn take_log(&self) -> Vec<Entry> {
        let logs = self.logs.lock().expect("no panic while it was held");
        let of_one = |log: &Log| std::mem::take(&mut *log.lock().expect("no panic while it was held"));
        let mut entries: Vec<Entry> = logs.iter().flat_map(of_one).collect();
        entries.sort_unstable_by_key(|entry| entry.arrived_ns);
        entries
    }
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn serve(
    socket: &TcpStream,
    log: &Mutex<Vec<Entry>>,
    asked: &AtomicU64,
    hold: Hold,
    freeze: Option<(Freeze, u64)>,
) {
    let _ = socket.set_nodelay(true);
    let mut socket_out = socket;
    while let Some((user, turn, arrived_ns)) = receive(socket) {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        let until_ns = thawed(arrived_ns + hold(number).as_nanos() as u64, freeze);
        std::thread::sleep(Duration::from_nanos(until_ns.saturating_sub(unix_ns())));
        {
            let mut log = log.lock().expect("no panic while it was held");
            log.push(Entry { user, turn, arrived_ns, released_ns: unix_ns() });
        }
        if socket_out.write_all(ANSWER).is_err() {
            return;
        }
    }
}

/// The instant itself, or the end of the freeze it falls into.
fn thawed(at_ns: u64, freeze: Option<(Freeze, u64)>) -> u64 {
    let Some((freeze, began_ns)) = freeze else { return at_ns };
    let (every, lasting) = (freeze.every.as_nanos() as u64, freeze.lasting.as_nanos() as u64);
    let into = at_ns.saturating_sub(began_ns) % every;
    if into >= every - lasting { at_ns + (every - into) } else { at_ns }
}

/// One request: user and turn of its path, and when the kernel had the last of it. `None` at the end of the connection.
fn receive(socket: &TcpStream) -> Option<(u64, u64, u64)> {
    let mut bytes = [0; 2048];
    let (count, stamp_ns) = read_stamped(socket, &mut bytes).ok()?;
    let arrived_ns = stamp_ns.unwrap_or_else(unix_ns);
    let text = std::str::from_utf8(&bytes[..count]).ok()?;
    let mut path = text.split_whitespace().nth(1)?.trim_start_matches('/').split('/');
    Some((path.next()?.parse().ok()?, path.next()?.parse().ok()?, arrived_ns))
}

/// One read of a socket that asked for stamps: how many bytes, and when the kernel had the last of them, in Unix time, if it says so.
pub(crate) fn read_stamped(socket: &TcpStream, bytes: &mut [u8]) -> std::io::Result<(usize, Option<u64>)> {
    let mut control = [0; 64];
    let mut parts = [IoSliceMut::new(bytes)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let stamp = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(at) => {
            Some(at.tv_sec() as u64 * 1_000_000_000 + at.tv_nsec() as u64)
        }
        _ => None,
    });
    Ok((message.bytes, stamp))
}
