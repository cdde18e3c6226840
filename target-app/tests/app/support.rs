//! A running app and a client for it.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustix::process::Pid;
use serde_json::Value;
use target_app::profile::Profile;
use target_app::{Protections, ServeError, Serving};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Speaks HTTP to one app.
#[derive(Clone)]
pub(crate) struct Remote {
    pub(crate) address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e} in {:?}", self.text))
    }

    /// The word of a problem.
    pub(crate) fn error(&self) -> String {
        let problem = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem["status"], self.status.as_u16());
        assert!(
            problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()),
            "{problem} has no detail"
        );
        problem["error"].as_str().unwrap().to_owned()
    }
}

impl Remote {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// The same app, asked from another address of this machine.
    pub(crate) fn from(&self, local: IpAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(local));
        Self { address: self.address, client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        self.exchange(request).await.unwrap()
    }

    /// None when there came no whole answer.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let response = self.client.request(request).await.ok()?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some(Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() })
    }

    /// None when there came no whole answer.
    pub(crate) async fn try_get(&self, path: &str) -> Option<Answer> {
        let request = Request::get(format!("http://{}{path}", self.address));
        self.exchange(request.body(Full::default()).unwrap()).await
    }

    /// None when there came no whole answer.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        let request = Request::post(format!("http://{}{path}", self.address));
        let request = request.header("content-type", "application/json").body(Full::from(body.to_string()));
        self.exchange(request.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[("content-type", "application/json")], &body.to_string()).await
    }

    pub(crate) async fn scrape(&self) -> Scrape {
        let answer = self.get("/metrics").await;
        assert_eq!(answer.status, StatusCode::OK);
        Scrape(answer.text)
    }

    /// Scrapes until the condition holds; the test's own time limit is the bound.
    pub(crate) async fn scrape_until(&self, condition: impl Fn(&Scrape) -> bool) -> Scrape {
        for _ in 0..2_000 {
            // A replica that is told to stop closes the connection.
            let request = Request::get(format!("http://{}/metrics", self.address));
            if let Some(answer) = self.exchange(request.body(Full::default()).unwrap()).await
                && answer.status == StatusCode::OK
                && let scrape = Scrape(answer.text)
                && condition(&scrape)
            {
                return scrape;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("it never came about");
    }
}

/// Metrics of one instant.
#[derive(Debug)]
pub(crate) struct Scrape(pub(crate) String);

impl Scrape {
    /// The sum of all series of that name whose labels contain each of these texts.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let mut found = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (this, rest) = series.split_once('{').unwrap_or((series, ""));
            (this == name && labels.iter().all(|label| rest.contains(label)))
                .then(|| value.parse::<f64>().unwrap())
        });
        // A series that has not been touched yet is not there, which is a zero.
        let first = found.next().unwrap_or(0.0);
        first + found.sum::<f64>()
    }
}

/// An app in this process.
pub(crate) struct Running {
    pub(crate) remote: Remote,
    stop: oneshot::Sender<()>,
    end: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// `baseline` with these dials, on a free port.
    pub(crate) async fn with(dials: &[&str]) -> Self {
        Self::of("baseline", dials).await
    }

    /// Any profile with these dials, on a free port.
    pub(crate) async fn of(profile: &str, dials: &[&str]) -> Self {
        Self::served(profile, dials, |serving| serving).await
    }

    /// The same, which asks these servers when it needs a Redis.
    pub(crate) async fn asking(redis: &[&str], profile: &str, dials: &[&str]) -> Self {
        let redis = redis.iter().map(|url| (*url).to_owned()).collect();
        Self::served(profile, dials, |serving| Serving { redis, ..serving }).await
    }

    /// And with what its protections are given.
    pub(crate) async fn protected(profile: &str, dials: &[&str], protections: Protections) -> Self {
        Self::served(profile, dials, |serving| Serving { protections, ..serving }).await
    }

    /// The same over this store.
    #[cfg(feature = "mongodb")]
    pub(crate) async fn over(store: target_app::Backend, profile: &str, dials: &[&str]) -> Self {
        Self::served(profile, dials, |serving| Serving { store, ..serving }).await
    }

    async fn served(
        profile: &str,
        dials: &[&str],
        with: impl for<'a> FnOnce(Serving<'a>) -> Serving<'a> + Send + 'static,
    ) -> Self {
        let profile = Profile::named(profile).unwrap().with_dials(dials).unwrap();
        let (bound, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let end = tokio::spawn(async move {
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let serving = with(Serving::alone(&profile, listen));
            target_app::serve(serving, |at| bound.send(at).unwrap(), async { drop(stopped.await) }).await
        });
        Self { remote: Remote::at(address.await.unwrap()), stop, end }
    }

    /// Quick operations and free CPU, where neither is what the test is about.
    pub(crate) async fn quick() -> Self {
        Self::with(&["mongodb.service_time_ms=1"]).await
    }

    /// Asks it to stop; resolves when it has.
    pub(crate) async fn stop(self) -> Result<(), ServeError> {
        self.stop.send(()).unwrap();
        self.end.await.unwrap()
    }
}

/// An app as processes of their own, under a supervisor; stopped when the test ends.
pub(crate) struct Fleet {
    pub(crate) child: Child,
    pub(crate) remote: Remote,
    /// Where replicas behind a gateway tell their metrics.
    pub(crate) inner: Option<Remote>,
}

impl Fleet {
    /// This profile with these dials on a free port, with more arguments.
    pub(crate) fn serving(profile: &str, dials: &[&str], arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_target-app"));
        command.args(["serve", profile, "--listen", "127.0.0.1:0", "--exit-with-stdin"]).args(arguments);
        command.args(dials.iter().flat_map(|dial| ["--dial", dial]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = |word: &str| {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            let url = line.strip_prefix(word).and_then(|rest| rest.trim_end().strip_prefix(" http://"));
            Remote::at(url.expect(&line).parse().unwrap())
        };
        let remote = said("listening");
        let gateway = dials.iter().any(|dial| dial.starts_with("gateway.worker_connections"));
        let inner = gateway.then(|| said("metrics"));
        child.stdout = Some(out.into_inner());
        Self { child, remote, inner }
    }

    /// The processes under the supervisor.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        children(self.child.id())
    }
}

/// The processes that this one has started and that live.
pub(crate) fn children(pid: u32) -> Vec<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect()
}

impl Drop for Fleet {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
