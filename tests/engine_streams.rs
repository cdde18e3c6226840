//! Sockets and event streams through a whole shard: what servers do to them is in the record by name, what ends is opened again, and
//! every connection that was opened is closed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use futures_util::{SinkExt, StreamExt};
use plimsoll::load::share::Share;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use transport_subjects::shard::{Run, one_user as carry};
use transport_subjects::{read_head, scripted};

/// A server of event streams: the `n`-th connection, counted from 0, gets what `script` says to its request's head.
fn streaming(script: impl Fn(usize, &str, &mut std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let mut turn = 0;
    scripted(20, move |mut socket| {
        let head = read_head(&mut socket).unwrap_or_default();
        script(turn, &head, &mut socket);
        turn += 1;
    })
}

const OPENING: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n";

fn say(socket: &mut std::net::TcpStream, text: &str) {
    let _ = socket.write_all(text.as_bytes());
}

#[test]
fn events_are_expected_heard_and_their_sequence_watched() {
    let addr = streaming(|_, head, socket| {
        assert!(head.starts_with("GET /events?id=7 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("accept: text/event-stream\r\n") && !head.contains("last-event-id"), "{head}");
        let _ = socket.write_all(OPENING);
        say(socket, ": hello\n\nevent: ready\ndata: {\"type\": \"subscribed\", \"token\": \"abc\"}\n\n");
        let now = plimsoll::clock::unix_ms();
        for seq in [1, 2, 3, 6, 6, 7] {
            let sent = if seq == 7 { now + 600_000 } else { now };
            say(
                socket,
                &format!("event: tick\ndata: {{\"type\": \"tick\", \"seq\": {seq}, \"at\": {sent}}}\n\n"),
            );
            say(socket, "event: noise\ndata: {\"type\": \"noise\"}\n\n");
        }
        std::thread::sleep(Duration::from_millis(1500));
    });
    let ran = carry(
        addr,
        "      - {sse_open: /events?id=7, as: feed}\n      - {sse_expect: {type: subscribed}, stream: feed, event: ready, text: abc, extract: {token: $.token}}\n      - {sse_listen: 500ms, stream: feed, event: tick, match: {type: tick}, lag: $.at, sequence: $.seq}\n      - {sse_expect: , stream: feed, event: never, within: 50ms}\n      - {sse_close: feed}\n",
    );
    assert_eq!(ran.completed("SSE /events", "sse"), 1);
    assert_eq!(ran.completed("ready", "sse"), 1);
    assert_eq!(ran.completed("tick", "sse.lag"), 6);
    let streams = ran.sum.requests.streams;
    assert_eq!((streams.missing, streams.repeated, streams.early, streams.reconnects), (2, 1, 1, 0));
    assert!(streams.lag_ns_min.is_some_and(|lag_ns| (-600_000_000_000..-590_000_000_000).contains(&lag_ns)));
    assert!(streams.opening_ns_min.is_some_and(|took_ns| took_ns < 500_000_000));
    let failures = ran.failures();
    assert_eq!(failures.len(), 3, "{failures:?}");
    assert!(failures.iter().any(|f| f.2 == "no such event within 50ms" && f.1 == "timeout"), "{failures:?}");
    let lag = ran.window("tick", "sse.lag").unwrap();
    assert!(lag.response.max_ns() < 2_000_000_000, "{} ns", lag.response.max_ns());
}

#[test]
fn a_stream_that_ends_is_opened_again_where_it_was() {
    let addr = streaming(|turn, head, socket| {
        let _ = socket.write_all(OPENING);
        if turn == 0 {
            say(socket, "retry: 30\nid: 41\nevent: tick\ndata: {\"seq\": 41}\n\n");
            return;
        }
        assert!(head.contains("\r\nlast-event-id: 41\r\n\r\n"), "{head}");
        say(socket, "event: tick\ndata: {\"seq\": 42}\n\n");
        std::thread::sleep(Duration::from_millis(900));
        say(socket, "event: done\ndata: x\n\n");
        std::thread::sleep(Duration::from_millis(900));
    });
    // It ends while the user thinks: that is noticed then, not by the step after.
    let ran = carry(
        addr,
        "      - {sse_open: /events, reconnect: {max: 2, backoff: 20ms..40ms}}\n      - {think: 300ms}\n      - {sse_listen: 300ms, event: tick, name: tick, lag: $.seq, sequence: $.seq}\n      - {sse_expect: , event: done, within: 2s}\n",
    );
    let streams = ran.sum.requests.streams;
    assert_eq!((streams.reconnects, streams.missing, streams.repeated), (1, 0, 0));
    assert_eq!(ran.completed("SSE /events", "sse"), 2);
    let failures = ran.failures();
    assert!(
        failures.iter().any(|f| f.1 == "reset" && f.2 == "the server ended the event stream"),
        "{failures:?}"
    );
}

#[test]
fn answers_that_are_no_event_stream_are_named() {
    for (answer, kind, text) in [
        (
            "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
            "status",
            "the server answered with status 503, not with an event stream",
        ),
        (
            "HTTP/1.1 204 No Content\r\n\r\n",
            "status",
            "the server answered with status 204, not with an event stream",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>",
            "check",
            "the answer is `text/html`, not `text/event-stream`",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n",
            "protocol",
            "the event stream is compressed: ask for it without `accept-encoding`",
        ),
        ("SSH-2.0-OpenSSH\r\n\r\n", "protocol", "malformed response: it does not begin with `HTTP/1.`"),
        (
            "HTTP/1.1 200 OK\r\ncontent-ty",
            "reset",
            "the server closed the connection inside the response head",
        ),
        ("", "reset", "the server closed the connection before answering"),
    ] {
        let addr = streaming(move |_, _, socket| say(socket, answer));
        let ran = carry(addr, "      - {sse_open: /events, expect: {within: 500ms}}\n");
        let failures = ran.failures();
        assert_eq!((failures[0].1.as_str(), failures[0].2.as_str()), (kind, text));
        assert_eq!((ran.sum.requests.ok, ran.sum.requests.failed), (0, 1));
        assert!(ran.sum.requests.bytes_sent > 0);
        assert_eq!(ran.sum.requests.bytes_received, answer.len() as u64, "{text}");
    }
}

#[test]
fn streams_that_break_in_the_middle_are_named() {
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let endless = format!("data: {}", "x".repeat(1024 * 1024 + 100));
    for (body, kind, text) in [
        (format!("{chunked}zz\r\n"), "protocol", "malformed response: chunk size line"),
        (format!("{chunked}5\r\ndata"), "reset", "the server closed the connection inside the response body"),
        (format!("{chunked}0\r\n\r\n"), "reset", "the server ended the event stream"),
        (
            format!("{}{endless}", String::from_utf8_lossy(OPENING)),
            "protocol",
            "an event is larger than 1048576 bytes",
        ),
    ] {
        let addr = streaming(move |_, _, socket| say(socket, &body));
        let ran = carry(addr, "      - {sse_open: /events}\n      - {sse_expect: , event: e, within: 3s}\n");
        let failures = ran.failures();
        assert_eq!((failures[0].1.as_str(), failures[0].2.as_str()), (kind, text));
    }
}

/// A WebSocket server: the `n`-th connection is handed to `script` once it is open.
fn sockets<F>(script: impl Fn(usize, Server) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let turn = AtomicUsize::new(0);
            while let Ok((socket, _)) = listener.accept().await {
                let Ok(server) = tokio_tungstenite::accept_async(socket).await else { continue };
                tokio::spawn(script(turn.fetch_add(1, Ordering::Relaxed), server));
            }
        });
    });
    addr
}

