//! One request through the gateway: what of its head goes on to the replica and what of the answer's comes back (RFC 9110,
//! 7.6), bodies passed on as they come, and WebSockets as tunnels of bytes.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, on};
use hyper_util::rt::TokioIo;
use tokio::io::{copy, split};

use super::Gateway;
use super::client::{Answered, Client};
use super::edge;
use super::upstream::{Lease, Relayed};
use crate::lingering::Lingering;
use crate::routes::Problem;

/// What concerns one connection only, beside what `Connection` itself names.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The name the gateway goes by among intermediaries.
const PSEUDONYM: &str = "1.1 gateway";

/// Answers a client. Fails when it had to make room, and then gets no answer.
pub(super) async fn answer(
    gateway: Arc<Gateway>,
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Answered>, MadeRoom> {
    if !client.asks() {
        return Err(MadeRoom);
    }
    gateway.figures.requests.inc();
    let response = match outward(request, &client) {
        Ok((request, None)) => edge::answer(&gateway, request).await,
        Ok((request, Some(upgrade))) => tunnel(&gateway, &client, request, upgrade).await,
        Err(problem) => problem.into_response(),
    };
    Ok(response.map(|body| Answered::new(body, client)))
}

/// The client was closed to give its slot to another.
#[derive(Debug, thiserror::Error)]
#[error("closed to make room")]
pub(super) struct MadeRoom;

impl Gateway {
    /// Passes a request on, and its answer back.
    pub(super) async fn forward(&self, request: Request<Body>) -> Response<Body> {
        match self.fetch(request).await {
            Ok((response, lease)) => relayed(response, lease),
            Err(problem) => problem.into_response(),
        }
    }

    /// The answer of a replica, with nothing in its head that was for the gateway alone. A failure is counted.
    pub(super) async fn fetch(&self, request: Request<Body>) -> Result<(Response<Incoming>, Lease), Problem> {
        match self.upstream.send(request).await {
            Ok((mut response, lease)) => {
                if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    strip_hop_by_hop(response.headers_mut());
                }
                Ok((response, lease))
            }
            Err(failure) => {
                self.figures.failed(failure.reason());
                Err(failure.into())
            }
        }
    }
}

/// An answer whose body goes on as it comes.
pub(super) fn relayed(response: Response<Incoming>, lease: Lease) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Body::new(Relayed::new(body, lease)))
}

/// The request as the replica gets it, and the client's side of the tunnel if it asks for one.
fn outward(
    mut request: Request<Incoming>,
    client: &Arc<Client>,
) -> Result<(Request<Body>, Option<OnUpgrade>), Problem> {
    if request.method() == Method::CONNECT {
        let detail = "the gateway stands in front of one app and leads nowhere else";
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no_such_method", detail));
    }
    let protocol = upgrades_to(request.headers());
    let upgrade = protocol.is_some().then(|| on(&mut request));
    let (mut parts, body) = Lingering::of(request, Arc::clone(client)).into_parts();
    // A proxy may be asked with the whole address; the host is then in there.
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(header::HOST, host);
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path
        .parse::<Uri>()
        .map_err(|e| Problem::new(StatusCode::BAD_REQUEST, "invalid_target", e.to_string()))?;
    parts.version = Version::HTTP_11;
    if parts.headers.contains_key(header::TRANSFER_ENCODING) {
        // Two lengths of one body are one too many (RFC 9112, 6.3).
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    strip_hop_by_hop(&mut parts.headers);
    // Answered here, when the body is first asked for.
    parts.headers.remove(header::EXPECT);
    if let Some(protocol) = protocol {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, protocol);
    }
    say_who_asked(&mut parts.headers, client.address);
    Ok((Request::from_parts(parts, Body::new(body)), upgrade))
}

