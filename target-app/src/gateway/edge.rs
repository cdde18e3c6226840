//! The edge cache (L3 of three, the shop's CDN): answers kept in the gateway as their `Cache-Control` allows a shared cache
//! (RFC 9111; the rules are those of the crate `http-cache-semantics`). What is missing is fetched once, however many ask for
//! it at that moment; what has expired is asked for with its `ETag`, so that the app need not send it again.
//!
//! A path whose answer may not be kept is remembered until nobody has asked for a while, and nobody waits for another's answer
//! there. Nor does anybody wait twice: of an app that fails nothing is kept, and its clients would be let through one by one. What
//! is kept is one answer a path, the newest; `Vary` decides whom it is for. Besides what RFC 9111 forbids, an answer that sets a cookie is
//! not kept, nor one whose length is not said, since it is passed on as it comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::response::Parts;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use http_cache_semantics::{AfterResponse, BeforeRequest, CacheOptions, CachePolicy};
use hyper::body::{Bytes, Incoming};
use moka::future::Cache;
use moka::notification::RemovalCause;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Gateway;
use super::figures::{EdgeFigures, EdgeReadings};
use super::proxy::{relayed, tokens};
use super::upstream::{Failure, Relayed};
use crate::clock;
use crate::routes::Problem;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// How long it is remembered that the last answer of a path may not be kept.
const PASSED_FOR: Duration = Duration::from_secs(10);
const PASSED_MAX: u64 = 10_000;
/// The largest answer kept is this part of the whole cache.
const LARGEST_PART: u64 = 8;
/// Of a part of an answer, or one on a condition that only the app can judge, nothing is kept.
const CONDITIONS: [HeaderName; 4] =
    [header::RANGE, header::IF_RANGE, header::IF_MATCH, header::IF_UNMODIFIED_SINCE];

/// What the cache had to do with an answer; the words of `X-Cache`.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Hit,
    Miss,
    Revalidated,
    Bypass,
}

/// Answers by host and path; off when the dial for its size is zero.
pub(super) struct Edge {
    kept: Option<Kept>,
    figures: EdgeFigures,
}

struct Kept {
    answers: Cache<String, Arc<Answer>>,
    passed: Cache<String, ()>,
    /// What is being fetched now; whoever waits is woken when the sender goes.
    fetching: Mutex<HashMap<String, watch::Receiver<()>>>,
    bytes_max: u64,
}

struct Answer {
    policy: CachePolicy,
    etag: Option<HeaderValue>,
    /// What may be given to those who show who they are.
    public: bool,
    body: Bytes,
    weight: u32,
}

/// A request that the cache may answer.
struct Wish {
    head: bool,
    /// Whether the client has something already.
    conditional: bool,
    headers: HeaderMap,
    /// The same for whoever asks: a GET for the whole answer, without the conditions of this client, which are judged here.
    whole: Request<()>,
}

impl Wish {
    fn of(request: &Request<Body>) -> Self {
        let mut whole = Request::new(());
        *whole.uri_mut() = request.uri().clone();
        *whole.headers_mut() = request.headers().clone();
        let mut conditional = false;
        for condition in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
            conditional |= whole.headers_mut().remove(condition).is_some();
        }
        let head = *request.method() == Method::HEAD;
        Self { head, conditional, headers: request.headers().clone(), whole }
    }
}

impl Edge {
    pub(super) fn of(bytes_max: u64, figures: EdgeFigures) -> Self {
        let kept = (bytes_max > 0).then(|| Kept {
            answers: {
                let evicted = figures.evicted.clone();
                Cache::builder()
                    .max_capacity(bytes_max)
                    .weigher(|_, answer: &Arc<Answer>| answer.weight)
                    .eviction_listener(move |_, _, cause| {
                        evicted.inc_by(u64::from(cause == RemovalCause::Size));
                    })
                    .build()
            },
            passed: Cache::builder().max_capacity(PASSED_MAX).time_to_live(PASSED_FOR).build(),
            fetching: Mutex::default(),
            bytes_max,
        });
        Self { kept, figures }
    }

    pub(super) fn readings(&self) -> EdgeReadings {
        self.kept.as_ref().map_or_else(EdgeReadings::default, |kept| EdgeReadings {
            bytes: kept.answers.weighted_size(),
            bytes_max: kept.bytes_max,
        })
    }

    /// Does what the cache has put off.
    pub(super) async fn keep(&self) {
        if let Some(kept) = &self.kept {
            kept.answers.run_pending_tasks().await;
        }
    }
}

