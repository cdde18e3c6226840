//! The response reader under every cutting of its input: no test here knows of a socket.

use super::*;
use proptest::prelude::{any, prop_assert_eq, proptest};

const KEEP: Keep = Keep { head: true, body: true, cookies: true };

/// Everything observable about a response, for comparing.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    keep_alive: bool,
    bytes_received: u64,
    body_bytes: u64,
    head: Option<Box<[u8]>>,
    body: Option<Vec<u8>>,
    set_cookies: Vec<Box<str>>,
}

fn read<'b>(
    pieces: impl IntoIterator<Item = &'b [u8]>,
    head_only: bool,
    keep: Keep,
) -> Result<Seen, ExchangeError> {
    let mut reader = ResponseReader::new(head_only, keep);
    let mut done = false;
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        assert!(reader.partial.len() <= limits::RESPONSE_HEAD_BYTES_MAX);
        if done {
            return Err(Malformed::BytesAfterEnd.into());
        }
        done = reader.feed(piece)?;
    }
    if !done {
        reader.end()?;
    }
    let Response { status, keep_alive, bytes_received, body_bytes, head, body, set_cookies, coding: _ } =
        reader.take();
    Ok(Seen { status, keep_alive, bytes_received, body_bytes, head, body, set_cookies })
}

fn whole(text: &str) -> Result<Seen, ExchangeError> {
    read([text.as_bytes()], false, KEEP)
}

/// Responses with what they must come to: the status, the body, and whether the connection may be used again.
const GOOD: &[(&str, u16, &str, bool)] = &[
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true),
    ("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", 200, "", true),
    ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", 204, "", true),
    ("HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\n\r\n", 304, "", true),
    ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", 200, "ok", false),
    ("HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, "until the end", false),
    ("HTTP/1.1 404 Not Found\r\n\r\n", 404, "", false),
    ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", 200, "ok", true),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;e=1\r\nok\r\n1\r\n!\r\n0\r\nt: v\r\n\r\n",
        200,
        "ok!",
        true,
    ),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 200, "", true),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nraw", 200, "raw", false),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nset-cookie: no=1\r\n\r\nHTTP/1.1 201 Created\r\nset-cookie: a=1\r\ncontent-length: 3\r\n\r\nyes",
        201,
        "yes",
        true,
    ),
    ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok", true),
];

/// Responses that break a rule, and the rule.
const BAD: &[(&str, ExchangeError)] = &[
    ("", ExchangeError::ClosedBeforeResponse),
    ("HTTP/1.1 200 OK\r\nconte", ExchangeError::ClosedInHead),
    ("HTTP/1.1 100 Continue\r\n\r\n", ExchangeError::ClosedInHead),
    ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok", ExchangeError::ClosedInBody),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", ExchangeError::ClosedInBody),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ExchangeError::Malformed(Malformed::ChunkSize),
    ),
    ("SSH-2.0-OpenSSH_9.2\r\n", ExchangeError::Malformed(Malformed::NotHttp)),
    ("HTTP/1.1 2x0 OK\r\n\r\n", ExchangeError::Malformed(Malformed::StatusLine)),
    ("HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", ExchangeError::Malformed(Malformed::Header)),
    ("HTTP/1.1 101 Switching Protocols\r\n\r\n", ExchangeError::Malformed(Malformed::UnexpectedUpgrade)),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!", ExchangeError::Malformed(Malformed::BytesAfterEnd)),
    ("HTTP/1.1 204 No Content\r\n\r\nbody", ExchangeError::Malformed(Malformed::BytesAfterEnd)),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\nok",
        ExchangeError::Malformed(Malformed::ConflictingContentLength),
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        ExchangeError::BodyTooLarge { limit_bytes: limits::RESPONSE_BODY_KEPT_BYTES_MAX as u64 },
    ),
];

#[test]
fn good_responses() {
    for (text, status, body, keep_alive) in GOOD {
        let seen = whole(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((seen.status, seen.keep_alive), (*status, *keep_alive), "{text}");
        assert_eq!(seen.body.as_deref(), Some(body.as_bytes()), "{text}");
        assert_eq!(seen.body_bytes, body.len() as u64);
        assert_eq!(seen.bytes_received, text.len() as u64);
        let head = seen.head.expect("kept");
        assert!(head.starts_with(b"HTTP/1.") && head.ends_with(b"\n"));
    }
}

#[test]
fn bad_responses_name_the_rule() {
    for (text, error) in BAD {
        assert_eq!(whole(text).as_ref(), Err(error), "{text}");
    }
}

#[test]
fn every_cut_in_two_and_every_byte_alone_give_the_same() {
    let texts = GOOD.iter().map(|(text, ..)| *text).chain(BAD.iter().map(|(text, _)| *text));
    for text in texts {
        let bytes = text.as_bytes();
        let expected = whole(text);
        for at in 0..bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(read([left, right], false, KEEP), expected, "{text} cut at {at}");
        }
        assert_eq!(read(bytes.chunks(1), false, KEEP), expected, "{text} byte by byte");
    }
}

