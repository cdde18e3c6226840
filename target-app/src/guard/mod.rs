//! The protections that judge a request: whether its origin may ask (`origin`), whether a write is signed (`signature`), and
//! what a browser is told with every answer (`headers`); and how long it may take to send one. What any protection turns away, those elsewhere too, is counted
//! here by its reason and told to the audit log, so one counter has all of it.

mod headers;
mod origin;
mod rejection;
mod replay;
mod signature;

pub use origin::{NotAnOrigin, Origin};
pub(crate) use rejection::{Figures, Reason};
pub(crate) use signature::{HEADERS as SIGNATURE_HEADERS, signed};

use std::future::Future;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use serde_json::json;
use tower_http::cors::CorsLayer;

use self::origin::Origins;
use self::signature::Signatures;
use crate::audit::Audit;
use crate::clock;
use crate::limiter::Peer;
use crate::profile::{Cors, Dials, Switch, TlsVersion};
use crate::route::Route;
use crate::routes::Problem;

/// The protections of one app. Those whose dial is off are none.
pub(crate) struct Guard {
    origins: Option<Origins>,
    signatures: Option<Signatures>,
    headers: bool,
    /// How long a body may take as a whole.
    body_lasts: Option<Duration>,
    tls: bool,
    audit: Audit,
    figures: Figures,
}

impl Guard {
    /// `listed` are the origins that may ask besides the app's own.
    pub(crate) fn new(dials: &Dials, listed: &[Origin], audit: Audit, figures: Figures) -> Self {
        let tls = dials.tls.version == TlsVersion::Tls13;
        let signing = &dials.request_signing;
        Self {
            origins: (dials.security.cors == Cors::Strict).then(|| Origins::of(listed, tls)),
            signatures: (signing.required == Switch::On).then(|| {
                let narrowed = figures.signature_window_narrowed.clone();
                Signatures::seeded(dials.store.seed, signing, narrowed)
            }),
            headers: dials.security.headers == Switch::On,
            body_lasts: match dials.http.body_read_timeout_ms {
                0 => None,
                ms => Some(Duration::from_millis(ms)),
            },
            tls,
            audit,
            figures,
        }
    }

    /// Whether anything here asks where a request comes from.
    pub(crate) fn asks_for_peers(&self) -> bool {
        self.audit.is_on()
    }

    pub(crate) fn audit(&self) -> &Audit {
        &self.audit
    }

    /// What answers the preflights of listed origins, and tells them that they may read an answer.
    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        self.origins.as_ref().map(Origins::layer)
    }

    /// Whether writes have to be signed.
    pub(crate) fn asks_for_signatures(&self) -> bool {
        self.signatures.is_some()
    }

    /// Why a request may not ask at all, judged by its head.
    pub(crate) fn refuses(&self, request: &Request, route: &Route) -> Option<Problem> {
        let foreign = self.origins.as_ref().is_some_and(|origins| origins.foreign(request.headers()));
        foreign.then(|| {
            self.rejected(Reason::ForeignOrigin, peer(request), route);
            Problem::new(
                StatusCode::FORBIDDEN,
                Reason::ForeignOrigin.name(),
                "the Origin of this request is not among those that may ask",
            )
        })
    }

    /// What `read` makes of a body that comes in time. The time is that of the whole: a client that sends a byte now and then is never idle.
    pub(crate) async fn in_time<T>(
        &self,
        read: impl Future<Output = T>,
        peer: Option<Peer>,
        route: &Route,
    ) -> Result<T, Problem> {
        let Some(lasts) = self.body_lasts else { return Ok(read.await) };
        tokio::time::timeout(lasts, read).await.map_err(|_| {
            self.rejected(Reason::BodyTimeout, peer, route);
            let detail = format!("the body of this request was not there within {lasts:?}");
            Problem::new(StatusCode::REQUEST_TIMEOUT, Reason::BodyTimeout.name(), detail)
        })
    }

    /// Counts what a protection turned away.
    pub(crate) fn rejected(&self, reason: Reason, peer: Option<Peer>, route: &Route) {
        self.figures.rejected(reason);
        self.audit.record(
            "rejected",
            peer,
            || json!({"reason": reason.name(), "route": route.name().trim_start()}),
        );
    }

    /// Counts a connection that a protection ended before it made a request.
    pub(crate) fn connection_rejected(&self, reason: Reason, peer: Option<Peer>) {
        self.figures.rejected(reason);
        self.audit.record("rejected", peer, || json!({"reason": reason.name()}));
    }

    /// Adds what browsers are told with every answer.
    pub(crate) fn dress(&self, response: &mut HeaderMap) {
        if self.headers {
            headers::add(response, self.tls);
        }
    }

    /// Why the signature of a write is not taken, if writes need one.
    fn judge(&self, head: &axum::http::request::Parts, body: &[u8]) -> Result<(), Reason> {
        match &self.signatures {
            Some(signatures) => signatures.judge(head, body, clock::unix_ms() / 1_000),
            None => Ok(()),
        }
    }
}

/// Where a request comes from, if anything asked for that.
pub(crate) fn peer(request: &Request) -> Option<Peer> {
    request.extensions().get::<Peer>().copied()
}
