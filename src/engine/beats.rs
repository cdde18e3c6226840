//! The beats of paced users. Each is an instant that the plan gave, so like an arrival it is kept by a precise timer: tokio's own rounds up
//! to whole milliseconds, and a response time that counts from the beat would hold that rounding. One timer descriptor serves all
//! users of a shard, however many.

use super::pacer::Pacer;
use crate::clock::{Clock, Nanos};
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::task::{Poll, Waker};
use tokio::sync::Notify;

/// Fewer are not worth sweeping.
const SWEPT_MIN: usize = 1_024;

pub(super) struct Beats {
    clock: Clock,
    /// Earliest first. With those of users that have left, which come to nothing, at most twice as many as the last sweep found waiting.
    waiting: RefCell<BinaryHeap<Waiting>>,
    /// At how many the ones that come to nothing are swept out.
    swept: Cell<usize>,
    /// One that is sooner than all others has come.
    sooner: Notify,
}

struct Waiting {
    at: Reverse<Nanos>,
    sleeper: Sleeper,
}

/// Who is to be woken.
type Sleeper = Rc<Cell<Option<Waker>>>;

/// Forgets the waker however the wait ends: it keeps the memory of its task, and the beat of a user who leaves may be far away.
struct Asleep(Sleeper);

impl Drop for Asleep {
    fn drop(&mut self) {
        self.0.take();
    }
}

impl Beats {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, waiting: RefCell::default(), swept: Cell::new(SWEPT_MIN), sooner: Notify::new() }
    }

    /// Waits until the clock reads `at`, as long as [`Beats::run`] does.
    pub(super) async fn until(&self, at: Nanos) {
        let mut asleep: Option<Asleep> = None;
        std::future::poll_fn(|context| {
            if self.clock.now() >= at {
                return Poll::Ready(());
            }
            let Asleep(sleeper) = asleep.get_or_insert_with(|| {
                let sleeper = Sleeper::default();
                self.wait(Waiting { at: Reverse(at), sleeper: Rc::clone(&sleeper) });
                Asleep(sleeper)
            });
            let known = sleeper.take().filter(|waker| waker.will_wake(context.waker()));
            sleeper.set(Some(known.unwrap_or_else(|| context.waker().clone())));
            Poll::Pending
        })
        .await;
    }

    fn wait(&self, new: Waiting) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.swept.get() {
            // Of who has left nobody else holds the sleeper.
            waiting.retain(|one| Rc::strong_count(&one.sleeper) > 1);
            self.swept.set((2 * waiting.len()).max(SWEPT_MIN));
        }
        let sooner = waiting.peek().is_none_or(|first| new.at > first.at);
        waiting.push(new);
        if sooner {
            self.sooner.notify_one();
        }
    }

    /// Wakes whoever is due, until it is dropped.
    pub(super) async fn run(&self, pacer: Pacer) {
        loop {
            let next = self.waiting.borrow().peek().map(|first| first.at.0);
            let Some(at) = next else {
                self.sooner.notified().await;
                continue;
            };
            tokio::select! {
                biased;
                kept = pacer.until(at) => if kept.is_err() {
                    // A timer that the kernel refuses to set is replaced by the coarser one.
                    tokio::time::sleep_until(self.clock.instant(at)).await;
                },
                () = self.sooner.notified() => continue,
            }
            self.wake(self.clock.now());
        }
    }

    fn wake(&self, now: Nanos) {
        let mut waiting = self.waiting.borrow_mut();
        while waiting.peek().is_some_and(|first| first.at.0 <= now) {
            if let Some(waker) = waiting.pop().and_then(|due| due.sleeper.take()) {
                waker.wake();
            }
        }
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Wake};

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn who_leaves_before_its_beat_is_not_kept_until_then() {
        let beats = Beats::new(Clock::start());
        let task = Arc::new(Task);
        let waker = Waker::from(Arc::clone(&task));
        {
            let mut waiting = pin!(beats.until(3_600_000_000_000));
            for _ in 0..2 {
                assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            assert_eq!((Arc::strong_count(&task), beats.waiting.borrow().len()), (3, 1));
        }
        assert_eq!(Arc::strong_count(&task), 2, "the test has it, and its waker");

        for _ in 0..10 * SWEPT_MIN {
            let mut waiting = pin!(beats.until(3_600_000_000_000));
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert!(beats.waiting.borrow().len() <= SWEPT_MIN, "users who come and go leave no heap behind");
    }

    #[test]
    fn each_is_woken_at_its_own_instant_in_whatever_order_they_came() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        let order = local.block_on(&runtime, async {
            let clock = Clock::start();
            let beats = Rc::new(Beats::new(clock));
            let driver = Rc::clone(&beats);
            let driving = tokio::task::spawn_local(async move {
                driver.run(Pacer::new(clock).expect("a descriptor")).await;
            });
            let order = Rc::new(RefCell::new(Vec::new()));
            let users: Vec<_> = [30, 10, 20, 10, 0]
                .into_iter()
                .map(|ms| {
                    let (beats, order) = (Rc::clone(&beats), Rc::clone(&order));
                    tokio::task::spawn_local(async move {
                        beats.until(ms * 1_000_000).await;
                        assert!(clock.now() >= ms * 1_000_000, "never too early");
                        order.borrow_mut().push(ms);
                    })
                })
                .collect();
            for user in users {
                user.await.expect("no panic");
            }
            // One who comes while nobody waits is kept too.
            beats.until(clock.now() + 2_000_000).await;
            driving.abort();
            order.take()
        });
        assert_eq!(order, [0, 10, 10, 20, 30]);
    }
}
