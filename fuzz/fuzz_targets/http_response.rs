//! A response in pieces, and one whose head was seen before, say the same as the response in one piece.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::transport::{ExchangeError, Malformed, readings};

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let [whole, pieces, remembered] = readings(bytes, usize::from(cut));
    assert_eq!(whole, remembered);
    // A piece may end where a response does, and what follows it is then never looked at; otherwise both agree.
    if !matches!((&whole, &pieces), (Err(ExchangeError::Malformed(Malformed::BytesAfterEnd)), Ok(_))) {
        assert_eq!(whole.ok(), pieces.ok());
    }
});
