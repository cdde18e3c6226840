//! Cookies go where a browser would send them: below the path of the target's base URL, to the host that a `host:` header names, and with the
//! opening handshake of a WebSocket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use transport_subjects::shard::carry;

/// Answers each request, setting a cookie in every answer to `/v1/login`; tells their heads.
fn server(set_cookie: &'static str) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    let head = String::from_utf8_lossy(&bytes[..count]).into_owned();
                    let cookie = if head.contains("/login") { set_cookie } else { "" };
                    let _ = tell.send(head);
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{cookie}\r\n");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (addr, told)
}

/// The heads that arrived while one user went through these steps.
fn heads(set_cookie: &'static str, steps: &str) -> Vec<String> {
    let (addr, told) = server(set_cookie);
    let target = format!("http: \"http://{addr}/v1\", ws: \"ws://{addr}/v1\", timeout: 2s");
    let rest = format!(
        "scenarios: {{a: {{steps: [{steps}, stop_user]}}}}\nload:\n  - {{name: a, run: a, executor: closed, stages: [{{to: 1, over: 0s}}, {{hold: 2s}}], graceful_stop: 1s}}\n"
    );
    carry(addr, &target, &rest);
    told.try_iter().collect()
}

#[test]
fn the_path_of_the_base_url_counts() {
    let heads = heads("set-cookie: sid=1; Path=/v1\r\n", "{get: /login}, {get: /account}");
    assert_eq!(heads.len(), 2);
    assert!(heads[1].contains("\r\ncookie: sid=1\r\n"), "{}", heads[1]);
}

#[test]
fn a_cookie_without_a_path_is_of_the_folder_it_came_from() {
    let steps = "{get: \"/users/${user.id}/login\", name: login}, {get: \"/users/${user.id}/account\", name: account}, {get: /other}";
    let heads = heads("set-cookie: sid=1\r\n", steps);
    assert_eq!(heads.len(), 3);
    assert!(heads[1].contains("cookie: sid=1"), "{}", heads[1]);
    assert!(!heads[2].contains("cookie: sid=1"), "{}", heads[2]);
}

#[test]
fn a_host_of_the_scenario_is_the_cookies_host() {
    let host = "headers: {host: shop.example}";
    let steps = format!("{{get: /login, {host}}}, {{get: /account, {host}}}");
    let heads = heads("set-cookie: sid=1; Domain=shop.example; Path=/\r\n", &steps);
    assert!(heads[1].contains("cookie: sid=1"), "{}", heads[1]);
}

#[test]
fn a_socket_opens_with_the_cookies_of_its_host() {
    let heads = heads("set-cookie: sid=1; Path=/\r\n", "{get: /login}, {ws_open: /feed, as: feed}");
    assert!(heads[1].contains("GET /v1/feed") && heads[1].contains("sid=1"), "{}", heads[1]);
}

#[test]
fn a_host_that_a_user_makes_up_is_the_cookies_host() {
    let host = "headers: {host: \"u${user.id}.example:81\"}";
    let steps = format!("{{get: /login, {host}}}, {{get: /account, {host}}}, {{get: /account}}");
    let heads = heads("set-cookie: sid=1; Path=/\r\n", &steps);
    assert!(heads[1].contains("\r\ncookie: sid=1\r\n"), "{}", heads[1]);
    assert!(!heads[2].contains("cookie:"), "another host's: {}", heads[2]);
}

#[test]
fn a_socket_with_a_host_of_its_own_has_the_cookies_of_that_host() {
    let host = "headers: {host: shop.example}";
    let steps =
        format!("{{get: /login, {host}}}, {{ws_open: /feed, as: a, {host}}}, {{ws_open: /feed, as: b}}");
    let heads = heads("set-cookie: sid=1; Path=/\r\n", &steps);
    assert!(heads[1].contains("sid=1"), "{}", heads[1]);
    assert!(!heads[2].contains("sid=1"), "{}", heads[2]);
}

#[test]
fn openings_take_and_set_cookies() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let head = transport_subjects::read_head(&mut stream).unwrap_or_default();
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
            let answer = match key {
                Some(key) => {
                    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
                    format!(
                        "HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\nset-cookie: ws=1; Path=/\r\nSet-Cookie: hidden=1; Path=/v2\r\n\r\n"
                    )
                }
                None if head.contains("/events") => {
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nset-cookie: sse=1\r\n\r\n"
                        .to_owned()
                }
                None => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
            };
            let _ = stream.write_all(answer.as_bytes());
            let _ = tell.send(head);
            held.push(stream);
        }
    });
    let target = format!("http: \"http://{addr}/v1\", ws: \"ws://{addr}/v1\", timeout: 2s");
    let steps = "{ws_open: /feed, as: feed}, {sse_open: /events/all, as: events}, {get: /account}, {sse_open: /events/mine, as: mine}, stop_user";
    let rest = format!(
        "scenarios: {{a: {{steps: [{steps}]}}}}\nload:\n  - {{name: a, run: a, executor: closed, stages: [{{to: 1, over: 0s}}, {{hold: 1s}}], graceful_stop: 1s}}\n"
    );
    carry(addr, &target, &rest);
    let heads: Vec<String> = told.try_iter().collect();
    assert!(!heads[0].to_lowercase().contains("\r\ncookie:"), "{}", heads[0]);
    assert!(heads[1].contains("\r\ncookie: ws=1\r\n"), "{}", heads[1]);
    assert!(heads[2].contains("\r\ncookie: ws=1\r\n"), "the others are of a folder: {}", heads[2]);
    assert!(heads[3].contains("\r\ncookie: sse=1; ws=1\r\n"), "{}", heads[3]);
}
