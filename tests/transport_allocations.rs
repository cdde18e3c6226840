//! The hot path allocates nothing: what this thread allocates is counted over a thousand exchanges. A test program of its own, because
//! the allocator is the whole program's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use allocation_counter::measure;
use plimsoll::transport::{Connection, Keep};
use std::io::Write;
use transport_subjects::{Client, GET, read_request, scripted};

async fn exchange(connection: &mut Connection, client: &Client, keep: Keep) {
    let exchange = connection.exchange(GET, false, keep, &client.buffers, &client.clock).await.unwrap();
    assert_eq!(exchange.status, 200);
}

#[test]
fn an_exchange_that_keeps_nothing_allocates_nothing() {
    let addr = scripted(1, |mut socket| {
        while read_request(&mut socket) {
            socket
                .write_all(b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
                .unwrap();
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::new(addr);
    let mut connection = runtime.block_on(client.connect());
    let mut exchanges = |times: u32, keep: Keep| {
        measure(|| {
            runtime.block_on(async {
                for _ in 0..times {
                    exchange(&mut connection, &client, keep).await;
                }
            });
        })
    };
    exchanges(100, Keep::default());
    let taken = exchanges(1_000, Keep::default());
    assert_eq!((taken.count_total, taken.bytes_total), (0, 0), "allocated over 1,000 exchanges");
    let kept = exchanges(1, Keep { body: true, ..Keep::default() });
    assert!(kept.count_total > 0, "the count does count");
}
