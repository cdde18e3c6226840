//! The same questions to both fronts of the shop: the real nginx with the file that is shipped for it, and the gateway that
//! models it. Without nginx its half is skipped.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::front::{Front, Raw};
use crate::support::{Remote, Running};

const CONFIGURATION: &str = include_str!("../../deploy/nginx.conf");
const TLS: &str = include_str!("../../deploy/tls.conf.example");

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Something in front of an app.
enum Shop {
    Ours(Front),
    Nginx(Nginx),
}

struct Nginx {
    child: Child,
    remote: Remote,
    status: SocketAddr,
    _folder: TempDir,
}

/// Client connections that were accepted, those that were handled, and requests.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counts {
    accepted: f64,
    handled: f64,
    requests: f64,
}

fn free_port() -> SocketAddr {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Starts nginx; none if there is none.
async fn nginx(connections: usize, app: SocketAddr) -> Option<Nginx> {
    let folder = TempDir::new().unwrap();
    let [public, status] = [free_port(), free_port()];
    std::fs::create_dir(folder.path().join("temporary")).unwrap();
    let text = CONFIGURATION
        .replace("127.0.0.1:8080", &public.to_string())
        .replace("127.0.0.1:8081", &app.to_string())
        .replace("127.0.0.1:8082", &status.to_string())
        .replace("worker_connections 1024;", &format!("worker_connections {connections};"));
    std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
    let child = program(folder.path()).arg("daemon off; master_process off;").spawn();
    let Ok(child) = child else {
        eprintln!("SKIPPED the cases against nginx: it is not installed");
        return None;
    };
    let nginx = Nginx { child, remote: Remote::at(public), status, _folder: folder };
    for _ in 0..400 {
        if StdStream::connect(public).is_ok() {
            return Some(nginx);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nginx does not listen on {public}");
}

/// `nginx … -g`, with all of its files in one folder.
fn program(folder: &Path) -> Command {
    let log = folder.join("early.log");
    let mut command = Command::new("nginx");
    command.arg("-e").arg(log).arg("-p").arg(folder).args(["-c", "nginx.conf", "-g"]);
    command
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shop {
    /// Both, in front of the same app.
    async fn both(connections: usize, app: SocketAddr) -> Vec<Self> {
        let dial = format!("gateway.worker_connections={connections}");
        let ours = Front::of(&[&dial, "gateway.edge_max_bytes=67108864"], app).await;
        let nginx = nginx(connections, app).await;
        [Some(Self::Ours(ours)), nginx.map(Self::Nginx)].into_iter().flatten().collect()
    }

    fn remote(&self) -> &Remote {
        match self {
            Self::Ours(front) => &front.remote,
            Self::Nginx(nginx) => &nginx.remote,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Ours(_) => "gateway",
            Self::Nginx(_) => "nginx",
        }
    }

    /// As stub_status has them. To ask nginx is a connection and a request more, which are taken off.
    async fn counts(&self) -> Counts {
        match self {
            Self::Ours(front) => {
                let figures = front.figures().await;
                let [accepted, handled, requests] =
                    ["nginx_connections_accepted", "nginx_connections_handled", "nginx_http_requests_total"]
                        .map(|name| figures.sum(name, &[]));
                Counts { accepted, handled, requests }
            }
            Self::Nginx(nginx) => {
                let text = asked(nginx.status, "/stub_status");
                let third =
                    text.lines().find(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
                let numbers: Vec<f64> =
                    third.expect(&text).split_whitespace().map(|number| number.parse().unwrap()).collect();
                // One connection asks, and one was to see whether it listens.
                Counts { accepted: numbers[0] - 2.0, handled: numbers[1] - 2.0, requests: numbers[2] - 1.0 }
            }
        }
    }

    async fn socket(&self) -> Result<Socket, WsError> {
        let url = format!("ws://{}/ws", self.remote().address);
        tokio_tungstenite::connect_async(url).await.map(|(socket, _)| socket)
    }
}

/// The body of an answer, on a connection that ends with it.
fn asked(address: SocketAddr, path: &str) -> String {
    let mut connection = StdStream::connect(address).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").expect(&text).1.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_is_served_alike() {
    let app = Running::with(&["mongodb.service_time_ms=1", "websocket.tick_interval_ms=50"]).await;
    let files = async || app.remote.scrape().await.sum("http_requests_total", &["/static/{asset}"]);
    for shop in Shop::both(1_024, app.remote.address).await {
        let (name, remote) = (shop.name(), shop.remote());
        let product = remote.get("/api/products/7").await;
        assert_eq!((product.status, product.json()["id"].as_u64()), (StatusCode::OK, Some(7)), "{name}");
        let order = remote.post("/api/orders", &json!({"product_id": 1})).await;
        assert_eq!(order.status, StatusCode::CREATED, "{name}");
        assert_eq!(remote.get("/api/products/0").await.error(), "not_found", "{name}");

        let mut socket = shop.socket().await.unwrap();
        socket.send(Message::text(json!({"type": "ping", "n": 1}).to_string())).await.unwrap();
        let pong = socket.next().await.unwrap().unwrap().into_text().unwrap();
        assert!(pong.contains("\"n\":1"), "{name}: {pong}");
        drop(socket);

        let before = files().await;
        let words: Vec<String> = {
            let mut words = Vec::new();
            for _ in 0..3 {
                let file = remote.get("/static/app.js").await;
                assert_eq!(file.text, include_str!("../../static/app.js"), "{name}");
                words.push(file.headers["x-cache"].to_str().unwrap().to_owned());
            }
            words
        };
        assert_eq!(words, ["MISS", "HIT", "HIT"], "{name}");
        assert_eq!(files().await - before, 1.0, "{name}: the app is asked once");
        let head = remote.send(Method::HEAD, "/static/app.js", &[], "").await;
        assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""), "{name}");
        let tag = head.headers["etag"].to_str().unwrap().to_owned();
        let again = remote.send(Method::GET, "/static/app.js", &[("if-none-match", &tag)], "").await;
        assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{name}");

        let json = [("content-type", "application/json")];
        let large = remote.send(Method::POST, "/api/leads", &json, &"x".repeat(200_000)).await;
        assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE, "{name}");

        let mut stream = Raw(TcpStream::connect(remote.address).await.unwrap());
        stream.say("GET /events?channel=stock&id=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        let mut seen = String::new();
        while !seen.contains("event: tick") {
            let mut bytes = [0; 512];
            let read = tokio::io::AsyncReadExt::read(&mut stream.0, &mut bytes);
            let count = tokio::time::timeout(Duration::from_secs(20), read).await.expect(name).unwrap();
            assert!(count > 0, "{name} ended the stream: {seen}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        drop(stream);

        let counts = shop.counts().await;
        assert_eq!((counts.accepted, counts.requests), (counts.handled, 11.0), "{name}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connections_end_alike() {
    const CONNECTIONS: usize = 32;
    let app = Running::quick().await;
    for shop in Shop::both(CONNECTIONS, app.remote.address).await {
        let name = shop.name();
        // Of those that wait for a next request there may be any number: some are closed for others, and nobody is refused.
        let mut waiting = Vec::new();
        for _ in 0..3 * CONNECTIONS {
            let mut client = Raw(TcpStream::connect(shop.remote().address).await.unwrap());
            let answer = client.get("/api/products/1").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
            waiting.push(client);
        }
        let counts = shop.counts().await;
        assert_eq!((counts.accepted, counts.handled), (96.0, 96.0), "{name}");
        drop(waiting);

        // A socket takes two and gives none of them away; nginx's own (it listens on two) are among them.
        let mut sockets = Vec::new();
        while let Ok(socket) = shop.socket().await {
            sockets.push(socket);
            assert!(sockets.len() <= CONNECTIONS / 2, "{name} has more connections than it may");
        }
        assert!(sockets.len() >= CONNECTIONS / 2 - 4, "{name}: only {} sockets", sockets.len());
        // One slot may be left, of which a client can make nothing. Whoever comes then is accepted and hung up on.
        let mut last = Raw(TcpStream::connect(shop.remote().address).await.unwrap());
        // It may have been hung up on already.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut last.0, b"GET /healthz HTTP/1.1\r\n").await;
        let mut refused = Raw(TcpStream::connect(shop.remote().address).await.unwrap());
        assert_eq!(refused.rest().await, "", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_app_both_say_bad_gateway() {
    let nobody = free_port();
    for shop in Shop::both(64, nobody).await {
        let answer = shop.remote().get("/api/products/1").await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{}", shop.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_compresses_for_those_who_ask() {
    let app = Running::quick().await;
    let Some(nginx) = nginx(64, app.remote.address).await else { return };
    let mut client = Raw(TcpStream::connect(nginx.remote.address).await.unwrap());
    client
        .say("HEAD /static/app.js HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n")
        .await;
    let head = client.rest().await.to_lowercase();
    assert!(head.contains("content-encoding: gzip") && head.contains("vary: accept-encoding"), "{head}");
}

#[test]
fn what_the_compose_file_changes_in_the_configuration_is_there() {
    let compose = include_str!("../../deploy/compose.yaml");
    let changed = compose.split("-e \"s/").skip(1).map(|rest| rest.split('/').next().unwrap());
    let missing: Vec<_> = changed.clone().filter(|text| CONFIGURATION.matches(text).count() != 1).collect();
    assert_eq!((changed.count(), missing), (3, vec![]));
}

#[test]
fn nginx_takes_the_part_with_tls() {
    let folder = TempDir::new().unwrap();
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    for (name, text) in [
        ("nginx.conf", CONFIGURATION.to_owned()),
        ("tls.conf", TLS.to_owned()),
        ("server.pem", issued.cert.pem()),
        ("server.key", issued.signing_key.serialize_pem()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::create_dir(folder.path().join("temporary")).unwrap();
    let Ok(output) = program(folder.path()).args(["daemon off;", "-t"]).output() else {
        eprintln!("SKIPPED the configuration with TLS: nginx is not installed");
        return;
    };
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let log = std::fs::read_to_string(folder.path().join("nginx.log")).unwrap_or_default();
    assert!(output.status.success(), "{words} {log}");
}
