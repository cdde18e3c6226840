//! What the executor and one of its users share, and the accounting of a user's end: whichever way a user goes (it leaves, is cut off,
//! or its code panics), dropping its [`Presence`] counts what it was in the middle of. There is no second place that does.

use super::part::Part;
use super::shard::Shard;
use crate::clock::Nanos;
use crate::measure::recorder::Recorder;
use crate::measure::sample::UnderWay;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Debug, Default)]
pub(super) struct Control {
    /// Leave at the end of the iteration.
    pub(super) retire: Cell<bool>,
    /// When it was told to.
    pub(super) retired_ns: Cell<Nanos>,
    /// The last beat of its pacing that it got to.
    pub(super) beat: Cell<Option<Beat>>,
    /// Start of the iteration under way.
    pub(super) iteration_since: Cell<Option<Nanos>>,
    /// The request that it waits for.
    pub(super) under_way: Cell<Option<UnderWay>>,
    /// The user, where it waits for something that may be long in coming and would rather leave.
    waiting: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    pub(super) at_ns: Nanos,
    pub(super) every_ns: Nanos,
}

impl Control {
    /// Tells the user to leave, when it next asks.
    pub(super) fn retire_at(&self, now: Nanos) {
        self.retire.set(true);
        self.retired_ns.set(now);
    }

    /// Has it ask now, where it waits for something that may be long in coming.
    pub(super) fn wake(&self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// Whether the user was told to leave. If not, it is woken when it is.
    pub(super) fn poll_dismissed(&self, context: &Context<'_>) -> bool {
        if !self.retire.get() {
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                *waiting = Some(context.waker().clone());
            }
        }
        self.retire.get()
    }

    /// What comes of something that may be long in coming, or nothing if the user is told to leave before.
    pub(super) async fn unless_dismissed<T>(&self, coming: impl Future<Output = T>) -> Option<T> {
        let mut coming = std::pin::pin!(coming);
        std::future::poll_fn(|context| match coming.as_mut().poll(context) {
            Poll::Ready(come) => Poll::Ready(Some(come)),
            Poll::Pending if self.poll_dismissed(context) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Whether a user who was told to leave has beats left that had come before. It keeps them late as long as its graceful stop lets it,
    /// as queued arrivals are; nothing is begun any more once the part drains. Nor by users whom a search sends away: what they owe a level
    /// would be measured as part of the next.
    pub(super) fn is_behind(&self, part: &Part) -> bool {
        !part.draining.get() && !part.steered && self.beats_missed() > 0
    }

    /// Counts the beats that had come before the user was told to leave, and that it has not got to: they were planned, and are dropped. It owes
    /// none from then on.
    pub(super) fn drop_missed(&self, recorder: &mut Recorder) {
        let missed = self.beats_missed();
        recorder.counts.planned += missed;
        recorder.counts.dropped += missed;
        self.beat.take();
    }

    fn beats_missed(&self) -> u64 {
        let since = |beat: Beat| self.retired_ns.get().saturating_sub(beat.at_ns) / beat.every_ns.max(1);
        self.beat.get().map_or(0, since)
    }
}

/// A user is there from the making of this until its drop.
pub(super) struct Presence {
    shard: Rc<Shard>,
    part: Rc<Part>,
    control: Rc<Control>,
}

impl Presence {
    pub(super) fn begin(shard: &Rc<Shard>, part: &Rc<Part>, control: &Rc<Control>) -> Self {
        part.live.set(part.live.get() + 1);
        Self { shard: Rc::clone(shard), part: Rc::clone(part), control: Rc::clone(control) }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let now = self.shard.clock.now();
        let mut recorder = self.shard.recorder.borrow_mut();
        self.control.drop_missed(&mut recorder);
        if let Some(since) = self.control.iteration_since.take() {
            recorder.counts.interrupted += 1;
            recorder.interrupted_age(now.saturating_sub(since));
        }
        if let Some(request) = self.control.under_way.take() {
            recorder.interrupted_request(request, now);
        }
        drop(recorder);
        self.part.live.set(self.part.live.get() - 1);
        self.part.freed.notify_one();
    }
}
