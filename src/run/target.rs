//! Making the target ready: the bundled target-app is started as a child process and stopped with the run; an external target is
//! resolved, checked against the rule for hosts, and asked for one connection before any load goes to it.

use super::Options;
use super::sources::{self, SourceError};
use crate::engine::route::{Destination, Route};
use crate::limits::{TARGET_END_TIMEOUT, TARGET_START_TIMEOUT, TARGET_STDERR_BYTES_MAX};
use crate::scenario::plan::{BaseUrl, Plan, TargetKind};
use crate::swarm::last_words::LastWords;
use crate::transport::{self, HttpVersion, Resolved};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use target_app::profile::{Profile, TlsVersion};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, BufReader};
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
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{url}: {text}; start the service, or correct `target` in the scenario")]
    Unreachable { url: String, text: String },
}

/// A target that answers.
pub(super) struct Target {
    pub(super) http: Option<Destination>,
    pub(super) ws: Option<Destination>,
    /// For people: where the load goes.
    pub(super) label: String,
    /// Base URL where the bundled target-app has metrics at `/metrics`, behind its gateway if it has one.
    pub(super) bundled_url: Option<String>,
    child: Option<Bundled>,
}

struct Bundled {
    child: Child,
    /// The app ends when this is closed, so that it never outlives the run.
    stdin: Option<ChildStdin>,
    said: LastWords,
}

