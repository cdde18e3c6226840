//! Bodies that say they are compressed: decoded within the bound, or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::limits::RESPONSE_BODY_KEPT_BYTES_MAX;
use plimsoll::transport::ContentCoding;

fuzz_target!(|bytes: &[u8]| {
    for coding in [ContentCoding::Gzip, ContentCoding::Deflate, ContentCoding::Brotli, ContentCoding::Zstd] {
        if let Ok(body) = coding.decode(bytes.to_vec()) {
            assert!(body.len() <= RESPONSE_BODY_KEPT_BYTES_MAX);
        }
    }
});
