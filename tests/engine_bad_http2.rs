//! HTTP/2 servers that leave, reset, break the rules or fall silent, in the record of a whole shard: each is one failure by its kind and text,
//! the request it belongs to is counted once, and no descriptor stays open. A test program of its own: it counts the process's descriptors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use h2::Reason;
use std::io::Write as _;
use std::net::SocketAddr;
use transport_subjects::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PUSH_PROMISE, Peer, RST_STREAM, SETTINGS,
    STATUS_200, peer,
};
use transport_subjects::moves::{MS, Named, all_closed, at_once, judge, protocol};
use transport_subjects::shard::{Ran, one_user_of};
use transport_subjects::{open_descriptors, reset, scripted};

const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
/// `:status: 103`, not in the static table: its name is entry 8.
const STATUS_103: &[u8] = &[0x08, 3, b'1', b'0', b'3'];

const GET: &str = "      - {get: /}\n";
const POST: &str = "      - {post: /, body: hello}\n";

const UNANSWERED: Named = Some(("reset", "the server closed the connection before answering"));
const CUT_IN_BODY: Named = Some(("reset", "the server closed the connection inside the response body"));
const RESET_STREAM: Named = Some(("reset", "the server reset the stream (INTERNAL_ERROR)"));
const GONE: Named = Some(("reset", "the server ended the connection with GOAWAY (ENHANCE_YOUR_CALM)"));
const NOT_BEGUN: Named =
    Some(("timeout", "no complete answer within 1s: the request is out, no answer has begun"));
const NOT_ENDED: Named =
    Some(("timeout", "no complete answer within 1s: the answer has begun, and did not end"));
const SIZE: Named = Some(("protocol", "malformed response: HTTP/2 FRAME_SIZE_ERROR"));
const RULE: Named = Some(("protocol", "malformed response: HTTP/2 PROTOCOL_ERROR"));
/// The library's own bound.
const TOO_MUCH: Named = Some(("protocol", "malformed response: HTTP/2 ENHANCE_YOUR_CALM"));
const HEAD_TOO_LARGE: Named = Some(("protocol", "the response head is larger than 65536 bytes"));

