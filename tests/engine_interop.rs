//! The engine against servers that others wrote, each asked afterwards, by its own log, how many requests it saw. A server that is not
//! installed is skipped by name.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
#![allow(clippy::print_stderr, reason = "what was skipped is said")]

mod transport_subjects;

use plimsoll::measure::snapshot::Snapshot;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use transport_subjects::shard::{carry, closed};
use transport_subjects::{Program, free_addr};

/// A server, the folder it serves, and what its log writes once for every request.
struct Site {
    _program: Program,
    folder: tempfile::TempDir,
    addr: SocketAddr,
    log: PathBuf,
    mark: &'static str,
}

/// A folder with a page, a free address and the place of a log.
fn ground() -> (tempfile::TempDir, SocketAddr, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.json"), "{\"answer\": 42}").unwrap();
    std::fs::write(folder.path().join("large.bin"), vec![b'x'; 300_000]).unwrap();
    let log = folder.path().join("requests.log");
    (folder, free_addr(), log)
}

fn started(
    name: &str,
    mark: &'static str,
    command: impl FnOnce(&Path, SocketAddr) -> Command,
) -> Option<Site> {
    let (folder, addr, log) = ground();
    let mut command = command(folder.path(), addr);
    let Some(program) = Program::logged(&mut command, addr, &log) else {
        eprintln!("SKIPPED interoperation with {name}: it is not installed");
        return None;
    };
    Some(Site { _program: program, folder, addr, log, mark })
}

fn nginx(listen: &'static str) -> Option<Site> {
    started("nginx", "request seen", |folder, addr| {
        let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("server.pem"), issued.cert.pem()).unwrap();
        std::fs::write(folder.join("server.key"), issued.signing_key.serialize_pem()).unwrap();
        let at = folder.display();
        let tls = format!("ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key;");
        let tls = if listen.contains("ssl") { tls } else { String::new() };
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
             events {{ worker_connections 256; }}
             http {{ log_format seen 'request seen'; access_log {at}/requests.log seen; client_body_temp_path {at}/a;
               proxy_temp_path {at}/b; fastcgi_temp_path {at}/c; uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;
               keepalive_requests 50;
               server {{ listen {addr} {listen}; {tls} root {at}; }} }}"
        );
        let path = folder.join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-e").arg(folder.join("error.log")).arg("-p").arg(folder).arg("-c").arg(path);
        command
    })
}

const STEPS: &str = "[{get: /page.json, expect: {status: 200, body: $.answer == 42}}, {get: /large.bin, expect: {status: 200}}, {head: /page.json, expect: {status: 200}}]";

impl Site {
    /// Users for a second; then the server's own count has to be what was sent.
    fn agrees(&self, target: &str, steps: &str) -> Snapshot {
        let before = self.seen();
        let sum = carry(self.addr, target, &closed(8, steps));
        assert_eq!(sum.requests.failed, 0, "{:?}", sum.failures);
        assert!(sum.requests.sent > 20, "{:?}", sum.requests);
        // A log may be a moment behind its server.
        for _ in 0..100 {
            if self.seen() - before >= sum.requests.sent {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.seen() - before, sum.requests.sent, "{target}");
        sum
    }

    fn seen(&self) -> u64 {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).lines().filter(|line| line.contains(self.mark)).count() as u64
    }

    fn over_http(&self, keys: &str) -> String {
        format!("http: \"http://{}\", {keys}", self.addr)
    }

    fn over_tls(&self, keys: &str) -> String {
        let ca = self.folder.path().join("server.pem");
        format!("http: \"https://localhost:{}\", tls: {{ca: \"{}\"}}, {keys}", self.addr.port(), ca.display())
    }
}

#[test]
fn nginx_in_http_1_1() {
    let Some(site) = nginx("") else { return };
    let own = site.agrees(&site.over_http("connections: per_user"), STEPS);
    assert!(own.requests.connections_opened > 8, "it closes each after 50 requests");
    site.agrees(&site.over_http("connections: shared"), STEPS);
    let fresh = site.agrees(&site.over_http("connections: fresh"), STEPS);
    assert_eq!(fresh.requests.connections_opened, fresh.requests.sent);
}