/// What the client wants to speak in place of HTTP, if its request may change over.
fn upgrades_to(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| wanted).cloned()
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> =
        tokens(headers, &header::CONNECTION).filter_map(|token| token.parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The elements of a header that is a list.
pub(super) fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// Adds the client to those the request has come from: as `X-Forwarded-For` and as RFC 7239 has it.
fn say_who_asked(headers: &mut HeaderMap, from: IpAddr) {
    let from = from.to_canonical();
    let node = if from.is_ipv6() { format!("\"[{from}]\"") } else { from.to_string() };
    let mut forwarded = format!("for={node};proto=http");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if let Some(host) = host.filter(|host| !host.contains(['"', '\\'])) {
        forwarded.push_str(&format!(";host=\"{host}\""));
    }
    append(headers, X_FORWARDED_FOR, &from.to_string());
    append(headers, header::FORWARDED, &forwarded);
    append(headers, header::VIA, PSEUDONYM);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
}

/// Adds an element to a header that is a list.
fn append(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let mut list: Vec<&str> = tokens(headers, &name).collect();
    list.push(element);
    // What came in a header fits one.
    if let Ok(value) = HeaderValue::from_str(&list.join(", ")) {
        headers.insert(name, value);
    }
}

/// Opens a tunnel if the replica agrees; else passes its answer back.
async fn tunnel(
    gateway: &Gateway,
    client: &Arc<Client>,
    request: Request<Body>,
    near: OnUpgrade,
) -> Response<Body> {
    let (mut response, lease) = match gateway.fetch(request).await {
        Ok(answer) => answer,
        Err(problem) => return problem.into_response(),
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return relayed(response, lease);
    }
    let far = on(&mut response);
    client.becomes_a_tunnel();
    let client = Arc::clone(client);
    tokio::spawn(async move {
        // Both slots are taken until both ends are closed.
        let (_near_slot, _far_slot) = (client, lease.into_slot());
        if let Ok((near, far)) = tokio::try_join!(near, far) {
            let (mut from_near, mut to_near) = split(TokioIo::new(near));
            let (mut from_far, mut to_far) = split(TokioIo::new(far));
            // When one side ends, so does the tunnel, as with nginx. However that is, there is no one left to tell.
            let _ = tokio::select! {
                end = copy(&mut from_near, &mut to_far) => end,
                end = copy(&mut from_far, &mut to_near) => end,
            };
        }
    });
    let (parts, _) = response.into_parts();
    Response::from_parts(parts, Body::empty())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::http::HeaderMap;

    use super::{say_who_asked, strip_hop_by_hop, upgrades_to};

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn what_concerns_one_connection_goes_no_further() {
        let mut all = headers(&[
            ("connection", "close, X-Mine"),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-mine", "1"),
            ("x-yours", "2"),
            ("cookie", "a=b"),
        ]);
        assert_eq!(upgrades_to(&all).unwrap(), "websocket");
        strip_hop_by_hop(&mut all);
        let mut left: Vec<_> = all.keys().map(|name| name.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["cookie", "x-yours"]);
        assert!(upgrades_to(&headers(&[("upgrade", "h2c")])).is_none(), "without Connection it is idle talk");
    }

    #[test]
    fn who_asked_stands_after_whoever_is_said_to_have_asked_before() {
        let from = |address: &str, given: &[(&'static str, &'static str)]| {
            let mut all = headers(given);
            say_who_asked(&mut all, address.parse::<IpAddr>().unwrap());
            ["x-forwarded-for", "forwarded", "via", "x-forwarded-proto"]
                .map(|name| all[name].to_str().unwrap().to_owned())
                .join("\n")
        };
        insta::assert_snapshot!(from("127.0.0.1", &[("host", "shop:80"), ("x-forwarded-for", "10.0.0.1")]), @r#"
        10.0.0.1, 127.0.0.1
        for=127.0.0.1;proto=http;host="shop:80"
        1.1 gateway
        http
        "#);
        insta::assert_snapshot!(from("::1", &[("forwarded", "for=10.0.0.1"), ("via", "1.1 cdn"), ("via", "1.0 old")]), @r#"
        ::1
        for=10.0.0.1, for="[::1]";proto=http
        1.1 cdn, 1.0 old, 1.1 gateway
        http
        "#);
    }
}
