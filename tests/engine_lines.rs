//! What stays open, in the record: who waited for a message, and how long; and that a user reads its lines whatever else it does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use plimsoll::clock::Clock;
use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::time::Duration;
use transport_subjects::lines::{OK, OPENING, hear, push, say, server, switch};
use transport_subjects::shard::one_user;

const MS: Duration = Duration::from_millis(1);

/// The opening took as long as it took: what comes on the line later, or does not, is counted and has no time.
#[test]
fn what_fails_on_a_line_is_no_latency_of_its_opening() {
    let (addr, _) = server(|head, _, socket| {
        say(socket, &switch(head));
        std::thread::sleep(300 * MS);
        for message in [r#"{"seq":1,"at":0}"#, r#"{"seq":5,"at":0}"#, r#"{"seq":6}"#, r#"{"at":0}"#] {
            push(socket, message);
        }
        std::thread::sleep(300 * MS);
    });
    let ran = one_user(
        addr,
        "      - {ws_open: /ws}\n      - {ws_listen: 5s, name: tick, lag: $.at, sequence: $.seq}\n      - {ws_listen: 1s}\n",
    );
    let (opening, lag) = (ran.window("WS /ws", "ws").unwrap(), ran.window("tick", "ws.lag").unwrap());
    assert_eq!((opening.completed, opening.failures), (1, 4), "{:?}", ran.failures());
    assert_eq!((lag.completed, lag.failures), (3, 1), "{:?}", ran.failures());
    assert_eq!((opening.all_responses().count(), lag.all_responses().count()), (1, 3));

    let (addr, _) = server(|_, _, socket| {
        say(socket, OPENING);
        std::thread::sleep(300 * MS);
        say(socket, "data: {}\n\n");
        std::thread::sleep(300 * MS);
    });
    for rest in ["      - {sse_listen: 5s, sequence: $.seq}\n", "      - {think: 1s}\n"] {
        let ran = one_user(
            addr,
            &format!("      - {{sse_open: /events, reconnect: {{max: 1, backoff: 1s..1s}}}}\n{rest}"),
        );
        let opening = ran.window("SSE /events", "sse").unwrap();
        assert!(opening.failures >= 1, "{:?}", ran.failures());
        assert_eq!(opening.all_responses().count(), opening.completed, "{:?}", ran.failures());
    }
}

#[test]
fn a_sequence_may_leap_as_far_as_numbers_go() {
    let (addr, _) = server(|_, _, socket| {
        say(socket, OPENING);
        for seq in ["1", "1e300", "2", "1e300"] {
            say(socket, &format!("data: {{\"seq\": {seq}}}\n\n"));
        }
        std::thread::sleep(500 * MS);
    });
    let ran = one_user(
        addr,
        "      - {sse_open: /events, as: feed}\n      - {sse_listen: 200ms, stream: feed, sequence: $.seq}\n      - {sse_close: feed}\n",
    );
    let streams = ran.sum.requests.streams;
    assert_eq!((streams.missing, streams.repeated), (u64::MAX, 1), "{:?}", ran.failures());
    let gaps = ran.failures().iter().map(|failure| failure.3).sum::<u64>();
    assert_eq!(gaps, 3, "{:?}", ran.failures());
}

