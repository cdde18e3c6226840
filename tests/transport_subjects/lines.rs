//! Servers of lines: each connection has a thread of its own, which a test scripts.

use super::read_head;
use plimsoll::clock::{Clock, Nanos};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

/// A server that talks to each connection in a thread of its own: `script` gets the head of its request and how many of the same path there
/// were before. Tells each head, and when it came.
pub(crate) fn server(
    script: impl Fn(&str, usize, &mut TcpStream) + Clone + Send + 'static,
) -> (SocketAddr, Receiver<(Nanos, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let (clock, mut paths) = (Clock::start(), Vec::new());
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let head = read_head(&mut stream).unwrap_or_default();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let turn = paths.iter().filter(|seen| **seen == path).count();
            paths.push(path);
            let _ = tell.send((clock.now(), head.clone()));
            let script = script.clone();
            std::thread::spawn(move || script(&head, turn, &mut stream));
        }
    });
    (addr, told)
}

/// The answer to a WebSocket's opening handshake.
pub(crate) fn switch(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
    )
}

pub(crate) const OPENING: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

pub(crate) fn say(socket: &mut TcpStream, text: &str) {
    let _ = socket.write_all(text.as_bytes());
}

/// Sends a short text message on a WebSocket.
pub(crate) fn push(socket: &mut TcpStream, text: &str) {
    assert!(text.len() < 126, "longer ones need a longer head");
    let _ = socket.write_all(&[&[0x81, text.len() as u8], text.as_bytes()].concat());
}

/// Waits for a short message of a client and yields its kind and content; `None` when the client has gone.
pub(crate) fn hear(socket: &mut TcpStream) -> Option<(u8, String)> {
    let mut head = [0; 6];
    socket.read_exact(&mut head).ok()?;
    let mut content = vec![0; usize::from(head[1] & 0x7f)];
    socket.read_exact(&mut content).ok()?;
    for (index, byte) in content.iter_mut().enumerate() {
        *byte ^= head[2 + index % 4];
    }
    Some((head[0] & 0xf, String::from_utf8_lossy(&content).into_owned()))
}
