//! The frames of one direction of a connection, seen as they pass: nine bytes of header say everything that is needed to know when a
//! request left and when its answer was complete (RFC 9113 section 4.1). Payloads are skipped, but for eight bytes of a GOAWAY.

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const CONTINUATION: u8 = 0x9;

const END_STREAM: u8 = 0x1;
const HEADER_BYTES: usize = 9;

/// A frame by its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    flags: u8,
    pub(super) stream: u32,
    payload_bytes: u32,
    /// What the payload begins with; filled only for GOAWAY.
    opening: [u8; 8],
}

impl Frame {
    /// Header and payload.
    pub(super) fn bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }

    /// It carries a message: what else goes by on a stream (resets, windows) belongs to the connection's keeping.
    pub(super) fn is_message(&self) -> bool {
        matches!(self.kind, DATA | HEADERS | CONTINUATION)
    }

    /// Nothing follows from this side but the CONTINUATION frames of these very headers.
    pub(super) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The last stream a GOAWAY says was or might be processed.
    pub(super) fn last_stream(&self) -> u32 {
        let [a, b, c, d, ..] = self.opening;
        u32::from_be_bytes([a & 0x7f, b, c, d])
    }

    /// Why a GOAWAY says the connection ends.
    pub(super) fn error_code(&self) -> u32 {
        let [.., a, b, c, d] = self.opening;
        u32::from_be_bytes([a, b, c, d])
    }
}

/// Where in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// Its header is complete; its first bytes may have come earlier.
    Begins,
    /// Its last byte.
    Ends,
}

/// Finds the frames in a stream of bytes, wherever it is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    /// Bytes that come before the first frame.
    skip: usize,
    header: [u8; HEADER_BYTES],
    have: usize,
    frame: Frame,
    /// Bytes of the payload that are still to come.
    left: u32,
}

impl Scan {
    /// A direction whose frames begin after `skip` bytes: the client's preface, or nothing.
    pub(super) fn after(skip: usize) -> Self {
        Self { skip, header: [0; HEADER_BYTES], have: 0, frame: Frame::default(), left: 0 }
    }

    /// Takes the next bytes and tells of each edge they hold, in their order.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Edge, &Frame)) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if self.have < HEADER_BYTES {
                let taken = (HEADER_BYTES - self.have).min(bytes.len());
                self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
                self.have += taken;
                bytes = &bytes[taken..];
                if self.have < HEADER_BYTES {
                    return;
                }
                self.begin();
                tell(Edge::Begins, &self.frame);
            }
            let taken = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.note_opening(&bytes[..taken]);
            bytes = &bytes[taken..];
            // Not more than `left`, which is a u32.
            self.left -= u32::try_from(taken).unwrap_or(self.left);
            if self.left == 0 {
                tell(Edge::Ends, &self.frame);
                self.have = 0;
            }
        }
    }

    fn begin(&mut self) {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = self.header;
        self.left = u32::from_be_bytes([0, a, b, c]);
        self.frame = Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
            payload_bytes: self.left,
            opening: [0; 8],
        };
    }

    fn note_opening(&mut self, payload: &[u8]) {
        if self.frame.kind != GOAWAY {
            return;
        }
        let at = (self.frame.payload_bytes - self.left) as usize;
        if let Some(room) = self.frame.opening.get_mut(at..) {
            let taken = room.len().min(payload.len());
            room[..taken].copy_from_slice(&payload[..taken]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags];
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    fn edges(pieces: &[&[u8]], skip: usize) -> Vec<(Edge, Frame)> {
        let mut scan = Scan::after(skip);
        let mut seen = Vec::new();
        for piece in pieces {
            scan.feed(piece, |edge, frame| seen.push((edge, *frame)));
        }
        seen
    }

    #[test]
    fn a_request_and_a_goaway() {
        let mut bytes = b"PRI".to_vec();
        bytes.extend(frame(HEADERS, 0x5, 0x8000_0003, b"abc"));
        bytes.extend(frame(SETTINGS, 0, 0, b""));
        bytes.extend(frame(GOAWAY, 0, 0, &[0x80, 0, 0, 7, 0, 0, 0, 2, b'x', b'y']));
        let seen = edges(&[&bytes], 3);
        let kinds: Vec<_> = seen.iter().map(|(edge, frame)| (*edge, frame.kind)).collect();
        let both = |kind| [(Edge::Begins, kind), (Edge::Ends, kind)];
        assert_eq!(kinds, [both(HEADERS), both(SETTINGS), both(GOAWAY)].concat());
        let headers = seen[1].1;
        assert_eq!((headers.stream, headers.bytes()), (3, 12), "the reserved bit is no part of the number");
        assert!(headers.is_message() && headers.ends_stream());
        assert_eq!((seen[5].1.last_stream(), seen[5].1.error_code()), (7, 2));
        assert!(!seen[3].1.is_message());
    }

    proptest! {
        #[test]
        fn the_same_frames_wherever_the_bytes_are_cut(
            frames in vec((0u8..12, any::<u8>(), 0u32..9, vec(any::<u8>(), 0..40)), 0..8),
            cuts in vec(0usize..300, 0..6),
        ) {
            let bytes: Vec<u8> =
                frames.iter().flat_map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload)).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let whole = edges(&[&bytes], 0);
            assert_eq!(whole.len(), 2 * frames.len());
            let ends = |seen: Vec<(Edge, Frame)>| -> Vec<Frame> {
                seen.into_iter().filter(|(edge, _)| *edge == Edge::Ends).map(|(_, frame)| frame).collect()
            };
            assert_eq!(ends(edges(&pieces, 0)), ends(whole));
        }
    }
}
