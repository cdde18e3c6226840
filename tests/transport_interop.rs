//! The client against servers that others wrote: nginx and Python's http.server. Either is skipped by name where it is not installed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
#![allow(clippy::print_stderr, reason = "what was skipped is said")]

mod transport_subjects;

use plimsoll::transport::{Connection, Exchange, ExchangeError, Keep};
use std::process::Command;
use std::time::Duration;
use transport_subjects::{Client, KEEP, Program, free_addr};

/// Keeps the files of a server next to the server itself, which must end first.
struct Site {
    program: Program,
    _folder: tempfile::TempDir,
}

const LARGE: usize = 3_000_000;

fn nginx() -> Option<Site> {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    let addr = free_addr();
    std::fs::write(folder.path().join("page.txt"), "hello ".repeat(2_000)).unwrap();
    std::fs::write(folder.path().join("large.bin"), vec![b'x'; LARGE]).unwrap();
    let config = format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr;
         events {{ worker_connections 64; }}
         http {{ access_log off; client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c;
           uwsgi_temp_path {at}/d; scgi_temp_path {at}/e; gzip on; gzip_types *; gzip_min_length 1;
           server {{ listen {addr}; root {at};
             location /two {{ return 200 ok; }}
             location /empty {{ return 204; }}
             location /thrice {{ keepalive_requests 3; return 200 ok; }}
             location /short {{ keepalive_timeout 50ms; return 200 ok; }}
             location /cut {{ return 444; }} }} }}"
    );
    let path = folder.path().join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-p"]).arg(folder.path()).arg("-c").arg(&path);
    Some(Site { program: Program::start(&mut command, addr)?, _folder: folder })
}

fn python() -> Option<Site> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.txt"), "hello from python").unwrap();
    let addr = free_addr();
    let mut command = Command::new("python3");
    command
        .args(["-m", "http.server", "--bind", "127.0.0.1", &addr.port().to_string(), "--directory"])
        .arg(folder.path());
    Some(Site { program: Program::start(&mut command, addr)?, _folder: folder })
}

/// The site, or a line on stderr that says what was not tested.
fn or_skipped(site: Option<Site>, test: &str, program: &str) -> Option<(Site, Client)> {
    let Some(site) = site else {
        eprintln!("SKIPPED {test}: {program} is not installed");
        return None;
    };
    let client = Client::new(site.program.addr);
    Some((site, client))
}

impl Client {
    async fn request(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        fields: &str,
        keep: Keep,
    ) -> Result<Exchange, ExchangeError> {
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{fields}\r\n", self.address.host_header)
                .into_bytes();
        connection.exchange(&request, method == "HEAD", keep, &self.buffers, &self.clock).await
    }
}

#[tokio::test]
async fn nginx_and_its_ways_of_framing() {
    let Some((_site, client)) = or_skipped(nginx(), "nginx_and_its_ways_of_framing", "nginx") else { return };
    let mut connection = client.connect().await;
    let gzip = "accept-encoding: gzip\r\n";
    for (method, path, fields, status, bytes) in [
        ("GET", "/two", "", 200, Some(2)),
        ("GET", "/page.txt", "", 200, Some(12_000)),
        ("HEAD", "/page.txt", "", 200, Some(0)),
        ("GET", "/large.bin", "", 200, Some(LARGE as u64)),
        ("HEAD", "/large.bin", gzip, 200, Some(0)),
        ("GET", "/empty", "", 204, Some(0)),
        ("GET", "/missing", "", 404, None),
        ("GET", "/page.txt", "range: bytes=0-9\r\n", 206, Some(10)),
        ("GET", "/page.txt", "if-modified-since: Fri, 01 Jan 2100 00:00:00 GMT\r\n", 200, Some(12_000)),
        ("POST", "/page.txt", "content-length: 0\r\n", 405, None),
    ] {
        let exchange = client.request(&mut connection, method, path, fields, KEEP).await.unwrap();
        assert_eq!(exchange.status, status, "{method} {path}");
        assert!(exchange.reusable, "{method} {path}");
        if let Some(bytes) = bytes {
            assert_eq!(exchange.body_bytes, bytes, "{method} {path}");
        }
    }
    let chunked = client.request(&mut connection, "GET", "/page.txt", gzip, KEEP).await.unwrap();
    let head = String::from_utf8(chunked.head.unwrap().into_vec()).unwrap().to_lowercase();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert!(chunked.body.unwrap().starts_with(&[0x1f, 0x8b]), "the magic number of gzip");
    let counted = client.request(&mut connection, "GET", "/large.bin", "", Keep::default()).await.unwrap();
    assert_eq!((counted.body_bytes, counted.body, counted.head), (LARGE as u64, None, None));

    let modified =
        head.lines().find_map(|line| line.strip_prefix("last-modified: ").map(str::to_owned)).unwrap();
    // The field's value is compared with its letters as they were: take the date from the unlowered head.
    let plain = client.request(&mut connection, "GET", "/page.txt", "", KEEP).await.unwrap();
    let head = String::from_utf8(plain.head.unwrap().into_vec()).unwrap();
    let exact = head.lines().find(|line| line.to_lowercase().ends_with(&modified)).unwrap();
    let since = format!("if-modified-since: {}\r\n", exact.split_once(": ").unwrap().1);
    let unchanged = client.request(&mut connection, "GET", "/page.txt", &since, KEEP).await.unwrap();
    assert_eq!((unchanged.status, unchanged.body_bytes, unchanged.reusable), (304, 0, true));
}

#[tokio::test]
async fn nginx_and_its_ways_of_closing() {
    let Some((_site, client)) = or_skipped(nginx(), "nginx_and_its_ways_of_closing", "nginx") else { return };
    let mut connection = client.connect().await;
    for reusable in [true, true, false] {
        let exchange = client.request(&mut connection, "GET", "/thrice", "", KEEP).await.unwrap();
        assert_eq!((exchange.status, exchange.reusable), (200, reusable));
    }
    let mut connection = client.connect().await;
    let asked = client.request(&mut connection, "GET", "/two", "connection: close\r\n", KEEP).await.unwrap();
    assert!(!asked.reusable);

    let mut connection = client.connect().await;
    client.request(&mut connection, "GET", "/short", "", KEEP).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = client.request(&mut connection, "GET", "/two", "", KEEP).await.unwrap_err();
    assert_eq!(idle, ExchangeError::ClosedWhileIdle);

    let mut connection = client.connect().await;
    let cut = client.request(&mut connection, "GET", "/cut", "", KEEP).await.unwrap_err();
    assert_eq!(cut, ExchangeError::ClosedBeforeResponse);
}

#[tokio::test]
async fn python_speaks_http_1_0() {
    let Some((_site, client)) = or_skipped(python(), "python_speaks_http_1_0", "python3") else { return };
    for (method, path, status, body) in
        [("GET", "/page.txt", 200, &b"hello from python"[..]), ("HEAD", "/page.txt", 200, b"")]
    {
        let mut connection = client.connect().await;
        let exchange = client.request(&mut connection, method, path, "", KEEP).await.unwrap();
        assert_eq!((exchange.status, exchange.reusable), (status, false));
        assert_eq!(exchange.body.as_deref(), Some(body));
    }
    let mut connection = client.connect().await;
    let unknown = client.request(&mut connection, "PATCH", "/", "", KEEP).await.unwrap();
    assert_eq!(unknown.status, 501);
}
