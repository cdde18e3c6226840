//! Clients that mean harm or know no better: what is no request, no JSON and no frame, those who are slow, and those who
//! come in crowds. Each is refused with the right word and counted; none is noticed by the others, and nothing of them stays.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::faults::Breakable;
use crate::support::{Remote, Scrape};

/// A client that waits longer than this for an answer has been forgotten.
const FORGOTTEN: Duration = Duration::from_secs(20);
const SLOW: usize = 150;
/// Bad requests of eight kinds of which nothing may be left, and what is nothing: less than a hundred bytes of each of one kind.
const BAD_REQUESTS: usize = 10_000;
const LEFT_MAX_BYTES: f64 = 100_000.0;
const ROUNDS: usize = 4;

fn connect(address: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(FORGOTTEN)).unwrap();
    connection
}

/// All that is said until the other side has said a whole answer or goes away.
fn answer(connection: &mut TcpStream) -> String {
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&said).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.is_none_or(|length| body.len() >= length.parse().unwrap()) {
                return text;
            }
        }
        match connection.read(&mut buffer) {
            Ok(0) => return text,
            // What was not read when a connection was closed resets it.
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return text,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
            Err(e) => panic!("{e} after {text:?}"),
        }
    }
}

fn say(address: SocketAddr, request: &[u8]) -> String {
    let mut connection = connect(address);
    // It may be refused before it is all said.
    let _ = connection.write_all(request);
    answer(&mut connection)
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Status and word of an answer, `-` where there is no problem.
fn verdict(answer: &str) -> String {
    let status = answer.split(' ').nth(1).unwrap_or("nothing");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let is_one = answer.contains("content-type: application/problem+json\r\n");
    assert!(!is_one || problem["status"].as_u64() == status.parse().ok(), "{answer}");
    format!("{status} {}", problem["error"].as_str().filter(|_| is_one).unwrap_or("-"))
}

#[tokio::test]
async fn what_is_no_request_is_refused_before_any_route() {
    let app = Breakable::serving(&[]);
    let long = "a".repeat(100_000);
    let many: String = (0..200).map(|i| format!("x{i}: y\r\n")).collect();
    let order = "POST /api/orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let cases: [(&str, Vec<u8>); 10] = [
        ("noise", b"\x00\x01\x02\xff\r\n\r\n".to_vec()),
        ("a handshake of TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1".to_vec()),
        ("no version", b"GET /\r\n\r\n".to_vec()),
        ("a version there is not", b"GET / HTTP/3.0\r\n\r\n".to_vec()),
        ("a path that is no text", b"GET /static/\xff HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("a header of 100,000 bytes", format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n").into()),
        ("200 headers", format!("GET / HTTP/1.1\r\n{many}\r\n").into()),
        ("a path of 100,000 bytes", format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n").into()),
        ("a negative length", format!("{order}content-length: -1\r\n\r\n").into()),
        ("two lengths", format!("{order}content-length: 1\r\ncontent-length: 2\r\n\r\n{{}}").into()),
    ];
    let said: Vec<_> = cases
        .iter()
        .map(|(what, bytes)| format!("{what}: {}", verdict(&say(app.app.address, bytes))))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    noise: 400 -
    a handshake of TLS: 400 -
    no version: 400 -
    a version there is not: 400 -
    a path that is no text: 400 -
    a header of 100,000 bytes: 431 -
    200 headers: 431 -
    a path of 100,000 bytes: 431 -
    a negative length: 400 -
    two lengths: 400 -
    ");
    // One that is cut off by the client is answered nothing.
    connect(app.app.address).write_all(b"GET / HTTP/1.1\r\nhos").unwrap();
    let count = |scrape: &Scrape, reason: &str| scrape.sum("http_server_protocol_errors_total", &[reason]);
    let scrape = app.app.scrape_until(|scrape| count(scrape, "") == 11.0).await;
    assert_eq!(
        ["malformed", "too_large", "incomplete"].map(|reason| count(&scrape, reason)),
        [7.0, 3.0, 1.0]
    );
}

