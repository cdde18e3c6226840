//! One shard against an HTTP/2 server of another make (the server half of `h2`): what each way of keeping connections opens, what is
//! repeated, and that everything sent has ended in one way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use bytes::Bytes;
use h2::Reason;
use plimsoll::measure::snapshot::Snapshot;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use transport_subjects::frames::{GOAWAY, Peer, RST_STREAM, peer};
use transport_subjects::shard::{self, closed};

/// What a server saw.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// Streams at once on one connection, at most.
    streams_max: AtomicUsize,
    bodies: AtomicUsize,
}

/// Answers every stream after `delay` with its own path; allows `streams` at once.
fn server(streams: u32, delay: Duration) -> (SocketAddr, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    let told = Arc::clone(&seen);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, streams, delay, Arc::clone(&told)));
            }
        });
    });
    (addr, seen)
}

async fn serve(socket: tokio::net::TcpStream, streams: u32, delay: Duration, seen: Arc<Seen>) {
    seen.connections.fetch_add(1, Ordering::Relaxed);
    let mut builder = h2::server::Builder::new();
    let shaken = builder.max_concurrent_streams(streams).handshake::<_, Bytes>(socket).await;
    let Ok(mut connection) = shaken else { return };
    let open = Arc::new(AtomicUsize::new(0));
    while let Some(Ok((request, mut answer))) = connection.accept().await {
        seen.requests.fetch_add(1, Ordering::Relaxed);
        let now = open.fetch_add(1, Ordering::Relaxed) + 1;
        seen.streams_max.fetch_max(now, Ordering::Relaxed);
        let (open, seen) = (Arc::clone(&open), Arc::clone(&seen));
        tokio::spawn(async move {
            let (head, mut body) = request.into_parts();
            while let Some(Ok(piece)) = body.data().await {
                seen.bodies.fetch_add(piece.len(), Ordering::Relaxed);
                let _ = body.flow_control().release_capacity(piece.len());
            }
            tokio::time::sleep(delay).await;
            open.fetch_sub(1, Ordering::Relaxed);
            let target = head.uri.path_and_query().unwrap();
            let response = http::Response::builder().header("x-path", head.uri.path()).body(()).unwrap();
            if let Ok(mut stream) = answer.send_response(response, false) {
                let _ = stream.send_data(Bytes::from(format!("{{\"path\": \"{target}\"}}")), true);
            }
        });
    }
}

/// Over HTTP/2 in clear text.
fn carry(addr: SocketAddr, connections: &str, rest: &str) -> Snapshot {
    let target = format!("http: \"http://{addr}\", http_version: 2, connections: {connections}, timeout: 1s");
    shard::carry(addr, &target, rest)
}

const STEPS: &str = "[{get: /a, extract: {p: $.path, h: \"header:x-path\"}}, {post: \"/x?p=${p}&h=${h}\", name: post, body: \"twelve bytes\", expect: {status: 200, body: '$.path == \"/x?p=%2Fa&h=%2Fa\"'}}]";

#[test]
fn a_connection_a_user_or_a_few_for_all() {
    let (addr, seen) = server(8, Duration::from_millis(2));
    let own = carry(addr, "per_user", &closed(20, STEPS));
    assert_eq!(own.requests.failed, 0, "{:?}", own.failures);
    assert_eq!(own.requests.connections_opened, 20);
    assert_eq!(seen.connections.load(Ordering::Relaxed), 20);
    assert_eq!(seen.streams_max.load(Ordering::Relaxed), 1, "a user asks one thing at a time");
    assert_eq!(
        seen.requests.load(Ordering::Relaxed) as u64,
        own.requests.sent,
        "what it saw is what was sent"
    );
    assert!(own.requests.sent > 100);
    assert_eq!(seen.bodies.load(Ordering::Relaxed) as u64, own.requests.sent / 2 * 12);
    let service = &own.windows[0].as_ref().unwrap().service;
    assert!(service.quantile_ns(0.5) >= 2_000_000, "not shorter than the server took");

    let (addr, seen) = server(8, Duration::from_millis(2));
    let shared = carry(addr, "shared", &closed(20, STEPS));
    assert_eq!(shared.requests.failed, 0, "{:?}", shared.failures);
    let opened = shared.requests.connections_opened;
    assert!((3..=4).contains(&opened), "20 users at 8 streams a connection: {opened}");
    assert_eq!(seen.streams_max.load(Ordering::Relaxed), 8, "the server's limit is kept to");
    assert_eq!(seen.requests.load(Ordering::Relaxed) as u64, shared.requests.sent);

    let (addr, _) = server(8, Duration::from_millis(2));
    let fresh = carry(addr, "fresh", &closed(4, "[{get: /a}]"));
    assert_eq!((fresh.requests.failed, fresh.requests.connections_opened), (0, fresh.requests.sent));
}

