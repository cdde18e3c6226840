//! Lines that end and are opened again: what a server says about that is obeyed, and the user's own time goes on meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use plimsoll::clock::Nanos;
use plimsoll::load::share::Share;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::Duration;
use transport_subjects::lines::{OK, OPENING, hear, push, say, server, switch};
use transport_subjects::shard::{Ran, Run, one_user};

#[test]
fn a_server_that_says_there_is_no_stream_is_not_asked_again() {
    for (answer, attempts) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", 1),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>", 1),
        ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", 4),
    ] {
        let (addr, _) = server(move |_, turn, socket| say(socket, if turn == 0 { OPENING } else { answer }));
        let ran = one_user(
            addr,
            "      - {sse_open: /events, as: s, reconnect: {max: 4, backoff: 1ms}}\n      - {think: 300ms}\n      - {sse_expect: , stream: s, event: x, within: 1s}\n",
        );
        assert_eq!(ran.sum.requests.streams.reconnects, attempts, "{answer}");
        let failures = ran.failures();
        assert!(failures.iter().any(|f| f.2 == "the event stream is not open"), "{failures:?}");
    }
}

#[test]
fn an_empty_id_takes_the_last_one_back() {
    let (addr, told) = server(|_, turn, socket| {
        say(socket, OPENING);
        say(
            socket,
            ["id: 41\ndata: a\n\n", "data: b\n\n", "id\ndata: c\n\n", "event: done\ndata: d\n\n"][turn],
        );
        std::thread::sleep(Duration::from_millis(if turn == 3 { 500 } else { 0 }));
    });
    let ran = one_user(
        addr,
        "      - {sse_open: /events, reconnect: {max: 9, backoff: 1ms}}\n      - {think: 300ms}\n      - {sse_expect: , event: done, within: 2s}\n",
    );
    assert_eq!(ran.completed("done", "sse"), 1);
    let ids: Vec<Option<String>> = told
        .try_iter()
        .map(|(_, head)| head.lines().find_map(|line| Some(line.strip_prefix("last-event-id: ")?.to_owned())))
        .collect();
    assert_eq!(ids, [None, Some("41".to_owned()), Some("41".to_owned()), None]);
}

/// The stream is gone for three seconds at least; the user thinks for less, and has a socket beside it that is pinged.
#[test]
fn a_user_lives_on_while_it_waits_to_connect_again() {
    let (pong, pongs) = channel();
    let (addr, told) = server(move |head, _, socket| match head {
        _ if head.starts_with("GET /events") => say(socket, OPENING),
        _ if head.starts_with("GET /ws") => {
            say(socket, &switch(head));
            std::thread::sleep(Duration::from_millis(200));
            let _ = socket.write_all(&[0x89, 0]);
            let mut bytes = [0; 6];
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let _ = pong.send(socket.read_exact(&mut bytes).is_ok() && bytes[0] == 0x8a);
            std::thread::sleep(Duration::from_secs(2));
        }
        _ => say(socket, OK),
    });
    let ran = one_user(
        addr,
        "      - {ws_open: /ws}\n      - {sse_open: /events, reconnect: {max: 3, backoff: 6s..6s}}\n      - {think: 500ms}\n      - {get: /after}\n      - {think: 100ms}\n",
    );
    let heads: Vec<(Nanos, String)> = told.try_iter().collect();
    assert!(heads[2].1.starts_with("GET /after"), "{heads:?}");
    let after = heads[2].0 - heads[1].0;
    assert!(after < 1_000_000_000, "{after} ns");
    assert_eq!(pongs.try_recv(), Ok(true), "the other line is read meanwhile");
    assert_eq!(ran.sum.requests.streams.reconnects, 0, "it has left before");
}

#[test]
fn a_slow_answer_to_an_opening_is_no_lag_of_ours() {
    let (addr, _) = server(|_, turn, socket| {
        std::thread::sleep(Duration::from_millis(if turn == 0 { 0 } else { 800 }));
        say(socket, OPENING);
        std::thread::sleep(Duration::from_millis(if turn == 0 { 0 } else { 800 }));
    });
    let ran = one_user(
        addr,
        "      - {sse_open: /events, reconnect: {max: 3, backoff: 1ms}}\n      - {think: 300ms}\n",
    );
    assert_eq!(ran.completed("SSE /events", "sse"), 2);
    assert!(ran.sum.dispatch_lag.max_ns() < 400_000_000, "{} ns", ran.sum.dispatch_lag.max_ns());
}

