//! What an idle client costs a replica, in memory the kernel counts (PSS): printed, never asserted, since it is the
//! allocator's and the machine's as well as ours.
//!
//!     cargo bench -p target-app --bench density
#![allow(clippy::print_stdout, reason = "a bench is for a person who watches it")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const CLIENTS: usize = 5_000;
/// For the app to come to rest.
const REST: Duration = Duration::from_secs(2);
const REQUEST: &str = "GET /api/products/1 HTTP/1.1\r\nhost: x\r\n\r\n";
const UPGRADE: &str = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
const SUBSCRIBE: &str = r#"{"type":"subscribe","channel":"stock","id":"42"}"#;

struct App {
    child: Child,
    address: String,
}

impl App {
    fn start() -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_target-app"))
            .args(["serve", "eco-100k", "--replicas", "1", "--listen", "127.0.0.1:0", "--exit-with-stdin"])
            .args(["--dial", "heap.bytes_per_socket=0", "--dial", "websocket.tick_interval_ms=3600000"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening http://").ok_or("no address")?.to_owned();
        Ok(Self { child, address })
    }

    /// Of the one replica, not of its supervisor.
    fn pss_bytes(&self) -> Result<f64, Box<dyn Error>> {
        thread::sleep(REST);
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let replica = children.split_whitespace().next().ok_or("no replica")?;
        let rollup = std::fs::read_to_string(format!("/proc/{replica}/smaps_rollup"))?;
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
        let kib: f64 = pss.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024.0)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Whatever it ends with, the figures are printed.
        let _ = self.child.wait();
    }
}

/// Connections to the app, each after one answer to this head, then to this text frame if there is one.
fn clients(app: &App, head: &str, text: Option<&str>) -> Result<Vec<TcpStream>, Box<dyn Error>> {
    let mut all = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect(&app.address)?;
        client.write_all(head.as_bytes())?;
        let mut answer = [0; 2048];
        let count = client.read(&mut answer)?;
        if count == 0 {
            return Err("the app hung up".into());
        }
        if let Some(text) = text {
            // A mask of zeros leaves the text as it is.
            let mut frame = vec![0x81, 0x80 | u8::try_from(text.len())?, 0, 0, 0, 0];
            frame.extend_from_slice(text.as_bytes());
            client.write_all(&frame)?;
            if client.read(&mut answer)? == 0 {
                return Err("the app hung up".into());
            }
        }
        all.push(client);
    }
    Ok(all)
}

fn main() -> Result<(), Box<dyn Error>> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    println!("{CLIENTS} idle clients of one replica");
    for (what, head, text) in [
        ("HTTP connection after a request", REQUEST, None),
        ("WebSocket", UPGRADE, None),
        ("WebSocket with a subscription", UPGRADE, Some(SUBSCRIBE)),
    ] {
        let app = App::start()?;
        let before = app.pss_bytes()?;
        let all = clients(&app, head, text)?;
        let each = (app.pss_bytes()? - before) / all.len() as f64;
        println!("{what:<34} {:>6.1} KiB each", each / 1024.0);
    }
    Ok(())
}
