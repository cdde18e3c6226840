//! The rules that ship at a real Prometheus: its own tools find nothing wrong, and a running app that is ordered to fail makes them
//! fire. The windows of the rules are minutes; these tests take the very files and shorten them.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::alerts::{deployed, rules, text_of};
use crate::faults::Breakable;
use crate::support::Remote;

/// How often it is looked whether something has come about, and how many times before that is given up: two minutes.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS_MAX: usize = 1_200;

/// What others who keep this machine busy can make true for a moment, with windows as short as these.
const OF_A_BUSY_MACHINE: [&str; 3] = ["MeanLatencyAbove500ms", "EventLoopLate", "AppDown"];

/// Whether a program that these tests need is on this machine; says so if not.
pub(crate) fn there_is(program: &str, package: &str) -> bool {
    let found =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no {program} (Debian package {package})");
    }
    found
}

/// The text with each of these replaced, all of which it must have.
fn shortened(text: &str, replacements: &[(&str, &str)]) -> String {
    replacements.iter().fold(text.to_owned(), |text, (long, short)| {
        assert!(text.contains(long), "there is no {long} to shorten");
        text.replace(long, short)
    })
}

/// A Prometheus of its own that scrapes one app; stopped when the test ends.
struct Prometheus {
    child: Child,
    remote: Remote,
    _dir: TempDir,
}

impl Prometheus {
    async fn scraping(app: SocketAddr) -> Self {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        let windows = [("[5m]", "[5s]"), ("[15m]", "[10s]")];
        let waits =
            [("for: 1m", "for: 2s"), ("for: 2m", "for: 2s"), ("for: 5m", "for: 2s"), ("for: 10m", "for: 2s")];
        let short = shortened(&shortened(&text_of("alerts.yml"), &windows), &waits);
        fs::write(at("alerts.yml"), short).unwrap();
        let app = app.to_string();
        let config = [("app:8080", app.as_str()), ("interval: 15s", "interval: 500ms")];
        fs::write(at("prometheus.yml"), shortened(&text_of("prometheus.yml"), &config)).unwrap();
        let log = File::create(at("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let read = || fs::read_to_string(at("log")).unwrap();
        let address = until("Prometheus is ready", async || {
            let log = read();
            let said = log.split("msg=\"Listening on\" address=").nth(1)?;
            let address = said.split_whitespace().next()?.parse().ok()?;
            log.contains("Server is ready").then_some(address)
        })
        .await;
        Self { child, remote: Remote::at(address), _dir: dir }
    }

    async fn api(&self, path: &str) -> Value {
        let answer = self.remote.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        answer.json()["data"].clone()
    }

    /// All rules with their states.
    async fn rules(&self) -> Vec<Value> {
        let groups = self.api("rules").await["groups"].clone();
        groups
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap().clone())
            .collect()
    }

    /// The alert of that name, if it is on.
    async fn alert(&self, name: &str) -> Option<Value> {
        let alerts = self.api("alerts").await["alerts"].clone();
        alerts.as_array().unwrap().iter().find(|alert| alert["labels"]["alertname"] == name).cloned()
    }

    /// Waits until it fires; what it says then.
    async fn fires(&self, name: &str) -> Value {
        let fires = async || self.alert(name).await.filter(|alert| alert["state"] == "firing");
        until(name, fires).await
    }

    async fn is_over(&self, name: &str) {
        until(&format!("the end of {name}"), async || self.alert(name).await.is_none().then_some(())).await;
    }

    /// How many evaluations saw it in that state.
    async fn seen(&self, name: &str, state: &str) -> f64 {
        let query = format!(
            "sum(count_over_time(ALERTS%7Balertname%3D%22{name}%22,alertstate%3D%22{state}%22%7D%5B5m%5D))"
        );
        let data = self.api(&format!("query?query={query}")).await;
        data["result"][0]["value"][1].as_str().map_or(0.0, |text| text.parse().unwrap())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until there is an answer, within the bound.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("it never came about: {what}");
}

#[test]
fn its_own_tools_find_nothing_wrong() {
    if !there_is("promtool", "prometheus") {
        return;
    }
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
        ["check", "config", "prometheus.yml"],
    ] {
        let output = Command::new("promtool").args(arguments).current_dir(deployed("")).output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("SUCCESS"), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn what_is_ordered_to_fail_fires_and_is_over_when_it_is() {
    if !there_is("prometheus", "prometheus") {
        return;
    }
    let fleet = Breakable::serving(&["--replicas", "2", "--dial", "mongodb.service_time_ms=10"]);
    let prometheus = Prometheus::scraping(fleet.app.address).await;
    let users: Vec<_> = (0..4)
        .map(|_| {
            let app = fleet.app.clone();
            tokio::spawn(async move {
                loop {
                    app.get("/api/products/1").await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        })
        .collect();

    // All is well: each rule has been evaluated, and is silent.
    let requests = "query?query=rate(http_requests_total%7Bjob%3D%22shop%22,route%3D%22/api/products/%7Bid%7D%22%7D%5B5s%5D)";
    until("requests in Prometheus", async || {
        prometheus.api(requests).await["result"].as_array().filter(|series| !series.is_empty()).map(drop)
    })
    .await;
    let evaluated = async || {
        let rules = prometheus.rules().await;
        rules.iter().all(|rule| rule["health"] == "ok").then_some(rules)
    };
    let loaded = until("an evaluation of every rule", evaluated).await;
    let names: Vec<_> = loaded.iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    let shipped = rules(&text_of("alerts.yml"));
    assert_eq!(names, shipped.iter().map(|rule| rule.alert.as_str()).collect::<Vec<_>>());
    for rule in loaded.iter().filter(|rule| !OF_A_BUSY_MACHINE.contains(&rule["name"].as_str().unwrap())) {
        assert_eq!(rule["state"], "inactive", "{rule}");
    }

    fleet.order(json!({"fault": "errors", "ratio": 0.2, "for_ms": 600_000})).await;
    let alert = prometheus.fires("ErrorsAbove1Percent").await;
    assert!(
        prometheus.seen("ErrorsAbove1Percent", "pending").await >= 1.0,
        "it waited before it called anybody"
    );
    assert_eq!(alert["labels"]["severity"], "critical");
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert!(summary.ends_with("% of the requests to shop fail."), "{summary}");
    fleet.order(json!({"fault": "none"})).await;
    prometheus.is_over("ErrorsAbove1Percent").await;

    fleet.order(json!({"fault": "slow", "resource": "mongodb", "factor": 100, "for_ms": 600_000})).await;
    let alert = prometheus.fires("MeanLatencyAbove500ms").await;
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert!(summary.starts_with("Requests to shop take ") && summary.ends_with("s on average."), "{summary}");
    assert!(alert["value"].as_str().unwrap().parse::<f64>().unwrap() > 0.5, "{alert}");
    users.iter().for_each(tokio::task::JoinHandle::abort);
}
