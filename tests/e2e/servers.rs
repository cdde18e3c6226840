//! Servers on free ports of this machine that behave in one particular way, each connection on a thread of its own. They end with the
//! test program.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Does `what` with each connection.
fn serving(what: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let what = Arc::new(what);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (Ok(socket), what) = (socket, Arc::clone(&what)) else { continue };
            let _ = socket.set_nodelay(true);
            std::thread::spawn(move || what(socket));
        }
    });
    addr
}

/// An address at which nothing listens: the port was free a moment ago, and the kernel does not give it away again soon.
pub(crate) fn nothing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Answers with bytes that are no HTTP: the same ones each time, so that a failure can be looked at again.
pub(crate) fn garbage() -> SocketAddr {
    serving(|mut socket| {
        if read_request(&mut socket) {
            let mut state = 0x9e37_79b9_u32;
            let bytes: Vec<u8> = (0..4096)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    state.to_be_bytes()[0]
                })
                .collect();
            let _ = socket.write_all(&bytes);
        }
    })
}

/// Speaks HTTP/2 and nothing else, and answers with 200.
pub(crate) fn http2() -> SocketAddr {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        runtime.block_on(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
                    while let Some(Ok((_, mut answer))) = connection.accept().await {
                        let _ = answer.send_response(http::Response::new(()), true);
                    }
                });
            }
        });
    });
    addr
}

/// Takes the request and closes the connection without a word.
pub(crate) fn closing() -> SocketAddr {
    serving(|mut socket| {
        read_request(&mut socket);
    })
}

/// Takes connections and requests and never answers.
pub(crate) fn silent() -> SocketAddr {
    let held = Mutex::new(Vec::new());
    serving(move |socket| held.lock().unwrap().push(socket))
}

/// Answers every request after `delay`.
pub(crate) fn slow(delay: Duration) -> SocketAddr {
    serving(move |mut socket| {
        while read_request(&mut socket) {
            std::thread::sleep(delay);
            if socket.write_all(ANSWER).is_err() {
                return;
            }
        }
    })
}

/// Answers at once, until more than `connections` are open at the same time: from then on each answer takes `delay`, however few are left.
pub(crate) fn tiring(connections: u64, delay: Duration) -> SocketAddr {
    let (open, tired) = (AtomicU64::new(0), AtomicBool::new(false));
    serving(move |mut socket| {
        if open.fetch_add(1, Ordering::Relaxed) >= connections {
            tired.store(true, Ordering::Relaxed);
        }
        while read_request(&mut socket) {
            if tired.load(Ordering::Relaxed) {
                std::thread::sleep(delay);
            }
            if socket.write_all(ANSWER).is_err() {
                break;
            }
        }
        open.fetch_sub(1, Ordering::Relaxed);
    })
}

/// Answers every request with this text.
pub(crate) fn page(text: &str) -> SocketAddr {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    serving(move |mut socket| {
        while read_request(&mut socket) {
            if socket.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// What a page says when it is asked.
pub(crate) enum Says {
    Text(String),
    /// An answer with this status.
    Status(u16),
    /// Nothing, for as long as somebody waits.
    Nothing,
}

/// Answers with what `says` makes of how often it was asked before.
pub(crate) fn changing(says: impl Fn(u64) -> Says + Send + Sync + 'static) -> SocketAddr {
    let asked = AtomicU64::new(0);
    serving(move |mut socket| {
        while read_request(&mut socket) {
            let answer = match says(asked.fetch_add(1, Ordering::Relaxed)) {
                Says::Text(text) => {
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
                }
                Says::Status(status) => format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n"),
                Says::Nothing => continue,
            };
            if socket.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// Answers at once, but freezes once, all of it, for `freeze`, when it takes its request number `at`.
pub(crate) fn freezing(at: u64, freeze: Duration) -> SocketAddr {
    let (taken, gate) = (AtomicU64::new(0), RwLock::new(()));
    serving(move |mut socket| {
        while read_request(&mut socket) {
            if taken.fetch_add(1, Ordering::Relaxed) + 1 == at {
                let _closed = gate.write();
                std::thread::sleep(freeze);
            }
            let _open = gate.read();
            if socket.write_all(ANSWER).is_err() {
                return;
            }
        }
    })
}

/// Answers at once, and notes from which addresses connections came and how many from each.
pub(crate) fn noting_peers() -> (SocketAddr, Peers) {
    let peers = Peers::default();
    let noted = Arc::clone(&peers);
    let addr = serving(move |mut socket| {
        let peer = socket.peer_addr().unwrap().ip();
        *noted.lock().unwrap().entry(peer).or_default() += 1;
        while read_request(&mut socket) && socket.write_all(ANSWER).is_ok() {}
    });
    (addr, peers)
}

pub(crate) type Peers = Arc<Mutex<BTreeMap<IpAddr, u64>>>;

/// Reads one request without a body; false at the end of the connection.
fn read_request(socket: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    let mut bytes = [0; 1024];
    // None of these tests pipelines requests, so what is read belongs to one.
    while !seen.ends_with(b"\r\n\r\n") {
        match socket.read(&mut bytes) {
            Ok(count @ 1..) => seen.extend_from_slice(&bytes[..count]),
            _ => return false,
        }
    }
    true
}

/// Speaks TLS with a CA's own certificate, as `openssl req -x509` makes them; yields that too, in PEM.
pub(crate) fn a_ca_itself() -> (SocketAddr, String) {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let secret = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .unwrap();
    let config = Arc::new(config);
    let addr = serving(move |mut socket| {
        let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        while tls.complete_io(&mut socket).is_ok() && tls.is_handshaking() {}
    });
    (addr, certificate.pem())
}
