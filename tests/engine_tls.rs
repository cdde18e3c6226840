//! TLS in the record of a whole shard: what `target.tls` asks for is what the server sees, and what is refused, cut off or never ends is a
//! failure by its name.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use transport_subjects::frames::peer;
use transport_subjects::lines::{OK, say, server};
use transport_subjects::moves::Move::{Drip, Reset, Say, Silence, Wait};
use transport_subjects::moves::{MS, Named, at_once, judge, play};
use transport_subjects::secure::{Issued, Secured, Shaken, behind_tls, issue, shake, speaking, wanting};
use transport_subjects::shard::{self, Ran, closed, one_user_of};
use transport_subjects::{reset, scripted};

const GET: &str = "      - {get: /}\n";
const WS_OPEN: &str = "      - {ws_open: /}\n";
const SSE_OPEN: &str = "      - {sse_open: /}\n";

/// One user goes through `steps` by these keys of the target, to a host called `localhost`.
fn one_user(addr: SocketAddr, keys: &str, steps: &str) -> Ran {
    let at = format!("localhost:{}", addr.port());
    one_user_of(addr, &format!("http: \"https://{at}\", ws: \"wss://{at}\", timeout: 2s, {keys}"), steps)
}

/// One GET to a server that answers it, and the handshakes that the server has seen.
fn get(config: Arc<ServerConfig>, keys: &str) -> (Ran, Vec<Shaken>) {
    let (plain, _) = server(|_, _, socket| say(socket, OK));
    let (addr, told) = behind_tls(plain, config);
    let ran = one_user(addr, keys, GET);
    (ran, told.try_iter().collect())
}

/// Failures with how often each was.
fn told(ran: &Ran) -> Vec<(String, String, u64)> {
    ran.failures().into_iter().map(|(_, kind, text, count)| (kind, text, count)).collect()
}

/// Nothing listens there.
fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

/// The same where the answer is fine: its one handshake.
fn got(config: Arc<ServerConfig>, keys: &str) -> Shaken {
    let (ran, shaken) = get(config, keys);
    judge(&format!("{keys}\n"), &ran, None).unwrap();
    assert_eq!((ran.sum.requests.ok, ran.sum.requests.tls_handshakes), (1, 1), "{keys}");
    let Ok([one]) = <[Shaken; 1]>::try_from(shaken) else { panic!("{keys}: one connection") };
    one
}

/// Meets all of them at once, since each takes the second after which a shard tells of it.
fn all<C: Send>(cases: Vec<C>, meet: impl Fn(C) + Copy + Send) {
    let wrong = at_once(cases, move |case| {
        meet(case);
        Ok(())
    });
    assert!(wrong.is_empty());
}

#[test]
fn certificates_are_refused_by_name_unless_any_will_do() {
    let (good, old) = (issue(&["localhost"], false), issue(&["localhost"], true));
    let (other, stranger) = (issue(&["other.example"], false), issue(&["stranger.example"], false));
    let trusting = |issued: &Issued, more: &str| {
        let (folder, ca, _) = issued.files();
        (folder, format!("tls: {{ca: \"{}\"{more}}}", ca.display()))
    };
    let cases = [
        (&good, &stranger, "the certificate's issuer is not trusted: name it in `target.tls.ca`"),
        (
            &other,
            &other,
            "the certificate is for another name: write the name it is for in `target.tls.server_name`",
        ),
        (&old, &old, "the certificate has expired or is not valid yet"),
    ];
    let refused = cases.into_iter().flat_map(|case| [GET, WS_OPEN, SSE_OPEN].map(|steps| (case, steps)));
    all(refused.collect(), |((server, trusted, text), steps)| {
        let (_folder, keys) = trusting(trusted, "");
        let (addr, _) = behind_tls(nobody(), Arc::clone(&server.config));
        let ran = one_user(addr, &keys, steps);
        assert_eq!(told(&ran), [("connect".to_owned(), format!("TLS handshake: {text}"), 1)], "{steps}");
        let requests = ran.sum.requests;
        assert_eq!((requests.sent, requests.unsent, requests.tls_handshakes), (0, 1, 0), "{steps}");
    });
    all(vec![&good, &other, &old], |server| {
        got(Arc::clone(&server.config), "tls: {verify: false}");
    });
    let (_folder, keys) = trusting(&good, "");
    let asked = got(Arc::clone(&good.config), &keys);
    assert_eq!((asked.name.as_deref(), asked.known), (Some("localhost"), false));
    let (_folder, keys) = trusting(&other, ", server_name: other.example");
    assert_eq!(got(Arc::clone(&other.config), &keys).name.as_deref(), Some("other.example"));
}