#[test]
fn who_is_told_to_leave_does_not_connect_again() {
    let (addr, _) = server(|_, _, socket| say(socket, OPENING));
    let target = format!("http: \"http://{addr}\", timeout: 2s");
    let rest = "scenarios: {a: {steps: [{sse_open: /events, reconnect: {max: 3, backoff: 3s..3s}}, {think: 3100ms}]}}\nload:\n  - {name: a, run: a, executor: closed, stages: [{to: 1, over: 0s}, {hold: 1s}], graceful_stop: 5s}\n";
    let run =
        Run { addr, target: &target, rest, share: Share::WHOLE, words: &[], ends_with_its_users: false };
    let ran = run.carry();
    assert_eq!(ran.sum.requests.streams.reconnects, 0);
    assert_eq!(ran.sum.counts.completed, 1);
}

/// A step that works on the line waits for it, and only such a step does.
#[test]
fn a_step_waits_for_its_line() {
    let (addr, told) = server(|head, turn, socket| match (head.starts_with("GET /events"), turn) {
        (true, 0) => say(socket, &format!("{OPENING}event: early\ndata: x\n\n")),
        (true, _) => {
            say(socket, &format!("{OPENING}event: late\ndata: x\n\n"));
            std::thread::sleep(Duration::from_secs(2));
        }
        _ => say(socket, OK),
    });
    let ran = one_user(
        addr,
        "      - {sse_open: /events, as: s, reconnect: {max: 3, backoff: 1200ms..1200ms}}\n      - {think: 100ms}\n      - {get: /now}\n      - {sse_expect: , stream: s, event: early, within: 100ms}\n      - {sse_expect: , stream: s, event: late, within: 100ms}\n",
    );
    let heads: Vec<(Nanos, String)> = told.try_iter().collect();
    assert!(heads[1].1.starts_with("GET /now") && heads[2].1.starts_with("GET /events"), "{heads:?}");
    assert!(heads[2].0 - heads[0].0 > 550_000_000, "the wait is at least a half of the back-off");
    assert_eq!((ran.completed("early", "sse"), ran.completed("late", "sse")), (1, 1), "{:?}", ran.failures());
}

/// A handshake takes two beats: what comes late counts from its beat, as a request does.
#[test]
fn an_opening_has_the_plans_instant() {
    let (addr, _) = server(|head, _, socket| {
        std::thread::sleep(Duration::from_millis(200));
        say(socket, &switch(head));
    });
    let target = format!("http: \"http://{addr}\", ws: \"ws://{addr}\", timeout: 2s");
    let rest = "scenarios: {a: {pacing: {every: 100ms}, steps: [{ws_open: /ws, as: s}]}}\nload:\n  - {name: a, run: a, executor: closed, stages: [{to: 1, over: 0s}, {hold: 1s}], graceful_stop: 1s}\n";
    let run =
        Run { addr, target: &target, rest, share: Share::WHOLE, words: &[], ends_with_its_users: false };
    let ran = run.carry();
    let window = ran.window("WS /ws", "ws").unwrap();
    assert!(window.completed >= 3, "{}", window.completed);
    let late_ns = (window.completed - 1) * 100_000_000;
    assert!(window.response.max_ns() >= late_ns + 190_000_000, "{} ns", window.response.max_ns());
    assert!(window.service.hdr().min() < 300_000_000, "{} ns", window.service.hdr().min());
}

/// A listener has nothing to finish: it need not be cut off, or hear one more message first.
#[test]
fn who_listens_leaves_when_told_to() {
    let (addr, _told) = server(|head, _, socket| {
        say(socket, &switch(head));
        while matches!(socket.read(&mut [0; 64]), Ok(1..)) {}
    });
    let target = format!("http: \"http://{addr}\", ws: \"ws://{addr}\", timeout: 2s");
    let rest = "scenarios: {hear: {steps: [{ws_open: /ws}, {ws_listen: 1h, match: {type: tick}}]}}\nload:\n  - {name: a, run: hear, executor: closed, stages: [{to: 5, over: 0s}, {hold: 1s}], graceful_stop: 1m}\n";
    let run =
        Run { addr, target: &target, rest, share: Share::WHOLE, words: &[], ends_with_its_users: false };
    let ran = run.carry();
    assert_eq!((ran.sum.counts.completed, ran.sum.counts.interrupted), (5, 0), "{:?}", ran.sum.counts);
    assert!(ran.sum.end_s < 20, "it took {} s", ran.sum.end_s);
}

