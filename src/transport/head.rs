//! The head of a response, read in place by `httparse`: only the fields that frame the body or concern the connection are looked
//! at, because this runs once per request.

use super::coding::ContentCoding;
use super::error::Malformed;
use crate::limits;
use httparse::{Header, ParserConfig, Status};
use std::mem::MaybeUninit;

/// What a head says about what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes up to and with the empty line.
    pub(super) len: usize,
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// The server will take another request on this connection.
    pub(super) keep_alive: bool,
    pub(super) coding: ContentCoding,
}

/// How the end of the body is found, RFC 9112 section 6.3 (rules 4 to 8; the others depend on the request).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// `None` while the head is not complete. Values of `set-cookie` are appended to `cookies` if there is such a list.
pub(super) fn parse(bytes: &[u8], cookies: Option<&mut Vec<Box<str>>>) -> Result<Option<Head>, Malformed> {
    const OPENING: &[u8] = b"HTTP/1.";
    let opening = bytes.len().min(OPENING.len());
    if bytes[..opening] != OPENING[..opening] {
        return Err(Malformed::NotHttp);
    }
    // Left uninitialized: filling 3 KB with empty headers would cost more than parsing a usual head.
    let mut headers: [MaybeUninit<Header<'_>>; limits::RESPONSE_HEADERS_MAX] =
        [const { MaybeUninit::uninit() }; limits::RESPONSE_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    // A user agent has to put up with folded lines in responses (RFC 9112 section 5.2).
    let mut rules = ParserConfig::default();
    rules.allow_obsolete_multiline_headers_in_responses(true);
    let len = match rules.parse_response_with_uninit_headers(&mut response, bytes, &mut headers) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooManyHeaders),
        Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => return Err(Malformed::Header),
        Err(httparse::Error::NewLine) if response.code.is_some() => return Err(Malformed::Header),
        Err(_) => return Err(Malformed::StatusLine),
    };
    let status = response.code.ok_or(Malformed::StatusLine)?;
    if !(100..=999).contains(&status) {
        return Err(Malformed::StatusLine);
    }
    let http11 = response.version == Some(1);
    let fields = Fields::read(response.headers, cookies)?;
    Ok(Some(Head {
        len,
        status,
        framing: fields.framing(http11)?,
        keep_alive: if http11 { !fields.close } else { fields.keep_alive && !fields.close },
        coding: fields.coding,
    }))
}

/// The last head that was read and what it said. A server sends the same one over and over, its date for a second at a time, and to compare it
/// costs a tenth of parsing it.
#[derive(Debug, Default)]
pub(super) struct Memo {
    bytes: Vec<u8>,
    said: Option<Head>,
}

impl Memo {
    /// What the head at the beginning of `bytes` says, if it is that one: a head is whole by its empty line, so nothing after it matters.
    pub(super) fn recall(&self, bytes: &[u8]) -> Option<Head> {
        self.said.filter(|_| bytes.starts_with(&self.bytes))
    }

    pub(super) fn keep(&mut self, bytes: &[u8], head: Head) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&bytes[..head.len]);
        self.said = Some(head);
    }
}

/// The first field of that name (any case) in a head that has been parsed, without surrounding blanks.
pub(super) fn field<'h>(head: &'h [u8], name: &str) -> Option<&'h [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    })
}

#[derive(Default)]
struct Fields {
    length: Option<u64>,
    /// There was a transfer-encoding, and whether its last coding is chunked.
    encoding: Option<Coding>,
    close: bool,
    keep_alive: bool,
    coding: ContentCoding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    Other,
}

impl Fields {
    fn read(headers: &[Header<'_>], mut cookies: Option<&mut Vec<Box<str>>>) -> Result<Self, Malformed> {
        let mut fields = Self::default();
        for header in headers {
            // The length tells most names apart before a byte of them is compared.
            match header.name.len() {
                10 if header.name.eq_ignore_ascii_case("connection") => fields.connection(header.value),
                10 if header.name.eq_ignore_ascii_case("set-cookie") => {
                    if let Some(cookies) = cookies.as_deref_mut()
                        && let Ok(value) = std::str::from_utf8(header.value)
                    {
                        cookies.push(value.into());
                    }
                }
                14 if header.name.eq_ignore_ascii_case("content-length") => fields.length(header.value)?,
                16 if header.name.eq_ignore_ascii_case("content-encoding") => {
                    fields.coding = fields.coding.with(header.value);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    fields.encoding(header.value)?;
                }
                _ => {}
            }
        }
        Ok(fields)
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// A repeated length is accepted only if it says the same (RFC 9112 section 6.3, rule 5).
    fn length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for one in value.split(|&byte| byte == b',') {
            let length = decimal(one.trim_ascii()).ok_or(Malformed::ContentLength)?;
            if self.length.is_some_and(|before| before != length) {
                return Err(Malformed::ConflictingContentLength);
            }
            self.length = Some(length);
        }
        Ok(())
    }

    /// Codings in the order they were applied, over all fields of that name.
    fn encoding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for coding in value.split(|&byte| byte == b',') {
            let coding = coding.trim_ascii();
            if coding.is_empty() {
                continue;
            }
            if self.encoding == Some(Coding::Chunked) {
                return Err(Malformed::TransferEncoding);
            }
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.encoding = Some(if chunked { Coding::Chunked } else { Coding::Other });
        }
        Ok(())
    }

