//! Sockets and event streams whose servers fall silent, drip, babble, break off or break the rules: each is an outcome by its name within
//! its time, and leaves no descriptor open. A test program of its own: it counts the process's descriptors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use std::time::Duration;
use transport_subjects::moves::Move::{self, Babble, Drip, Greet, Hear, Reset, Say, Silence, Wait};
use transport_subjects::moves::{Case, MS, Named, hold, protocol};
use transport_subjects::shard::one_user;

const WELCOME: Move = Greet(usize::MAX, Duration::ZERO);

/// A short frame as a server sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(payload.len()).unwrap()], payload].concat()
}

fn events(text: &str) -> Move {
    Say(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{text}").into())
}

fn chunks(text: &str) -> Move {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    Say(format!("{head}{text}").into())
}

const WS_OPEN: &str = "      - {ws_open: /, expect: {within: 1s}}\n";
const WS_EXPECT: &str =
    "      - {ws_open: /}\n      - {ws_expect: {type: a}, within: 1s}\n      - {ws_close: }\n";
const WS_LISTEN: &str = "      - {ws_open: /}\n      - {ws_listen: 400ms, match: {type: a}}\n";
// What fails after the listening and thinking shows that they ended.
const WS_LISTEN_ON: &str = "      - {ws_open: /}\n      - {ws_listen: 400ms, match: {type: a}}\n      - {ws_expect: {type: a}, within: 1ms}\n";
const WS_THINK_ON: &str =
    "      - {ws_open: /}\n      - {think: 400ms}\n      - {ws_expect: {type: a}, within: 1ms}\n";
const SSE_OPEN: &str = "      - {sse_open: /, expect: {within: 1s}}\n";
const SSE_EXPECT: &str =
    "      - {sse_open: /}\n      - {sse_expect: , event: a, within: 1s}\n      - {sse_close: }\n";
const SSE_LISTEN: &str = "      - {sse_open: /}\n      - {sse_listen: 400ms, event: a}\n";
const SSE_LISTEN_ON: &str = "      - {sse_open: /}\n      - {sse_listen: 400ms, event: a}\n      - {sse_expect: , event: a, within: 1ms}\n";
const SSE_THINK_ON: &str =
    "      - {sse_open: /}\n      - {think: 400ms}\n      - {sse_expect: , event: a, within: 1ms}\n";
const SSE_THINK: &str = "      - {sse_open: /, reconnect: {max: 3, backoff: 1ms}}\n      - {think: 400ms}\n      - {sse_close: }\n";
const GET: &str = "      - {get: /}\n";

const NOT_OPEN: Named = Some(("timeout", "not open within 1s"));
const NO_MESSAGE: Named = Some(("timeout", "no such message within 1s"));
const NO_MESSAGE_AFTER: Named = Some(("timeout", "no such message within 1ms"));
const NO_EVENT: Named = Some(("timeout", "no such event within 1s"));
const NO_EVENT_AFTER: Named = Some(("timeout", "no such event within 1ms"));
const NO_GOODBYE: Named = Some(("reset", "the connection ended without the closing handshake"));
const BROKEN_OFF: Named = Some(("reset", "the connection was reset while receiving the response"));

fn cases() -> Vec<Case> {
    let a = frame(0x81, b"{\"type\":\"a\"}");
    let b = frame(0x81, b"{\"type\":\"b\"}");
    let crumbs = [b"HTTP/1.1 101 Switching Protocols\r\nx-more: ".to_vec(), vec![b'x'; 3000]].concat();
    let endless_head = b"x-more: and more\r\n".to_vec();
    let sse_head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_vec();
    let close = |code: u16, reason: &[u8]| Say(frame(0x88, &[&code.to_be_bytes(), reason].concat()));
    let bad_code = protocol(
        "WebSocket protocol: the server closed with a code that no frame may have, or with 1002 (protocol error)",
    );
    vec![
        ("accepts and never answers", WS_OPEN, vec![Silence], NOT_OPEN),
        ("hears the handshake and never answers", WS_OPEN, vec![Hear, Silence], NOT_OPEN),
        ("drips the handshake", WS_OPEN, vec![Greet(2, 30 * MS), Silence], NOT_OPEN),
        ("the handshake in pieces", WS_EXPECT, vec![Greet(30, 10 * MS), Say(a.clone()), Silence], None),
        (
            "the handshake in crumbs",
            "      - {ws_open: /}\n",
            vec![Hear, Drip(crumbs, MS), Silence],
            protocol(
                "WebSocket protocol: the answer to the opening handshake is too large, or comes in crumbs",
            ),
        ),
        (
            "a handshake without end",
            WS_OPEN,
            vec![Hear, Say(b"HTTP/1.1 101 Switching Protocols\r\n".to_vec()), Babble(endless_head)],
            protocol("WebSocket protocol: Space limit exceeded: Too many headers"),
        ),
        (
            "resets in the handshake",
            WS_OPEN,
            vec![Hear, Say(b"HTTP/1.1 101 Swi".to_vec()), Wait(50 * MS), Reset],
            NO_GOODBYE,
        ),
        ("falls silent, expected", WS_EXPECT, vec![WELCOME, Silence], NO_MESSAGE),
        ("falls silent, listened to", WS_LISTEN_ON, vec![WELCOME, Silence], NO_MESSAGE_AFTER),
        ("falls silent inside a frame", WS_EXPECT, vec![WELCOME, Say(a[..6].to_vec()), Silence], NO_MESSAGE),
        ("drips a frame", WS_EXPECT, vec![WELCOME, Drip(a.clone(), 100 * MS), Silence], NO_MESSAGE),
        ("drips a frame fast enough", WS_EXPECT, vec![WELCOME, Drip(a.clone(), 5 * MS), Silence], None),
        (
            "resets inside a frame",
            WS_EXPECT,
            vec![WELCOME, Say(a[..6].to_vec()), Wait(50 * MS), Reset],
            NO_GOODBYE,
        ),
        (
            "resets inside a frame, listened to",
            WS_LISTEN,
            vec![WELCOME, Say(a[..6].to_vec()), Wait(50 * MS), Reset],
            NO_GOODBYE,
        ),
        ("ends inside a frame", WS_EXPECT, vec![WELCOME, Say(a[..6].to_vec())], NO_GOODBYE),
        ("babbles about something else", WS_EXPECT, vec![WELCOME, Babble(b.clone())], NO_MESSAGE),
        ("babbles to a listener", WS_LISTEN_ON, vec![WELCOME, Babble(b.clone())], NO_MESSAGE_AFTER),
        ("babbles to who thinks", WS_THINK_ON, vec![WELCOME, Babble(b)], NO_MESSAGE_AFTER),
        ("pings without end", WS_EXPECT, vec![WELCOME, Babble(frame(0x89, b""))], NO_MESSAGE),
        (
            "fragments without end",
            WS_EXPECT,
            vec![WELCOME, Say(frame(0x01, b"{")), Babble(frame(0x00, b""))],
            NO_MESSAGE,
        ),
        (
            "continues nothing",
            WS_EXPECT,
            vec![WELCOME, Say(frame(0x80, b"x")), Silence],
            protocol("WebSocket protocol: Continue frame but nothing to continue"),
        ),
        (
            "continues nothing, listened to",
            WS_LISTEN,
            vec![WELCOME, Say(frame(0x80, b"x")), Silence],
            protocol("WebSocket protocol: Continue frame but nothing to continue"),
        ),
        (
            "masks a frame",
            WS_EXPECT,
            vec![WELCOME, Say(vec![0x81, 0x81, 1, 2, 3, 4, 5]), Silence],
            protocol("WebSocket protocol: Received a masked frame from server"),
        ),
        (
            "announces a frame that is too large",
            WS_EXPECT,
            vec![WELCOME, Say([&[0x82, 127], &(1_u64 << 40).to_be_bytes()[..]].concat()), Silence],
            protocol("a message is larger than 1048576 bytes"),
        ),
        (
            "a text that is none",
            WS_EXPECT,
            vec![WELCOME, Say(frame(0x81, b"\xff\xfe")), Silence],
            protocol("WebSocket protocol: a text message or the reason of a close is not UTF-8"),
        ),
        (
            "closes without a code",
            WS_EXPECT,
            vec![WELCOME, Say(frame(0x88, b"")), Silence],
            Some(("reset", "the server closed the socket with code 1005 (none given)")),
        ),
        (
            "closes with half a code",
            WS_EXPECT,
            vec![WELCOME, Say(frame(0x88, b"x")), Silence],
            protocol("WebSocket protocol: Invalid close sequence"),
        ),
        ("closes with code 999", WS_EXPECT, vec![WELCOME, close(999, b""), Silence], bad_code),
        ("closes with code 1006", WS_EXPECT, vec![WELCOME, close(1006, b"gone"), Silence], bad_code),
        ("closes with code 1015", WS_LISTEN, vec![WELCOME, close(1015, b""), Silence], bad_code),
        (
            "closes for a reason that is no text",
            WS_EXPECT,
            vec![WELCOME, close(1000, b"\xff"), Silence],
            protocol("WebSocket protocol: a text message or the reason of a close is not UTF-8"),
        ),
        ("accepts and never answers", SSE_OPEN, vec![Silence], NOT_OPEN),
        ("drips the head", SSE_OPEN, vec![Hear, Drip(sse_head.clone(), 40 * MS), Silence], NOT_OPEN),
        (
            "drips the head fast enough",
            SSE_EXPECT,
            vec![Hear, Drip(sse_head, 2 * MS), Say(b"event: a\ndata: 1\n\n".to_vec()), Silence],
            None,
        ),
        ("falls silent, expected", SSE_EXPECT, vec![Hear, events(""), Silence], NO_EVENT),
        ("falls silent, listened to", SSE_LISTEN_ON, vec![Hear, events(""), Silence], NO_EVENT_AFTER),
        (
            "falls silent inside an event",
            SSE_EXPECT,
            vec![Hear, events("event: a\ndata: x"), Silence],
            NO_EVENT,
        ),
        (
            "drips an event",
            SSE_EXPECT,
            vec![Hear, events(""), Drip(b"event: a\ndata: 1\n\n".to_vec(), 100 * MS), Silence],
            NO_EVENT,
        ),
        (
            "drips an event fast enough",
            SSE_EXPECT,
            vec![Hear, events(""), Drip(b"event: a\ndata: 1\n\n".to_vec(), 5 * MS), Silence],
            None,
        ),
        (
            "resets inside an event",
            SSE_EXPECT,
            vec![Hear, events("event: a\nda"), Wait(50 * MS), Reset],
            BROKEN_OFF,
        ),
        (
            "resets inside a chunk",
            SSE_EXPECT,
            vec![Hear, chunks("ff\r\nevent: a"), Wait(50 * MS), Reset],
            BROKEN_OFF,
        ),
        (
            "resets inside an event, listened to",
            SSE_LISTEN,
            vec![Hear, events("event: a\nda"), Wait(50 * MS), Reset],
            BROKEN_OFF,
        ),
        (
            "asks for a wait that no clock has room for",
            SSE_THINK,
            vec![Hear, events("retry: 1000000000000000000\n\n")],
            Some(("reset", "the server ended the event stream")),
        ),
        (
            "an event that is no text",
            SSE_EXPECT,
            vec![Hear, events(""), Say(b"event: a\ndata: \xff\n\n".to_vec()), Silence],
            None,
        ),
        (
            "babbles about something else",
            SSE_EXPECT,
            vec![Hear, events(""), Babble(b"data: b\n\n".to_vec())],
            NO_EVENT,
        ),
        (
            "babbles to a listener",
            SSE_LISTEN_ON,
            vec![Hear, events(""), Babble(b"data: b\n\n".to_vec())],
            NO_EVENT_AFTER,
        ),
        (
            "babbles to who thinks",
            SSE_THINK_ON,
            vec![Hear, events(""), Babble(b"data: b\n\n".to_vec())],
            NO_EVENT_AFTER,
        ),
        ("comments without end", SSE_EXPECT, vec![Hear, events(""), Babble(b":\n".to_vec())], NO_EVENT),
        (
            "an answer without end",
            GET,
            vec![Hear, Say(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), Babble(b"x".to_vec())],
            Some(("timeout", "no complete answer within 2s")),
        ),
    ]
}

#[test]
fn every_bad_server_is_named_and_leaves_nothing_open() {
    hold(cases, one_user);
}