/// Opened again long after the load's end.
const FAR_OFF: &str = "reconnect: {max: 3, backoff: 20s..20s}";

/// One user, who is told to leave after a second and may finish what it does.
fn leaving_after_a_second(addr: SocketAddr, steps: &str) -> Ran {
    let target = format!("http: \"http://{addr}\", ws: \"ws://{addr}\", timeout: 2s");
    let rest = format!(
        "scenarios:\n  a:\n    steps:\n{steps}load:\n  - {{run: a, executor: closed, stages: [{{to: 1, over: 0s}}, {{hold: 1s}}], graceful_stop: 10s}}\n"
    );
    let (target, rest) = (&target, &rest);
    Run { addr, target, rest, share: Share::WHOLE, words: &[], ends_with_its_users: false }.carry()
}

/// A server that goes away as the load ends is no failure of what its users would have asked next; what had failed before stays failed.
#[test]
fn who_is_told_to_leave_while_it_waits_to_connect_again_fails_nothing() {
    for (opening, steps, interrupted, failures) in [
        ("ws_open: /line", "{ws_send: {type: hello}}", 1, 1),
        ("ws_open: /line", "{ws_expect: {type: hello}}", 1, 1),
        ("ws_open: /says", "{ws_send: {type: hello}}", 1, 1),
        ("sse_open: /line", "{sse_expect: , event: x}", 1, 1),
        ("ws_open: /line", "{get: /missing, expect: {status: 200}}\n      - {ws_send: {type: hello}}", 0, 2),
    ] {
        let (addr, _) = server(move |head, _, socket| {
            let answer = match head {
                _ if head.starts_with("GET /missing") => {
                    "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_owned()
                }
                _ if head.contains("Sec-WebSocket") => switch(head),
                _ => OPENING.to_owned(),
            };
            say(socket, &answer);
            if head.starts_with("GET /says") {
                push(socket, "unread");
            }
        });
        let ran = leaving_after_a_second(
            addr,
            &format!(
                "      - {{{opening}, {FAR_OFF}}}\n      - {{think: 300ms}}\n      - {steps}\n      - {{think: 1ms}}\n"
            ),
        );
        let counts = ran.sum.counts;
        assert_eq!(
            (counts.interrupted, counts.failed),
            (interrupted, 1 - interrupted),
            "{steps}: {counts:?}"
        );
        // That the line broke is the server's, and told once.
        let found = ran.failures();
        assert_eq!(found.iter().map(|f| f.3).sum::<u64>(), failures, "{steps}: {found:?}");
    }
}

const SUBSCRIBE: &str = "      - {ws_send: {type: subscribe}, resend: true}\n";

/// The first connection ends when it has heard so many messages; yields what the second hears.
fn heard_by_the_second(first_hears: usize, steps: &str) -> Vec<String> {
    let (tell, told) = channel();
    let (addr, _) = server(move |head, turn, socket| {
        if head.starts_with("GET /slow") {
            std::thread::sleep(Duration::from_millis(200));
            return say(socket, OK);
        }
        say(socket, &switch(head));
        let mut heard = 0;
        while turn > 0 || heard < first_hears {
            match hear(socket) {
                Some((1, text)) if turn > 0 => tell.send(text).unwrap(),
                Some((1, _)) => heard += 1,
                _ => return,
            }
        }
    });
    let opening = "      - {ws_open: /ws, reconnect: {max: 3, backoff: 400ms..400ms}}\n";
    let ran = one_user(addr, &format!("{opening}{steps}      - {{think: 600ms}}\n      - ws_close:\n"));
    assert_eq!(ran.sum.requests.streams.reconnects, 1);
    told.try_iter().collect()
}

