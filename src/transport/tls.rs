//! TLS 1.2 and 1.3 towards the target: rustls with ring, the operating system's trusted roots or those given, a client certificate where
//! the server wants one, and session resumption as browsers have it. Built once before the run; a handshake that fails in the run is a [`super::TlsFailure`].

use super::connection::HttpVersion;
use super::stamp::Socket;
use super::tickets::Tickets;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Which server certificates are accepted.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those that the operating system's roots vouch for (`SSL_CERT_FILE` names others).
    System,
    /// Those that these roots vouch for.
    Roots(Vec<CertificateDer<'static>>),
    /// Any: `tls: {verify: false}`. The traffic is encrypted towards whoever answers.
    Any,
}

/// How TLS is to be spoken.
#[derive(Clone, Debug)]
pub struct Rules {
    pub trust: Trust,
    /// Shown to a server that asks for one.
    pub client: Option<Arc<Identity>>,
    /// At least one of the two.
    pub tls12: bool,
    pub tls13: bool,
    /// The name to ask for and to find in the certificate, instead of the host connected to.
    pub server_name: Option<String>,
    /// Reconnecting takes up a session of an earlier connection of the shard.
    pub resumption: bool,
}

/// A client's certificate, with those that lead to its issuer after it, and its key.
#[derive(Debug)]
pub struct Identity {
    pub certificates: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Rules {
    pub fn trusting(trust: Trust) -> Self {
        Self { trust, client: None, tls12: true, tls13: true, server_name: None, resumption: true }
    }
}

#[derive(Debug, Error)]
pub enum TlsSetupError {
    #[error("`{host}` is not a name a certificate can be for")]
    Name { host: String },
    #[error(
        "no trusted root certificate found on this machine ({detail}): install the ca-certificates package, set SSL_CERT_FILE, or set tls: {{verify: false}}"
    )]
    NoRoots { detail: String },
    #[error("the client certificate and its key do not serve: {0}")]
    Identity(rustls::Error),
    #[error("TLS set-up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// What a connection needs to speak TLS to one host.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    resumption: bool,
}

impl Tls {
    /// By the usual rules.
    ///
    /// # Errors
    /// As [`Self::with_rules`].
    pub fn new(host: &str, trust: &Trust) -> Result<Self, TlsSetupError> {
        Self::with_rules(host, &Rules::trusting(trust.clone()))
    }

    /// # Errors
    /// When the name cannot be in a certificate, the machine has no trusted roots, or the client certificate does not serve.
    pub fn with_rules(host: &str, rules: &Rules) -> Result<Self, TlsSetupError> {
        let host = rules.server_name.as_deref().unwrap_or(host);
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|_| TlsSetupError::Name { host: host.to_owned() })?;
        Ok(Self { config: Arc::new(client_config(rules)?), name, resumption: rules.resumption })
    }

    /// The same with a session store of its own, so that shards do not meet at its lock.
    pub fn for_shard(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = resumption(self.resumption);
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// Shakes hands on a connected socket, offering by ALPN what this version of HTTP needs.
    pub(super) async fn shake(
        &self,
        socket: TcpStream,
        version: HttpVersion,
    ) -> io::Result<TlsStream<Socket>> {
        let protocols = match version {
            HttpVersion::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
            HttpVersion::Http2 => vec![b"h2".to_vec()],
        };
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.with_alpn(protocols).connect(self.name.clone(), Socket::new(socket)).await
    }
}

fn client_config(rules: &Rules) -> Result<ClientConfig, TlsSetupError> {
    let provider = Arc::new(ring::default_provider());
    let versions: Vec<_> = [(rules.tls12, &TLS12), (rules.tls13, &TLS13)]
        .into_iter()
        .filter(|(on, _)| *on)
        .map(|(_, v)| v)
        .collect();
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions)?;
    let builder = match &rules.trust {
        Trust::Any => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
        }
        Trust::System => builder.with_root_certificates(system_roots()?),
        Trust::Roots(certificates) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(certificate.clone())?;
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| TlsSetupError::NoRoots { detail: error.to_string() })?;
            builder.with_webpki_verifier(verifier)
        }
    };
    let mut config = match &rules.client {
        None => builder.with_no_client_auth(),
        Some(client) => builder
            .with_client_auth_cert(client.certificates.clone(), client.key.clone_key())
            .map_err(TlsSetupError::Identity)?,
    };
    config.resumption = resumption(rules.resumption);
    Ok(config)
}

fn resumption(wanted: bool) -> Resumption {
    if wanted { Resumption::store(Arc::new(Tickets::default())) } else { Resumption::disabled() }
}

fn system_roots() -> Result<RootCertStore, TlsSetupError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A machine's store may hold certificates that rustls cannot read; the readable ones still serve.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let detail =
            found.errors.first().map_or_else(|| "its store is empty".to_owned(), ToString::to_string);
        return Err(TlsSetupError::NoRoots { detail });
    }
    Ok(roots)
}

/// Accepts whatever certificate comes, but still checks that the peer holds its key, which costs what it costs in production.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_the_run() {
        let any = Trust::Any;
        assert!(Tls::new("shop.example", &any).is_ok());
        assert!(Tls::new("127.0.0.1", &any).is_ok());
        assert!(Tls::new("[::1]", &any).is_ok());
        let error = Tls::new("not a name", &any).unwrap_err();
        assert_eq!(error.to_string(), "`not a name` is not a name a certificate can be for");
        assert!(matches!(
            Tls::new("a.example", &Trust::Roots(Vec::new())),
            Err(TlsSetupError::NoRoots { .. })
        ));
    }

    #[test]
    fn shards_share_the_roots_but_not_the_sessions() {
        let tls = Tls::new("shop.example", &Trust::Any).unwrap();
        assert!(!Arc::ptr_eq(&tls.config, &tls.for_shard().config));
        assert_eq!(tls.for_shard().name, tls.name);
    }
}