type Server = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

#[test]
fn a_socket_that_is_closed_is_opened_again_and_says_its_piece_again() {
    let addr = sockets(|turn, mut server| async move {
        let Some(Ok(said)) = server.next().await else { return };
        assert_eq!(said.to_text().unwrap(), "{\"type\":\"subscribe\"}");
        server.send(Message::text("{\"type\":\"subscribed\"}")).await.unwrap();
        server.send(Message::text(format!("{{\"type\":\"tick\",\"seq\":{}}}", 1 + 3 * turn))).await.unwrap();
        if turn == 0 {
            // Not a word of goodbye.
            return;
        }
        while server.next().await.is_some() {}
    });
    let ran = carry(
        addr,
        "      - {ws_open: /ws, as: s, reconnect: {max: 2, backoff: 10ms..20ms}}\n      - {ws_send: {type: subscribe}, socket: s, resend: true}\n      - {ws_expect: {type: subscribed}, socket: s}\n      - {ws_listen: 400ms, socket: s, match: {type: tick}, sequence: $.seq}\n      - {ws_close: s}\n",
    );
    let streams = ran.sum.requests.streams;
    assert_eq!((streams.reconnects, streams.missing), (1, 2), "ticks 2 and 3 came while it was away");
    assert_eq!((ran.completed("WS /ws", "ws"), ran.completed("subscribed", "ws")), (2, 1));
    let failures = ran.failures();
    assert!(
        failures.iter().any(|f| f.2 == "the connection ended without the closing handshake"),
        "{failures:?}"
    );
}

