//! No socket outlives its connection, however the exchange ended. A test program of its own: it counts the process's descriptors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use plimsoll::transport::{HttpVersion, connect, sse, websocket};
use std::io::Write;
use std::time::Duration;
use transport_subjects::frames::{GOAWAY, Peer, RST_STREAM, peer};
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
