//! A gateway in this process, in front of whatever listens somewhere.

use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use target_app::ServeError;
use target_app::fleet::Membership;
use target_app::gateway::{Fronting, front};
use target_app::profile::Profile;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{Remote, Scrape};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Front {
    pub(crate) remote: Remote,
    directory: TempDir,
    stop: oneshot::Sender<()>,
    end: JoinHandle<Result<(), ServeError>>,
}

impl Front {
    /// `gateway-single` with these dials.
    pub(crate) async fn of(dials: &[&str], upstream: SocketAddr) -> Self {
        let profile = Profile::named("gateway-single").unwrap().with_dials(dials).unwrap();
        let directory = TempDir::new().unwrap();
        let fleet = Membership::new("gateway-0/1".parse().unwrap(), directory.path().to_owned());
        let (bound, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let end = tokio::spawn(async move {
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let dials = profile.dials();
            let fronting = Fronting { dials, listen, shared: false, upstream, fleet: Some(fleet) };
            front(fronting, |at| bound.send(at).unwrap(), async { drop(stopped.await) }).await
        });
        Self { remote: Remote::at(address.await.unwrap()), directory, stop, end }
    }

    pub(crate) async fn figures(&self) -> Scrape {
        let path = socket(&self.directory);
        let read = move || {
            let mut text = String::new();
            UnixStream::connect(path).unwrap().read_to_string(&mut text).unwrap();
            Scrape(text)
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    pub(crate) async fn figure(&self, name: &str) -> f64 {
        self.figures().await.sum(name, &[])
    }

    /// Waits until a figure is this.
    pub(crate) async fn until(&self, name: &str, value: f64) {
        for _ in 0..2_000 {
            if self.figure(name).await == value {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{name} did not come to {value}:\n{}", self.figures().await.0);
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Raw {
        Raw(TcpStream::connect(self.remote.address).await.unwrap())
    }

    pub(crate) async fn stop(self) -> Result<(), ServeError> {
        let _ = self.stop.send(());
        tokio::time::timeout(PATIENCE, self.end).await.unwrap().unwrap()
    }
}

fn socket(directory: &TempDir) -> PathBuf {
    directory.path().join("gateway-0.sock")
}

/// A connection on which anything can be said.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Asks for a path, and reads the answer's head and the body it announces.
    pub(crate) async fn get(&mut self, path: &str) -> String {
        self.say(&format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n")).await;
        self.answer().await
    }

    pub(crate) async fn answer(&mut self) -> String {
        let read = async {
            let mut bytes = Vec::new();
            loop {
                let text = String::from_utf8_lossy(&bytes).to_lowercase();
                if let Some(end) = text.find("\r\n\r\n") {
                    let length = text.split("content-length: ").nth(1).map_or(0, |rest| {
                        rest.split("\r\n").next().unwrap().trim().parse::<usize>().unwrap()
                    });
                    if bytes.len() >= end + 4 + length {
                        return String::from_utf8(bytes).unwrap();
                    }
                }
                let byte = self.0.read_u8().await.expect("the connection ended in mid-answer");
                bytes.push(byte);
            }
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap()
    }

    /// What comes until the other side closes.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A side that closes with something unread resets the connection.
        let _ = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

/// An app that answers as the test says.
pub(crate) async fn scripted(app: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }))
}