/// It is killed only if it does not end by itself: killed, it would leave its store behind.
impl Drop for Bundled {
    fn drop(&mut self) {
        const LOOK: Duration = Duration::from_millis(5);
        drop(self.stdin.take());
        let mut waited = Duration::ZERO;
        while matches!(self.child.try_wait(), Ok(None)) && waited < TARGET_END_TIMEOUT {
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
    }
}

/// # Errors
/// [`TargetError`] naming the host or URL and what to do.
pub(super) async fn prepare(plan: &Plan, options: &Options) -> Result<Target, TargetError> {
    match &plan.target.kind {
        TargetKind::Bundled { profile, replicas, dials } => {
            let (Addresses { load, metrics }, certificates, child) =
                start(&options.executable, profile, *replicas, dials).await?;
            let tls = !certificates.is_empty();
            let base = BaseUrl { tls, host: load.ip().to_string(), port: load.port(), prefix: String::new() };
            let (found, _) = resolve(&base, plan, options).await?;
            let destination = Destination { trusted: certificates, ..found };
            let url = url_of(&base, "http");
            Ok(Target {
                http: Some(destination.clone()),
                ws: Some(destination),
                label: format!("bundled {profile} at {url}"),
                bundled_url: Some(url_of(&BaseUrl { port: metrics.port(), ..base }, "http")),
                child: Some(child),
            })
        }
        TargetKind::External { http, ws } => {
            let mut labels = Vec::new();
            let http = match http {
                Some(base) => {
                    let (destination, label) = reach(base, "http", None, plan, options).await?;
                    labels.push(label);
                    Some(destination)
                }
                None => None,
            };
            // Sockets that nothing opens need no server.
            let ws = match (ws.as_ref().filter(|_| !plan.sockets.is_empty()), &http) {
                (None, _) => None,
                (Some(base), Some(http)) if place(base) == place(&http.base) => {
                    Some(Destination { base: base.clone(), ..http.clone() })
                }
                (Some(base), _) => {
                    // A socket opens with HTTP/1.1, whatever else is spoken.
                    let (destination, label) =
                        reach(base, "ws", Some(HttpVersion::Http1), plan, options).await?;
                    labels.push(label);
                    Some(destination)
                }
            };
            Ok(Target { http, ws, label: labels.join(", "), bundled_url: None, child: None })
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
        format!("the bundled target-app ended in mid-run ({status}){}", bundled.said.suffix())
    }
}

fn url_of(base: &BaseUrl, scheme: &str) -> String {
    let secure = if base.tls { "s" } else { "" };
    format!("{scheme}{secure}://{}:{}{}", base.host, base.port, base.prefix)
}

/// What stands at one place is one server.
fn place(base: &BaseUrl) -> (bool, &str, u16) {
    (base.tls, &base.host, base.port)
}

/// A base URL whose every address takes connections, and how it is called.
async fn reach(
    base: &BaseUrl,
    scheme: &str,
    version: Option<HttpVersion>,
    plan: &Plan,
    options: &Options,
) -> Result<(Destination, String), TargetError> {
    let (destination, at) = resolve(base, plan, options).await?;
    let label = url_of(base, scheme) + &at;
    knock(&destination, version, &label, plan).await?;
    Ok((destination, label))
}

/// And in words at which addresses that is, where there are several.
async fn resolve(
    base: &BaseUrl,
    plan: &Plan,
    options: &Options,
) -> Result<(Destination, String), TargetError> {
    let found = match plan.target.connect_to.split_first() {
        Some((first, others)) => Resolved { first: *first, others: others.to_vec(), silent: Vec::new() },
        None => transport::resolve(&base.host, base.port, &plan.safety.allow_hosts).await?,
    };
    let at = addresses(&found);
    let Resolved { first: peer, others, .. } = found;
    let peers: Vec<_> = std::iter::once(peer).chain(others.iter().copied()).collect();
    let sources = sources::choose(&plan.swarm.sources, &peers, options.source_addresses)?;
    Ok((Destination { base: base.clone(), peer, others, sources, trusted: Vec::new() }, at))
}

/// ` at 10.0.0.1:80, 10.0.0.2:80; no connection to 10.0.0.3:80`; nothing for a host with one address.
fn addresses(found: &Resolved) -> String {
    let list = |addrs: &[SocketAddr]| addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut words = String::new();
    if !found.others.is_empty() || !found.silent.is_empty() {
        words = format!(" at {}", list(&[&[found.first], &found.others[..]].concat()));
    }
    if !found.silent.is_empty() {
        words.push_str(&format!("; no connection to {}", list(&found.silent)));
    }
    words
}

/// One connection before the first user, so that a wrong address is an answer at once and not a run full of failures.
async fn knock(
    destination: &Destination,
    version: Option<HttpVersion>,
    label: &str,
    plan: &Plan,
) -> Result<(), TargetError> {
    let route = Route::to(destination, &plan.target)
        .map_err(|error| TargetError::Tls { host: destination.base.host.clone(), text: error.to_string() })?;
    let unreachable = |text: String| TargetError::Unreachable { url: label.to_owned(), text };
    let one = destination.others.is_empty();
    for (address, source) in route.lanes() {
        let at = if one { String::new() } else { format!("{}: ", address.addr) };
        let address = version.map_or(address.clone(), |version| address.clone().speaking(version));
        match tokio::time::timeout(plan.target.connect_timeout, transport::connect(&address, source)).await {
            Ok(Ok(_connection)) => {}
            // The service is up, and what it shows is not what the scenario asks for.
            Ok(Err(error @ transport::TransportError::Tls(_))) => {
                let host = destination.base.host.clone();
                return Err(TargetError::Tls { host, text: format!("{at}{error}; see `target.tls`") });
            }
            Ok(Err(error)) => return Err(unreachable(format!("{at}{error}"))),
            Err(_elapsed) => {
                let within = crate::units::show_duration(plan.target.connect_timeout);
                return Err(unreachable(format!("{at}no connection within {within}")));
            }
        }
    }
    Ok(())
}

/// Of the bundled target beside us: what `nice` adds when it is not told how much. A process of the usual niceness that wakes comes first
/// then, and gets nine tenths of a core that both want.
const TARGET_NICENESS: &str = "10";

/// Where the bundled target listens.
struct Addresses {
    load: SocketAddr,
    /// The same place, unless there is a gateway in front: that refuses whoever watches it as it does everyone else when it is full.
    metrics: SocketAddr,
}

/// Starts `EXECUTABLE target serve PROFILE` and waits for the line that says where it listens. Under TLS its certificates come with that.
async fn start(
    executable: &Path,
    profile: &str,
    replicas: Option<u32>,
    dials: &[(String, String)],
) -> Result<(Addresses, Vec<Vec<u8>>, Bundled), TargetError> {
    // One that cannot be read is refused by the target itself, with a reason.
    let dialled = dialled(profile, dials);
    let tls = dialled.as_ref().is_some_and(|profile| profile.dials().tls.version != TlsVersion::Off);
    let certificates = tls.then(NamedTempFile::new).transpose().map_err(TargetError::Spawn)?;
    let mut command = Command::new(executable);
    command.args(["target", "serve", profile, "--listen", "127.0.0.1:0", "--exit-with-stdin"]);
    command.args(["--nice", TARGET_NICENESS]);
    if let Some(replicas) = replicas {
        command.arg("--replicas").arg(replicas.to_string());
    }
    for (name, value) in dials {
        command.arg("--dial").arg(format!("{name}={value}"));
    }
    if let Some(file) = &certificates {
        command.arg("--tls-out").arg(file.path());
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
    let said = LastWords::of(stderr, TARGET_STDERR_BYTES_MAX);
    let mut lines = BufReader::new(stdout).lines();
    let line = match tokio::time::timeout(TARGET_START_TIMEOUT, lines.next_line()).await {
        Ok(Ok(Some(line))) => line,
        Ok(_) => {
            // The pipe is closed: the app is ending, and its last words are on their way.
            let status =
                child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
            tokio::task::yield_now().await;
            let text = said.text();
            return Err(TargetError::DidNotStart(if text.is_empty() { status } else { text }));
        }
        Err(_elapsed) => {
            return Err(TargetError::DidNotStart(format!("no sign of life within {TARGET_START_TIMEOUT:?}")));
        }
    };
    let load = address_in(&line, if tls { "listening https" } else { "listening http" })?;
    let metrics = if dialled.is_some_and(|profile| profile.has_gateway()) {
        // Said in the same breath.
        let line = tokio::time::timeout(TARGET_START_TIMEOUT, lines.next_line()).await;
        let line = line.ok().and_then(Result::ok).flatten().unwrap_or_default();
        address_in(&line, "metrics http")?
    } else {
        load
    };
    let certificates = match certificates {
        Some(file) => CertificateDer::pem_file_iter(file.path())
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| TargetError::DidNotStart(format!("its certificate cannot be read: {error}")))?,
        None => Vec::new(),
    };
    let certificates = certificates.into_iter().map(|certificate| certificate.to_vec()).collect();
    Ok((Addresses { load, metrics }, certificates, Bundled { child, stdin: Some(stdin), said }))
}

/// The address in a line such as `listening http://127.0.0.1:8080`.
fn address_in(line: &str, words: &str) -> Result<SocketAddr, TargetError> {
    let url = line.strip_prefix(words).and_then(|rest| rest.strip_prefix("://"));
    url.and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| TargetError::DidNotStart(format!("it said `{line}`")))
}

/// The profile with its dials turned.
fn dialled(profile: &str, dials: &[(String, String)]) -> Option<Profile> {
    let dials: Vec<_> = dials.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Profile::named(profile).ok().and_then(|profile| profile.with_dials(&dials).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_says_where_it_listens_and_where_its_metrics_are() {
        assert_eq!(address_in("listening http://127.0.0.1:80", "listening http").unwrap().port(), 80);
        assert_eq!(address_in("listening https://127.0.0.1:81", "listening https").unwrap().port(), 81);
        for wrong in [
            "",
            "listening",
            "listening http://",
            "listening https://127.0.0.1:80",
            "metrics http://127.0.0.1:80",
            "listening http://x:1",
        ] {
            assert!(address_in(wrong, "listening http").is_err(), "{wrong}");
        }
        let has_gateway =
            |name, dials: &[_]| dialled(name, dials).is_some_and(|profile| profile.has_gateway());
        let wide = [("gateway.worker_connections".to_owned(), "0".to_owned())];
        assert!(has_gateway("gateway-single", &[]) && !has_gateway("gateway-single", &wide));
        assert!(!has_gateway("baseline", &[]) && !has_gateway("no such", &[]));
    }

    #[test]
    fn the_words_name_every_address_of_a_host_that_has_several() {
        let at = |last: u8| SocketAddr::from(([10, 0, 0, last], 80));
        let found = |others: &[u8], silent: &[u8]| Resolved {
            first: at(1),
            others: others.iter().copied().map(at).collect(),
            silent: silent.iter().copied().map(at).collect(),
        };
        assert_eq!(addresses(&found(&[], &[])), "");
        assert_eq!(addresses(&found(&[2], &[])), " at 10.0.0.1:80, 10.0.0.2:80");
        assert_eq!(
            addresses(&found(&[], &[2, 3])),
            " at 10.0.0.1:80; no connection to 10.0.0.2:80, 10.0.0.3:80"
        );
    }
}
