//! What a user costs who only waits: connections opened and answered once, then the proportional share of memory per connection.

use plimsoll::clock::Clock;
use plimsoll::transport::tls::{Tls, Trust};
use plimsoll::transport::{Address, Buffers, Keep, connect, websocket};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

type Outcome = Result<(), Box<dyn std::error::Error>>;

pub(crate) fn http(addr: SocketAddr, users: usize, tls: bool) -> Outcome {
    let tls = tls.then(|| Tls::new("localhost", &Trust::Any)).transpose()?;
    let buffers = Buffers::new();
    let clock = Clock::start();
    let address = Rc::new(Address::new("127.0.0.1", addr.port(), addr, tls));
    measure(users, |ready| {
        let (address, buffers) = (Rc::clone(&address), buffers.clone());
        async move {
            let request = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", address.host_header).into_bytes();
            let Ok(mut connection) = connect(&address, None).await else { return };
            let answered = connection.exchange(&request, false, Keep::default(), &buffers, &clock).await;
            if answered.is_ok() {
                ready.set(ready.get() + 1);
            }
            tokio::time::sleep(Duration::from_secs(600)).await;
            // A user sends again after thinking: the connection and the request must live across the wait.
            let _ = connection.exchange(&request, false, Keep::default(), &buffers, &clock).await;
        }
    })
}

pub(crate) fn websocket(addr: SocketAddr, users: usize) -> Outcome {
    let buffers = Buffers::new();
    let clock = Clock::start();
    let address = Rc::new(Address::new("127.0.0.1", addr.port(), addr, None));
    measure(users, |ready| {
        let (address, buffers) = (Rc::clone(&address), buffers.clone());
        async move {
            let opening = websocket::open(&address, None, websocket::Upgrade::to("/"), drop, &buffers, clock);
            let Ok(mut socket) = opening.await else { return };
            if socket.send_text("hello").await.is_ok() && socket.next().await.is_ok() {
                ready.set(ready.get() + 1);
            }
            let _ = socket.next().await;
        }
    })
}

fn measure<F: Future<Output = ()> + 'static>(
    users: usize,
    user: impl Fn(Rc<std::cell::Cell<usize>>) -> F,
) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let ready = Rc::new(std::cell::Cell::new(0));
        // The first user pays for what all share.
        tokio::task::spawn_local(user(Rc::clone(&ready)));
        settle(&ready, 1).await?;
        let before = pss_bytes()?;
        for number in 0..users {
            tokio::task::spawn_local(user(Rc::clone(&ready)));
            if number % 100 == 0 {
                // In small waves, so that the server's queue of new connections is not what is measured.
                settle(&ready, number.saturating_sub(100)).await?;
            }
        }
        settle(&ready, users + 1).await?;
        let each = (pss_bytes()? - before) / users as f64;
        println!("{each:.0}");
        Ok(())
    })
}

async fn settle(ready: &std::cell::Cell<usize>, at_least: usize) -> Outcome {
    for _ in 0..2_000 {
        if ready.get() >= at_least {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(format!("only {} of {at_least} users were answered", ready.get()).into())
}

pub(crate) fn pss_bytes() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss in smaps_rollup")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? * 1024.0)
}
