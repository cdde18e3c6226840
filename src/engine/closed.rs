//! The closed model: as many users as the curve says, each looping through its journey. Users leave by finishing their iteration;
//! one that has not finished within the graceful stop is cut off and counted as interrupted.

use super::control::Control;
use super::part::Part;
use super::shard::Shard;
use super::step::nanos;
use super::user::User;
use crate::clock::Nanos;
use std::collections::VecDeque;
use std::rc::Rc;
use tokio::task::AbortHandle;

/// Users who come or go at once do so in batches: between two, the answers to all the others are read when they come.
const USERS_PER_TURN: usize = 32;

struct Live {
    control: Rc<Control>,
    task: AbortHandle,
}

pub(super) async fn run(shard: Rc<Shard>, part: Rc<Part>) {
    wait_for_start(&shard, &part).await;
    let mut crowd = Crowd { users: Vec::new(), leaving: VecDeque::new() };
    loop {
        let now = shard.clock.now();
        crowd.cut_off_late(now).await;
        if part.is_over(now) {
            break;
        }
        let elapsed = part.elapsed_ns(now);
        let (wanted, change) = {
            let curve = part.curve.borrow();
            let total = curve.users_at(elapsed);
            (shard.share.users_of(total), curve.next_change(elapsed, total).map(|(at, _)| part.start_ns + at))
        };
        crowd.resize(&shard, &part, wanted, now).await;
        let end = (!part.steered).then(|| part.start_ns + part.curve.borrow().end_ns());
        let wake = [change, end, crowd.leaving.front().map(|(by, _)| *by)].into_iter().flatten().min();
        tokio::select! {
            () = part.changed.notified() => {}
            () = sleep_until(&shard, wake) => {}
        }
    }
    // A shard that wakes late has not been given more load for that.
    let now = shard.clock.now();
    let ended = if part.draining.get() || part.steered {
        now
    } else {
        now.min(part.start_ns + part.curve.borrow().end_ns())
    };
    crowd.resize(&shard, &part, 0, ended).await;
    let by = ended + nanos(part.graceful_stop);
    while part.live.get() > 0 && shard.clock.now() < by && !shard.aborted.get() {
        // Who was told to leave before the end has a deadline of its own.
        crowd.cut_off_late(shard.clock.now()).await;
        let next = crowd.leaving.front().map_or(by, |(own, _)| by.min(*own));
        tokio::select! {
            () = part.changed.notified() => {}
            () = part.freed.notified() => {}
            () = sleep_until(&shard, Some(next)) => {}
        }
    }
    crowd.cut_off_late(Nanos::MAX).await;
    part.emptied().await;
}

/// Until the part begins, or a drain does.
pub(super) async fn wait_for_start(shard: &Shard, part: &Part) {
    while !part.draining.get() && shard.clock.now() < part.start_ns {
        tokio::select! {
            () = part.changed.notified() => {}
            () = sleep_until(shard, Some(part.start_ns)) => {}
        }
    }
    // The clock reads zero for a moment before the run begins.
    tokio::time::sleep_until(shard.clock.instant(0)).await;
}

async fn sleep_until(shard: &Shard, at: Option<Nanos>) {
    match at {
        Some(at) => tokio::time::sleep_until(shard.clock.instant(at)).await,
        None => std::future::pending().await,
    }
}

struct Crowd {
    users: Vec<Live>,
    /// Told to leave, with the instant at which they are cut off; earliest first.
    leaving: VecDeque<(Nanos, Live)>,
}

impl Drop for Crowd {
    /// Nobody is left of a part that ended by panic.
    fn drop(&mut self) {
        self.users.iter().chain(self.leaving.iter().map(|(_, user)| user)).for_each(|user| user.task.abort());
    }
}

impl Crowd {
    async fn resize(&mut self, shard: &Rc<Shard>, part: &Rc<Part>, wanted: u64, now: Nanos) {
        while !part.draining.get() && (self.users.len() as u64) < wanted {
            let control = Rc::new(Control::default());
            let number = part.newcomer(shard.share, self.users.len() as u64, part.elapsed_ns(now));
            let user = User::new(shard, part, Rc::clone(&control), number);
            let task = tokio::task::spawn_local(user.live()).abort_handle();
            self.users.push(Live { control, task });
            if self.users.len().is_multiple_of(USERS_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
        let by = now + nanos(part.graceful_stop);
        let staying = self.users.len().min(usize::try_from(wanted).unwrap_or(usize::MAX));
        let leaving = self.users.split_off(staying);
        // All of them hear of it at the same instant, whoever's turn comes first.
        for user in &leaving {
            user.control.retire_at(now);
            if part.steered {
                // At once, so that what they owe a level is no part of the one after it.
                user.control.drop_missed(&mut shard.recorder.borrow_mut());
            }
        }
        for (told, user) in leaving.into_iter().rev().enumerate() {
            user.control.wake();
            if user.control.iteration_since.get().is_some() || user.control.is_behind(part) {
                self.leaving.push_back((by, user));
            } else {
                // Between iterations it waits for its pace only.
                user.task.abort();
            }
            if told % USERS_PER_TURN == USERS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Ends every leaving user whose time is up; what it was in the middle of is counted when it is dropped.
    async fn cut_off_late(&mut self, now: Nanos) {
        while let Some((by, user)) = self.leaving.front() {
            if !user.task.is_finished() {
                if *by > now {
                    break;
                }
                user.task.abort();
            }
            self.leaving.pop_front();
            if self.leaving.len().is_multiple_of(USERS_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
    }
}
