//! The hot path allocates nothing: the allocator's own count for this thread does not move over a thousand exchanges. A test program
//! of its own, because the allocator is the whole program's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use plimsoll::transport::Keep;
use std::io::Write;
use tikv_jemalloc_ctl::thread;
use tikv_jemallocator::Jemalloc;
use transport_subjects::{Client, GET, read_request, scripted};

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::test]
async fn an_exchange_that_keeps_nothing_allocates_nothing() {
    let addr = scripted(1, |mut socket| {
        while read_request(&mut socket) {
            socket
                .write_all(b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
                .unwrap();
        }
    });
    let client = Client::new(addr);
    let mut connection = client.connect().await;
    let allocated = thread::allocatedp::read().unwrap();
    let mut before = 0;
    for round in 0..1_100 {
        if round == 100 {
            before = allocated.get();
        }
        let exchange =
            connection.exchange(GET, false, Keep::default(), &client.buffers, &client.clock).await.unwrap();
        assert_eq!(exchange.status, 200);
    }
    assert_eq!(allocated.get() - before, 0, "bytes allocated over 1,000 exchanges");
    let kept = Keep { body: true, ..Keep::default() };
    connection.exchange(GET, false, kept, &client.buffers, &client.clock).await.unwrap();
    assert!(allocated.get() > before, "the count does count");
}
