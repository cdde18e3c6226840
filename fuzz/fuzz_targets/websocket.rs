//! Frames as a server sends them, or as it should not, and the same bytes as its answer to the opening handshake.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::transport::websocket::{answered, read_all};

fuzz_target!(|bytes: &[u8]| {
    let (messages, error) = read_all(bytes);
    assert!(messages.iter().map(Vec::len).sum::<usize>() <= bytes.len());
    for error in [error, answered(bytes)] {
        assert!(!error.to_string().is_empty() && !error.kind().is_empty());
    }
});