#[test]
fn only_the_versions_asked_for_are_spoken() {
    let issued = issue(&["localhost"], false);
    let cases = vec![
        ("", ProtocolVersion::TLSv1_3),
        (", max_version: 1.2", ProtocolVersion::TLSv1_2),
        (", min_version: 1.3", ProtocolVersion::TLSv1_3),
    ];
    all(cases, |(keys, version)| {
        let either = speaking(&issued, &[&TLS13, &TLS12]);
        assert_eq!(got(either, &format!("tls: {{verify: false{keys}}}")).version, version, "{keys}");
    });
    let text = "TLS handshake: the server and this client have no version of TLS or no cipher in common: see `min_version` and `max_version` of `target.tls`";
    all(vec![("max_version: 1.2", &TLS13), ("min_version: 1.3", &TLS12)], |(keys, server)| {
        let (ran, shaken) = get(speaking(&issued, &[server]), &format!("tls: {{verify: false, {keys}}}"));
        judge(&format!("{keys}\n"), &ran, Some(("connect", text))).unwrap();
        assert!(shaken.is_empty());
    });
}

#[test]
fn a_client_certificate_is_shown_and_judged() {
    let (server, ours, strangers) =
        (issue(&["localhost"], false), issue(&["user"], false), issue(&["stranger"], false));
    let shown = |issued: &Issued| {
        let (folder, certificate, key) = issued.files();
        let (certificate, key) = (certificate.display(), key.display());
        (folder, format!(", client_cert: \"{certificate}\", client_key: \"{key}\""))
    };
    let ((_ours_at, ours_keys), (_strangers_at, strangers_keys)) = (shown(&ours), shown(&strangers));
    let refused = "the server does not accept the client certificate";
    let wanted =
        "the server wants a client certificate: give `target.tls.client_cert` and `target.tls.client_key`";
    // In TLS 1.3 the client is done before the server has looked: the refusal is the first thing it reads.
    let versions = [("min_version: 1.3", "TLS"), ("max_version: 1.2", "TLS handshake")];
    let clients = [(&ours_keys[..], None), ("", Some(wanted)), (&strangers_keys[..], Some(refused))];
    let cases = versions.into_iter().flat_map(|version| clients.map(|client| (version, client)));
    all(cases.collect(), |((version, when), (client, text))| {
        let keys = format!("tls: {{verify: false, {version}{client}}}");
        let Some(text) = text else {
            return assert!(got(wanting(&ours, &server), &keys).known, "{keys}");
        };
        for steps in [GET, WS_OPEN, SSE_OPEN] {
            let (addr, shaken) = behind_tls(nobody(), wanting(&ours, &server));
            let ran = one_user(addr, &keys, steps);
            assert_eq!(told(&ran), [("connect".to_owned(), format!("{when}: {text}"), 1)], "{keys} {steps}");
            assert!(shaken.try_iter().next().is_none() && ran.sum.requests.failed == 1, "{keys} {steps}");
        }
    });
}

/// Without a pause they would do nothing but shake hands.
#[test]
fn who_has_no_client_certificate_does_not_spin() {
    let (server, ours) = (issue(&["localhost"], false), issue(&["user"], false));
    all(vec!["get: /", "ws_open: /", "sse_open: /"], |step| {
        let (addr, _) = behind_tls(nobody(), wanting(&ours, &server));
        let at = format!("localhost:{}", addr.port());
        let target =
            format!("http: \"https://{at}\", ws: \"wss://{at}\", timeout: 2s, tls: {{verify: false}}");
        let sum = shard::carry(addr, &target, &closed(2, &format!("[{{{step}}}]")));
        assert!((2..=20).contains(&sum.requests.failed), "{step}: {:?}", sum.requests);
    });
}

