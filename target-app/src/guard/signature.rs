//! Signatures on writes. Whoever changes something sends `X-Key-Id`, `X-Timestamp` (seconds since 1970), `X-Nonce` (new for each
//! request) and `X-Signature`, which is in hex
//!
//! `HMAC-SHA256(key, METHOD \n PATH?QUERY \n TIMESTAMP \n NONCE \n hex(SHA-256(BODY)))`
//!
//! The scheme is a short form of AWS Signature Version 4 (a canonical request that ends with the hash of its body, under a
//! named key) with the window and the memory of Stripe's webhooks. RFC 9421 (HTTP Message Signatures) is the standard for
//! it; what its structured fields add, a choice of what is signed, the app does not want to leave to its clients.

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus::IntCounter;
use ring::{digest, hmac};

use super::replay::Memory;
use super::{Reason, peer};
use crate::app::{App, route_of};
use crate::lock::lock;
use crate::profile::RequestSigning;
use crate::routes::Problem;
use crate::session::{hex, unhex};

/// The one client that has a key.
const KEY_ID: &str = "shop-web";
/// Longest nonce.
const NONCE_MAX_BYTES: usize = 64;

const X_KEY_ID: HeaderName = HeaderName::from_static("x-key-id");
const X_TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
const X_NONCE: HeaderName = HeaderName::from_static("x-nonce");
const X_SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
/// All that a signature consists of.
pub(crate) const HEADERS: [HeaderName; 4] = [X_KEY_ID, X_TIMESTAMP, X_NONCE, X_SIGNATURE];

/// Judges signatures, and remembers those it has taken.
pub(super) struct Signatures {
    key: hmac::Key,
    memory: Mutex<Memory>,
    narrowed: IntCounter,
}

/// The key of a client as it is given out: text, so that it can stand in a file of secrets. As that of the tokens it comes from the
/// seed, so all replicas have it and whoever plans a load knows it beforehand.
fn key_of(seed: u64, id: &str) -> String {
    let of_all = hmac::Key::new(hmac::HMAC_SHA256, &seed.to_le_bytes());
    hex(hmac::sign(&of_all, format!("request-signing:{id}").as_bytes()).as_ref())
}

impl Signatures {
    pub(super) fn seeded(seed: u64, dials: &RequestSigning, narrowed: IntCounter) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key_of(seed, KEY_ID).as_bytes());
        let memory = Mutex::new(Memory::of(dials.max_remembered, dials.window_s));
        Self { key, memory, narrowed }
    }

    /// Takes the signature of a request at `now_s` since 1970, or says why not. Only one that is right is remembered, so nobody
    /// without a key can fill the memory.
    pub(super) fn judge(&self, head: &Parts, body: &[u8], now_s: u64) -> Result<(), Reason> {
        let [key_id, timestamp, nonce, signature] = given(&head.headers)?;
        let signed_s: u64 = timestamp.parse().map_err(|_| Reason::SignatureMalformed)?;
        let signature = unhex(signature).ok_or(Reason::SignatureMalformed)?;
        if nonce.is_empty() || nonce.len() > NONCE_MAX_BYTES {
            return Err(Reason::SignatureMalformed);
        }
        if key_id != KEY_ID {
            return Err(Reason::SignatureUnknownKey);
        }
        let text = signed_text(head, timestamp, nonce, body);
        hmac::verify(&self.key, text.as_bytes(), &signature).map_err(|_| Reason::SignatureWrong)?;
        let mut memory = lock(&self.memory);
        self.narrowed.inc_by(memory.take(signature, signed_s, now_s)?);
        Ok(())
    }
}

/// The four headers, each once.
fn given(headers: &HeaderMap) -> Result<[&str; 4], Reason> {
    let mut texts = [""; 4];
    for (text, name) in texts.iter_mut().zip(&HEADERS) {
        let mut values = headers.get_all(name).iter();
        let value = values.next().ok_or(Reason::SignatureMissing)?;
        if values.next().is_some() {
            return Err(Reason::SignatureMalformed);
        }
        *text = value.to_str().map_err(|_| Reason::SignatureMalformed)?;
    }
    Ok(texts)
}

/// What is signed. Neither a method, a target nor a header value can contain a line feed, so no two requests have one text.
fn signed_text(head: &Parts, timestamp: &str, nonce: &str, body: &[u8]) -> String {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let body = hex(digest::digest(&digest::SHA256, body).as_ref());
    format!("{}\n{target}\n{timestamp}\n{nonce}\n{body}", head.method)
}

/// Lets a request pass that changes nothing (RFC 9110, 9.2.1) or is signed.
pub(crate) async fn signed(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (route, peer) = (route_of(&request), peer(&request));
    let (head, body) = request.into_parts();
    let read = Bytes::from_request(Request::from_parts(head.clone(), body), &());
    let body = match app.guard.in_time(read, peer, route).await {
        Ok(Ok(body)) => body,
        Err(late) => return late.into_response(),
        Ok(Err(rejection)) => {
            let status = rejection.status();
            let word =
                if status == StatusCode::PAYLOAD_TOO_LARGE { "body_too_large" } else { "unreadable_body" };
            return Problem::new(status, word, rejection.body_text()).into_response();
        }
    };
    match app.guard.judge(&head, &body) {
        Ok(()) => next.run(Request::from_parts(head, Body::from(body))).await,
        Err(reason) => {
            app.guard.rejected(reason, peer, route);
            problem(reason).into_response()
        }
    }
}

