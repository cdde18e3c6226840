//! The binary: its one line, its ways to end and their exit codes, and what only a process of its own can show.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio_tungstenite::connect_async;

use crate::support::{Remote, Scrape};

/// Idle connections to measure; the soft limit on descriptors is often 1,024.
const IDLE: usize = 400;
/// What an idle connection may cost the app.
const IDLE_MAX_BYTES: f64 = 24.0 * 1024.0;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_target-app"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A served profile; stopped when the test ends.
struct Process {
    child: Child,
    remote: Remote,
}

impl Process {
    fn serving(dials: &[&str]) -> Self {
        let mut arguments = vec!["serve", "baseline", "--listen", "127.0.0.1:0", "--exit-with-stdin"];
        arguments.extend(["--dial", "app.drain_ms=500"]);
        for dial in dials {
            arguments.extend(["--dial", dial]);
        }
        let mut child = command(&arguments).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        child.stdout = Some(out.into_inner());
        let address = line.trim_end().strip_prefix("listening http://").expect(&line).parse().unwrap();
        Self { child, remote: Remote::at(address) }
    }

    /// What it wrote after its first line, and its exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        let code = self.child.wait().unwrap().code();
        (rest, code)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killed, it would leave its store behind; at the end of its standard input it tidies up.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn failed(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[tokio::test]
async fn it_ends_with_its_standard_input() {
    let mut app = Process::serving(&[]);
    assert_eq!(app.remote.get("/api/products/1").await.status.as_u16(), 200);
    drop(app.child.stdin.take());
    assert_eq!(app.end(), (String::new(), Some(0)));
}

#[test]
fn it_ends_well_when_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let app = Process::serving(&[]);
        kill_process(Pid::from_child(&app.child), signal).unwrap();
        assert_eq!(app.end(), (String::new(), Some(0)));
    }
}