/// The answer to a request, from the cache or the app.
pub(super) async fn answer(gateway: &Gateway, request: Request<Body>) -> Response<Body> {
    let Some(kept) = &gateway.edge.kept else { return gateway.forward(request).await };
    let key = key_of(&request);
    if !request.method().is_safe() {
        let response = gateway.forward(request).await;
        if response.status().is_success() || response.status().is_redirection() {
            // What was kept is of before (RFC 9111, 4.4).
            kept.answers.invalidate(&key).await;
        }
        return bypass(gateway, response);
    }
    if !may_be_kept(&request) {
        return bypass(gateway, gateway.forward(request).await);
    }
    let wish = Wish::of(&request);
    let identified = wish.headers.contains_key(header::AUTHORIZATION);
    let mut waited = false;
    loop {
        let answer = kept.answers.get(&key).await.filter(|answer| answer.public || !identified);
        let stale = match answer {
            Some(answer) => match answer.policy.before_request(&wish.whole, now()) {
                BeforeRequest::Fresh(parts) => {
                    return gateway.edge.give(Outcome::Hit, &wish, &answer, parts);
                }
                BeforeRequest::Stale { request: again, matches } => {
                    matches.then_some((answer, again.headers))
                }
            },
            None => None,
        };
        let passed = kept.passed.contains_key(&key);
        if wish.head || (passed && wish.conditional) {
            return bypass(gateway, gateway.forward(request).await);
        }
        if passed || waited {
            return kept.fetch(gateway, &key, &wish, stale).await;
        }
        match kept.fetches(&key) {
            Ok(_fetching) => return kept.fetch(gateway, &key, &wish, stale).await,
            Err(mut other) => {
                // That the sender is gone is what is waited for; else the time is up. Either way it was enough.
                let _ = timeout(gateway.upstream.patience, other.changed()).await;
                waited = true;
            }
        }
    }
}

impl Kept {
    /// Fetches what is missing or has expired, and keeps it if it may.
    async fn fetch(
        &self,
        gateway: &Gateway,
        key: &str,
        wish: &Wish,
        stale: Option<(Arc<Answer>, HeaderMap)>,
    ) -> Response<Body> {
        let mut outward = Request::new(Body::empty());
        *outward.uri_mut() = wish.whole.uri().clone();
        *outward.headers_mut() =
            stale.as_ref().map_or_else(|| wish.whole.headers().clone(), |(_, headers)| headers.clone());
        let (response, lease) = match gateway.fetch(outward).await {
            Ok(answer) => answer,
            Err(problem) => return bypass(gateway, problem.into_response()),
        };
        if response.status() == StatusCode::NOT_MODIFIED
            && let Some((answer, _)) = &stale
        {
            let (parts, body) = response.into_parts();
            // It has no body, so its connection is kept.
            drop(Relayed::new(body, lease));
            let response = Response::from_parts(parts, ());
            if let Some(response) = self.renew(gateway, key, wish, answer, &response).await {
                return response;
            }
            // It is not ours that has not changed.
            self.answers.invalidate(key).await;
            return Box::pin(self.fetch(gateway, key, wish, None)).await;
        }
        let policy = CachePolicy::new_options(&wish.whole, &response, now(), CacheOptions::default());
        let Some(length) = self.length_to_keep(&policy, &response) else {
            // An error of the app may be over with the next request.
            if !response.status().is_server_error() {
                self.passed.insert(key.to_owned(), ()).await;
            }
            return bypass(gateway, relayed(response, lease));
        };
        let (parts, body) = response.into_parts();
        let read = to_bytes(Body::new(Relayed::new(body, lease)), length);
        let Ok(read) = timeout(gateway.upstream.patience, read).await else {
            gateway.figures.failed(Failure::Timeout.reason());
            return bypass(gateway, Problem::from(Failure::Timeout).into_response());
        };
        let Ok(body) = read else {
            gateway.figures.failed("broken");
            let detail = "the connection to the app broke in mid-answer";
            return bypass(
                gateway,
                Problem::new(StatusCode::BAD_GATEWAY, "bad_gateway", detail).into_response(),
            );
        };
        let answer = Arc::new(Answer {
            etag: parts.headers.get(header::ETAG).cloned(),
            public: public(&parts.headers),
            weight: weight(key, &parts.headers, &body),
            policy,
            body,
        });
        self.answers.insert(key.to_owned(), Arc::clone(&answer)).await;
        self.passed.invalidate(key).await;
        gateway.edge.give(Outcome::Miss, wish, &answer, parts)
    }

