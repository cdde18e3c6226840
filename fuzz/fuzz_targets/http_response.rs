//! A response in pieces says the same as the response in one piece.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::transport::{ExchangeError, Keep, ResponseReader};

fn read(bytes: &[u8], cut: usize) -> Result<bool, ExchangeError> {
    let mut reader = ResponseReader::new(false, Keep { head: true, body: true, cookies: true });
    for piece in bytes.chunks(cut.max(1)) {
        if reader.feed(piece)? {
            return Ok(true);
        }
    }
    reader.end().map(|()| false)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let (whole, pieces) = (read(bytes, bytes.len()), read(bytes, usize::from(cut)));
    // A piece may end where a response does, and what follows it is then never looked at; otherwise both agree.
    if pieces != Ok(true) {
        assert_eq!(whole.is_ok(), pieces.is_ok(), "{whole:?} {pieces:?}");
    }
});
