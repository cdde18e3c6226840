//! HTTP/1.1 over real sockets: what a server may do to a client, well or badly, and what the client makes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use plimsoll::limits;
use plimsoll::transport::{ExchangeError, Keep, Malformed, ResetWhile, TransportError, connect};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::time::Duration;
use transport_subjects::{Client, GET, KEEP, answering, free_addr, read_request, reset, scripted};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn one_connection_carries_request_after_request() {
    let addr = scripted(1, |mut socket| {
        while read_request(&mut socket) {
            socket.write_all(OK).unwrap();
        }
    });
    let client = Client::new(addr);
    let mut connection = client.connect().await;
    assert!(!connection.is_used());
    let mut before_ns = 0;
    for _ in 0..3 {
        let exchange = client.get(&mut connection).await.unwrap();
        assert_eq!((exchange.status, exchange.reusable), (200, true));
        assert_eq!(exchange.body.as_deref(), Some(&b"ok"[..]));
        assert_eq!((exchange.bytes_sent, exchange.bytes_received), (GET.len() as u64, OK.len() as u64));
        assert!(before_ns <= exchange.sent_ns && exchange.sent_ns <= exchange.first_byte_ns);
        assert!(exchange.first_byte_ns <= exchange.done_ns);
        before_ns = exchange.done_ns;
    }
    assert_eq!(client.buffers.take_traffic().sent, 0, "what an answer tells of is not counted twice");
    assert!(connection.is_used());
}

#[tokio::test]
async fn what_an_exchange_without_an_end_sent_and_got_is_counted() {
    const CUT: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour";
    let addr = scripted(1, |mut socket| {
        read_request(&mut socket);
        socket.write_all(CUT).unwrap();
    });
    let client = Client::new(addr);
    let mut connection = client.connect().await;
    client.get(&mut connection).await.unwrap_err();
    let traffic = client.buffers.take_traffic();
    assert_eq!((traffic.sent, traffic.received), (GET.len() as u64, CUT.len() as u64));
}

#[tokio::test]
async fn a_response_that_drips_is_the_same_and_its_last_byte_is_later() {
    let text =
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let addr = scripted(1, move |mut socket| {
        read_request(&mut socket);
        for byte in text {
            socket.write_all(&[*byte]).unwrap();
            std::thread::sleep(Duration::from_micros(300));
        }
        read_request(&mut socket);
    });
    let client = Client::new(addr);
    let mut connection = client.connect().await;
    let exchange = client.get(&mut connection).await.unwrap();
    assert_eq!(exchange.body.as_deref(), Some(&b"hello"[..]));
    assert_eq!(exchange.set_cookies, ["a=1".into()] as [Box<str>; 1]);
    assert_eq!(exchange.bytes_received, text.len() as u64);
    assert!(exchange.first_byte_ns < exchange.done_ns && exchange.reusable);
}

#[tokio::test]
async fn bodies_larger_than_the_buffer() {
    let size = limits::SHARD_READ_BUFFER_BYTES * 20 + 7;
    let addr = scripted(1, move |mut socket| {
        while read_request(&mut socket) {
            let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").unwrap();
            socket.write_all(&body).unwrap();
        }
    });
    let client = Client::new(addr);
    let mut connection = client.connect().await;
    let exchange = client.get(&mut connection).await.unwrap();
    let body = exchange.body.unwrap();
    assert!(body.len() == size && body.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
    let counted =
        connection.exchange(GET, false, Keep::default(), &client.buffers, &client.clock).await.unwrap();
    assert_eq!((counted.body_bytes, counted.body, counted.reusable), (size as u64, None, true));
}

#[tokio::test]
async fn a_body_may_end_with_the_connection() {
    let client = Client::new(answering("HTTP/1.0 200 OK\r\n\r\nall of it"));
    let exchange = client.fresh().await.unwrap();
    assert_eq!(exchange.body.as_deref(), Some(&b"all of it"[..]));
    assert!(!exchange.reusable);
}

#[tokio::test]
async fn what_servers_get_wrong_is_named() {
    let oversized =
        [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; limits::RESPONSE_HEAD_BYTES_MAX + 1]].concat();
    let noise: Vec<u8> =
        (0..4096_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    for (response, error) in [
        (Vec::new(), ExchangeError::ClosedBeforeResponse),
        (b"HTTP/1.1 20".to_vec(), ExchangeError::ClosedInHead),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort".to_vec(), ExchangeError::ClosedInBody),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel".to_vec(),
            ExchangeError::ClosedInBody,
        ),
        (b"220 mail.example ESMTP\r\n".to_vec(), ExchangeError::Malformed(Malformed::NotHttp)),
        (noise, ExchangeError::Malformed(Malformed::NotHttp)),
        (oversized, ExchangeError::HeadTooLarge),
        ([OK, OK].concat(), ExchangeError::Malformed(Malformed::BytesAfterEnd)),
    ] {
        let client = Client::new(answering(response));
        assert_eq!(client.fresh().await.map(|exchange| exchange.status), Err(error));
    }
}

