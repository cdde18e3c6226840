//! Faults that are switched on from outside: what the users of the app notice, and that it is over when it is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use rustix::process::Pid;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;

use crate::front::Front;
use crate::support::{Remote, children};

/// An app of the real binary and its listener for faults; stopped when the test ends.
pub(crate) struct Breakable {
    child: Child,
    pub(crate) app: Remote,
    faults: Remote,
}

impl Breakable {
    pub(crate) fn serving(arguments: &[&str]) -> Self {
        Self::of("baseline", arguments)
    }

    fn of(profile: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_target-app"))
            .args([
                "serve",
                profile,
                "--listen",
                "127.0.0.1:0",
                "--exit-with-stdin",
                "--faults",
                "127.0.0.1:0",
            ])
            .args(["--dial", "mongodb.service_time_ms=1", "--dial", "app.drain_ms=500"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut remote = |word: &str| {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            Remote::at(line.trim_end().strip_prefix(word).expect(&line).parse::<SocketAddr>().unwrap())
        };
        let (app, faults) = (remote("listening http://"), remote("faults http://"));
        Self { child, app, faults }
    }

    /// What is on then, replica by replica.
    pub(crate) async fn order(&self, order: Value) -> Vec<Value> {
        let answer = self.faults.post("/admin/faults", &order).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        answer.json()["replicas"].as_array().unwrap().clone()
    }

    /// The word of the problem with an order.
    pub(crate) async fn refused(&self, order: &Value) -> String {
        self.faults.post("/admin/faults", order).await.error()
    }

    /// The processes under its supervisor.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        children(self.child.id())
    }

    async fn status(&self) -> u16 {
        self.app.get("/api/products/1").await.status.as_u16()
    }
}

impl Drop for Breakable {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_stall_holds_every_request_but_those_about_the_app() {
    let broken = Breakable::serving(&[]);
    let left_ms = |told: &Value| told["stall_left_ms"].as_u64().unwrap();
    let told = broken.order(json!({"fault": "stall", "for_ms": 1500})).await;
    assert!((1_000..=1_500).contains(&left_ms(&told[0])), "{told:?}");
    assert_eq!(broken.app.get("/healthz").await.status.as_u16(), 200);
    let then = broken.faults.get("/admin/faults").await.json()["replicas"][0].clone();
    assert!(left_ms(&then) > 0, "health does not wait");
    assert_eq!(broken.status().await, 200);
    let scrape = broken.app.scrape().await;
    let took_s = scrape.sum("http_request_duration_seconds_sum", &["/api/products/{id}"]);
    assert!(took_s * 1e3 >= left_ms(&then) as f64 - 500.0, "{took_s} s of {then}");
    assert_eq!(left_ms(&broken.faults.get("/admin/faults").await.json()["replicas"][0]), 0);
}

#[tokio::test]
async fn who_is_held_by_a_stall_goes_on_when_it_is_called_off() {
    let broken = Breakable::serving(&[]);
    broken.order(json!({"fault": "stall", "for_ms": 3_600_000})).await;
    let app = broken.app.clone();
    let held = tokio::spawn(async move { app.get("/api/products/1").await.status.as_u16() });
    // Later than it would have been answered.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!held.is_finished());
    broken.order(json!({"fault": "none"})).await;
    let status = tokio::time::timeout(Duration::from_secs(20), held).await.expect("an answer");
    assert_eq!(status.unwrap(), 200);
}

#[tokio::test]
async fn so_many_requests_fail_as_were_ordered_and_none_takes_that_back() {
    let broken = Breakable::serving(&[]);
    broken.order(json!({"fault": "errors", "ratio": 0.25, "for_ms": 3_600_000})).await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(broken.status().await);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 10, "{statuses:?}");
    broken.order(json!({"fault": "errors", "ratio": 1.0, "for_ms": 3_600_000})).await;
    assert_eq!(broken.app.get("/api/products/1").await.error(), "fault_injected");
    broken.order(json!({"fault": "none"})).await;
    assert_eq!(broken.status().await, 200);
}

#[tokio::test]
async fn a_slow_resource_takes_as_many_times_as_long() {
    let broken = Breakable::serving(&["--dial", "app.cpu_us_per_request.read=2500"]);
    let held = |scrape: &crate::support::Scrape| {
        let of = |what: &str| scrape.sum(&format!("db_client_connection_use_time_seconds_{what}"), &[]);
        of("sum") / of("count")
    };
    broken.order(json!({"fault": "slow", "resource": "mongodb", "factor": 100, "for_ms": 60_000})).await;
    broken.status().await;
    let scrape =
        broken.app.scrape_until(|s| s.sum("db_client_connection_use_time_seconds_count", &[]) > 0.0).await;
    assert!((0.099..0.3).contains(&held(&scrape)), "{}", held(&scrape));
    broken.order(json!({"fault": "slow", "resource": "cpu", "factor": 100, "for_ms": 60_000})).await;
    let before = broken.app.scrape().await.sum("process_cpu_seconds_total", &[]);
    broken.status().await;
    let used_s = broken.app.scrape().await.sum("process_cpu_seconds_total", &[]) - before;
    assert!((0.24..0.4).contains(&used_s), "a read costs 2.5 ms: {used_s}");
}

#[tokio::test]
async fn leaked_heap_stays_until_all_is_well_again() {
    let broken = Breakable::serving(&[]);
    let used = async || broken.app.scrape().await.sum("nodejs_heap_size_used_bytes", &[]);
    let before = used().await;
    broken.order(json!({"fault": "leak", "bytes": 30_000_000})).await;
    let told = broken.order(json!({"fault": "leak", "bytes": 20_000_000})).await;
    assert_eq!(told[0]["leaked_bytes"], 50_000_000);
    assert!((49e6..55e6).contains(&(used().await - before)));
    broken.order(json!({"fault": "none"})).await;
    assert!(used().await - before < 5e6);
}

#[tokio::test]
async fn dropped_connections_end_without_a_word() {
    let broken = Breakable::serving(&[]);
    let address = broken.app.address;
    let (mut socket, _) = connect_async(format!("ws://{address}/ws")).await.unwrap();
    let mut idle = TcpStream::connect(address).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 1024]).unwrap() > 0);
    broken.order(json!({"fault": "drop_connections"})).await;
    assert_eq!(idle.read(&mut [0; 1024]).unwrap(), 0);
    let end = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("an end");
    assert!(matches!(end, None | Some(Err(_))), "no goodbye: {end:?}");
    assert_eq!(broken.status().await, 200, "who comes anew is served");
}

