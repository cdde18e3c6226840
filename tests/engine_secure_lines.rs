//! Lines under TLS: what holds of sockets and event streams in clear text holds of `wss` and of streams over `https`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use rustls::ServerConfig;
use std::net::SocketAddr;
use transport_subjects::lines::{OPENING, hear, push, say, server, switch};
use transport_subjects::secure::{behind_tls, issue};
use transport_subjects::shard::{Ran, one_user_of};

/// One user goes through `steps` once.
fn one_user(plain: SocketAddr, steps: &str) -> Ran {
    let issued = issue(&["localhost"], false);
    // Lines are opened in HTTP/1.1 whatever else is on offer.
    let both = |config: &mut ServerConfig| config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (addr, _) = behind_tls(plain, issued.serving(both));
    let (_folder, ca, _) = issued.files();
    let (at, ca) = (format!("localhost:{}", addr.port()), ca.display());
    let target = format!("http: \"https://{at}\", ws: \"wss://{at}\", tls: {{ca: \"{ca}\"}}, timeout: 2s");
    one_user_of(addr, &target, steps)
}

#[test]
fn a_socket_asks_and_is_answered_and_listens() {
    let (plain, _) = server(|head, _, socket| {
        say(socket, &switch(head));
        let (_, asked) = hear(socket).unwrap();
        push(socket, &asked);
        for seq in [1, 2, 5] {
            push(socket, &format!(r#"{{"seq":{seq}}}"#));
        }
        let _ = hear(socket);
    });
    let ran = one_user(
        plain,
        "      - {ws_open: /ws}\n      - {ws_send: {type: hello}}\n      - {ws_expect: {type: hello}, name: reply}\n      - {ws_listen: 500ms, name: tick, sequence: $.seq}\n      - ws_close:\n",
    );
    assert_eq!((ran.completed("WS /ws", "ws"), ran.completed("reply", "ws")), (1, 1), "{:?}", ran.failures());
    let requests = ran.sum.requests;
    assert_eq!((requests.tls_handshakes, requests.streams.missing), (1, 2), "{requests:?}");
}

#[test]
fn an_event_stream_brings_what_is_waited_for() {
    let (plain, _) = server(|_, _, socket| {
        say(socket, OPENING);
        say(socket, "event: other\ndata: {}\n\nevent: done\ndata: {\"n\": 1}\n\n");
        let _ = hear(socket);
    });
    let ran = one_user(
        plain,
        "      - {sse_open: /events}\n      - {sse_expect: , event: done, name: done}\n      - sse_close:\n",
    );
    assert_eq!(
        (ran.completed("SSE /events", "sse"), ran.completed("done", "sse")),
        (1, 1),
        "{:?}",
        ran.failures()
    );
    assert_eq!((ran.sum.requests.failed, ran.sum.requests.tls_handshakes), (0, 1), "{:?}", ran.sum.requests);
}
