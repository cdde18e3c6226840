//! A user's one timer. Time-outs are armed lazily: the timer may go off too early, and is then set to the true deadline. A user
//! that sends thousands of requests a second so touches the timer wheel once per time-out span, not once per request.

use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep};

/// The deadline passed before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Elapsed;

pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    pub(super) fn new(any: Instant) -> Self {
        Self { sleep: Box::pin(tokio::time::sleep_until(any)) }
    }

    /// Waits until `at`, to the millisecond of tokio's wheel.
    pub(super) async fn until(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at);
        self.sleep.as_mut().await;
    }

    /// Drives `future` until it is ready or `deadline` has passed. A future written out, since an `async fn` would keep the one it is given
    /// twice, and this one is part of every user.
    pub(super) fn within<F: Future>(&mut self, deadline: Instant, future: F) -> Within<'_, F> {
        let sleep = self.sleep.as_mut();
        Within { sleep, deadline, future }
    }
}

pin_project! {
    pub(super) struct Within<'t, F> {
        sleep: Pin<&'t mut Sleep>,
        deadline: Instant,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.future.poll(cx) {
            return Poll::Ready(Ok(value));
        }
        let (sleep, deadline) = (this.sleep, *this.deadline);
        // A timer that has gone off cannot be waited for again, and one set too late would miss the deadline.
        if sleep.is_elapsed() || sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        // Unconstrained: a future whose bytes never run out has used up what tokio lets a task do in one turn, and then the timer, asked in
        // the same turn, would never say that its time has come.
        while pin!(tokio::task::coop::unconstrained(sleep.as_mut())).poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(Err(Elapsed));
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use std::time::Duration;

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
    }

    #[test]
    fn a_timer_armed_too_early_still_waits_for_the_true_deadline() {
        paused().block_on(async {
            let clock = Clock::start();
            let at = |ms: u64| clock.instant(ms * 1_000_000);
            let mut timer = Timer::new(at(5));
            assert_eq!(timer.within(at(50), std::future::ready(1)).await, Ok(1));
            assert_eq!(timer.within(at(100), std::future::pending::<()>()).await, Err(Elapsed));
            assert_eq!(clock.now() / 1_000_000, 100);
            let late = tokio::time::sleep(Duration::from_millis(20));
            assert_eq!(timer.within(at(300), late).await, Ok(()));
            timer.until(at(400)).await;
            assert_eq!(timer.within(at(350), std::future::pending::<()>()).await, Err(Elapsed));
            assert_eq!(clock.now() / 1_000_000, 400, "a deadline in the past fails at once");
        });
    }

    #[test]
    fn a_future_that_never_rests_does_not_outlive_its_deadline() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let restless = async {
            loop {
                tokio::task::coop::consume_budget().await;
            }
        };
        let clock = Clock::start();
        let ended = runtime.block_on(async {
            let mut timer = Timer::new(clock.instant(1_000_000_000));
            tokio::time::timeout(Duration::from_secs(5), async move {
                timer.within(clock.instant(20_000_000), restless).await
            })
            .await
        });
        assert!(matches!(ended, Ok(Err::<(), _>(Elapsed))));
    }
}
