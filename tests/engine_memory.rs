//! What was measured takes no memory with every request: a run of an hour is no larger than one of a minute. A test program of its own, because
//! the allocator is the whole program's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use cap::Cap;
use plimsoll::clock::{Clock, Nanos};
use plimsoll::load::share::Share;
use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use transport_subjects::shard::Run;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const USERS: u64 = 8;
/// Iterations of each, two requests each.
const ITERATIONS: u64 = 3_000;
/// When memory is looked at: once all is warm, the histograms of the second second too, and after so many requests of all, near the end.
const WARM_NS: Nanos = 2_500_000_000;
const LAST_LOOK: u64 = 46_000;
/// What histograms may grow by when the machine stands still for a while and longer times come to be.
const BYTES_OF_ALL: u64 = 512 * 1_024;
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
        Self { requests, allocated: ALLOCATOR.allocated() as u64 }
    }
}

/// Answers with another cookie and another value each time: what is kept of the one before has to go.
fn serve(mut socket: TcpStream, clock: Clock, served: &AtomicU64, looks: &Mutex<Vec<Look>>) {
    let mut request = [0; 4096];
    while socket.read(&mut request).is_ok_and(|read| read > 0) {
        let number = served.fetch_add(1, Ordering::Relaxed);
        let mut taken = looks.lock().unwrap();
        if (taken.is_empty() && clock.now() >= WARM_NS) || number == LAST_LOOK {
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
    let (clock, served) = (Clock::start(), Arc::new(AtomicU64::new(0)));
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            socket.set_nodelay(true).unwrap();
            let (served, looks) = (Arc::clone(&served), Arc::clone(&looks));
            std::thread::spawn(move || serve(socket, clock, &served, &looks));
        }
    });
    addr
}

#[test]
fn a_run_does_not_grow_with_its_requests() {
    let looks = Arc::new(Mutex::new(Vec::new()));
    let addr = server(Arc::clone(&looks));
    let steps = r#"[{get: "/items?page=${rand.int(1, 40)}&user=${user.id}", name: items, expect: {status: 200, body: "$.items is not empty"}, extract: {item: "$.items[*].id | random"}}, {post: "/cart/${item}", name: cart, json: {item: "${item}", at: "${iter}"}, expect: {status: 200}}, {think: 1ms}, {if: "${iter} == LAST", then: [stop_user]}]"#
        .replace("LAST", &(ITERATIONS - 1).to_string());
    let rest = format!(
        "scenarios: {{read: {{steps: {steps}}}}}\nload:\n  - {{run: read, executor: closed, stages: [{{to: {USERS}, over: 0s}}, {{hold: 3m}}], graceful_stop: 1s}}\n"
    );
    let target = &format!("http: \"http://{addr}\"");
    let run = Run { addr, target, rest: &rest, share: Share::WHOLE, words: &[], ends_with_its_users: true };
    let sum = run.carry().sum;
    assert_eq!((sum.requests.failed, sum.counts.completed), (0, USERS * ITERATIONS), "{:?}", sum.failures);
    let looks = looks.lock().unwrap();
    let [before, after] = looks[..] else { panic!("{looks:?}") };
    let requests = after.requests - before.requests;
    assert!(requests >= LAST_LOOK / 10, "{looks:?}");
    let grown = after.allocated.saturating_sub(before.allocated);
    assert!(grown <= BYTES_OF_ALL + requests * BYTES_OF_A_REQUEST, "{grown} bytes over {requests} requests");
}
