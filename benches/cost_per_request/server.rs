//! The subjects: a server on bare epoll that answers every read with the same response, so that the generator is what is measured,
//! the same under TLS and over HTTP/2, a WebSocket server that echoes, and one of event streams.

use futures_util::{SinkExt, StreamExt};
use rustix::event::epoll;
use rustls::pki_types::PrivateKeyDer;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// As long as what a usual server says around two bytes.
pub(crate) const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nserver: bench\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok";

/// A page of 24 items in JSON, and the cookie of a session.
pub(crate) fn items() -> Vec<u8> {
    let item = |n: u32| format!(r#"{{"id": {n}, "name": "item {n}", "price": {}}}"#, f64::from(n) / 2.0);
    let body = format!(r#"{{"items": [{}]}}"#, (0..24).map(item).collect::<Vec<_>>().join(", "));
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: session=0123456789abcdef0123456789abcdef; path=/\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// Answers every read with `response`.
pub(crate) fn http(response: &[u8]) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(u64::MAX), epoll::EventFlags::IN)?;
    println!("{}", listener.local_addr()?);
    let mut sockets: HashMap<u64, TcpStream> = HashMap::new();
    let mut next = 0;
    let mut buffer = [0; 4096];
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let id = event.data.u64();
            if id == u64::MAX {
                while let Ok((socket, _)) = listener.accept() {
                    socket.set_nonblocking(true)?;
                    socket.set_nodelay(true)?;
                    epoll::add(&poll, &socket, epoll::EventData::new_u64(next), epoll::EventFlags::IN)?;
                    sockets.insert(next, socket);
                    next += 1;
                }
            } else if let Some(socket) = sockets.get_mut(&id) {
                let open = match socket.read(&mut buffer) {
                    Ok(0) => false,
                    Ok(_) => socket.write_all(response).is_ok(),
                    Err(error) => error.kind() == ErrorKind::WouldBlock,
                };
                if !open {
                    sockets.remove(&id);
                }
            }
        }
    }
}

/// The same response under TLS, with a certificate made for the occasion.
pub(crate) fn tls() -> Outcome {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let secret = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], secret)?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    each_connection(move |socket| {
        let accepting = acceptor.accept(socket);
        async move {
            let Ok(mut stream) = accepting.await else { return };
            let mut buffer = [0; 1024];
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                if stream.write_all(RESPONSE).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        }
    })
}

pub(crate) fn websocket() -> Outcome {
    each_connection(|socket| async move {
        let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
        let accepted = tokio_tungstenite::accept_async_with_config(socket, Some(config)).await;
        let Ok(mut socket) = accepted else { return };
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

/// Answers every stream with two bytes.
pub(crate) fn http2() -> Outcome {
    each_connection(|socket| async move {
        let Ok(mut connection) = h2::server::handshake(socket).await else { return };
        while let Some(Ok((_request, mut answer))) = connection.accept().await {
            if let Ok(mut body) = answer.send_response(http::Response::new(()), false) {
                let _ = body.send_data(Bytes::from_static(b"ok"), true);
            }
        }
    })
}

/// Answers every request with an event stream of one event, which stays open.
pub(crate) fn events() -> Outcome {
    const BEGINNING: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nid: 1\ndata: ready\n\n";
    each_connection(|mut socket| async move {
        let mut buffer = [0; 1024];
        while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {
            if socket.write_all(BEGINNING).await.is_err() {
                return;
            }
        }
    })
}

fn each_connection<F>(serve: impl Fn(tokio::net::TcpStream) -> F) -> Outcome
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            tokio::spawn(serve(listener.accept().await?.0));
        }
    })
}