#[test]
fn open_arrivals_take_over_streams_and_connections() {
    let open = "scenarios: {read: {steps: [{get: /a}]}}\nload:\n  - {name: a, run: read, executor: open, stages: [{to: 200/s, over: 0s}, {hold: 1s}], graceful_stop: 1s}\n";
    for connections in ["per_user", "shared"] {
        let (addr, seen) = server(100, Duration::from_millis(1));
        let sum = carry(addr, connections, open);
        assert_eq!((sum.requests.ok, sum.requests.failed), (200, 0), "{:?}", sum.failures);
        assert_eq!(seen.requests.load(Ordering::Relaxed), 200);
        assert!(sum.requests.connections_opened < 20, "{}", sum.requests.connections_opened);
        assert!(sum.read_error.count() > 0, "one read in a hundred says how late it was");
    }
}

#[test]
fn what_times_out_ends_its_stream_and_is_counted() {
    let (addr, seen) = server(100, Duration::from_secs(5));
    for connections in ["per_user", "shared"] {
        let sum = carry(addr, connections, &closed(3, "[{get: /a, timeout: 300ms}]"));
        assert_eq!(sum.requests.ok, 0);
        assert!(sum.requests.failed >= 6, "{:?}", sum.requests);
        let said = format!("{:?}", sum.failures);
        assert!(
            said.contains("no complete answer within 300ms: the request is out, no answer has begun"),
            "{said}"
        );
    }
    assert!(seen.requests.load(Ordering::Relaxed) > 0);
}

/// Two streams on each of as many connections as users may share, each held for longer than anybody waits.
#[test]
fn who_waits_for_a_stream_in_vain_is_told_so() {
    let (addr, _) = server(2, Duration::from_secs(20));
    let target = format!(
        "http: \"http://{addr}\", http_version: 2, connections: shared, timeout: 20s, connect_timeout: 2s"
    );
    let users = 2 * u32::try_from(plimsoll::limits::HTTP2_SHARED_CONNECTIONS_MAX).unwrap() + 10;
    let rest = closed(users, "[{get: /a}]").replace("{hold: 1s}", "{hold: 4s}");
    let sum = shard::carry(addr, &target, &rest);
    let failures = sum.failures.list(|_| String::new());
    assert!(!failures.is_empty());
    for failure in &failures {
        let text = "no stream free on the shared connections within 2s";
        assert_eq!((failure.kind.as_str(), failure.text.as_str()), ("timeout", text));
    }
    assert_eq!(sum.connect_failures, 0, "the target is there");
    let window = sum.windows[0].as_ref().unwrap();
    let failed = window.failed.as_ref().unwrap();
    // Beside them are those who had a stream, with the age at which the end cut them off, which is any for one sent late.
    let waited = failed.service.hdr().count_between(1_990_000_000, 4_500_000_000);
    assert!(waited >= sum.requests.failed, "{waited} of {} waited for two seconds", sum.requests.failed);
}

/// The first connection has one stream, which is taken; the second never comes about.
#[test]
fn a_further_connection_that_does_not_come_is_no_queue() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let (first, _) = listener.accept().unwrap();
            first.set_nonblocking(true).unwrap();
            let first = tokio::net::TcpStream::from_std(first).unwrap();
            serve(first, 1, Duration::from_millis(900), Arc::default()).await;
        });
    });
    let target = format!(
        "http: \"http://{addr}\", http_version: 2, connections: shared, timeout: 2s, connect_timeout: 300ms"
    );
    let sum = shard::carry(addr, &target, &closed(2, "[{get: /a}]"));
    let failures = sum.failures.list(|_| String::new());
    assert!(!failures.is_empty());
    for failure in &failures {
        assert_eq!(
            (failure.kind.as_str(), failure.text.as_str()),
            ("connect_timeout", "no connection within 300ms")
        );
    }
}