#[tokio::test]
async fn behind_a_gateway_a_dropped_read_is_made_once_more_and_a_write_is_not() {
    let broken = Breakable::serving(&[]);
    let front = Front::of(&[], broken.app.address).await;
    assert_eq!(front.remote.get("/api/products/1").await.status.as_u16(), 200, "a connection is kept");
    broken.order(json!({"fault": "stall", "for_ms": 3_600_000})).await;
    let (reader, writer) = (front.remote.clone(), Remote::at(front.remote.address));
    let read = tokio::spawn(async move { reader.get("/api/products/1").await });
    front.until("nginx_connections_writing", 1.0).await;
    let write = tokio::spawn(async move { writer.post("/api/orders", &json!({"product_id": 1})).await });
    front.until("nginx_connections_writing", 2.0).await;
    // The two of the gateway and the one that asks here.
    broken.app.scrape_until(|scrape| scrape.sum("http_server_connections", &[]) >= 3.0).await;
    broken.order(json!({"fault": "drop_connections"})).await;
    assert_eq!(write.await.unwrap().error(), "bad_gateway");
    assert!(!read.is_finished(), "it waits on another connection");
    broken.order(json!({"fault": "none"})).await;
    assert_eq!(read.await.unwrap().status.as_u16(), 200);
    assert_eq!(front.figures().await.sum("nginx_upstream_failures_total", &["broken"]), 1.0);
}

#[tokio::test]
async fn orders_reach_every_replica() {
    let broken = Breakable::serving(&["--replicas", "3"]);
    let told = broken.order(json!({"fault": "errors", "ratio": 1.0, "for_ms": 60_000})).await;
    assert_eq!(told.iter().map(|replica| &replica["errors"]["ratio"]).collect::<Vec<_>>(), [1.0, 1.0, 1.0]);
    for _ in 0..20 {
        // A connection of its own each, which the kernel gives to any replica.
        let fresh = Remote::at(broken.app.address);
        assert_eq!(fresh.get("/api/products/1").await.error(), "fault_injected");
    }
    let told = broken.order(json!({"fault": "none"})).await;
    assert!(told.iter().all(|replica| replica["errors"].is_null()), "{told:?}");
    assert_eq!(broken.status().await, 200);
}