    fn framing(&self, http11: bool) -> Result<Framing, Malformed> {
        match (self.encoding, self.length) {
            (Some(_), _) if !http11 => Err(Malformed::TransferEncodingInHttp10),
            (Some(_), Some(_)) => Err(Malformed::LengthAndTransferEncoding),
            (Some(Coding::Chunked), None) => Ok(Framing::Chunked),
            (Some(Coding::Other), None) | (None, None) => Ok(Framing::UntilClose),
            (None, Some(length)) => Ok(Framing::Length(length)),
        }
    }
}

/// Digits only: `str::parse` would let a sign pass.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &str) -> Result<Head, Malformed> {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        parse(text.as_bytes(), None).map(|head| head.expect("complete"))
    }

    #[test]
    fn lengths_follow_the_rules_of_rfc_9112() {
        assert_eq!(head("Content-Length: 42\r\n").map(|h| h.framing), Ok(Framing::Length(42)));
        assert_eq!(head("content-length: 42, 42\r\n").map(|h| h.framing), Ok(Framing::Length(42)));
        assert_eq!(
            head("content-length: 4\r\ncontent-length: 4\r\n").map(|h| h.framing),
            Ok(Framing::Length(4))
        );
        for (fields, error) in [
            ("content-length: 4\r\ncontent-length: 5\r\n", Malformed::ConflictingContentLength),
            ("content-length: 4, 5\r\n", Malformed::ConflictingContentLength),
            ("content-length: +4\r\n", Malformed::ContentLength),
            ("content-length: -4\r\n", Malformed::ContentLength),
            ("content-length: 0x4\r\n", Malformed::ContentLength),
            ("content-length:\r\n", Malformed::ContentLength),
            ("content-length: 99999999999999999999\r\n", Malformed::ContentLength),
            ("content-length: 4\r\ntransfer-encoding: chunked\r\n", Malformed::LengthAndTransferEncoding),
            ("transfer-encoding: chunked, chunked\r\n", Malformed::TransferEncoding),
            ("transfer-encoding: chunked, gzip\r\n", Malformed::TransferEncoding),
            ("broken header\r\n", Malformed::Header),
        ] {
            assert_eq!(head(fields), Err(error), "{fields}");
        }
    }

    #[test]
    fn encodings() {
        assert_eq!(head("transfer-encoding: Chunked\r\n").map(|h| h.framing), Ok(Framing::Chunked));
        assert_eq!(head("transfer-encoding: gzip, chunked\r\n").map(|h| h.framing), Ok(Framing::Chunked));
        assert_eq!(head("transfer-encoding: gzip\r\n").map(|h| h.framing), Ok(Framing::UntilClose));
        let old = parse(b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", None);
        assert_eq!(old, Err(Malformed::TransferEncodingInHttp10));
    }

    #[test]
    fn keeping_the_connection() {
        let of = |text: &[u8]| parse(text, None).unwrap().unwrap().keep_alive;
        assert!(of(b"HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!of(b"HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n"));
        assert!(!of(b"HTTP/1.1 200 OK\r\nconnection: foo, close\r\n\r\n"));
        assert!(!of(b"HTTP/1.0 200 OK\r\n\r\n"));
        assert!(of(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n"));
    }

    #[test]
    fn what_is_not_http_is_seen_at_its_first_byte() {
        assert_eq!(parse(b"S", None), Err(Malformed::NotHttp));
        assert_eq!(parse(b"HTTP/2", None), Err(Malformed::NotHttp));
        assert_eq!(parse(b"\r\nHTTP/1.1 200", None), Err(Malformed::NotHttp));
        assert_eq!(parse(b"HTT", None), Ok(None));
        assert_eq!(parse(b"HTTP/1.1 abc", None), Err(Malformed::StatusLine));
        assert_eq!(parse(b"HTTP/1.1 099 No\r\n\r\n", None), Err(Malformed::StatusLine));
    }

    #[test]
    fn folded_lines_are_put_up_with() {
        assert_eq!(head("x: a\r\n b\r\ncontent-length: 1\r\n").map(|h| h.framing), Ok(Framing::Length(1)));
    }

    #[test]
    fn cookies_only_when_asked_for() {
        let text = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2; Path=/\r\n\r\n";
        let mut cookies = Vec::new();
        parse(text, Some(&mut cookies)).unwrap();
        assert_eq!(cookies, ["a=1".into(), "b=2; Path=/".into()] as [Box<str>; 2]);
    }
}