fn problem(reason: Reason) -> Problem {
    let detail = match reason {
        Reason::SignatureMissing => {
            "a write needs the headers X-Key-Id, X-Timestamp, X-Nonce and X-Signature"
        }
        Reason::SignatureUnknownKey => "no client has this X-Key-Id",
        Reason::SignatureStale => "X-Timestamp is too far from now",
        Reason::SignatureReplayed => "this very request was taken before; a new one has a new X-Nonce",
        Reason::SignatureWrong => "X-Signature is not the one of this request under this key",
        _ => "each header of a signature is there once; X-Timestamp is in seconds, X-Signature in hex",
    };
    Problem::new(StatusCode::UNAUTHORIZED, reason.name(), detail)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use axum::http::request::Parts;
    use prometheus::IntCounter;
    use ring::hmac;

    use super::{KEY_ID, Signatures, key_of, signed_text};
    use crate::guard::Reason;
    use crate::profile::Profile;
    use crate::session::hex;

    const NOW_S: u64 = 1_700_000_000;

    fn signatures() -> Signatures {
        let dials = Profile::named("hardened").unwrap().dials().clone();
        let narrowed = IntCounter::new("narrowed", "narrowed").unwrap();
        Signatures::seeded(dials.store.seed, &dials.request_signing, narrowed)
    }

    /// The key as README.md has it.
    const KEY: &str = "8be3d55d169325c4db5d2dff6151f5a1d8ddd177d77fa4f5a5985ffd6be46de5";

    #[test]
    fn the_key_of_the_shipped_seed_is_the_one_that_is_written_down() {
        assert_eq!(key_of(20_240, KEY_ID), KEY);
        assert!(include_str!("../../README.md").contains(KEY));
        assert_ne!(key_of(20_241, KEY_ID), KEY);
    }

    fn request(path: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn signed(path: &str, timestamp: &str, nonce: &str, body: &[u8]) -> String {
        let text = signed_text(&request(path, &[]), timestamp, nonce, body);
        hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()), text.as_bytes()).as_ref())
    }

    fn judge(signatures: &Signatures, path: &str, headers: [&str; 4], body: &[u8]) -> Result<(), Reason> {
        let names = ["x-key-id", "x-timestamp", "x-nonce", "x-signature"];
        let headers: Vec<_> = names.into_iter().zip(headers).filter(|(_, value)| *value != "-").collect();
        signatures.judge(&request(path, &headers), body, NOW_S)
    }

    #[test]
    fn what_is_signed_is_written_line_by_line() {
        let text = signed_text(&request("/api/orders?a=1", &[]), "1700000000", "n-1", b"{}");
        insta::assert_snapshot!(text, @r"
        POST
        /api/orders?a=1
        1700000000
        n-1
        44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
        ");
    }

    #[test]
    fn a_signature_holds_for_its_request_alone_and_once() {
        let (all, path, at, body) = (signatures(), "/api/orders?a=1", "1700000000", b"{}".as_slice());
        let signature = signed(path, at, "n", body);
        let right = [KEY_ID, at, "n", signature.as_str()];
        for (other, body) in [("/api/leads?a=1", body), ("/api/orders", body), (path, b"{ }".as_slice())] {
            assert_eq!(judge(&all, other, right, body), Err(Reason::SignatureWrong));
        }
        let wrong = [[KEY_ID, "1700000001", "n", &signature], [KEY_ID, at, "m", &signature]];
        for headers in wrong {
            assert_eq!(judge(&all, path, headers, body), Err(Reason::SignatureWrong));
        }
        assert_eq!(judge(&all, path, right, body), Ok(()));
        assert_eq!(judge(&all, path, right, body), Err(Reason::SignatureReplayed));
        let next = signed(path, at, "n2", body);
        assert_eq!(judge(&all, path, [KEY_ID, at, "n2", &next], body), Ok(()));
    }

    #[test]
    fn what_is_no_signature_is_refused_by_its_reason() {
        let (all, path, at) = (signatures(), "/api/orders", "1700000000");
        let good = signed(path, at, "n", b"");
        for missing in 0..4 {
            let mut headers = [KEY_ID, at, "n", good.as_str()];
            headers[missing] = "-";
            assert_eq!(judge(&all, path, headers, b""), Err(Reason::SignatureMissing));
        }
        let long = "n".repeat(65);
        let malformed = [
            [KEY_ID, "soon", "n", &good],
            [KEY_ID, "-1", "n", &good],
            [KEY_ID, at, "", &good],
            [KEY_ID, at, &long, &good],
            [KEY_ID, at, "n", "00"],
            [KEY_ID, at, "n", &good[1..]],
        ];
        for headers in malformed {
            assert_eq!(judge(&all, path, headers, b""), Err(Reason::SignatureMalformed), "{headers:?}");
        }
        let unknown = ["shop-app", at, "n", good.as_str()];
        assert_eq!(judge(&all, path, unknown, b""), Err(Reason::SignatureUnknownKey));
        for stale in ["1699999699", "1700000301"] {
            let signature = signed(path, stale, "n", b"");
            assert_eq!(judge(&all, path, [KEY_ID, stale, "n", &signature], b""), Err(Reason::SignatureStale));
        }
    }
}
