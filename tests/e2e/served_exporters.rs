//! The exporters that Debian has, and what they tell of, each on a free port of this machine and ended with the value.

use super::{servers, tell};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Looks whether something listens before a start is given up: half a minute.
const LOOKS_MAX: u32 = 300;

/// A process that listens.
pub(crate) struct Part {
    child: Child,
    pub(crate) addr: SocketAddr,
    _dir: TempDir,
}

impl Part {
    /// Starts what `program` makes of a free address and a folder of its own. `None`, which is told, where there is no such program.
    fn start(program: &str, package: &str, args: impl Fn(SocketAddr, &Path) -> Vec<String>) -> Option<Self> {
        // Debian keeps nginx where only root's PATH looks.
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let (dir, addr) = (super::scratch(), servers::nothing());
        let mut command = Command::new(program);
        command.env("PATH", path).args(args(addr, dir.path())).current_dir(dir.path());
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(child) = spawned else {
            tell(&format!("SKIPPED: there is no {program} (Debian package {package})"));
            return None;
        };
        let part = Self { child, addr, _dir: dir };
        for _ in 0..LOOKS_MAX {
            if TcpStream::connect(addr).is_ok() {
                return Some(part);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{program} does not listen at {addr}");
    }

    fn exporter(name: &str, args: impl Fn(SocketAddr, &Path) -> Vec<String>) -> Option<Self> {
        let program = format!("prometheus-{name}-exporter");
        Self::start(&program, &program, args)
    }

    /// A node_exporter of this machine.
    pub(crate) fn node_exporter() -> Option<Self> {
        Self::exporter("node", |addr, _| vec![format!("--web.listen-address={addr}")])
    }

    /// A node_exporter of a machine with 8 GB of memory, of which so many are available.
    pub(crate) fn node_exporter_of(available_bytes: f64) -> Option<Self> {
        Self::exporter("node", |addr, dir| {
            let kib = |bytes: f64| (bytes / 1024.0) as u64;
            let meminfo = format!("MemTotal: {} kB\nMemAvailable: {} kB\n", kib(8e9), kib(available_bytes));
            fs::write(dir.join("meminfo"), meminfo).unwrap();
            vec![
                format!("--web.listen-address={addr}"),
                format!("--path.procfs={}", dir.display()),
                "--collector.disable-defaults".into(),
                "--collector.meminfo".into(),
            ]
        })
    }

    pub(crate) fn redis(bytes_max: u64) -> Option<Self> {
        Self::start("redis-server", "redis-server", |addr, _| {
            let port = addr.port().to_string();
            let bytes_max = bytes_max.to_string();
            let args = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--maxmemory", &bytes_max];
            args.map(ToOwned::to_owned).into()
        })
    }

    pub(crate) fn redis_exporter(redis: SocketAddr) -> Option<Self> {
        Self::exporter("redis", |addr, _| {
            vec![format!("-redis.addr=redis://{redis}"), format!("-web.listen-address={addr}")]
        })
    }

    pub(crate) fn nginx() -> Option<Self> {
        Self::start("nginx", "nginx-light", |addr, dir| {
            let text = format!(
                "pid {0}/pid;\nerror_log {0}/error;\ndaemon off;\nmaster_process off;\nevents {{}}\nhttp {{ access_log off; server {{ listen {addr}; \
                 location / {{ return 200 ok; }} location = /stub_status {{ stub_status; }} }} }}\n",
                dir.display()
            );
            fs::write(dir.join("nginx.conf"), text).unwrap();
            ["-p", ".", "-c", "nginx.conf"].map(ToOwned::to_owned).into()
        })
    }

    pub(crate) fn nginx_exporter(nginx: SocketAddr) -> Option<Self> {
        Self::exporter("nginx", |addr, _| {
            vec![
                format!("-nginx.scrape-uri=http://{nginx}/stub_status"),
                format!("-web.listen-address={addr}"),
            ]
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
