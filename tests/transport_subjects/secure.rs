//! Servers behind TLS: certificates made here, and what a real rustls server makes of them.

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub(crate) struct Issued {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
    /// A server that shows it, and speaks HTTP/1.1.
    pub(crate) config: Arc<ServerConfig>,
    pem: String,
    key_pem: String,
}

impl Issued {
    /// Certificate and key as files, for a scenario to name.
    pub(crate) fn files(&self) -> (TempDir, PathBuf, PathBuf) {
        let folder = TempDir::new().unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, &self.pem).unwrap();
        std::fs::write(&key, &self.key_pem).unwrap();
        (folder, certificate, key)
    }

    /// The same server with a rule of it changed.
    pub(crate) fn serving(&self, change: impl FnOnce(&mut ServerConfig)) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.config);
        change(&mut config);
        Arc::new(config)
    }
}

pub(crate) fn issue(names: &[&str], expired: bool) -> Issued {
    issue_with(names, |params| {
        // The subject is told apart too: a root of the same subject would be tried, and fail by its signature.
        params.distinguished_name.push(DnType::CommonName, format!("{names:?} expired={expired}"));
        if expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
    })
}

pub(crate) fn issue_with(names: &[&str], rules: impl FnOnce(&mut CertificateParams)) -> Issued {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    rules(&mut params);
    let key = KeyPair::generate().unwrap();
    let signed = params.self_signed(&key).unwrap();
    let certificate = signed.der().clone();
    let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], secret.clone_key())
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (pem, key_pem) = (signed.pem(), key.serialize_pem());
    Issued { certificate, key: secret, config: Arc::new(config), pem, key_pem }
}

/// A server that shows this and speaks these versions of TLS.
pub(crate) fn speaking(issued: &Issued, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.certificate.clone()], issued.key.clone_key())
        .unwrap();
    Arc::new(config)
}

/// A server that accepts clients of `client` only.
pub(crate) fn wanting(client: &Issued, server: &Issued) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(client.certificate.clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server.certificate.clone()], server.key.clone_key())
        .unwrap();
    Arc::new(config)
}

pub(crate) type Secured = StreamOwned<ServerConnection, std::net::TcpStream>;

/// Shakes hands on a socket, for a script to go on with; `None` if nothing comes of it.
pub(crate) fn shake(config: &Arc<ServerConfig>, socket: std::net::TcpStream) -> Option<Secured> {
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).ok()?;
    }
    Some(stream)
}

/// A handshake as the server has seen it.
#[derive(Debug)]
pub(crate) struct Shaken {
    pub(crate) kind: HandshakeKind,
    pub(crate) version: ProtocolVersion,
    /// The name that was asked for.
    pub(crate) name: Option<String>,
    pub(crate) alpn: Option<String>,
    /// The client has shown a certificate.
    pub(crate) known: bool,
}

/// Ends the TLS of every connection and hands what is in it on to `plain`, and back. Yields its address, and tells of every handshake.
pub(crate) fn behind_tls(plain: SocketAddr, config: Arc<ServerConfig>) -> (SocketAddr, Receiver<Shaken>) {
    let acceptor = TlsAcceptor::from(config);
    let (tell_address, address) = channel();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell_address.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (acceptor, tell) = (acceptor.clone(), tell.clone());
                tokio::spawn(async move {
                    let mut near = match acceptor.accept(socket).into_fallible().await {
                        Ok(near) => near,
                        Err((_refused, mut socket)) => {
                            // Closed with bytes unread it would be reset, and the alert that says why lost.
                            while socket.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {}
                            return;
                        }
                    };
                    let session = near.get_ref().1;
                    let _ = tell.send(Shaken {
                        kind: session.handshake_kind().unwrap(),
                        version: session.protocol_version().unwrap(),
                        name: session.server_name().map(ToOwned::to_owned),
                        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
                        known: session.peer_certificates().is_some(),
                    });
                    let Ok(mut far) = TcpStream::connect(plain).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
    });
    (address.recv().unwrap(), told)
}
