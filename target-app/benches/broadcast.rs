//! How late a tick is at the subscribers of one topic, when 10,000 have subscribed to it at one replica on one core: from the instant that the tick
//! names to the one at which this process has read it, so what is told includes the wait for the reader's own core. Ends with exit code 1
//! when the p99 is above 250 ms or a tick is missing.
//!
//!     cargo bench -p target-app --bench broadcast
#![allow(clippy::print_stdout, reason = "a bench is for a person who watches it")]

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

const SUBSCRIBERS: usize = 10_000;
const TICKS: usize = 10;
const P99_MAX_MS: u64 = 250;
const TICK_MS: u64 = 2_000;
const SUBSCRIBE: &str = r#"{"type":"subscribe","channel":"stock","id":"42"}"#;

type Failure = Box<dyn Error + Send + Sync>;

/// The app on the first core; this process is on the second, where there is one.
fn app() -> Result<(Child, String), Failure> {
    let tick = format!("websocket.tick_interval_ms={TICK_MS}");
    let mut child = Command::new("taskset")
        .args(["-c", "0", env!("CARGO_BIN_EXE_target-app"), "serve", "eco-100k", "--replicas", "1"])
        .args(["--listen", "127.0.0.1:0", "--exit-with-stdin", "--dial", &tick])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let address = line.trim().strip_prefix("listening http://").ok_or("no address")?.to_owned();
    Ok((child, address))
}

/// The calendar, which a tick is stamped by.
fn unix_ms() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

async fn subscribed(address: &str) -> Result<WebSocketStream<TcpStream>, Failure> {
    let stream = TcpStream::connect(address).await?;
    let config = WebSocketConfig::default().read_buffer_size(2_048);
    let url = format!("ws://{address}/ws");
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await?;
    socket.send(Message::text(SUBSCRIBE)).await?;
    let answer = socket.next().await.ok_or("the app hung up")??;
    if answer.to_text()?.contains("subscribed") { Ok(socket) } else { Err("not subscribed".into()) }
}

/// Tells the number and the lag of each tick, in milliseconds.
async fn listen(mut socket: WebSocketStream<TcpStream>, lags: mpsc::UnboundedSender<(u64, u64)>) {
    while let Some(Ok(message)) = socket.next().await {
        let now_ms = unix_ms();
        let tick: Value =
            message.to_text().ok().and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
        let (Some(number), Some(sent_ms)) = (tick["seq"].as_u64(), tick["sent_at_ms"].as_u64()) else {
            continue;
        };
        if lags.send((number, now_ms.saturating_sub(sent_ms))).is_err() {
            return;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let own = std::process::id().to_string();
    // On a machine of one core both share it.
    Command::new("taskset")
        .args(["-c", "-p", "1", &own])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    let (mut child, address) = app()?;
    let (lags, mut told) = mpsc::unbounded_channel();
    let mut first = 0;
    for n in 0..SUBSCRIBERS {
        tokio::spawn(listen(subscribed(&address).await?, lags.clone()));
        if n + 1 == SUBSCRIBERS {
            first = unix_ms() / TICK_MS + 1;
        }
    }
    drop(lags);
    let wanted = first..first + TICKS as u64;
    let mut of_wanted = Vec::with_capacity(SUBSCRIBERS * TICKS);
    while of_wanted.len() < SUBSCRIBERS * TICKS {
        let patience = Duration::from_millis(5 * TICK_MS);
        match tokio::time::timeout(patience, told.recv()).await {
            Ok(Some((number, lag_ms))) if wanted.contains(&number) => of_wanted.push(lag_ms),
            Ok(Some((number, _))) if number < wanted.end + 3 => {}
            _ => break,
        }
    }
    drop(child.stdin.take());
    child.wait()?;
    of_wanted.sort_unstable();
    let at =
        |share: f64| of_wanted.get((of_wanted.len() as f64 * share) as usize).copied().unwrap_or(u64::MAX);
    println!(
        "{TICKS} ticks to {SUBSCRIBERS} subscribers of one topic at one replica: {} of {} came",
        of_wanted.len(),
        SUBSCRIBERS * TICKS
    );
    println!("lag p50 {} ms, p99 {} ms (at most {P99_MAX_MS}), max {} ms", at(0.5), at(0.99), at(0.999_999));
    if of_wanted.len() < SUBSCRIBERS * TICKS || at(0.99) > P99_MAX_MS {
        return Err("this is not within bounds".into());
    }
    Ok(())
}
