//! TLS against a real rustls server with certificates made here: what is accepted, what is refused and under which name.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use plimsoll::transport::tls::{Identity, Rules, Tls, TlsSetupError, Trust};
use plimsoll::transport::{
    Address, Connection, ExchangeError, Handshake, HttpVersion, TlsFailure, TransportError, connect,
};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa};
use rustls::{HandshakeKind, ServerConfig};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use transport_subjects::secure::{Issued, issue, issue_with, speaking, wanting};
use transport_subjects::{Client, KEEP, scripted};

/// A server that answers every request of every connection with `response`, then closes if `closing` (without a TLS goodbye).
/// The kind of each handshake goes to the channel.
async fn serve(
    config: Arc<ServerConfig>,
    response: &'static [u8],
    closing: bool,
) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<HandshakeKind>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(config);
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let _ = tell.send(stream.get_ref().1.handshake_kind().unwrap());
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    stream.write_all(response).await.unwrap();
                    stream.flush().await.unwrap();
                    if closing {
                        return;
                    }
                }
            });
        }
    });
    (addr, told)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn client(addr: SocketAddr, host: &str, trust: &Trust) -> Client {
    let mut client = Client::new(addr);
    client.address = Address::new(host, addr.port(), addr, Some(Tls::new(host, trust).unwrap()));
    client
}

#[tokio::test]
async fn requests_over_one_connection_and_sessions_resumed_on_the_next() {
    let issued = issue(&["localhost"], false);
    let (addr, mut handshakes) = serve(issued.config, OK, false).await;
    let client = client(addr, "localhost", &Trust::Roots(vec![issued.certificate]));
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut connection = client.connect().await;
        assert!(size_of_val(&connection) <= 48);
        for _ in 0..3 {
            let exchange = client.get(&mut connection).await.unwrap();
            assert_eq!((exchange.status, exchange.reusable), (200, true));
            assert_eq!(exchange.bytes_received, OK.len() as u64);
        }
        assert_eq!(handshakes.recv().await, Some(expected));
    }
    let other_shard = client.address.for_shard();
    let _connection = connect(&other_shard, None).await.unwrap();
    assert_eq!(handshakes.recv().await, Some(HandshakeKind::Full), "shards share no sessions");
}

#[tokio::test]
async fn reads_under_tls_say_how_late_they_were() {
    let issued = issue(&["localhost"], false);
    let (addr, _handshakes) = serve(issued.config, OK, false).await;
    let client = client(addr, "localhost", &Trust::Roots(vec![issued.certificate]));
    let mut connection = client.connect().await;
    // The kernel begins to stamp a moment after it was first asked to.
    client.get(&mut connection).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    for _ in 0..150 {
        assert_eq!(client.get(&mut connection).await.unwrap().read_error_ns, None);
    }
    let told = client.buffers.take_read_errors();
    assert!(!told.is_empty(), "one read in 101, or one in a tenth of a second");
}

#[tokio::test]
async fn certificates_are_refused_by_name_unless_any_will_do() {
    let good = issue(&["localhost", "127.0.0.1"], false);
    let roots = Trust::Roots(vec![good.certificate.clone()]);
    let stranger = Trust::Roots(vec![issue(&["stranger.example"], false).certificate]);
    let (addr, _handshakes) = serve(good.config, OK, false).await;
    for (host, trust, failure) in [
        ("localhost", &stranger, TlsFailure::UnknownIssuer),
        ("other.example", &roots, TlsFailure::WrongName),
    ] {
        let error = connect(&client(addr, host, trust).address, None).await.unwrap_err();
        assert_eq!(error, TransportError::Tls(failure));
    }
    for (host, trust) in [("127.0.0.1", &roots), ("other.example", &Trust::Any)] {
        assert_eq!(client(addr, host, trust).fresh().await.unwrap().status, 200, "{host}");
    }
    let old = issue(&["localhost"], true);
    let (addr, _handshakes) = serve(old.config, OK, false).await;
    let trust = Trust::Roots(vec![old.certificate]);
    let error = connect(&client(addr, "localhost", &trust).address, None).await.unwrap_err();
    assert_eq!(error, TransportError::Tls(TlsFailure::NotValidNow));
}

