//! TLS towards the target: rustls with ring, the operating system's trusted roots, HTTP/1.1 by ALPN, and session resumption as
//! browsers have it. Built once before the run; a handshake that fails in the run is a [`super::TlsFailure`].

use super::connection::HttpVersion;
use crate::limits;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use thiserror::Error;
use tokio_rustls::TlsConnector;

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

#[derive(Debug, Error)]
pub enum TlsSetupError {
    #[error("`{host}` is not a name a certificate can be for")]
    Name { host: String },
    #[error(
        "no trusted root certificate found on this machine ({detail}): install the ca-certificates package, set SSL_CERT_FILE, or set tls: {{verify: false}}"
    )]
    NoRoots { detail: String },
    #[error("TLS set-up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// What a connection needs to speak TLS to one host.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// # Errors
    /// When `host` cannot be in a certificate, or the machine has no trusted roots.
    pub fn new(host: &str, trust: &Trust) -> Result<Self, TlsSetupError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|_| TlsSetupError::Name { host: host.to_owned() })?;
        Ok(Self { config: Arc::new(client_config(trust)?), name })
    }

    /// The same with a session store of its own, so that shards do not meet at its lock.
    pub fn for_shard(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(limits::TLS_TICKETS_PER_SHARD_MAX);
        Self { config: Arc::new(config), name: self.name.clone() }
    }

    /// Offers by ALPN what this version of HTTP needs.
    pub(super) fn offer(&mut self, version: HttpVersion) {
        Arc::make_mut(&mut self.config).alpn_protocols = match version {
            HttpVersion::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
            HttpVersion::Http2 => vec![b"h2".to_vec()],
        };
    }

    pub(super) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.config))
    }

    pub(super) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }
}

fn client_config(trust: &Trust) -> Result<ClientConfig, TlsSetupError> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let mut config = match trust {
        Trust::Any => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
            .with_no_client_auth(),
        Trust::System => builder.with_root_certificates(system_roots()?).with_no_client_auth(),
        Trust::Roots(certificates) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(certificate.clone())?;
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| TlsSetupError::NoRoots { detail: error.to_string() })?;
            builder.with_webpki_verifier(verifier).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(limits::TLS_TICKETS_PER_SHARD_MAX);
    Ok(config)
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
        assert!(Tls::new("shop.example", &Trust::Any).is_ok());
        assert!(Tls::new("127.0.0.1", &Trust::Any).is_ok());
        assert!(Tls::new("[::1]", &Trust::Any).is_ok());
        let error = Tls::new("not a name", &Trust::Any).unwrap_err();
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
