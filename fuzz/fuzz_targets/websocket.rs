//! Frames as a server sends them, or as it should not.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::transport::websocket::read_all;

fuzz_target!(|bytes: &[u8]| {
    let (messages, error) = read_all(bytes);
    assert!(messages.iter().map(Vec::len).sum::<usize>() <= bytes.len());
    assert!(!error.to_string().is_empty() && !error.kind().is_empty());
});