#[test]
fn head_has_no_body() {
    let text = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n";
    let seen = read([text.as_bytes()], true, KEEP).unwrap();
    assert_eq!((seen.body_bytes, seen.keep_alive), (0, true));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert!(read([chunked.as_bytes()], true, KEEP).is_ok());
}

#[test]
fn what_is_not_kept_is_counted_only() {
    let text = "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\ncontent-length: 2\r\n\r\nok";
    let seen = read([text.as_bytes()], false, Keep::default()).unwrap();
    assert_eq!((seen.head, seen.body, seen.set_cookies.len(), seen.body_bytes), (None, None, 0, 2));
}

#[test]
fn cookies_of_the_final_response_only() {
    let seen = whole(GOOD[11].0).unwrap();
    assert_eq!(seen.set_cookies, ["a=1".into()] as [Box<str>; 1]);
}

#[test]
fn heads_and_interim_responses_are_bounded() {
    let mut long = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    long.resize(limits::RESPONSE_HEAD_BYTES_MAX + 100, b'a');
    for cut in [1000, 4096, 60_000] {
        assert_eq!(read(long.chunks(cut), false, KEEP), Err(ExchangeError::HeadTooLarge));
    }
    let many: String = "x: y\r\n".repeat(limits::RESPONSE_HEADERS_MAX + 1);
    assert_eq!(
        whole(&format!("HTTP/1.1 200 OK\r\n{many}\r\n")),
        Err(ExchangeError::Malformed(Malformed::TooManyHeaders))
    );
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(limits::INTERIM_RESPONSES_MAX as usize + 1);
    assert_eq!(whole(&interim), Err(ExchangeError::Malformed(Malformed::TooManyInterim)));
}

#[test]
fn kept_bodies_are_bounded_whatever_their_framing() {
    let piece = vec![b'x'; 1 << 20];
    let limit_bytes = limits::RESPONSE_BODY_KEPT_BYTES_MAX as u64;
    let pieces = std::iter::once(&b"HTTP/1.0 200 OK\r\n\r\n"[..]).chain(std::iter::repeat_n(&piece[..], 17));
    assert_eq!(read(pieces.clone(), false, KEEP), Err(ExchangeError::BodyTooLarge { limit_bytes }));
    assert_eq!(read(pieces, false, Keep::default()).map(|seen| seen.body_bytes), Ok(17 << 20));
}

#[test]
fn an_announced_body_takes_no_memory_before_it_comes() {
    let mut reader = ResponseReader::new(false, KEEP);
    assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 16000000\r\n\r\n"), Ok(false));
    assert!(reader.body.capacity() <= limits::RESPONSE_BODY_RESERVED_BYTES_MAX);
}

proptest! {
    #[test]
    fn garbage_gives_the_same_in_any_pieces(tail in proptest::collection::vec(any::<u8>(), 0..120), cut in 1_usize..30, http: bool) {
        let mut bytes = if http { b"HTTP/1.1 200 OK\r\n".to_vec() } else { Vec::new() };
        bytes.extend(tail);
        let one = read([&bytes[..]], false, KEEP);
        let many = read(bytes.chunks(cut), false, KEEP);
        prop_assert_eq!(one.is_ok(), many.is_ok());
        if one.is_ok() {
            prop_assert_eq!(one, many);
        }
    }

    #[test]
    fn bodies_survive_any_cutting(body in proptest::collection::vec(any::<u8>(), 1..300), cut in 1_usize..80, chunk in 0_usize..40) {
        let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
        if chunk == 0 {
            bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).into_bytes());
            bytes.extend(&body);
        } else {
            bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
            for piece in body.chunks(chunk) {
                bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                bytes.extend(piece);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        }
        let seen = read(bytes.chunks(cut), false, KEEP).unwrap();
        prop_assert_eq!(seen.body, Some(body));
    }
}

#[test]
fn a_head_that_is_remembered_says_what_it_said() {
    let mut heads = head::Memo::default();
    let keep = Keep { cookies: true, ..Keep::default() };
    let mut read = |bytes: &[u8]| {
        let mut reader = ResponseReader::new(false, keep);
        let done = reader.feed_remembering(bytes, Some(&mut heads));
        let response = reader.take();
        (done, response.status, response.body_bytes, response.keep_alive, response.set_cookies.len())
    };
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let first = read(ok);
    assert_eq!(first, (Ok(true), 200, 2, true, 0));
    assert_eq!(read(ok), first);
    assert_eq!(
        read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").0,
        Ok(false),
        "the body is not remembered"
    );
    assert_eq!(read(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes"), (Ok(true), 200, 3, true, 0));
    let last = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    assert_eq!(read(last), (Ok(true), 200, 2, false, 0), "a longer head that begins like another");
    assert_eq!(read(ok), first);
    let cookie = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nset-cookie: a=1\r\n\r\n";
    assert_eq!((read(cookie).4, read(cookie).4), (1, 1), "cookies are read each time");
}