/// The usual certificates of somebody's own making that no client takes: cause and remedy are told.
#[tokio::test]
async fn certificates_that_are_no_servers_are_named() {
    for (wrong, failure, remedy) in [
        (
            (|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)) as fn(&mut CertificateParams),
            TlsFailure::CaAsServer,
            "CA:FALSE",
        ),
        (
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            TlsFailure::WrongPurpose,
            "serverAuth",
        ),
    ] {
        let issued = issue_with(&["localhost"], wrong);
        let (addr, _handshakes) = serve(issued.config, OK, false).await;
        let trust = Trust::Roots(vec![issued.certificate]);
        let error = connect(&client(addr, "localhost", &trust).address, None).await.unwrap_err();
        assert_eq!(error, TransportError::Tls(failure));
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[tokio::test]
async fn peers_that_do_not_speak_tls() {
    let plain = scripted(1, |mut socket| {
        let _ = socket.read(&mut [0; 4096]);
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let plain = client(plain, "localhost", &Trust::Any);
    let error = connect(&plain.address, None).await.unwrap_err();
    assert!(matches!(error, TransportError::Tls(_) | TransportError::Reset), "{error}");
    let speaks_first = scripted(1, |mut socket| {
        let _ = socket.write_all(b"220 mail.example ESMTP\r\n");
        std::thread::sleep(std::time::Duration::from_millis(100));
    });
    let error = connect(&client(speaks_first, "localhost", &Trust::Any).address, None).await.unwrap_err();
    assert_eq!(error, TransportError::Tls(TlsFailure::Protocol));
    let closes = client(scripted(1, drop), "localhost", &Trust::Any);
    let error = connect(&closes.address, None).await.unwrap_err();
    assert!(matches!(error, TransportError::Tls(TlsFailure::Closed) | TransportError::Reset), "{error}");
}

#[tokio::test]
async fn an_end_without_the_tls_goodbye_is_a_cut() {
    let issued = issue(&["localhost"], false);
    let trust = Trust::Roots(vec![issued.certificate]);
    let (addr, _handshakes) = serve(Arc::clone(&issued.config), b"HTTP/1.0 200 OK\r\n\r\nhalf", true).await;
    let error = client(addr, "localhost", &trust).fresh().await.unwrap_err();
    assert_eq!(error, ExchangeError::ClosedInBody);

    // A framed response is whole whatever comes after; the next request finds the connection gone, and whatever its method may go over another.
    let (addr, _handshakes) = serve(issued.config, OK, true).await;
    let client = client(addr, "localhost", &trust);
    let mut connection = client.connect().await;
    assert_eq!(client.get(&mut connection).await.unwrap().status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let error = client.get(&mut connection).await.unwrap_err();
    assert!(error.sent_nothing(), "{error}");
}

/// One that says goodbye as TLS has it, with tickets before: nothing is lost on such a connection, whatever the method.
#[tokio::test]
async fn a_goodbye_on_an_idle_connection_is_seen_before_the_next_request() {
    for busy in [false, true] {
        goodbye_is_seen(busy).await;
    }
}

/// By a task that has already done all that tokio lets it do in one turn, if `busy`.
async fn goodbye_is_seen(busy: bool) {
    let issued = issue(&["localhost"], false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::clone(&issued.config));
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut stream = acceptor.accept(socket).await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(OK).await.unwrap();
        // Not in one read with the answer.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        stream.shutdown().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    });
    let client = client(addr, "localhost", &Trust::Roots(vec![issued.certificate]));
    let mut connection = client.connect().await;
    let post = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
    let mut ask = async || connection.exchange(post, false, KEEP, &client.buffers, &client.clock).await;
    assert_eq!(ask().await.unwrap().status, 200);
    let _ = client.buffers.take_read_errors();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut asking = std::pin::pin!(ask());
    let mut works_on = busy;
    let asked = std::future::poll_fn(|context| {
        while works_on && let Poll::Ready(turn) = tokio::task::coop::poll_proceed(context) {
            turn.made_progress();
        }
        works_on = false;
        asking.as_mut().poll(context)
    });
    assert_eq!(asked.await.unwrap_err(), ExchangeError::ClosedWhileIdle, "busy: {busy}");
    assert!(client.buffers.take_read_errors().is_empty(), "nobody had to read the goodbye any sooner");
}

#[tokio::test]
async fn bodies_larger_than_a_record() {
    static LARGE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".to_vec();
        bytes.resize(bytes.len() + 1_000_000, b'x');
        bytes
    });
    let issued = issue(&["localhost"], false);
    let (addr, _handshakes) = serve(issued.config, &LARGE, false).await;
    let client = client(addr, "localhost", &Trust::Any);
    let mut connection = client.connect().await;
    for _ in 0..2 {
        let exchange = client.get(&mut connection).await.unwrap();
        assert_eq!((exchange.body_bytes, exchange.reusable), (1_000_000, true));
        assert_eq!(exchange.body.map(|body| body.len()), Some(1_000_000));
    }
    let exchanging = connection.exchange(b"", false, KEEP, &client.buffers, &client.clock);
    assert!(size_of_val(&exchanging) <= 300);
}

fn identity(issued: &Issued) -> Arc<Identity> {
    Arc::new(Identity { certificates: vec![issued.certificate.clone()], key: issued.key.clone_key() })
}

#[tokio::test]
async fn client_certificates() {
    let (server, ours, strangers) =
        (issue(&["localhost"], false), issue(&["user"], false), issue(&["stranger"], false));
    let (addr, _handshakes) = serve(wanting(&ours, &server), OK, false).await;
    let with = |client: Option<Arc<Identity>>, tls13: bool| {
        let rules = Rules {
            client,
            tls12: !tls13,
            tls13,
            ..Rules::trusting(Trust::Roots(vec![server.certificate.clone()]))
        };
        let mut client = Client::new(addr);
        let tls = Tls::with_rules("localhost", &rules).unwrap();
        client.address = Address::new("localhost", addr.port(), addr, Some(tls));
        client
    };
    for tls13 in [true, false] {
        assert_eq!(with(Some(identity(&ours)), tls13).fresh().await.unwrap().status, 200);
        for (client, failure) in [
            (None, TlsFailure::ClientCertificateWanted),
            (Some(identity(&strangers)), TlsFailure::ClientCertificateRefused),
        ] {
            // In TLS 1.3 the client is done before the server has looked: the refusal is the first thing it reads.
            let client = with(client, tls13);
            let refused = match connect(&client.address, None).await {
                Err(TransportError::Tls(failure)) => Some(failure),
                Err(error) => panic!("{error}"),
                Ok(mut connection) => match client.get(&mut connection).await {
                    Err(ExchangeError::Tls(failure)) => Some(failure),
                    Err(ExchangeError::Reset(_)) => None,
                    other => panic!("{other:?}"),
                },
            };
            // TLS 1.2 has no alert of its own for a certificate that is missing.
            let vague = !tls13 && refused == Some(TlsFailure::Alert);
            assert!(vague || refused.is_none_or(|refused| refused == failure), "{refused:?} {tls13}");
        }
    }
    let mismatched =
        Identity { certificates: vec![ours.certificate.clone()], key: strangers.key.clone_key() };
    let rules = Rules { client: Some(Arc::new(mismatched)), ..Rules::trusting(Trust::Any) };
    assert!(matches!(Tls::with_rules("localhost", &rules), Err(TlsSetupError::Identity(_))));
}

#[tokio::test]
async fn versions_names_and_resumption_are_as_asked() {
    let issued = issue(&["shop.example"], false);
    let (addr, mut handshakes) = serve(issued.config.clone(), OK, false).await;
    let usual = Rules {
        server_name: Some("shop.example".to_owned()),
        ..Rules::trusting(Trust::Roots(vec![issued.certificate.clone()]))
    };
    let client = |rules: &Rules| {
        let mut client = Client::new(addr);
        let tls = Tls::with_rules("127.0.0.1", rules).unwrap();
        client.address = Address::new("127.0.0.1", addr.port(), addr, Some(tls));
        client
    };
    for (rules, second) in [
        (Rules { tls13: false, ..usual.clone() }, HandshakeKind::Resumed),
        (Rules { tls12: false, ..usual.clone() }, HandshakeKind::Resumed),
        (Rules { resumption: false, ..usual.clone() }, HandshakeKind::Full),
    ] {
        let client = client(&rules);
        for expected in [HandshakeKind::Full, second] {
            let mut connection = client.connect().await;
            let ours = connection.handshake();
            assert_eq!(ours == Some(Handshake::Resumed), expected == HandshakeKind::Resumed);
            assert_eq!(client.get(&mut connection).await.unwrap().status, 200);
            assert_eq!(handshakes.recv().await, Some(expected));
        }
    }
    // A crowd that reconnects finds a ticket each.
    let crowd = client(&usual);
    for turn in 0..2 {
        let mut open = Vec::new();
        for _ in 0..20 {
            open.push(crowd.connect().await);
        }
        for connection in &mut open {
            assert_eq!(crowd.get(connection).await.unwrap().status, 200);
            let kind = handshakes.recv().await;
            assert!(turn == 0 || kind == Some(HandshakeKind::Resumed), "{kind:?}");
        }
    }
    let old = speaking(&issued, &[&rustls::version::TLS12]);
    let (addr, _handshakes) = serve(old, OK, false).await;
    let tls = Tls::with_rules("shop.example", &Rules { tls12: false, ..usual }).unwrap();
    let address = Address::new("shop.example", addr.port(), addr, Some(tls));
    let error = connect(&address, None).await.unwrap_err();
    assert_eq!(error, TransportError::Tls(TlsFailure::NothingInCommon));
}

#[tokio::test]
async fn the_server_chooses_the_protocol() {
    let issued = issue(&["localhost"], false);
    let (addr, _handshakes) = serve(Arc::clone(&issued.config), OK, false).await;
    let speaking = |version| {
        let tls = Tls::new("localhost", &Trust::Roots(vec![issued.certificate.clone()])).unwrap();
        Address::new("localhost", addr.port(), addr, Some(tls)).speaking(version)
    };
    let chosen = connect(&speaking(HttpVersion::Auto), None).await.unwrap();
    assert!(matches!(chosen, Connection::Http1(_)));
    // It offers HTTP/1.1 only, and says so with an alert.
    let error = connect(&speaking(HttpVersion::Http2), None).await.unwrap_err();
    assert_eq!(error, TransportError::Tls(TlsFailure::NoProtocol));
}
