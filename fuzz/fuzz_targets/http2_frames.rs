//! Frames of HTTP/2 as they pass: the same ones end, wherever the bytes are cut, and none is longer than what came.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::transport::frame_ends;

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let whole = frame_ends(bytes, usize::MAX);
    assert!(whole.iter().map(|(_, _, length)| length).sum::<u64>() <= bytes.len() as u64);
    assert_eq!(frame_ends(bytes, usize::from(cut)), whole);
});
