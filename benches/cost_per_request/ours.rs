//! The transport as a shard drives it: local tasks on a current-thread runtime, response and service time recorded.

use hdrhistogram::Histogram;
use plimsoll::clock::Clock;
use plimsoll::transport::{Address, Buffers, Keep, connect};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinSet;

/// What a shard keeps of its samples.
struct Record {
    response: RefCell<Histogram<u64>>,
    service: RefCell<Histogram<u64>>,
    requests: Cell<u64>,
    failed: Cell<u64>,
}

pub(crate) fn run(
    addr: SocketAddr,
    connections: usize,
    duration: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let histogram = || Histogram::new_with_bounds(1, 3_600_000_000_000, 3).map(RefCell::new);
    let record = Rc::new(Record {
        response: histogram()?,
        service: histogram()?,
        requests: Cell::new(0),
        failed: Cell::new(0),
    });
    let until_ns = u64::try_from(duration.as_nanos())?;
    let mut users = JoinSet::new();
    let address = Rc::new(Address::new("127.0.0.1", addr.port(), addr, None));
    let clock = Clock::start();
    let buffers = Buffers::new();
    runtime.block_on(async {
        for _ in 0..connections {
            users.spawn_local(user(
                Rc::clone(&address),
                buffers.clone(),
                clock,
                until_ns,
                Rc::clone(&record),
            ));
        }
        users.join_all().await
    });
    if record.failed.get() > 0 {
        return Err(format!("{} requests failed", record.failed.get()).into());
    }
    println!("{}", record.requests.get());
    Ok(())
}

async fn user(address: Rc<Address>, buffers: Buffers, clock: Clock, until_ns: u64, record: Rc<Record>) {
    let request = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", address.host_header).into_bytes();
    let Ok(mut connection) = connect(&address, None).await else {
        record.failed.set(record.failed.get() + 1);
        return;
    };
    let mut intended_ns = clock.now();
    loop {
        match connection.exchange(&request, false, Keep::default(), &buffers, &clock).await {
            Ok(exchange) if exchange.status == 200 && exchange.reusable => {
                record.response.borrow_mut().saturating_record(exchange.done_ns - intended_ns);
                record.service.borrow_mut().saturating_record(exchange.done_ns - exchange.sent_ns);
                record.requests.set(record.requests.get() + 1);
                intended_ns = exchange.done_ns;
                if exchange.done_ns >= until_ns {
                    return;
                }
            }
            _ => {
                record.failed.set(record.failed.get() + 1);
                return;
            }
        }
    }
}
