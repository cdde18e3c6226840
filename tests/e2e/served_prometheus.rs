//! A real Prometheus that scrapes what a test serves.

use super::tell;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Looks at its log before a start is given up: half a minute.
const LOOKS_MAX: u32 = 300;

/// A server of its own; stopped when the value is dropped.
pub(crate) struct Prometheus {
    child: Child,
    pub(crate) addr: SocketAddr,
    _dir: TempDir,
}

impl Prometheus {
    /// Scrapes these once a second. `None`, which is told, where there is no `prometheus` on this machine.
    pub(crate) fn scraping(targets: &[SocketAddr]) -> Option<Self> {
        if Command::new("prometheus")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            tell("SKIPPED: there is no prometheus (Debian package prometheus)");
            return None;
        }
        let dir = super::scratch();
        let at = |name: &str| dir.path().join(name);
        let targets: Vec<String> = targets.iter().map(|addr| format!("\"{addr}\"")).collect();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: shop\n    static_configs: [{{targets: [{}]}}]\n",
            targets.join(", ")
        );
        fs::write(at("prometheus.yml"), config).unwrap();
        let log = File::create(at("log")).unwrap();
        let log_path = at("log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        // Where it listens it says in its log; whatever comes of that, the process ends with the value.
        let mut served = Self { child, addr: SocketAddr::from(([127, 0, 0, 1], 0)), _dir: dir };
        for _ in 0..LOOKS_MAX {
            let said = fs::read_to_string(&log_path).unwrap();
            let address = said.split("msg=\"Listening on\" address=").nth(1);
            let address = address.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            if let (Some(addr), true) = (address, said.contains("Server is ready")) {
                served.addr = addr;
                return Some(served);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("prometheus did not start: {}", fs::read_to_string(&log_path).unwrap());
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
