//! HTTP/1.1 servers that break off, break the rules, drip or fall silent, in the record of a whole shard: each is one failure by its kind and
//! text, the request it belongs to is counted once, and no descriptor stays open. A test program of its own: it counts the process's
//! descriptors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use plimsoll::limits;
use std::net::SocketAddr;
use transport_subjects::moves::Move::{Babble, Drip, Hear, Reset, Say, Silence, Wait};
use transport_subjects::moves::{Case, MS, Named, hold, protocol};
use transport_subjects::shard::{Ran, one_user_of};
use transport_subjects::{reset, scripted};

const GET: &str = "      - {get: /}\n";
const HEAD: &str = "      - {head: /}\n";
/// Keeps the body, which therefore has a bound that memory can bear.
const KEPT: &str = "      - {get: /, expect: {body: '$.a == 1'}}\n";

const TOO_SLOW: Named = Some(("timeout", "no complete answer within 1s"));
const UNANSWERED: Named = Some(("reset", "the server closed the connection before answering"));
const CUT_IN_HEAD: Named = Some(("reset", "the server closed the connection inside the response head"));
const CUT_IN_BODY: Named = Some(("reset", "the server closed the connection inside the response body"));
const RESET_WAITING: Named = Some(("reset", "the connection was reset while waiting for the response"));
const RESET_RECEIVING: Named = Some(("reset", "the connection was reset while receiving the response"));
const NOT_HTTP: Named = Some(("protocol", "malformed response: it does not begin with `HTTP/1.`"));
const HEADER: Named = Some(("protocol", "malformed response: header field"));
const STATUS_LINE: Named = Some(("protocol", "malformed response: status line"));
const BYTES_AFTER: Named = Some(("protocol", "malformed response: bytes after the end of the response"));
const CHUNK_SIZE: Named = Some(("protocol", "malformed response: chunk size line"));
const CHUNK_END: Named = Some(("protocol", "malformed response: a chunk does not end where its size says"));
const LENGTH: Named = Some(("protocol", "malformed response: content-length is not a number"));
const CODING_ORDER: Named =
    Some(("protocol", "malformed response: chunked applied twice, or not as the last transfer-encoding"));

/// Says this and then nothing, so that what is wrong must be seen without the end of the connection.
fn says(what: &'static str, answer: impl Into<Vec<u8>>, named: Named) -> Case {
    (what, GET, vec![Hear, Say(answer.into()), Silence], named)
}

/// The same: an answer of 200 with these fields and no more.
fn fields(what: &'static str, fields: &str, named: Named) -> Case {
    body(what, &format!("{fields}\r\n\r\n"), named)
}

/// The same with fields, the empty line after them, and what follows it.
fn body(what: &'static str, rest: &str, named: Named) -> Case {
    says(what, format!("HTTP/1.1 200 OK\r\n{rest}"), named)
}

/// The same with this content in chunks.
fn chunks(what: &'static str, content: &str, named: Named) -> Case {
    body(what, &format!("transfer-encoding: chunked\r\n\r\n{content}"), named)
}

/// Says this and closes.
fn closes(what: &'static str, answer: &str, named: Named) -> Case {
    (what, GET, vec![Hear, Say(answer.into())], named)
}

/// Says this, waits until it has been read, and resets.
fn resets(what: &'static str, answer: &str, named: Named) -> Case {
    (what, GET, vec![Hear, Say(answer.into()), Wait(200 * MS), Reset], named)
}

