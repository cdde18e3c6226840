//! The chunked coding (RFC 9112 section 7.1), decoded as bytes come, wherever they are cut. Extensions and trailers are passed over
//! within bounds; line ends are taken strictly, because a sloppy one is how two parties come to disagree about where a body ends.

use super::error::{ExchangeError, Malformed};
use crate::limits;

/// | state    | hex digit | CR       | LF      | `;` blank | other        |
/// |----------|-----------|----------|---------|-----------|--------------|
/// | Size     | Size      | SizeLf   | error   | Extension | error        |
/// | Extension| Extension | SizeLf   | error   | Extension | Extension    |
/// | SizeLf   | error     | error    | Data or Trailer | error | error      |
/// | Data     | counted down to zero, then DataCr                           |
/// | DataCr   | error     | DataLf   | error   | error     | error        |
/// | DataLf   | error     | error    | Size    | error     | error        |
/// | Trailer  | Line      | EndLf    | error   | Line      | Line         |
/// | Line     | Line      | LineLf   | error   | Line      | Line         |
/// | LineLf   | error     | error    | Trailer | error     | error        |
/// | EndLf    | error     | error    | Done    | error     | error        |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    Line,
    LineLf,
    EndLf,
    Done,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder {
    state: State,
    /// Size being read, then bytes of the chunk still to come.
    left: u64,
    /// Bytes of the present size line, or of all trailers.
    line_bytes: u32,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { state: State::Size, left: 0, line_bytes: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes bytes up to the end of the coding, hands each piece of the body to `body`, and returns how many it took.
    pub(super) fn decode(
        &mut self,
        input: &[u8],
        mut body: impl FnMut(&[u8]) -> Result<(), ExchangeError>,
    ) -> Result<usize, ExchangeError> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let here = input.len() - at;
                let take = usize::try_from(self.left).map_or(here, |left| left.min(here));
                body(&input[at..at + take])?;
                self.left -= take as u64;
                at += take;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.step(input[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<(), ExchangeError> {
        self.state = match (self.state, byte) {
            (State::Size, _) => return self.size(byte),
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\n') => return Err(Malformed::ChunkSize.into()),
            (State::Extension, _) => {
                self.count(limits::CHUNK_LINE_BYTES_MAX, Malformed::ChunkSize)?;
                State::Extension
            }
            (State::SizeLf, b'\n') => {
                self.line_bytes = 0;
                if self.left == 0 { State::Trailer } else { State::Data }
            }
            (State::SizeLf, _) => return Err(Malformed::ChunkSize.into()),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::DataCr | State::DataLf, _) => return Err(Malformed::ChunkEnd.into()),
            (State::Trailer, b'\r') => State::EndLf,
            (State::Line, b'\r') => State::LineLf,
            (State::LineLf, b'\n') => State::Trailer,
            (State::EndLf, b'\n') => State::Done,
            (State::Trailer | State::Line, byte) if byte != b'\n' => {
                self.count(limits::RESPONSE_HEAD_BYTES_MAX, Malformed::Trailer)?;
                State::Line
            }
            _ => return Err(Malformed::Trailer.into()),
        };
        Ok(())
    }

    fn size(&mut self, byte: u8) -> Result<(), ExchangeError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' | b';' | b' ' | b'\t' if self.line_bytes > 0 => {
                self.state = if byte == b'\r' { State::SizeLf } else { State::Extension };
                return Ok(());
            }
            _ => return Err(Malformed::ChunkSize.into()),
        };
        // 16 digits fill the 64 bits; leading zeros count, so a line of zeros ends too.
        self.count(16, Malformed::ChunkSize)?;
        self.left = self.left << 4 | u64::from(digit);
        if self.left > limits::RESPONSE_BODY_BYTES_MAX {
            return Err(ExchangeError::BodyTooLarge { limit_bytes: limits::RESPONSE_BODY_BYTES_MAX });
        }
        Ok(())
    }

    fn count(&mut self, max: usize, what: Malformed) -> Result<(), ExchangeError> {
        self.line_bytes += 1;
        if self.line_bytes as usize > max { Err(what.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};

    /// Decodes in pieces of the given sizes; the body, the bytes taken and whether it ended.
    fn decode(input: &[u8], cut: usize) -> Result<(Vec<u8>, usize, bool), ExchangeError> {
        let mut decoder = Decoder::new();
        let mut body = Vec::new();
        let mut taken = 0;
        for piece in input.chunks(cut.max(1)) {
            let took = decoder.decode(piece, |bytes| {
                body.extend_from_slice(bytes);
                Ok(())
            })?;
            taken += took;
            if decoder.is_done() {
                break;
            }
        }
        Ok((body, taken, decoder.is_done()))
    }

    #[test]
    fn plain_extensions_and_trailers() {
        let input = b"4\r\nWiki\r\n6 ; name=\"quoted; text\"\r\npedia \r\nE;x\r\nin \r\n\r\nchunks.\r\n000\r\nExpires: never\r\nx: y\r\n\r\nnext";
        for cut in 1..input.len() {
            let (body, taken, done) = decode(input, cut).unwrap();
            assert_eq!(body, b"Wikipedia in \r\n\r\nchunks.", "pieces of {cut}");
            assert_eq!(&input[taken..], b"next");
            assert!(done);
        }
    }

    #[test]
    fn broken_rules_are_named() {
        for (input, error) in [
            (&b"\r\n"[..], Malformed::ChunkSize.into()),
            (b"G\r\n", Malformed::ChunkSize.into()),
            (b"-1\r\n", Malformed::ChunkSize.into()),
            (b"4\nWiki", Malformed::ChunkSize.into()),
            (b"4;a\nWiki", Malformed::ChunkSize.into()),
            (b"4\rWiki", Malformed::ChunkSize.into()),
            (b"0x4\r\nWiki", Malformed::ChunkSize.into()),
            (b"00000000000000000\r\n\r\n", Malformed::ChunkSize.into()),
            (b"4\r\nWikipedia\r\n", Malformed::ChunkEnd.into()),
            (b"4\r\nWiki\n", Malformed::ChunkEnd.into()),
            (b"0\r\n\n", Malformed::Trailer.into()),
            (b"0\r\na: b\n", Malformed::Trailer.into()),
            (b"0\r\n\rx", Malformed::Trailer.into()),
            (
                b"ffffffffffffffff\r\n",
                ExchangeError::BodyTooLarge { limit_bytes: limits::RESPONSE_BODY_BYTES_MAX },
            ),
        ] {
            for cut in [1, 2, 3, input.len()] {
                assert_eq!(decode(input, cut).unwrap_err(), error, "{:?}", String::from_utf8_lossy(input));
            }
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let mut long = b"4;".to_vec();
        long.resize(limits::CHUNK_LINE_BYTES_MAX + 10, b'x');
        assert_eq!(decode(&long, 1000).unwrap_err(), Malformed::ChunkSize.into());
        let mut long = b"0\r\n".to_vec();
        while long.len() < limits::RESPONSE_HEAD_BYTES_MAX * 2 {
            long.extend_from_slice(b"name: value\r\n");
        }
        assert_eq!(decode(&long, 1000).unwrap_err(), Malformed::Trailer.into());
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_body_back(
            (body, sizes, cut) in (proptest::collection::vec(any::<u8>(), 0..400), 1_usize..50, 1_usize..60)
                .prop_flat_map(|(body, sizes, cut)| (Just(body), Just(sizes), Just(cut)))
        ) {
            let mut coded = Vec::new();
            for chunk in body.chunks(sizes) {
                coded.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                coded.extend_from_slice(chunk);
                coded.extend_from_slice(b"\r\n");
            }
            coded.extend_from_slice(b"0\r\n\r\n");
            let (decoded, taken, done) = decode(&coded, cut).unwrap();
            prop_assert_eq!(decoded, body);
            prop_assert_eq!(taken, coded.len());
            prop_assert!(done);
        }

        #[test]
        fn garbage_never_panics(input in proptest::collection::vec(any::<u8>(), 0..200), cut in 1_usize..20) {
            let _ = decode(&input, cut);
        }
    }
}
