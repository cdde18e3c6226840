//! TLS 1.3 from outside: what is shaken hands with, what is not and how that is counted, and the certificate that clients trust.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};
use target_app::Protections;
use target_app::profile::Profile;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Running, Scrape};

/// A client of one version that trusts the certificate in this file, or none.
struct Client {
    connector: TlsConnector,
    address: SocketAddr,
}

impl Client {
    fn new(address: SocketAddr, trusted: Option<&Path>, version: &'static SupportedProtocolVersion) -> Self {
        let mut roots = RootCertStore::empty();
        if let Some(path) = trusted {
            roots.add(CertificateDer::from_pem_file(path).unwrap()).unwrap();
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { connector: TlsConnector::from(Arc::new(config)), address }
    }

    fn speaking(self, protocol: &[u8]) -> Self {
        let mut config = ClientConfig::clone(self.connector.config());
        config.alpn_protocols = vec![protocol.to_vec()];
        Self { connector: TlsConnector::from(Arc::new(config)), ..self }
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::IpAddress(self.address.ip().into());
        self.connector.connect(name, stream).await
    }

    /// The whole answer on a connection of its own.
    async fn get(&self, path: &str) -> String {
        let mut stream = self.connect().await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // Clients of HTTP/1.1 have the length; the end of the connection is only the end.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    async fn scrape(&self) -> Scrape {
        Scrape(self.get("/metrics").await)
    }

    async fn scrape_until(&self, condition: impl Fn(&Scrape) -> bool) -> Scrape {
        for _ in 0..1_000 {
            let scrape = self.scrape().await;
            if condition(&scrape) {
                return scrape;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("it never came about");
    }
}

/// `hardened`, and a client that trusts it.
async fn hardened(directory: &TempDir, dials: &[&str], given: Protections) -> (Running, Client) {
    let path = directory.path().join("trusted.pem");
    let given = Protections { tls_out: Some(path.clone()), ..given };
    let app = Running::protected("hardened", dials, given).await;
    let client = Client::new(app.remote.address, Some(&path), &version::TLS13);
    (app, client)
}

#[tokio::test]
async fn a_client_that_trusts_the_certificate_is_served_in_tls_1_3() {
    let directory = TempDir::new().unwrap();
    let (app, client) = hardened(&directory, &[], Protections::default()).await;
    let stream = client.connect().await.unwrap();
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(session.alpn_protocol(), Some(b"http/1.1".as_slice()));
    let answer = client.get("/api/products/1").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=63072000; includeSubDomains"), "{answer}");
    let scrape = client.scrape().await;
    assert!(scrape.sum("tls_handshakes_total", &[]) >= 3.0);
    assert_eq!(scrape.sum("tls_handshake_failures_total", &[]), 0.0);
    drop(stream);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn no_other_handshake_comes_to_anything_and_each_is_counted() {
    let directory = TempDir::new().unwrap();
    let dials = ["tls.handshake_timeout_ms=300"];
    let (app, client) = hardened(&directory, &dials, Protections::default()).await;
    let path = directory.path().join("trusted.pem");
    let old = Client::new(app.remote.address, Some(&path), &version::TLS12).connect().await.unwrap_err();
    assert!(old.to_string().contains("ProtocolVersion"), "{old}");
    let distrusting = Client::new(app.remote.address, None, &version::TLS13).connect().await.unwrap_err();
    assert!(distrusting.to_string().contains("UnknownIssuer"), "{distrusting}");
    let http2 = Client::new(app.remote.address, Some(&path), &version::TLS13).speaking(b"h2");
    assert!(http2.connect().await.unwrap_err().to_string().contains("NoApplicationProtocol"));
    // One who says nothing, and one who says it in clear text, are both hung up on.
    for said in ["", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut stream = TcpStream::connect(app.remote.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // With what was sent unread, the end may be a reset.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"));
    }
    let failed = |scrape: &Scrape, reason: &str| {
        scrape.sum("tls_handshake_failures_total", &[&format!("reason=\"{reason}\"")])
    };
    let scrape = client.scrape_until(|scrape| scrape.sum("tls_handshake_failures_total", &[]) == 5.0).await;
    for reason in ["version", "client", "alpn", "timeout", "protocol"] {
        assert_eq!(failed(&scrape, reason), 1.0, "{reason}");
    }
    // A client that went away was not rejected.
    assert_eq!(scrape.sum("rejected_total", &["reason=\"tls_handshake\""]), 4.0);
    app.stop().await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_given_is_the_one_that_is_shown() {
    let directory = TempDir::new().unwrap();
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let given =
        Protections { tls_cert: Some(certificate.clone()), tls_key: Some(key), ..Protections::default() };
    let (app, _) = hardened(&directory, &[], given).await;
    let client = Client::new(app.remote.address, Some(&certificate), &version::TLS13);
    assert!(client.get("/healthz").await.starts_with("HTTP/1.1 200"));
    app.stop().await.unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_handshake() {
    let directory = TempDir::new().unwrap();
    let dials = ["tls.handshake_timeout_ms=3600000", "app.drain_ms=3600000"];
    let (app, client) = hardened(&directory, &dials, Protections::default()).await;
    let mut silent = TcpStream::connect(app.remote.address).await.unwrap();
    client.scrape_until(|scrape| scrape.sum("http_server_connections", &[]) >= 2.0).await;
    app.stop().await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
}

struct Served {
    child: Child,
    line: String,
}

impl Served {
    fn with(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_target-app"));
        command.args(["serve", "hardened", "--listen", "127.0.0.1:0", "--exit-with-stdin"]).args(arguments);
        command.args(["--dial", "app.drain_ms=500"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        child.stdout = Some(out.into_inner());
        Self { child, line }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn all_replicas_show_one_certificate_and_keep_an_audit_log_each() {
    let directory = TempDir::new().unwrap();
    let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (trusted, audit) = (place("trusted.pem"), place("audit"));
    let served = Served::with(&["--replicas", "3", "--tls-out", &trusted, "--audit-log", &audit]);
    let address =
        served.line.trim_end().strip_prefix("listening https://").expect(&served.line).parse().unwrap();
    let client = Client::new(address, Some(Path::new(&trusted)), &version::TLS13);
    for _ in 0..40 {
        assert!(client.get("/healthz").await.starts_with("HTTP/1.1 200"));
    }
    // The supervisor adds up what its replicas tell it four times a second.
    let scrape = client.scrape_until(|scrape| scrape.sum("tls_handshakes_total", &[]) >= 40.0).await;
    assert_eq!(scrape.sum("tls_handshake_failures_total", &[]), 0.0);
    drop(served);
    for number in 0..3 {
        assert!(Path::new(&format!("{audit}.{number}")).exists());
    }
}

#[test]
fn what_gives_a_protection_something_while_it_is_off_is_wrong_usage() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_target-app"));
    let output = command.args(["serve", "baseline", "--tls-out", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--tls-out is of no use without the dial tls.version=1.3"), "{said}");
}

#[test]
fn hardened_has_the_walls_of_baseline() {
    use target_app::explain::{Visits, explain};
    let mut visits = Visits::thinking(1.0);
    for route in ["GET /api/products/{id}", "POST /api/orders", "GET /ws"] {
        visits.add(route, 1.0).unwrap();
    }
    visits.sockets_per_user = 1.0;
    let walls = |name: &str| explain(&Profile::named(name).unwrap(), 1, &visits);
    assert_eq!(walls("hardened"), walls("baseline"));
}

/// The load meets the pool as in `baseline`: it is full, and nobody is turned away.
#[tokio::test]
async fn a_load_on_hardened_fills_the_same_pool() {
    let directory = TempDir::new().unwrap();
    let dials = ["mongodb.max_pool_size=2", "mongodb.service_time_ms=50"];
    let (app, client) = hardened(&directory, &dials, Protections::default()).await;
    let client = Arc::new(client);
    let users: Vec<_> = (0..20)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.get("/api/products/1").await })
        })
        .collect();
    let busy =
        client.scrape_until(|scrape| scrape.sum("db_client_connection_pending_requests", &[]) >= 2.0).await;
    assert_eq!(busy.sum("db_client_connection_count", &["state=\"used\""]), 2.0);
    for user in users {
        assert!(user.await.unwrap().starts_with("HTTP/1.1 200"));
    }
    assert_eq!(client.scrape().await.sum("rejected_total", &[]), 0.0);
    app.stop().await.unwrap();
}
