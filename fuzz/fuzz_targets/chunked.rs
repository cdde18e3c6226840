//! A chunked body, through the reader that decodes it, in pieces of any size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::transport::{Keep, ResponseReader};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let mut reader = ResponseReader::new(false, Keep { head: false, body: true, cookies: false });
    assert_eq!(reader.feed(HEAD), Ok(false));
    for piece in bytes.chunks(usize::from(cut).max(1)) {
        match reader.feed(piece) {
            Ok(false) => {}
            Ok(true) | Err(_) => return,
        }
    }
    assert!(reader.end().is_err(), "a chunked body does not end with its connection");
});
