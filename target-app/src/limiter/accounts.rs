//! The accounts of all users that one process keeps for itself. What bounds the memory is that they are also kept in the order of their
//! ends: those that have ended go as requests come, and when there is no room for another the first to end makes it.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::{Terms, User};

/// Ended accounts that one request clears away: more than the one that it may add, so that they never pile up, and few, so
/// that nobody's request pays for a crowd that left.
const CLEARED_PER_REQUEST: usize = 2;

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// None when it may pass.
    pub(super) wait: Option<Duration>,
    pub(super) forgot_another: bool,
}

/// One user's window or block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) points_left: u32,
    pub(super) blocked: bool,
    pub(super) ends: Instant,
}

/// The accounts of all users, by user and by when they end.
#[derive(Debug)]
pub(super) struct Accounts {
    terms: Terms,
    pub(super) by_user: HashMap<User, Account>,
    pub(super) by_end: BTreeSet<(Instant, User)>,
}

impl Accounts {
    pub(super) fn under(terms: Terms) -> Self {
        Self { terms, by_user: HashMap::new(), by_end: BTreeSet::new() }
    }

    /// Takes a point from the user.
    pub(super) fn take(&mut self, user: User, now: Instant) -> Taken {
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

    /// Users remembered.
    pub(super) fn len(&self) -> usize {
        self.by_user.len()
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
