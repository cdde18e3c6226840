//! TLS towards the clients: version 1.3 and nothing older, HTTP/1.1 inside. A handshake has a bounded time, or whoever opens
//! connections and says nothing would hold a descriptor each for as long as they like.

mod identity;

pub(crate) use identity::{Identity, IdentityError};

use std::io;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec};
use rustls::crypto::ring;
use rustls::{PeerIncompatible, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::metrics::Maker;
use crate::profile;

/// What is spoken inside (RFC 7301).
const ALPN: &[u8] = b"http/1.1";

/// What TLS counts.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    handshakes: IntCounter,
    failures: IntCounterVec,
}

impl Figures {
    pub(crate) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let failures = make.counters(
            "tls_handshake_failures_total",
            "Handshakes that came to nothing, by their reason.",
            &["reason"],
        )?;
        for failure in Failure::ALL {
            failures.with_label_values(&[failure.name()]);
        }
        Ok(Self { handshakes: make.count("tls_handshakes_total", "Handshakes completed.")?, failures })
    }
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It took too long.
    Timeout,
    /// The client speaks no TLS 1.3.
    Version,
    /// The client speaks no HTTP/1.1 inside.
    Alpn,
    /// The client went away, or does not trust the certificate and says so.
    Client,
    /// What came is no TLS, or broken.
    Protocol,
}

impl Failure {
    const ALL: [Self; 5] = [Self::Timeout, Self::Version, Self::Alpn, Self::Client, Self::Protocol];

    fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Version => "version",
            Self::Alpn => "alpn",
            Self::Client => "client",
            Self::Protocol => "protocol",
        }
    }

    /// Whether it was the app that refused.
    pub(crate) fn refused(self) -> bool {
        self != Self::Client
    }

    fn of(error: &io::Error) -> Self {
        use rustls::Error;
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::Tls12NotOffered,
            )) => Self::Version,
            Some(Error::NoApplicationProtocol) => Self::Alpn,
            Some(Error::AlertReceived(_)) | None => Self::Client,
            Some(_) => Self::Protocol,
        }
    }
}

/// Shakes hands with clients.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    timeout: Duration,
    figures: Figures,
}

impl Tls {
    pub(crate) fn new(
        identity: &Identity,
        dials: &profile::Tls,
        figures: Figures,
    ) -> Result<Self, IdentityError> {
        let (chain, key) = identity.read()?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(IdentityError::Unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(IdentityError::Unfit)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            timeout: Duration::from_millis(dials.handshake_timeout_ms),
            figures,
        })
    }

    pub(crate) async fn shake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let shaken = match tokio::time::timeout(self.timeout, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Failure::of(&error)),
            Err(_) => Err(Failure::Timeout),
        };
        match &shaken {
            Ok(_) => self.figures.handshakes.inc(),
            Err(failure) => self.figures.failures.with_label_values(&[failure.name()]).inc(),
        }
        shaken
    }
}
