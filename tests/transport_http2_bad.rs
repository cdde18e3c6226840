//! HTTP/2 servers that break off or break the rules: every way has its name, and none takes the client with it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use h2::Reason;
use plimsoll::transport::{
    Connection, ExchangeError, HttpVersion, Malformed, ResetWhile, TransportError, connect,
};
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::LocalSet;
use transport_subjects::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PUSH_PROMISE, Peer, RST_STREAM, STATUS_200,
    peer,
};
use transport_subjects::{Client, GET, KEEP, scripted};

fn client(addr: SocketAddr) -> Client {
    let mut client = Client::new(addr);
    client.address = client.address.speaking(HttpVersion::Http2);
    client
}

/// What becomes of one GET, and whether the connection is good for another.
async fn get(script: impl FnMut(&mut Peer) + Send + 'static) -> (Result<u16, ExchangeError>, bool) {
    let client = client(peer(1, &[], script));
    let mut connection = client.connect().await;
    let got = client.get(&mut connection).await.map(|exchange| exchange.status);
    (got, connection.is_intact())
}

#[tokio::test]
async fn broken_rules_are_protocol_errors() {
    let wrong = |reason| ExchangeError::Malformed(Malformed::Http2(reason));
    type Script = fn(&mut Peer);
    let cases: [(&str, Script, ExchangeError); 8] = [
        (
            "a frame longer than allowed",
            |peer| {
                let stream = peer.request();
                peer.send(DATA, 0, stream, &vec![0; 20_000]);
            },
            wrong(Reason::FRAME_SIZE_ERROR),
        ),
        (
            "a body before its head",
            |peer| {
                let stream = peer.request();
                peer.send(DATA, END_STREAM, stream, b"hello");
            },
            wrong(Reason::PROTOCOL_ERROR),
        ),
        (
            "a head that does not decode",
            |peer| {
                let stream = peer.request();
                peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &[0xff; 12]);
            },
            wrong(Reason::PROTOCOL_ERROR),
        ),
        (
            "a head that refers to an entry there is not",
            |peer| {
                let stream = peer.request();
                peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &[0x80 | 100]);
            },
            wrong(Reason::PROTOCOL_ERROR),
        ),
        (
            "a body longer than its content-length",
            |peer| {
                let stream = peer.request();
                // `content-length` is entry 28 of the static table.
                peer.send(HEADERS, END_HEADERS, stream, &[0x88, 0x0f, 13, 1, b'2']);
                peer.send(DATA, END_STREAM, stream, b"four");
            },
            wrong(Reason::PROTOCOL_ERROR),
        ),
        (
            "a push although it was forbidden",
            |peer| {
                let stream = peer.request();
                peer.send(PUSH_PROMISE, END_HEADERS, stream, &[0, 0, 0, 2, 0x82, 0x84, 0x86, 0x41, 1, b'a']);
            },
            wrong(Reason::PROTOCOL_ERROR),
        ),
        (
            "an answer on a stream that was never opened",
            |peer| {
                let stream = peer.request();
                peer.send(HEADERS, END_HEADERS | END_STREAM, stream + 2, STATUS_200);
            },
            wrong(Reason::PROTOCOL_ERROR),
        ),
        (
            "a head without end",
            |peer| {
                let stream = peer.request();
                let field = [&[0x00, 1, b'x', 0x7f, 0x81, 0x7c][..], &[b'y'; 16_000]].concat();
                peer.send(HEADERS, 0, stream, STATUS_200);
                for _ in 0..20 {
                    peer.send(CONTINUATION, 0, stream, &field);
                }
            },
            ExchangeError::HeadTooLarge,
        ),
    ];
    LocalSet::new()
        .run_until(async {
            for (what, script, expected) in cases {
                let (got, _) = get(move |peer| {
                    script(peer);
                    peer.listen();
                })
                .await;
                assert_eq!(got, Err(expected), "{what}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_head_too_large_ends_its_stream_only() {
    let (got, intact) = LocalSet::new()
        .run_until(get(|peer| {
            let stream = peer.request();
            let field = [&[0x00, 1, b'x', 0x7f, 0x81, 0x7c][..], &[b'y'; 16_000]].concat();
            peer.send(HEADERS, 0, stream, STATUS_200);
            for turn in 0..5 {
                let flags = if turn == 4 { END_HEADERS } else { 0 };
                peer.send(CONTINUATION, flags, stream, &field);
            }
            peer.listen();
        }))
        .await;
    assert_eq!((got, intact), (Err(ExchangeError::HeadTooLarge), true));
}

#[tokio::test]
async fn streams_are_reset_in_every_phase_and_the_connection_lives_on() {
    let reset = |begun: &'static [(u8, &'static [u8])], reason: Reason| {
        get(move |peer| {
            let stream = peer.request();
            for (kind, payload) in begun {
                peer.send(*kind, if *kind == HEADERS { END_HEADERS } else { 0 }, stream, payload);
            }
            peer.send(RST_STREAM, 0, stream, &Peer::words(&[reason.into()]));
            peer.listen();
        })
    };
    LocalSet::new()
        .run_until(async {
            let head: &[(u8, &[u8])] = &[(HEADERS, STATUS_200)];
            let part: &[(u8, &[u8])] = &[(HEADERS, STATUS_200), (DATA, b"part")];
            for begun in [&[], head, part] {
                let (got, intact) = reset(begun, Reason::INTERNAL_ERROR).await;
                assert_eq!((got, intact), (Err(ExchangeError::StreamReset(Reason::INTERNAL_ERROR)), true));
            }
            let (refused, intact) = reset(&[], Reason::REFUSED_STREAM).await;
            assert_eq!((refused, intact), (Err(ExchangeError::NotProcessed(Reason::REFUSED_STREAM)), true));
            assert!(refused.unwrap_err().not_processed());
        })
        .await;
}

#[tokio::test]
async fn a_server_that_leaves() {
    let goaway = |last: u32, reason: Reason| Peer::words(&[last, reason.into()]);
    LocalSet::new()
        .run_until(async {
            // Before it has looked at the request: it may be sent again elsewhere.
            let (got, intact) = get(move |peer| {
                peer.request();
                peer.send(GOAWAY, 0, 0, &goaway(0, Reason::NO_ERROR));
            })
            .await;
            assert_eq!((got, intact), (Err(ExchangeError::NotProcessed(Reason::NO_ERROR)), false));
            // In the middle of it: the answer still comes, and is the last.
            let (got, intact) = get(move |peer| {
                let stream = peer.request();
                peer.send(GOAWAY, 0, 0, &goaway(stream, Reason::NO_ERROR));
                peer.answer(stream, b"last");
                peer.listen();
            })
            .await;
            assert_eq!((got, intact), (Ok(200), false));
            // Or does not come.
            let (got, _) = get(move |peer| {
                let stream = peer.request();
                peer.send(GOAWAY, 0, 0, &goaway(stream, Reason::ENHANCE_YOUR_CALM));
            })
            .await;
            let error = got.unwrap_err();
            assert_eq!(error, ExchangeError::GoneAway(Reason::ENHANCE_YOUR_CALM));
            assert!(!error.answered_nothing(), "it may have been processed: {error}");
            // Without a word: before the answer, and in it.
            let (got, intact) = get(|peer| {
                peer.request();
            })
            .await;
            assert_eq!((got, intact), (Err(ExchangeError::ClosedBeforeResponse), false));
            let (got, _) = get(|peer| {
                let stream = peer.request();
                peer.send(HEADERS, END_HEADERS, stream, STATUS_200);
                peer.send(DATA, 0, stream, b"part");
            })
            .await;
            assert_eq!(got, Err(ExchangeError::ClosedInBody));
            let (got, _) = get(|peer| {
                peer.request();
                transport_subjects::reset(peer.socket.try_clone().unwrap());
            })
            .await;
            assert_eq!(got, Err(ExchangeError::Reset(ResetWhile::Waiting)));
        })
        .await;
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_has_sent_nothing() {
    let client = client(peer(1, &[], |peer| {
        let stream = peer.request();
        peer.answer(stream, b"ok");
    }));
    LocalSet::new()
        .run_until(async {
            let mut connection = client.connect().await;
            assert_eq!(client.get(&mut connection).await.unwrap().status, 200);
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(!connection.is_intact(), "seen while nobody used it");
            let error = client.get(&mut connection).await.unwrap_err();
            assert_eq!(error, ExchangeError::ClosedWhileIdle);
            assert!(error.sent_nothing());
        })
        .await;
}

/// Gives a request up after a while.
async fn hang(connection: &mut Connection, client: &Client, request: &[u8]) -> Option<&'static str> {
    let exchanging = connection.exchange(request, false, KEEP, &client.buffers, &client.clock);
    let elapsed = tokio::time::timeout(Duration::from_millis(300), exchanging).await;
    assert!(elapsed.is_err(), "{elapsed:?}");
    connection.gave_up_waiting();
    connection.waited_for()
}

#[tokio::test]
async fn what_hangs_says_where() {
    const POST: &[u8] = b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello";
    LocalSet::new()
        .run_until(async {
            // SETTINGS_INITIAL_WINDOW_SIZE 0, and no WINDOW_UPDATE ever.
            let shut = client(peer(1, &[(4, 0)], Peer::listen));
            let mut connection = shut.connect().await;
            let said = hang(&mut connection, &shut, POST).await;
            assert_eq!(
                said,
                Some("the server's flow-control window does not let the body of the request out")
            );

            // Half open: it takes everything and says nothing, so the connection is given up too.
            let silent = client(peer(1, &[], Peer::listen));
            let mut connection = silent.connect().await;
            // What it says of the settings shall not be heard after the request.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let said = hang(&mut connection, &silent, GET).await;
            assert_eq!(said, Some("the request is out, no answer has begun"));
            assert!(!connection.is_intact());

            // A user who leaves has not waited: that there was no answer yet says nothing of the connection.
            let asked = client(peer(1, &[], Peer::listen));
            let mut connection = asked.connect().await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let exchanging = connection.exchange(GET, false, KEEP, &asked.buffers, &asked.clock);
            assert!(tokio::time::timeout(Duration::from_millis(20), exchanging).await.is_err());
            assert_eq!(connection.waited_for(), Some("the request is out, no answer has begun"));
            assert!(connection.is_intact());

            // One answer is slow, others come: the stream is given up, told so, and the connection is not.
            let slow = client(peer(1, &[], |peer| {
                let slow = peer.request();
                peer.send(HEADERS, END_HEADERS, slow, STATUS_200);
                let cancelled = peer.wait_for(RST_STREAM).unwrap();
                assert_eq!(
                    (cancelled.stream, cancelled.payload),
                    (slow, Peer::words(&[Reason::CANCEL.into()]))
                );
                let next = peer.request();
                peer.send(DATA, END_STREAM, slow, b"late");
                peer.answer(next, b"ok");
                peer.listen();
            }));
            let mut connection = slow.connect().await;
            let said = hang(&mut connection, &slow, GET).await;
            assert_eq!(said, Some("the answer has begun, and did not end"));
            assert!(connection.is_intact());
            // The cancellation goes out at the driver's next turn.
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(slow.get(&mut connection).await.unwrap().status, 200);
        })
        .await;
}

#[tokio::test]
async fn what_does_not_begin_as_http_2_is_no_connection() {
    let said = |bytes: &'static [u8]| {
        let client = client(scripted(1, move |mut socket| {
            let _ = socket.write_all(bytes);
            std::thread::sleep(Duration::from_millis(200));
        }));
        async move { connect(&client.address, None).await.map(drop).unwrap_err() }
    };
    assert_eq!(said(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, TransportError::NotHttp2);
    let closed = said(b"").await;
    assert!(matches!(closed, TransportError::NotHttp2 | TransportError::Reset), "{closed}");
    let garbage = said(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").await;
    assert_eq!(garbage, TransportError::Http2(Reason::FRAME_SIZE_ERROR));
    // A PING, where SETTINGS must be first.
    let ping = said(b"\0\0\x08\x06\0\0\0\0\0abcdefgh").await;
    assert!(
        matches!(ping, TransportError::Http2(_) | TransportError::NotHttp2 | TransportError::Reset),
        "{ping}"
    );
    let refused = said(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b").await;
    assert_eq!(
        refused.to_string(),
        "the server ended HTTP/2 as it began, or began it wrongly (ENHANCE_YOUR_CALM)"
    );
    assert_eq!(refused.kind(), "http/2");
}