#[test]
fn what_it_cannot_do_it_says() {
    let app = Process::serving(&[]);
    let taken = app.remote.address.to_string();
    let output = command(&["serve", "baseline", "--listen", &taken]).output().unwrap();
    let (code, text) = failed(&output);
    assert_eq!(code, Some(9));
    assert!(text.starts_with(&format!("error: cannot listen on {taken}: Address already in use")), "{text}");

    let output = command(&["serve", "nothing"]).output().unwrap();
    insta::assert_snapshot!(failed(&output).1, @r#"error: unknown profile "nothing"; there is: baseline, pool-100, cached, unindexed, replica-set, read-replicas, sharded, queued, breaker, limited, autoscaled, hardened, redis-single, redis-cluster, l1-cache, websocket-heap, lean-sockets, replicas-4, gateway-single, gateway-wide, static-from-app, edge-cache, eco-100k"#);
    assert_eq!(failed(&output).0, Some(2));
    let output = command(&["serve", "baseline", "--dial", "app.cores=0"]).output().unwrap();
    insta::assert_snapshot!(failed(&output).1, @r#"error: dial app.cores cannot be "0": expected a number from 0.05 to 64 cores"#);
    assert_eq!(failed(&output).0, Some(2));
}

#[cfg(not(feature = "mongodb"))]
#[test]
fn without_the_driver_it_says_how_to_get_it() {
    let uri = "mongodb://ada:geheim@127.0.0.1/shop";
    let output = command(&["serve", "baseline", "--mongodb", uri]).stdin(Stdio::null()).output().unwrap();
    let words = "error: this build has no MongoDB driver: cargo build --features mongodb\n";
    assert_eq!(failed(&output), (Some(2), words.to_owned()));
}

#[test]
fn explain_prints_the_ceilings() {
    let output = command(&["explain", "baseline", "--visit", "GET /api/products/{id}=1"]).output().unwrap();
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r"
    resource               requests/s      users
    mongodb.pool                500.0        510
    app.cpu                    4000.0       4081
    ");
    let output = command(&["explain", "limited", "--visit", "GET /api/products/{id}=1"]).output().unwrap();
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r"
    resource               requests/s      users
    mongodb.pool                500.0        510
    app.cpu                    4000.0       4081
    rate limiter: 100 requests in 900 s a user, 0.111 a second; one user of this load makes 0.980 a second and is rejected after about 102 s, for 900 s. Without logins, all users of one address are one user.
    ");
    let output = command(&["explain", "baseline", "--visit", "GET /nowhere=1"]).output().unwrap();
    assert_eq!(failed(&output).0, Some(2));
}

#[test]
fn the_list_has_every_profile_and_its_dials_with_those_of_its_base() {
    let output = command(&["list", "--json"]).output().unwrap();
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = |profile: &serde_json::Value| {
        let dials = &profile["dials"];
        [
            &profile["name"],
            &profile["base"],
            &dials["mongodb"]["max_pool_size"],
            &dials["cache"]["l1_ttl_ms"],
            &dials["rate_limiter"]["points"],
            &dials["store"]["products"],
        ]
        .map(ToString::to_string)
        .join(" ")
    };
    let rows: Vec<_> = list.as_array().unwrap().iter().map(row).collect();
    insta::assert_snapshot!(rows.join("\n"), @r#"
    "baseline" null 10 0 0 1000
    "pool-100" "baseline" 100 0 0 1000
    "cached" "baseline" 10 10000 0 1000
    "unindexed" "baseline" 10 0 0 1000
    "replica-set" "baseline" 10 0 0 1000
    "read-replicas" "baseline" 10 0 0 1000
    "sharded" "baseline" 10 0 0 1000
    "queued" "baseline" 10 0 0 1000
    "breaker" "baseline" 10 0 0 1000
    "limited" "baseline" 10 0 100 1000
    "autoscaled" "pool-100" 100 0 0 1000
    "hardened" "baseline" 10 0 1000 1000
    "redis-single" "baseline" 10 0 0 1000
    "redis-cluster" "redis-single" 10 0 0 1000
    "l1-cache" "redis-single" 10 10000 0 1000
    "websocket-heap" "baseline" 10 0 0 1000
    "lean-sockets" "websocket-heap" 10 0 0 1000
    "replicas-4" "websocket-heap" 10 0 0 1000
    "gateway-single" "baseline" 10 0 0 1000
    "gateway-wide" "gateway-single" 10 0 0 1000
    "static-from-app" "baseline" 10 0 0 1000
    "edge-cache" "static-from-app" 10 0 0 1000
    "eco-100k" "baseline" 100 10000 0 1000
    "#);
}

#[tokio::test]
async fn above_its_heap_limit_it_dies_as_node_does() {
    let mut app = Process::serving(&["heap.limit_bytes=33554432", "heap.bytes_per_socket=4194304"]);
    let mut sockets = Vec::new();
    // It may be gone before the last one.
    while sockets.len() < 10
        && let Ok(socket) = connect_async(format!("ws://{}/ws", app.remote.address)).await
    {
        sockets.push(socket);
    }
    let mut error = String::new();
    app.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(error.starts_with("error: heap out of memory: "), "{error}");
    assert_eq!(app.end().1, Some(134));
}

#[tokio::test]
async fn near_its_heap_limit_the_world_stops_for_the_collector() {
    // Of a heap of 64 MiB one socket holds 56: what is above seven tenths of it, 11.2 MiB, takes a second. A request fills the room left.
    let app = Process::serving(&[
        "heap.limit_bytes=67108864",
        "heap.bytes_per_socket=58720256",
        "heap.garbage_bytes_per_request=67108864",
        "heap.mark_bytes_per_s=11744051",
    ]);
    app.remote.get("/api/products/1").await;
    let pauses = |scrape: &Scrape| {
        let of = |what: &str| scrape.sum(&format!("nodejs_gc_duration_seconds_{what}"), &["kind=\"major\""]);
        (of("count"), of("sum"))
    };
    let before = app.remote.scrape().await;
    assert_eq!(pauses(&before), (1.0, 0.0), "there was nothing to stop the world for");
    let _socket = connect_async(format!("ws://{}/ws", app.remote.address)).await.unwrap();
    app.remote.get("/api/products/1").await;
    // The pause comes after the answer; what asks next waits for it.
    let late = |scrape: &Scrape| scrape.sum("nodejs_eventloop_lag_p99_seconds", &[]) > 0.5;
    let after = app.remote.scrape_until(late).await;
    // That of the upgrade found no socket yet.
    let (count, sum_s) = pauses(&after);
    assert!(count == 3.0 && (0.9..1.2).contains(&sum_s), "{count} collections, {sum_s} s");
}

#[tokio::test]
async fn idle_connections_are_cheap() {
    let app = Process::serving(&["heap.bytes_per_socket=0"]);
    let heap = "nodejs_heap_size_used_bytes";
    let before = app.remote.scrape().await.sum(heap, &[]);
    let mut connections = Vec::new();
    for _ in 0..IDLE {
        let mut connection = TcpStream::connect(app.remote.address).unwrap();
        std::io::Write::write_all(&mut connection, b"GET /api/products/1 HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        connections.push(connection);
    }
    for connection in &mut connections {
        assert!(connection.read(&mut [0; 1024]).unwrap() > 0);
    }
    let each = (app.remote.scrape().await.sum(heap, &[]) - before) / IDLE as f64;
    assert!((1.0..IDLE_MAX_BYTES).contains(&each), "{each} bytes a connection");
    drop(connections);
    app.remote.scrape_until(|scrape| scrape.sum("http_server_connections", &[]) < 3.0).await;

    let before = app.remote.scrape().await.sum(heap, &[]);
    let mut sockets = Vec::new();
    for _ in 0..IDLE {
        sockets.push(connect_async(format!("ws://{}/ws", app.remote.address)).await.unwrap());
    }
    let full =
        app.remote.scrape_until(|scrape| scrape.sum("websocket_connections", &[]) == IDLE as f64).await;
    let each = (full.sum(heap, &[]) - before) / IDLE as f64;
    assert!((1.0..IDLE_MAX_BYTES).contains(&each), "{each} bytes a socket");
}

#[tokio::test]
async fn a_socket_holds_the_heap_it_is_dialled() {
    let app = Process::serving(&["heap.bytes_per_socket=1000000"]);
    let before = app.remote.scrape().await.sum("nodejs_heap_size_used_bytes", &[]);
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(connect_async(format!("ws://{}/ws", app.remote.address)).await.unwrap());
    }
    let full = app.remote.scrape_until(|scrape| scrape.sum("websocket_connections", &[]) == 20.0).await;
    let held = full.sum("nodejs_heap_size_used_bytes", &[]) - before;
    assert!((20e6..21e6).contains(&held), "{held}");
}

#[tokio::test]
async fn a_request_costs_its_dial_and_waits_for_the_quota() {
    let app = Process::serving(&[
        "app.cores=0.5",
        "app.cpu_us_per_request.read=20000",
        "mongodb.service_time_ms=1",
    ]);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let remote = app.remote.clone();
            tokio::spawn(async move {
                loop {
                    remote.get("/api/products/1").await;
                }
            })
        })
        .collect();
    let read = |scrape: &Scrape| {
        let requests = scrape.sum("app_cpu_wait_time_seconds_count", &[]);
        (scrape.sum("process_cpu_seconds_total", &[]), requests)
    };
    let pending = |scrape: &Scrape| scrape.sum("app_cpu_pending_requests", &[]) >= 6.0;
    let (cpu_before, requests_before) = read(&app.remote.scrape_until(pending).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (cpu_after, requests_after) = read(&app.remote.scrape_until(pending).await);
    for client in clients {
        client.abort();
    }
    // Whatever the time it took: each request costs its dial, HTTP and all. That is some milliseconds in a debug build on a slow machine, of
    // which a dial of less could not make up.
    let each_s = (cpu_after - cpu_before) / (requests_after - requests_before);
    assert!((each_s / 0.020 - 1.0).abs() < 0.1, "{each_s} s a request");
}