#[tokio::test]
async fn what_is_wrong_in_a_request_has_a_status_and_a_word() {
    let app = Breakable::serving(&[]);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let head = "POST /api/orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(65_536));
    let deep = "[".repeat(60_000);
    let cases = [
        ("an array for an object", post("/api/orders", "[1, 2]")),
        ("a number for an object", post("/api/orders", "7")),
        ("a fraction for an id", post("/api/orders", "{\"product_id\": 1.5}")),
        ("an id beyond its type", post("/api/orders", "{\"product_id\": 4294967296}")),
        ("a number beyond all", post("/api/orders", "{\"product_id\": 1e999}")),
        ("a product there is not", post("/api/orders", "{\"product_id\": 4294967295}")),
        ("a member twice", post("/api/orders", "{\"product_id\": 1, \"product_id\": 2}")),
        ("something behind", post("/api/orders", "{\"product_id\": 1}}")),
        ("no end", post("/api/orders", "{\"product_id\": 1")),
        ("nothing", post("/api/orders", "")),
        ("60,000 brackets", post("/api/login", &format!("{{\"email\": {deep}"))),
        (
            "a name of 201 letters",
            post(
                "/api/users",
                &format!("{{\"email\": \"a@b.c\", \"password\": \"x\", \"name\": \"{}\"}}", "é".repeat(201)),
            ),
        ),
        (
            "a message of 2,001",
            post("/api/leads", &format!("{{\"email\": \"a@b.c\", \"message\": \"{}\"}}", "m".repeat(2_001))),
        ),
        ("half a surrogate", post("/api/leads", "{\"email\": \"a@b.c\", \"name\": \"\\ud800\"}")),
        ("more than may be, in chunks", format!("{head}{chunk}{chunk}0\r\n\r\n")),
        ("no length of a chunk", format!("{head}zz\r\n")),
        ("a chunk beyond all", format!("{head}ffffffffffffffffff\r\n")),
        ("an id that is no text", get("/api/products/%ff")),
        ("a file that is no text", get("/static/%ff")),
        ("a file above", get("/static/..%2f..%2fCargo.toml")),
        ("an order there is not", get("/api/orders/4294967295")),
        ("a page beyond all", get("/api/products?page=4294967296")),
        ("a page twice", get("/api/products?page=1&page=2")),
        ("a method there is not", "BREW /api/products HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()),
        ("a tunnel", "CONNECT shop:443 HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()),
    ];
    let said: Vec<_> = cases
        .iter()
        .map(|(what, text)| format!("{what}: {}", verdict(&say(app.app.address, text.as_bytes()))))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    an array for an object: 422 unfit_json
    a number for an object: 422 unfit_json
    a fraction for an id: 422 unfit_json
    an id beyond its type: 422 unfit_json
    a number beyond all: 400 malformed_json
    a product there is not: 422 unknown_product
    a member twice: 422 unfit_json
    something behind: 400 malformed_json
    no end: 400 malformed_json
    nothing: 400 malformed_json
    60,000 brackets: 422 unfit_json
    a name of 201 letters: 422 too_long
    a message of 2,001: 422 too_long
    half a surrogate: 400 malformed_json
    more than may be, in chunks: 413 body_too_large
    no length of a chunk: 400 unreadable_body
    a chunk beyond all: 400 unreadable_body
    an id that is no text: 400 invalid_id
    a file that is no text: 400 invalid_path
    a file above: 404 not_found
    an order there is not: 404 not_found
    a page beyond all: 400 invalid_query
    a page twice: 400 invalid_query
    a method there is not: 405 no_such_method
    a tunnel: 404 no_such_route
    ");
}

#[tokio::test]
async fn who_sends_all_before_reading_is_told_that_it_was_too_much() {
    let app = Breakable::serving(&[]);
    let mut connection = connect(app.app.address);
    // Far more than lies in any socket's buffers, so the last of it goes out only if somebody takes the rest.
    connection.write_all(post("/api/orders", &" ".repeat(15 << 20)).as_bytes()).unwrap();
    assert_eq!(verdict(&answer(&mut connection)), "413 body_too_large");
    connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(verdict(&answer(&mut connection)), "200 -", "the same connection goes on");
    // Without an end it is cut off.
    let head = "POST /api/orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 4000000000\r\n\r\n";
    connection.write_all(head.as_bytes()).unwrap();
    let megabyte = vec![b' '; 1 << 20];
    let taken = (0..4_000).take_while(|_| connection.write_all(&megabyte).is_ok()).count();
    assert!((16..100).contains(&taken), "{taken} MiB were taken");
}

/// An open WebSocket without a library, which would not send what is sent here.
fn socket(address: SocketAddr) -> TcpStream {
    let mut socket = connect(address);
    let upgrade = "GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    socket
}

/// A frame with this first byte, masked with zeros, of less than 64 KiB.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16;
    let mut frame = vec![first];
    match length {
        0..126 => frame.push(0x80 | length as u8),
        _ => frame.extend([0xfe, (length >> 8) as u8, length as u8]),
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// First byte and payload of the next frame, of less than 126 bytes; none when the socket has ended.
fn heard(socket: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    socket.read_exact(&mut head).ok()?;
    assert!(head[1] < 126);
    let mut payload = vec![0; head[1].into()];
    socket.read_exact(&mut payload).ok()?;
    Some((head[0], payload))
}

#[tokio::test]
async fn rubbish_in_frames_is_answered_and_the_socket_stays() {
    let app = Breakable::serving(&[]);
    let mut socket = socket(app.app.address);
    let mut said = Vec::new();
    for (first, payload) in [
        (0x81, "hello".as_bytes()),
        (0x81, b"[]"),
        (0x81, b"{\"type\": 7}"),
        (0x81, b"{\"type\": \"subscribe\"}"),
        (0x81, b"{\"type\": \"subscribe\", \"channel\": \"stock\", \"id\": {}}"),
        (0x81, &[b'['; 16_000]),
        (0x82, b"\x00\xff"),
    ] {
        socket.write_all(&frame(first, payload)).unwrap();
        let (first, payload) = heard(&mut socket).expect("an answer");
        let answer: Value = serde_json::from_slice(&payload).unwrap();
        said.push(format!("{first:x} {}", answer["error"]));
    }
    insta::assert_snapshot!(said.join("\n"), @r#"
    81 "malformed_json"
    81 "malformed_json"
    81 "unknown_type"
    81 "unknown_topic"
    81 "unknown_topic"
    81 "malformed_json"
    81 "not_text"
    "#);
    assert_eq!(app.app.scrape().await.sum("websocket_connections", &[]), 1.0);
}

#[tokio::test]
async fn what_is_no_frame_ends_the_socket_with_its_reason_and_is_counted() {
    let app = Breakable::serving(&[]);
    let cases: [(&str, Vec<u8>); 12] = [
        ("no UTF-8", frame(0x81, b"\xff\xfe")),
        ("no mask", vec![0x81, 2, b'{', b'}']),
        ("a reserved bit", frame(0xc1, b"{}")),
        ("a reserved kind", frame(0x83, b"")),
        ("a reserved control", frame(0x8f, b"")),
        ("a ping too long", frame(0x89, &[b'x'; 126])),
        ("a ping in parts", frame(0x09, b"x")),
        ("a continuation of nothing", frame(0x80, b"x")),
        ("a goodbye of one byte", frame(0x88, b"x")),
        ("a goodbye that is no UTF-8", frame(0x88, b"\x03\xe8\xff")),
        (
            "a message too long in parts",
            [frame(0x01, &[b'x'; 10_000]), frame(0x80, &[b'x'; 10_000])].concat(),
        ),
        ("a frame of 2^62 bytes", [vec![0x81, 0xff, 0x40], vec![0; 11]].concat()),
    ];
    let mut said = Vec::new();
    for (what, bytes) in &cases {
        let mut socket = socket(app.app.address);
        socket.write_all(bytes).unwrap();
        // A close that says nothing has no payload; a reset is the end as well, where bytes were left unread.
        let goodbye = heard(&mut socket).filter(|(first, payload)| *first == 0x88 && payload.len() >= 2);
        let code = goodbye.map_or(0, |(_, payload)| u16::from_be_bytes([payload[0], payload[1]]));
        said.push(format!("{what}: {code}"));
    }
    insta::assert_snapshot!(said.join("\n"), @r"
    no UTF-8: 1007
    no mask: 1002
    a reserved bit: 1002
    a reserved kind: 1002
    a reserved control: 1002
    a ping too long: 1002
    a ping in parts: 1002
    a continuation of nothing: 1002
    a goodbye of one byte: 1002
    a goodbye that is no UTF-8: 1007
    a message too long in parts: 1009
    a frame of 2^62 bytes: 1009
    ");
    let ended = |scrape: &Scrape| scrape.sum("websocket_connections", &[]) == 0.0;
    let scrape = app.app.scrape_until(ended).await;
    let count = |code: &str| scrape.sum("websocket_protocol_errors_total", &[code]);
    assert_eq!(["1002", "1007", "1009"].map(count), [8.0, 2.0, 2.0]);
    // Who only goes away breaks nothing.
    drop(socket(app.app.address));
    let scrape = app.app.scrape_until(ended).await;
    assert_eq!(scrape.sum("websocket_protocol_errors_total", &[]), 12.0);
}

#[tokio::test]
async fn a_socket_that_reads_nothing_can_still_be_dropped() {
    let app = Breakable::serving(&[]);
    let mut socket = socket(app.app.address);
    socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let ping = frame(0x81, format!("{{\"type\": \"ping\", \"x\": \"{}\"}}", "x".repeat(15_000)).as_bytes());
    // Until all buffers on the way are full of answers, and then of questions.
    while socket.write_all(&ping).is_ok() {}
    assert_eq!(app.app.scrape().await.sum("websocket_connections", &[]), 1.0);
    app.order(json!({"fault": "drop_connections"})).await;
    // Ours was dropped, too.
    let anew = Remote::at(app.app.address);
    anew.scrape_until(|scrape| scrape.sum("websocket_connections", &[]) == 0.0).await;
}

#[tokio::test]
async fn slow_clients_take_a_connection_each_and_nothing_from_others() {
    let app = Breakable::serving(&["--dial", "mongodb.max_pool_size=1"]);
    let half = post("/api/orders", "{\"product_id\": 1}");
    let asking = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(20);
    let mut slow = Vec::new();
    for i in 0..SLOW {
        let mut connection = connect(app.app.address);
        let said = match i % 3 {
            0 => b"GET /api/products/1 HTTP/1.1\r\nhos".as_slice(),
            // All but the last byte of its body.
            1 => &half.as_bytes()[..half.len() - 1],
            // Asks and asks, and reads no answer.
            _ => &asking,
        };
        connection.write_all(said).unwrap();
        slow.push(connection);
    }
    let there = |scrape: &Scrape| scrape.sum("http_server_connections", &[]) > SLOW as f64;
    app.app.scrape_until(there).await;
    let started = app.app.scrape().await.sum("db_client_connection_use_time_seconds_count", &[]);
    for _ in 0..50 {
        let answer =
            tokio::time::timeout(FORGOTTEN, app.app.get("/api/products/1")).await.expect("an answer");
        assert_eq!(answer.status.as_u16(), 200);
    }
    let scrape = app.app.scrape().await;
    let used = scrape.sum("db_client_connection_use_time_seconds_count", &[]) - started;
    assert_eq!(used, 50.0, "no slow client took a pooled connection");
    // One that goes on after all is served.
    slow[1].write_all(b"}").unwrap();
    assert_eq!(verdict(&answer(&mut slow[1])), "201 -");
    drop(slow);
    app.app.scrape_until(|scrape| scrape.sum("http_server_connections", &[]) < 3.0).await;
}

/// An app that may open few descriptors.
struct Narrow {
    child: Child,
    remote: Remote,
}

impl Narrow {
    fn with_descriptors(count: usize) -> Self {
        let serve = format!(
            "ulimit -n {count}; exec \"$0\" serve baseline --listen 127.0.0.1:0 --exit-with-stdin --dial app.drain_ms=500"
        );
        let mut child = Command::new("sh")
            .args(["-c", &serve, env!("CARGO_BIN_EXE_target-app")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening http://").expect(&line).parse().unwrap();
        Self { child, remote: Remote::at(address) }
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_flood_of_connections_waits_outside_and_is_counted() {
    let app = Narrow::with_descriptors(300);
    let before = app.remote.scrape().await;
    let max = before.sum("http_server_connections_max", &[]);
    assert!((100.0..300.0).contains(&max), "{max}");
    // The kernel takes them all; the app as many as it has room for. Its own connection is one of them.
    let mut flood: Vec<_> = (0..500).map(|_| connect(app.remote.address)).collect();
    let full = |scrape: &Scrape| {
        scrape.sum("http_server_connections", &[]) == max
            && scrape.sum("http_server_accept_pauses_total", &["connections_max"]) > 0.0
    };
    let during = app.remote.scrape_until(full).await;
    assert!(during.sum("process_open_fds", &[]) < 300.0, "some are kept for the app itself");
    assert_eq!(app.remote.get("/api/products/1").await.status.as_u16(), 200, "who was there is served");
    // The last of them is served when others make room.
    let mut last = flood.pop().unwrap();
    last.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    drop(flood);
    assert_eq!(verdict(&answer(&mut last)), "200 -");
    app.remote.scrape_until(|scrape| scrape.sum("http_server_connections", &[]) < 4.0).await;
}

#[tokio::test]
async fn nothing_is_left_of_ten_thousand_bad_requests() {
    let app = Breakable::serving(&["--dial", "heap.garbage_bytes_per_request=0", "--dial", "app.cores=4"]);
    let requests: Vec<String> = (0..BAD_REQUESTS)
        .map(|i| match i % 8 {
            0 => post("/api/orders", "{"),
            1 => post("/api/orders", &format!("{{\"product_id\": \"{i}\"}}")),
            2 => post("/api/login", &format!("{{\"email\": \"a{i}@b.c\", \"password\": \"x\"}}")),
            3 => format!("GET /nowhere/{i} HTTP/1.1\r\nhost: x\r\n\r\n"),
            4 => format!("GET /api/products/{} HTTP/1.1\r\nhost: x\r\n\r\n", 1_000_000 + i),
            5 => format!("GET /api/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {i}.{:064x}\r\n\r\n", i),
            6 => format!("ODD{i} /api/products HTTP/1.1\r\nhost: x\r\n\r\n"),
            _ => "GET /ws HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        })
        .collect();
    let ask_all = |requests: &[String]| {
        let mut connection = connect(app.app.address);
        for request in requests {
            connection.write_all(request.as_bytes()).unwrap();
            let verdict = verdict(&answer(&mut connection));
            assert!(verdict.starts_with('4') && !verdict.ends_with('-'), "{request}: {verdict}");
        }
    };
    // At rest: a connection that is not closed yet has its buffers.
    let at_rest = |scrape: &Scrape| scrape.sum("http_server_connections", &[]) < 3.0;
    let heap = async || app.app.scrape_until(at_rest).await.sum("nodejs_heap_size_used_bytes", &[]);
    // What is made once and kept, such as statements and series of metrics, is there after a few.
    ask_all(&requests[..200]);
    // A table may grow in one round, once. What leaks does so in each.
    let (mut before, mut left) = (heap().await, Vec::new());
    while left.last().is_none_or(|left| *left >= LEFT_MAX_BYTES) {
        assert!(left.len() < ROUNDS, "these bytes are left of each round: {left:?}");
        ask_all(&requests);
        // Connections that end half-way leave nothing either.
        for i in 0..1_000 {
            let said = [b"\x16\x03\x01".as_slice(), b"GET / HTTP/9\r\n\r\n", b"", b"GET /heal"][i % 4];
            let _ = connect(app.app.address).write_all(said);
        }
        let after = heap().await;
        left.push(after - before);
        before = after;
    }
}
