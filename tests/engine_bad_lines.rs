//! Sockets and event streams whose servers fall silent, drip, babble, break off or break the rules: each is an outcome by its name within
//! its time, and leaves no descriptor open. A test program of its own: it counts the process's descriptors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use transport_subjects::shard::one_user;
use transport_subjects::{open_descriptors, read_head, reset, scripted};

/// What a server does, one move after the other; then it closes.
#[derive(Clone)]
enum Move {
    /// Takes the request and does not answer.
    Hear,
    /// Takes a WebSocket's opening handshake and answers it as it should, but so many bytes at a time.
    Greet(usize, Duration),
    Say(Vec<u8>),
    /// A byte at a time.
    Drip(Vec<u8>, Duration),
    /// Again and again, as fast as it is taken, until nobody is there.
    Babble(Vec<u8>),
    Wait(Duration),
    /// Neither says nor closes anything until the client is gone.
    Silence,
    Reset,
}
use Move::{Babble, Drip, Greet, Hear, Reset, Say, Silence, Wait};

const MS: Duration = Duration::from_millis(1);
const WELCOME: Move = Greet(usize::MAX, Duration::ZERO);

fn play(moves: &[Move], mut socket: TcpStream) {
    for one in moves {
        let told = match one {
            Hear => read_head(&mut socket).map_or(Err(()), |_| Ok(())),
            Greet(piece, every) => greet(&mut socket, *piece, *every),
            Say(bytes) => say(&mut socket, bytes, usize::MAX, Duration::ZERO),
            Drip(bytes, every) => say(&mut socket, bytes, 1, *every),
            Babble(bytes) => {
                let many = bytes.repeat(65_536 / bytes.len());
                while socket.write_all(&many).is_ok() {}
                return;
            }
            Wait(span) => {
                std::thread::sleep(*span);
                Ok(())
            }
            Silence => {
                while matches!(socket.read(&mut [0; 4096]), Ok(1..)) {}
                return;
            }
            Reset => return reset(socket),
        };
        if told.is_err() {
            return;
        }
    }
}

fn say(socket: &mut TcpStream, bytes: &[u8], piece: usize, every: Duration) -> Result<(), ()> {
    for piece in bytes.chunks(piece) {
        socket.write_all(piece).map_err(drop)?;
        std::thread::sleep(every);
    }
    Ok(())
}

fn greet(socket: &mut TcpStream, piece: usize, every: Duration) -> Result<(), ()> {
    let head = read_head(socket).ok_or(())?;
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
    );
    say(socket, answer.as_bytes(), piece, every)
}

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

/// How it must end: the kind and the text of its one failure, if it fails.
type Named = Option<(&'static str, &'static str)>;

/// What the server does in words, the steps of its one client, the server's moves, and what must come of it.
type Case = (&'static str, &'static str, Vec<Move>, Named);

const NOT_OPEN: Named = Some(("timeout", "not open within 1s"));
const NO_MESSAGE: Named = Some(("timeout", "no such message within 1s"));
const NO_MESSAGE_AFTER: Named = Some(("timeout", "no such message within 1ms"));
const NO_EVENT: Named = Some(("timeout", "no such event within 1s"));
const NO_EVENT_AFTER: Named = Some(("timeout", "no such event within 1ms"));
const NO_GOODBYE: Named = Some(("reset", "the connection ended without the closing handshake"));
const BROKEN_OFF: Named = Some(("reset", "the connection was reset while receiving the response"));

fn protocol(text: &'static str) -> Named {
    Some(("protocol", text))
}

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
    // The runtime's own descriptors exist from its first use.
    carry(cases().remove(0)).unwrap();
    let before = open_descriptors();
    // Those that babble take all the cores there are, and would make those late that count milliseconds.
    let (babblers, others): (Vec<Case>, Vec<Case>) =
        cases().into_iter().partition(|(_, _, moves, _)| moves.iter().any(|one| matches!(one, Babble(_))));
    let wrong = [at_once(others), at_once(babblers)].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The servers are in this process too; they close within a moment of the client.
    for _ in 0..100 {
        if open_descriptors() <= before {
            break;
        }
        std::thread::sleep(20 * MS);
    }
    assert!(open_descriptors() <= before, "{} descriptors, {before} before", open_descriptors());
}

fn at_once(cases: Vec<Case>) -> Vec<String> {
    std::thread::scope(|scope| {
        let running: Vec<_> = cases.into_iter().map(|case| scope.spawn(move || carry(case))).collect();
        running.into_iter().filter_map(|one| one.join().expect("no panic").err()).collect()
    })
}

fn carry((what, steps, moves, named): Case) -> Result<(), String> {
    let addr = scripted(1, move |socket| play(&moves, socket));
    let ran = one_user(addr, steps);
    let failures = ran.failures();
    let found: Vec<(&str, &str, u64)> = failures.iter().map(|f| (f.1.as_str(), f.2.as_str(), f.3)).collect();
    let expected: Vec<(&str, &str, u64)> = named.iter().map(|(kind, text)| (*kind, *text, 1)).collect();
    // A user whose code panics is counted as interrupted.
    if found == expected && ran.sum.counts.interrupted == 0 {
        Ok(())
    } else {
        Err(format!("{what}:\n{steps}    found {found:?}, {:?}\n    expected {expected:?}", ran.sum.counts))
    }
}
