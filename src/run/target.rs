//! Making the target ready: the bundled target-app is started as a child process and stopped with the run; an external target is
//! resolved, checked against the rule for hosts, and asked for one connection before any load goes to it.

use crate::engine::shard::Route;
use crate::limits::{TARGET_START_TIMEOUT, TARGET_STDERR_BYTES_MAX};
use crate::scenario::plan::{BaseUrl, Plan, TargetKind};
use crate::transport::tls::{Tls, Trust};
use crate::transport::{self, Address};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("cannot start the bundled target-app: {0}")]
    Spawn(std::io::Error),
    #[error("the bundled target-app did not start: {0}")]
    DidNotStart(String),
    #[error(transparent)]
    Resolve(#[from] transport::ResolveError),
    #[error("TLS for {host}: {text}")]
    Tls { host: String, text: String },
    #[error("{url}: {text}; start the service, or correct `target` in the scenario")]
    Unreachable { url: String, text: String },
}

/// A target that answers.
pub(super) struct Target {
    pub(super) http: Option<Route>,
    pub(super) ws: Option<Route>,
    /// For people: where the load goes.
    pub(super) label: String,
    /// Base URL of the bundled target-app, which has metrics at `/metrics`.
    pub(super) bundled_url: Option<String>,
    child: Option<Bundled>,
}

struct Bundled {
    child: Child,
    /// The app ends when this is closed, so that it never outlives the run.
    _stdin: ChildStdin,
    stderr: Arc<Mutex<String>>,
}

/// # Errors
/// [`TargetError`] naming the host or URL and what to do.
pub(super) async fn prepare(plan: &Plan, executable: &Path) -> Result<Target, TargetError> {
    match &plan.target.kind {
        TargetKind::Bundled { profile, replicas, dials } => {
            let (url, child) = start(executable, profile, *replicas, dials).await?;
            let base =
                BaseUrl { tls: false, host: url.ip().to_string(), port: url.port(), prefix: String::new() };
            let route = resolve(&base, plan).await?;
            Ok(Target {
                http: Some(route.clone()),
                ws: Some(route),
                label: format!("bundled {profile} at http://{url}"),
                bundled_url: Some(format!("http://{url}")),
                child: Some(child),
            })
        }
        TargetKind::External { http, ws } => {
            let mut routes = Vec::new();
            for base in [http, ws] {
                routes.push(match base {
                    Some(base) => Some(resolve(base, plan).await?),
                    None => None,
                });
            }
            let label =
                [http, ws].into_iter().flatten().next().map_or_else(String::new, |base| url_of(base, "http"));
            let (ws, http) = (routes.pop().flatten(), routes.pop().flatten());
            let target = Target { http, ws, label, bundled_url: None, child: None };
            knock(&target, plan).await?;
            Ok(target)
        }
    }
}

impl Target {
    /// Waits until the bundled target-app has ended by itself, and says how; never ready for an external target.
    pub(super) async fn died(&mut self) -> String {
        let Some(bundled) = &mut self.child else { return std::future::pending().await };
        let status = match bundled.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let said = bundled.stderr.lock().map(|text| text.trim().to_owned()).unwrap_or_default();
        let said = if said.is_empty() { String::new() } else { format!(", saying: {said}") };
        format!("the bundled target-app ended in mid-run ({status}){said}")
    }
}

fn url_of(base: &BaseUrl, scheme: &str) -> String {
    let secure = if base.tls { "s" } else { "" };
    format!("{scheme}{secure}://{}:{}{}", base.host, base.port, base.prefix)
}

async fn resolve(base: &BaseUrl, plan: &Plan) -> Result<Route, TargetError> {
    let addr = transport::resolve(&base.host, base.port, &plan.safety.allow_hosts).await?;
    let tls = if base.tls {
        let trust = if plan.target.tls_verify { Trust::System } else { Trust::Any };
        let failed = |error: transport::tls::TlsSetupError| TargetError::Tls {
            host: base.host.clone(),
            text: error.to_string(),
        };
        Some(Tls::new(&base.host, &trust).map_err(failed)?)
    } else {
        None
    };
    Ok(Route { address: Address::new(&base.host, base.port, addr, tls), prefix: base.prefix.clone() })
}

/// One connection before the first user, so that a wrong address is an answer at once and not a run full of failures.
async fn knock(target: &Target, plan: &Plan) -> Result<(), TargetError> {
    let Some(route) = target.http.as_ref().or(target.ws.as_ref()) else { return Ok(()) };
    let unreachable = |text: String| TargetError::Unreachable { url: target.label.clone(), text };
    match tokio::time::timeout(plan.target.connect_timeout, transport::connect(&route.address, None)).await {
        Ok(Ok(_connection)) => Ok(()),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_elapsed) => {
            let within = crate::units::show_duration(plan.target.connect_timeout);
            Err(unreachable(format!("no connection within {within}")))
        }
    }
}

/// Starts `EXECUTABLE target serve PROFILE` and waits for the line that says where it listens.
async fn start(
    executable: &Path,
    profile: &str,
    replicas: Option<u32>,
    dials: &[(String, String)],
) -> Result<(std::net::SocketAddr, Bundled), TargetError> {
    let mut command = Command::new(executable);
    command.args(["target", "serve", profile, "--listen", "127.0.0.1:0", "--exit-with-stdin"]);
    if let Some(replicas) = replicas {
        command.arg("--replicas").arg(replicas.to_string());
    }
    for (name, value) in dials {
        command.arg("--dial").arg(format!("{name}={value}"));
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // A group of its own: ctrl-C in the terminal is for the run, which then drains against a living target.
    command.process_group(0);
    let mut child = command.spawn().map_err(TargetError::Spawn)?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(TargetError::DidNotStart("it has no standard streams".into()));
    };
    let said = Arc::new(Mutex::new(String::new()));
    tokio::spawn(keep_tail(stderr, Arc::clone(&said)));
    let mut lines = BufReader::new(stdout).lines();
    let line = match tokio::time::timeout(TARGET_START_TIMEOUT, lines.next_line()).await {
        Ok(Ok(Some(line))) => line,
        Ok(_) => {
            // The pipe is closed: the app is ending, and its last words are on their way.
            let status =
                child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
            tokio::task::yield_now().await;
            let text = said.lock().map(|text| text.trim().to_owned()).unwrap_or_default();
            return Err(TargetError::DidNotStart(if text.is_empty() { status } else { text }));
        }
        Err(_elapsed) => {
            return Err(TargetError::DidNotStart(format!("no sign of life within {TARGET_START_TIMEOUT:?}")));
        }
    };
    let address = line
        .strip_prefix("listening http://")
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| TargetError::DidNotStart(format!("it said `{line}`")))?;
    Ok((address, Bundled { child, _stdin: stdin, stderr: said }))
}

async fn keep_tail(mut stderr: tokio::process::ChildStderr, tail: Arc<Mutex<String>>) {
    let mut bytes = [0u8; 1024];
    while let Ok(count) = stderr.read(&mut bytes).await {
        if count == 0 {
            break;
        }
        let Ok(mut tail) = tail.lock() else { break };
        tail.push_str(&String::from_utf8_lossy(&bytes[..count]));
        let excess = tail.len().saturating_sub(TARGET_STDERR_BYTES_MAX);
        let cut = (excess..=tail.len()).find(|&at| tail.is_char_boundary(at)).unwrap_or(tail.len());
        tail.drain(..cut);
    }
}
