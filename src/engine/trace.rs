//! One iteration of one user by the code that runs do, with an ear on it.

use super::control::Control;
use super::session::Number;
use super::shard::{Setup, Shard};
use super::tap::{Event, Tap, Told};
use super::user::User;
use std::rc::Rc;
use tokio::sync::mpsc;

/// Which user, and how to look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Index of the load part it belongs to.
    pub part: usize,
    pub user: u64,
    pub skips_thinks: bool,
}

/// Runs the first iteration of the subject to its end and tells `events` of it; true if nothing in it failed. It has the random choices
/// that this user has in a run of the plan.
pub async fn trace(setup: Setup, subject: Subject, events: mpsc::Sender<Told>) -> bool {
    let tap = Tap::new(events, &setup.plan.redact, subject.skips_thinks);
    let shard = Rc::new(Shard::traced(setup, tap));
    let Some(part) = shard.part(subject.part) else { return false };
    let user = User::new(&shard, &part, Rc::new(Control::default()), Number::plain(subject.user));
    let how = tokio::task::LocalSet::new().run_until(user.once()).await;
    if let Some(tap) = &shard.tap {
        tap.tell(&shard, Event::Ended { how });
    }
    how == COMPLETED
}

/// The word for an iteration in which nothing failed.
pub(super) const COMPLETED: &str = "completed";