/// A message that came before the last one was sent answers what was asked before: it took from there, and not no time at all.
#[test]
fn a_message_is_timed_from_what_was_asked_before_it_came() {
    let (addr, _) = server(|head, _, socket| {
        say(socket, &switch(head));
        std::thread::sleep(200 * MS);
        push(socket, r#"{"type":"welcome"}"#);
        hear(socket);
        std::thread::sleep(200 * MS);
        push(socket, r#"{"type":"others"}"#);
        hear(socket);
        push(socket, r#"{"type":"echo"}"#);
        hear(socket);
    });
    let ran = one_user(
        addr,
        "      - {ws_open: /ws}\n      - {think: 400ms}\n      - {ws_send: {type: a}}\n      - {think: 400ms}\n      - {ws_send: {type: b}}\n      - {ws_expect: {type: welcome}}\n      - {ws_expect: {type: others}}\n      - {ws_expect: {type: echo}}\n",
    );
    for (name, least, most) in [("welcome", 190, 350), ("others", 190, 350), ("echo", 0, 150)] {
        let took_ms = ran.window(name, "ws").unwrap().service.max_ns() / 1_000_000;
        assert!((least..=most).contains(&took_ms), "{name}: {took_ms} ms");
    }
}

#[test]
fn an_event_is_timed_from_the_request_before_it_came() {
    let (addr, _) = server(|head, _, socket| {
        if head.starts_with("POST") {
            return say(socket, OK);
        }
        say(socket, OPENING);
        std::thread::sleep(200 * MS);
        say(socket, "event: welcome\ndata: x\n\n");
        std::thread::sleep(400 * MS);
        say(socket, "event: effect\ndata: x\n\n");
        std::thread::sleep(600 * MS);
    });
    let ran = one_user(
        addr,
        "      - {sse_open: /events, as: s}\n      - {think: 400ms}\n      - {post: /a}\n      - {think: 400ms}\n      - {post: /b}\n      - {sse_expect: , stream: s, event: welcome}\n      - {sse_expect: , stream: s, event: effect}\n",
    );
    for name in ["welcome", "effect"] {
        let took_ms = ran.window(name, "sse").unwrap().service.max_ns() / 1_000_000;
        assert!((190..=350).contains(&took_ms), "{name}: {took_ms} ms");
    }
}

/// The answer to a message comes while the user waits for a response: it is timed when it came.
#[test]
fn a_message_that_comes_during_a_request_is_timed_when_it_came() {
    let (addr, _) = server(|head, _, socket| {
        if head.starts_with("GET /slow") {
            std::thread::sleep(800 * MS);
            return say(socket, OK);
        }
        say(socket, &switch(head));
        hear(socket);
        push(socket, r#"{"type":"ack"}"#);
        hear(socket);
    });
    let ran = one_user(
        addr,
        "      - {ws_open: /ws}\n      - {ws_send: {type: a}}\n      - {get: /slow}\n      - {ws_expect: {type: ack}}\n",
    );
    let took_ms = ran.window("ack", "ws").unwrap().service.max_ns() / 1_000_000;
    assert!(took_ms < 300, "{took_ms} ms have the request in them");
}

/// A server may write before it reads on: a user who has much to say itself reads meanwhile, or each would wait for the other.
#[test]
fn a_socket_is_read_while_a_message_goes_out_on_it() {
    let (tell, told) = channel();
    let (addr, _) = server(move |head, _, socket| {
        say(socket, &switch(head));
        std::thread::sleep(300 * MS);
        let text = [&[0x81, 127, 0, 0, 0, 0, 0, 4, 0, 0][..], &[b'x'; 4 << 16]].concat();
        for _ in 0..64 {
            if socket.write_all(&text).is_err() {
                return;
            }
        }
        let _ = tell.send(());
        let mut sink = [0; 1 << 16];
        while socket.read(&mut sink).is_ok_and(|count| count > 0) {}
    });
    // More than the buffers of the kernel take, which hold a few MiB either way.
    let long = "y".repeat(1 << 20);
    let ran = one_user(
        addr,
        &format!(
            "      - {{ws_open: /ws}}\n      - {{repeat: 32, steps: [{{ws_send: {long}}}]}}\n      - {{think: 300ms}}\n"
        ),
    );
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
    assert!(told.try_recv().is_ok(), "the server has said all it had to");
}

/// Whatever a user waits for on one line, it answers pings on the other.
#[test]
fn pings_are_answered_while_another_line_is_waited_for() {
    for wait in [
        "{sse_listen: 700ms, stream: s}",
        "{sse_expect: , stream: s, event: late, within: 2s}",
        "{ws_listen: 700ms, socket: other}",
        "{ws_expect: {type: late}, socket: other, within: 2s}",
        "{get: /slow}",
    ] {
        let (tell, told) = channel();
        let (addr, _) = server(move |head, _, socket| {
            if head.starts_with("GET /pinging") {
                say(socket, &switch(head));
                std::thread::sleep(300 * MS);
                let _ = socket.write_all(&[0x89, 0]);
                socket.set_read_timeout(Some(300 * MS)).unwrap();
                let _ = tell.send(hear(socket).is_some_and(|(kind, _)| kind == 0xa));
                std::thread::sleep(400 * MS);
                return;
            }
            let opening = match head {
                _ if head.starts_with("GET /other") => switch(head),
                _ if head.starts_with("GET /events") => OPENING.to_owned(),
                _ => String::new(),
            };
            say(socket, &opening);
            std::thread::sleep(800 * MS);
            match head {
                _ if head.starts_with("GET /other") => push(socket, r#"{"type":"late"}"#),
                _ if head.starts_with("GET /events") => say(socket, "event: late\ndata: x\n\n"),
                _ => say(socket, OK),
            }
        });
        one_user(
            addr,
            &format!(
                "      - {{sse_open: /events, as: s}}\n      - {{ws_open: /other, as: other}}\n      - {{ws_open: /pinging, as: p}}\n      - {wait}\n"
            ),
        );
        assert_eq!(told.try_recv(), Ok(true), "{wait}");
    }
}

/// An iteration that cannot go on says why, also where the step is no request.
#[test]
fn a_step_without_its_variable_is_named() {
    let why = "has not been captured by any step this user has run";
    for (step, endpoint, text) in [
        ("{set: {b: \"${a}\"}}", "(no request)", format!("`set` of `b`: `${{a}}` {why}")),
        (
            "{if: '${a} == \"x\"', then: [{stop_user: }]}",
            "(no request)",
            format!("whether `${{a}} == \"x\"` holds: a variable in it {why}"),
        ),
        ("{ws_listen: 100ms, match: {id: \"${a}\"}}", "WS /ws", format!("`${{a}}` {why}")),
    ] {
        let (addr, _) = server(|head, turn, socket| {
            if head.starts_with("GET /unset") {
                // Without what the step after it needs; its check fails first.
                return say(
                    socket,
                    if turn == 0 { "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n" } else { OK },
                );
            }
            say(socket, &switch(head));
            hear(socket);
        });
        let ran = one_user(
            addr,
            &format!(
                "      - {{ws_open: /ws}}\n      - {{get: /unset, name: unset, extract: {{a: $.a}}}}\n      - if: ${{iter}} == 1\n        then: [stop_user]\n      - {step}\n"
            ),
        );
        let failures = ran.failures();
        let found = failures.iter().find(|f| f.1 == "unbound").map(|f| (f.0.as_str(), f.2.as_str()));
        assert_eq!(found, Some((endpoint, text.as_str())), "{failures:?}");
    }
}

/// While the socket was away nothing had to be kept alive.
#[test]
fn keep_alives_that_passed_while_a_socket_was_away_are_not_made_up_for() {
    let (tell, told) = channel();
    let (addr, _) = server(move |head, turn, socket| {
        say(socket, &switch(head));
        let clock = Clock::start();
        while turn > 0 && hear(socket).is_some_and(|(kind, _)| kind == 1) {
            let _ = tell.send(clock.now() / 1_000_000);
        }
    });
    one_user(
        addr,
        "      - {ws_open: /ws, reconnect: {max: 3, backoff: 1500ms..1500ms}}\n      - {ws_listen: 2500ms, every: 50ms, send: beat}\n",
    );
    let beats_ms: Vec<u64> = told.try_iter().collect();
    assert!(beats_ms.len() > 10, "{beats_ms:?}");
    let at_once = beats_ms.iter().filter(|at_ms| **at_ms < 100).count();
    assert!(at_once <= 4, "{beats_ms:?}");
}

/// What waits for a step is bounded in bytes too; one message may be as large as messages may be.
#[test]
fn large_messages_that_wait_make_room_for_each_other() {
    for (messages, bytes, overflowed) in [(20, 200_000, 15), (3, 1_000_000, 2)] {
        let (addr, _) = server(move |head, _, socket| {
            say(socket, &switch(head));
            for _ in 0..messages {
                let _ = socket.write_all(&[&[0x81, 127], &(bytes as u64).to_be_bytes()[..]].concat());
                let (before, after) = (r#"{"type":"one","more":""#, r#""}"#);
                let more = "x".repeat(bytes - before.len() - after.len());
                say(socket, &format!("{before}{more}{after}"));
            }
            hear(socket);
        });
        let ran = one_user(
            addr,
            "      - {ws_open: /ws}\n      - {think: 800ms}\n      - {ws_expect: {type: one}, within: 1s}\n",
        );
        assert_eq!(ran.sum.requests.streams.overflowed, overflowed);
        assert_eq!(ran.completed("one", "ws"), 1, "{:?}", ran.failures());
    }
}

#[test]
fn what_a_line_brought_outlives_it() {
    let (addr, _) = server(|head, turn, socket| match (head.starts_with("GET /ws"), turn) {
        (true, 0) => {
            say(socket, &switch(head));
            push(socket, r#"{"type":"a"}"#);
        }
        (false, 0) => say(socket, &format!("{OPENING}event: a\ndata: x\n\n")),
        _ => say(socket, "HTTP/1.1 204 No Content\r\n\r\n"),
    });
    let reconnect = "reconnect: {max: 2, backoff: 1ms}";
    let ran = one_user(
        addr,
        &format!(
            "      - {{ws_open: /ws, as: w, {reconnect}}}\n      - {{sse_open: /events, as: s, {reconnect}}}\n      - {{think: 500ms}}\n      - {{ws_expect: {{type: a}}, socket: w}}\n      - {{sse_expect: , stream: s, event: a}}\n      - {{ws_expect: {{type: b}}, socket: w}}\n      - {{sse_expect: , stream: s, event: b}}\n"
        ),
    );
    let failures = ran.failures();
    assert_eq!((ran.completed("a", "ws"), ran.completed("a", "sse")), (1, 1), "{failures:?}");
    for text in ["the socket is not open", "the event stream is not open"] {
        assert!(failures.iter().any(|f| f.2 == text && f.3 == 1), "{failures:?}");
    }
    assert_eq!(ran.sum.requests.streams.reconnects, 3, "two for the socket, one for the stream");
}

/// A message says when it was sent: what it waited for on its way is in its lag, though it is read as soon as it is there.
#[test]
fn a_message_sent_a_while_ago_has_lagged_for_as_long() {
    let (addr, _) = server(|head, _, socket| {
        let at = || plimsoll::clock::unix_ms() - 300;
        if head.starts_with("GET /ws") {
            say(socket, &switch(head));
            push(socket, &format!(r#"{{"at":{}}}"#, at()));
            push(socket, &format!(r#"{{"at":{}}}"#, at()));
        } else {
            say(socket, &format!("{OPENING}data: {{\"at\": {}}}\n\n", at()));
            say(socket, &format!("data: {{\"at\": {}}}\n\n", at()));
        }
        hear(socket);
    });
    for (lines, protocol) in [
        ("      - {ws_open: /ws}\n      - {ws_listen: 500ms, name: tick, lag: $.at}\n", "ws.lag"),
        ("      - {sse_open: /events}\n      - {sse_listen: 500ms, name: tick, lag: $.at}\n", "sse.lag"),
    ] {
        let ran = one_user(addr, lines);
        assert!(ran.failures().is_empty(), "{:?}", ran.failures());
        let lag = ran.window("tick", protocol).unwrap();
        for clock in [&lag.response, &lag.service] {
            assert_eq!(clock.count(), 2);
            // One part in a thousand is the precision of a histogram.
            assert!(clock.hdr().min() >= 299_700_000, "{protocol}: {} ns", clock.hdr().min());
            assert!(clock.max_ns() < 2_300_000_000, "{protocol}: {} ns", clock.max_ns());
        }
        let least_ns = ran.sum.requests.streams.lag_ns_min.unwrap();
        assert!(least_ns >= 299_900_000, "{protocol}: {least_ns} ns");
        assert_eq!(ran.sum.requests.streams.early, 0);
    }
}

/// Closing is done where it stands in the journey, and not when the user ends: the server knows before the request after it comes.
#[test]
fn a_line_is_closed_where_its_step_says_so() {
    for (steps, seen) in [
        // The goodbye is answered.
        (["{ws_open: /polite}", "ws_close:"], &["a close frame", "the end", "a request"][..]),
        // It is not, and then nobody waits for long.
        (["{ws_open: /rude}", "ws_close:"], &["a close frame", "the end", "a request"]),
        (["{sse_open: /events}", "sse_close:"], &["the end", "a request"]),
    ] {
        let (tell, told) = channel();
        let (addr, _) = server(move |head, _, socket| {
            if head.starts_with("GET /after") {
                let _ = tell.send("a request");
                return say(socket, OK);
            }
            say(socket, &if head.starts_with("GET /events") { OPENING.to_owned() } else { switch(head) });
            while let Some((kind, _)) = hear(socket) {
                let _ = tell.send(if kind == 8 { "a close frame" } else { "something else" });
                if head.starts_with("GET /polite") {
                    // With the code that the client's had: none.
                    let _ = socket.write_all(&[0x88, 0]);
                }
            }
            let _ = tell.send("the end");
        });
        let [open, close] = steps;
        let steps =
            format!("      - {open}\n      - {close}\n      - {{think: 600ms}}\n      - {{get: /after}}\n");
        let ran = one_user(addr, &steps);
        assert!(ran.failures().is_empty(), "{open}: {:?}", ran.failures());
        assert_eq!(told.try_iter().collect::<Vec<_>>(), seen, "{open}");
    }
}