#[test]
fn reconnecting_has_an_end() {
    let addr = sockets(|_, mut server| async move {
        let _ = server.close(None).await;
        while server.next().await.is_some() {}
    });
    let ran = carry(
        addr,
        "      - {ws_open: /ws, reconnect: {max: 3, backoff: 1ms}}\n      - {ws_listen: 5s}\n      - {ws_send: too late}\n",
    );
    assert_eq!(ran.sum.requests.streams.reconnects, 3);
    assert_eq!(ran.completed("WS /ws", "ws"), 4);
    let failures = ran.failures();
    let closed = failures.iter().find(|f| f.2 == "the server closed the socket with code 1005 (none given)");
    assert_eq!(closed.map(|f| f.3), Some(4), "{failures:?}");
    assert!(failures.iter().any(|f| f.2 == "the socket is not open"), "{failures:?}");
}

#[test]
fn a_user_who_thinks_answers_pings_and_times_messages_when_they_came() {
    let addr = sockets(|_, mut server| async move {
        server.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
        let answered = tokio::time::timeout(Duration::from_millis(500), server.next()).await;
        let word = if matches!(answered, Ok(Some(Ok(Message::Pong(_))))) { "awake" } else { "asleep" };
        server.send(Message::text(format!("{{\"type\":\"{word}\"}}"))).await.unwrap();
        while server.next().await.is_some() {}
    });
    let ran = carry(
        addr,
        "      - {ws_open: /ws}\n      - {think: 900ms}\n      - {ws_expect: {type: awake}, within: 1s}\n      - {ws_close: }\n",
    );
    let window = ran.window("awake", "ws").expect("the ping was answered while the user was thinking");
    assert!(window.response.max_ns() < 600_000_000, "{} ns hold the think time", window.response.max_ns());
}

/// Each answer takes three beats: the response counts from the beat, the service from the sending.
#[test]
fn messages_of_a_paced_user_have_two_clocks() {
    let addr = sockets(|_, mut server| async move {
        while let Some(Ok(said)) = server.next().await {
            if said.is_text() {
                tokio::time::sleep(Duration::from_millis(300)).await;
                server.send(Message::text("{\"type\":\"echo\"}")).await.unwrap();
            }
        }
    });
    let target = format!("http: \"http://{addr}\", ws: \"ws://{addr}\", timeout: 2s");
    let rest = "scenarios: {say: {pacing: {every: 100ms}, once_per_user: [{ws_open: /ws, as: s}], steps: [{ws_send: {type: say}, socket: s}, {ws_expect: {type: echo}, socket: s}]}}\nload:\n  - {name: a, run: say, executor: closed, stages: [{to: 1, over: 0s}, {hold: 2s}], graceful_stop: 2s}\n";
    let run =
        Run { addr, target: &target, rest, share: Share::WHOLE, words: &[], ends_with_its_users: false };
    let ran = run.carry();
    let window = ran.window("echo", "ws").unwrap();
    assert!(window.completed >= 3, "{}", window.completed);
    assert!(window.service.max_ns() < 600_000_000, "{} ns", window.service.max_ns());
    let late_ns = (window.completed - 1) * 200_000_000;
    assert!(window.response.max_ns() >= late_ns + 290_000_000, "{} ns", window.response.max_ns());
}

