//! A request that meets a connection just being closed is sent again; one that the server had in hand and dropped is a failure that took as
//! long as it lasted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use plimsoll::measure::snapshot::Snapshot;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use transport_subjects::shard::{carry, one_user};
use transport_subjects::{read_head, scripted};

/// Answers the first request of each connection and hangs up on the second, after having looked at it for so long.
fn hangs_up_after(wait: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                if stream.read(&mut bytes).is_ok_and(|count| count > 0)
                    && stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
                    && stream.read(&mut bytes).is_ok_and(|count| count > 0)
                {
                    std::thread::sleep(wait);
                }
            });
        }
    });
    addr
}

/// One user asks twice.
fn twice(addr: SocketAddr, verb: &str) -> Snapshot {
    let rest = format!(
        "scenarios: {{read: {{lifetime: once, steps: [{{{verb}: /}}, {{{verb}: /}}, stop_user]}}}}\nload:\n  - {{name: a, run: read, executor: closed, stages: [{{to: 1, over: 0s}}, {{hold: 3s}}], graceful_stop: 1s}}\n"
    );
    carry(addr, &format!("http: \"http://{addr}\", timeout: 5s"), &rest)
}

#[test]
fn what_meets_a_connection_being_closed_is_one_request_sent_twice() {
    let sum = twice(hangs_up_after(Duration::from_millis(20)), "get");
    let requests = sum.requests;
    assert_eq!(
        (requests.sent, requests.ok, requests.failed, requests.sent_again),
        (2, 2, 0, 1),
        "{requests:?}"
    );
    let window = sum.windows[0].as_ref().unwrap();
    assert!(window.service.max_ns() >= 20_000_000, "its time counts from the first attempt");
    let sum = twice(hangs_up_after(Duration::from_millis(20)), "post");
    assert_eq!(
        (sum.requests.ok, sum.requests.failed, sum.requests.sent_again),
        (1, 1, 0),
        "not safe to repeat"
    );
}

#[test]
fn what_a_server_had_in_hand_is_a_failure_as_long_as_it_lasted() {
    let sum = twice(hangs_up_after(Duration::from_millis(900)), "get");
    let requests = sum.requests;
    assert_eq!(
        (requests.sent, requests.ok, requests.failed, requests.sent_again),
        (2, 1, 1, 0),
        "{requests:?}"
    );
    let window = sum.windows[0].as_ref().unwrap();
    assert_eq!(window.all_responses().count(), 2, "in the percentiles too");
    assert!(window.all_responses().max_ns() >= 900_000_000 && window.all_services().max_ns() >= 900_000_000);
}

/// A second response to one request is the server's fault, also where it comes late; whoever asks next on that connection has no part in it.
#[test]
fn bytes_that_nobody_asked_for_are_a_failure_of_their_own() {
    let addr = scripted(2, |mut socket| {
        while read_head(&mut socket).is_some() {
            for _ in 0..2 {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                std::thread::sleep(Duration::from_millis(400));
            }
        }
    });
    let ran = one_user(addr, "      - {get: /a}\n      - {think: 1200ms}\n      - {get: /b}\n");
    let requests = ran.sum.requests;
    assert_eq!((requests.sent, requests.ok, requests.failed), (2, 2, 0), "{requests:?}");
    assert_eq!(requests.connections_opened, 2);
    let [(endpoint, kind, text, count)] = &ran.failures()[..] else { panic!("{:?}", ran.failures()) };
    assert_eq!((endpoint.as_str(), kind.as_str(), *count), ("GET /a", "protocol", 1), "{text}");
}
