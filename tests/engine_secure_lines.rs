//! Lines under TLS: what holds of sockets and event streams in clear text holds of `wss` and of streams over `https`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use rustls::pki_types::PrivateKeyDer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use tokio_rustls::TlsAcceptor;
use transport_subjects::lines::{OPENING, hear, push, say, server, switch};
use transport_subjects::shard::{Ran, one_user_of};

/// Ends the TLS of every connection and hands what is in it on to `plain`, and back. Yields its address and the certificate to trust.
fn behind_tls(plain: SocketAddr) -> (SocketAddr, tempfile::NamedTempFile) {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), issued.cert.pem()).unwrap();
    let secret = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], secret)
        .unwrap();
    // Lines are opened in HTTP/1.1 whatever else is on offer.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut near) = acceptor.accept(socket).await else { return };
                    let Ok(mut far) = tokio::net::TcpStream::connect(plain).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
    });
    (told.recv().unwrap(), file)
}

/// One user goes through `steps` once.
fn one_user(plain: SocketAddr, steps: &str) -> Ran {
    let (addr, ca) = behind_tls(plain);
    let (at, ca) = (format!("localhost:{}", addr.port()), ca.path().display());
    let target = format!("http: \"https://{at}\", ws: \"wss://{at}\", tls: {{ca: \"{ca}\"}}, timeout: 2s");
    one_user_of(addr, &target, steps)
}

#[test]
fn a_socket_asks_and_is_answered_and_listens() {
    let (plain, _) = server(|head, _, socket| {
        say(socket, &switch(head));
        let (_, asked) = hear(socket).unwrap();
        push(socket, &asked);
        for seq in [1, 2, 5] {
            push(socket, &format!(r#"{{"seq":{seq}}}"#));
        }
        let _ = hear(socket);
    });
    let ran = one_user(
        plain,
        "      - {ws_open: /ws}\n      - {ws_send: {type: hello}}\n      - {ws_expect: {type: hello}, name: reply}\n      - {ws_listen: 500ms, name: tick, sequence: $.seq}\n      - ws_close:\n",
    );
    assert_eq!((ran.completed("WS /ws", "ws"), ran.completed("reply", "ws")), (1, 1), "{:?}", ran.failures());
    let requests = ran.sum.requests;
    assert_eq!((requests.tls_handshakes, requests.streams.missing), (1, 2), "{requests:?}");
}

#[test]
fn an_event_stream_brings_what_is_waited_for() {
    let (plain, _) = server(|_, _, socket| {
        say(socket, OPENING);
        say(socket, "event: other\ndata: {}\n\nevent: done\ndata: {\"n\": 1}\n\n");
        let _ = hear(socket);
    });
    let ran = one_user(
        plain,
        "      - {sse_open: /events}\n      - {sse_expect: , event: done, name: done}\n      - sse_close:\n",
    );
    assert_eq!(
        (ran.completed("SSE /events", "sse"), ran.completed("done", "sse")),
        (1, 1),
        "{:?}",
        ran.failures()
    );
    assert_eq!((ran.sum.requests.failed, ran.sum.requests.tls_handshakes), (0, 1), "{:?}", ran.sum.requests);
}