#[test]
fn reads_of_messages_say_how_late_they_were() {
    let addr = sockets(|_, mut server| async move {
        while let Some(Ok(said)) = server.next().await {
            if said.is_text() {
                server.send(Message::text("{\"type\":\"echo\"}")).await.unwrap();
            }
        }
    });
    let ran = carry(
        addr,
        "      - {ws_open: /ws}\n      - {think: 100ms}\n      - {repeat: 150, steps: [{ws_send: {type: say}}, {ws_expect: {type: echo}}]}\n      - {ws_close: }\n",
    );
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
    let sampled = ran.sum.read_error.count();
    assert!((1..50).contains(&sampled), "one read in 101 or one in a tenth of a second, not {sampled}");
}

#[test]
fn reads_of_events_say_how_late_they_were() {
    let addr = streaming(|_, _, socket| {
        let _ = socket.write_all(OPENING);
        for _ in 0..150 {
            std::thread::sleep(Duration::from_millis(4));
            say(socket, "event: tick\ndata: x\n\n");
        }
        std::thread::sleep(Duration::from_millis(500));
    });
    let ran = carry(
        addr,
        "      - {sse_open: /events}\n      - {repeat: 150, steps: [{sse_expect: , event: tick, within: 2s}]}\n      - {sse_close: }\n",
    );
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
    assert_eq!(ran.completed("tick", "sse"), 150);
    let sampled = ran.sum.read_error.count();
    assert!((1..50).contains(&sampled), "one read in 101 or one in a tenth of a second, not {sampled}");
}

#[test]
fn more_than_a_user_keeps_is_counted_and_pings_are_answered_all_the_same() {
    static AWAKE: AtomicUsize = AtomicUsize::new(0);
    let addr = sockets(|_, mut server| async move {
        for seq in 1..=600 {
            server.send(Message::text(format!("{{\"type\":\"tick\",\"seq\":{seq}}}"))).await.unwrap();
        }
        server.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
        let answered = tokio::time::timeout(Duration::from_millis(500), server.next()).await;
        AWAKE.fetch_add(usize::from(matches!(answered, Ok(Some(Ok(Message::Pong(_)))))), Ordering::Relaxed);
        while server.next().await.is_some() {}
    });
    let ran = carry(
        addr,
        "      - {ws_open: /ws}\n      - {think: 900ms}\n      - {ws_listen: 200ms, match: {type: tick}, sequence: $.seq}\n      - {ws_close: }\n",
    );
    let streams = ran.sum.requests.streams;
    assert_eq!((streams.overflowed, streams.missing), (600 - 256, 0), "what we dropped is not the server's");
    assert_eq!(AWAKE.load(Ordering::Relaxed), 1);
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
}