/// What the server does in words, what it does with the first request's stream, and what must come of it. Afterwards it listens until the
/// client is gone.
type Case = (&'static str, fn(&mut Peer, u32), Named);

fn hang_up(peer: &Peer) {
    peer.socket.shutdown(std::net::Shutdown::Both).unwrap();
}

/// Begins an answer of which some of the body is to come.
fn begin(peer: &mut Peer, stream: u32) {
    peer.send(HEADERS, END_HEADERS, stream, STATUS_200);
    peer.send(DATA, 0, stream, b"part");
}

/// Again and again, until nobody is there.
fn babble(peer: &mut Peer, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u8::try_from(payload.len()).unwrap();
    let frame = [&[0, 0, length, kind, flags], &stream.to_be_bytes()[..], payload].concat();
    let many = frame.repeat(1000);
    while peer.socket.write_all(&many).is_ok() {}
}

fn ends() -> Vec<Case> {
    vec![
        ("hears the request and never answers", |_, _| {}, NOT_BEGUN),
        (
            "falls silent after the head",
            |peer, stream| peer.send(HEADERS, END_HEADERS, stream, STATUS_200),
            NOT_ENDED,
        ),
        ("falls silent in the body", begin, NOT_ENDED),
        ("falls silent in the head", |peer, stream| peer.send(HEADERS, 0, stream, STATUS_200), NOT_ENDED),
        (
            "drips the body",
            |peer, stream| {
                begin(peer, stream);
                for _ in 0..30 {
                    std::thread::sleep(100 * MS);
                    peer.send(DATA, 0, stream, b"x");
                }
            },
            NOT_ENDED,
        ),
        (
            "drips the body fast enough",
            |peer, stream| {
                begin(peer, stream);
                for _ in 0..20 {
                    std::thread::sleep(5 * MS);
                    peer.send(DATA, 0, stream, b"x");
                }
                peer.send(DATA, END_STREAM, stream, b"");
            },
            None,
        ),
        ("closes without an answer", |peer, _| hang_up(peer), UNANSWERED),
        (
            "closes in the body",
            |peer, stream| {
                begin(peer, stream);
                hang_up(peer);
            },
            CUT_IN_BODY,
        ),
        (
            "closes in a frame",
            |peer, stream| {
                begin(peer, stream);
                let _ = peer.socket.write_all(&[0, 0, 100, DATA, 0]);
                hang_up(peer);
            },
            CUT_IN_BODY,
        ),
        (
            "resets the stream without an answer",
            |peer, stream| peer.send(RST_STREAM, 0, stream, &Peer::words(&[Reason::INTERNAL_ERROR.into()])),
            RESET_STREAM,
        ),
        (
            "resets the stream in the body",
            |peer, stream| {
                begin(peer, stream);
                peer.send(RST_STREAM, 0, stream, &Peer::words(&[Reason::INTERNAL_ERROR.into()]));
            },
            RESET_STREAM,
        ),
        (
            "leaves with the request in hand",
            |peer, stream| {
                peer.send(GOAWAY, 0, 0, &Peer::words(&[stream, Reason::ENHANCE_YOUR_CALM.into()]));
                hang_up(peer);
            },
            GONE,
        ),
        (
            "leaves in the body",
            |peer, stream| {
                begin(peer, stream);
                peer.send(GOAWAY, 0, 0, &Peer::words(&[stream, Reason::ENHANCE_YOUR_CALM.into()]));
                hang_up(peer);
            },
            GONE,
        ),
        (
            "leaves, and answers what it has",
            |peer, stream| {
                peer.send(GOAWAY, 0, 0, &Peer::words(&[stream, Reason::NO_ERROR.into()]));
                peer.answer(stream, b"last");
            },
            None,
        ),
    ]
}

fn rules() -> Vec<Case> {
    vec![
        (
            "makes noise",
            |peer, _| {
                let _ = peer.socket.write_all(&[0xff; 200]);
            },
            SIZE,
        ),
        (
            "has a frame longer than allowed",
            |peer, stream| peer.send(DATA, 0, stream, &vec![0; 20_000]),
            SIZE,
        ),
        (
            "has a frame of a kind that there is not",
            |peer, stream| {
                peer.send(0xbe, 0, stream, b"what?");
                peer.answer(stream, b"ok");
            },
            None,
        ),
        ("has a ping of no length", |peer, _| peer.send(PING, 0, 0, b""), RULE),
        ("has a body before its head", |peer, stream| peer.send(DATA, END_STREAM, stream, b"hello"), RULE),
        (
            "has a head that does not decode",
            |peer, stream| peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &[0xff; 12]),
            RULE,
        ),
        (
            "has a head without a status",
            |peer, stream| peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &[0x00, 1, b'x', 1, b'y']),
            RULE,
        ),
        (
            "has a body longer than its length",
            |peer, stream| {
                // `content-length` is entry 28 of the static table.
                peer.send(HEADERS, END_HEADERS, stream, &[0x88, 0x0f, 13, 1, b'2']);
                peer.send(DATA, END_STREAM, stream, b"four");
            },
            RULE,
        ),
        (
            "has a body shorter than its length",
            |peer, stream| {
                peer.send(HEADERS, END_HEADERS, stream, &[0x88, 0x0f, 13, 1, b'9']);
                peer.send(DATA, END_STREAM, stream, b"four");
            },
            RULE,
        ),
        (
            "pushes although it was forbidden",
            |peer, stream| {
                peer.send(PUSH_PROMISE, END_HEADERS, stream, &[0, 0, 0, 2, 0x82, 0x84, 0x86, 0x41, 1, b'a']);
            },
            RULE,
        ),
        (
            "answers what nobody asked for",
            |peer, stream| peer.send(HEADERS, END_HEADERS | END_STREAM, stream + 2, STATUS_200),
            RULE,
        ),
        ("continues nothing", |peer, stream| peer.send(CONTINUATION, END_HEADERS, stream, STATUS_200), RULE),
        ("widens a window by nothing", |peer, _| peer.send(WINDOW_UPDATE, 0, 0, &Peer::words(&[0])), RULE),
        (
            "widens a window beyond what there is",
            |peer, _| peer.send(WINDOW_UPDATE, 0, 0, &Peer::words(&[0x7fff_ffff])),
            protocol("malformed response: HTTP/2 FLOW_CONTROL_ERROR"),
        ),
        (
            "has one interim answer",
            |peer, stream| {
                peer.send(HEADERS, END_HEADERS, stream, STATUS_103);
                peer.answer(stream, b"ok");
            },
            None,
        ),
        (
            "has trailers",
            |peer, stream| {
                begin(peer, stream);
                peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &[0x00, 1, b'x', 1, b'y']);
            },
            None,
        ),
        (
            "has a head that is too large",
            |peer, stream| {
                let field = [&[0x00, 1, b'x', 0x7f, 0x81, 0x7c][..], &[b'y'; 16_000]].concat();
                peer.send(HEADERS, 0, stream, STATUS_200);
                for turn in 0..5 {
                    peer.send(CONTINUATION, if turn == 4 { END_HEADERS } else { 0 }, stream, &field);
                }
            },
            HEAD_TOO_LARGE,
        ),
        (
            "has a head without end",
            |peer, stream| {
                let field = [&[0x00, 1, b'x', 0x7f, 0x81, 0x7c][..], &[b'y'; 16_000]].concat();
                peer.send(HEADERS, 0, stream, STATUS_200);
                for _ in 0..20 {
                    peer.send(CONTINUATION, 0, stream, &field);
                }
            },
            HEAD_TOO_LARGE,
        ),
    ]
}

