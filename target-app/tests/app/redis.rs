//! The second tier of the cache and the points of the limiter in Redis: the same cases against the embedded nodes, which are processes of a
//! fleet, against a real server and against a real cluster.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::http::Method;
use rustix::process::{Signal, kill_process};

use crate::support::{Answer, Fleet, Remote, Running, Scrape};

/// Quick commands and holds: none of this is about speed.
const QUICK: [&str; 2] = ["redis.command_us=20", "mongodb.service_time_ms=1"];
const LIMITED: [&str; 3] =
    ["rate_limiter.points=5", "rate_limiter.backend=redis", "rate_limiter.window_ms=60000"];

fn dials(of: &[&[&'static str]]) -> Vec<&'static str> {
    of.concat()
}

/// Real servers; stopped when the test ends.
struct Servers {
    children: Vec<Child>,
    urls: Vec<String>,
    _directory: tempfile::TempDir,
}

impl Servers {
    /// None, with a word about it, where no Redis is installed.
    fn of(number: usize) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut servers = Self { children: Vec::new(), urls: Vec::new(), _directory: directory };
        for _ in 0..number {
            let port = free_port();
            let place = servers._directory.path().join(port.to_string());
            std::fs::create_dir(&place).unwrap();
            let mut command = Command::new("redis-server");
            command
                .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"])
                .arg(&place);
            if number > 1 {
                command.args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
            }
            match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
                Ok(child) => servers.children.push(child),
                Err(e) => {
                    let _ = writeln!(std::io::stderr(), "SKIPPED what needs redis-server: {e}");
                    return None;
                }
            }
            servers.urls.push(format!("redis://127.0.0.1:{port}"));
        }
        for url in &servers.urls {
            until(|| cli(url, &["PING"]).trim() == "PONG");
        }
        if number > 1 {
            let hosts: Vec<_> = servers.urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
            let create = [&["--cluster", "create"], hosts.as_slice(), &["--cluster-yes"]].concat();
            let made = Command::new("redis-cli").args(create).output().unwrap();
            assert!(made.status.success(), "{made:?}");
            for url in &servers.urls {
                until(|| cli(url, &["CLUSTER", "INFO"]).contains("cluster_state:ok"));
            }
        }
        Some(servers)
    }

    fn keys(&self) -> Vec<usize> {
        self.urls.iter().map(|url| cli(url, &["DBSIZE"]).trim().parse().unwrap()).collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The cluster's bus is 10,000 ports further on.
fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

fn cli(url: &str, words: &[&str]) -> String {
    let said = Command::new("redis-cli").args(["-u", url]).args(words).output().unwrap();
    String::from_utf8(said.stdout).unwrap()
}

/// Waits for it for half a minute at most.
fn until(condition: impl Fn() -> bool) {
    for _ in 0..600 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never came about");
}

async fn log_in(remote: &Remote, number: u32) -> String {
    let login =
        serde_json::json!({"email": format!("user{number}@shop.example"), "password": "correct-horse"});
    let answer = remote.post("/api/login", &login).await;
    format!("Bearer {}", answer.json()["token"].as_str().unwrap())
}

async fn as_user(remote: &Remote, token: &str) -> Answer {
    remote.send(Method::GET, "/static/app.css", &[("authorization", token)], "").await
}

/// What the replicas have read once, none of them reads from the store again.
async fn reads_are_shared(remotes: &[&Remote]) {
    for round in 0..3 {
        for id in 1..=30 {
            let remote = remotes[(round + id) % remotes.len()];
            let answer = remote.get(&format!("/api/products/{id}")).await;
            assert_eq!(answer.json()["id"], id);
        }
    }
    let (mut hits, mut misses, mut checkouts) = (0.0, 0.0, 0.0);
    for remote in remotes {
        let scrape = remote.scrape().await;
        hits += scrape.sum("cache_hits_total", &["tier=\"l2\""]);
        misses += scrape.sum("cache_misses_total", &["tier=\"l2\""]);
        checkouts += scrape.sum("db_client_connection_use_time_seconds_count", &[]);
        assert_eq!(scrape.sum("redis_client_errors_total", &[]), 0.0);
    }
    assert_eq!((hits, misses, checkouts), (60.0, 30.0, 30.0));
}

/// GraphQL has what was read, and leaves there what it reads.
async fn graphql_shares_them(remote: &Remote) {
    let fields: String = (21..=40).map(|id| format!("p{id}: product(id: {id}) {{ id }} ")).collect();
    let query = serde_json::json!({ "query": format!("{{ {fields} }}") });
    let before = remote.scrape().await;
    assert_eq!(remote.post("/graphql", &query).await.json()["data"]["p40"]["id"], 40);
    let after = remote.scrape_until(|scrape| scrape.sum("redis_db_keys", &[]) == 40.0).await;
    let more = |name: &str, labels: &[&str]| after.sum(name, labels) - before.sum(name, labels);
    let l2 = ["tier=\"l2\""];
    assert_eq!((more("cache_hits_total", &l2), more("cache_misses_total", &l2)), (10.0, 10.0));
    assert_eq!(more("db_client_connection_use_time_seconds_count", &[]), 1.0);
    assert_eq!(remote.get("/api/products/40").await.json()["id"], 40);
    let last = remote.scrape().await;
    assert_eq!(last.sum("cache_hits_total", &l2) - after.sum("cache_hits_total", &l2), 1.0);
}

/// A user's points are the same whichever replica is asked, and nobody else's.
async fn points_are_shared(remotes: &[&Remote]) {
    let mut statuses = Vec::new();
    let token = log_in(remotes[0], 7).await;
    for n in 0..8 {
        statuses.push(as_user(remotes[n % remotes.len()], &token).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
    let rejected = as_user(remotes[0], &token).await;
    assert_eq!(rejected.error(), "rate_limited");
    let wait_s: u64 = rejected.headers["retry-after"].to_str().unwrap().parse().unwrap();
    // The block of the shop, begun by the sixth request.
    assert!((880..=900).contains(&wait_s), "{wait_s}");
    let other = log_in(remotes[0], 8).await;
    assert_eq!(as_user(remotes[0], &other).await.status, 200);
}

async fn against_real(servers: &Servers) {
    let urls: Vec<&str> = servers.urls.iter().map(String::as_str).collect();
    let of = async |profile: &str, dials: &[&str]| Running::asking(&urls, profile, dials).await;
    let (one, other) = (of("redis-single", &QUICK).await, of("redis-single", &QUICK).await);
    reads_are_shared(&[&one.remote, &other.remote]).await;
    assert_eq!(servers.keys().iter().sum::<usize>(), 30);
    one.stop().await.unwrap();
    other.stop().await.unwrap();
    let limited = dials(&[&QUICK, &LIMITED]);
    let (one, other) = (of("baseline", &limited).await, of("baseline", &limited).await);
    points_are_shared(&[&one.remote, &other.remote]).await;
    one.stop().await.unwrap();
    other.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_redis_keeps_the_catalog_and_the_points() {
    let Some(servers) = Servers::of(1) else { return };
    against_real(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shops_of_other_documents_share_a_redis_and_no_document() {
    let Some(servers) = Servers::of(1) else { return };
    let urls = [servers.urls[0].as_str()];
    for (dial, path) in [("store.seed=1", "/api/products/7"), ("store.products=500", "/api/products?page=40")]
    {
        let ours = Running::asking(&urls, "redis-single", &QUICK).await;
        let theirs = Running::asking(&urls, "redis-single", &dials(&[&QUICK, &[dial]])).await;
        let [first, other] = [ours.remote.get(path).await.text, theirs.remote.get(path).await.text];
        assert_ne!(first, other);
        let hits = |scrape: &Scrape| scrape.sum("cache_hits_total", &["tier=\"l2\""]);
        for (app, text) in [(&ours, first), (&theirs, other)] {
            until(|| servers.keys() == [2]);
            assert_eq!(app.remote.get(path).await.text, text);
            assert_eq!(hits(&app.remote.scrape().await), 1.0);
        }
        ours.stop().await.unwrap();
        theirs.stop().await.unwrap();
        cli(urls[0], &["FLUSHALL"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_knew_stands_in_for_a_store_that_never_answered() {
    let Some(servers) = Servers::of(1) else { return };
    let urls = [servers.urls[0].as_str()];
    let reader = Running::asking(&urls, "redis-single", &QUICK).await;
    let fresh = reader.remote.get("/api/products/1").await;
    let dials = ["mongodb.service_time_ms=60000", "breaker.timeout_ms=50", "app.drain_ms=0"];
    let other = Running::asking(&urls, "redis-single", &dials).await;
    let known = other.remote.get("/api/products/1").await;
    assert_eq!(
        (known.status.as_u16(), &known.text, known.headers.get("x-fallback")),
        (200, &fresh.text, None)
    );
    cli(urls[0], &["FLUSHALL"]);
    let stale = other.remote.get("/api/products/1").await;
    assert_eq!((stale.status.as_u16(), &stale.text), (200, &fresh.text));
    assert_eq!(stale.headers["x-fallback"], "stale");
    reader.stop().await.unwrap();
    other.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_keeps_the_catalog_and_the_points() {
    let Some(servers) = Servers::of(3) else { return };
    against_real(&servers).await;
    assert!(servers.keys().iter().all(|keys| *keys > 0), "each node has a part of it: {:?}", servers.keys());
}

#[tokio::test]
async fn the_embedded_nodes_keep_the_catalog_and_the_points() {
    for (profile, nodes) in [("redis-single", 1.0), ("redis-cluster", 3.0)] {
        let fleet = Fleet::serving(profile, &dials(&[&QUICK]), &["--replicas", "2"]);
        reads_are_shared(&[&fleet.remote]).await;
        let scrape = fleet.remote.scrape().await;
        assert_eq!(scrape.sum("redis_up", &[]), nodes);
        assert_eq!(scrape.sum("redis_db_keys", &[]), 30.0);
        // A read that hits is one command, and one that misses is two.
        assert_eq!(scrape.sum("redis_commands_total", &["cmd=\"get\""]), 90.0);
        assert_eq!(scrape.sum("redis_commands_total", &["cmd=\"set\""]), 30.0);
        assert_eq!(scrape.sum("target_replicas", &[]), 2.0);
        graphql_shares_them(&fleet.remote).await;
        let limited = Fleet::serving(profile, &dials(&[&QUICK, &LIMITED]), &["--replicas", "2"]);
        points_are_shared(&[&limited.remote]).await;
    }
}

#[tokio::test]
async fn a_node_that_is_killed_comes_back_and_meanwhile_the_shop_does_without() {
    let fleet = Fleet::serving("redis-single", &dials(&[&QUICK, &LIMITED, &["redis.timeout_ms=200"]]), &[]);
    let (mut node, mut before) = (None, 0.0);
    for pid in fleet.processes() {
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap();
        node = node.or(line.contains("redis-0/1").then_some(pid));
    }
    fleet.remote.get("/api/products/1").await;
    let scrape =
        fleet.remote.scrape_until(|scrape| scrape.sum("redis_commands_processed_total", &[]) > 0.0).await;
    before += scrape.sum("redis_commands_processed_total", &[]);
    kill_process(node.unwrap(), Signal::KILL).unwrap();
    // More requests than there are points: without its Redis the limiter lets all pass, and says so.
    let mut unjudged = 0.0;
    for _ in 0..200 {
        let answer = fleet.remote.get("/api/products/1").await;
        assert!(matches!(answer.status.as_u16(), 200 | 429), "{answer:?}");
        let scrape = fleet.remote.scrape().await;
        unjudged = scrape.sum("rate_limiter_unjudged_total", &[]);
        if unjudged > 0.0 {
            break;
        }
    }
    assert!(unjudged > 0.0);
    let scrape =
        fleet.remote.scrape_until(|scrape| scrape.sum("target_replica_restarts_total", &[]) == 1.0).await;
    assert!(scrape.sum("redis_commands_processed_total", &[]) >= before, "no counter falls");
    // It is empty now, and is asked again.
    let hits = |scrape: &Scrape| scrape.sum("cache_hits_total", &["tier=\"l2\""]);
    let (mut round, start) = (0, hits(&scrape));
    loop {
        // Each from an address of its own, so that no limiter stands in between.
        let remote = fleet.remote.from(std::net::Ipv4Addr::new(127, 0, 1, round).into());
        remote.get("/api/products/2").await;
        if hits(&remote.scrape().await) > start {
            break;
        }
        round += 1;
        assert!(round < 250, "it is never asked again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn addresses_that_are_none_and_profiles_without_a_use_for_them_are_refused() {
    let refused = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_target-app"));
        let said = command.arg("serve").args(arguments).args(["--listen", "127.0.0.1:0"]).output().unwrap();
        assert_eq!(said.status.code(), Some(2));
        String::from_utf8(said.stderr).unwrap()
    };
    let secret = "redis://:hunter2@[nowhere";
    let words = refused(&["redis-single", "--redis", &format!("redis://127.0.0.1:1,{secret}")]);
    assert!(words.contains("address number 2") && !words.contains("hunter2"), "{words}");
    let words = refused(&["baseline", "--redis", "redis://127.0.0.1:1"]);
    assert!(words.contains("redis-single, redis-cluster, l1-cache"), "{words}");
}