#[tokio::test]
async fn resets_say_how_far_the_exchange_was() {
    let waiting = Client::new(scripted(1, |mut socket| {
        read_request(&mut socket);
        reset(socket);
    }));
    assert_eq!(waiting.fresh().await.unwrap_err(), ExchangeError::Reset(ResetWhile::Waiting));

    let receiving = Client::new(scripted(1, |mut socket| {
        read_request(&mut socket);
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").unwrap();
        // The half must have been read before the reset overtakes it.
        std::thread::sleep(Duration::from_millis(500));
        reset(socket);
    }));
    assert_eq!(receiving.fresh().await.unwrap_err(), ExchangeError::Reset(ResetWhile::Receiving));
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_noticed_before_anything_is_sent() {
    let (tell, closed) = std::sync::mpsc::channel();
    let addr = scripted(2, move |mut socket| {
        read_request(&mut socket);
        socket.write_all(OK).unwrap();
        drop(socket);
        let _ = tell.send(());
    });
    let client = Client::new(addr);
    let mut connection = client.connect().await;
    client.get(&mut connection).await.unwrap();
    closed.recv().unwrap();
    // A turn of the reactor, as between any two requests of a user who thinks.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let error = client.get(&mut connection).await.unwrap_err();
    assert_eq!(error, ExchangeError::ClosedWhileIdle);
    assert!(error.sent_nothing());
    assert_eq!(client.fresh().await.unwrap().status, 200);
}

/// Asks for a second response from a server that says `meanwhile` after the first.
async fn second_after(meanwhile: &'static [u8]) -> ExchangeError {
    let (ask, asked) = std::sync::mpsc::channel();
    let (tell, spoken) = std::sync::mpsc::channel();
    let addr = scripted(1, move |mut socket| {
        read_request(&mut socket);
        socket.write_all(OK).unwrap();
        asked.recv().unwrap();
        socket.write_all(meanwhile).unwrap();
        tell.send(()).unwrap();
        read_request(&mut socket);
    });
    let client = Client::new(addr);
    let mut connection = client.connect().await;
    client.get(&mut connection).await.unwrap();
    ask.send(()).unwrap();
    spoken.recv().unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    client.get(&mut connection).await.unwrap_err()
}

#[tokio::test]
async fn bytes_nobody_asked_for_are_not_taken_for_the_next_response() {
    assert_eq!(second_after(OK).await, ExchangeError::Unsolicited);
    let tired: [&'static [u8]; 2] = [
        b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.0 408 Request Time-out\r\n\r\n",
    ];
    for tired in tired {
        let ended = second_after(tired).await;
        assert_eq!(ended, ExchangeError::ClosedWhileIdle, "a way to close an idle connection");
    }
}

#[tokio::test]
async fn a_server_may_answer_before_it_has_all_of_the_request() {
    let addr = scripted(1, |mut socket| {
        read_request(&mut socket);
        socket.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(200));
    });
    let client = Client::new(addr);
    let size = 64 << 20;
    let mut request = format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {size}\r\n\r\n").into_bytes();
    request.resize(request.len() + size, b'x');
    let mut connection = client.connect().await;
    let exchange = connection.exchange(&request, false, KEEP, &client.buffers, &client.clock).await.unwrap();
    assert_eq!((exchange.status, exchange.reusable), (413, false));
    assert!(exchange.bytes_sent < request.len() as u64);
}

