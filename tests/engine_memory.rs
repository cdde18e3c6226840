//! What was measured takes no memory with every request: a run of an hour is no larger than one of a minute. A test program of its own, because
//! the allocator is the whole program's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use plimsoll::clock::Clock;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tikv_jemalloc_ctl::{epoch, stats};
use tikv_jemallocator::Jemalloc;
use transport_subjects::shard::carry;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// When memory is looked at: once the first second has been told and all is warm, and again.
const LOOKS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(7)];
const REQUESTS_MIN: u64 = 1_000;
/// What a request may leave behind. The least that any tool which keeps some is known to keep is 95 bytes.
const BYTES_OF_A_REQUEST: u64 = 16;

/// Bytes allocated in this process after so many requests.
#[derive(Clone, Copy, Debug)]
struct Look {
    requests: u64,
    allocated: u64,
}

impl Look {
    fn after(requests: u64) -> Self {
        epoch::advance().unwrap();
        Self { requests, allocated: stats::allocated::read().unwrap() as u64 }
    }
}

/// Answers with another cookie and another value each time: what is kept of the one before has to go.
fn serve(mut socket: TcpStream, served: &AtomicU64, clock: Clock, looks: &Mutex<Vec<Look>>) {
    let mut request = [0; 4096];
    while socket.read(&mut request).is_ok_and(|read| read > 0) {
        let number = served.fetch_add(1, Ordering::Relaxed);
        let mut taken = looks.lock().unwrap();
        if LOOKS.get(taken.len()).is_some_and(|due| u128::from(clock.now()) >= due.as_nanos()) {
            taken.push(Look::after(number));
        }
        drop(taken);
        let body = format!(r#"{{"items": [{{"id": "item-{number}"}}, {{"id": "other"}}]}}"#);
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nset-cookie: session={number}; path=/\r\ncontent-length: {length}\r\n\r\n"
        );
        if socket.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

fn server(looks: Arc<Mutex<Vec<Look>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let served = Arc::new(AtomicU64::new(0));
    std::thread::spawn(move || {
        let clock = Clock::start();
        for socket in listener.incoming().flatten() {
            socket.set_nodelay(true).unwrap();
            let (served, looks) = (Arc::clone(&served), Arc::clone(&looks));
            std::thread::spawn(move || serve(socket, &served, clock, &looks));
        }
    });
    addr
}

#[test]
fn a_run_does_not_grow_with_its_requests() {
    let looks = Arc::new(Mutex::new(Vec::new()));
    let addr = server(Arc::clone(&looks));
    let steps = r#"[{get: "/items?page=${rand.int(1, 40)}&user=${user.id}", name: items, expect: {status: 200, body: "$.items is not empty"}, extract: {item: "$.items[*].id | random"}}, {post: "/cart/${item}", name: cart, json: {item: "${item}", at: "${iter}"}, expect: {status: 200}}]"#;
    let rest = format!(
        "scenarios: {{read: {{steps: {steps}}}}}\nload:\n  - {{run: read, executor: closed, stages: [{{to: 8, over: 0s}}, {{hold: 8s}}], graceful_stop: 1s}}\n"
    );
    let sum = carry(addr, &format!("http: \"http://{addr}\""), &rest);
    assert_eq!(sum.requests.failed, 0, "{:?}", sum.failures);
    let looks = looks.lock().unwrap();
    let [before, after] = looks[..] else { panic!("no requests came so late: {looks:?}") };
    let requests = after.requests - before.requests;
    assert!(requests >= REQUESTS_MIN, "too few to tell: {requests}");
    let grown = after.allocated.saturating_sub(before.allocated);
    assert!(grown <= requests * BYTES_OF_A_REQUEST, "{grown} bytes over {requests} requests");
}