    /// Keeps an expired answer for another while, if it is the one that has not changed.
    async fn renew(
        &self,
        gateway: &Gateway,
        key: &str,
        wish: &Wish,
        answer: &Answer,
        response: &Response<()>,
    ) -> Option<Response<Body>> {
        let renewed = answer.policy.after_response(&wish.whole, response, now());
        let AfterResponse::NotModified(policy, parts) = renewed else { return None };
        let answer = Arc::new(Answer {
            etag: parts.headers.get(header::ETAG).cloned(),
            public: public(&parts.headers),
            weight: answer.weight,
            body: answer.body.clone(),
            policy,
        });
        self.answers.insert(key.to_owned(), Arc::clone(&answer)).await;
        Some(gateway.edge.give(Outcome::Revalidated, wish, &answer, parts))
    }

    /// The length of an answer that may be kept and would be of use.
    fn length_to_keep(&self, policy: &CachePolicy, response: &Response<Incoming>) -> Option<usize> {
        let fresh = policy.is_storable() && !policy.time_to_live(now()).is_zero();
        let headers = response.headers();
        if !fresh || headers.contains_key(header::SET_COOKIE) {
            return None;
        }
        let length: u64 = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
        (length <= self.bytes_max / LARGEST_PART).then(|| usize::try_from(length).ok())?
    }

    /// The right to fetch, or who has it now.
    fn fetches(&self, key: &str) -> Result<Fetching<'_>, watch::Receiver<()>> {
        let mut fetching = self.fetching();
        if let Some(other) = fetching.get(key) {
            return Err(other.clone());
        }
        let (sender, receiver) = watch::channel(());
        fetching.insert(key.to_owned(), receiver);
        Ok(Fetching { kept: self, key: key.to_owned(), _sender: sender })
    }

    fn fetching(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<()>>> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to fetch one answer; whoever waits is woken when it is dropped, however that comes about.
struct Fetching<'a> {
    kept: &'a Kept,
    key: String,
    _sender: watch::Sender<()>,
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.kept.fetching().remove(&self.key);
    }
}

impl Edge {
    /// An answer that is kept, for this request.
    fn give(&self, outcome: Outcome, wish: &Wish, answer: &Answer, mut parts: Parts) -> Response<Body> {
        // Of now, which the server says itself.
        parts.headers.remove(header::DATE);
        parts.headers.insert(X_CACHE, self.count(outcome));
        let known = answer.etag.as_ref().is_some_and(|etag| names(&wish.headers, etag));
        if known && parts.status == StatusCode::OK {
            parts.status = StatusCode::NOT_MODIFIED;
            parts.headers.remove(header::CONTENT_LENGTH);
            parts.headers.remove(header::CONTENT_TYPE);
            return Response::from_parts(parts, Body::empty());
        }
        let body = if wish.head { Body::empty() } else { Body::from(answer.body.clone()) };
        Response::from_parts(parts, body)
    }

    fn count(&self, outcome: Outcome) -> HeaderValue {
        let (counter, word) = match outcome {
            Outcome::Hit => (&self.figures.hits, "HIT"),
            Outcome::Miss => (&self.figures.misses, "MISS"),
            Outcome::Revalidated => (&self.figures.revalidated, "REVALIDATED"),
            Outcome::Bypass => (&self.figures.bypassed, "BYPASS"),
        };
        counter.inc();
        HeaderValue::from_static(word)
    }
}

fn bypass(gateway: &Gateway, mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(X_CACHE, gateway.edge.count(Outcome::Bypass));
    response
}

/// One answer a host and path, with its query.
fn key_of(request: &Request<Body>) -> String {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    format!("{host}{}", request.uri())
}

fn may_be_kept(request: &Request<Body>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && hyper::body::Body::is_end_stream(request.body())
        && !CONDITIONS.iter().any(|condition| request.headers().contains_key(condition))
}

/// Whether a shared cache may give it to those who show who they are (RFC 9111, 3.5).
fn public(headers: &HeaderMap) -> bool {
    tokens(headers, &header::CACHE_CONTROL).any(|directive| directive.eq_ignore_ascii_case("public"))
}

/// Whether the client has this answer already; compared weakly (RFC 9110, 13.1.2).
fn names(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim_start_matches("W/").to_owned();
    let Ok(etag) = etag.to_str().map(opaque) else { return false };
    tokens(headers, &header::IF_NONE_MATCH).any(|tag| tag == "*" || opaque(tag) == etag)
}

/// What an answer takes of the cache, in bytes.
fn weight(key: &str, headers: &HeaderMap, body: &Bytes) -> u32 {
    let headers: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    u32::try_from(key.len() + headers + body.len()).unwrap_or(u32::MAX)
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(clock::unix_ms())
}
