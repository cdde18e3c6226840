//! The rate limiter: so many requests a user and window, and a block for whoever asks for more. A window begins with a user's
//! first request, not with the calendar, so users who came at different times do not all get their points back at once. A
//! request during a block is rejected and does not lengthen it; when it is over, a whole new window begins.
//!
//! It is one map behind one lock, held for a look-up and never across an await. The cache's library would not do: whether a
//! full cache takes a key in depends on how often it was asked for, and a user it does not take in would not be limited at
//! all. Here every user is counted exactly. What bounds the memory is that accounts are also kept in the order of their ends:
//! those that have ended go as requests come, and when there is no room for another the first to end makes it.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::StatusCode;
use prometheus::IntCounter;

use crate::profile;
use crate::routes::Problem;
use crate::session::{self, Tokens};

/// Ended accounts that one request clears away: more than the one that it may add, so that they never pile up, and few, so
/// that nobody's request pays for a crowd that left.
const CLEARED_PER_REQUEST: usize = 2;

/// Where a connection comes from, as the kernel says it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Whom a request counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum User {
    Known(u32),
    Address(IpAddr),
}

impl User {
    /// The user of a token of ours, or else the address of the connection. A token that is none of ours makes no user, or
    /// everybody could be as many as they like; for the same reason `X-Forwarded-For` is not read, which anybody can write.
    pub(crate) fn of(request: &Request, tokens: &Tokens) -> Self {
        let known = session::bearer(request.headers()).and_then(|token| tokens.user_id(token));
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
}

/// Judges requests; off when the dial for the points is zero.
pub(crate) struct Limiter {
    accounts: Option<Mutex<Accounts>>,
    terms: Terms,
    figures: Figures,
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
    pub(crate) fn new(dials: &profile::RateLimiter, figures: Figures) -> Self {
        let terms = Terms {
            points: dials.points,
            window: Duration::from_millis(dials.window_ms),
            block: Duration::from_millis(dials.block_ms),
            users_max: dials.max_users,
        };
        let accounts = (terms.points > 0).then(|| Mutex::new(Accounts::under(terms)));
        Self { accounts, terms, figures }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.accounts.is_some()
    }

    /// Takes a point from the user; where there is none left, how long it is until there is.
    pub(crate) fn rejects(&self, user: impl FnOnce() -> User, now: Instant) -> Option<Duration> {
        let accounts = self.accounts.as_ref()?;
        let user = user();
        let taken = lock(accounts).take(user, now);
        self.figures.forgotten.inc_by(u64::from(taken.forgot_another));
        match taken.wait {
            None => self.figures.allowed.inc(),
            Some(_) => self.figures.rejected.inc(),
        }
        taken.wait
    }

    /// Users remembered at this instant.
    pub(crate) fn users(&self) -> usize {
        self.accounts.as_ref().map_or(0, |accounts| lock(accounts).by_user.len())
    }

    /// What a rejected request is answered.
    pub(crate) fn problem(&self, wait: Duration) -> Problem {
        let Terms { points, window, .. } = self.terms;
        let detail =
            format!("a user may ask {points} times in {window:?}; ask again when Retry-After has passed");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(wait)
    }
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taken {
    /// None when it may pass.
    wait: Option<Duration>,
    forgot_another: bool,
}

/// One user's window or block.
#[derive(Clone, Copy, Debug)]
struct Account {
    points_left: u32,
    blocked: bool,
    ends: Instant,
}

/// The accounts of all users, by user and by when they end.
#[derive(Debug)]
struct Accounts {
    terms: Terms,
    by_user: HashMap<User, Account>,
    by_end: BTreeSet<(Instant, User)>,
}

impl Accounts {
    fn under(terms: Terms) -> Self {
        Self { terms, by_user: HashMap::new(), by_end: BTreeSet::new() }
    }

    fn take(&mut self, user: User, now: Instant) -> Taken {
        self.clear_ended(now);
        let Terms { block, .. } = self.terms;
        let Some(account) = self.by_user.get_mut(&user).filter(|account| now < account.ends) else {
            return Taken { wait: None, forgot_another: self.open(user, now) };
        };
        if account.points_left > 0 {
            account.points_left -= 1;
            return Taken { wait: None, forgot_another: false };
        }
        if !account.blocked && !block.is_zero() {
            self.by_end.remove(&(account.ends, user));
            (account.blocked, account.ends) = (true, now + block);
            self.by_end.insert((account.ends, user));
        }
        Taken { wait: Some(account.ends.duration_since(now)), forgot_another: false }
    }

    /// Begins a window with its first request; whether another user had to be forgotten for it.
    fn open(&mut self, user: User, now: Instant) -> bool {
        if let Some(ended) = self.by_user.remove(&user) {
            self.by_end.remove(&(ended.ends, user));
        }
        let forgot =
            self.by_user.len() >= self.terms.users_max && self.forget_first().is_some_and(|end| end > now);
        let ends = now + self.terms.window;
        self.by_user.insert(user, Account { points_left: self.terms.points - 1, blocked: false, ends });
        self.by_end.insert((ends, user));
        forgot
    }

    fn clear_ended(&mut self, now: Instant) {
        for _ in 0..CLEARED_PER_REQUEST {
            if self.by_end.first().is_some_and(|(end, _)| *end <= now) {
                self.forget_first();
            }
        }
    }

    /// Forgets the user whose account ends first; when that would have been.
    fn forget_first(&mut self) -> Option<Instant> {
        let (end, user) = self.by_end.pop_first()?;
        self.by_user.remove(&user);
        Some(end)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
