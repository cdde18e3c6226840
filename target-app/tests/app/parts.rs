//! `scripts/parts.sh`: the real servers come up on the addresses it prints, and go with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::prometheus::{there_is, until};
use crate::support::{Remote, Running};

/// The script with some parts; at the end of its standard input it stops them.
struct Parts {
    child: Child,
    /// What it printed before `ready`.
    lines: Vec<String>,
}

impl Parts {
    fn of(arguments: &[&str]) -> Self {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scripts/parts.sh");
        let mut child = Command::new(script)
            .args(arguments)
            .arg("--exit-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let lines: Vec<_> = out.lines().map(Result::unwrap).take_while(|line| line != "ready").collect();
        Self { child, lines }
    }

    /// The addresses of a part.
    fn addresses(&self, part: &str) -> Vec<SocketAddr> {
        let found = self.lines.iter().find_map(|line| line.strip_prefix(part)?.strip_prefix(' '));
        let found = found.unwrap_or_else(|| panic!("no {part} in {:?}", self.lines));
        found.split(',').map(|url| url.split_once("://").unwrap().1.parse().unwrap()).collect()
    }

    fn end(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().code()
    }
}

/// What a Redis answers.
fn redis(address: SocketAddr, command: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut said = String::new();
    connection.read_to_string(&mut said).unwrap();
    said
}

#[tokio::test]
async fn one_redis_and_a_cluster_come_up_and_go() {
    if !there_is("redis-server", "redis-server") {
        return;
    }
    let parts = Parts::of(&["redis", "redis-cluster"]);
    let (one, three) = (parts.addresses("redis"), parts.addresses("redis-cluster"));
    assert_eq!((one.len(), three.len()), (1, 3));
    assert!(redis(one[0], "CONFIG GET maxmemory-policy").contains("allkeys-lru"));
    for node in &three {
        let said = redis(*node, "CLUSTER INFO");
        assert!(said.contains("cluster_state:ok") && said.contains("cluster_slots_ok:16384"), "{said}");
    }
    assert_eq!(parts.end(), Some(0));
    for address in one.iter().chain(&three) {
        assert!(TcpStream::connect(address).is_err(), "{address} still listens");
    }
}

#[tokio::test]
async fn its_prometheus_scrapes_the_app_with_our_rules() {
    if !there_is("prometheus", "prometheus") {
        return;
    }
    let app = Running::quick().await;
    let parts = Parts::of(&["prometheus", "--app", &app.remote.address.to_string()]);
    let prometheus = Remote::at(parts.addresses("prometheus")[0]);
    assert!(prometheus.get("/api/v1/rules").await.text.contains("MeanLatencyAbove500ms"));
    until("a scrape of the app", async || {
        let targets = prometheus.get("/api/v1/targets").await.json()["data"]["activeTargets"].clone();
        let shop = targets.as_array()?.iter().find(|target| target["labels"]["job"] == "shop").cloned()?;
        (shop["health"] == "up").then_some(())
    })
    .await;
    assert_eq!(parts.end(), Some(0));
    assert!(TcpStream::connect(prometheus.address).is_err());
    app.stop().await.unwrap();
}

#[test]
fn what_it_does_not_know_it_does_not_start() {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scripts/parts.sh");
    let output = Command::new(script).arg("oracle").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("scripts/parts.sh redis "));
}