fn babblers() -> Vec<Case> {
    vec![
        ("pings without end", |peer, _| babble(peer, PING, 0, 0, b"abcdefgh"), NOT_BEGUN),
        ("changes its settings without end", |peer, _| babble(peer, SETTINGS, 0, 0, b""), NOT_BEGUN),
        (
            "has empty pieces of a body without end",
            |peer, stream| {
                begin(peer, stream);
                babble(peer, DATA, 0, stream, b"");
            },
            TOO_MUCH,
        ),
        (
            "has interim answers without end",
            |peer, stream| babble(peer, HEADERS, END_HEADERS, stream, STATUS_103),
            NOT_ENDED,
        ),
        (
            "has a head of small pieces without end",
            |peer, stream| {
                peer.send(HEADERS, 0, stream, STATUS_200);
                babble(peer, CONTINUATION, 0, stream, &[0x00, 1, b'x', 1, b'y']);
            },
            TOO_MUCH,
        ),
    ]
}

/// The same of servers that do not answer a first request like the others.
fn others() -> Vec<(&'static str, SocketAddr, &'static str, Named)> {
    let reset_waiting = Some(("reset", "the connection was reset while waiting for the response"));
    let shut = "no complete answer within 1s: the server's flow-control window does not let the body of the request out";
    let resets = |peer: &mut Peer| {
        peer.request();
        reset(peer.socket.try_clone().unwrap());
    };
    vec![
        ("resets the connection without an answer", peer(1, &[], resets), GET, reset_waiting),
        // SETTINGS_INITIAL_WINDOW_SIZE 0, and no WINDOW_UPDATE ever.
        ("lets no body out", peer(1, &[(4, 0)], Peer::listen), POST, Some(("timeout", shut))),
    ]
}

/// A connection is there once the server has said how it speaks.
fn unsettled() -> Vec<(&'static str, SocketAddr)> {
    let saying = |first: &'static [u8]| {
        scripted(1, move |mut socket| {
            let _ = socket.write_all(first);
            Peer { socket }.listen();
        })
    };
    vec![
        ("says nothing", saying(b"")),
        ("pings before it says how it speaks", saying(b"\0\0\x08\x06\0\0\0\0\0abcdefgh")),
        ("says half of how it speaks", saying(b"\0\0\x06\x04\0\0\0\0\0\0\x03")),
    ]
}

fn one_request(addr: SocketAddr, steps: &str) -> Ran {
    let target = format!("http: \"http://{addr}\", http_version: 2, timeout: 1s, connect_timeout: 400ms");
    one_user_of(addr, &target, steps)
}

/// One request, which has gone out and come to one end.
fn meet((what, script, named): Case) -> Result<(), String> {
    let addr = peer(1, &[], move |peer| {
        let stream = peer.request();
        script(peer, stream);
        peer.listen();
    });
    let ran = one_request(addr, GET);
    let (requests, failures) = (ran.sum.requests, ran.failures());
    judge(&format!("{what}\n"), &ran, named)?;
    assert_eq!((requests.sent, requests.unsent, requests.interrupted), (1, 0, 0), "{what}: {failures:?}");
    assert_eq!(
        (requests.ok, requests.failed),
        if failures.is_empty() { (1, 0) } else { (0, 1) },
        "{what}: {failures:?}"
    );
    Ok(())
}

/// One request, for which there is never a connection.
fn meet_unsettled((what, addr): (&'static str, SocketAddr)) -> Result<(), String> {
    let ran = one_request(addr, GET);
    judge(&format!("{what}\n"), &ran, Some(("connect_timeout", "no connection within 400ms")))?;
    let requests = ran.sum.requests;
    assert_eq!((requests.sent, requests.unsent, requests.failed), (0, 1, 1), "{what}");
    let waited = ran.window("GET /", "http").unwrap().all_responses();
    assert!((400_000_000..4_000_000_000).contains(&waited.max_ns()), "{what}: {} ns", waited.max_ns());
    Ok(())
}

#[test]
fn every_bad_answer_is_named_and_leaves_nothing_open() {
    // The runtime's own descriptors exist from its first use.
    meet(ends().remove(0)).unwrap();
    let before = open_descriptors();
    // Those that babble take all the cores there are, and would make those late that count milliseconds.
    let wrong = [
        at_once([ends(), rules()].concat(), meet),
        at_once(babblers(), meet),
        at_once(others(), |(what, addr, steps, named)| {
            judge(&format!("{what}\n"), &one_request(addr, steps), named)
        }),
        at_once(unsettled(), meet_unsettled),
    ]
    .concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    all_closed(before);
}