#[tokio::test]
async fn a_large_request_is_sent_whole() {
    let size = 8 << 20;
    let addr = scripted(1, move |mut socket| {
        read_request(&mut socket);
        let mut body = vec![0; size];
        socket.read_exact(&mut body).unwrap();
        let intact = body.iter().enumerate().all(|(at, byte)| *byte == (at % 253) as u8);
        let status = if intact { 200 } else { 500 };
        write!(socket, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    let client = Client::new(addr);
    let mut request = format!("PUT / HTTP/1.1\r\nhost: test\r\ncontent-length: {size}\r\n\r\n").into_bytes();
    request.extend((0..size).map(|at| (at % 253) as u8));
    let mut connection = client.connect().await;
    let exchange = connection.exchange(&request, false, KEEP, &client.buffers, &client.clock).await.unwrap();
    assert_eq!((exchange.status, exchange.bytes_sent), (200, request.len() as u64));
}

#[tokio::test]
async fn a_server_that_stops_taking_the_request_without_a_word() {
    let addr = scripted(1, |socket| {
        std::thread::sleep(Duration::from_millis(30));
        reset(socket);
    });
    let client = Client::new(addr);
    let request = vec![b'x'; 64 << 20];
    let mut connection = client.connect().await;
    let error = connection.exchange(&request, false, KEEP, &client.buffers, &client.clock).await.unwrap_err();
    assert_eq!(error, ExchangeError::Reset(ResetWhile::Sending));
}

#[tokio::test]
async fn head_and_the_statuses_without_a_body() {
    let addr = scripted(1, |mut socket| {
        for head in
            ["200 OK\r\ncontent-length: 77", "304 Not Modified\r\ncontent-length: 77", "204 No Content"]
        {
            read_request(&mut socket);
            write!(socket, "HTTP/1.1 {head}\r\n\r\n").unwrap();
        }
    });
    let client = Client::new(addr);
    let mut connection = client.connect().await;
    for (head_only, status) in [(true, 200), (false, 304), (false, 204)] {
        let exchange =
            connection.exchange(GET, head_only, KEEP, &client.buffers, &client.clock).await.unwrap();
        assert_eq!((exchange.status, exchange.body_bytes, exchange.reusable), (status, 0, true));
    }
}

#[tokio::test]
async fn the_end_of_sending_is_not_the_end_of_the_exchange() {
    let addr = scripted(1, |mut socket| {
        read_request(&mut socket);
        socket.write_all(OK).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        read_request(&mut socket);
    });
    assert_eq!(Client::new(addr).fresh().await.unwrap().status, 200);
}

#[tokio::test]
async fn connecting_fails_by_name_and_can_choose_its_source() {
    let client = Client::new(free_addr());
    assert_eq!(connect(&client.address, None).await.unwrap_err(), TransportError::Refused);
    let foreign = Some(Ipv4Addr::new(192, 0, 2, 7).into());
    assert_eq!(connect(&client.address, foreign).await.unwrap_err(), TransportError::NoLocalPort);

    let (tell, told) = std::sync::mpsc::channel();
    let addr = scripted(1, move |socket| tell.send(socket.peer_addr().unwrap().ip()).unwrap());
    let source = Ipv4Addr::new(127, 0, 0, 9).into();
    let _connection = connect(&Client::new(addr).address, Some(source)).await.unwrap();
    assert_eq!(told.recv().unwrap(), source);
}

#[tokio::test]
async fn what_a_user_holds_while_it_waits_is_small() {
    let addr = scripted(1, |mut socket| {
        read_request(&mut socket);
    });
    let client = Client::new(addr);
    let mut connection = client.connect().await;
    assert!(size_of_val(&connection) <= 48, "connection: {}", size_of_val(&connection));
    let exchange = client.get(&mut connection);
    let wrapped = size_of_val(&exchange);
    drop(exchange);
    let exchanging = connection.exchange(GET, false, KEEP, &client.buffers, &client.clock);
    assert!(size_of_val(&exchanging) <= 300, "exchange: {}, as async fn {wrapped}", size_of_val(&exchanging));
    let connecting = connect(&client.address, None);
    assert!(size_of_val(&connecting) <= 400, "connect: {}", size_of_val(&connecting));
}
