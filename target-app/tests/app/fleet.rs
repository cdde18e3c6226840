//! Replicas on one address: that they share the load and the store, that `/metrics` of any of them tells of all, and that
//! the supervisor keeps them alive and takes them along when it goes.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::{Fleet, Remote, Scrape};

const REQUESTS: usize = 120;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_target-app"));
    command.args(["serve", "baseline"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Fleet {
    fn of(replicas: &str) -> Self {
        Self::serving(
            "baseline",
            &["app.drain_ms=500", "mongodb.service_time_ms=1"],
            &["--replicas", replicas],
        )
    }

    /// One request on a connection of its own, which the kernel gives to any replica; the status line and the rest.
    pub(crate) fn fresh(&self, path: &str) -> std::io::Result<String> {
        let mut connection = TcpStream::connect(self.remote.address)?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(connection, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    }

    pub(crate) fn scrape(&self, path: &str) -> Scrape {
        let answer = self.fresh(path).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // Chunked or not, a line of a metric is whole.
        Scrape(answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Waits until all replicas serve, so and so many of them started anew.
    pub(crate) async fn restarted(&self, times: f64) -> Scrape {
        let there = |scrape: &Scrape| {
            scrape.sum("target_replica_restarts_total", &[]) == times
                && scrape.sum("target_replicas", &[]) == scrape.sum("target_replicas_desired", &[])
        };
        for _ in 0..400 {
            // The connection of a killed replica is reset.
            if let Ok(answer) = self.fresh("/metrics")
                && there(&Scrape(
                    answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, text)| text.to_owned()),
                ))
            {
                return self.scrape("/metrics");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it never came about");
    }
}

fn alive(pid: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        // An orphan that has ended and that nobody has asked after is gone as well.
        .is_ok_and(|stat| !stat.contains(") Z "))
}

async fn all_gone(pids: &[Pid]) {
    for _ in 0..400 {
        if !pids.iter().copied().any(alive) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("replicas outlive their supervisor");
}

const PRODUCTS: [&str; 2] = ["route=\"/api/products/{id}\"", "status=\"200\""];

#[tokio::test]
async fn any_replica_tells_of_all() {
    let fleet = Fleet::of("3");
    assert_eq!(fleet.processes().len(), 3);
    for _ in 0..REQUESTS {
        assert!(fleet.fresh("/api/products/1").unwrap().starts_with("HTTP/1.1 200"));
    }
    for _ in 0..8 {
        let scrape = fleet.scrape("/metrics");
        assert_eq!(scrape.sum("http_requests_total", &PRODUCTS), REQUESTS as f64);
        let counted = scrape.sum("http_request_duration_seconds_count", &["route=\"/api/products/{id}\""]);
        assert_eq!(counted, REQUESTS as f64);
        let in_buckets = scrape.sum("http_request_duration_seconds_bucket", &[PRODUCTS[0], "le=\"+Inf\""]);
        assert_eq!(in_buckets, REQUESTS as f64);
        assert_eq!(scrape.sum("db_client_connection_max", &[]), 30.0, "limits add");
        assert_eq!(scrape.sum("process_cpu_cores_limit", &[]), 3.0);
        assert_eq!(
            (scrape.sum("target_replicas", &[]), scrape.sum("target_replicas_desired", &[])),
            (3.0, 3.0)
        );
        assert_eq!(scrape.sum("target_replica_restarts_total", &[]), 0.0);
    }
    let each =
        |number| fleet.scrape(&format!("/metrics?replica={number}")).sum("http_requests_total", &PRODUCTS);
    let shares = [each(0), each(1), each(2)];
    assert_eq!(shares.iter().sum::<f64>(), REQUESTS as f64);
    assert!(shares.iter().all(|share| *share > 0.0), "the kernel deals them out: {shares:?}");
    let nobody = fleet.remote.get("/metrics?replica=3").await;
    assert_eq!((nobody.status.as_u16(), nobody.error().as_str()), (404, "no_such_replica"));
}

#[tokio::test]
async fn what_one_replica_wrote_any_other_reads() {
    let fleet = Fleet::of("3");
    let mut ids = BTreeSet::new();
    for n in 0..24 {
        // A client of its own is a connection of its own.
        let order = Remote::at(fleet.remote.address).post("/api/orders", &json!({"product_id": n + 1})).await;
        assert_eq!(order.status.as_u16(), 201, "{}", order.text);
        ids.insert(order.json()["id"].as_u64().unwrap());
    }
    assert_eq!(ids.len(), 24, "no two orders have one number");
    for id in ids {
        assert!(fleet.fresh(&format!("/api/orders/{id}")).unwrap().starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_killed_replica_is_followed_by_another_and_what_it_counted_stays() {
    let fleet = Fleet::of("2");
    for _ in 0..REQUESTS {
        fleet.fresh("/api/products/1").unwrap();
    }
    assert_eq!(fleet.scrape("/metrics").sum("http_requests_total", &PRODUCTS), REQUESTS as f64);
    let before = fleet.processes();
    kill_process(before[0], Signal::KILL).unwrap();
    let scrape = fleet.restarted(1.0).await;
    assert_eq!(scrape.sum("http_requests_total", &PRODUCTS), REQUESTS as f64);
    let after = fleet.processes();
    assert_eq!((after.len(), after.contains(&before[0]), after.contains(&before[1])), (2, false, true));
    for _ in 0..REQUESTS {
        assert!(fleet.fresh("/api/products/1").unwrap().starts_with("HTTP/1.1 200"));
    }
    assert_eq!(fleet.scrape("/metrics").sum("http_requests_total", &PRODUCTS), 2.0 * REQUESTS as f64);
    let each =
        |number| fleet.scrape(&format!("/metrics?replica={number}")).sum("http_requests_total", &PRODUCTS);
    assert!(each(0) > 0.0, "the new one gets its share");
}

#[tokio::test]
async fn told_to_stop_it_lets_requests_finish_and_leaves_nothing() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut fleet = Fleet::of("2");
        let replicas = fleet.processes();
        let slow = Remote::at(fleet.remote.address);
        let request = tokio::spawn(async move { slow.get("/api/products/search?q=steel").await.status });
        assert_eq!(request.await.unwrap().as_u16(), 200);
        kill_process(Pid::from_child(&fleet.child), signal).unwrap();
        let status = fleet.child.wait().unwrap();
        assert_eq!(status.code(), Some(0));
        assert!(!replicas.into_iter().any(alive));
        let mut words = String::new();
        fleet.child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        assert_eq!(words, "");
    }
}

#[tokio::test]
async fn replicas_end_with_a_supervisor_that_was_killed_or_left() {
    let mut fleet = Fleet::of("2");
    let replicas = fleet.processes();
    kill_process(Pid::from_child(&fleet.child), Signal::KILL).unwrap();
    fleet.child.wait().unwrap();
    all_gone(&replicas).await;

    let mut fleet = Fleet::of("2");
    let replicas = fleet.processes();
    drop(fleet.child.stdin.take());
    assert_eq!(fleet.child.wait().unwrap().code(), Some(0));
    all_gone(&replicas).await;
}

#[test]
fn what_it_cannot_do_it_says() {
    let refused = |arguments: &[&str]| {
        let output = command(arguments).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for absurd in ["0", "65", "-1", "4000000000000", "many"] {
        let (code, words) = refused(&[&format!("--replicas={absurd}")]);
        assert_eq!(code, Some(2), "{words}");
        assert!(words.contains("--replicas"), "{words}");
    }
    let fleet = Fleet::of("2");
    let taken = fleet.remote.address.to_string();
    // Another fleet too: sharing the port with it would split the load between the two.
    for replicas in ["1", "2"] {
        let (code, words) = refused(&["--listen", &taken, "--replicas", replicas]);
        assert_eq!(code, Some(9));
        assert!(
            words.starts_with(&format!("error: cannot listen on {taken}: Address already in use")),
            "{words}"
        );
    }
    let (code, words) = refused(&["--listen", &taken]);
    assert_eq!(code, Some(9), "{words}");
}

#[tokio::test]
async fn a_process_that_its_sockets_kill_is_started_again_if_the_profile_says_so() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_target-app"))
        .args(["serve", "websocket-heap", "--listen", "127.0.0.1:0", "--exit-with-stdin"])
        .args(["--dial", "heap.limit_bytes=33554432", "--dial", "heap.bytes_per_socket=4194304"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening http://").expect(&line).parse().unwrap();
    let fleet = Fleet { child, remote: Remote::at(address), inner: None };
    // Oftener than a fleet would bear that never came to serve.
    for died in 1..=6 {
        let mut sockets = Vec::new();
        while let Ok(socket) = tokio_tungstenite::connect_async(format!("ws://{address}/ws")).await {
            sockets.push(socket);
            assert!(sockets.len() < 100, "a heap of 32 MiB has no room for a hundred sockets of 4 MiB");
        }
        // Nobody listens between two lives.
        let mut again = false;
        for _ in 0..1_000 {
            let scrape = Scrape(fleet.fresh("/metrics").unwrap_or_default());
            if scrape.sum("target_replica_restarts_total", &[]) >= f64::from(died) {
                assert_eq!(scrape.sum("websocket_connections", &[]), 0.0);
                again = true;
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(again, "it was not started again after it died {died} times");
    }
}

#[test]
fn a_replica_that_never_comes_to_serve_ends_it_all() {
    // Enough descriptors for the supervisor, too few for a pool of a hundred.
    let few = "ulimit -n 64; exec \"$0\" serve baseline --listen 127.0.0.1:0 --replicas 2 --dial mongodb.max_pool_size=100 \
               --dial mongodb.min_pool_size=100";
    let output = Command::new("sh")
        .args(["-c", few, env!("CARGO_BIN_EXE_target-app")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(9), "{words}");
    assert!(words.contains("starting it again in 100 ms"), "{words}");
    assert!(
        words.contains("ended 5 times in a row before it served, the last time with exit status: 9"),
        "{words}"
    );
    assert!(words.contains("a connection could not be opened"), "its last words: {words}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "it never served");
}