/// A server whose first connection turns the first request away in `how`, and that answers everything else.
fn turns_away(how: fn(&mut Peer, u32)) -> SocketAddr {
    let mut first = true;
    peer(4, &[], move |peer| {
        let mut stream = peer.request();
        if std::mem::take(&mut first) {
            how(peer, stream);
            stream = peer.request();
        }
        while stream != 0 {
            peer.answer(stream, b"ok");
            stream = peer.request();
        }
    })
}

#[test]
fn a_request_the_server_did_not_look_at_is_sent_again() {
    let once = "scenarios: {read: {steps: [{post: /a, json: {}}]}}\nload:\n  - {name: a, run: read, executor: open, stages: [{to: 1/s, over: 0s}, {hold: 2s}], graceful_stop: 1s}\n";
    let refused = turns_away(|peer, stream| {
        peer.send(RST_STREAM, 0, stream, &Peer::words(&[Reason::REFUSED_STREAM.into()]))
    });
    let leaving = turns_away(|peer, _| peer.send(GOAWAY, 0, 0, &Peer::words(&[0, 0])));
    for (addr, connections) in [(refused, 1), (leaving, 2)] {
        let sum = carry(addr, "per_user", once);
        assert_eq!((sum.requests.sent, sum.requests.ok), (2, 2), "{:?}", sum.failures);
        assert_eq!(sum.requests.connections_opened, connections);
    }
    // Not for ever.
    let never = peer(1, &[], |peer| {
        loop {
            let stream = peer.request();
            if stream == 0 {
                return;
            }
            peer.send(RST_STREAM, 0, stream, &Peer::words(&[Reason::REFUSED_STREAM.into()]));
        }
    });
    let sum = carry(never, "per_user", once);
    assert_eq!((sum.requests.sent, sum.requests.failed, sum.requests.sent_again), (2, 2, 16));
    assert!(format!("{:?}", sum.failures).contains("did not look at the request (REFUSED_STREAM)"));
}

/// A request of which not a byte can go out, and one whose connection is left before it is used, are counted, and took no time; and a user
/// who does not think does not try a thousand times a second.
#[test]
fn what_was_never_sent_has_no_time() {
    let (healthy, seen) = server(100, Duration::ZERO);
    // SETTINGS and GOAWAY in one read: the connection is there, and takes no stream.
    let leaving = transport_subjects::scripted(100, |mut socket| {
        use std::io::Write as _;
        let _ = socket.write_all(
            &[[0, 0, 0, 4, 0, 0, 0, 0, 0].as_slice(), &[0, 0, 8, 7, 0, 0, 0, 0, 0], &[0; 8]].concat(),
        );
        std::thread::sleep(Duration::from_millis(5));
    });
    for connections in ["per_user", "shared", "fresh"] {
        for (addr, step, kind) in [
            (healthy, "{set: {v: \"\\x01\"}}, {get: /a, headers: {x: \"${v}\"}}", "unbound"),
            (leaving, "{get: /a}", "connect"),
        ] {
            let sum = carry(addr, connections, &closed(2, &format!("[{step}]")));
            let requests = sum.requests;
            assert_eq!((requests.sent, requests.unsent), (0, requests.failed), "{kind}: {requests:?}");
            assert!((2..=20).contains(&requests.failed), "{connections}, {kind}: {requests:?}");
            for failure in sum.failures.list(|_| String::new()) {
                assert_eq!(failure.kind, kind, "{connections}: {}", failure.text);
            }
            let window = sum.windows[0].as_ref().unwrap();
            assert_eq!((window.all_responses().count(), window.all_services().count()), (0, 0), "{kind}");
        }
    }
    assert_eq!(seen.requests.load(Ordering::Relaxed), 0);
}

#[test]
fn a_target_that_speaks_http_1_only_is_no_connection() {
    let addr = transport_subjects::scripted(100, |mut socket| {
        use std::io::Write as _;
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        std::thread::sleep(Duration::from_millis(5));
    });
    for connections in ["per_user", "shared"] {
        let sum = carry(addr, connections, &closed(2, "[{get: /a}]"));
        assert_eq!((sum.requests.sent, sum.requests.ok), (0, 0));
        assert!(format!("{:?}", sum.failures).contains("does not speak HTTP/2"), "{:?}", sum.failures);
    }
}
