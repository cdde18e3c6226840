//! What ends before a byte of it is sent is no request of the target's, and is counted all the same: `carry` holds every run to
//! sent + unsent = ok + failed + interrupted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use plimsoll::engine::shard::Command;
use plimsoll::load::share::Share;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use transport_subjects::read_request;
use transport_subjects::shard::{Ran, Run, carry};

/// Listens, and lets nobody in: its queue of new connections is full, so that whoever knocks waits. It lasts as long as what is returned.
fn walled_off() -> (SocketAddr, tokio::runtime::Runtime, (tokio::net::TcpListener, Vec<TcpStream>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket.listen(1).unwrap()
    });
    let addr = listener.local_addr().unwrap();
    let before = (0..8).filter_map(|_| TcpStream::connect_timeout(&addr, Duration::from_millis(50)).ok());
    let before = before.collect();
    (addr, runtime, (listener, before))
}

fn users_of(steps: &str) -> String {
    format!(
        "scenarios: {{a: {{steps: {steps}}}}}\nload:\n  - {{name: a, run: a, executor: closed, stages: [{{to: 2, over: 0s}}, {{hold: 1s}}], graceful_stop: 300ms}}\n"
    )
}

#[test]
fn a_server_that_goes_away_while_users_think_was_sent_nothing_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let users: Vec<TcpStream> = (0..2).map(|_| listener.accept().unwrap().0).collect();
        for mut user in users {
            assert!(read_request(&mut user));
            user.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        }
    });
    let sum = carry(addr, &format!("http: \"http://{addr}\""), &users_of("[{get: /}, {think: 300ms}]"));
    server.join().unwrap();
    let requests = sum.requests;
    assert_eq!((requests.sent, requests.ok), (2, 2), "what the server has seen: {requests:?}");
    assert!(requests.unsent >= 2 && requests.failed == requests.unsent, "{requests:?}");
    assert_eq!(sum.connect_failures, requests.failed);
    let window = sum.windows[0].as_ref().unwrap();
    assert_eq!(window.all_services().count(), 2, "and what was not sent took no time");
}

/// Runs two users against a wall, with these keys besides the address.
fn against_a_wall(keys: &str, steps: &str, words: &[(Duration, Command)]) -> Ran {
    let (addr, _runtime, _queue) = walled_off();
    let target = format!("http: \"http://{addr}\", ws: \"ws://{addr}\", {keys}");
    let rest = users_of(steps);
    let (target, rest) = (&target, &rest);
    Run { addr, target, rest, share: Share::WHOLE, words, ends_with_its_users: false }.carry()
}

#[test]
fn an_opening_has_the_time_that_a_connection_has() {
    for opening in ["[{ws_open: /ws, as: s}]", "[{sse_open: /events, as: s}]"] {
        let ran = against_a_wall("connect_timeout: 200ms, timeout: 5s", opening, &[]);
        let requests = ran.sum.requests;
        assert!(requests.failed > 0 && requests.sent == 0, "{opening}: {requests:?}");
        assert_eq!(ran.sum.connect_failures, requests.failed, "{opening}: as a target that has gone");
        for (_, kind, text, _) in ran.failures() {
            assert_eq!((kind.as_str(), text.as_str()), ("connect_timeout", "no connection within 200ms"));
        }
    }
}

/// A variable may hold what no handshake can carry.
#[test]
fn an_opening_that_cannot_be_sent_took_no_time() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let open = r#"[{set: {v: "\x01"}}, {ws_open: /ws, headers: {x: "${v}"}}]"#;
    let sum = carry(addr, &format!("ws: \"ws://{addr}\""), &users_of(open));
    let requests = sum.requests;
    assert_eq!((requests.sent, requests.unsent), (0, requests.failed), "{requests:?}");
    assert!((2..=20).contains(&requests.failed), "without a thought, but with a pause: {requests:?}");
    let failures = sum.failures.list(|_| String::new());
    let told: Vec<_> =
        failures.iter().map(|failure| (failure.kind.as_str(), failure.text.as_str())).collect();
    assert_eq!(told, [("unbound", "header `x` of the opening handshake is not valid")]);
    let window = sum.windows[0].as_ref().unwrap();
    assert_eq!((window.all_responses().count(), window.all_services().count()), (0, 0));
}

/// A step that names what no step has captured is nothing done: its user does not repeat it in haste.
#[test]
fn who_cannot_even_say_what_to_ask_for_takes_a_pause() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let steps = r#"[{if: "${rand.chance(0%)}", then: [{set: {x: 1}}]}, {get: "/${x}", name: x}]"#;
    let sum = carry(addr, &format!("http: \"http://{addr}\""), &users_of(steps));
    let requests = sum.requests;
    assert!(requests.failed == requests.unsent && (2..=20).contains(&requests.failed), "{requests:?}");
}

#[test]
fn who_is_cut_off_while_connecting_had_begun_a_request() {
    for steps in ["[{get: /}]", "[{ws_open: /ws, as: s}]", "[{sse_open: /events, as: s}]"] {
        let ran = against_a_wall("connect_timeout: 30s, timeout: 30s", steps, &[]);
        let requests = ran.sum.requests;
        assert_eq!((requests.sent, requests.unsent, requests.interrupted), (0, 2, 2), "{steps}");
        let window = ran.sum.windows[0].as_ref().unwrap();
        assert_eq!(window.all_responses().count(), 2, "{steps}: they had waited");
        assert!(window.all_responses().max_ns() >= 1_000_000_000, "{steps}");
        assert_eq!(window.all_services().count(), 0, "{steps}");
    }
}