#[test]
fn sessions_are_resumed_unless_that_is_off() {
    let issued = issue(&["localhost"], false);
    let versions = ["min_version: 1.3", "max_version: 1.2"];
    let cases = versions.into_iter().flat_map(|version| [true, false].map(|on| (version, on)));
    all(cases.collect(), |(version, resumption)| {
        let (plain, _) = server(|_, _, socket| say(socket, OK));
        let (addr, handshakes) = behind_tls(plain, Arc::clone(&issued.config));
        let target = format!(
            "http: \"https://localhost:{}\", connections: fresh, timeout: 5s, connect_timeout: 5s, tls: {{verify: false, {version}, resumption: {resumption}}}",
            addr.port()
        );
        let rest = closed(2, "[{get: /}]").replace("graceful_stop: 1s", "graceful_stop: 5s");
        let sum = shard::carry(addr, &target, &rest);
        let requests = sum.requests;
        assert_eq!((requests.failed, requests.interrupted), (0, 0), "{version}: {:?}", sum.failures);
        assert!(requests.ok > 4, "{version}: {requests:?}");
        assert_eq!((requests.tls_handshakes, requests.connections_opened), (requests.ok, requests.ok));
        let resumed = handshakes.try_iter().filter(|shaken| shaken.kind == HandshakeKind::Resumed).count();
        assert_eq!(requests.tls_resumed, resumed as u64, "{version}: as the server has it");
        assert_eq!(resumed > 0, resumption, "{version}: {requests:?}");
        assert!(requests.tls_resumed < requests.tls_handshakes, "{version}: the first has nothing to resume");
    });
}

#[test]
fn what_the_server_chooses_is_spoken() {
    let issued = issue(&["localhost"], false);
    let no_http2 = "the server does not speak HTTP/2: write `http_version: auto` or `1.1`";
    let no_protocol =
        "TLS handshake: the server speaks no protocol of those offered (ALPN): see `target.http_version`";
    let (both, http1, none): (&[&str], &[&str], &[&str]) = (&["h2", "http/1.1"], &["http/1.1"], &[]);
    let cases: Vec<(&[&str], &str, Option<&str>, Named)> = vec![
        (both, "auto", Some("h2"), None),
        (both, "2", Some("h2"), None),
        (both, "1.1", Some("http/1.1"), None),
        (http1, "auto", Some("http/1.1"), None),
        (http1, "2", None, Some(("connect", no_protocol))),
        (none, "auto", None, None),
        (none, "1.1", None, None),
        (none, "2", None, Some(("connect", no_http2))),
    ];
    all(cases, |(offered, version, chosen, named)| {
        let what = format!("{offered:?} {version}\n");
        // Each knows one protocol and no other.
        let plain = if chosen == Some("h2") {
            peer(1, &[], |peer| {
                let stream = peer.request();
                peer.answer(stream, b"ok");
                peer.listen();
            })
        } else {
            server(|_, _, socket| say(socket, OK)).0
        };
        let protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let (addr, shaken) = behind_tls(plain, issued.serving(|config| config.alpn_protocols = protocols));
        let ran = one_user(addr, &format!("http_version: {version}, tls: {{verify: false}}"), GET);
        judge(&what, &ran, named).unwrap();
        assert_eq!(ran.sum.requests.ok, u64::from(named.is_none()), "{what}");
        let shaken = shaken.try_iter().next();
        assert_eq!(shaken.and_then(|shaken| shaken.alpn).as_deref(), chosen, "{what}");
    });
}

/// What a server does in words, what it does once it has the request, and what must come of it.
type Answer = (&'static str, fn(&mut Secured), Named);

/// A server of one connection that is shaken hands with and then does `script`, having heard the request.
fn heard(mut script: impl FnMut(&mut Secured) + Send + 'static) -> SocketAddr {
    let issued = issue(&["localhost"], false);
    scripted(1, move |socket| {
        let Some(mut stream) = shake(&issued.config, socket) else { return };
        if stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
            script(&mut stream);
        }
    })
}

fn tell(stream: &mut Secured, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    stream.flush().unwrap();
}

fn goodbye(stream: &mut Secured) {
    stream.conn.send_close_notify();
    stream.flush().unwrap();
}

