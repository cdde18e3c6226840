//! A node asked by the real client, alone and in a cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redis::AsyncCommands;
use redis::cluster::ClusterClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Node, REQUEST_MAX_BYTES};
use crate::clock;
use crate::profile::Profile;

/// So many nodes of one cluster, each command taking so long.
async fn nodes(number: u32, command_us: u32) -> Vec<(SocketAddr, Arc<Node>)> {
    let dial = format!("redis.command_us={command_us}");
    let profile = Profile::named("baseline").unwrap().with_dial(&dial).unwrap();
    let mut listeners = Vec::new();
    for _ in 0..number {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let serving = (0..number).zip(listeners).map(|(number, listener)| {
        let node = Arc::new(Node::new(number, addresses.clone(), &profile.dials().redis).unwrap());
        tokio::spawn(Arc::clone(&node).serve(listener));
        (addresses[number as usize], node)
    });
    serving.collect()
}

fn figure(node: &Node, series: &str) -> f64 {
    let text = node.text();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

#[tokio::test]
async fn the_usual_client_gets_what_a_redis_would_answer() {
    let (address, node) = nodes(1, 1).await.remove(0);
    let client = redis::Client::open(format!("redis://{address}")).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let nothing: Option<String> = redis.get("a").await.unwrap();
    assert_eq!(nothing, None);
    redis::cmd("SET").arg("a").arg("x").arg("EX").arg(100).exec_async(&mut redis).await.unwrap();
    let there: Option<String> = redis.get("a").await.unwrap();
    assert_eq!(there.as_deref(), Some("x"));
    let (set, count, left): (bool, i64, i64) = redis::pipe()
        .cmd("SET")
        .arg("n")
        .arg(0)
        .arg("PX")
        .arg(60_000)
        .arg("NX")
        .cmd("INCRBY")
        .arg("n")
        .arg(1)
        .cmd("PTTL")
        .arg("n")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(set && count == 1 && (1..=60_000).contains(&left), "{set} {count} {left}");
    let error = redis::cmd("EVAL").arg("return 1").arg(0).query_async::<()>(&mut redis).await.unwrap_err();
    assert!(error.to_string().contains("unknown command 'eval'"), "{error}");
    assert_eq!(figure(&node, r#"redis_keyspace_hits_total{node="0"}"#), 1.0);
    assert_eq!(figure(&node, r#"redis_commands_total{cmd="get",node="0"}"#), 2.0);
    assert_eq!(figure(&node, r#"redis_connected_clients{node="0"}"#), 1.0);
    drop(redis);
}

#[tokio::test]
async fn a_busy_node_serves_one_command_after_the_other() {
    let (address, node) = nodes(1, 10_000).await.remove(0);
    let client = redis::Client::open(format!("redis://{address}")).unwrap();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(client.get_multiplexed_async_connection().await.unwrap());
    }
    let (began, before) = (clock::now(), figure(&node, r#"redis_commands_processed_total{node="0"}"#));
    let asks = clients.into_iter().map(|mut redis| async move {
        for _ in 0..5 {
            redis.ping::<String>().await.unwrap();
        }
    });
    futures_util::future::join_all(asks).await;
    // Twenty commands of 10 ms each, whoever sent them.
    assert!(clock::now() - began >= Duration::from_millis(200));
    assert_eq!(figure(&node, r#"redis_commands_processed_total{node="0"}"#) - before, 20.0);
    assert_eq!(figure(&node, r#"redis_commands_pending{node="0"}"#), 0.0);
    // Of four that ask at once one has nobody before it and the others one to three commands, again and again.
    let waited = figure(&node, r#"redis_commands_wait_seconds_total{node="0"}"#);
    assert!(waited > 0.2, "{waited}");
    let busy = figure(&node, r#"redis_commands_duration_seconds_total{cmd="ping",node="0"}"#);
    assert!((busy - 0.2).abs() < 1e-9, "{busy}");
}

#[tokio::test]
async fn a_cluster_client_finds_each_key_at_its_node() {
    let nodes = nodes(3, 1).await;
    let client = ClusterClient::new(vec![format!("redis://{}", nodes[1].0)]).unwrap();
    let mut redis = client.get_async_connection().await.unwrap();
    for id in 0..300 {
        redis.set::<_, _, ()>(format!("product:{id}"), id).await.unwrap();
    }
    for id in 0..300 {
        let there: i64 = redis.get(format!("product:{id}")).await.unwrap();
        assert_eq!(there, id);
    }
    let kept: Vec<f64> =
        (0..3).map(|n| figure(&nodes[n].1, &format!(r#"redis_db_keys{{db="db0",node="{n}"}}"#))).collect();
    assert_eq!(kept.iter().sum::<f64>(), 300.0);
    assert!(kept.iter().all(|keys| (60.0..140.0).contains(keys)), "{kept:?}");
    // Who asks the wrong one is told which is the right one.
    let alone = redis::Client::open(format!("redis://{}", nodes[0].0)).unwrap();
    let mut alone = alone.get_multiplexed_async_connection().await.unwrap();
    let moved = alone.get::<_, Option<i64>>("somekey").await.unwrap_err().to_string();
    assert!(moved.contains("11058") && moved.contains(&nodes[2].0.to_string()), "{moved}");
    let crossed = redis::cmd("DEL").arg("a").arg("b").query_async::<()>(&mut alone).await.unwrap_err();
    assert!(crossed.to_string().contains("hash to the same slot"), "{crossed}");
}

#[tokio::test]
async fn whoever_speaks_no_redis_is_left_and_the_others_are_served() {
    let (address, node) = nodes(1, 1).await.remove(0);
    for garbage in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![b'*'; 64], vec![0xff; REQUEST_MAX_BYTES + 2]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may hang up before it has read all of it.
        let _ = stream.write_all(&garbage).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    }
    // One huge word, and words without end.
    let announced = format!("*1\r\n${}\r\n", 1_usize << 40);
    for (head, chunk) in [(announced.as_str(), "x"), ("*2147483647\r\n", "$1\r\na\r\n")] {
        let mut huge = TcpStream::connect(address).await.unwrap();
        huge.write_all(head.as_bytes()).await.unwrap();
        let chunk = chunk.repeat(8 * 1024);
        let mut sent = 0;
        while huge.write_all(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
            assert!(sent < 64 * REQUEST_MAX_BYTES, "it takes whatever comes");
        }
    }
    let client = redis::Client::open(format!("redis://{address}")).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    assert_eq!(redis.ping::<String>().await.unwrap(), "PONG");
    while figure(&node, r#"redis_connected_clients{node="0"}"#) > 1.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