/// What is said again after a reconnect must not take the instant that the plan gave the user's next message.
#[test]
fn a_message_keeps_its_instant_over_a_reconnect() {
    let addr = sockets(|turn, mut server| async move {
        while let Some(Ok(said)) = server.next().await {
            if said.to_text().unwrap_or_default() != "{\"type\":\"say\"}" {
                continue;
            }
            if turn == 0 {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            server.send(Message::text("{\"type\":\"echo\"}")).await.unwrap();
            if turn == 0 {
                return;
            }
        }
    });
    let target = format!("http: \"http://{addr}\", ws: \"ws://{addr}\", timeout: 2s");
    let rest = "scenarios: {say: {pacing: {every: 100ms}, once_per_user: [{ws_open: /ws, as: s, reconnect: {max: 2, backoff: 1ms}}, {ws_send: {type: hello}, socket: s, resend: true}], steps: [{think: 100ms}, {ws_send: {type: say}, socket: s}, {ws_expect: {type: echo}, socket: s}]}}\nload:\n  - {name: a, run: say, executor: closed, stages: [{to: 1, over: 0s}, {hold: 2s}], graceful_stop: 2s}\n";
    let run =
        Run { addr, target: &target, rest, share: Share::WHOLE, words: &[], ends_with_its_users: false };
    let ran = run.carry();
    assert_eq!(ran.sum.requests.streams.reconnects, 1);
    let window = ran.window("echo", "ws").unwrap();
    assert!(window.completed >= 3, "{}", window.completed);
    let least_ns = window.response.hdr().min();
    assert!(least_ns >= 300_000_000, "{least_ns} ns: each was late by what the first took");
}

/// Answers a handshake and hangs up; lets any other request wait for a while.
fn hanging_up() -> SocketAddr {
    scripted(2, |mut socket| {
        let head = read_head(&mut socket).unwrap_or_default();
        let Some(key) = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")) else {
            std::thread::sleep(Duration::from_millis(200));
            say(&mut socket, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            return;
        };
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        say(
            &mut socket,
            &format!(
                "HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
            ),
        );
        // Closing (1001, going away).
        let _ = socket.write_all(&[0x88, 2, 3, 0xe9]);
    })
}

#[test]
fn a_message_to_a_server_that_has_gone_is_a_failure() {
    let ran = carry(hanging_up(), "      - {ws_open: /ws}\n      - {get: /slow}\n      - {ws_send: hello}\n");
    let failures = ran.failures();
    let found = failures.first().map(|f| (f.0.as_str(), f.1.as_str(), f.2.as_str()));
    let text = "the server closed the socket with code 1001 (going away)";
    assert_eq!(found, Some(("WS /ws", "reset", text)), "{failures:?}");
}

#[test]
fn bytes_of_messages_count_whether_somebody_waits_for_them_or_not() {
    let addr = sockets(|_, mut server| async move {
        for _ in 0..10 {
            server.send(Message::text("x".repeat(10_000))).await.unwrap();
        }
        while server.next().await.is_some() {}
    });
    let ran = carry(
        addr,
        &format!(
            "      - {{ws_open: /ws}}\n      - {{ws_send: \"{}\"}}\n      - {{think: 500ms}}\n      - {{ws_close: }}\n",
            "y".repeat(20_000)
        ),
    );
    let requests = ran.sum.requests;
    assert!((20_000..21_000).contains(&requests.bytes_sent), "{}", requests.bytes_sent);
    assert!((100_000..101_000).contains(&requests.bytes_received), "{}", requests.bytes_received);

    let addr = streaming(|_, _, socket| {
        let _ = socket.write_all(OPENING);
        std::thread::sleep(Duration::from_millis(100));
        say(socket, &format!("data: {}\n\n", "x".repeat(10_000)).repeat(10));
        std::thread::sleep(Duration::from_millis(800));
    });
    let ran = carry(
        addr,
        "      - {sse_open: /events}\n      - {think: 400ms}\n      - {sse_listen: 100ms}\n      - {sse_close: }\n",
    );
    let requests = ran.sum.requests;
    assert_eq!(requests.bytes_received, OPENING.len() as u64 + 10 * 10_008);
}

/// The first answer takes five beats, and an event comes 100 ms after each request: later ones count from their beats.
#[test]
fn events_of_a_paced_user_have_two_clocks() {
    let (tell, told) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(Some(told));
    let addr = streaming(move |turn, head, socket| {
        if head.starts_with("GET /events") {
            let mut events = socket.try_clone().unwrap();
            let told = told.lock().unwrap().take().unwrap();
            let _ = events.write_all(OPENING);
            std::thread::spawn(move || {
                while told.recv().is_ok() {
                    std::thread::sleep(Duration::from_millis(100));
                    say(&mut events, "event: done\ndata: x\n\n");
                }
            });
            return;
        }
        if turn == 1 {
            std::thread::sleep(Duration::from_millis(500));
        }
        let _ = tell.send(());
        say(socket, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    let target = format!("http: \"http://{addr}\", timeout: 2s");
    let rest = "scenarios: {say: {pacing: {every: 100ms}, once_per_user: [{sse_open: /events, as: s}], steps: [{post: /say}, {sse_expect: , stream: s, event: done}]}}\nload:\n  - {name: a, run: say, executor: closed, stages: [{to: 1, over: 0s}, {hold: 1300ms}], graceful_stop: 2s}\n";
    let run =
        Run { addr, target: &target, rest, share: Share::WHOLE, words: &[], ends_with_its_users: false };
    let ran = run.carry();
    let window = ran.window("done", "sse").unwrap();
    assert!(window.completed >= 3, "{}", window.completed);
    let (response, service) = (window.response.hdr(), window.service.hdr());
    assert!(response.min() >= 500_000_000, "{} ns", response.min());
    assert!(service.min() < 300_000_000, "{} ns", service.min());
}