#[test]
fn nginx_in_http_2_by_prior_knowledge() {
    let Some(site) = nginx("http2") else { return };
    for connections in ["per_user", "shared", "fresh"] {
        // It says GOAWAY after 50 requests; what it has not looked at is sent again.
        site.agrees(&site.over_http(&format!("http_version: 2, connections: {connections}")), STEPS);
    }
}

#[test]
fn nginx_over_tls_chooses_http_2_and_resumes() {
    let Some(site) = nginx("ssl http2") else { return };
    site.agrees(&site.over_tls("connections: shared"), STEPS);
    let fresh = site.agrees(&site.over_tls("connections: fresh"), STEPS);
    let requests = fresh.requests;
    assert_eq!((requests.tls_handshakes, requests.connections_opened), (requests.sent, requests.sent));
    assert!(requests.tls_resumed * 2 > requests.tls_handshakes, "{requests:?}");
    let old = site.agrees(&site.over_tls("http_version: 1.1, connections: fresh"), STEPS);
    assert!(old.requests.tls_resumed * 2 > old.requests.tls_handshakes, "{:?}", old.requests);
}

#[test]
fn nghttpd_in_http_2() {
    let site = started("nghttpd", "recv HEADERS frame", |folder, addr| {
        let mut command = Command::new("nghttpd");
        command.args(["--no-tls", "-v", "-a", &addr.ip().to_string(), "-d"]).arg(folder);
        command.arg(addr.port().to_string());
        command
    });
    let Some(site) = site else { return };
    for connections in ["per_user", "shared"] {
        let target = site.over_http(&format!("http_version: 2, connections: {connections}"));
        let sum = site.agrees(&target, STEPS);
        let opened = sum.requests.connections_opened;
        assert_eq!(opened, if connections == "shared" { 1 } else { 8 });
    }
}

#[test]
fn node_in_http_1_1() {
    const SCRIPT: &str = "const [port, ip] = process.argv.slice(1);
        require('http').createServer((request, response) => {
          console.log('request seen');
          request.resume();
          request.on('end', () => { response.setHeader('content-type', 'application/json'); response.end('{\"answer\": 42}'); });
        }).listen(Number(port), ip);";
    let site = started("node", "request seen", |_, addr| {
        let mut command = Command::new("node");
        command.args(["-e", SCRIPT, "--", &addr.port().to_string(), &addr.ip().to_string()]);
        command
    });
    let Some(site) = site else { return };
    let steps = "[{get: /a, expect: {body: $.answer == 42}}, {post: /b, json: {a: 1}, expect: {body: $.answer == 42}}]";
    for connections in ["per_user", "shared", "fresh"] {
        site.agrees(&site.over_http(&format!("connections: {connections}")), steps);
    }
}

#[test]
fn python_http_server_in_http_1_0() {
    let site = started("python3", "HTTP/1.1\" 200", |folder, addr| {
        let mut command = Command::new("python3");
        command.args(["-u", "-m", "http.server", "--bind", &addr.ip().to_string()]);
        command.arg(addr.port().to_string()).arg("--directory").arg(folder);
        command
    });
    let Some(site) = site else { return };
    let sum = site.agrees(&site.over_http("connections: per_user"), STEPS);
    assert_eq!(sum.requests.connections_opened, sum.requests.sent, "it closes after every answer");
}

#[test]
fn uvicorn_in_http_1_1() {
    const APP: &str = "async def app(scope, receive, send):
    if scope['type'] == 'lifespan':
        return
    while (await receive()).get('more_body'):
        pass
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-type', b'application/json')]})
    await send({'type': 'http.response.body', 'body': b'{\"answer\": 42}'})
";
    let site = started("uvicorn", "\" 200", |folder, addr| {
        std::fs::write(folder.join("plain_app.py"), APP).unwrap();
        let mut command = Command::new("uvicorn");
        command.args(["plain_app:app", "--host", &addr.ip().to_string(), "--port", &addr.port().to_string()]);
        command.arg("--app-dir").arg(folder).env("PYTHONUNBUFFERED", "1");
        command
    });
    let Some(site) = site else { return };
    let steps = "[{get: /a, expect: {body: $.answer == 42}}, {post: /b, json: {a: 1}, expect: {body: $.answer == 42}}]";
    for connections in ["per_user", "shared"] {
        site.agrees(&site.over_http(&format!("connections: {connections}")), steps);
    }
}