#[tokio::test]
async fn redis_nodes_are_slow_when_told_and_have_nothing_to_do_with_other_orders() {
    // A command takes 1 ms; a read is one, and where nothing is found two.
    let broken = Breakable::of("redis-cluster", &[]);
    assert_eq!(broken.status().await, 200);
    let slow = json!({"fault": "slow", "resource": "redis", "factor": 100, "for_ms": 60_000});
    let answer = broken.faults.post("/admin/faults", &slow).await.json();
    let [replicas, redis] = ["replicas", "redis"].map(|name| answer[name].as_array().unwrap().clone());
    assert!(replicas.iter().all(|replica| replica["slow"] == json!([])), "{replicas:?}");
    assert_eq!(redis.len(), 3);
    assert!(redis.iter().all(|node| node["slow"][0]["factor"] == 100.0), "{redis:?}");
    let took_s = || async {
        let scrape = broken.app.scrape().await;
        scrape.sum("redis_commands_duration_seconds_total", &["cmd=\"get\""])
    };
    let before_s = took_s().await;
    for _ in 0..3 {
        assert_eq!(broken.status().await, 200);
    }
    let after_s = took_s().await;
    assert!((after_s - before_s - 0.3).abs() < 1e-6, "{before_s} {after_s}");
    broken.order(json!({"fault": "errors", "ratio": 1.0, "for_ms": 60_000})).await;
    let answer = broken.faults.get("/admin/faults").await.json();
    assert_eq!(
        (&answer["replicas"][0]["errors"]["ratio"], &answer["redis"][0]["errors"]),
        (&json!(1.0), &Value::Null)
    );
    broken.order(json!({"fault": "none"})).await;
    let answer = broken.faults.get("/admin/faults").await.json();
    assert!(answer["redis"].as_array().unwrap().iter().all(|node| node["slow"] == json!([])), "{answer}");
}

#[tokio::test]
async fn what_has_piled_up_before_a_slow_redis_is_served_at_its_pace_after_that() {
    let broken = Breakable::of("redis-single", &["--dial", "redis.timeout_ms=60000"]);
    let slow = json!({"fault": "slow", "resource": "redis", "factor": 100, "for_ms": 3_600_000});
    broken.order(slow).await;
    // 0.1 s a command: four seconds of them, if they were to be served at that pace.
    let mut reads = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let app = broken.app.clone();
        reads.spawn(async move { app.get("/api/products/1").await.status.as_u16() });
    }
    broken.app.scrape_until(|scrape| scrape.sum("redis_commands_pending", &[]) >= 10.0).await;
    broken.order(json!({"fault": "none"})).await;
    assert!(reads.join_all().await.iter().all(|status| *status == 200));
    let took_s = broken.app.scrape().await.sum("redis_commands_duration_seconds_total", &[]);
    assert!(took_s < 3.0, "it has gone on being slow: {took_s}");
}

#[tokio::test]
async fn what_is_no_order_is_refused_and_changes_nothing() {
    let broken = Breakable::serving(&[]);
    let no_redis = json!({"fault": "slow", "resource": "redis", "factor": 2, "for_ms": 5});
    for wrong in
        [json!({"fault": "meteor"}), json!({"fault": "errors", "ratio": 2, "for_ms": 5}), json!([]), no_redis]
    {
        let answer = broken.faults.post("/admin/faults", &wrong).await;
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (422, "unfit_fault"), "{wrong}");
    }
    assert_eq!(broken.faults.get("/admin/faults").await.json()["replicas"][0]["errors"], Value::Null);
    assert_eq!(broken.app.get("/admin/faults").await.status.as_u16(), 404, "users cannot reach it");
    let output = Command::new(env!("CARGO_BIN_EXE_target-app"))
        .args(["serve", "baseline", "--listen", "127.0.0.1:0", "--faults", "0.0.0.0:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @"error: --faults 0.0.0.0:0 is no loopback address: who can reach it can break the app; for example 127.0.0.1:0");
}
