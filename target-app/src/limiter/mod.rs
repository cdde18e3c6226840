//! The rate limiter: so many requests a user and window, and a block for whoever asks for more. A window begins with a user's
//! first request, not with the calendar, so users who came at different times do not all get their points back at once. A
//! request during a block is rejected and does not lengthen it; when it is over, a whole new window begins.
//!
//! The points are kept in the process (see [`accounts`]) or, for all replicas together, in Redis (see [`shared`]). In the process they are
//! one map behind one lock, held for a look-up and never across an await. The cache's library would not do: whether a full cache takes a
//! key in depends on how often it was asked for, and a user it does not take in would not be limited at all.

mod accounts;
mod shared;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use prometheus::IntCounter;

use self::accounts::Accounts;
use crate::lock::lock;
use crate::profile::{self, LimiterBackend};
use crate::redis::{Redis, Unanswered};
use crate::routes::Problem;
use crate::session::{self, Tokens};

/// Where a connection comes from, as the kernel says it, to this process or to the gateway in front of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    /// Whom the gateway had the request from: the last of those named, since it adds them at the end.
    pub(crate) fn named_by_gateway(headers: &HeaderMap) -> Option<Self> {
        let last = headers.get_all("x-forwarded-for").into_iter().next_back()?;
        last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok().map(Self)
    }
}

/// Whom a request counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum User {
    Known(u32),
    Address(IpAddr),
}

impl User {
    /// The user of a token of ours, or else the address of the connection. A token that is none of ours makes no user, or
    /// everybody could be as many as they like; for the same reason only what our own gateway adds to `X-Forwarded-For` is read.
    /// Nor does one that has expired: whoever kept old ones would be so many users for ever, and could use up the points of theirs.
    pub(crate) fn of(request: &Request, tokens: &Tokens, now_ms: u64) -> Self {
        let known = session::bearer(request.headers()).and_then(|token| tokens.user_id(token, now_ms).ok());
        let address = || request.extensions().get::<Peer>().map(|peer| peer.0.to_canonical());
        // Connections that come from nowhere, of which the server has none, are one user together.
        known.map_or_else(|| Self::Address(address().unwrap_or(Ipv4Addr::UNSPECIFIED.into())), Self::Known)
    }
}

/// What the limiter counts, made by whoever owns the registry.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) allowed: IntCounter,
    pub(crate) rejected: IntCounter,
    /// Users who got their points back early, because there was no room to remember them.
    pub(crate) forgotten: IntCounter,
    /// Requests that passed because Redis did not answer.
    pub(crate) unjudged: IntCounter,
}

/// Judges requests; off when the dial for the points is zero.
pub(crate) struct Limiter {
    ledger: Option<Ledger>,
    terms: Terms,
    figures: Figures,
}

/// Where the points are kept.
enum Ledger {
    Own(Mutex<Accounts>),
    Shared(Redis),
}

/// The dials.
#[derive(Clone, Copy, Debug)]
struct Terms {
    points: u32,
    window: Duration,
    block: Duration,
    users_max: usize,
}

impl Limiter {
    /// `redis` is there if the dials ask for it.
    pub(crate) fn new(dials: &profile::RateLimiter, redis: Option<Redis>, figures: Figures) -> Self {
        let terms = Terms {
            points: dials.points,
            window: Duration::from_millis(dials.window_ms),
            block: Duration::from_millis(dials.block_ms),
            users_max: dials.max_users,
        };
        let ledger = (terms.points > 0).then(|| match (dials.backend, redis) {
            (LimiterBackend::Redis, Some(redis)) => Ledger::Shared(redis),
            _ => Ledger::Own(Mutex::new(Accounts::under(terms))),
        });
        Self { ledger, terms, figures }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.ledger.is_some()
    }

    /// Takes a point from the user; where there is none left, how long it is until there is.
    pub(crate) async fn rejects(&self, user: User, now: Instant) -> Option<Duration> {
        let wait = match self.ledger.as_ref()? {
            Ledger::Own(accounts) => {
                let taken = lock(accounts).take(user, now);
                self.figures.forgotten.inc_by(u64::from(taken.forgot_another));
                taken.wait
            }
            // Boxed: it should not make the task of everyone larger.
            Ledger::Shared(redis) => match Box::pin(shared::take(redis, user, self.terms)).await {
                Ok(wait) => wait,
                // A shop that is closed to all because its limiter is down would be worse than one without.
                Err(Unanswered) => {
                    self.figures.unjudged.inc();
                    return None;
                }
            },
        };
        match wait {
            None => self.figures.allowed.inc(),
            Some(_) => self.figures.rejected.inc(),
        }
        wait
    }

    /// Users that this process remembers at this instant.
    pub(crate) fn users(&self) -> usize {
        match &self.ledger {
            Some(Ledger::Own(accounts)) => lock(accounts).len(),
            _ => 0,
        }
    }

    /// What a rejected request is answered.
    pub(crate) fn problem(&self, wait: Duration) -> Problem {
        let Terms { points, window, .. } = self.terms;
        let detail =
            format!("a user may ask {points} times in {window:?}; ask again when Retry-After has passed");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(wait)
    }
}

#[cfg(test)]
mod tests;