const FULL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn ends() -> Vec<Case> {
    vec![
        ("accepts and never answers", GET, vec![Silence], TOO_SLOW),
        says("hears the request and never answers", "", TOO_SLOW),
        says("falls silent in the head", "HTTP/1.1 200 OK\r\ncontent-", TOO_SLOW),
        body("falls silent in the body", "content-length: 9\r\n\r\nfour", TOO_SLOW),
        chunks("falls silent in a chunk", "9\r\nfour", TOO_SLOW),
        chunks("falls silent in the trailers", "2\r\nok\r\n0\r\nx: y\r\n", TOO_SLOW),
        closes("closes without an answer", "", UNANSWERED),
        closes("closes in the status line", "HTTP/1.1 20", CUT_IN_HEAD),
        closes("closes in the head", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", CUT_IN_HEAD),
        closes("closes after an interim answer", "HTTP/1.1 100 Continue\r\n\r\n", CUT_IN_HEAD),
        closes("closes in the body", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour", CUT_IN_BODY),
        closes(
            "closes in a chunk",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nfour",
            CUT_IN_BODY,
        ),
        closes(
            "closes before the last chunk",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n",
            CUT_IN_BODY,
        ),
        closes("closes where a body may end so", "HTTP/1.1 200 OK\r\n\r\nall of it", None),
        // The request is still unread when it does: the kernel makes a reset of any such closing.
        ("closes unheard", GET, vec![Wait(200 * MS)], RESET_WAITING),
        ("resets unheard", GET, vec![Wait(200 * MS), Reset], RESET_WAITING),
        resets("resets without an answer", "", RESET_WAITING),
        resets("resets in the head", "HTTP/1.1 200 OK\r\ncontent-", RESET_RECEIVING),
        resets("resets in the body", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour", RESET_RECEIVING),
        resets("resets where a body may end by closing", "HTTP/1.1 200 OK\r\n\r\nhalf", RESET_RECEIVING),
    ]
}

fn drips() -> Vec<Case> {
    let drip = |text: &str, every| vec![Hear, Drip(text.into(), every), Silence];
    let with_length = |text: &str, every| {
        vec![Hear, Say(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len()).into())]
            .into_iter()
            .chain([Drip(text.into(), every), Silence])
            .collect()
    };
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    vec![
        ("drips the head", GET, drip(FULL, 50 * MS), TOO_SLOW),
        ("drips the body", GET, with_length(&"x".repeat(30), 100 * MS), TOO_SLOW),
        ("drips chunks", GET, drip(chunked, 40 * MS), TOO_SLOW),
        ("drips all of it fast enough", GET, drip(FULL, 4 * MS), None),
        ("drips the body fast enough", KEPT, with_length("{\"a\": 1}", 20 * MS), None),
        ("drips chunks fast enough", GET, drip(chunked, 4 * MS), None),
    ]
}

fn rules() -> Vec<Case> {
    let many = (0..=limits::RESPONSE_HEADERS_MAX).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let noise: Vec<u8> = (0..600_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    let interim = |count: u32, last: &str| "HTTP/1.1 103 Hints\r\n\r\n".repeat(count as usize) + last;
    vec![
        says("speaks HTTP/0.9", "<html>hello</html>\r\n", NOT_HTTP),
        says("speaks something else", "220 mail.example ESMTP\r\n", NOT_HTTP),
        says("speaks HTTP/2", b"\0\0\0\x04\0\0\0\0\0", NOT_HTTP),
        says("makes noise", noise, NOT_HTTP),
        says("begins with an empty line", "\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
        says("answers in HTTP/1.2", "HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n", STATUS_LINE),
        says("has a status of letters", "HTTP/1.1 two\r\ncontent-length: 0\r\n\r\n", STATUS_LINE),
        says("has a status below 100", "HTTP/1.1 099 No\r\ncontent-length: 0\r\n\r\n", STATUS_LINE),
        says("has no reason", "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", None),
        fields("has a field without a colon", "content-length 0", HEADER),
        fields("has a blank before a colon", "content-length : 0", HEADER),
        fields("has a field without a name", ": 0", HEADER),
        fields("has a NUL in a field", "x: a\0b\r\ncontent-length: 0", HEADER),
        fields("folds a line", "x: a\r\n b\r\ncontent-length: 0", None),
        fields("folds the first line", " x: a\r\ncontent-length: 0", HEADER),
        fields("has too many fields", &many, protocol("malformed response: more than 100 header fields")),
        body(
            "has two lengths that differ",
            "content-length: 2\r\ncontent-length: 3\r\n\r\nok",
            protocol("malformed response: two content-lengths that differ"),
        ),
        body("has the same length twice", "content-length: 2\r\ncontent-length: 2\r\n\r\nok", None),
        fields("has a length below zero", "content-length: -1", LENGTH),
        fields("has a length with a sign", "content-length: +2", LENGTH),
        fields("has an empty length", "content-length:", LENGTH),
        fields("has a length beyond counting", "content-length: 99999999999999999999", LENGTH),
        fields(
            "has a length and chunks",
            "content-length: 2\r\ntransfer-encoding: chunked",
            protocol("malformed response: both content-length and transfer-encoding"),
        ),
        fields("chunks twice", "transfer-encoding: chunked, chunked", CODING_ORDER),
        fields("chunks before it compresses", "transfer-encoding: chunked, gzip", CODING_ORDER),
        says(
            "chunks in HTTP/1.0",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            protocol("malformed response: transfer-encoding in an HTTP/1.0 response"),
        ),
        chunks("has a chunk of no size", "\r\nok", CHUNK_SIZE),
        chunks("has a chunk size of letters", "zz\r\nok\r\n", CHUNK_SIZE),
        chunks("has a chunk size below zero", "-2\r\nok\r\n", CHUNK_SIZE),
        chunks("ends a chunk size by a line feed", "2\nok\r\n", CHUNK_SIZE),
        chunks("has a chunk size of many zeros", "00000000000000000002\r\nok\r\n", CHUNK_SIZE),
        chunks("has a chunk longer than its size", "2\r\nokay\r\n", CHUNK_END),
        chunks(
            "has a broken trailer",
            "0\r\nx\n\r\n",
            protocol("malformed response: trailer of a chunked body"),
        ),
        chunks("has chunks with words and trailers", "2;a=\"b\"\r\nok\r\n0\r\nx: y\r\n\r\n", None),
        says("answers twice at once", FULL.repeat(2), BYTES_AFTER),
        body("says more than its length", "content-length: 2\r\n\r\nokay", BYTES_AFTER),
        chunks("says more after the last chunk", "2\r\nok\r\n0\r\n\r\nmore", BYTES_AFTER),
        says("has a body where there is none", "HTTP/1.1 204 No Content\r\n\r\nok", BYTES_AFTER),
        ("has a body for who asked for none", HEAD, vec![Hear, Say(FULL.into()), Silence], BYTES_AFTER),
        (
            "has a length for who asked for no body",
            HEAD,
            vec![Hear, Say(FULL[..FULL.len() - 2].into()), Silence],
            None,
        ),
        says(
            "upgrades unasked",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
            protocol("malformed response: status 101 to a request that asked for no upgrade"),
        ),
        says("has as many interim answers as may be", interim(limits::INTERIM_RESPONSES_MAX, FULL), None),
        says(
            "has one interim answer too many",
            interim(limits::INTERIM_RESPONSES_MAX + 1, FULL),
            protocol("malformed response: more than 16 interim (1xx) responses"),
        ),
    ]
}

fn bounds() -> Vec<Case> {
    let field = |bytes: usize| format!("x: {}", "a".repeat(bytes));
    let head_too_large = protocol("the response head is larger than 65536 bytes");
    let kept = |answer: String| vec![Hear, Say(answer.into()), Silence];
    let (kept_max, counted_max) = (limits::RESPONSE_BODY_KEPT_BYTES_MAX, limits::RESPONSE_BODY_BYTES_MAX);
    let announced = |bytes: u64| format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
    vec![
        fields("has a large head", &(field(60_000) + "\r\ncontent-length: 0"), None),
        fields("has a head that is too large", &field(limits::RESPONSE_HEAD_BYTES_MAX), head_too_large),
        (
            "has a head without end",
            GET,
            vec![Hear, Say(b"HTTP/1.1 200 OK\r\nx: ".to_vec()), Babble(b"a".to_vec())],
            head_too_large,
        ),
        (
            "has interim answers without end",
            GET,
            vec![Hear, Babble(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())],
            protocol("malformed response: more than 16 interim (1xx) responses"),
        ),
        (
            "has chunks without end",
            GET,
            vec![
                Hear,
                Say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()),
                Babble(b"1\r\nx\r\n".to_vec()),
            ],
            TOO_SLOW,
        ),
        (
            "has trailers without end",
            GET,
            vec![
                Hear,
                Say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n".to_vec()),
                Babble(b"x: y\r\n".to_vec()),
            ],
            protocol("malformed response: trailer of a chunked body"),
        ),
        // What a length announces is judged before a byte of it has come.
        (
            "announces more than is kept",
            KEPT,
            kept(announced(kept_max as u64 + 1)),
            protocol("the response body is larger than 16777216 bytes"),
        ),
        ("announces as much to who keeps nothing", GET, kept(announced(kept_max as u64 + 1)), TOO_SLOW),
        (
            "announces more than is counted",
            GET,
            kept(announced(counted_max + 1)),
            protocol("the response body is larger than 4294967296 bytes"),
        ),
        chunks(
            "announces a chunk of more than is counted",
            &format!("{:x}\r\n", counted_max + 1),
            protocol("the response body is larger than 4294967296 bytes"),
        ),
        (
            "has a body without end for who keeps it",
            "      - {get: /, timeout: 5s, expect: {body: '$.a == 1'}}\n",
            vec![Hear, Say(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), Babble(b"x".to_vec())],
            protocol("the response body is larger than 16777216 bytes"),
        ),
    ]
}

/// One request, which has gone out and come to one end.
fn one_request(addr: SocketAddr, steps: &str) -> Ran {
    let ran = one_user_of(addr, &format!("http: \"http://{addr}\", timeout: 1s"), steps);
    let (requests, failures) = (ran.sum.requests, ran.failures());
    assert_eq!((requests.sent, requests.unsent, requests.interrupted), (1, 0, 0), "{failures:?}");
    assert_eq!(
        (requests.ok, requests.failed),
        if failures.is_empty() { (1, 0) } else { (0, 1) },
        "{failures:?}"
    );
    ran
}

#[test]
fn every_bad_answer_is_named_and_leaves_nothing_open() {
    hold(|| [ends(), drips(), rules(), bounds()].concat(), one_request);
    // Whether it is met in connecting, in sending or in waiting is chance.
    let addr = scripted(1, reset);
    let ran = one_user_of(addr, &format!("http: \"http://{addr}\", timeout: 1s"), GET);
    let failures = ran.failures();
    let [(endpoint, kind, text, 1)] = failures.as_slice() else { panic!("{failures:?}") };
    let before = kind == "connect" && text == "connection reset while connecting";
    let after = ["sending the request", "waiting for the response"]
        .map(|when| format!("the connection was reset while {when}"));
    assert!(before || (kind == "reset" && after.contains(text)), "{endpoint}: {failures:?}");
    assert_eq!((ran.sum.requests.ok, ran.sum.requests.failed), (0, 1));
}
