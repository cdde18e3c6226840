//! No socket outlives its connection, however the exchange ended. A test program of its own: it counts the process's descriptors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use plimsoll::transport::tls::{Tls, Trust};
use plimsoll::transport::{Address, HttpVersion, TlsFailure, TransportError, connect, sse, websocket};
use std::io::{Read, Write};
use std::time::Duration;
use transport_subjects::frames::{GOAWAY, Peer, RST_STREAM, peer};
use transport_subjects::secure::{issue, shake};
use transport_subjects::{Client, GET, open_descriptors, read_request, reset, scripted};

#[tokio::test]
async fn every_ending_closes_the_socket() {
    let mut turn = 0;
    let addr = scripted(300, move |mut socket| {
        turn += 1;
        match turn % 9 {
            0 => drop(socket),
            1 => reset(socket),
            2 => {
                read_request(&mut socket);
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
            3 => {
                read_request(&mut socket);
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nok");
            }
            4 => {
                let _ = socket.write_all(b"garbage");
            }
            5 => {
                read_request(&mut socket);
                let _ = socket
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: a\n\ndata");
            }
            6 => {
                read_request(&mut socket);
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nzz");
            }
            // Never answers: the client gives up.
            _ => while read_request(&mut socket) {},
        }
    });
    let client = Client::new(addr);
    // The runtime's own descriptors exist from its first use.
    let _ = connect(&client.address, None).await;
    let before = open_descriptors();
    for turn in 1..300 {
        if turn % 3 == 0 {
            let opening = sse::open(&client.address, None, GET, drop, &client.buffers, client.clock);
            let reading = async {
                let mut stream = opening.await?;
                while stream.next().await.is_ok() {}
                Ok::<_, sse::SseError>(())
            };
            let _ = tokio::time::timeout(Duration::from_millis(5), reading).await;
        } else if turn % 7 == 0 {
            let upgrade = websocket::Upgrade::to("/");
            let opening =
                websocket::open(&client.address, None, upgrade, drop, &client.buffers, client.clock);
            let _ = tokio::time::timeout(Duration::from_millis(5), opening).await;
        } else if let Ok(mut connection) = connect(&client.address, None).await {
            let _ = tokio::time::timeout(Duration::from_millis(5), client.get(&mut connection)).await;
        }
    }
    all_closed(before).await;
    tokio::task::LocalSet::new().run_until(every_ending_of_http_2()).await;
    all_closed(before).await;
    every_ending_of_tls().await;
    all_closed(before).await;
}

/// The server's side is in this process too; it closes within a moment of the client.
async fn all_closed(before: usize) {
    for _ in 0..100 {
        if open_descriptors() <= before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(open_descriptors() <= before, "{} descriptors, {before} before", open_descriptors());
}

async fn every_ending_of_http_2() {
    let mut turn = 0;
    let addr = peer(200, &[], move |peer| {
        turn += 1;
        let stream = if turn % 7 == 0 { 0 } else { peer.request() };
        match turn % 7 {
            0 | 1 => {}
            2 => reset(peer.socket.try_clone().unwrap()),
            3 => peer.answer(stream, b"ok"),
            4 => peer.send(RST_STREAM, 0, stream, &Peer::words(&[2])),
            5 => peer.send(GOAWAY, 0, 0, &Peer::words(&[0, 0])),
            // Never answers: the client gives up.
            _ => peer.listen(),
        }
    });
    let mut client = Client::new(addr);
    client.address = client.address.speaking(HttpVersion::Http2);
    for turn in 0..200 {
        let Ok(mut connection) = connect(&client.address, None).await else { continue };
        // Some are dropped without a request, and so without a driver.
        if turn % 7 != 6 {
            let _ = tokio::time::timeout(Duration::from_millis(5), client.get(&mut connection)).await;
        }
    }
}

async fn every_ending_of_tls() {
    let (issued, stranger) = (issue(&["localhost"], false), issue(&["stranger.example"], false));
    let mut turn = 0;
    let addr = scripted(200, move |mut socket| {
        turn += 1;
        match turn % 12 {
            0 => return drop(socket),
            1 => return reset(socket),
            2 => return socket.write_all(b"220 mail.example ESMTP\r\n").unwrap_or_default(),
            // Silent in the handshake: the client gives up.
            3 => return while socket.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {},
            _ => {}
        }
        let Some(mut stream) = shake(&issued.config, socket) else { return };
        if !stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
            return;
        }
        let mut tell = |text: &str| {
            let _ = stream.write_all(text.as_bytes());
            let _ = stream.flush();
        };
        match turn % 12 {
            4 => {}
            5 => reset(stream.sock.try_clone().unwrap()),
            6 | 7 => tell("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
            8 => tell("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: a\n\ndata"),
            9 => {
                tell("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nok");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
            10 => stream.sock.write_all(b"in clear text").unwrap_or_default(),
            // Never answers: the client gives up.
            _ => while stream.sock.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {},
        }
    });
    let client = |trust: &Trust| {
        let mut client = Client::new(addr);
        let tls = Tls::new("localhost", trust).unwrap();
        client.address = Address::new("localhost", addr.port(), addr, Some(tls));
        client
    };
    let (trusting, wary) = (client(&Trust::Any), client(&Trust::Roots(vec![stranger.certificate])));
    let (mut answered, mut refused) = (0, 0);
    for turn in 0..200 {
        let client = if turn % 7 == 0 { &wary } else { &trusting };
        // A handshake is work for both ends, who may have one core between them.
        let going = tokio::time::timeout(Duration::from_millis(50), async {
            if turn % 5 == 0 {
                let mut stream =
                    sse::open(&client.address, None, GET, drop, &client.buffers, client.clock).await.ok()?;
                while stream.next().await.is_ok() {}
                return None;
            }
            match connect(&client.address, None).await {
                Ok(mut connection) => client.get(&mut connection).await.ok().map(|_| true),
                Err(error) => (error == TransportError::Tls(TlsFailure::UnknownIssuer)).then_some(false),
            }
        });
        match going.await {
            Ok(Some(true)) => answered += 1,
            Ok(Some(false)) => refused += 1,
            Ok(None) | Err(_) => {}
        }
    }
    assert!(answered > 0 && refused > 0, "{answered} were answered, {refused} have refused a certificate");
}