#[test]
fn what_is_said_while_the_line_is_down_is_said_once() {
    let heard = heard_by_the_second(0, &format!("      - {{think: 100ms}}\n{SUBSCRIBE}"));
    assert_eq!(heard, [r#"{"type":"subscribe"}"#]);
}

/// The step fails, and what it was to say is said by the connection after it.
#[test]
fn what_could_not_be_said_is_said_again() {
    let heard = heard_by_the_second(0, &format!("      - {{get: /slow}}\n{SUBSCRIBE}"));
    assert_eq!(heard, [r#"{"type":"subscribe"}"#]);
}

#[test]
fn what_was_said_often_is_said_again_once() {
    let other = "      - {ws_send: other, resend: true}\n";
    let heard = heard_by_the_second(4, &format!("{SUBSCRIBE}{other}{SUBSCRIBE}{SUBSCRIBE}"));
    assert_eq!(heard, ["other", r#"{"type":"subscribe"}"#]);
}

/// An outage is charged to the question it kept from being answered.
#[test]
fn a_question_stays_due_since_its_own_instant() {
    let (addr, _) = server(|head, turn, socket| {
        say(socket, &switch(head));
        let asked = hear(socket);
        if turn > 0 && asked.is_some() {
            push(socket, r#"{"type":"answer"}"#);
            while hear(socket).is_some() {}
        }
    });
    let ran = one_user(
        addr,
        "      - {ws_open: /ws, reconnect: {max: 3, backoff: 800ms..800ms}}\n      - {ws_send: {type: ask}, resend: true}\n      - {think: 200ms}\n      - {ws_expect: {type: answer}, within: 5s}\n",
    );
    let window = ran.window("answer", "ws").unwrap();
    assert_eq!(window.completed, 1, "{:?}", ran.failures());
    let (response_ns, service_ns) = (window.response.max_ns(), window.service.max_ns());
    assert!(response_ns >= 390_000_000, "{response_ns} ns leave out the outage");
    assert!(service_ns + 300_000_000 < response_ns, "{service_ns} ns count from before it was said again");
}

/// What is said again is no question: a second outage is not charged with the first.
#[test]
fn outages_without_a_question_are_charged_to_nothing() {
    let (addr, _) = server(|head, turn, socket| {
        say(socket, &switch(head));
        let said = hear(socket);
        match turn {
            0 => push(socket, r#"{"type":"ack"}"#),
            1 => {}
            _ => push(socket, r#"{"type":"tick"}"#),
        }
        while turn > 1 && said.is_some() && hear(socket).is_some() {}
    });
    let ran = one_user(
        addr,
        "      - {ws_open: /ws, reconnect: {max: 5, backoff: 600ms..600ms}}\n      - {ws_send: {type: subscribe}, resend: true}\n      - {ws_expect: {type: ack}}\n      - {think: 1800ms}\n      - {ws_expect: {type: tick}}\n",
    );
    assert_eq!(ran.sum.requests.streams.reconnects, 2);
    let window = ran.window("tick", "ws").unwrap();
    assert_eq!(window.completed, 1, "{:?}", ran.failures());
    assert!(window.response.max_ns() < 290_000_000, "{} ns hold an outage", window.response.max_ns());
}

/// What came before the line was left is not lost with it.
#[test]
fn who_leaves_still_takes_what_came_before() {
    for (opening, expect) in
        [("ws_open: /ws", "ws_expect: {type: hello}"), ("sse_open: /events", "sse_expect: , event: hello")]
    {
        let (addr, _) = server(|head, _, socket| {
            if head.contains("Sec-WebSocket") {
                say(socket, &switch(head));
                push(socket, r#"{"type":"hello"}"#);
            } else {
                say(socket, &format!("{OPENING}event: hello\ndata: 1\n\n"));
            }
            std::thread::sleep(Duration::from_millis(2000));
        });
        let ran = leaving_after_a_second(
            addr,
            &format!("      - {{{opening}, {FAR_OFF}}}\n      - {{think: 2800ms}}\n      - {{{expect}}}\n"),
        );
        let counts = ran.sum.counts;
        assert_eq!(
            (counts.completed, counts.interrupted),
            (1, 0),
            "{opening}: {counts:?} {:?}",
            ran.failures()
        );
        assert_eq!(ran.failures().len(), 1, "the line's end, by the server: {:?}", ran.failures());
    }
}
