//! WebSockets against tokio-tungstenite's server and against servers that break off.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use futures_util::{SinkExt, StreamExt};
use plimsoll::clock::Clock;
use plimsoll::limits;
use plimsoll::transport::websocket::{Upgrade, WebSocket, WsError, open};
use plimsoll::transport::{Address, Buffers, TransportError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use transport_subjects::{answering, free_addr, read_request, scripted};

/// Insists on what the test's client must have sent.
struct Insist;

impl Callback for Insist {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        assert_eq!(request.uri().path_and_query().unwrap().as_str(), "/ws?token=1");
        assert_eq!(request.headers()["x-test"], "yes");
        assert_eq!(request.headers()["sec-websocket-protocol"], "shop.v1");
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("shop.v1"));
        Ok(response)
    }
}

/// A server for one connection.
async fn serving<F>(script: impl FnOnce(WebSocketStream<TcpStream>) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        script(tokio_tungstenite::accept_hdr_async(socket, Insist).await.unwrap()).await;
    });
    addr
}

async fn client(addr: SocketAddr) -> Result<WebSocket, WsError> {
    let headers = [("x-test".to_owned(), "yes".to_owned())];
    let address = Address::new("127.0.0.1", addr.port(), addr, None);
    let upgrade = Upgrade { path: "/ws?token=1", headers: &headers, subprotocol: Some("shop.v1") };
    open(&address, None, upgrade, drop, &Buffers::new(), Clock::start()).await
}

#[tokio::test]
async fn messages_go_both_ways_and_pings_are_answered_unseen() {
    let addr = serving(|mut server| async move {
        while let Some(Ok(message)) = server.next().await {
            match message {
                Message::Text(text) if text == "ping me" => {
                    server.send(Message::Ping(Bytes::from_static(b"42"))).await.unwrap();
                }
                Message::Pong(payload) => {
                    let echo = String::from_utf8(payload.to_vec()).unwrap();
                    server.send(Message::text(format!("pong {echo}"))).await.unwrap();
                }
                other if other.is_text() || other.is_binary() => server.send(other).await.unwrap(),
                _ => {}
            }
        }
    })
    .await;
    let mut socket = client(addr).await.unwrap();
    assert!(socket.sent_ns <= socket.opened_ns);
    socket.send_text("hello").await.unwrap();
    let message = socket.next().await.unwrap();
    assert_eq!(message.text(), Some("hello"));
    assert!(message.received_ns >= socket.opened_ns);
    socket.send_binary(vec![0, 159, 146, 150]).await.unwrap();
    let message = socket.next().await.unwrap();
    assert_eq!((message.text(), message.bytes()), (None, &[0, 159, 146, 150][..]));
    socket.send_text("ping me").await.unwrap();
    assert_eq!(socket.next().await.unwrap().text(), Some("pong 42"));
    let large = "x".repeat(limits::WEBSOCKET_MESSAGE_BYTES_MAX - 1);
    socket.send_text(large.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().text(), Some(large.as_str()));
    socket.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn giving_up_on_a_message_loses_nothing() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let addr = serving(|mut server| async move {
        told.await.unwrap();
        server.send(Message::text("late")).await.unwrap();
        let _ = server.next().await;
    })
    .await;
    let mut socket = client(addr).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(5), socket.next()).await.is_err());
    tell.send(()).unwrap();
    assert_eq!(socket.next().await.unwrap().text(), Some("late"));
}

#[tokio::test]
async fn the_server_may_close_with_a_code() {
    let addr = serving(|mut server| async move {
        let frame = CloseFrame { code: CloseCode::Library(4001), reason: "enough".into() };
        server.close(Some(frame)).await.unwrap();
        while server.next().await.is_some() {}
    })
    .await;
    let mut socket = client(addr).await.unwrap();
    assert_eq!(socket.next().await, Err(WsError::Closed { code: 4001 }));
    assert!(socket.send_text("too late").await.is_err());
}

#[tokio::test]
async fn closing_is_bounded_even_if_the_server_hangs_or_babbles() {
    let silent = serving(|server| async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(server);
    })
    .await;
    let socket = client(silent).await.unwrap();
    assert_eq!(socket.close(Duration::from_millis(50)).await, Err(WsError::Io(io::ErrorKind::TimedOut)));
}

#[tokio::test]
async fn messages_are_bounded() {
    let addr = serving(|mut server| async move {
        let _ = server.send(Message::text("x".repeat(limits::WEBSOCKET_MESSAGE_BYTES_MAX + 1))).await;
        let _ = server.next().await;
    })
    .await;
    assert_eq!(client(addr).await.unwrap().next().await, Err(WsError::MessageTooLarge));
}

#[tokio::test]
async fn breaking_off_is_a_reset() {
    let addr = serving(|server| async move { drop(server) }).await;
    assert_eq!(client(addr).await.unwrap().next().await, Err(WsError::Reset));
}

#[tokio::test]
async fn handshakes_that_fail_say_why() {
    let refused =
        client(answering("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")).await.unwrap_err();
    assert_eq!(refused, WsError::Refused { status: 401 });
    let closed = client(scripted(1, |mut socket| {
        read_request(&mut socket);
    }));
    assert_eq!(closed.await.unwrap_err(), WsError::Reset);
    assert_eq!(client(free_addr()).await.unwrap_err(), WsError::Connect(TransportError::Refused));
    let garbage = client(scripted(1, |mut socket| {
        read_request(&mut socket);
        let _ = socket.write_all(b"SSH-2.0-OpenSSH\r\n\r\n");
    }));
    assert_eq!(garbage.await.unwrap_err().kind(), "malformed");
    let wrong_key = client(answering(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: no\r\n\r\n",
    ));
    assert_eq!(wrong_key.await.unwrap_err().kind(), "malformed");
    let address = Address::new("127.0.0.1", 9, free_addr(), None);
    let headers = [("bad name".to_owned(), "x".to_owned())];
    let upgrade = Upgrade { headers: &headers, ..Upgrade::to("/") };
    let error = open(&address, None, upgrade, drop, &Buffers::new(), Clock::start()).await.unwrap_err();
    assert_eq!(error, WsError::Header { name: "bad name".into() });
}
