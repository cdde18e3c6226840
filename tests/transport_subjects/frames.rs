//! An HTTP/2 server that keeps no rule but those its script keeps: it reads and writes bare frames.

use super::scripted;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// `:status: 200` in HPACK's static table.
pub(crate) const STATUS_200: &[u8] = &[0x88];

pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
}

pub(crate) struct Received {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A server that greets each of `connections` connections with `settings` (number, value) and then does `script` with it.
pub(crate) fn peer(
    connections: usize,
    settings: &'static [(u16, u32)],
    mut script: impl FnMut(&mut Peer) + Send + 'static,
) -> SocketAddr {
    scripted(connections, move |socket| {
        let mut peer = Peer { socket };
        if peer.socket.read_exact(&mut [0; 24]).is_err() {
            return;
        }
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(number, value)| [&number.to_be_bytes()[..], &value.to_be_bytes()[..]].concat())
            .collect();
        peer.send(SETTINGS, 0, 0, &payload);
        script(&mut peer);
    })
}

impl Peer {
    /// Whether the peer took it is its own affair.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags];
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        let _ = self.socket.write_all(&bytes);
    }

    /// The next frame; settings are acknowledged on the way.
    pub(crate) fn next(&mut self) -> Option<Received> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.socket.read_exact(&mut payload).ok()?;
        if kind == SETTINGS && flags & ACK == 0 {
            self.send(SETTINGS, ACK, 0, &[]);
        }
        Some(Received { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// Reads up to the next frame of this kind.
    pub(crate) fn wait_for(&mut self, kind: u8) -> Option<Received> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Reads a request without a body, and tells its stream; 0 at the end of the connection.
    pub(crate) fn request(&mut self) -> u32 {
        self.wait_for(HEADERS).map_or(0, |frame| frame.stream)
    }

    /// Answers 200 with this body.
    pub(crate) fn answer(&mut self, stream: u32, body: &[u8]) {
        self.send(HEADERS, END_HEADERS, stream, STATUS_200);
        self.send(DATA, END_STREAM, stream, body);
    }

    /// Reads until the client is gone.
    pub(crate) fn listen(&mut self) {
        while self.next().is_some() {}
    }

    /// Error code of a RST_STREAM, or the last stream and error code of a GOAWAY.
    pub(crate) fn words(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }
}
