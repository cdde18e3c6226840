//! Content codings (RFC 9110, section 8.4): a body that arrived compressed is decoded when a check or an extract looks at it, and
//! never otherwise. What is asked of a server stands in the scenario's own `accept-encoding`; bytes are counted as they came.

use crate::limits;
use brotli_decompressor::Decompressor;
use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::StreamingDecoder;
use std::io::{self, Read};
use thiserror::Error;

/// Room that a decoder is given at a time.
const STEP_BYTES: usize = 16 * 1024;

/// How a body is coded, as `content-encoding` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentCoding {
    #[default]
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
    /// A name that is not known here, or several codings one over the other.
    Other,
}

/// Why a coded body cannot be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CodingError {
    #[error("the body cannot be decoded: its content-encoding is none of gzip, deflate, br and zstd")]
    Unknown,
    #[error("the body is not what its content-encoding says: {0}")]
    Broken(&'static str),
    #[error("the body is cut off inside its {0} coding")]
    CutOff(&'static str),
    #[error("the body is larger than {} bytes when decoded", limits::RESPONSE_BODY_KEPT_BYTES_MAX)]
    TooLarge,
}

impl ContentCoding {
    /// The coding once this value of `content-encoding` is added to what the head has said before.
    pub(super) fn with(self, value: &[u8]) -> Self {
        value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).fold(self, |before, name| {
            let coding = Self::named(name);
            match (before, coding) {
                (_, Self::Identity) => before,
                (Self::Identity, _) => coding,
                _ => Self::Other,
            }
        })
    }

    fn named(name: &[u8]) -> Self {
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        match name {
            _ if name.is_empty() || is("identity") => Self::Identity,
            _ if is("gzip") || is("x-gzip") => Self::Gzip,
            _ if is("deflate") => Self::Deflate,
            _ if is("br") => Self::Brotli,
            _ if is("zstd") => Self::Zstd,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Other => "unknown",
        }
    }

    /// The body as it was before it was coded; at most [`limits::RESPONSE_BODY_KEPT_BYTES_MAX`] of it, so that a few bytes on the wire
    /// cannot become all of the memory here.
    ///
    /// # Errors
    /// By name, when the coding is not known, the bytes are not of it, it is cut off, or the result is larger than the bound.
    pub fn decode(self, body: Vec<u8>) -> Result<Vec<u8>, CodingError> {
        match self {
            // An answer that has no body says how it would be coded all the same (304, HEAD).
            _ if body.is_empty() => Ok(body),
            Self::Identity => Ok(body),
            Self::Gzip => self.read(MultiGzDecoder::new(body.as_slice())),
            Self::Deflate => self.inflate(&body),
            Self::Brotli => self.read(Decompressor::new(body.as_slice(), STEP_BYTES)),
            Self::Zstd => self.frames(&body),
            Self::Other => Err(CodingError::Unknown),
        }
    }

    fn read(self, decoder: impl Read) -> Result<Vec<u8>, CodingError> {
        let mut out = Vec::new();
        self.read_into(decoder, &mut out)?;
        Ok(out)
    }

    fn read_into(self, decoder: impl Read, out: &mut Vec<u8>) -> Result<(), CodingError> {
        let room = limits::RESPONSE_BODY_KEPT_BYTES_MAX.saturating_sub(out.len()) as u64;
        match decoder.take(room + 1).read_to_end(out) {
            Ok(read) if read as u64 > room => Err(CodingError::TooLarge),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(CodingError::CutOff(self.name()))
            }
            Err(_) => Err(CodingError::Broken(self.name())),
        }
    }

    /// The zlib format, as RFC 9110 has it, or raw deflate, as some servers have it.
    fn inflate(self, body: &[u8]) -> Result<Vec<u8>, CodingError> {
        // RFC 1950: the method is 8, and the first two bytes are a multiple of 31.
        let zlib = matches!(body, [first, second, ..]
            if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31));
        let mut inflate = Decompress::new(zlib);
        let mut out = Vec::new();
        loop {
            out.reserve(STEP_BYTES);
            let before = (inflate.total_in(), inflate.total_out());
            let rest = usize::try_from(before.0).ok().and_then(|taken| body.get(taken..)).unwrap_or_default();
            match inflate.decompress_vec(rest, &mut out, FlushDecompress::None) {
                _ if out.len() > limits::RESPONSE_BODY_KEPT_BYTES_MAX => return Err(CodingError::TooLarge),
                Ok(Status::StreamEnd) => return Ok(out),
                Ok(_) if before == (inflate.total_in(), inflate.total_out()) => {
                    return Err(CodingError::CutOff(self.name()));
                }
                Ok(_) => {}
                Err(_) => return Err(CodingError::Broken(self.name())),
            }
        }
    }

    /// One or more Zstandard frames (RFC 8878, section 3.1).
    fn frames(self, body: &[u8]) -> Result<Vec<u8>, CodingError> {
        let mut rest = body;
        let mut out = Vec::new();
        while !rest.is_empty() {
            let decoder = StreamingDecoder::new_with_max_window_size(
                &mut rest,
                limits::RESPONSE_BODY_KEPT_BYTES_MAX as u64,
            );
            let decoder = decoder.map_err(|_| CodingError::Broken(self.name()))?;
            self.read_into(decoder, &mut out)?;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("a Vec takes all");
        encoder.finish().expect("a Vec takes all")
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("a Vec takes all");
        encoder.finish().expect("a Vec takes all")
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("a Vec takes all");
        encoder.finish().expect("a Vec takes all")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// `brotli` of `{"ok":true}`, made once with the reference encoder.
    const BROTLI: &[u8] =
        &[0x0b, 0x05, 0x80, 0x7b, 0x22, 0x6f, 0x6b, 0x22, 0x3a, 0x74, 0x72, 0x75, 0x65, 0x7d, 0x03];

    #[test]
    fn the_field_names_one_coding() {
        for (value, coding) in [
            ("gzip", ContentCoding::Gzip),
            ("X-GZIP", ContentCoding::Gzip),
            ("deflate", ContentCoding::Deflate),
            ("br", ContentCoding::Brotli),
            ("zstd, identity", ContentCoding::Zstd),
            ("identity", ContentCoding::Identity),
            ("", ContentCoding::Identity),
            ("gzip, br", ContentCoding::Other),
            ("rot13", ContentCoding::Other),
        ] {
            assert_eq!(ContentCoding::default().with(value.as_bytes()), coding, "{value}");
        }
        assert_eq!(ContentCoding::Gzip.with(b"gzip"), ContentCoding::Other, "two fields, two codings");
    }

    #[test]
    fn what_is_not_the_coding_it_says_is_named() {
        let garbage = b"not compressed at all, really".to_vec();
        for coding in
            [ContentCoding::Gzip, ContentCoding::Brotli, ContentCoding::Zstd, ContentCoding::Deflate]
        {
            let error = coding.decode(garbage.clone()).expect_err("garbage");
            assert!(matches!(error, CodingError::Broken(_) | CodingError::CutOff(_)), "{coding:?}: {error}");
        }
        assert_eq!(ContentCoding::Other.decode(garbage), Err(CodingError::Unknown));
        assert_eq!(ContentCoding::Gzip.decode(Vec::new()), Ok(Vec::new()), "no body");
        assert_eq!(CodingError::TooLarge.to_string(), "the body is larger than 16777216 bytes when decoded");
    }

    #[test]
    fn a_body_that_is_cut_off_is_never_taken_for_whole() {
        let text = b"{\"items\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}".repeat(20);
        for (coding, whole) in [
            (ContentCoding::Gzip, gzip(&text)),
            (ContentCoding::Deflate, zlib(&text)),
            (ContentCoding::Deflate, deflate(&text)),
            (ContentCoding::Zstd, zstd(&text)),
            (ContentCoding::Brotli, BROTLI.to_vec()),
        ] {
            assert!(coding.decode(whole.clone()).is_ok(), "{coding:?}");
            for length in 1..whole.len() {
                assert!(coding.decode(whole[..length].to_vec()).is_err(), "{coding:?} cut at {length}");
            }
        }
        assert_eq!(ContentCoding::Gzip.decode(gzip(&text)[..40].to_vec()), Err(CodingError::CutOff("gzip")));
    }

    #[test]
    fn a_bomb_ends_at_the_bound() {
        let much = vec![0; limits::RESPONSE_BODY_KEPT_BYTES_MAX + 1];
        for (coding, bomb) in [
            (ContentCoding::Gzip, gzip(&much)),
            (ContentCoding::Deflate, zlib(&much)),
            (ContentCoding::Zstd, zstd(&much)),
        ] {
            assert!(bomb.len() < much.len() / 50);
            assert_eq!(coding.decode(bomb), Err(CodingError::TooLarge), "{coding:?}");
        }
        let whole = gzip(&much[1..]);
        assert_eq!(ContentCoding::Gzip.decode(whole).map(|body| body.len()), Ok(much.len() - 1));
    }

    #[test]
    fn brotli_and_frames_one_after_the_other() {
        assert_eq!(ContentCoding::Brotli.decode(BROTLI.to_vec()), Ok(b"{\"ok\":true}".to_vec()));
        let two = [zstd(b"one"), zstd(b" two")].concat();
        assert_eq!(ContentCoding::Zstd.decode(two), Ok(b"one two".to_vec()));
        let two = [gzip(b"one"), gzip(b" two")].concat();
        assert_eq!(ContentCoding::Gzip.decode(two), Ok(b"one two".to_vec()));
    }

    proptest! {
        #[test]
        fn decoding_undoes_coding(body in proptest::collection::vec(any::<u8>(), 1..2000)) {
            prop_assert_eq!(ContentCoding::Gzip.decode(gzip(&body)), Ok(body.clone()));
            prop_assert_eq!(ContentCoding::Deflate.decode(zlib(&body)), Ok(body.clone()));
            prop_assert_eq!(ContentCoding::Zstd.decode(zstd(&body)), Ok(body));
        }

        #[test]
        fn garbage_never_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            for coding in [ContentCoding::Gzip, ContentCoding::Deflate, ContentCoding::Brotli, ContentCoding::Zstd] {
                let _ = coding.decode(body.clone());
            }
        }
    }
}