#[test]
fn an_answer_that_breaks_off_under_tls_is_named() {
    const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\nall of it";
    let reset_when = |when| Some(("reset", when));
    let cases: Vec<Answer> = vec![
        ("closes without an answer", |_| {}, reset_when("the server closed the connection before answering")),
        (
            "says goodbye instead of an answer",
            goodbye,
            reset_when("the server closed the connection before answering"),
        ),
        (
            "says goodbye in the head",
            |stream| {
                tell(stream, "HTTP/1.1 200 OK\r\ncontent-");
                goodbye(stream);
            },
            reset_when("the server closed the connection inside the response head"),
        ),
        (
            "says goodbye in the body",
            |stream| {
                tell(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour");
                goodbye(stream);
            },
            reset_when("the server closed the connection inside the response body"),
        ),
        (
            "says goodbye where a body may end so",
            |stream| {
                tell(stream, UNTIL_CLOSE);
                goodbye(stream);
            },
            None,
        ),
        (
            "closes without a goodbye where a body may end by one",
            |stream| tell(stream, UNTIL_CLOSE),
            reset_when("the server closed the connection inside the response body"),
        ),
        ("closes without a goodbye after all was said", |stream| tell(stream, OK), None),
        (
            "resets without an answer",
            |stream| reset(stream.sock.try_clone().unwrap()),
            reset_when("the connection was reset while waiting for the response"),
        ),
        (
            "goes on in clear text",
            |stream| {
                stream.sock.write_all(b"HTTP/1.1 500 Internal Server Error\r\n\r\n").unwrap();
                std::thread::sleep(500 * MS);
            },
            reset_when("TLS: the peer does not speak TLS, or breaks its rules"),
        ),
        (
            "falls silent",
            |stream| {
                tell(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour");
                while stream.sock.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
            },
            Some(("timeout", "no complete answer within 1s")),
        ),
    ];
    all(cases, |(what, script, named)| {
        let ran = one_user(heard(script), "tls: {verify: false}", "      - {get: /, timeout: 1s}\n");
        judge(&format!("{what}\n"), &ran, named).unwrap();
        let requests = ran.sum.requests;
        assert_eq!((requests.sent, requests.tls_handshakes), (1, 1), "{what}");
        assert_eq!(requests.ok, u64::from(named.is_none()), "{what}");
    });
}

#[test]
fn a_handshake_that_does_not_come_about_is_no_connection() {
    /// Takes what the client opens with, and closes.
    fn takes(mut socket: TcpStream) {
        let _ = socket.read(&mut [0; 4096]);
    }
    // A record of 122 bytes that is never whole.
    let record = [&[0x16, 3, 3, 0, 0x7a][..], &[0; 100]].concat();
    let too_late = ("connect_timeout", "no connection within 400ms");
    let no_tls = ("connect", "TLS handshake: the peer does not speak TLS, or breaks its rules");
    let servers = [
        ("accepts and never answers", vec![Silence], too_late),
        ("drips its first record", vec![Drip(record, 50 * MS), Silence], too_late),
        ("speaks HTTP", vec![Say(b"HTTP/1.1 400 Bad Request\r\n\r\n".into()), Silence], no_tls),
        ("speaks first", vec![Say(b"220 mail.example ESMTP\r\n".into()), Silence], no_tls),
        ("closes", vec![], ("connect", "TLS handshake: the connection ended")),
        ("resets", vec![Wait(100 * MS), Reset], ("connect", "connection reset while connecting")),
    ];
    let cases =
        servers.into_iter().flat_map(|server| [GET, WS_OPEN, SSE_OPEN].map(|steps| (server.clone(), steps)));
    all(cases.collect(), |((what, moves, named), steps)| {
        let addr =
            scripted(1, move |socket| if moves.is_empty() { takes(socket) } else { play(&moves, socket) });
        let limit = if named == too_late { "400ms" } else { "5s" };
        let ran = one_user(addr, &format!("connect_timeout: {limit}, tls: {{verify: false}}"), steps);
        judge(&format!("{what}:\n{steps}"), &ran, Some(named)).unwrap();
        let requests = ran.sum.requests;
        assert_eq!((requests.sent, requests.unsent, requests.failed), (0, 1, 1), "{what}: {steps}");
        let window = ran.sum.windows.iter().flatten().next().unwrap();
        let waited = window.all_responses();
        assert_eq!(waited.count(), u64::from(named == too_late), "{what}: {steps}");
        assert!(named != too_late || (400_000_000..4_000_000_000).contains(&waited.max_ns()), "{what}");
    });
}
